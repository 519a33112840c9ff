//! Starting everything in order, and ending it in the opposite one.

use std::{
    hash::RandomState,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, bounded};
use netcore::{
    Address, Builder, DrainReport, Limits as ConnectionLimits, Listen, Observer, Outbound, Server, Timeouts,
    WorkerPool,
};
use parking_lot::Mutex;
use protocol::CAPABILITY_ANSWER_IS_EVENT;
use storage::{
    Snapshot, Store,
    cached::{CachedReader, ReadCache},
    ephemeral::{self, Memory, RateLimits},
};

use crate::{
    admin::Admin,
    certificates::Certificates,
    clock,
    cluster::{Cluster, ClusterHandle, Hearing},
    config::{Config, Encryption, Limits, ListenAddress},
    control::Control,
    delivery::{Outboxes, Planner, Routes},
    ending::{Ending, Interrupters},
    error::{DaemonError, Fatal},
    gateway::{Gateway, LOW_WATER, Shared, Terms, Tickets},
    lane::{LaneParts, Lanes, LazyWrites},
    message::ToLoop,
    metrics::Metrics,
    observed::Observed,
    presence::{Friends, Presence, PresenceHandle, PresenceParts},
    publish::{ChangeFeed, ChangeFeedParts, Consumer, Publisher, Publishing},
    service::{Attempts, Context, Hasher, SharedStore, Worker, WorkerContext, WorkerTask},
    session::{Allowances, Rules},
    status::Status,
    stores,
    token::Tokens,
};

/// Descriptors that are not connections: files of the store, listeners, event queues.
const DESCRIPTORS_RESERVED: u64 = 256;
/// Connections where the system's limit cannot be read.
const CONNECTIONS_DEFAULT: usize = 10_000;
/// Connections beyond those that are served, so that they can be told that there is no room. Beyond these nothing is said.
const CONNECTIONS_TURNED_AWAY: usize = 64;
/// Connections that one address may have if nothing is configured, at least.
const CONNECTIONS_PER_ADDRESS_LEAST: usize = 32;
/// Users and addresses each whose use of their rates is remembered, at least.
const ALLOWANCES_LEAST: usize = 65_536;
/// How often a loop looks after what it missed.
const TICK: Duration = Duration::from_millis(100);
/// How long connections get to hear why the process ends when its store cannot be relied upon any more.
const FAREWELL: Duration = Duration::from_secs(1);
/// Questions of one session that wait, at most; a session has no more in flight.
const QUESTIONS_PER_SESSION: usize = 1_024;

/// A running daemon.
pub struct Daemon {
    server: Server<ToLoop>,
    admin: Option<Admin>,
    control: Option<Control>,
    observed: Arc<Observed>,
    shared: Arc<Shared>,
    workers: WorkerPool<WorkerTask>,
    context: Arc<WorkerContext>,
    interrupters: Arc<Interrupters>,
    hasher: Hasher,
    lanes: Lanes,
    feed: Option<ChangeFeed>,
    cluster: Option<Cluster>,
    presence: Presence,
    store: Arc<dyn Store>,
    certificates: Option<Certificates>,
    fatal: Receiver<Fatal>,
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Daemon")
            .field("addresses", &self.server.addresses())
            .finish_non_exhaustive()
    }
}

