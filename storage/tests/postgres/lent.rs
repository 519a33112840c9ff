//! Questions on leased connections: many over few, none left, a server that goes and comes back, and what a question
//! that fails leaves to the next.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use pool::breaker::BreakerState;
use postgres::{Client, NoTls};
use storage::{
    Direction, Doom, ReadError, Reader, Seq, Store, UserId,
    postgres::{PostgresOptions, PostgresStore},
};

use crate::{PATIENCE, log, message, pair, register, until};

/// A store with one conversation, and at most so many connections that read.
fn open(url: &str, connections: u32, acquire_timeout: Duration) -> PostgresStore {
    let mut options = PostgresOptions::new(url);
    options.readers.max = connections;
    options.readers.min_idle = Some(0);
    options.readers.acquire_timeout = acquire_timeout;
    options.lock_timeout = PATIENCE;
    options.statement_timeout = PATIENCE;
    let store = PostgresStore::open(options).unwrap();
    let mut writer = store.writer().unwrap();
    register(writer.as_mut(), 4);
    writer.commit(&[message(pair(1, 2), 1, 1, 0)]).unwrap();
    store
}

fn admin(url: &str) -> Client {
    Client::connect(url, NoTls).unwrap()
}

/// One question of several statements.
fn ask(reader: &mut dyn Reader) -> Result<usize, ReadError> {
    let page = reader.events(
        UserId(1),
        pair(1, 2),
        Seq(1),
        Direction::Forward,
        usize::MAX,
        usize::MAX,
    )?;
    Ok(page.map_or(0, |page| page.events.len()))
}

#[test]
fn many_share_few_connections() {
    const READERS: usize = 8;
    const QUESTIONS: usize = 25;
    let url = services::fresh_database().unwrap();
    let store = open(&url, 2, PATIENCE);
    std::thread::scope(|scope| {
        for number in 0..READERS {
            let mut reader = store.reader().unwrap();
            scope.spawn(move || {
                for _ in 0..QUESTIONS {
                    if number.is_multiple_of(2) {
                        assert_eq!(ask(reader.as_mut()).unwrap(), 1);
                    } else {
                        let users = reader.users(&[UserId(number as u64 % 4 + 1)]).unwrap();
                        assert_eq!(users[0].id, UserId(number as u64 % 4 + 1));
                    }
                }
            });
        }
    });
    let status = store.status();
    assert!(status.statistics.connects <= 2, "{status:?}");
    assert!(
        status.statistics.leases >= (READERS * QUESTIONS) as u64,
        "{status:?}"
    );
    assert_eq!((status.pool.leased, status.breaker), (0, BreakerState::Closed));
    store.close().unwrap();
    let refused = store.reader().unwrap().snapshot().unwrap_err();
    assert!(refused.to_string().contains("closed"), "{refused}");
}

#[test]
fn who_gets_no_connection_is_refused_in_time() {
    let url = services::fresh_database().unwrap();
    let store = open(&url, 1, Duration::from_millis(50));
    let mut admin = admin(&url);
    let mut holder = admin.transaction().unwrap();
    holder
        .batch_execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        .unwrap();
    std::thread::scope(|scope| {
        let mut held_up = store.reader().unwrap();
        let held_up = scope.spawn(move || until("a connection", || held_up.users(&[UserId(1)]).ok()));
        until("its question", || (store.status().pool.leased == 1).then_some(()));
        let mut reader = store.reader().unwrap();
        for _ in 0..3 {
            let refused = reader.snapshot().unwrap_err();
            assert!(refused.to_string().contains("no connection within"), "{refused}");
        }
        // That the pool is too small says nothing of the server.
        assert_eq!(store.status().breaker, BreakerState::Closed);
        holder.rollback().unwrap();
        assert_eq!(held_up.join().unwrap().len(), 1);
        until("a connection", || reader.snapshot().ok());
    });
}

