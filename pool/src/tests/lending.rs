//! Getting connections and giving them back.

use super::script::Failure;
use super::*;

#[test]
fn two_hundred_callers_are_served_in_the_order_of_their_coming() {
    let script = script();
    let pool = pool(&script, settings(1));
    let held = pool.get().unwrap();
    let served = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for number in 0..200 {
            let (pool, served) = (&pool, &served);
            scope.spawn(move || {
                let lease = pool.get().unwrap();
                served.lock().push(number);
                drop(lease);
            });
            until(|| pool.status().waiting == number + 1);
        }
        drop(held);
    });
    assert_eq!(*served.lock(), (0..200).collect::<Vec<_>>());
    assert_eq!(opened(&script), 1);
}

#[test]
fn a_burst_opens_no_more_than_it_needs() {
    let script = script();
    script.shut();
    let pool = pool(
        &script,
        PoolSettings {
            min_idle: Some(1),
            ..settings(50)
        },
    );
    thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| drop(pool.get().unwrap()));
        }
        until(|| pool.status().waiting == 50 && pool.status().connecting == 2);
        script.admit(1);
    });
    // The first connection has served all; the attempts that were under way then, one a thread, are the last.
    script.admit_all();
    until(|| pool.status().connecting == 0);
    assert!(opened(&script) <= 3, "{} connections for one", opened(&script));
}

#[test]
fn callers_meet_no_call_of_the_driver() {
    let script = script();
    let settings = PoolSettings {
        validate_after_idle: Duration::ZERO,
        ..settings(1)
    };
    let pool = pool(&script, settings);
    drop(pool.get().unwrap());
    let mut lease = pool.get().unwrap();
    lease.dirty = true;
    drop(lease);
    let mut lease = pool.get().unwrap();
    lease.taint();
    drop(lease);
    until(|| closed(&script) == 1);
    let threads = script.threads.lock().clone();
    let expected = [
        ("connect", "pool-connect"),
        ("check", "pool-check"),
        ("clean", "pool-check"),
        ("check", "pool-check"),
        ("close", "pool-close"),
    ];
    // The test may follow the cleaning or not, as the caller was there before it ended or not.
    for (what, thread) in &threads {
        assert!(expected.contains(&(*what, thread)), "{what} on {thread}");
    }
    let asked: std::collections::BTreeSet<_> = threads.iter().map(|(what, _)| *what).collect();
    assert_eq!(asked.len(), 4);
}

#[test]
fn no_lock_is_held_while_others_code_runs() {
    let script = script();
    let pool = pool(
        &script,
        PoolSettings {
            validate_after_idle: Duration::ZERO,
            ..settings(2)
        },
    );
    assert!(script.asked.set(pool.clone()).is_ok());
    *script.failure.lock() = Some(Failure::Password);
    assert!(matches!(pool.get(), Err(GetError::Connect(_))));
    *script.failure.lock() = None;
    for _ in 0..3 {
        let mut lease = pool.get().unwrap();
        lease.dirty = true;
    }
    pool.get().unwrap().taint();
    pool.retire_all();
    until(|| closed(&script) == opened(&script));
    pool.close(PATIENCE);
}

#[test]
fn a_connection_does_not_survive_a_panic_of_its_user() {
    let script = script();
    let pool = pool(&script, settings(1));
    let ended = thread::scope(|scope| {
        let user = scope.spawn(|| {
            let _lease = pool.get().unwrap();
            panic!("as told");
        });
        user.join()
    });
    assert!(ended.is_err());
    assert_eq!(pool.get().unwrap().number, 1);
    assert_eq!(pool.statistics().closed(CloseReason::Panicked), 1);
}

#[test]
fn a_panic_of_the_driver_costs_one_connection() {
    let script = script();
    let pool = pool(&script, settings(1));
    script.panics.store(1, Ordering::SeqCst);
    let mut lease = pool.get().unwrap();
    assert_eq!(pool.statistics().connect_failures, 1);
    lease.panics_when_asked = true;
    drop(lease);
    assert_eq!(pool.get().unwrap().number, 1);
    assert_eq!(pool.statistics().closed(CloseReason::Panicked), 1);
}

