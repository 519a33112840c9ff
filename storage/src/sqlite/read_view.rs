//! A read view: the tables as a transaction sees them, and the newest events that are not indexed in them yet. Look a
//! head, a place or a cursor up here, never in the tables alone.

use rusqlite::Connection;

use super::unindexed::Seen;

/// Borrowed for one query, or by the writer for one batch.
#[derive(Clone, Copy)]
pub(super) struct ReadView<'a> {
    /// With an open transaction.
    pub(super) connection: &'a Connection,
    pub(super) unindexed: Seen<'a>,
}