#[test]
fn a_server_that_is_away_is_not_waited_for_and_used_when_it_is_back() {
    const READERS: usize = 4;
    let mut server = services::Postgres::start().unwrap();
    let store = open(&server.database().unwrap(), 3, Duration::from_millis(200));
    let (seen_down, seen_up) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            let mut reader = store.reader().unwrap();
            let (seen_down, seen_up) = (&seen_down, &seen_up);
            scope.spawn(move || {
                until("an answer", || ask(reader.as_mut()).ok());
                seen_up.fetch_add(1, Ordering::SeqCst);
                until("a refusal at once", || {
                    let refused = ask(reader.as_mut()).err()?;
                    let at_once = refused.to_string().contains("now and then");
                    assert!(std::error::Error::source(&refused).is_some(), "{refused:?}");
                    let ReadError::Failed { retry_after, .. } = refused else {
                        panic!("{refused:?}")
                    };
                    // Who is refused at once is told when to come back, and nobody else.
                    assert_eq!(retry_after.is_some(), at_once);
                    assert!(retry_after.is_none_or(|wait| wait <= Duration::from_millis(1_250)));
                    at_once.then_some(())
                });
                seen_down.fetch_add(1, Ordering::SeqCst);
                assert_eq!(until("an answer again", || ask(reader.as_mut()).ok()), 1);
            });
        }
        let all = |count: &AtomicUsize| {
            until("all readers", || {
                (count.load(Ordering::SeqCst) == READERS).then_some(())
            });
        };
        all(&seen_up);
        server.kill().unwrap();
        all(&seen_down);
        assert_ne!(store.status().breaker, BreakerState::Closed);
        server.start_again().unwrap();
    });
    let mut reader = store.reader().unwrap();
    until("an unbroken server", || {
        let _ = reader.snapshot();
        (store.status().breaker == BreakerState::Closed).then_some(())
    });
    assert_eq!(log(reader.as_mut(), 1, pair(1, 2)).len(), 1);
}

/// A connection that was lost while nobody used it costs no question.
#[test]
fn a_lost_connection_is_replaced_within_the_question() {
    let url = services::fresh_database().unwrap();
    let store = open(&url, 2, PATIENCE);
    let mut reader = store.reader().unwrap();
    let mut admin = admin(&url);
    for _ in 0..5 {
        assert_eq!(ask(reader.as_mut()).unwrap(), 1);
        admin
            .execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()
                     AND backend_type = 'client backend'",
                &[],
            )
            .unwrap();
    }
    assert_eq!(ask(reader.as_mut()).unwrap(), 1);
    assert_eq!(store.status().breaker, BreakerState::Closed);
}

#[test]
fn a_question_that_fails_leaves_no_transaction_to_the_next() {
    let url = services::fresh_database().unwrap();
    let store = open(&url, 1, PATIENCE);
    let mut reader = store.reader().unwrap();
    let mut admin = admin(&url);
    admin
        .batch_execute("ALTER TABLE events RENAME TO hidden")
        .unwrap();
    let failed = ask(reader.as_mut()).unwrap_err();
    assert!(failed.to_string().contains("42P01"), "{failed}");
    reader.users(&[]).unwrap();
    let open: i64 = admin
        .query_one(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
            &[],
        )
        .unwrap()
        .get(0);
    assert_eq!(open, 0);
    admin
        .batch_execute("ALTER TABLE hidden RENAME TO events")
        .unwrap();
    assert_eq!(ask(reader.as_mut()).unwrap(), 1);
    let status = store.status();
    assert_eq!(
        (status.statistics.connects, status.breaker),
        (1, BreakerState::Closed),
        "the connection is as good as before, and the server answers"
    );
}

/// Whoever waits is told at once what waiting does not mend.
#[test]
fn another_database_behind_the_address_is_named() {
    let url = services::fresh_database().unwrap();
    let store = open(&url, 1, PATIENCE);
    let mut reader = store.reader().unwrap();
    let mut admin = admin(&url);
    admin
        .execute("UPDATE store SET log_id = log_id + 1", &[])
        .unwrap();
    admin
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()
                 AND backend_type = 'client backend'",
            &[],
        )
        .unwrap();
    let refused = until("a refusal", || reader.snapshot().err());
    assert!(
        matches!(&refused, ReadError::Fatal(why) if why.to_string().contains("the store has another past now")),
        "{refused}"
    );
    assert!(matches!(store.fate().reason(), Some(Doom::PastOver(_))));
}
