//! The limits of one [`Write::Erase`](crate::Write::Erase), the same in every store.

use crate::{
    types::{Event, Timestamp},
    write::{ERASED_BODIES_MAX, ERASED_BYTES_MAX},
};

/// The remaining room of a slice.
#[derive(Debug, Default)]
pub(crate) struct Room {
    rows: usize,
    bytes: usize,
}

impl Room {
    pub(crate) const fn is_full(&self) -> bool {
        self.rows >= ERASED_BODIES_MAX || self.bytes >= ERASED_BYTES_MAX
    }

    /// Counts the erasure of a body of this many bytes; with none, it was erased before, and that is only noted.
    pub(crate) const fn take(&mut self, bytes: usize) {
        self.rows += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Whether a body was erased or noted.
    pub(crate) const fn is_used(&self) -> bool {
        self.rows > 0
    }
}

/// When the body of an event must be erased; a time beyond those that SQL orders is never.
pub(crate) fn expires(event: &Event) -> Option<i64> {
    expiry(event.expires_at)
}

pub(crate) fn expiry(at: Timestamp) -> Option<i64> {
    i64::try_from(at.0).ok().filter(|at| *at > 0)
}
