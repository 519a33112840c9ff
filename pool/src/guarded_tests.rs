//! A guarded pool over connections that do as they are told.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use super::*;
use crate::{
    ConnectError, PoolPolicy, PoolSettings,
    breaker::BreakerSettings,
    shared_breaker::{SlowStart, Wording},
};

/// Connections are made unless it is down.
#[derive(Clone, Default)]
struct Server {
    down: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
}

impl ManageConnection for Server {
    type Connection = usize;
    type Error = io::Error;

    fn connect(&self) -> io::Result<usize> {
        if self.down.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok(self.made.fetch_add(1, Ordering::SeqCst))
    }

    fn is_valid(&self, _: &mut usize) -> io::Result<()> {
        Ok(())
    }

    fn has_broken(&self, _: &mut usize) -> bool {
        false
    }
}

struct Policy;

impl PoolPolicy<Server> for Policy {
    /// All waiting callers get it at once.
    fn connect_error(&self, _: &io::Error) -> ConnectError {
        ConnectError::Permanent
    }
}

struct Errors;

impl Judge<Server> for Errors {
    type Error = io::Error;

    fn spoil(&self, lease: &mut Lease<Server>, error: &io::Error) {
        if error.kind() == io::ErrorKind::ConnectionReset {
            lease.taint();
        }
    }

    fn is_worth_repeating(&self, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::ConnectionReset
    }

    fn reached(&self, error: &io::Error) -> Option<bool> {
        Some(error.kind() != io::ErrorKind::ConnectionReset)
    }

    fn reached_without(&self, _: &io::Error, _: &Status) -> Option<bool> {
        Some(false)
    }
}

const AGAIN: CallSettings = CallSettings {
    wait: Duration::from_secs(60),
    repeatable: true,
};
const ONCE: CallSettings = CallSettings {
    repeatable: false,
    ..AGAIN
};

fn guarded(server: &Server) -> Guarded<Server, Errors> {
    let pool = Pool::builder(server.clone())
        .settings(PoolSettings {
            max: 2,
            min_idle: Some(0),
            ..PoolSettings::default()
        })
        .policy(Policy)
        .init(crate::Init::Lazy)
        .build()
        .unwrap();
    let words = Wording {
        whom: "the server",
        meanwhile: "calls are refused",
    };
    let settings = BreakerSettings {
        failures_in_a_row: 1,
        pause_min: Duration::from_secs(1),
        pause_max: Duration::from_secs(2),
        ..BreakerSettings::default()
    };
    let breaker = SharedBreaker::new(words, SlowStart::Fewer, settings, Instant::now());
    Guarded::new(pool, Arc::new(breaker), Errors)
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

#[test]
fn what_may_be_repeated_is_made_twice_at_most_each_time_on_another_connection() {
    let guarded = guarded(&Server::default());
    let now = Instant::now();
    let mut seen = Vec::new();
    let answer = guarded.call(now, AGAIN, |connection| {
        seen.push(*connection);
        if seen.len() == 1 {
            Err(reset())
        } else {
            Ok("answer")
        }
    });
    assert_eq!(answer.unwrap(), "answer");
    assert_eq!(seen.len(), 2);
    assert_ne!(seen[0], seen[1], "the first one was spoiled");
    assert_eq!(guarded.breaker(), BreakerState::Closed, "it answered");

    let mut calls = 0;
    let lost = guarded.call(now, AGAIN, |_| {
        calls += 1;
        Err::<(), _>(reset())
    });
    assert!(matches!(lost, Err(Trouble::Failed(_))) && calls == 2);
    assert_eq!(guarded.breaker(), BreakerState::Open);
}

#[test]
fn what_may_not_be_repeated_is_made_once() {
    let guarded = guarded(&Server::default());
    let mut calls = 0;
    let lost = guarded.call(Instant::now(), ONCE, |_| {
        calls += 1;
        Err::<(), _>(reset())
    });
    assert!(matches!(lost, Err(Trouble::Failed(_))) && calls == 1);
}

#[test]
fn an_error_that_is_an_answer_neither_repeats_nor_opens() {
    let guarded = guarded(&Server::default());
    let mut seen = Vec::new();
    for _ in 0..2 {
        let refused = guarded.call(Instant::now(), AGAIN, |connection| {
            seen.push(*connection);
            Err::<(), io::Error>(io::ErrorKind::InvalidInput.into())
        });
        assert!(matches!(refused, Err(Trouble::Failed(_))));
    }
    assert_eq!(seen, [0, 0], "the connection is as good as before");
    assert_eq!(guarded.breaker(), BreakerState::Closed);
}

#[test]
fn who_is_left_alone_is_not_called_until_the_pause_is_over() {
    let server = Server::default();
    server.down.store(true, Ordering::SeqCst);
    let guarded = guarded(&server);
    let now = Instant::now();
    let unleased = guarded.call(now, AGAIN, |_| Ok(()));
    assert!(
        matches!(unleased, Err(Trouble::Unleased(GetError::Connect(_)))),
        "{unleased:?}"
    );
    server.down.store(false, Ordering::SeqCst);
    let wait = match guarded.call(now, AGAIN, |_| Ok(())) {
        Err(Trouble::LeftAlone(wait)) => wait,
        other => panic!("{other:?}"),
    };
    assert!(wait <= Duration::from_secs(2));
    assert_eq!(server.made.load(Ordering::SeqCst), 0, "nothing was tried");
    // The breaker's time, which the caller gives.
    guarded
        .call(now + Duration::from_secs(10), AGAIN, |_| Ok(()))
        .unwrap();
}

#[test]
fn a_pool_that_is_too_small_says_nothing_of_the_server() {
    let guarded = guarded(&Server::default());
    let held: Vec<_> = (0..2).map(|_| guarded.pool().get().unwrap()).collect();
    let brief = CallSettings {
        wait: Duration::from_millis(1),
        ..AGAIN
    };
    let unleased = guarded.call(Instant::now(), brief, |_| Ok(()));
    assert!(
        matches!(unleased, Err(Trouble::Unleased(GetError::Timeout { .. }))),
        "{unleased:?}"
    );
    assert_eq!(guarded.breaker(), BreakerState::Closed);
    drop(held);
}
