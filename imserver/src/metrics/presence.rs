//! Presence: watches, and what watchers are told. Counted by its thread.

use super::{cell::Tally, exposition::Shown, table};

/// What the thread of presence counts.
#[derive(Debug, Default)]
pub(crate) struct OfPresence {
    /// Watches now.
    pub watches: Tally,
    /// Changes that were told.
    pub changes: Tally,
}

pub(super) fn show(shown: &mut Shown, of: &OfPresence) {
    shown.count(&table::PRESENCE_WATCHES, of.watches.get());
    shown.count(&table::PRESENCE_CHANGES, of.changes.get());
}
