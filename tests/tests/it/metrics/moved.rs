//! Every metric that is registered moves: daemons over both stores are driven through what the metrics count, and each
//! must have had a value other than zero at some time.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{SocketAddr, TcpStream},
};

use protocol::v1;
use services::{Redis, RedisSetup};
use tests::harness::{Cluster, ClusterSetup, Connection, Daemon, Setup, User, Web, hello, login, text};

use super::{admin_of, scrape};
use crate::cluster::until;

/// The names of all metrics, and of those that moved.
#[derive(Default)]
struct Seen {
    all: BTreeSet<String>,
    moved: BTreeMap<String, String>,
}

impl Seen {
    fn look(&mut self, admin: SocketAddr) {
        for line in scrape(admin).lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                self.all.insert(rest.split(' ').next().unwrap().to_owned());
                continue;
            }
            let Some((series, value)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#')) else {
                continue;
            };
            let name = series.split('{').next().unwrap();
            let name = name.strip_suffix("_count").unwrap_or(name).to_owned();
            if value.parse::<f64>().unwrap() > 0.0 {
                self.moved.entry(name).or_insert_with(|| line.to_owned());
            }
        }
    }

    /// Acts and looks again and again until these have moved.
    #[track_caller]
    fn until(&mut self, admin: SocketAddr, names: &[&str], mut act: impl FnMut()) {
        until(&format!("{names:?} have moved"), || {
            act();
            self.look(admin);
            names.iter().all(|name| self.moved.contains_key(*name))
        });
    }
}

fn embedded(seen: &mut Seen) {
    const PATIENT: &str = "[timeouts]\nidle_ms = 3600000\nhandshake_ms = 600000\n[server]\nhashers = 1\n\
                           [limits]\nhash_queue = 2\n[admin]\nlisten = \"127.0.0.1:0\"\n";
    let daemon = Setup::config(PATIENT).start();
    let admin = admin_of(&daemon);
    let [mut ann, mut bob] = daemon.register_all(["ann", "bob"]);
    let pair = ann.direct(bob.id);
    ann.text(pair, "hello");
    ann.history(pair);
    drop(daemon.connect());
    // Half a frame.
    let mut half = daemon.connect();
    half.write(b"\0\0\0\x10\x03");
    seen.until(
        admin,
        &["imserver_undecoded_bytes", "imserver_connections_closed_total"],
        || {},
    );
    seen.until(admin, &["imserver_http_refusals_total"], || {
        Web::to(daemon.address()).get("/nowhere");
    });
    let watch = v1::WatchPresenceRequest {
        user_ids: vec![ann.id],
    };
    ann.get(watch);
    let mut away = false;
    let names = ["imserver_presence_watches", "imserver_presence_changes_total"];
    seen.until(admin, &names, || {
        away = !away;
        ann.get(v1::SetAwayRequest { away });
    });
    passwords(seen, admin, &daemon);
    ann.get(v1::WatchPresenceRequest {
        user_ids: vec![ann.id],
    });
    ann.get(v1::SetAwayRequest { away: true });
    let watched = ["imserver_presence_watches", "imserver_presence_changes_total"];
    seen.until(admin, &watched, || {});
    // Bob reads nothing until his pushes turn to heads.
    let body = "x".repeat(4_000);
    seen.until(
        admin,
        &["imserver_slow_connections_total", "imserver_queued_bytes"],
        || {
            let open: Vec<u16> = (0..200).map(|_| ann.conn.submit(text(pair, &body))).collect();
            for seq in open {
                ann.conn.answer::<v1::SendRequest>(seq).unwrap();
            }
            while ann.conn.has_kept() {
                ann.conn.next();
            }
        },
    );
    seen.until(admin, &["imserver_heads_total"], || {
        bob.pushes_so_far();
    });
}

/// More passwords at once than there is room for.
fn passwords(seen: &mut Seen, admin: SocketAddr, daemon: &Daemon) {
    let mut strangers: Vec<Connection> = (0..8)
        .map(|number| {
            let mut stranger = daemon.connect();
            stranger.ask(hello(&format!("phone{number}"))).unwrap();
            stranger
        })
        .collect();
    let names = [
        "imserver_password_seconds",
        "imserver_passwords_refused_total",
        "imserver_password_queue_tasks",
    ];
    seen.until(admin, &names, || {
        for stranger in &mut strangers {
            // The answer to the one before may not be there: then it is refused, which is an answer, too.
            stranger.submit(v1::LoginRequest {
                password: "not ann's password".to_owned(),
                ..login("ann")
            });
        }
    });
}

