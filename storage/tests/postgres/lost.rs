//! Lost tails: standbys promoted without them, data put back under nodes that run and nodes that do not. The epoch is
//! another one, or it is the same and nothing is missing.

use postgres::Client;
use services::Postgres;
use storage::{
    Claim, CommitError, Doom, NewUser, Position, Store, Testimony, Timestamp, UserId, Write, Writer,
    postgres::{Failover, PostgresOptions, PostgresStore, past},
};

use crate::{
    PATIENCE, appended, message, pair,
    proved::{admin, open},
    proxy::Proxy,
    register, until,
};

/// Takes so many numbers of transactions, as another database of the server does.
pub(crate) fn count_on(server: &Postgres, numbers: u32) {
    let sql = format!(
        "DO $$ BEGIN FOR i IN 1..{numbers} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
    );
    admin(&server.url()).batch_execute(&sql).unwrap();
}

fn say(writer: &mut dyn Writer, request: u64) -> Position {
    let answer = until("a commit", || {
        writer.commit(&[message(pair(1, 2), 1, request, 0)]).ok()
    });
    appended(answer.into_iter().next().unwrap().unwrap())
        .event
        .position
}

/// The node finds out, and acknowledges nothing more.
fn ends(store: &PostgresStore, writer: &mut dyn Writer, why: &str) {
    until("the end of its past", || {
        match writer.commit(&[message(pair(1, 2), 1, 999, 0)]) {
            Err(CommitError::Fatal(_)) => Some(()),
            Err(CommitError::NotApplied { .. } | CommitError::Unknown(_)) => None,
            Ok(answers) => panic!("acknowledged: {answers:?}"),
        }
    });
    assert!(
        matches!(store.fate().reason(), Some(Doom::PastOver(found)) if found.contains(why)),
        "{:?}",
        store.fate().reason()
    );
    let mut reader = store.reader().unwrap();
    assert!(matches!(reader.snapshot(), Err(storage::ReadError::Fatal(_))));
}

/// A primary and a standby that has all of it but what comes.
fn pair_of_servers() -> (Postgres, Postgres, String, Proxy) {
    let primary = Postgres::start().unwrap();
    let url = primary.database().unwrap();
    let (store, mut writer) = open(&url, PATIENCE);
    register(writer.as_mut(), 4);
    say(writer.as_mut(), 1);
    store.close().unwrap();
    let standby = primary.standby().unwrap();
    let proxy = Proxy::start(primary.address());
    (primary, standby, url, proxy)
}

fn caught_up(primary: &Postgres) {
    let mut admin = admin(&primary.url());
    let sql = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()";
    until("the standby", || {
        (admin.query_one(sql, &[]).unwrap().get::<_, i64>(0) == 1).then_some(())
    });
}

fn promote(primary: Postgres, standby: &mut Postgres, proxy: &Proxy) {
    drop(primary);
    standby.start_again().unwrap();
    standby.promote().unwrap();
    proxy.lead_to(standby.address());
    // Reused by what comes, as they would be anyway.
    proxy.cut_all();
}

fn with(url: &str, failover: Failover) -> (PostgresStore, Box<dyn Writer>) {
    let mut options = PostgresOptions::new(url);
    options.readers.min_idle = Some(0);
    options.readers.acquire_timeout = PATIENCE;
    options.deadline = PATIENCE;
    options.failover = failover;
    let store = PostgresStore::open(options).unwrap();
    let writer = store.writer().unwrap();
    (store, writer)
}

#[test]
fn a_standby_without_the_tail_is_another_past() {
    let (primary, mut standby, url, proxy) = pair_of_servers();
    let through = proxy.url(&url);
    let (first, mut of_first) = with(&through, Failover::Lossy);
    let (second, mut of_second) = with(&through, Failover::Lossy);
    caught_up(&primary);
    standby.stop().unwrap();
    for request in 2..=4 {
        say(of_first.as_mut(), request);
    }
    promote(primary, &mut standby, &proxy);
    ends(&first, of_first.as_mut(), "another timeline");
    ends(&second, of_second.as_mut(), "");
    let (now, mut writer) = with(&through, Failover::Lossy);
    assert_ne!((now.epoch(), now.log_id()), (first.epoch(), first.log_id()));
    assert_ne!(now.token_key(), first.token_key());
    let before = now.reader().unwrap().snapshot().unwrap();
    say(writer.as_mut(), 5);
    let tail = now.reader().unwrap().tail(&before, 10).unwrap();
    assert_eq!(
        tail.events.iter().map(|event| event.seq.0).collect::<Vec<_>>(),
        [2]
    );
    let report = past::show(&PostgresOptions::new(&through)).unwrap();
    let pasts: Vec<u64> = report.generations.iter().map(|of| of.log_id).collect();
    assert_eq!(pasts, [first.log_id(), now.log_id()], "one new past");
    assert!(report.generations[1].why.contains("another timeline"));
}