#[test]
fn broken_and_tainted_connections_are_replaced() {
    let script = script();
    let pool = pool(&script, settings(1));
    pool.get().unwrap().broken = true;
    let mut lease = pool.get().unwrap();
    assert_eq!(lease.number, 1);
    lease.taint();
    drop(lease);
    assert_eq!(pool.get().unwrap().number, 2);
    let statistics = pool.statistics();
    let closed = [CloseReason::Broken, CloseReason::Tainted].map(|reason| statistics.closed(reason));
    assert_eq!(closed, [1, 1]);
}

#[test]
fn a_detached_connection_is_its_takers() {
    let script = script();
    let pool = pool(&script, settings(1));
    let taken = pool.get().unwrap().detach();
    let other = pool.get().unwrap();
    assert_eq!((taken.number, other.number, pool.status().total), (0, 1, 1));
    drop(taken);
    assert_eq!(closed(&script), 1);
}

#[test]
fn a_deadline_says_what_the_pool_was_like() {
    let script = script();
    let pool = pool(&script, settings(1));
    let held = pool.get().unwrap();
    let (at, last) = timed_out(pool.get_by(Instant::now()));
    assert_eq!((at.leased, at.waiting, at.max, last), (1, 0, 1, None));
    assert!(pool.try_get().is_none());
    drop(held);
    assert_eq!(pool.get_by(Instant::now()).unwrap().number, 0);
    assert_eq!(pool.try_get().unwrap().number, 0);
    assert_eq!(pool.statistics().timeouts, 1);
}

#[test]
fn a_deadline_says_why_there_are_no_connections() {
    let script = script();
    *script.failure.lock() = Some(Failure::Down);
    let pool = pool(&script, settings(1));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.get());
        until(|| pool.statistics().connect_failures >= 2);
        let (at, last) = timed_out(pool.get_by(Instant::now()));
        assert_eq!((at.total, at.waiting, last), (0, 1, Some(Failure::Down)));
        // A caller that waits on is served as soon as the database is back.
        *script.failure.lock() = None;
        assert_eq!(waiting.join().unwrap().unwrap().number, 0);
    });
}

#[test]
fn a_failed_test_is_not_the_callers_affair() {
    let script = script();
    let pool = pool(
        &script,
        PoolSettings {
            validate_after_idle: Duration::ZERO,
            ..settings(1)
        },
    );
    drop(pool.get().unwrap());
    script.invalid.store(true, Ordering::SeqCst);
    assert_eq!(pool.get().unwrap().number, 1);
    script.check_panics.store(true, Ordering::SeqCst);
    assert_eq!(pool.get().unwrap().number, 2);
    assert_eq!(pool.statistics().closed(CloseReason::Invalid), 2);
}

#[test]
fn a_second_lease_on_one_thread_is_noticed() {
    let script = script();
    let pool = pool(&script, settings(2));
    let warned = || pool.handle.shared.warned_of_second.load(Ordering::SeqCst);
    let first = pool.get().unwrap();
    thread::scope(|scope| scope.spawn(|| drop(pool.get().unwrap())).join().unwrap());
    // Given back elsewhere, it is no longer this thread's.
    thread::scope(|scope| scope.spawn(|| drop(first)).join().unwrap());
    let first = pool.get().unwrap();
    assert!(!warned());
    drop((pool.get().unwrap(), first));
    assert!(warned());
}

/// A clock that a test moves.
#[derive(Clone)]
struct Hands(Arc<Mutex<Instant>>);

impl Clock for Hands {
    fn now(&self) -> Instant {
        *self.0.lock()
    }

    fn wall(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn time_is_what_the_clock_says() {
    let script = script();
    let hands = Hands(Arc::new(Mutex::new(Instant::now())));
    let settings = PoolSettings {
        leak_after: Some(Duration::from_secs(20)),
        ..settings(1)
    };
    let pool = builder(&script, settings).clock(hands.clone()).build().unwrap();
    let lease = pool.get().unwrap();
    for _ in 0..3 {
        *hands.0.lock() += Duration::from_secs(10);
        pool.handle.shared.keep();
    }
    assert_eq!(
        (pool.statistics().leaks, lease.age()),
        (1, Duration::from_secs(30))
    );
    *hands.0.lock() += Duration::from_secs(3600);
    drop(lease);
    assert_eq!(pool.statistics().closed(CloseReason::Lifetime), 1);
    assert_eq!(pool.statistics().hold.sum(), Duration::from_secs(3630));
}
