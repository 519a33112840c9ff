//! Disasters of PostgreSQL under real nodes with real devices: the server killed at the worst moment, a standby promoted
//! without its tail, a data directory put back, a store dumped and loaded elsewhere.
//!
//! After each, nothing that was acknowledged is missing or doubled, and every device ends with the visible log, or was
//! told that the past is another one. A few of each run every time; `DISASTERS=all` runs them all. `DISASTER_SEED`
//! repeats the choice of moments.

mod killed;
mod lost;
mod moved;
mod pooled;
mod pooler;
mod wire;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use services::Postgres;
use tests::harness::{Daemon, PATIENCE, Setup, User, hello, login};

use crate::{
    cluster::{reads_again, until},
    traffic::{Judgement, Member, Mix, Pasts, Traffic, identity},
};
use pooler::Pooler;
use wire::Wire;

/// How a node ends whose past is over.
const ENDED_BY_ITS_STORE: i32 = 70;
/// A write in doubt waits longer for its answer than PostgreSQL takes to be killed and started.
const CONFIG: &str = "[store]\nrequest_ms = 5000\n";
/// Devices, in pairs over two nodes, and all in one group.
const USERS: usize = 4;
/// Between two writes of one device to one conversation: a pace that two cores hold.
const PACE: Duration = Duration::from_millis(20);

/// So many of something: a few in every run, all of them in the long tier.
fn this_run(few: u64, all: u64) -> u64 {
    match std::env::var("DISASTERS") {
        Ok(wanted) if wanted == "all" => all,
        _ => few,
    }
}

/// A server, two nodes on a wire to it, and devices.
struct Ground {
    nodes: Vec<Daemon>,
    /// Between the nodes and the wire, if wanted.
    pooler: Option<Pooler>,
    wire: Wire,
    postgres: Postgres,
    /// The URL of the store, as the server has it.
    store: String,
    /// Another database of the same server, whose commits take numbers, too.
    elsewhere: String,
    users: usize,
}

/// Traffic that goes on until it is stopped.
struct Running {
    traffic: Traffic,
    stop: Arc<AtomicBool>,
}

impl Ground {
    fn new() -> Self {
        Self::with(|_| None)
    }

    fn pooled() -> Self {
        Self::with(|wire| Some(Pooler::to(wire.address())))
    }

    fn with(pooler: impl FnOnce(&Wire) -> Option<Pooler>) -> Self {
        let postgres = Postgres::start().unwrap();
        let (store, elsewhere) = (postgres.database().unwrap(), postgres.database().unwrap());
        let wire = Wire::to(postgres.address());
        let mut ground = Self {
            nodes: Vec::new(),
            pooler: pooler(&wire),
            wire,
            postgres,
            store,
            elsewhere,
            users: 0,
        };
        for _ in 0..2 {
            let node = ground.node().start();
            ground.nodes.push(node);
        }
        ground
    }

    fn node(&self) -> Setup {
        let address = self.postgres.address().to_string();
        let way = self
            .pooler
            .as_ref()
            .map_or_else(|| self.wire.address(), Pooler::address);
        Setup {
            store: Some(self.store.replace(&address, &way.to_string())),
            node: Some(format!("node{}", self.nodes.len())),
            config: CONFIG.to_owned(),
            errors_allowed: true,
            ..Setup::default()
        }
    }

    fn pooler(&self) -> &Pooler {
        self.pooler.as_ref().expect("it was wanted")
    }

    /// Accounts and conversations, and devices that write and follow.
    fn begin(&mut self) -> Running {
        let mut users: Vec<User> = (0..USERS)
            .map(|index| self.nodes[index % 2].register(&format!("user{index}")))
            .collect();
        self.users = USERS;
        let ids: Vec<u64> = users.iter().map(|user| user.id).collect();
        let group = users[0].group("all", &ids[1..]);
        let members = (0..USERS)
            .map(|index| Member {
                server: self.nodes[index % 2].address(),
                user: ids[index],
                name: users[index].name.clone(),
                identity: identity(&users[index]),
                conversations: vec![users[index].direct(ids[index ^ 1]), group],
            })
            .collect();
        users.clear();
        self.resume(members)
    }

