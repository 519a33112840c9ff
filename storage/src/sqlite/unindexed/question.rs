//! A read transaction together with the unindexed entries visible to it. The entries are pinned *before* the
//! transaction begins; otherwise entries moved to the index in between would be in neither. Only this file combines the
//! two, and readers have no other access to [`Unindexed`].

use rusqlite::{Connection, Transaction};

use super::{Reading, Seen, Unindexed};
use crate::{
    sqlite::{failure::Failure, lookup, read_view::ReadView, row::LogEntry},
    types::{ClientId, ConversationId, Position, UserId},
};

/// How often an index may be completed during the search for one request; each completion takes many commits.
const TRIES: usize = 8;

/// A read transaction and its unindexed entries. The transaction ends first.
pub(in crate::sqlite) struct Question<'a> {
    transaction: Transaction<'a>,
    /// The newest position that the transaction sees.
    position: Position,
    reading: Reading<'a>,
}

impl<'a> Question<'a> {
    pub(in crate::sqlite) fn begin(
        unindexed: &'a Unindexed,
        connection: &'a mut Connection,
    ) -> Result<Self, Failure> {
        // In this order: entries that the transaction does not see in the index stay from here on.
        let reading = unindexed.begin_reading();
        let transaction = connection.transaction()?;
        // The first row read fixes the snapshot of the transaction.
        let position = lookup::position(&transaction)?;
        Ok(Self {
            transaction,
            position,
            reading,
        })
    }

    /// The event that a request made. The search covers the index, the entries that are in no index, and those that are
    /// indexed by place but not by client id yet. The last are searched before the transaction begins and after it: an
    /// index that was completed in between, which the transaction does not see, was found before.
    pub(in crate::sqlite) fn event_by_request(
        unindexed: &'a Unindexed,
        connection: &'a mut Connection,
        (conversation, sender, client_id): (ConversationId, UserId, ClientId),
    ) -> Result<Option<LogEntry>, Failure> {
        for _ in 0..TRIES {
            let before = unindexed.indexing.read().clone();
            let question = Question::begin(unindexed, &mut *connection)?;
            let read_view = question.read_view();
            let mut entry = before.made_by(conversation, sender, client_id);
            if entry.is_none() {
                entry = read_view.unindexed.made_by(conversation, sender, client_id)?;
            }
            let mut position = entry.map(|entry| entry.position);
            if position.is_none() {
                position =
                    lookup::position_by_request(read_view.connection, conversation, sender, client_id)?;
            }
            if position.is_none() {
                let after = unindexed.indexing.read().clone();
                let entry = after.made_by(conversation, sender, client_id);
                position = entry
                    .map(|entry| entry.position)
                    .filter(|found| *found <= question.position);
                if position.is_none() && after.completed != before.completed {
                    continue;
                }
            }
            let Some(position) = position else { return Ok(None) };
            let found = lookup::event(read_view.connection, position)?;
            let event = &found.event;
            if (event.conversation, event.sender, event.client_id) != (conversation, sender, client_id) {
                return Err(Failure::damaged("the event of a request is that of another one"));
            }
            return Ok(Some(found));
        }
        Err(Failure::Overtaken)
    }

    pub(in crate::sqlite) fn read_view(&self) -> ReadView<'_> {
        ReadView {
            connection: &self.transaction,
            unindexed: Seen::by_reader(&self.reading, self.position),
        }
    }
}
