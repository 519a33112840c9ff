//! How much one [`Write::Erase`](crate::Write::Erase) erases, the same in every store.

use crate::{
    types::{Event, Timestamp},
    write::{ERASED_BODIES_MAX, ERASED_BYTES_MAX},
};

/// What is left of a slice.
#[derive(Debug, Default)]
pub(crate) struct Room {
    rows: usize,
    bytes: usize,
}

impl Room {
    pub(crate) const fn is_full(&self) -> bool {
        self.rows >= ERASED_BODIES_MAX || self.bytes >= ERASED_BYTES_MAX
    }

    /// A body of so many bytes is erased; of none, it was before, and that is noted.
    pub(crate) const fn take(&mut self, bytes: usize) {
        self.rows += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Something was erased or noted.
    pub(crate) const fn is_used(&self) -> bool {
        self.rows > 0
    }
}

/// When the body of an event is to be erased; what lasts beyond the times that SQL orders lasts for ever.
pub(crate) fn expires(event: &Event) -> Option<i64> {
    expiry(event.expires_at)
}

pub(crate) fn expiry(at: Timestamp) -> Option<i64> {
    i64::try_from(at.0).ok().filter(|at| *at > 0)
}
