//! Conversations that other transactions keep locked for longer than a batch may wait, for example a paused node or an
//! operator at a console. A batch waits for such a lock once. From then on writes to that conversation are refused at
//! once, so that the others do not wait with them, until the conversation is found free.
//! It must never hold a write back: the sender repeats a refused one, so nothing here can be reordered.

use std::collections::HashSet;

use super::{
    failure::Failure,
    row::{self, sql},
    session::Session,
};
use crate::{
    rules::logs_of,
    types::ConversationId,
    write::{Append, Write},
};

/// Conversations that are remembered, at most. With more, all are forgotten: each then costs one more wait.
const HELD_MAX: usize = 1_024;

/// One writer's knowledge of them.
#[derive(Debug, Default)]
pub(super) struct Held {
    conversations: HashSet<ConversationId>,
}

impl Held {
    /// The conversations of a batch that were found held before.
    pub(super) fn among(&self, writes: &[Write]) -> Vec<ConversationId> {
        if self.conversations.is_empty() {
            return Vec::new();
        }
        let known = |conversation: &ConversationId| self.conversations.contains(conversation);
        appended_to(writes).into_iter().filter(known).collect()
    }

    pub(super) fn knows(&self, write: &Write) -> bool {
        append_of(write).is_some_and(|append| logs_of(append).any(|log| self.conversations.contains(&log)))
    }

    /// Remembers the ones of these that are held now.
    pub(super) fn note(&mut self, asked: &[ConversationId], held: Vec<ConversationId>) {
        for conversation in asked {
            self.conversations.remove(conversation);
        }
        if self.conversations.len() + held.len() > HELD_MAX {
            self.conversations.clear();
        }
        self.conversations.extend(held);
    }
}

/// The conversations that a batch appends to.
pub(super) fn appended_to(writes: &[Write]) -> Vec<ConversationId> {
    let appends = writes.iter().filter_map(append_of);
    let conversations: HashSet<ConversationId> = appends.flat_map(logs_of).collect();
    conversations.into_iter().collect()
}

const fn append_of(write: &Write) -> Option<&Append> {
    match write {
        Write::Append(append) => Some(append),
        Write::Cursors(_)
        | Write::CreateUser(_)
        | Write::UpdateProfile(_)
        | Write::CreateSession(_)
        | Write::RevokeSessions(_)
        | Write::TouchSessions(_)
        | Write::Erase(_) => None,
    }
}

/// The conversations among these that other transactions hold locked now. It does not wait for locks.
pub(super) fn find(session: &mut Session, of: &[ConversationId]) -> Result<Vec<ConversationId>, Failure> {
    let ids: Vec<i64> = of.iter().map(|conversation| sql(conversation.0)).collect();
    let rows = session.query(
        "WITH free AS MATERIALIZED (
            SELECT id FROM conversations WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
         )
         SELECT c.id FROM conversations c WHERE c.id = ANY ($1) AND NOT c.id = ANY (ARRAY (SELECT id FROM free))",
        &[&ids],
    )?;
    rows.iter().map(|row| row::conversation_id(row, 0)).collect()
}
