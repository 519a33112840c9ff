//! Owns a running server: its loops' threads, its addresses, and the ways to end it. Must never leave a thread
//! behind.

use crate::builder::Builder;
use crate::handler::Handler;
use crate::limits::DRAIN_GRACE;
use crate::mailbox::Signals;
use crate::reactor::Shared;
use crate::remote::Remote;
use std::fmt;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A running server, whose handlers take messages of type `M`. Can be used from any thread; dropping it is
/// [`shutdown`](Self::shutdown).
pub struct Server<M> {
    addresses: Vec<SocketAddr>,
    remote: Remote<M>,
    shared: Arc<Shared<mio::net::TcpStream>>,
    threads: Vec<JoinHandle<()>>,
}

/// How a drain went.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DrainReport {
    /// Connections that ended before the deadline, for whatever reason.
    pub drained: usize,
    /// Connections that were aborted at the deadline, or did not even end then.
    pub aborted: usize,
}

impl Server<()> {
    /// Starts from the defaults: one loop per processor, no listener.
    #[must_use]
    pub fn builder<H: Handler>() -> Builder<H> {
        Builder::new()
    }
}

impl<M> Server<M> {
    pub(crate) const fn new(
        addresses: Vec<SocketAddr>,
        remote: Remote<M>,
        shared: Arc<Shared<mio::net::TcpStream>>,
        threads: Vec<JoinHandle<()>>,
    ) -> Self {
        Self {
            addresses,
            remote,
            shared,
            threads,
        }
    }

    pub(crate) fn add_thread(&mut self, thread: JoinHandle<()>) {
        self.threads.push(thread);
    }

    /// Where the server listens, in the order of the builder's `listen` calls, with the ports that the system
    /// chose.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Posts to the loops.
    #[must_use]
    pub const fn remote(&self) -> &Remote<M> {
        &self.remote
    }

    /// Connections of all loops, those that are closing included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections()
    }

    /// Closes the listeners; connections go on. Returns before it has happened.
    pub fn stop_accepting(&self) {
        self.signal(Signals::STOP_ACCEPTING);
    }

    /// Closes the listeners, calls `on_drain` for every connection, and waits until all are gone; those that
    /// are left after `within` are aborted. The loops go on and take messages until
    /// [`shutdown`](Self::shutdown). Returns at once if there are no connections. Must not be called on a
    /// loop.
    pub fn drain(&self, within: Duration) -> DrainReport {
        // A deadline beyond what the clock can express is none.
        let now = Instant::now();
        let day = Duration::from_secs(24 * 60 * 60);
        let deadline = now.checked_add(within).unwrap_or(now + 365 * day);
        self.shared.begin_drain(deadline);
        self.signal(Signals::DRAIN);
        let drain = self.shared.wait_for_none(deadline + DRAIN_GRACE);
        DrainReport {
            drained: drain.drained,
            aborted: drain.aborted + self.shared.connections(),
        }
    }

    /// Stops the loops: what is queued is written as far as sockets take it at once, connections are aborted,
    /// and their handlers get `on_close`. Waits for the threads, unless it is called on one of them.
    pub fn shutdown(mut self) {
        self.stop_and_join();
    }

    fn signal(&self, signals: Signals) {
        for mailbox in self.remote.mailboxes() {
            mailbox.signal(signals);
        }
    }

    fn stop_and_join(&mut self) {
        self.signal(Signals::STOP);
        for handle in mem::take(&mut self.threads) {
            if handle.thread().id() != thread::current().id() && handle.join().is_err() {
                log::error!("an event loop panicked");
            }
        }
    }
}

impl<M> Drop for Server<M> {
    fn drop(&mut self) {
        self.stop_and_join();
    }
}

impl<M> fmt::Debug for Server<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.addresses)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}
