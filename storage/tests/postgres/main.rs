//! The PostgreSQL store where several commit at once, and where something breaks.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is the failing assertion")]

mod broken;
mod copied;
mod crowd;
#[path = "../ranked/database.rs"]
mod database;
mod encrypted;
mod erased;
mod held;
mod lent;
mod lost;
mod plans;
mod proved;
mod proxy;
mod together;
mod words;
mod work;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use storage::{
    Action, Append, Appended, ClientId, ConversationId, Direction, Event, Fingerprint, NewUser, Outcome,
    Reader, Seq, Timestamp, UserId, Write, Writer,
};

pub(crate) const USERS: u64 = 6;
/// Nothing here takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const fn pair(low: u64, high: u64) -> ConversationId {
    ConversationId(1 << 62 | low << 31 | high)
}

pub(crate) const fn group(number: u64) -> ConversationId {
    ConversationId(1 << 61 | number)
}

pub(crate) fn append(conversation: ConversationId, sender: u64, request: u64, action: Action) -> Append {
    let mut client_id = [0; 16];
    client_id[..8].copy_from_slice(&request.to_be_bytes());
    Append {
        conversation,
        sender: UserId(sender),
        client_id: ClientId(client_id),
        fingerprint: Fingerprint(client_id),
        at: Timestamp(request),
        action,
    }
}

pub(crate) fn message(conversation: ConversationId, sender: u64, request: u64, reply_to: u64) -> Write {
    let action = Action::Message {
        kind: 1,
        body: Bytes::copy_from_slice(&request.to_be_bytes()),
        expires_at: Timestamp(0),
        reply_to: Seq(reply_to),
    };
    Write::Append(append(conversation, sender, request, action))
}

pub(crate) fn register(writer: &mut dyn Writer, users: u64) {
    let account = |number| {
        Write::CreateUser(NewUser {
            name: format!("user{number}"),
            display_name: String::new(),
            password_hash: String::new(),
            at: Timestamp(0),
        })
    };
    let accounts: Vec<Write> = (1..=users).map(account).collect();
    for answer in writer.commit(&accounts).unwrap() {
        answer.unwrap();
    }
}

pub(crate) fn appended(outcome: Outcome) -> Appended {
    match outcome {
        Outcome::Appended(appended) => appended,
        other => panic!("{other:?}"),
    }
}

/// A whole log, as one who was always a member sees it.
pub(crate) fn log(reader: &mut dyn Reader, viewer: u64, conversation: ConversationId) -> Vec<Arc<Event>> {
    let forward = Direction::Forward;
    let page = reader.events(
        UserId(viewer),
        conversation,
        Seq(1),
        forward,
        usize::MAX,
        usize::MAX,
    );
    page.unwrap()
        .into_iter()
        .flat_map(|page| page.events)
        .map(|view| view.event)
        .collect()
}

/// Asks again and again, for something that becomes so by itself.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::yield_now();
    }
}