impl Daemon {
    /// Takes the addresses, opens the store and starts serving.
    ///
    /// # Errors
    /// An address is taken, a certificate or the store is unusable, or the system gives no threads.
    pub fn start(mut config: Config) -> Result<Self, DaemonError> {
        // First: a start that is refused for its addresses makes no store.
        let (listeners, listening, certificates) = reserve(&config)?;
        let admin = reserve_admin(&config)?;
        config.name_node(
            rustix::system::uname().nodename().to_str().unwrap_or_default(),
            listening,
        );
        let config = Arc::new(config);
        let (store, medium) = stores::open_all(&config)?;
        let mut reader = store.reader()?;
        let snapshot = reader.snapshot()?;
        let loops = config.loops();
        let routes = Arc::new(Routes::new(loops));
        let outboxes = Arc::new(Outboxes::new(loops));
        let tokens = Tokens::of(Arc::clone(&store));
        let (fatal_sender, fatal) = bounded(1);
        let doomed = fatal_sender.clone();
        store.fate().on_doom(move |doom| {
            let _ = doomed.try_send(doom.clone().into());
        });

        let receipts_up_to = config.groups.receipts_up_to as usize;
        let planner = Planner::new(store.epoch(), Arc::clone(&routes), reader, loops, receipts_up_to);
        let cache = Arc::new(ReadCache::default());
        let several_writers = store.writers_max() > 1;
        let rates = medium.as_ref().map_or_else(
            || Arc::new(Memory::new(ephemeral::Limits::default(), Instant::now())) as Arc<dyn RateLimits>,
            |medium| Arc::clone(&medium.rates),
        );
        let cluster_handle = ClusterHandle::default();
        let presence = PresenceHandle::new(
            &config.server.node,
            Box::new(Friends),
            Box::new(cluster_handle.clone()),
        );
        let metrics = Arc::new(Metrics::new(loops, config.lanes().clamp(1, store.writers_max())));
        let parts = LaneParts {
            routes: Arc::clone(&routes),
            cache: Arc::clone(&cache),
            lazy: Arc::new(LazyWrites::default()),
            cluster: cluster_handle.clone(),
            outboxes: Arc::clone(&outboxes),
            policy: config.device_policy(),
            epoch: store.epoch(),
            metrics: Arc::clone(&metrics),
            batch_max: config.limits.lane_batch,
            fatal: fatal_sender,
        };
        let mut hearing = None;
        let (feed, lanes) = if several_writers {
            let announcer: Box<dyn Consumer> = Box::new(cluster_handle.clone());
            let (feed, handle) = ChangeFeed::start(ChangeFeedParts {
                publisher: Publisher::new(
                    planner,
                    Arc::clone(&outboxes),
                    vec![announcer, Box::new(presence.clone())],
                ),
                routes: Arc::clone(&routes),
                cache: Arc::clone(&cache),
                reader: store.reader()?,
                from: snapshot.clone(),
                interval: Duration::from_millis(config.cluster.follow_ms),
                fatal: parts.fatal.clone(),
            })
            .map_err(DaemonError::because("the change feed could not be started"))?;
            hearing = Some(Hearing {
                feed: handle.clone(),
                routes: Arc::clone(&routes),
                outboxes: Arc::clone(&outboxes),
                presence: presence.clone(),
            });
            let lanes = (0..config.lanes().clamp(1, store.writers_max()))
                .map(|_| {
                    let writer = store.writer()?;
                    Ok((writer, Publishing::Feed(handle.clone())))
                })
                .collect::<Result<Vec<_>, DaemonError>>()?;
            (Some(feed), lanes)
        } else {
            let writer = store.writer()?;
            let publisher = Publisher::new(planner, Arc::clone(&outboxes), vec![Box::new(presence.clone())]);
            (None, vec![(writer, Publishing::Here(Box::new(publisher)))])
        };
        let (lanes, lane_handle) = Lanes::start(lanes, &parts, config.limits.lane_queue)
            .map_err(DaemonError::because("the lanes could not be started"))?;
        let (hasher, hasher_handle) =
            Hasher::start(config.hashers(), config.limits.hash_queue, Arc::clone(&metrics))
                .map_err(DaemonError::because("the password hashers could not be started"))?;
        let context = Arc::new(WorkerContext {
            service: Context {
                config: Arc::clone(&config),
                epoch: store.epoch(),
                tokens: tokens.clone(),
                routes: Arc::clone(&routes),
                cluster: cluster_handle.clone(),
                presence: presence.clone(),
                lazy: Arc::clone(&parts.lazy),
                attempts: Attempts::new(rates, &config.limits),
            },
            store: SharedStore(Arc::clone(&store)),
            metrics: Arc::clone(&metrics),
            outboxes: Arc::clone(&outboxes),
            lane: lane_handle.clone(),
            hasher: hasher_handle,
        });
        let interrupters = Arc::new(Interrupters::default());
        let workers = start_workers(
            &config,
            &context,
            &store,
            several_writers.then_some(&cache),
            &interrupters,
        )?;
        let connections_max = connections(config.limits.connections);
        // Where several write, an answer is given before it is known what was committed before it.
        let capabilities = if several_writers {
            0
        } else {
            CAPABILITY_ANSWER_IS_EVENT
        };
        let terms = terms(&config, capabilities, connections_max);
        let shared = Arc::new(Shared {
            terms: Mutex::new(Arc::new(terms)),
            epoch: store.epoch(),
            tokens,
            routes,
            outboxes: Arc::clone(&outboxes),
            lane: lane_handle,
            cluster: cluster_handle.clone(),
            presence: presence.clone(),
            // The other half is for frugal answers.
            answers_bytes: config.limits.queued_bytes / (2 * loops),
            groups: RandomState::new(),
            allowances: Allowances::new(connections_max.max(ALLOWANCES_LEAST)),
            connections_max,
            connections_present: Arc::default(),
            tickets: Tickets::default(),
            metrics,
            workers: workers.clone(),
            draining: AtomicBool::new(false),
            started: Instant::now(),
            config,
        });
        let server = start_server(&shared, &workers, connections_max, snapshot, listeners)?;
        let cluster = match (medium, hearing) {
            (Some(medium), Some(hearing)) => {
                let config = &shared.config;
                let address = advertised(config, server.local_addrs().first().copied());
                let cluster = Cluster::start(&cluster_handle, medium, &config.server.node, address, hearing)
                    .map_err(DaemonError::because("the cluster's threads could not be started"))?;
                Some(cluster)
            }
            _ => None,
        };
        let presence = Presence::start(
            &presence,
            PresenceParts {
                routes: Arc::clone(&shared.routes),
                outboxes,
                reader: store.reader()?,
                metrics: Arc::clone(&shared.metrics),
                grace_ms: shared.config.timeouts.presence_grace_ms,
                node_ttl_ms: u64::try_from(ephemeral::Limits::default().node_ttl.as_millis())
                    .unwrap_or(u64::MAX),
                watches_max: shared.config.limits.presence_watches,
            },
        )
        .map_err(DaemonError::because(
            "the thread of presence could not be started",
        ))?;
        let admin_address = admin.as_ref().map(|(_, address, _)| address.to_string());
        let observed = Arc::new(Observed {
            admin_address,
            shared: Arc::clone(&shared),
            workers: workers.clone(),
            hasher: context.hasher.clone(),
            store: SharedStore(Arc::clone(&store)),
            caches: several_writers.then(|| Arc::clone(&cache)),
            addresses: server.addresses().iter().map(ToString::to_string).collect(),
            started_at_ms: clock::wall().0,
            started: Instant::now(),
        });
        let control = start_control(&shared.config, &observed)?;
        let admin = admin.map(|(listener, _, token)| Admin::start(listener, token, &observed));
        let admin = admin.transpose()?;
        if let Some(address) = admin.as_ref().and_then(Admin::address) {
            log::info!("metrics, status and health are at http://{address}");
        }
        Ok(Self {
            server,
            admin,
            control,
            observed,
            shared,
            workers,
            context,
            interrupters,
            hasher,
            lanes,
            feed,
            cluster,
            presence,
            store,
            certificates,
            fatal,
        })
    }

