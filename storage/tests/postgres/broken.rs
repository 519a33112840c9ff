//! Connections that are cut, sessions that are ended, servers that are killed, locks that are held: what was
//! acknowledged is there, what was refused is not, and nothing is there twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use pool::breaker::BreakerState;
use postgres::{Client, NoTls};
use storage::{
    CommitError, NewSession, OpenError, Outcome, Refused, Seq, Store, Write, Writer,
    postgres::{PostgresOptions, PostgresStore},
};

use crate::{PATIENCE, appended, log, message, pair, proxy::Proxy, register, until};

fn admin(url: &str) -> Client {
    Client::connect(url, NoTls).unwrap()
}

/// Ends all other sessions on the database.
fn end_sessions(admin: &mut Client) {
    admin
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
            &[],
        )
        .unwrap();
}

fn open(url: &str) -> (PostgresStore, Box<dyn Writer>) {
    open_with(PostgresOptions::new(url))
}

fn open_with(mut options: PostgresOptions) -> (PostgresStore, Box<dyn Writer>) {
    // Opens no connection while something is cut that it might get in the way of.
    options.readers.min_idle = Some(0);
    options.readers.acquire_timeout = PATIENCE;
    let store = PostgresStore::open(options).unwrap();
    let mut writer = store.writer().unwrap();
    register(writer.as_mut(), 4);
    (store, writer)
}

pub(crate) fn session(id: u64) -> Write {
    let policy = storage::DevicePolicy {
        total: 1_000,
        mobile: 1_000,
        desktop: 1_000,
        web: 1_000,
        script: 1_000,
    };
    let mut token = [0; 32];
    token[..8].copy_from_slice(&id.to_be_bytes());
    Write::CreateSession(NewSession {
        session: storage::Session {
            id: storage::SessionId(id),
            user: storage::UserId(1),
            device_id: format!("{id}"),
            class: storage::DeviceClass::Web,
            device_name: String::new(),
            created_at: storage::Timestamp(0),
            last_seen_at: storage::Timestamp(0),
        },
        token_hash: storage::TokenHash(token),
        policy,
        online: Vec::new(),
    })
}

#[test]
fn sessions_end_while_batches_commit() {
    const REQUESTS: u64 = 300;
    let url = services::fresh_database().unwrap();
    let (store, mut writer) = open(&url);
    let (done, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let (stored, refused, open) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut admin = admin(&url);
            let mut next = 0;
            while !done.load(Ordering::SeqCst) {
                if answered.load(Ordering::SeqCst) >= next {
                    end_sessions(&mut admin);
                    next += 3;
                }
                std::thread::yield_now();
            }
        });
        let (mut stored, mut refused, mut open) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        for request in 1..=REQUESTS {
            let mut batch = vec![message(pair(1, 2), 1, request, 0)];
            if request.is_multiple_of(3) {
                batch.push(session(request));
            }
            match writer.commit(&batch) {
                Ok(mut answers) => {
                    let event = appended(answers.remove(0).unwrap()).event;
                    stored.insert(request, event.seq);
                }
                Err(CommitError::NotApplied { .. }) => {
                    refused.insert(request);
                }
                Err(CommitError::Unknown(_)) => {
                    open.insert(request);
                }
                Err(CommitError::Fatal(reason)) => panic!("{reason}"),
            }
            answered.fetch_add(1, Ordering::SeqCst);
        }
        done.store(true, Ordering::SeqCst);
        (stored, refused, open)
    });
    let mut reader = store.reader().unwrap();
    let log = until("an answer", || {
        reader.snapshot().ok()?;
        Some(log(reader.as_mut(), 1, pair(1, 2)))
    });
    let found: BTreeMap<u64, Seq> = log
        .iter()
        .map(|event| {
            (
                u64::from_be_bytes(event.client_id.0[..8].try_into().unwrap()),
                event.seq,
            )
        })
        .collect();
    assert_eq!(found.len(), log.len(), "one is there twice");
    for (request, seq) in &stored {
        assert_eq!(found.get(request), Some(seq), "acknowledged: {request}");
    }
    for request in &refused {
        assert!(!found.contains_key(request), "refused and there: {request}");
    }
    let sessions: BTreeSet<u64> = reader
        .sessions(storage::UserId(1))
        .unwrap()
        .iter()
        .map(|session| session.id.0)
        .collect();
    for request in (3..=REQUESTS)
        .step_by(3)
        .filter(|request| !open.contains(request))
    {
        assert_eq!(sessions.contains(&request), stored.contains_key(&request));
    }
    assert!(!stored.is_empty());
}

