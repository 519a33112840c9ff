//! What proves a commit, and how far anybody may claim to have seen: after crashes that give numbers out again, with
//! backends that still live, with standbys that do not answer.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use bytes::Bytes;
use postgres::{Client, NoTls};
use services::{Postgres, PostgresSetup};
use storage::{
    Action, Append, Claim, CommitError, CursorMove, Doom, Generation, MessageKinds, Outcome, ProfileChange,
    Seq, Snapshot, Store, Testimony, UserId, Write, Writer,
    postgres::{PostgresOptions, PostgresStore},
};

use crate::{PATIENCE, append, appended, group, log, message, pair, proxy::Proxy, register, until};

pub(crate) fn admin(url: &str) -> Client {
    Client::connect(url, NoTls).unwrap()
}

/// A server that writes its log as late as it may: what was not flushed for a commit is lost with it.
pub(crate) fn lazy_server() -> Postgres {
    let setup = PostgresSetup {
        config: "wal_writer_delay = 10s\nwal_writer_flush_after = 0\nautovacuum = off\n".to_owned(),
        ..PostgresSetup::default()
    };
    setup.start().unwrap()
}

pub(crate) fn open(url: &str, deadline: Duration) -> (PostgresStore, Box<dyn Writer>) {
    let mut options = PostgresOptions::new(url);
    options.readers.min_idle = Some(0);
    options.readers.acquire_timeout = PATIENCE;
    options.deadline = deadline;
    let store = PostgresStore::open(options).unwrap();
    let writer = store.writer().unwrap();
    (store, writer)
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

fn number(client: &mut Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).unwrap().get(0)
}

fn action(request: u64, action: Action) -> Write {
    let append = append(pair(1, 2), 1, request, action);
    Write::Append(Append {
        conversation: match &append.action {
            Action::CreateGroup { .. } => group(request),
            _ => append.conversation,
        },
        ..append
    })
}

/// One of each kind of write that is not a message.
fn others() -> Vec<Write> {
    let body = || Bytes::from_static(b"other");
    vec![
        action(
            101,
            Action::Edit {
                target: Seq(1),
                body: body(),
                fits: MessageKinds::ALL,
            },
        ),
        action(102, Action::Recall { target: Seq(2) }),
        action(
            103,
            Action::React {
                target: Seq(3),
                reaction: "+1".to_owned(),
                body: body(),
            },
        ),
        action(
            104,
            Action::CreateGroup {
                name: "g".to_owned(),
                members: vec![UserId(2)],
            },
        ),
        Write::UpdateProfile(ProfileChange {
            user: UserId(1),
            display_name: Some("new".to_owned()),
            avatar: None,
            status: None,
        }),
        crate::broken::session(105),
        Write::Cursors(vec![CursorMove {
            conversation: pair(1, 2),
            user: UserId(2),
            delivered: Seq(3),
            read: Seq(3),
        }]),
    ]
}

/// The number of the transaction whose COMMIT did not get to the server is given to somebody else, who commits.
#[test]
fn a_number_that_is_given_out_again_proves_nothing() {
    let mut server = lazy_server();
    let url = server.database().unwrap();
    let proxy = Proxy::start(server.address());
    let (store, mut writer) = open(&proxy.url(&url), PATIENCE);
    register(writer.as_mut(), 4);
    for request in 1..=3 {
        writer.commit(&[message(pair(1, 2), 1, request, 0)]).unwrap();
    }
    for write in others() {
        let before = number(&mut admin(&url), "SELECT count(*) FROM events");
        proxy.hold_commit();
        let (answer, given) = thread::scope(|scope| {
            let committing = scope.spawn(|| writer.commit(std::slice::from_ref(&write)));
            until("the COMMIT", || proxy.holds().then_some(()));
            let lost = number(
                &mut admin(&url),
                "SELECT max(backend_xid::text::bigint) FROM pg_stat_activity WHERE application_name = 'imserver'",
            );
            // Whoever connects again takes numbers, too: the store waits until the stranger has the lost one.
            proxy.lead_to(nobody());
            server.restart_immediate().unwrap();
            let mut stranger = admin(&url);
            let mut given = 0;
            while given < lost {
                let sql = "INSERT INTO writers VALUES ((random() * 1e15)::bigint, 0, now())
                           RETURNING pg_current_xact_id()::text::bigint";
                given = number(&mut stranger, sql);
            }
            proxy.lead_to(server.address());
            (committing.join().unwrap(), (lost, given))
        });
        assert_eq!(given.0, given.1, "the server gives the number out again");
        assert!(
            matches!(answer, Err(CommitError::NotApplied { .. })),
            "{write:?}: {answer:?}"
        );
        assert_eq!(number(&mut admin(&url), "SELECT count(*) FROM events"), before);
        // The same again is stored like new.
        let answer = until("a commit", || writer.commit(std::slice::from_ref(&write)).ok());
        if let Outcome::Appended(appended) = answer.into_iter().next().unwrap().unwrap() {
            assert!(!appended.duplicate);
        }
    }
    assert!(
        store.fate().reason().is_none(),
        "nothing that was acknowledged is lost"
    );
}