    /// Where it listens, with how connections begin there; a line for each address.
    pub fn listening(&self) -> Vec<String> {
        let listeners = self.shared.config.listeners();
        let named = self.server.addresses().iter().zip(listeners);
        named
            .map(|(address, (_, encryption))| match encryption {
                Encryption::Off => address.to_string(),
                Encryption::On => format!("{address} with TLS"),
                Encryption::Auto => format!("{address} with or without TLS"),
            })
            .collect()
    }

    /// Where a client on this machine can connect to it, as `im --server` takes it; `None` if there are Unix sockets
    /// alone.
    pub fn reachable(&self) -> Option<String> {
        let config = &self.shared.config;
        let listeners = config.listeners();
        let mut named = self.server.addresses().iter().zip(listeners);
        let (address, encryption) = named.find_map(|(address, (_, encryption))| match address {
            Address::Ip(address) => Some((*address, encryption)),
            Address::Unix(_) => None,
        })?;
        let reachable = config.reachable(address);
        Some(match encryption {
            Encryption::Off => reachable,
            Encryption::On | Encryption::Auto => format!("tls://{reachable}"),
        })
    }

    /// Puts a configuration in force that differs from the present one in keys alone that a reload takes, see
    /// [`Config::reload`]. Loops take it over within a tenth of a second; connections keep the addresses' limits and the
    /// certificate that they began with.
    ///
    /// # Errors
    /// The certificate cannot be used; then nothing has changed.
    pub fn reload(&mut self, config: &Config) -> Result<(), DaemonError> {
        if let Some(certificates) = &mut self.certificates {
            certificates.reload(&config.tls)?;
        }
        let capabilities = self.shared.terms.lock().rules.capabilities;
        let terms = terms(config, capabilities, self.shared.connections_max);
        self.server.set_admission(terms.admission());
        *self.shared.terms.lock() = Arc::new(terms);
        self.context.service.attempts.reload(&config.limits);
        Ok(())
    }