/// No node remembers what was lost, so only the timeline says it.
#[test]
fn a_promotion_that_nobody_lived_through_is_another_past() {
    let (primary, mut standby, url, proxy) = pair_of_servers();
    let through = proxy.url(&url);
    let (before, mut writer) = with(&through, Failover::Lossy);
    caught_up(&primary);
    standby.stop().unwrap();
    say(writer.as_mut(), 2);
    drop(writer);
    before.close().unwrap();
    promote(primary, &mut standby, &proxy);
    let (now, _) = with(&through, Failover::Lossy);
    assert_ne!((now.epoch(), now.log_id()), (before.epoch(), before.log_id()));
    assert_ne!(now.token_key(), before.token_key());
}

/// Whoever vouches for the replication keeps the epoch, as long as nobody remembers more.
#[test]
fn a_failover_that_is_vouched_for_is_a_start_of_the_server() {
    for loses in [false, true] {
        let (primary, mut standby, url, proxy) = pair_of_servers();
        let through = proxy.url(&url);
        let (store, mut writer) = with(&through, Failover::Lossless);
        say(writer.as_mut(), 2);
        caught_up(&primary);
        standby.stop().unwrap();
        if loses {
            say(writer.as_mut(), 3);
        }
        promote(primary, &mut standby, &proxy);
        count_on(&standby, 500);
        if loses {
            ends(&store, writer.as_mut(), "a lost tail");
        } else {
            say(writer.as_mut(), 3);
            assert!(store.fate().reason().is_none());
            let (again, _) = with(&through, Failover::Lossy);
            assert_eq!((again.epoch(), again.log_id()), (store.epoch(), store.log_id()));
        }
    }
}

/// What one process did between a copy of the server's directory and the moment when it was put back.
type Deed = fn(&PostgresStore, &mut dyn Writer, &str);

/// Each is enough to know that something is missing, however far the server has counted since.
#[test]
fn data_that_is_put_back_under_a_node_is_another_past() {
    let deeds: [(&str, Deed); 4] = [
        ("it stored a message", |_, writer, _| {
            say(writer, 7);
        }),
        (
            "it was answered something that has no position",
            |_, writer, _| {
                let account = Write::CreateUser(NewUser {
                    name: "late".to_owned(),
                    display_name: String::new(),
                    password_hash: String::new(),
                    at: Timestamp(0),
                });
                writer.commit(&[account]).unwrap();
            },
        ),
        ("it followed what another one stored", |store, _, url| {
            let (_other, mut writer) = open(url, PATIENCE);
            say(writer.as_mut(), 8);
            let mut reader = store.reader().unwrap();
            reader.tail(&storage::Snapshot::default(), 100).unwrap();
        }),
        (
            "it answered a sync about what another one stored",
            |store, _, url| {
                let (_other, mut writer) = open(url, PATIENCE);
                say(writer.as_mut(), 9);
                let mut reader = store.reader().unwrap();
                reader
                    .changes(UserId(1), &storage::Snapshot::default(), 100)
                    .unwrap();
            },
        ),
    ];
    for (what, deed) in deeds {
        let mut server = Postgres::start().unwrap();
        let url = server.database().unwrap();
        let (store, mut writer) = open(&url, PATIENCE);
        register(writer.as_mut(), 4);
        say(writer.as_mut(), 1);
        server.stop().unwrap();
        let copy = server.copy_data().unwrap();
        server.start_again().unwrap();
        deed(&store, writer.as_mut(), &url);
        server.put_back(&copy).unwrap();
        server.start_again().unwrap();
        count_on(&server, 300);
        println!("{what}");
        ends(&store, writer.as_mut(), "lost tail");
        let (now, mut writer) = open(&url, PATIENCE);
        assert_ne!((now.epoch(), now.log_id()), (store.epoch(), store.log_id()));
        say(writer.as_mut(), 10);
    }
}

/// Nobody ran who remembers, but a device has a token.
#[test]
fn a_token_testifies_to_what_was_put_back_while_nobody_ran() {
    let mut server = Postgres::start().unwrap();
    let url = server.database().unwrap();
    let (store, mut writer) = open(&url, PATIENCE);
    register(writer.as_mut(), 4);
    say(writer.as_mut(), 1);
    let known = token(&store);
    server.stop().unwrap();
    let copy = server.copy_data().unwrap();
    server.start_again().unwrap();
    say(writer.as_mut(), 2);
    let lost = token(&store);
    drop((writer, store));
    server.put_back(&copy).unwrap();
    server.start_again().unwrap();
    count_on(&server, 300);
    let (store, mut writer) = open(&url, PATIENCE);
    say(writer.as_mut(), 3);
    let (other, mut of_other) = open(&url, PATIENCE);
    let mut reader = store.reader().unwrap();
    assert_eq!(reader.testimony(known).unwrap(), Testimony::Known);
    assert_eq!(reader.testimony(lost).unwrap(), Testimony::Witness);
    store
        .begin_past("a device was told of commits that the store does not have")
        .unwrap();
    ends(&store, writer.as_mut(), "a device was told");
    // The other node's connections are those from before, and lead to the same server: its next transaction finds out.
    ends(&other, of_other.as_mut(), "");
    // Its own witness comes too late.
    other.begin_past("again").unwrap();
    let (now, _) = open(&url, PATIENCE);
    assert_ne!(now.log_id(), store.log_id());
    let report = past::show(&PostgresOptions::new(&url)).unwrap();
    let pasts = report.generations.iter().filter(|of| of.log_id == now.log_id());
    assert_eq!(pasts.count(), 1);
}

