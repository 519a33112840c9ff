//! Owns the loan of one connection. Must never outlive its connection's place in the pool: every end of a loan is
//! reported to the pool.

use super::shared::Shared;
use super::state::Conn;
use r2d2::ManageConnection;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

/// A connection on loan; dropping it gives it back, or closes it if the thread is panicking, it is broken or
/// [tainted](Self::taint). It can be sent to another thread and outlive the [`Pool`](super::Pool).
pub struct Lease<M: ManageConnection> {
    /// Empty only while it is being dropped.
    conn: Option<Conn<M::Connection>>,
    shared: Arc<Shared<M>>,
    tainted: bool,
}

impl<M: ManageConnection> Lease<M> {
    pub(super) const fn new(conn: Conn<M::Connection>, shared: Arc<Shared<M>>) -> Self {
        Self {
            conn: Some(conn),
            shared,
            tainted: false,
        }
    }

    /// Marks the connection as unusable: it is closed when the lease ends. For a protocol error, a transaction of
    /// unknown state, or a session setting that cannot be undone.
    pub const fn taint(&mut self) {
        self.tainted = true;
    }

    /// Takes the connection out of the pool, which may open another in its place.
    #[must_use]
    pub fn detach(mut self) -> M::Connection {
        match self.conn.take() {
            Some(conn) => self.shared.detach(conn),
            None => unreachable!("{NEVER_EMPTY}"),
        }
    }

    /// How long the connection has been open.
    #[must_use]
    pub fn age(&self) -> Duration {
        let born = self.conn().meta.born;
        self.shared.time.now().saturating_duration_since(born)
    }

    const fn conn(&self) -> &Conn<M::Connection> {
        match &self.conn {
            Some(conn) => conn,
            None => unreachable!(),
        }
    }
}

/// Only `detach` and `drop` empty a lease, and both end it.
const NEVER_EMPTY: &str = "a lease has its connection until it ends";

impl<M: ManageConnection> Deref for Lease<M> {
    type Target = M::Connection;

    fn deref(&self) -> &M::Connection {
        &self.conn().inner
    }
}

impl<M: ManageConnection> DerefMut for Lease<M> {
    fn deref_mut(&mut self) -> &mut M::Connection {
        match &mut self.conn {
            Some(conn) => &mut conn.inner,
            None => unreachable!("{NEVER_EMPTY}"),
        }
    }
}

impl<M: ManageConnection> Drop for Lease<M> {
    #[inline]
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.shared.give_back(conn, self.tainted);
        }
    }
}

impl<M: ManageConnection<Connection: fmt::Debug>> fmt::Debug for Lease<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