    fn resume(&self, members: Vec<Member>) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let traffic = Traffic::start(members, Mix::Everything, move |_| {
            thread::sleep(PACE);
            !stopped.load(Ordering::SeqCst)
        });
        Running { traffic, stop }
    }

    /// Waits until so many more writes are acknowledged. Nodes that end because their past is over are started again, as
    /// their supervisor would.
    #[track_caller]
    fn until_acknowledged(&mut self, running: &Running, more: u64) {
        let wanted = running.traffic.acknowledged() + more;
        until("acknowledged", || {
            self.supervise();
            running.traffic.acknowledged() >= wanted
        });
    }

    /// Until a commit is held. A node may end by its store meanwhile, and is started again.
    #[track_caller]
    fn until_held(&mut self, running: &Running) {
        let deadline = Instant::now() + PATIENCE;
        while !self.wire.holds() {
            self.supervise();
            assert!(
                Instant::now() < deadline,
                "no commit was held within {PATIENCE:?}: {} acknowledged, {}",
                running.traffic.acknowledged(),
                self.wire.describe()
            );
            thread::park_timeout(Duration::from_millis(20));
        }
    }

    fn supervise(&mut self) {
        for node in &mut self.nodes {
            if let Some(status) = node.has_ended() {
                assert_eq!(status.code(), Some(ENDED_BY_ITS_STORE), "{:#?}", node.log());
                node.start_again();
            }
        }
    }

    /// Commits of others in another database, until the server's numbers are past `number`.
    fn take_numbers(&self, past: i64) {
        let mut client = postgres::Client::connect(&self.elsewhere, postgres::NoTls).unwrap();
        let take = "SELECT pg_current_xact_id()::text::bigint";
        while client.query_one(take, &[]).unwrap().get::<_, i64>(0) < past {}
    }

    /// The next number of a transaction.
    fn next_number(&self) -> i64 {
        let mut client = postgres::Client::connect(&self.elsewhere, postgres::NoTls).unwrap();
        let ask = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
        client.query_one(ask, &[]).unwrap().get(0)
    }

    /// From now on this is the server.
    fn take_over(&mut self, server: Postgres) {
        let (before, now) = (self.postgres.address().to_string(), server.address().to_string());
        for url in [&mut self.store, &mut self.elsewhere] {
            *url = url.replace(&before, &now);
        }
        self.postgres = server;
    }

    /// Waits until no node is connected to the store.
    fn until_unused(&self) {
        let mut client = postgres::Client::connect(&self.elsewhere, postgres::NoTls).unwrap();
        let name = self.store.rsplit('/').next().unwrap().to_owned();
        let ask = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1";
        until("no node is connected", || {
            client.query_one(ask, &[&name]).unwrap().get::<_, i64>(0) == 0
        });
    }

    /// The store's epoch, as a new session is told.
    fn epoch(&mut self) -> u64 {
        self.reader(0).epoch
    }

    /// A session for reading. A disaster may just have been.
    fn reader(&mut self, index: usize) -> User {
        let mut found = None;
        until("the store answers", || {
            self.supervise();
            let node = &self.nodes[index % 2];
            let Ok(mut conn) = tests::harness::Connection::try_to(node.address()) else {
                return false;
            };
            let name = format!("user{}", index % self.users.max(1));
            let session = conn
                .try_ask(hello("reader"))
                .and_then(|_| conn.try_ask(login(&name)));
            if let Some(session) = session {
                found = Some(User::of(node.address(), conn, "reader", session));
            }
            found.is_some()
        });
        let mut user = found.unwrap();
        reads_again(&mut user);
        user
    }

    /// Stops the traffic, lets everything settle, and judges.
    fn judge(&mut self, running: Running, pasts: Pasts) -> Judgement {
        running.stop.store(true, Ordering::SeqCst);
        // A node may notice only now that its past is over.
        until("everything is written", || {
            self.supervise();
            running.traffic.is_sent()
        });
        self.settle();
        running.traffic.judge(pasts, |index| self.reader(index))
    }

    /// Two heartbeats' worth of traffic, during which nodes may still end.
    fn settle(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let mut before = 0;
        let mut quiet = 0;
        while quiet < 3 && Instant::now() < deadline {
            let epochs: Vec<u64> = (0..2).map(|index| self.reader(index).epoch).collect();
            let same = epochs[0] == epochs[1] && epochs[0] == before;
            quiet = if same { quiet + 1 } else { 0 };
            before = epochs[0];
        }
    }
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}