/// The server has committed, and its answer is lost.
#[test]
fn a_lost_answer_is_found_out() {
    let server = services::Postgres::start().unwrap();
    let url = server.database().unwrap();
    let proxy = Proxy::start(server.address());
    let through = url.replace(&server.address().to_string(), &proxy.address().to_string());
    let (store, mut writer) = open(&through);
    writer.commit(&[message(pair(1, 2), 1, 1, 0)]).unwrap();

    proxy.cut_next();
    let answer = writer.commit(&[message(pair(1, 2), 1, 2, 0)]).unwrap().remove(0);
    assert!(proxy.has_cut());
    let second = appended(answer.unwrap());
    assert_eq!(
        (second.event.seq, second.duplicate),
        (Seq(2), false),
        "nobody has heard of it yet"
    );

    proxy.cut_commit();
    let answers = writer
        .commit(&[message(pair(1, 2), 1, 3, 0), session(7)])
        .unwrap();
    assert!(proxy.has_cut());
    assert!(matches!(answers[1], Ok(Outcome::Session(_))), "{answers:?}");
    let again = writer.commit(&[message(pair(1, 2), 1, 3, 0)]).unwrap().remove(0);
    let again = appended(again.unwrap());
    assert_eq!((again.event.seq, again.duplicate), (Seq(3), true));

    // A question does not show that its connection was lost.
    let mut reader = store.reader().unwrap();
    reader.snapshot().unwrap();
    proxy.cut_next();
    assert_eq!(log(reader.as_mut(), 2, pair(1, 2)).len(), 3);
    assert!(proxy.has_cut());
}

#[test]
fn a_server_that_is_killed_has_what_was_acknowledged() {
    let mut server = services::Postgres::start().unwrap();
    let (store, mut writer) = open(&server.database().unwrap());
    for request in 1..=20 {
        writer.commit(&[message(pair(1, 2), 1, request, 0)]).unwrap();
    }
    server.kill().unwrap();
    let refused = writer.commit(&[message(pair(1, 2), 1, 21, 0), session(1)]);
    assert!(
        matches!(refused, Err(CommitError::NotApplied { full: false, .. })),
        "{refused:?}"
    );
    server.start_again().unwrap();
    let answer = until("a commit", || {
        writer.commit(&[message(pair(1, 2), 1, 22, 0)]).ok()
    });
    assert_eq!(
        appended(answer.into_iter().next().unwrap().unwrap()).event.seq,
        Seq(21)
    );
    let mut reader = store.reader().unwrap();
    assert_eq!(log(reader.as_mut(), 1, pair(1, 2)).len(), 21);
}

/// One writer finds out for all of them, and one tries; all are used again when it is back, with little at first.
#[test]
fn writers_leave_a_server_alone_that_does_not_answer() {
    let mut server = services::Postgres::start().unwrap();
    let mut options = PostgresOptions::new(server.database().unwrap());
    // Short, so that the second's connection has not been idle for long when it is the second's turn.
    options.deadline = Duration::from_millis(400);
    let (store, mut first) = open_with(options);
    let mut second = store.writer().unwrap();
    second.commit(&[message(pair(1, 3), 1, 9, 0)]).unwrap();
    first.commit(&[message(pair(1, 2), 1, 1, 0)]).unwrap();
    assert_eq!(
        (store.status().writing, first.batch_size(512)),
        (BreakerState::Closed, 512)
    );
    server.kill().unwrap();
    let wait = until("a refusal at once", || {
        match first.commit(&[message(pair(1, 2), 1, 2, 0)]) {
            Err(CommitError::NotApplied { retry_after, .. }) => retry_after,
            // The one that was sent over the connection that was there.
            Err(CommitError::Unknown(_)) => None,
            other => panic!("{other:?}"),
        }
    });
    assert!(wait <= Duration::from_millis(1_250), "{wait:?}");
    let mut refused = |left_alone: bool| {
        until("a refusal", || {
            match second.commit(&[message(pair(3, 4), 3, 3, 0)]) {
                Err(CommitError::NotApplied { reason, .. }) => {
                    (reason.to_string().contains("now and then") == left_alone).then_some(())
                }
                other => panic!("nothing was sent: {other:?}"),
            }
        });
    };
    // Who has not tried yet need not, and then is the one who tries.
    refused(true);
    refused(false);
    assert_ne!(store.status().writing, BreakerState::Closed);
    assert_eq!(second.batch_size(512), 51);

    server.start_again().unwrap();
    let answer = until("a commit", || first.commit(&[message(pair(1, 2), 1, 2, 0)]).ok());
    assert_eq!(
        appended(answer.into_iter().next().unwrap().unwrap()).event.seq,
        Seq(2)
    );
    assert_eq!(store.status().writing, BreakerState::Recovering);
    let answer = until("a commit", || second.commit(&[message(pair(3, 4), 3, 3, 0)]).ok());
    assert_eq!(
        appended(answer.into_iter().next().unwrap().unwrap()).event.seq,
        Seq(1)
    );
    until("a server like any other", || {
        first.commit(&[message(pair(1, 2), 1, 2, 0)]).unwrap();
        (store.status().writing == BreakerState::Closed).then_some(())
    });
    assert_eq!(second.batch_size(512), 512);
}

