//! `im send`: one message, stored exactly once.

use std::time::{Duration, Instant};

use client::new_client_id;
use protocol::{
    ClientMessageId,
    v1::{self, EventKind},
};
use serde_json::json;
use uuid::Uuid;

use crate::{args::Send, context::Context, failure::Failure, target::Resolver, text};

pub(crate) fn run(context: &Context, send: &Send) -> Result<(), Failure> {
    let timeout = Duration::from_secs_f64(send.timeout);
    let deadline = Instant::now() + timeout;
    let id = send
        .client_id
        .map_or_else(new_client_id, |id| ClientMessageId(id.into_bytes()));
    let client = context.client()?;
    let conversation = Resolver::new(context, &client, Some(timeout))?.conversation(&send.target)?;
    // Before it is sent: a device never takes its own message for another one's.
    context.profile.note_sent(id)?;
    let left = deadline.saturating_duration_since(Instant::now());
    let sent = client.send(request(send, conversation, id), left)?;
    let client_id = Uuid::from_bytes(id.0).to_string();
    let json = || {
        json!({
            "type": "sent",
            "conversation_id": sent.conversation_id.to_string(),
            "seq": sent.seq,
            "ordinal": sent.ordinal,
            "epoch": sent.epoch.to_string(),
            "duplicate": sent.duplicate,
            "client_id": client_id,
            "at_ms": sent.sent_at_ms,
        })
    };
    let plain = || {
        let again = if sent.duplicate { ", as it was before" } else { "" };
        format!("stored as {} of {}{again}", sent.seq, text::line(&send.target))
    };
    Ok(context.output.print(json, plain)?)
}

/// The request depends on the command line and nothing else: the same line is the same request.
fn request(send: &Send, conversation_id: u64, id: ClientMessageId) -> v1::SendRequest {
    let words = send.text.join(" ");
    let content = |reply_to| {
        Some(v1::Content {
            body: words.clone().into_bytes().into(),
            reply_to,
            ..v1::Content::default()
        })
    };
    let base = v1::SendRequest {
        conversation_id,
        client_msg_id: id.0.to_vec().into(),
        ..v1::SendRequest::default()
    };
    match (send.edit, send.recall, send.react) {
        (Some(target_seq), _, _) => v1::SendRequest {
            kind: EventKind::Edit.into(),
            target_seq,
            content: content(0),
            ..base
        },
        (_, Some(target_seq), _) => v1::SendRequest {
            kind: EventKind::Recall.into(),
            target_seq,
            ..base
        },
        (_, _, Some(target_seq)) => v1::SendRequest {
            kind: EventKind::Reaction.into(),
            target_seq,
            reaction: words,
            ..base
        },
        _ => v1::SendRequest {
            kind: EventKind::Text.into(),
            content: content(send.reply_to.unwrap_or(0)),
            ..base
        },
    }
}
