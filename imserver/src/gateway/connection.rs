//! What a loop keeps for one connection.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use protocol::Refusal;
use storage::Snapshot;

use super::{asks::Asks, http::Http, park::Parked};
use crate::{
    delivery::Backlog,
    metrics::{Asked, Door},
    session::{Allowance, Session},
    wire::Format,
};

/// One of the connections of all loops. It is counted as long as it lives.
#[derive(Debug)]
pub(super) struct Present(Arc<AtomicUsize>);

impl Present {
    /// Counts one more; returns the number of connections with it.
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
    /// The session machine.
    pub session: Session,
    /// The newest request that was admitted.
    pub(super) asked: Asked,
    /// The reason for which the connection is not served; the client is told and the connection is closed.
    pub(super) turned_away: Option<Box<Refusal>>,
    /// From this time on, the session is noted as connected once more.
    pub(super) seen_due_us: u64,
    /// A request that found no room; reading is paused meanwhile.
    pub(super) parked: Option<Box<Parked>>,
    /// Queries that wait for their turn or for their answers.
    pub(super) asks: Option<Box<Asks>>,
    /// What the connection gets later because it reads too slowly.
    pub(super) backlog: Option<Box<Backlog>>,
    /// A sync on this connection brought the device up to here.
    pub(super) synced: Option<Snapshot>,
    /// The device has something that the store does not have: its next sync is answered as a restart.
    pub(super) starts_over: bool,
    /// What the HTTP door keeps; `None` behind the other doors.
    pub(super) http: Option<Box<Http>>,
    /// Where a WebSocket comes from, if the peer is a proxy.
    pub(super) from: Option<Box<IpAddr>>,
    /// The peer sends no more: close once everything is answered.
    pub(super) ending: bool,
    _present: Present,
}

impl Connection {
    /// Whether anything may come that is no answer.
    pub(super) fn takes_pushes(&self) -> bool {
        self.session.format().pushed_index().is_some()
    }

    /// The state of a new connection, from an address with this allowance, if rates apply to it.
    pub(super) fn new(address: Option<Arc<Allowance>>, present: Present) -> Self {
        Self {
            session: Session::new(address),
            asked: Asked::default(),
            turned_away: None,
            seen_due_us: u64::MAX,
            parked: None,
            asks: None,
            backlog: None,
            synced: None,
            starts_over: false,
            http: None,
            from: None,
            ending: false,
            _present: present,
        }
    }

    /// Whether the HTTP door has something under way here: nothing more is read meanwhile. A stream is under way to its
    /// end.
    pub(super) fn is_stream_or_calls(&self) -> bool {
        match self.session.format() {
            Format::Stream => true,
            Format::Call => self.session.in_flight() > 0,
            Format::Protobuf
            | Format::Json
            | Format::SocketProtobuf
            | Format::SocketJson
            | Format::SocketText => false,
        }
    }

    /// The set of commits of which everything visible was written to this connection, if its loop has been delivered
    /// `complete_to`.
    pub(crate) fn token(&self, complete_to: &Snapshot) -> Option<Snapshot> {
        match (&self.backlog, &self.synced) {
            (Some(backlog), Some(_)) => Some(backlog.token().clone()),
            (_, synced) => synced.as_ref().map(|synced| synced.union(complete_to)),
        }
    }
}

/// The door that a connection with this format came through. One that has sent nothing counts as native.
impl From<Format> for Door {
    fn from(format: Format) -> Self {
        match format {
            Format::Protobuf | Format::Json => Self::Native,
            Format::SocketProtobuf | Format::SocketJson | Format::SocketText => Self::WebSocket,
            Format::Stream | Format::Call => Self::Http,
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
