//! Owns a running server: its loops' threads, its addresses, and the ways to end it. Must never leave a thread behind.

use crate::address::Address;
use crate::admission::Admission;
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
/// /// The answer to a health check.
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

/// The course of a drain, see [`Server::drain_with`].
///
/// ```
/// # use netcore::Drain;
/// use std::time::Duration;
///
/// /// Thousands of clients should not connect elsewhere in the same second; a hundred in a second may.
/// fn plan(connections: usize) -> Drain {
///     let spread = Duration::from_millis(10) * u32::try_from(connections).unwrap_or(u32::MAX);
///     Drain { within: spread + Duration::from_secs(30), spread }
/// }
/// assert_eq!(plan(6_000).spread, Duration::from_secs(60));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Drain {
    /// Connections that are left after this time are aborted.
    pub within: Duration,
    /// The time over which the connections are told of the drain, evenly, so that their clients do not all connect
    /// elsewhere at the same moment. Zero tells them as fast as possible. Connections that were not told within
    /// `within` are aborted.
    pub spread: Duration,
}

/// The result of a drain.
///
/// ```
/// # use netcore::DrainReport;
/// /// The exit code of the process: an operator wants to know whether connections were cut off.
/// fn exit_code(report: &DrainReport) -> u8 {
///     log::info!("{} ended, {} aborted, in {:?}", report.drained, report.aborted, report.took);
///     u8::from(report.aborted > 0)
/// }
/// assert_eq!(exit_code(&DrainReport::default()), 0);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DrainReport {
    /// Connections that ended before the deadline, for any reason.
    pub drained: usize,
    /// Connections that were aborted at the deadline, or were still not over then.
    pub aborted: usize,
    /// The duration of the drain.
    pub took: Duration,
}

impl Server<()> {
    /// Starts from the defaults: one loop per processor, no listener.
    ///
    /// ```
    /// use netcore::Server;
    /// # use std::net::SocketAddr;
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::{ConnCx, Flow, Handler, NoTask, Peer, Refusal};
    /// # struct Echo;
    /// # impl Handler for Echo {
    /// #     type Codec = LengthPrefixed;
    /// #     type Conn = ();
    /// #     type Msg = ();
    /// #     type Task = NoTask;
    /// #     fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
    /// #         Ok((LengthPrefixed::new(1024), ()))
    /// #     }
    /// #     fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
    /// #         cx.send(frame).map_or(Flow::Close(1), |_| Flow::Continue)
    /// #     }
    /// # }
    ///
    /// let server = Server::builder::<Echo>()
    ///     .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
    ///     .start(|_loop, _remote| Echo)?;
    /// assert_ne!(server.local_addrs()[0].port(), 0);
    /// server.shutdown();
    /// # Ok::<_, netcore::StartError>(())
    /// ```
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

    /// Everything that the server listens on, Unix sockets included, in the order of the builder's `listen` calls.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The phase that the server is in.
    #[must_use]
    pub fn phase(&self) -> ServerPhase {
        self.shared.drain().phase
    }

    /// Waits until the server has reached `phase` or a later one, but not longer than `within`; returns the phase it is
    /// in.
    pub fn wait_for_phase(&self, phase: ServerPhase, within: Duration) -> ServerPhase {
        self.shared.wait_for_phase(phase, later(Instant::now(), within))
    }

    /// Posts to the loops.
    #[must_use]
    pub const fn remote(&self) -> &Remote<M> {
        &self.remote
    }

    /// The number of connections of all loops, including those that are closing.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections()
    }

    /// Other limits on clients by address and rate, for connections that come from now on; without effect on a server that
    /// was started without any, see [`Builder::admission`](crate::Builder::admission).
    ///
    /// ```
    /// use netcore::{Admission, Server};
    ///
    /// /// While one customer is being attacked from everywhere.
    /// fn tighten<M>(server: &Server<M>) {
    ///     server.set_admission(Admission { per_source: Some(4), ..Admission::default() });
    /// }
    /// ```
    pub fn set_admission(&self, admission: Admission) {
        self.shared.set_admission(admission);
    }

    /// Closes the listeners; connections go on. Returns before they are closed.
    ///
    /// ```
    /// # use netcore::Server;
    /// /// Another process has taken over the socket. Returns how many connections this one must go on with.
    /// fn hand_over<M>(server: &Server<M>) -> usize {
    ///     server.stop_accepting();
    ///     server.connections()
    /// }
    /// ```
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

    /// Closes the listeners, calls `on_drain` for every connection, and waits until all are gone; connections that are
    /// left after `within` are aborted. The loops go on and take messages until [`shutdown`](Self::shutdown). Returns
    /// at once if there are no connections. Must not be called on a loop.
    ///
    /// ```
    /// use netcore::Drain;
    /// use std::io::Read;
    /// use std::time::Duration;
    /// # use netcore::Server;
    /// # use std::net::{SocketAddr, TcpStream};
    /// # use std::io::Write;
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::{ConnCx, Flow, Handler, NoTask, Peer, Refusal};
    /// # struct Echo;
    /// # impl Handler for Echo {
    /// #     type Codec = LengthPrefixed;
    /// #     type Conn = ();
    /// #     type Msg = ();
    /// #     type Task = NoTask;
    /// #     fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
    /// #         Ok((LengthPrefixed::new(1024), ()))
    /// #     }
    /// #     fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
    /// #         cx.send(frame).map_or(Flow::Close(1), |_| Flow::Continue)
    /// #     }
    /// #     fn on_drain(&mut self, cx: &mut ConnCx<'_, Self>) {
    /// #         cx.close(0, netcore::CloseHow::Flush);
    /// #     }
    /// # }
    /// # let server = Server::builder::<Echo>()
    /// #     .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
    /// #     .start(|_loop, _remote| Echo)?;
    /// # let mut client = TcpStream::connect(server.local_addrs()[0])?;
    /// # client.write_all(b"\0\0\0\x02hi")?;
    /// # client.read_exact(&mut [0; 6])?;
    ///
    /// // The handler's `on_drain` closes the connection; the client reads to the end and closes its side.
    /// std::thread::spawn(move || client.read_to_end(&mut Vec::new()));
    /// let report = server.drain_with(Drain { within: Duration::from_secs(60), spread: Duration::ZERO });
    /// assert_eq!((report.drained, report.aborted), (1, 0));
    /// server.shutdown();
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
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

    /// Stops the loops: queued bytes are written as far as sockets take them at once, connections are aborted, and
    /// their handlers get `on_close`. Waits for the threads, unless it is called on one of them.
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

/// A deadline that the clock cannot express becomes one that is far away.
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
