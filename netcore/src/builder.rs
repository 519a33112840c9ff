//! Owns the start of a server: options, listening sockets, threads. Must never leave anything behind when a
//! part of it fails.

use crate::config::{Budgets, Limits, Outbound, Settings, Timeouts};
use crate::handler::Handler;
use crate::id::LoopId;
use crate::limits::{LISTEN_BACKLOG, LISTENERS_MAX, LOOPS_MAX};
use crate::mailbox::Mailbox;
use crate::reactor::io::MioIo;
use crate::reactor::{Acceptor, Parts, Reactor, Shared, waker_token};
use crate::remote::Remote;
use crate::server::Server;
use crate::worker::WorkerPool;
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a server did not start. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The handler of a loop could not be made.
    #[error("the handler of loop {} could not be made: {source}", loop_id.index())]
    Handler {
        /// The loop.
        loop_id: LoopId,
        /// What the factory said.
        source: BoxError,
    },
    /// A socket that was given cannot be used.
    #[error("a listening socket cannot be used: {0}")]
    Listener(#[source] io::Error),
    /// The event queue or thread of a loop could not be made.
    #[error("loop {} could not be started: {source}", loop_id.index())]
    Loop {
        /// The loop.
        loop_id: LoopId,
        /// What the operating system said.
        source: io::Error,
    },
    /// More listeners than [`LISTENERS_MAX`].
    #[error("{0} listeners are too many")]
    TooManyListeners(usize),
}

/// Something to listen on.
#[derive(Debug)]
pub struct Listen(Source);

#[derive(Debug)]
enum Source {
    Address(SocketAddr),
    Socket(TcpListener),
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self(Source::Address(address))
    }
}

impl From<TcpListener> for Listen {
    fn from(socket: TcpListener) -> Self {
        Self(Source::Socket(socket))
    }
}

/// Collects the options of a server.
pub struct Builder<H: Handler> {
    loops: usize,
    listen: Vec<Listen>,
    limits: Limits,
    timeouts: Timeouts,
    outbound: Outbound,
    budgets: Budgets,
    posts: usize,
    reservations: usize,
    tick: Option<Duration>,
    workers: Option<WorkerPool<H::Task>>,
}

impl<H: Handler> fmt::Debug for Builder<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("loops", &self.loops)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

impl<H: Handler> Builder<H> {
    pub(crate) fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self {
            loops: processors.min(LOOPS_MAX),
            listen: Vec::new(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            outbound: Outbound::default(),
            budgets: Budgets::default(),
            posts: 64 * 1024,
            reservations: 64 * 1024,
            tick: Some(Duration::from_millis(100)),
            workers: None,
        }
    }

    /// Event loops, each with a thread; at least 1, at most [`LOOPS_MAX`].
    #[must_use]
    pub fn loops(mut self, loops: usize) -> Self {
        self.loops = loops.clamp(1, LOOPS_MAX);
        self
    }

    /// Adds a TCP address, bound when the server starts, or a socket that is listening already. Port 0 lets
    /// the system choose, see [`Server::local_addrs`].
    #[must_use]
    pub fn listen(mut self, on: impl Into<Listen>) -> Self {
        self.listen.push(on.into());
        self
    }

    /// Connections, and what they may hold.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How long things may take.
    #[must_use]
    pub const fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Water marks of the out-queues.
    #[must_use]
    pub const fn outbound(mut self, outbound: Outbound) -> Self {
        self.outbound = outbound;
        self
    }

    /// What one turn of a loop may spend.
    #[must_use]
    pub const fn budgets(mut self, budgets: Budgets) -> Self {
        self.budgets = budgets;
        self
    }

    /// Messages that may wait in the mailbox of one loop: posted ones, and reserved places. 65,536 each by
    /// default.
    #[must_use]
    pub const fn mailbox(mut self, posts: usize, reservations: usize) -> Self {
        self.posts = posts;
        self.reservations = reservations;
        self
    }

    /// How often `on_tick` is called, about; 100 ms by default, `None` is never.
    #[must_use]
    pub const fn tick(mut self, every: Option<Duration>) -> Self {
        self.tick = every;
        self
    }

    /// The pool that [`Flow::Offload`](crate::Flow::Offload) submits to. It is not shut down with the server.
    #[must_use]
    pub fn workers(mut self, pool: WorkerPool<H::Task>) -> Self {
        self.workers = Some(pool);
        self
    }

    /// Binds the addresses and starts the loops. `make_handler` is called once on the thread of each loop.
    ///
    /// # Errors
    /// The first thing that went wrong; see [`StartError`].
    pub fn start<F, E>(self, make_handler: F) -> Result<Server<H::Msg>, StartError>
    where
        F: Fn(LoopId, &Remote<H::Msg>) -> Result<H, E> + Send + Sync + 'static,
        E: Into<BoxError>,
    {
        let make_handler: Arc<MakeHandler<H>> =
            Arc::new(move |loop_id, remote| make_handler(loop_id, remote).map_err(Into::into));
        self.start_boxed(&make_handler)
    }