    /// Whether it serves with a certificate, which a reload can replace.
    pub const fn has_certificate(&self) -> bool {
        self.certificates.is_some()
    }

    /// Takes over a certificate whose files have changed, and says so in the log.
    pub fn look_at_certificate(&mut self, config: &Config) {
        let Some(certificates) = &mut self.certificates else {
            return;
        };
        match certificates.look(&config.tls) {
            None => {}
            Some(Ok(())) => log::info!("the certificate was read again: its files have changed"),
            // Both files are written one after the other, and the second one's change is seen as well.
            Some(Err(error)) => log::warn!("the certificate stays as it was: {error}"),
        }
    }

    /// How it serves, and the state of what it depends on.
    pub fn status(&self) -> Status {
        self.observed.status()
    }

    /// Hears why the process must end, if it must.
    pub const fn fatal(&self) -> &Receiver<Fatal> {
        &self.fatal
    }

    /// Tells everybody that the server goes, after the store failed or its past was found to be over. Nothing is
    /// committed or acknowledged any more. The process must end after it without closing the store, so that nothing
    /// is written that could take the place of what a restart recovers.
    pub fn farewell(&self) -> DrainReport {
        self.shared.draining.store(true, Ordering::Relaxed);
        self.shared.presence.leave();
        self.shared.cluster.leave();
        self.server.stop_accepting();
        self.server.drain(FAREWELL)
    }

    /// Ends in order: no new connections, goodbye to those there are, what was asked is answered, what was
    /// queued is committed, what is lazy is written, the store is closed.
    ///
    /// # Errors
    /// The store could not be closed cleanly; nothing acknowledged is lost by that.
    pub fn drain(self) -> Result<DrainReport, DaemonError> {
        let ending = Ending::begin(self.shared.config.drain(), self.lanes.given_up())
            .map_err(DaemonError::because("no thread for the drain"))?;
        self.shared.draining.store(true, Ordering::Relaxed);
        self.shared.presence.leave();
        self.shared.cluster.leave();
        self.server.stop_accepting();
        let report = self.server.drain(self.shared.config.drain());
        if let Some(admin) = self.admin {
            admin.end();
        }
        if let Some(control) = self.control {
            control.end();
        }
        // Nobody is connected any more, so nobody waits for answers.
        for question in self.workers.abandon() {
            question.reply.forget();
        }
        self.interrupters.end_all(&self.workers);
        self.workers.shutdown();
        self.server.shutdown();
        self.presence.end();
        // With the loops and workers gone, these are the last handles: first the hashers run dry, whose
        // continuations hold the lane, then the lane.
        drop((self.observed, self.shared, self.context, self.workers));
        self.hasher.end();
        self.lanes.join();
        if let Some(cluster) = self.cluster {
            // It holds a handle of the change feed.
            cluster.end();
        }
        if let Some(feed) = self.feed {
            feed.join();
        }
        self.store.close()?;
        drop(ending);
        Ok(report)
    }
}

/// What is listened on when the server starts, the first address of those, and the certificates.
type Reserved = (Vec<Listen>, Option<SocketAddr>, Option<Certificates>);

