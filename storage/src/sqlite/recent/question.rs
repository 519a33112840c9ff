//! A reader's question: one transaction, and what the index lacks of what that sees. In this file alone the two come
//! together, and there is no other way to what a reader may see of [`Recent`]: whoever began the transaction first
//! would miss the entries that left in between because the index, of which it sees an earlier state, had got them.

use rusqlite::{Connection, Transaction};

use super::{Reading, Recent, Seen};
use crate::{
    sqlite::{failure::Failure, lookup, moment::Moment, row::LogEntry},
    types::{ClientId, ConversationId, Position, UserId},
};

/// How often an index may be completed while one request is looked for; each takes many commits.
const TRIES: usize = 8;

/// A transaction, and what the index does not have of what it sees. The transaction ends first.
pub(in crate::sqlite) struct Question<'a> {
    transaction: Transaction<'a>,
    /// The newest position it sees.
    position: Position,
    reading: Reading<'a>,
}

impl<'a> Question<'a> {
    pub(in crate::sqlite) fn begin(
        recent: &'a Recent,
        connection: &'a mut Connection,
    ) -> Result<Self, Failure> {
        // In this order: the entries of what the transaction does not see in the index stay from here on.
        let reading = recent.begin_reading();
        let transaction = connection.transaction()?;
        // The first row read fixes what the transaction sees.
        let position = lookup::position(&transaction)?;
        Ok(Self {
            transaction,
            position,
            reading,
        })
    }

    /// The event that a request made. It is looked for in the index, in what that does not have at all, and in what it
    /// has by place and not by client id yet: the last before the transaction begins and after it, so that what was
    /// completed in between, which the transaction does not see, was there before.
    pub(in crate::sqlite) fn event_by_request(
        recent: &'a Recent,
        connection: &'a mut Connection,
        (conversation, sender, client_id): (ConversationId, UserId, ClientId),
    ) -> Result<Option<LogEntry>, Failure> {
        for _ in 0..TRIES {
            let before = recent.indexing.read().clone();
            let question = Question::begin(recent, &mut *connection)?;
            let moment = question.moment();
            let mut entry = before.made_by(conversation, sender, client_id);
            if entry.is_none() {
                entry = moment.recent.made_by(conversation, sender, client_id)?;
            }
            let mut position = entry.map(|entry| entry.position);
            if position.is_none() {
                position = lookup::position_by_request(moment.connection, conversation, sender, client_id)?;
            }
            if position.is_none() {
                let after = recent.indexing.read().clone();
                let entry = after.made_by(conversation, sender, client_id);
                position = entry
                    .map(|entry| entry.position)
                    .filter(|found| *found <= question.position);
                if position.is_none() && after.completed != before.completed {
                    continue;
                }
            }
            let Some(position) = position else { return Ok(None) };
            let found = lookup::event(moment.connection, position)?;
            let event = &found.event;
            if (event.conversation, event.sender, event.client_id) != (conversation, sender, client_id) {
                return Err(Failure::damaged("the event of a request is that of another one"));
            }
            return Ok(Some(found));
        }
        Err(Failure::Overtaken)
    }

    pub(in crate::sqlite) fn moment(&self) -> Moment<'_> {
        Moment {
            connection: &self.transaction,
            recent: Seen::by_reader(&self.reading, self.position),
        }
    }
}