    fn start_boxed(mut self, make_handler: &Arc<MakeHandler<H>>) -> Result<Server<H::Msg>, StartError> {
        let listeners = bind_all(std::mem::take(&mut self.listen))?;
        let addresses = listeners.iter().map(|(_, address)| *address).collect();
        let shared = Arc::new(Shared::new(self.loops, self.limits.connections));
        let (mut ios, mut mailboxes) = (Vec::new(), Vec::new());
        for loop_id in (0..self.loops).map(|index| LoopId(index as u8)) {
            let (io, waker) =
                MioIo::new(waker_token(loop_id)).map_err(|source| StartError::Loop { loop_id, source })?;
            let wake = move || {
                if let Err(error) = waker.wake() {
                    log::error!("loop {} cannot be woken: {error}", loop_id.index());
                }
            };
            ios.push((loop_id, io));
            mailboxes.push(Arc::new(Mailbox::new(self.posts, self.reservations, wake)));
        }
        let remote = Remote::new(mailboxes);
        let mut acceptor = Some(Acceptor::new(listeners));
        let mut server = Server::new(addresses, remote.clone(), Arc::clone(&shared), Vec::new());
        let (report, reports) = crossbeam_channel::bounded(self.loops);
        for ((loop_id, io), mailbox) in ios.into_iter().zip(remote.mailboxes()) {
            let parts = Parts {
                loop_id,
                io,
                acceptor: acceptor.take(),
                mailbox: Arc::clone(mailbox),
                remote: remote.clone(),
                shared: Arc::clone(&shared),
                pool: self.workers.clone(),
                settings: Settings::new(&self.timeouts, self.outbound),
                limits: self.limits,
                budgets: self.budgets,
                tick: self.tick,
            };
            let (make_handler, report) = (Arc::clone(make_handler), report.clone());
            let thread = thread::Builder::new()
                .name(format!("loop-{}", loop_id.index()))
                .spawn(move || run_loop(parts, &*make_handler, report))
                .map_err(|source| StartError::Loop { loop_id, source })?;
            server.add_thread(thread);
        }
        drop(report);
        // An error drops the server, which stops the loops that did start.
        for outcome in reports {
            outcome?;
        }
        Ok(server)
    }
}

type MakeHandler<H> = dyn Fn(LoopId, &Remote<<H as Handler>::Msg>) -> Result<H, BoxError> + Send + Sync;

/// A loop that cannot go on must not leave a server that looks alive.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            log::error!("an event loop panicked outside of its handler");
            std::process::abort();
        }
    }
}

fn run_loop<H: Handler>(
    parts: Parts<H, MioIo>,
    make_handler: &MakeHandler<H>,
    report: crossbeam_channel::Sender<Result<(), StartError>>,
) {
    let loop_id = parts.loop_id;
    let mailbox = Arc::clone(&parts.mailbox);
    let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        make_handler(loop_id, &parts.remote)
    }))
    .unwrap_or_else(|_| Err("the factory panicked".into()))
    .map_err(|source| StartError::Handler { loop_id, source });
    let reactor = made.and_then(|handler| {
        Reactor::new(parts, handler).map_err(|source| StartError::Loop { loop_id, source })
    });
    let _abort = AbortOnPanic;
    // The receiver waits for all reports, so this fails only when the server is being given up.
    match reactor {
        Ok(mut reactor) => {
            let _ = report.send(Ok(()));
            // The starter waits until nobody can report any more.
            drop(report);
            loop {
                match reactor.turn() {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(error) => {
                        log::error!("loop {} cannot wait for events: {error}", loop_id.index());
                        std::process::abort();
                    }
                }
            }
        }
        Err(error) => {
            mailbox.stop();
            let _ = report.send(Err(error));
        }
    }
}

fn bind_all(listen: Vec<Listen>) -> Result<Vec<(mio::net::TcpListener, SocketAddr)>, StartError> {
    if listen.len() > LISTENERS_MAX {
        return Err(StartError::TooManyListeners(listen.len()));
    }
    let open = |Listen(source)| {
        let socket = match source {
            Source::Address(address) => {
                bind(address).map_err(|source| StartError::Bind { address, source })?
            }
            Source::Socket(socket) => Socket::from(socket),
        };
        prepare(socket).map_err(StartError::Listener)
    };
    listen.into_iter().map(open).collect()
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows the option would allow others to take the port over.
    if cfg!(unix) {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket)
}

fn prepare(socket: Socket) -> io::Result<(mio::net::TcpListener, SocketAddr)> {
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it on Linux.
    socket.set_tcp_nodelay(true)?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?;
    Ok((mio::net::TcpListener::from_std(listener), address))
}