#[test]
fn a_lock_is_waited_for_only_so_long() {
    let url = services::fresh_database().unwrap();
    let mut options = PostgresOptions::new(&url);
    options.lock_timeout = Duration::from_millis(50);
    let store = PostgresStore::open(options).unwrap();
    let mut writer = store.writer().unwrap();
    register(writer.as_mut(), 4);
    writer.commit(&[message(pair(1, 2), 1, 1, 0)]).unwrap();
    let mut admin = admin(&url);
    let mut holder = admin.transaction().unwrap();
    holder
        .execute("SELECT 1 FROM conversations FOR UPDATE", &[])
        .unwrap();
    for batch in [
        vec![message(pair(1, 2), 1, 2, 0)],
        vec![message(pair(1, 2), 1, 2, 0), session(1)],
    ] {
        let answers = writer.commit(&batch).unwrap();
        let (held, others) = answers.split_first().unwrap();
        assert!(matches!(held, Err(Refused::Busy)), "{held:?}");
        assert!(others.iter().all(Result::is_ok), "{others:?}");
    }
    // Others do not wait.
    writer.commit(&[message(pair(3, 4), 3, 3, 0)]).unwrap();
    holder.rollback().unwrap();
    let answer = writer.commit(&[message(pair(1, 2), 1, 2, 0)]).unwrap().remove(0);
    assert_eq!(appended(answer.unwrap()).event.seq, Seq(2));
}

#[test]
fn a_read_only_server_is_refused_until_it_is_not() {
    let url = services::fresh_database().unwrap();
    let (_store, mut writer) = open(&url);
    let mut admin = admin(&url);
    let name: String = admin.query_one("SELECT current_database()", &[]).unwrap().get(0);
    let set = |admin: &mut Client, value: &str| {
        let sql = format!(
            "SET default_transaction_read_only = off;
             ALTER DATABASE \"{name}\" SET default_transaction_read_only = {value}"
        );
        admin.batch_execute(&sql).unwrap();
        end_sessions(admin);
    };
    set(&mut admin, "on");
    for request in 1..=3 {
        let refused = writer.commit(&[message(pair(1, 2), 1, request, 0), session(request)]);
        assert!(
            matches!(refused, Err(CommitError::NotApplied { .. })),
            "{refused:?}"
        );
    }
    set(&mut admin, "off");
    until("a commit", || writer.commit(&[message(pair(1, 2), 1, 9, 0)]).ok());
}

#[test]
fn another_database_behind_the_address_is_fatal() {
    let url = services::fresh_database().unwrap();
    let (_store, mut writer) = open(&url);
    let mut admin = admin(&url);
    admin
        .execute("UPDATE store SET log_id = log_id + 1", &[])
        .unwrap();
    end_sessions(&mut admin);
    let refused = writer.commit(&[message(pair(1, 2), 1, 1, 0)]);
    assert!(matches!(refused, Err(CommitError::Fatal(_))), "{refused:?}");
    let refused = writer.commit(&[message(pair(1, 2), 1, 2, 0)]);
    assert!(matches!(refused, Err(CommitError::Fatal(_))), "{refused:?}");
}

#[test]
fn what_does_not_fit_is_not_opened() {
    let url = services::fresh_database().unwrap();
    let mut admin = admin(&url);
    admin.batch_execute("CREATE TABLE theirs (id integer)").unwrap();
    let refused = PostgresStore::open(PostgresOptions::new(&url)).unwrap_err();
    assert!(refused.to_string().contains("another program's"), "{refused}");
    admin.batch_execute("DROP TABLE theirs").unwrap();
    drop(PostgresStore::open(PostgresOptions::new(&url)).unwrap());
    admin
        .batch_execute("UPDATE refinery_schema_history SET version = 99 WHERE version = 1")
        .unwrap();
    let refused = PostgresStore::open(PostgresOptions::new(&url)).unwrap_err();
    assert!(
        matches!(refused, OpenError::Newer(_)) && refused.to_string().contains("newer version"),
        "{refused}"
    );
    for (url, word) in [
        (
            "postgresql://someone@192.0.2.1/x?sslmode=disable",
            "sslmode=require",
        ),
        ("postgresql://someone@192.0.2.1/x", "root certificates"),
        (
            "postgresql://someone@127.0.0.1/x?sslmode=verify-full",
            "root certificates",
        ),
        ("user=someone", "names no host"),
        ("postgresql://someone:secret@[", "cannot be read"),
    ] {
        let refused = PostgresStore::open(PostgresOptions::new(url)).unwrap_err();
        assert!(
            refused.to_string().contains(word) && !refused.to_string().contains("secret"),
            "{refused}"
        );
    }
}
