//! What a loop keeps for one connection.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use protocol::Refusal;
use storage::Snapshot;

use super::{asks::Asks, park::Parked};
use crate::{
    delivery::Backlog,
    session::{Allowance, Session},
};

/// One of the connections that there are, over all loops. It is counted as long as it lives.
#[derive(Debug)]
pub(super) struct Present(Arc<AtomicUsize>);

impl Present {
    /// One more, and how many there are with it.
    pub(super) fn enter(count: &Arc<AtomicUsize>) -> (Self, usize) {
        let before = count.fetch_add(1, Ordering::Relaxed);
        (Self(Arc::clone(count)), before + 1)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One connection's state on its loop.
#[derive(Debug)]
pub(crate) struct Connection {
    /// What it may do.
    pub session: Session,
    /// Why nothing of it is served; it hears that and is closed.
    pub(super) turned_away: Option<Box<Refusal>>,
    /// From then on, the session is noted as connected once more.
    pub(super) seen_due_us: u64,
    /// A request that found no room; reading is paused until it has.
    pub(super) parked: Option<Box<Parked>>,
    /// Questions that wait for their turn, or for their answers.
    pub(super) asks: Option<Box<Asks>>,
    /// What it is owed because it reads too slowly.
    pub(super) backlog: Option<Box<Backlog>>,
    /// The device is in step with all of this, by a sync on this connection.
    pub(super) synced: Option<Snapshot>,
    /// The device has what the store does not have: its next sync is answered as one of another past.
    pub(super) starts_over: bool,
    /// The peer sends nothing more: close once everything is answered.
    pub(super) ending: bool,
    _present: Present,
}

impl Connection {
    /// A new one, from an address with this allowance if rates apply to it.
    pub(super) fn new(address: Option<Arc<Allowance>>, present: Present) -> Self {
        Self {
            session: Session::new(address),
            turned_away: None,
            seen_due_us: u64::MAX,
            parked: None,
            asks: None,
            backlog: None,
            synced: None,
            starts_over: false,
            ending: false,
            _present: present,
        }
    }

    /// Everything visible to it in this set was written to it, given what its loop has been delivered.
    pub(crate) fn token(&self, complete_to: &Snapshot) -> Option<Snapshot> {
        match (&self.backlog, &self.synced) {
            (Some(backlog), Some(_)) => Some(backlog.token().clone()),
            (_, synced) => synced.as_ref().map(|synced| synced.union(complete_to)),
        }
    }
}

#[cfg(test)]
mod tests {
    use storage::Position;

    use super::{Arc, AtomicUsize, Backlog, Connection, Present, Snapshot};

    /// Where pushes are refused for want of room while requests are still read.
    #[test]
    fn a_token_ends_where_the_backlog_begins() {
        let [written, delivered] = [5, 8].map(|commit| Snapshot::at(Position(commit)));
        let (present, _) = Present::enter(&Arc::new(AtomicUsize::new(0)));
        let mut conn = Connection::new(None, present);
        assert_eq!(conn.token(&delivered), None);
        conn.synced = Some(written.clone());
        assert_eq!(conn.token(&delivered), Some(delivered.clone()));
        conn.backlog = Some(Box::new(Backlog::new(written.clone())));
        assert_eq!(conn.token(&delivered), Some(written));
    }
}