/// The transaction lives on without its connection: nobody says that it is not applied.
#[test]
fn a_transaction_that_is_still_open_is_waited_for() {
    let server = Postgres::start().unwrap();
    let url = server.database().unwrap();
    let proxy = Proxy::start(server.address());
    let (_store, mut writer) = open(&proxy.url(&url), Duration::from_millis(1_500));
    register(writer.as_mut(), 4);
    writer.commit(&[message(pair(1, 2), 1, 1, 0)]).unwrap();
    let mut admin = admin(&url);
    // Nobody is there who could answer.
    let standbys = |admin: &mut Client, names: &str| {
        admin
            .batch_execute(&format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"))
            .unwrap();
        admin.batch_execute("SELECT pg_reload_conf()").unwrap();
        until("the setting", || {
            let now: String = admin
                .query_one("SHOW synchronous_standby_names", &[])
                .unwrap()
                .get(0);
            (now == names).then_some(())
        });
    };
    standbys(&mut admin, "nobody");
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let answer = thread::scope(|scope| {
        let edit = others().remove(0);
        let committing = scope.spawn(|| writer.commit(&[edit]));
        until("the wait", || (number(&mut admin, waiting) == 1).then_some(()));
        proxy.cut_all();
        committing.join().unwrap()
    });
    assert!(matches!(answer, Err(CommitError::Unknown(_))), "{answer:?}");
    standbys(&mut admin, "");
    let found = until("the edit", || writer.commit(&[others().remove(0)]).ok());
    assert!(appended(found.into_iter().next().unwrap().unwrap()).duplicate);

    // Whoever ends the wait commits on this server alone, and the server says so.
    standbys(&mut admin, "nobody");
    let answer = thread::scope(|scope| {
        let committing = scope.spawn(|| writer.commit(&[message(pair(1, 2), 1, 7, 0)]));
        until("the wait", || (number(&mut admin, waiting) == 1).then_some(()));
        admin
            .execute(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
                &[],
            )
            .unwrap();
        committing.join().unwrap()
    });
    assert!(matches!(answer, Err(CommitError::Unknown(_))), "{answer:?}");
    standbys(&mut admin, "");
}

/// A writer whose row is gone makes it again before it does anything.
#[test]
fn a_writer_has_its_row_before_a_batch() {
    let url = services::fresh_database().unwrap();
    let (_store, mut writer) = open(&url, PATIENCE);
    let mut admin = admin(&url);
    admin.batch_execute("DELETE FROM writers").unwrap();
    register(writer.as_mut(), 1);
    let rows = "SELECT count(*) FROM writers WHERE batch <> 0";
    assert_eq!(number(&mut admin, rows), 1);
    admin
        .batch_execute("INSERT INTO writers VALUES (-1, 7, now() - interval '8 days')")
        .unwrap();
    let (_store, _writer) = open(&url, PATIENCE);
    assert_eq!(
        number(&mut admin, rows),
        1,
        "what nobody has used for a week goes"
    );
}

/// A number without anything in the server's log comes again with a message.
#[test]
fn nothing_is_claimed_that_a_crash_can_take_back() {
    let mut server = lazy_server();
    let url = server.database().unwrap();
    let (store, mut writer) = open(&url, PATIENCE);
    register(writer.as_mut(), 4);
    writer.commit(&[message(pair(1, 2), 1, 1, 0)]).unwrap();
    let mut reader = store.reader().unwrap();
    for round in 2..=8 {
        let mut stranger = admin(&url);
        let mut taking = stranger.transaction().unwrap();
        for _ in 0..3 {
            taking.query_one("SELECT pg_current_xact_id()", &[]).unwrap();
        }
        taking.rollback().unwrap();
        // To somebody who does not exist: refused, with nothing written.
        let refused = writer.commit(&[message(pair(1, 9), 1, 100 + round, 0)]).unwrap();
        assert!(refused[0].is_err());
        let seen = until("an answer", || reader.snapshot().ok());
        server.restart_immediate().unwrap();
        let event = until("a commit", || {
            writer.commit(&[message(pair(1, 2), 1, round, 0)]).ok()
        });
        let event = appended(event.into_iter().next().unwrap().unwrap()).event;
        assert!(!seen.covers(event.position), "{seen:?} {event:?}");
        let tail = reader.tail(&seen, 100).unwrap();
        assert_eq!(
            tail.events.iter().map(|event| event.seq.0).collect::<Vec<_>>(),
            [round]
        );
        assert!(tail.up_to.covers(event.position) && !tail.more);
        // On an idle store nothing moves, and nothing is written.
        let idle = reader.snapshot().unwrap();
        assert_eq!(idle, tail.up_to);
        let changes = reader.changes(UserId(1), &idle, 100).unwrap();
        assert!(changes.conversations.is_empty());
    }
    assert!(store.fate().reason().is_none());
    assert_eq!(log(reader.as_mut(), 1, pair(1, 2)).len(), 8);
}

/// A crash alone loses nothing: the epoch stays, a generation begins, and the tokens of the one before still count.
#[test]
fn a_start_of_the_server_is_a_generation() {
    let mut server = Postgres::start().unwrap();
    let url = server.database().unwrap();
    let (store, mut writer) = open(&url, PATIENCE);
    register(writer.as_mut(), 4);
    writer.commit(&[message(pair(1, 2), 1, 1, 0)]).unwrap();
    let mut reader = store.reader().unwrap();
    let ceiling = reader.snapshot().unwrap().ceiling();
    let before = Claim {
        generation: store.told(ceiling),
        ceiling,
    };
    assert_eq!(store.claim(), Some(before));
    assert_eq!(reader.testimony(before).unwrap(), Testimony::Known);
    server.restart_immediate().unwrap();
    until("a commit", || writer.commit(&[message(pair(1, 2), 1, 2, 0)]).ok());
    let now = reader.snapshot().unwrap().ceiling();
    let after = Claim {
        generation: store.told(now),
        ceiling: now,
    };
    assert_ne!(before.generation, after.generation);
    let witness = |ceiling, generation| Claim { generation, ceiling };
    let table = [
        (before, Testimony::Known),
        (after, Testimony::Known),
        (witness(ceiling, after.generation), Testimony::Known),
        // Beyond its end, beyond the horizon, of a generation that there never was.
        (witness(now, before.generation), Testimony::Witness),
        (
            witness(storage::Position(now.0 + 1), after.generation),
            Testimony::Witness,
        ),
        (witness(ceiling, Generation(7)), Testimony::Witness),
    ];
    for (claim, testimony) in table {
        assert_eq!(reader.testimony(claim).unwrap(), testimony, "{claim:?}");
    }
    let again = PostgresStore::open(PostgresOptions::new(&url)).unwrap();
    assert_eq!((again.epoch(), again.log_id()), (store.epoch(), store.log_id()));
    assert_eq!(again.token_key(), store.token_key());
    assert!(store.fate().reason().is_none());
    let report = storage::postgres::past::show(&PostgresOptions::new(&url)).unwrap();
    assert_eq!(report.generations.len(), 2);
    assert_eq!(
        report.generations[0].ends.map(Snapshot::last_of_commit),
        Some(ceiling)
    );
}

/// Two transactions move one cursor, the later number first: the other one takes a later number still.
#[test]
fn a_cursor_s_position_never_goes_back() {
    let url = services::fresh_database().unwrap();
    let (_store, mut writer) = open(&url, PATIENCE);
    register(writer.as_mut(), 4);
    writer
        .commit(&[1, 2, 3].map(|request| message(pair(1, 2), 1, request, 0)))
        .unwrap();
    let mut admin = admin(&url);
    let moved = |to| {
        Write::Cursors(vec![CursorMove {
            conversation: pair(1, 2),
            user: UserId(2),
            delivered: Seq(to),
            read: Seq(0),
        }])
    };
    writer.commit(&[moved(1)]).unwrap();
    // As one does whose number was taken later and who had the lock first.
    let later =
        "UPDATE cursors SET position = (pg_current_xact_id()::text::bigint + $1) << 20 WHERE position > 0
                 RETURNING position";
    let mut position = |ahead: i64| -> i64 { admin.query_one(later, &[&ahead]).unwrap().get(0) };
    let ahead = position(2);
    let answer = writer.commit(&[moved(2)]).unwrap().remove(0).unwrap();
    let Outcome::Cursors(_, at, _) = answer else {
        panic!("{answer:?}")
    };
    assert!(at.0 >= ahead.cast_unsigned(), "{at:?} {ahead}");
    position(1_000);
    let refused = writer.commit(&[moved(3), message(pair(1, 2), 1, 4, 0)]);
    assert!(
        matches!(refused, Err(CommitError::NotApplied { .. })),
        "{refused:?}"
    );
}

/// A position that the server has not reached yet is nothing to go round in circles about.
#[test]
fn a_tail_that_does_not_cover_what_it_lists_is_damage() {
    let url = services::fresh_database().unwrap();
    let (store, mut writer) = open(&url, PATIENCE);
    register(writer.as_mut(), 4);
    writer.commit(&[message(pair(1, 2), 1, 1, 0)]).unwrap();
    let mut reader = store.reader().unwrap();
    let seen = reader.snapshot().unwrap();
    admin(&url)
        .batch_execute("UPDATE events SET position = position + (1000000::bigint << 20)")
        .unwrap();
    let refused = reader.tail(&seen, 10);
    assert!(
        matches!(&refused, Err(storage::ReadError::Fatal(why)) if why.to_string().contains("where the server has not been")),
        "{refused:?}"
    );
    assert!(matches!(store.fate().reason(), Some(Doom::Failed(_))));
    let refused = writer.commit(&[message(pair(1, 2), 1, 2, 0)]);
    assert!(matches!(refused, Err(CommitError::Fatal(_))), "{refused:?}");
}

/// What was prepared before the tables changed is prepared again.
#[test]
fn statements_that_went_stale_are_prepared_again() {
    let url = services::fresh_database().unwrap();
    let (store, mut writer) = open(&url, PATIENCE);
    register(writer.as_mut(), 4);
    let mut reader = store.reader().unwrap();
    let mut admin = admin(&url);
    let edit = others().remove(0);
    writer.commit(&[message(pair(1, 2), 1, 1, 0), edit]).unwrap();
    for (kind, request) in [("varchar", 2), ("text", 3)] {
        assert_eq!(reader.users(&[UserId(1)]).unwrap().len(), 1);
        assert_eq!(log(reader.as_mut(), 1, pair(1, 2)).len(), request);
        admin
            .batch_execute(&format!(
                "ALTER TABLE users ALTER COLUMN display_name TYPE {kind};
                 ALTER TABLE events ALTER COLUMN label TYPE {kind}"
            ))
            .unwrap();
        assert_eq!(reader.users(&[UserId(1)]).unwrap().len(), 1);
        assert_eq!(log(reader.as_mut(), 1, pair(1, 2)).len(), request);
        let change = ProfileChange {
            user: UserId(1),
            display_name: Some(kind.to_owned()),
            avatar: None,
            status: None,
        };
        let edit = action(
            100 + request as u64,
            Action::Edit {
                target: Seq(1),
                body: Bytes::new(),
                fits: MessageKinds::ALL,
            },
        );
        writer.commit(&[Write::UpdateProfile(change), edit]).unwrap();
    }
    assert_eq!(store.status().statistics.connects, 1, "on the same connections");
}