/// Takes the addresses, without listening on those of TCP yet.
fn reserve(config: &Config) -> Result<Reserved, DaemonError> {
    let listeners = config.listeners();
    let doors: Vec<_> = listeners
        .iter()
        .map(|(listener, _)| listener.doors.clone())
        .collect();
    let certificates = Certificates::load(&config.tls, &doors)?;
    let (mut reserved, mut first) = (Vec::new(), None);
    for (index, (listener, encryption)) in listeners.into_iter().enumerate() {
        let (mut listen, address) = match listener.address {
            ListenAddress::Ip(address) => Listen::reserve(address).map(|(listen, at)| (listen, Some(at))),
            ListenAddress::Unix(path) => {
                Listen::reserve_unix(path, listener.mode).map(|listen| (listen, None))
            }
        }
        .map_err(cannot_listen)?;
        if !listener.proxy_protocol.is_empty() {
            listen = listen.proxy_protocol(listener.proxy_protocol);
        }
        let tls = certificates
            .as_ref()
            .and_then(|certificates| certificates.of(index));
        listen = match (encryption, tls) {
            (Encryption::On, Some(tls)) => listen.tls(tls),
            (Encryption::Auto, Some(tls)) => listen.tls_or_plain(tls),
            (Encryption::Off, _) => listen,
            (Encryption::On | Encryption::Auto, None) => {
                return Err(DaemonError::refused("a listener with TLS needs tls.certificate"));
            }
        };
        reserved.push(listen.tag(u32::try_from(index).unwrap_or(u32::MAX)));
        first = first.or(address);
    }
    Ok((reserved, first, certificates))
}

/// The terms that a configuration comes to.
fn terms(config: &Config, capabilities: u64, connections_max: usize) -> Terms {
    let rules = Rules::new(config, capabilities);
    Terms::new(config, rules, share_of_address(&config.limits, connections_max))
}

/// With what to do about it.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "advice is given for the errors that have one"
)]
fn cannot_listen(error: netcore::StartError) -> DaemonError {
    let advice = match &error {
        netcore::StartError::Bind { source, .. } => match source.kind() {
            std::io::ErrorKind::AddrInUse => {
                ": another program listens there; end it, or name another address with --listen"
            }
            std::io::ErrorKind::AddrNotAvailable => {
                ": it is none of this machine's addresses; name another one with --listen"
            }
            std::io::ErrorKind::PermissionDenied => {
                ": ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); name another one with --listen"
            }
            _ => "",
        },
        _ => "",
    };
    DaemonError::failed(format!("{error}{advice}"), error)
}

/// Where clients reach this node.
fn advertised(config: &Config, listening: Option<SocketAddr>) -> String {
    if !config.cluster.advertise.is_empty() {
        return config.cluster.advertise.clone();
    }
    // A node that listens everywhere does not know which of its addresses clients can reach.
    listening
        .filter(|address| !address.ip().is_unspecified())
        .map(|address| address.to_string())
        .unwrap_or_default()
}

/// The address of the admin listener, held until it serves, and its token.
fn reserve_admin(config: &Config) -> Result<Option<(Listen, SocketAddr, Option<String>)>, DaemonError> {
    let Some(address) = config.admin.address().map_err(DaemonError::Refused)? else {
        return Ok(None);
    };
    let file = &config.admin.token_file;
    let token = if file.as_os_str().is_empty() {
        None
    } else {
        let text = std::fs::read_to_string(file)
            .map_err(DaemonError::because(format!("cannot read {}", file.display())))?;
        let token = text.trim().to_owned();
        if token.is_empty() {
            return Err(DaemonError::Refused(format!("{} holds no token", file.display())));
        }
        Some(token)
    };
    let (listener, address) = Listen::reserve(address).map_err(cannot_listen)?;
    Ok(Some((listener, address, token)))
}

