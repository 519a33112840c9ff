//! Owns a running server: its loops' threads, its addresses, and the ways to end it. Must never leave a thread
//! behind.

use crate::address::Address;
use crate::builder::Builder;
use crate::handler::Handler;
use crate::limits::DRAIN_GRACE;
use crate::listen::SocketFile;
use crate::mailbox::Signals;
use crate::reactor::{ServerPhase, Shared};
use crate::remote::Remote;
use std::fmt;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A running server, whose handlers take messages of type `M`. Can be used from any thread; dropping it is
/// [`shutdown`](Self::shutdown).
///
/// ```
/// use netcore::{Server, ServerPhase};
/// use std::time::Duration;
///
/// /// What to do on SIGTERM.
/// fn end<M>(server: Server<M>) {
///     let report = server.drain(Duration::from_secs(20));
///     println!("{} ended by themselves, {} were cut off", report.drained, report.aborted);
///     server.shutdown();
/// }
///
/// /// What a health check asks.
/// fn ready<M>(server: &Server<M>) -> bool {
///     server.phase() == ServerPhase::Running
/// }
/// ```
pub struct Server<M> {
    addresses: Vec<Address>,
    tcp_addresses: Vec<SocketAddr>,
    remote: Remote<M>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Removed when the server ends.
    _files: Vec<SocketFile>,
}

/// How a drain goes, see [`Server::drain_with`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Drain {
    /// Connections that are left then are aborted.
    pub within: Duration,
    /// Over how long the connections are told, evenly: so that their clients do not all connect elsewhere at the
    /// same moment. Zero tells them as fast as possible. What is not told when `within` has passed is aborted.
    pub spread: Duration,
}

/// How a drain went.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DrainReport {
    /// Connections that ended before the deadline, for whatever reason.
    pub drained: usize,
    /// Connections that were aborted at the deadline, or did not even end then.
    pub aborted: usize,
    /// How long it took.
    pub took: Duration,
}

impl Server<()> {
    /// Starts from the defaults: one loop per processor, no listener.
    #[must_use]
    pub fn builder<H: Handler>() -> Builder<H> {
        Builder::new()
    }
}

impl<M> Server<M> {
    pub(crate) fn new(
        addresses: Vec<Address>,
        remote: Remote<M>,
        shared: Arc<Shared>,
        files: Vec<SocketFile>,
    ) -> Self {
        Self {
            tcp_addresses: addresses.iter().filter_map(Address::socket_addr).collect(),
            addresses,
            remote,
            shared,
            threads: Vec::new(),
            _files: files,
        }
    }

    pub(crate) fn add_thread(&mut self, thread: JoinHandle<()>) {
        self.threads.push(thread);
    }

    /// The TCP addresses that the server listens on, in the order of the builder's `listen` calls, with the ports
    /// that the system chose.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.tcp_addresses
    }

    /// Everything the server listens on, Unix sockets included, in the order of the builder's `listen` calls.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// How far the server is on its way to its end.
    #[must_use]
    pub fn phase(&self) -> ServerPhase {
        self.shared.drain().phase
    }

    /// Waits until the server is as far as `phase`, or further, but not longer than `within`; how far it is then.
    pub fn wait_for_phase(&self, phase: ServerPhase, within: Duration) -> ServerPhase {
        self.shared.wait_for_phase(phase, later(Instant::now(), within))
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

    /// [`drain_with`](Self::drain_with) without a spread.
    pub fn drain(&self, within: Duration) -> DrainReport {
        self.drain_with(Drain {
            within,
            spread: Duration::ZERO,
        })
    }

    /// Closes the listeners, calls `on_drain` for every connection, and waits until all are gone; those that
    /// are left after `within` are aborted. The loops go on and take messages until
    /// [`shutdown`](Self::shutdown). Returns at once if there are no connections. Must not be called on a
    /// loop.
    pub fn drain_with(&self, drain: Drain) -> DrainReport {
        let began = Instant::now();
        let deadline = later(began, drain.within);
        self.shared.begin_drain(deadline, drain.spread);
        self.signal(Signals::DRAIN);
        let drain = self.shared.wait_for_none(later(deadline, DRAIN_GRACE));
        DrainReport {
            drained: drain.drained,
            aborted: drain.aborted + self.shared.connections(),
            took: began.elapsed(),
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
        self.shared.advance(ServerPhase::Stopped);
    }
}

/// A deadline beyond what the clock can express is far away.
fn later(from: Instant, span: Duration) -> Instant {
    let day = Duration::from_secs(24 * 60 * 60);
    from.checked_add(span).unwrap_or(from + 365 * day)
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
