//! `im history`: the newest messages of a conversation, as they stand now.

use client::Error;
use protocol::v1::{self, Direction, ErrorCode};

use crate::{
    context::{CALL_TIMEOUT, Context, expect},
    failure::Failure,
    message,
    names::Directory,
    target::Resolver,
};

/// Events asked for at once.
const PAGE: u32 = 100;

pub(crate) fn run(context: &Context, target: &str, limit: u64, before: Option<u64>) -> Result<(), Failure> {
    let mut client = context.client()?;
    let conversation = Resolver::new(context, &client, None)?.conversation(target)?;
    let mut names = Directory::open(&context.profile);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut events: Vec<v1::Event> = Vec::new();
    let mut messages = 0;
    let mut from_seq = before.map_or(0, |before| before.saturating_sub(1));
    if before == Some(1) {
        return Ok(());
    }
    while messages < limit {
        let request = v1::HistoryRequest {
            conversation_id: conversation,
            from_seq,
            limit: PAGE,
            direction: Direction::Backward.into(),
            ..v1::HistoryRequest::default()
        };
        let Some(page) = page(&client, request, target)? else {
            break;
        };
        for event in page.events.into_iter().rev() {
            // Nothing is learned from the past: what a group was called once is not what it is called now.
            let is_message = message::is_message(&event);
            if messages < limit && (is_message || message::notice(&event, &names).is_some()) {
                messages += usize::from(is_message);
                events.push(event);
            }
        }
        if page.from_seq <= 1 {
            break;
        }
        let next = page.from_seq - 1;
        if from_seq != 0 && next >= from_seq {
            return Err(
                Error::Protocol("a page that brings nothing of what was asked for".to_owned()).into(),
            );
        }
        from_seq = next;
    }
    let people: Vec<u64> = events.iter().flat_map(message::people).collect();
    names.look_up(&mut client, people, [conversation])?;
    for event in events.iter().rev() {
        if message::is_message(event) {
            context.output.print(
                || message::to_json(event, &names),
                || message::to_history_line(event, &names, context.output),
            )?;
        } else if let Some(notice) = message::notice(event, &names).filter(|_| !context.output.json) {
            let line = format!("{:>6}  -- {}", event.seq, crate::text::line(&notice));
            context
                .output
                .print(|| serde_json::Value::Null, || context.output.dim(&line))?;
        }
    }
    names.save(&context.profile);
    Ok(())
}

/// A page; `None` for a conversation of two, or the own log, in which nothing was said yet.
fn page(
    client: &client::Client,
    request: v1::HistoryRequest,
    target: &str,
) -> Result<Option<v1::Page>, Failure> {
    match client.ask(request, CALL_TIMEOUT) {
        Ok(history) => expect::<v1::HistoryRequest, _>(history.page).map(Some),
        Err(Error::Refused(refusal)) if refusal.code() == ErrorCode::NotFound && target.starts_with('@') => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
