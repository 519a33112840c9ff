//! One state of the store: what a transaction sees in the tables, and the newest events whose index they do not
//! have yet. Whoever asks for a head, a place or a cursor asks here, never the tables alone.

use rusqlite::Connection;

use super::recent::Seen;

/// Borrowed for one question, or by the writer for one batch.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    /// Within a transaction.
    pub(super) connection: &'a Connection,
    pub(super) recent: Seen<'a>,
}