/// One connection beyond those that are told that there is no room.
fn refused(seen: &mut Seen) {
    let daemon = Setup::config("[limits]\nconnections = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n").start();
    let admin = admin_of(&daemon);
    let mut open = Vec::new();
    seen.until(admin, &["imserver_connections_refused_total"], || {
        open.extend((0..70).filter_map(|_| TcpStream::connect(daemon.address()).ok()));
    });
}

fn shared(seen: &mut Seen) {
    let mut cluster = ClusterSetup::nodes(1)
        .config(
            "[admin]\nlisten = \"127.0.0.1:0\"\n[server]\nworkers = 2\n\
             [store]\nconnections = 1\nacquire_ms = 300\n",
        )
        .allow_errors()
        .start();
    let admin = admin_of(&cluster.nodes[0]);
    let [mut ann, bob] = cluster.nodes[0].register_all(["ann", "bob"]);
    let pair = ann.direct(bob.id);
    ann.text(pair, "hello");
    let caches = [
        "imserver_cache_hits_total",
        "imserver_cache_misses_total",
        "imserver_cache_entries",
    ];
    let ids = vec![ann.id, bob.id];
    seen.until(admin, &caches, || {
        ann.get(v1::GetUsersRequest {
            user_ids: ids.clone(),
        });
    });
    locked(seen, admin, &cluster, &mut ann, pair);
    cluster.postgres.kill().unwrap();
    let names = [
        "imserver_pool_connects_failed_total",
        "imserver_pool_closed_total",
        "imserver_breaker_openings_total",
        "imserver_questions_failed_total",
    ];
    seen.until(admin, &names, || {
        let _ = ann.page(pair, 1, 10);
        let _ = ann.ask(text(pair, "is anybody there?"));
    });
}

/// Somebody holds all tables: whoever asks and writes waits.
fn locked(seen: &mut Seen, admin: SocketAddr, cluster: &Cluster, ann: &mut User, pair: u64) {
    let names = [
        "imserver_worker_queue_tasks",
        "imserver_worker_running_tasks",
        "imserver_lane_queue_writes",
        "imserver_pool_waiting_callers",
        "imserver_pool_leases_failed_total",
    ];
    let mut client = cluster.client();
    until(&format!("{names:?} have moved"), || {
        let mut holding = client.transaction().unwrap();
        let lock = "DO $$ DECLARE t record; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' \
                    LOOP EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', t.tablename); END LOOP; END $$";
        holding.batch_execute(lock).unwrap();
        let mut others: Vec<Connection> = (0..4)
            .map(|number| {
                let mut other = Connection::to(cluster.nodes[0].address());
                other.ask(hello(&format!("other{number}"))).unwrap();
                other.submit(login("ann"));
                other
            })
            .collect();
        let asked: Vec<u16> = (0..24)
            .map(|number| match number % 2 {
                0 => ann.conn.submit(text(pair, "later")),
                _ => ann.conn.submit(v1::HistoryRequest {
                    conversation_id: pair,
                    from_seq: 1,
                    limit: 10,
                    ..v1::HistoryRequest::default()
                }),
            })
            .collect();
        for _ in 0..20 {
            // Each look takes the time in which something waits.
            seen.look(admin);
        }
        drop(holding);
        for seq in asked {
            let _ = ann.conn.answer_any(seq);
        }
        others.clear();
        names.iter().all(|name| seen.moved.contains_key(*name))
    });
}

/// A Redis that is full answers with errors.
fn redis(seen: &mut Seen) {
    let full: Redis = RedisSetup {
        maxmemory_bytes: Some(1),
        ..RedisSetup::default()
    }
    .start()
    .unwrap();
    let daemon = Setup {
        store: Some(services::fresh_database().unwrap()),
        redis: Some(full.url()),
        ..Setup::config("[admin]\nlisten = \"127.0.0.1:0\"\n")
    }
    .allow_errors()
    .start();
    let admin = admin_of(&daemon);
    let mut ann = daemon.register("ann");
    let names = ["imserver_redis_errors_total", "imserver_redis_unanswered_total"];
    seen.until(admin, &names, || {
        ann.text(ann.own(), "a note");
    });
}

#[test]
fn every_metric_moves() {
    let mut seen = Seen::default();
    embedded(&mut seen);
    refused(&mut seen);
    shared(&mut seen);
    redis(&mut seen);
    let still: Vec<&String> = seen
        .all
        .iter()
        .filter(|name| !seen.moved.contains_key(*name))
        .collect();
    assert!(seen.all.len() > 60, "{:?}", seen.all);
    assert!(still.is_empty(), "these have never moved: {still:?}");
}