/// Listens on the control socket. One that was configured must be there; without the one beside the store the daemon
/// serves all the same.
fn start_control(config: &Config, observed: &Arc<Observed>) -> Result<Option<Control>, DaemonError> {
    let Some(socket) = config.control_socket() else {
        return Ok(None);
    };
    match Control::start(&socket, observed) {
        Ok(control) => Ok(Some(control)),
        Err(error) if config.control.socket.as_os_str().is_empty() => {
            log::warn!("{error}; set control.socket to have one");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn start_workers(
    config: &Config,
    context: &Arc<WorkerContext>,
    store: &Arc<dyn Store>,
    cache: Option<&Arc<ReadCache>>,
    interrupters: &Arc<Interrupters>,
) -> Result<WorkerPool<WorkerTask>, DaemonError> {
    let (context, store, cache) = (Arc::clone(context), Arc::clone(store), cache.cloned());
    let interrupters = Arc::clone(interrupters);
    WorkerPool::<WorkerTask>::builder()
        .threads(config.workers())
        .queue(config.limits.worker_queue)
        .per_key(QUESTIONS_PER_SESSION)
        .per_group((config.limits.worker_queue / 8).max(1))
        .threads_per_group((config.workers() / 4).max(1))
        .name("worker")
        .start(move |index| -> Result<Worker, storage::OpenError> {
            let reader = store.reader()?;
            interrupters.keep(index, reader.interrupter());
            Ok(Worker {
                context: Arc::clone(&context),
                reader: match &cache {
                    Some(cache) => Box::new(CachedReader::new(reader, Arc::clone(cache))),
                    None => reader,
                },
            })
        })
        .map_err(DaemonError::because("the workers could not be started"))
}

fn start_server(
    shared: &Arc<Shared>,
    workers: &WorkerPool<WorkerTask>,
    connections_max: usize,
    snapshot: Snapshot,
    listeners: Vec<Listen>,
) -> Result<Server<ToLoop>, DaemonError> {
    let config = &shared.config;
    let (limits, timeouts) = (&config.limits, &config.timeouts);
    let millis = Duration::from_millis;
    // Answers have their place reserved: every request in flight may be answered with a full page.
    let reply_reserve = usize::from(limits.requests_in_flight) * (limits.page_bytes + 64 * 1024);
    let push_queue = limits.push_queue_bytes;
    let made = Arc::clone(shared);
    // Each loop takes the terms over when it starts, so they must not be locked meanwhile.
    let admission = shared.terms.lock().admission();
    let builder = listeners
        .into_iter()
        .fold(Server::builder::<Gateway>(), Builder::listen);
    builder
        .loops(config.loops())
        .admission(admission)
        .limits(ConnectionLimits {
            connections: connections_max.saturating_add(CONNECTIONS_TURNED_AWAY),
            queued_bytes: limits.queued_bytes / config.loops(),
            ..ConnectionLimits::default()
        })
        .timeouts(Timeouts {
            handshake: millis(timeouts.handshake_ms),
            tls_handshake: millis(timeouts.handshake_ms),
            proxy_header: millis(timeouts.handshake_ms),
            frame: millis(timeouts.frame_ms),
            idle: millis(u64::from(timeouts.idle_ms)),
            ping_after: None,
            write_stall: millis(timeouts.write_stall_ms),
            ..Timeouts::default()
        })
        .outbound(Outbound {
            low_water: LOW_WATER.min(push_queue / 4),
            high_water: push_queue / 2,
            limit: push_queue,
            reply_reserve,
            ..Outbound::default()
        })
        .tick(Some(TICK))
        .observer(Arc::clone(&shared.metrics) as Arc<dyn Observer>)
        .workers(workers.clone())
        .start(move |loop_id, remote| {
            made.outboxes.connect(remote);
            Gateway::new(Arc::clone(&made), loop_id.index(), snapshot.clone())
        })
        .map_err(cannot_listen)
}

/// What was configured, or what the descriptor limit leaves.
fn connections(configured: usize) -> usize {
    if configured > 0 {
        return configured;
    }
    descriptor_limit()
        .and_then(|limit| usize::try_from(limit.saturating_sub(DESCRIPTORS_RESERVED)).ok())
        .map_or(CONNECTIONS_DEFAULT, |limit| limit.clamp(64, 16_000_000))
}

/// What was configured, or an eighth of all, but so many that somebody at home notices nothing.
fn share_of_address(limits: &Limits, connections_max: usize) -> usize {
    match limits.connections_per_address {
        0 => (connections_max / 8).max(CONNECTIONS_PER_ADDRESS_LEAST),
        configured => configured,
    }
}

/// The limit of open files of this process, raised as far as the system lets it.
fn descriptor_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if setrlimit(Resource::Nofile, raised).is_ok() {
        limit.maximum
    } else {
        limit.current
    }
}
