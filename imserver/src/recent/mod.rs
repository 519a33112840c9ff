//! What the lists of recent events hold, what may be made of one, and how often that was so.
//!
//! A user who is away has a list in the medium that the nodes share: the events that were committed meanwhile, so that
//! the sync after a short absence need not read them from the database. It is begun with a [`Mark`] when the user's
//! last connection on a node closes, gets [entries](entry()) from the nodes that commit, and ends with the sync
//! that catches up.
//!
//! Everything here decides and does nothing. It must never take a list for complete: additions get lost, lists vanish,
//! and what is not proved by heads, positions and memberships from the database is read from the database.

mod entry;
mod newest;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

pub use entry::{Ends, Mark, ends, entry, is_kept};
pub use newest::{List, Newest};

/// Members of a conversation whose events are kept for those who are away, at most.
pub const MEMBERS_MAX: usize = 32;
/// Bytes of a body that is kept, at most: beyond, few would fit a list.
pub const BODY_BYTES_MAX: usize = 8 * 1024;
/// Additions that wait to be made, at most: so that they leave room in their queue for what matters more.
const WAITING_MAX: usize = 2_048;
/// And their bytes.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How the lists are used, and what waits for them. Shared by every thread.
#[derive(Debug, Default)]
pub struct Usage {
    found: AtomicU64,
    missing: AtomicU64,
    pages: AtomicU64,
    dropped: AtomicU64,
    waiting: AtomicUsize,
    waiting_bytes: AtomicUsize,
}

impl Usage {
    /// A list was looked for.
    pub fn looked(&self, found: bool) {
        let count = if found { &self.found } else { &self.missing };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// A page came from a list.
    pub fn page(&self) {
        self.pages.fetch_add(1, Ordering::Relaxed);
    }

    /// So many events were not added.
    pub fn dropped(&self, events: usize) {
        self.dropped.fetch_add(events as u64, Ordering::Relaxed);
    }

    /// Whether an addition of so many bytes may wait; then [`Usage::taken`] ends that.
    pub fn may_wait(&self, bytes: usize) -> bool {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let bytes_before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before < WAITING_MAX && bytes_before.saturating_add(bytes) <= WAITING_BYTES_MAX;
        if !fits {
            self.taken(bytes);
        }
        fits
    }

    /// It waits no more.
    pub fn taken(&self, bytes: usize) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        write!(
            formatter,
            "recent events: {} lists found, {} not found, {} pages from them, {} events dropped",
            count(&self.found),
            count(&self.missing),
            count(&self.pages),
            count(&self.dropped)
        )
    }
}