fn token(store: &PostgresStore) -> Claim {
    let ceiling = store.reader().unwrap().snapshot().unwrap().ceiling();
    Claim {
        generation: store.told(ceiling),
        ceiling,
    }
}

/// The past that is put back is one that was replaced: a node that lives in the later one knows.
#[test]
fn a_replaced_past_that_is_put_back_does_not_go_on() {
    let mut server = Postgres::start().unwrap();
    let url = server.database().unwrap();
    let (first, mut writer) = open(&url, PATIENCE);
    register(writer.as_mut(), 4);
    say(writer.as_mut(), 1);
    server.stop().unwrap();
    let copy = server.copy_data().unwrap();
    server.start_again().unwrap();
    say(writer.as_mut(), 2);
    past::new(&PostgresOptions::new(&url), "a test").unwrap();
    ends(&first, writer.as_mut(), "");
    let (second, mut writer) = open(&url, PATIENCE);
    say(writer.as_mut(), 3);
    server.put_back(&copy).unwrap();
    server.start_again().unwrap();
    ends(&second, writer.as_mut(), "had replaced");
    let (now, _) = open(&url, PATIENCE);
    assert!(![first.epoch(), second.epoch()].contains(&now.epoch()));
    assert!(![first.log_id(), second.log_id()].contains(&now.log_id()));
}

/// By hand, beside a node that runs: it writes nothing more into the old past.
#[test]
fn a_new_past_by_hand_ends_the_nodes_that_run() {
    let url = services::fresh_database().unwrap();
    let (store, mut writer) = open(&url, PATIENCE);
    register(writer.as_mut(), 4);
    say(writer.as_mut(), 1);
    let options = PostgresOptions::new(&url);
    let before = past::show(&options).unwrap();
    assert_eq!((before.epoch, before.log_id), (store.epoch(), store.log_id()));
    let report = past::new(&options, "the operator has put something back").unwrap();
    assert_ne!(report.epoch, before.epoch);
    assert_eq!(
        report.generations.last().unwrap().why,
        "the operator has put something back"
    );
    assert_eq!(report.horizon, before.horizon);
    let refused = writer.commit(&[message(pair(1, 2), 1, 2, 0)]);
    assert!(matches!(refused, Err(CommitError::Fatal(_))), "{refused:?}");
    let events: i64 = admin(&url)
        .query_one("SELECT count(*) FROM events", &[])
        .unwrap()
        .get(0);
    assert_eq!(events, 1);
    ends(&store, writer.as_mut(), "");
    let (now, mut writer) = open(&url, PATIENCE);
    assert_eq!(now.epoch(), report.epoch);
    say(writer.as_mut(), 2);
}

/// A session that outlives its server, as behind a pooler: each transaction compares.
#[test]
fn every_transaction_compares_generation_and_start() {
    let url = services::fresh_database().unwrap();
    let (_store, mut writer) = open(&url, PATIENCE);
    register(writer.as_mut(), 4);
    let mut admin = admin(&url);
    let code = |admin: &mut Client, sql: &str| -> Option<String> {
        let error = admin.batch_execute(sql).err()?;
        error.code().map(|code| code.code().to_owned())
    };
    for (generation, started, wanted) in [
        ("generation", "started", None),
        ("generation", "NULL", None),
        ("generation + 1", "started", Some("IM001")),
        ("generation", "started + interval '1 microsecond'", Some("IM001")),
    ] {
        for call in [
            "SELECT offset_in(GENERATION, STARTED) FROM store",
            "SELECT present_in(GENERATION, STARTED) FROM store",
            "SELECT append_in_order('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
                '{}', '{}', '{}', GENERATION, STARTED) FROM store",
        ] {
            let sql = call.replace("GENERATION", generation).replace("STARTED", started);
            assert_eq!(code(&mut admin, &sql).as_deref(), wanted, "{sql}");
        }
    }
    // Another node has begun a generation: the sessions of this one are made again, and nobody notices.
    admin
        .batch_execute(
            "INSERT INTO generations SELECT 2, 77, log_id, 0, NULL, 0, 'a test' FROM store;
             UPDATE generations SET ends = (SELECT max(position) FROM notices) WHERE number = 1;
             UPDATE store SET generation = 77, written_by = pg_current_xact_id()::text::bigint",
        )
        .unwrap();
    say(writer.as_mut(), 1);
    writer.commit(&[crate::broken::session(5)]).unwrap();
}
