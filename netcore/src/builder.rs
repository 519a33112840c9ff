//! Owns the start of a server: options, listening sockets, threads. Must never leave anything behind when a part of the
//! start fails.

use crate::address::Origin;
use crate::admission::Admission;
use crate::config::{Accept, Budgets, Limits, Outbound, Pinning, Settings, Timeouts};
use crate::context::Spans;
use crate::factory::{BoxError, FactoryResult};
use crate::handler::Handler;
use crate::id::LoopId;
use crate::limits::LOOPS_MAX;
use crate::listen::{Listen, SocketFile};
use crate::mailbox::Mailbox;
use crate::observer::Observer;
use crate::reactor::io::{Io, Listener, MioIo};
use crate::reactor::{Acceptor, Handover, ListenerInfo, Parts, Reactor, Shared, waker_token};
use crate::remote::{Command, Remote};
use crate::server::Server;
use crate::worker::WorkerPool;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Why a server did not start. No part of it is left running.
///
/// ```
/// use netcore::{Server, StartError};
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
/// let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let started = Server::builder::<Echo>()
///     .loops(1)
///     .listen(taken.local_addr()?)
///     .start(|_loop, _remote| Echo);
/// match started {
///     Err(StartError::Bind { on, .. }) => assert_eq!(on, taken.local_addr()?.to_string()),
///     Err(error) => return Err(error.into()),
///     Ok(_) => panic!("two servers listen on the same port"),
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The server cannot listen on an address or path.
    #[error("cannot listen on {on}: {source}")]
    Bind {
        /// The address or path asked for.
        on: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The factory could not create the handler of a loop.
    #[error("the handler of loop {} could not be made: {source}", loop_id.index())]
    Handler {
        /// The loop.
        loop_id: LoopId,
        /// The error of the factory.
        source: BoxError,
    },
    /// The event queue or the thread of a loop could not be created.
    #[error("loop {} could not be started: {source}", loop_id.index())]
    Loop {
        /// The loop.
        loop_id: LoopId,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A loop could not be bound to its processor, see [`Pinning`].
    #[error("loop {} cannot be put on processor {processor}: {source}", loop_id.index())]
    Pinning {
        /// The loop.
        loop_id: LoopId,
        /// The processor.
        processor: usize,
        /// The error of the operating system.
        source: io::Error,
    },
    /// More listeners than [`LISTENERS_MAX`](crate::limits::LISTENERS_MAX).
    #[error("{0} listeners are too many")]
    TooManyListeners(usize),
}

/// Collects the options of a server.
///
/// ```
/// # use netcore::{Accept, Budgets, Counters, Limits, Outbound, Pinning, Server, Timeouts};
/// # use std::net::SocketAddr;
/// # use std::sync::Arc;
/// # use std::time::Duration;
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
/// let counters = Arc::new(Counters::default());
/// let server = Server::builder::<Echo>()
///     .loops(2)
///     .pinning(Pinning::Free)
///     .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
///     .accept(Accept::Dispatch)
///     .limits(Limits { connections: 10_000, ..Limits::default() })
///     .timeouts(Timeouts { idle: Duration::from_secs(600), ..Timeouts::default() })
///     .outbound(Outbound { limit: 256 * 1024, ..Outbound::default() })
///     .budgets(Budgets { frames: 32, ..Budgets::default() })
///     .mailbox(10_000, 10_000)
///     .tick(Some(Duration::from_secs(1)))
///     .observer(counters.clone())
///     .start(|_loop, _remote| Echo)?;
/// assert_eq!((server.local_addrs().len(), server.remote().loop_count()), (1, 2));
/// # Ok::<_, netcore::StartError>(())
/// ```
pub struct Builder<H: Handler> {
    loops: usize,
    listen: Vec<Listen>,
    accept: Accept,
    pinning: Pinning,
    admission: Admission,
    limits: Limits,
    timeouts: Timeouts,
    outbound: Outbound,
    budgets: Budgets,
    observer: Option<Arc<dyn Observer>>,
    pub(crate) posts: usize,
    pub(crate) reservations: usize,
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
            accept: Accept::default(),
            pinning: Pinning::default(),
            admission: Admission::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            outbound: Outbound::default(),
            budgets: Budgets::default(),
            observer: None,
            posts: 64 * 1024,
            reservations: 64 * 1024,
            tick: Some(Duration::from_millis(100)),
            workers: None,
        }
    }

    /// The number of event loops, each with a thread; at least 1, at most [`LOOPS_MAX`].
    #[must_use]
    pub fn loops(mut self, loops: usize) -> Self {
        self.loops = loops.clamp(1, LOOPS_MAX);
        self
    }

    /// Adds something to listen on: a TCP address, bound when the server starts, a socket that is listening
    /// already, or a [`Listen`] with options. Port 0 lets the system choose, see
    /// [`Server::local_addrs`].
    #[must_use]
    pub fn listen(mut self, on: impl Into<Listen>) -> Self {
        self.listen.push(on.into());
        self
    }

    /// How connections are accepted; [`Accept::Dispatch`] by default.
    #[must_use]
    pub const fn accept(mut self, accept: Accept) -> Self {
        self.accept = accept;
        self
    }

    /// The processors that the loops run on; any by default.
    #[must_use]
    pub fn pinning(mut self, pinning: Pinning) -> Self {
        self.pinning = pinning;
        self
    }

    /// Limits on clients by address and rate; none by default.
    ///
    /// ```
    /// # use netcore::{Admission, Builder, Handler, Network};
    /// /// A public server: a limit for each source, but none for our own machines.
    /// fn public<H: Handler>(builder: Builder<H>, own: Vec<Network>) -> Builder<H> {
    ///     builder.admission(Admission { per_source: Some(100), exempt: own, ..Admission::default() })
    /// }
    /// ```
    #[must_use]
    pub fn admission(mut self, admission: Admission) -> Self {
        self.admission = admission;
        self
    }

    /// The observer of the server's events; none by default.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Limits on the number of connections and on their memory.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Deadlines.
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

    /// The budgets of one turn of a loop.
    #[must_use]
    pub const fn budgets(mut self, budgets: Budgets) -> Self {
        self.budgets = budgets;
        self
    }

    /// Messages that may wait in the mailbox of one loop: posted ones, and reserved places. 65,536 each by default.
    #[must_use]
    pub const fn mailbox(mut self, posts: usize, reservations: usize) -> Self {
        self.posts = posts;
        self.reservations = reservations;
        self
    }

    /// The approximate interval of `on_tick`; 100 ms by default, `None` is never.
    #[must_use]
    pub const fn tick(mut self, every: Option<Duration>) -> Self {
        self.tick = every;
        self
    }

    /// The pool that [`Flow::Offload`](crate::Flow::Offload) submits to. It is not shut down with the server.
    ///
    /// ```
    /// # use netcore::Task;
    /// use netcore::{Server, WorkerPool};
    ///
    /// /// A [`Task`], which the handler `Directory` gives in `Flow::Offload`.
    /// struct Lookup { account: u64 }
    /// # impl Task for Lookup {
    /// #     type Worker = ();
    /// #     fn key(&self) -> u64 {
    /// #         self.account
    /// #     }
    /// #     fn run(self, (): &mut ()) {}
    /// # }
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::{ConnCx, Flow, Handler, Peer, Refusal};
    /// # struct Directory;
    /// # impl Handler for Directory {
    /// #     type Codec = LengthPrefixed;
    /// #     type Conn = ();
    /// #     type Msg = ();
    /// #     type Task = Lookup;
    /// #     fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
    /// #         Ok((LengthPrefixed::new(1024), ()))
    /// #     }
    /// #     fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
    /// #         let _ = (cx, frame);
    /// #         Flow::Offload(Lookup { account: 7 })
    /// #     }
    /// # }
    ///
    /// let pool = WorkerPool::builder().threads(1).start(|_thread| ())?;
    /// let server = Server::builder::<Directory>()
    ///     .workers(pool.clone())
    ///     .start(|_loop, _remote| Directory)?;
    /// // First the submitters, then the pool, so that every accepted task runs.
    /// server.shutdown();
    /// pool.shutdown();
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn workers(mut self, pool: WorkerPool<H::Task>) -> Self {
        self.workers = Some(pool);
        self
    }

    /// Binds the addresses and starts the loops. `make_handler` is called once on the thread of each loop; it returns
    /// the handler, or a [`Result`] with it.
    ///
    /// # Errors
    /// The first failure; see [`StartError`].
    ///
    /// ```
    /// use netcore::{Remote, Server};
    /// use std::{fs::File, io};
    ///
    /// struct Recorder { to: File, others: Remote<()> }
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::{ConnCx, Flow, Handler, NoTask, Peer, Refusal};
    /// # impl Handler for Recorder {
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
    /// let directory = tempfile::tempdir()?;
    /// let path = directory.path().to_owned();
    /// let server = Server::builder::<Recorder>().loops(2).start(move |loop_id, remote| {
    ///     // Each loop has a file of its own. If one cannot be made, the server does not start.
    ///     let to = File::create(path.join(format!("{}.log", loop_id.index())))?;
    ///     Ok::<_, io::Error>(Recorder { to, others: remote.clone() })
    /// })?;
    /// assert!(directory.path().join("1.log").exists());
    /// # drop(server);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn start<F, R>(self, make_handler: F) -> Result<Server<H::Msg>, StartError>
    where
        F: Fn(LoopId, &Remote<H::Msg>) -> R + Send + Sync + 'static,
        R: FactoryResult<H>,
    {
        let make_handler: Arc<MakeHandler<H>> =
            Arc::new(move |loop_id, remote| make_handler(loop_id, remote).into_result());
        self.start_boxed(&make_handler)
    }

    /// The state that the loops share.
    pub(crate) fn shared(&mut self, listeners: Vec<ListenerInfo>) -> Shared {
        Shared::new(
            self.loops,
            self.limits.connections,
            std::mem::take(&mut self.admission),
            listeners,
        )
    }

    /// One loop with these options.
    #[expect(clippy::too_many_arguments, reason = "what a loop is given, each once")]
    pub(crate) fn parts<I: Io>(
        &self,
        loop_id: LoopId,
        io: I,
        acceptor: Option<Acceptor<I>>,
        mailbox: Arc<Mailbox<Command<H::Msg>>>,
        remote: Remote<H::Msg>,
        shared: Arc<Shared>,
        handover: Arc<Handover<I::Stream>>,
    ) -> Parts<H, I> {
        Parts {
            loop_id,
            io,
            acceptor,
            mailbox,
            remote,
            shared,
            handover,
            observer: self.observer.clone(),
            pool: self.workers.clone(),
            settings: Settings::new(&self.timeouts, self.outbound),
            spans: Spans::new(&self.timeouts),
            limits: self.limits,
            budgets: self.budgets,
            tick: self.tick,
        }
    }

    fn start_boxed(mut self, make_handler: &Arc<MakeHandler<H>>) -> Result<Server<H::Msg>, StartError> {
        let opened = Sockets::open(std::mem::take(&mut self.listen), self.accept, self.loops)?;
        let addresses = opened.infos.iter().map(|info| info.local.clone()).collect();
        let shared = Arc::new(self.shared(opened.infos));
        let handover = Arc::new(Handover::new(self.loops));
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
        let mut server = Server::new(addresses, remote.clone(), Arc::clone(&shared), opened.files);
        let (report, reports) = crossbeam_channel::bounded(self.loops);
        for (((loop_id, io), mailbox), sockets) in
            ios.into_iter().zip(remote.mailboxes()).zip(opened.per_loop)
        {
            let acceptor =
                (!sockets.is_empty()).then(|| Acceptor::new(sockets, self.accept == Accept::ReusePort));
            let parts = self.parts(
                loop_id,
                io,
                acceptor,
                Arc::clone(mailbox),
                remote.clone(),
                Arc::clone(&shared),
                Arc::clone(&handover),
            );
            let (make_handler, report) = (Arc::clone(make_handler), report.clone());
            let pinning = self.pinning.clone();
            let thread = thread::Builder::new()
                .name(format!("loop-{}", loop_id.index()))
                .spawn(move || run_loop(parts, &pinning, &*make_handler, report))
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

/// All listeners, and the loops that accept from them.
struct Sockets {
    infos: Vec<ListenerInfo>,
    files: Vec<SocketFile>,
    /// For every loop.
    per_loop: Vec<Vec<(Listener, Origin)>>,
}

impl Sockets {
    fn open(listen: Vec<Listen>, accept: Accept, loops: usize) -> Result<Self, StartError> {
        if Listen::is_too_many(listen.len()) {
            return Err(StartError::TooManyListeners(listen.len()));
        }
        let copies = match accept {
            Accept::Dispatch => 1,
            Accept::ReusePort => loops,
        };
        let mut all = Self {
            infos: Vec::new(),
            files: Vec::new(),
            per_loop: std::iter::repeat_with(Vec::new).take(loops).collect(),
        };
        for (index, listen) in listen.into_iter().enumerate() {
            let on = listen.name();
            let opened = listen
                .open(copies)
                .map_err(|source| StartError::Bind { on, source })?;
            all.infos.push(opened.info);
            all.files.extend(opened.file);
            for (of_loop, socket) in all.per_loop.iter_mut().zip(opened.sockets) {
                of_loop.push((socket, Origin::listener(index)));
            }
        }
        Ok(all)
    }
}

type MakeHandler<H> = dyn Fn(LoopId, &Remote<<H as Handler>::Msg>) -> Result<H, BoxError> + Send + Sync;

/// A loop that fails must not leave a server that looks alive.
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
    pinning: &Pinning,
    make_handler: &MakeHandler<H>,
    report: crossbeam_channel::Sender<Result<(), StartError>>,
) {
    let loop_id = parts.loop_id;
    let mailbox = Arc::clone(&parts.mailbox);
    let make = || {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            make_handler(loop_id, &parts.remote)
        }))
        .unwrap_or_else(|_| Err("the factory panicked".into()))
        .map_err(|source| StartError::Handler { loop_id, source })
    };
    // First, so that the memory of the loop is near its processor.
    let made = pin(loop_id, pinning).and_then(|()| make());
    let reactor = made.and_then(|handler| {
        Reactor::new(parts, handler).map_err(|source| StartError::Loop { loop_id, source })
    });
    let _abort = AbortOnPanic;
    // The receiver waits for all reports, so this fails only after the start was given up.
    match reactor {
        Ok(mut reactor) => {
            let _ = report.send(Ok(()));
            // The starter waits until no loop can report any more.
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

/// Binds the calling thread to the processor of its loop.
fn pin(loop_id: LoopId, pinning: &Pinning) -> Result<(), StartError> {
    let Pinning::Processors(processors) = pinning else {
        return Ok(());
    };
    let Some(processor) = processors.iter().copied().cycle().nth(loop_id.index()) else {
        return Ok(());
    };
    pin_to(processor).map_err(|source| StartError::Pinning {
        loop_id,
        processor,
        source,
    })
}

#[cfg(target_os = "linux")]
fn pin_to(processor: usize) -> io::Result<()> {
    use rustix::thread::{CpuSet, sched_setaffinity};
    if processor >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set).map_err(Into::into)
}

#[cfg(not(target_os = "linux"))]
fn pin_to(_: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
