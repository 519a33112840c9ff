//! A reader's question: one transaction, and what the index lacks of what that sees. In this file alone the two come
//! together, and there is no other way to what a reader may see of [`Recent`]: whoever began the transaction first
//! would miss the entries that left in between because the index, of which it sees an earlier state, had got them.

use rusqlite::{Connection, Transaction};

use super::{Reading, Recent, Seen};
use crate::{
    sqlite::{failure::Failure, lookup, moment::Moment},
    types::Position,
};

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

    pub(in crate::sqlite) fn moment(&self) -> Moment<'_> {
        Moment {
            connection: &self.transaction,
            recent: Seen::by_reader(&self.reading, self.position),
        }
    }
}
