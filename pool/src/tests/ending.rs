//! Building, pausing, replacing, closing.

use super::script::Failure;
use super::*;

#[test]
fn a_pool_can_be_built_full() {
    let script = script();
    let full = Init::Full {
        within: Duration::MAX,
    };
    let settings = PoolSettings {
        min_idle: None,
        ..settings(4)
    };
    let pool = builder(&script, settings).init(full).build().unwrap();
    assert_eq!((pool.status().total, opened(&script)), (4, 4));
}

#[test]
fn a_wrong_password_is_found_when_the_pool_is_built() {
    let script = script();
    *script.failure.lock() = Some(Failure::Password);
    let one = Init::One { within: PATIENCE };
    let refused = builder(&script, settings(4)).init(one).build().map(drop);
    let text = refused.unwrap_err().to_string();
    assert_eq!(
        text,
        "the pool's first connections: connecting failed: the password is wrong"
    );
    until(|| Arc::strong_count(&script) == 1);
}

#[test]
fn a_database_that_is_down_is_not_waited_for_longer_than_told() {
    let script = script();
    *script.failure.lock() = Some(Failure::Down);
    let one = Init::One {
        within: Duration::ZERO,
    };
    let refused = builder(&script, settings(4)).init(one).build().map(drop);
    assert!(matches!(
        refused,
        Err(BuildError::Connect(GetError::Timeout { .. }))
    ));
}

#[test]
fn settings_are_checked() {
    let refused = builder(&script(), settings(0)).build().map(drop);
    assert!(matches!(refused, Err(BuildError::Settings(error)) if error.setting == "max"));
}

#[test]
fn a_paused_pool_lets_its_callers_wait() {
    let script = script();
    let pool = pool(&script, settings(2));
    drop(pool.get().unwrap());
    pool.pause();
    timed_out(pool.get_by(Instant::now()));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.get().map(|lease| lease.number));
        until(|| pool.status().waiting == 1);
        pool.resume();
        assert_eq!(waiting.join().unwrap().unwrap(), 0);
    });
}

#[test]
fn all_connections_can_be_replaced() {
    let script = script();
    let pool = pool(&script, settings(2));
    let leases = [pool.get().unwrap(), pool.get().unwrap()];
    pool.retire_all();
    drop(leases);
    until(|| closed(&script) == 2);
    assert_eq!(pool.get().unwrap().number, 2);
    assert_eq!(pool.statistics().closed(CloseReason::Retired), 2);
}

#[test]
fn a_pool_can_shrink_and_grow() {
    let script = script();
    let pool = pool(&script, settings(1));
    let first = pool.get().unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.get().map(|lease| lease.number));
        until(|| pool.status().waiting == 1);
        pool.set_max(2);
        assert_eq!(waiting.join().unwrap().unwrap(), 1);
    });
    pool.set_max(1);
    drop(first);
    until(|| closed(&script) == 1);
    assert_eq!(pool.status().total, 1);
}

#[test]
fn closing_tells_those_who_wait_and_waits_for_those_who_have() {
    let script = script();
    let pool = pool(&script, settings(1));
    let lease = pool.get().unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| pool.get());
        until(|| pool.status().waiting == 1);
        let closing = scope.spawn(|| pool.close(PATIENCE));
        // The lease is still out when this one is told.
        assert!(matches!(waiting.join().unwrap(), Err(GetError::Closed)));
        drop(lease);
        let left = closing.join().unwrap();
        assert_eq!(
            left,
            Status {
                max: 1,
                ..Status::default()
            }
        );
    });
    assert_eq!((closed(&script), pool.handle.threads.lock().len()), (1, 0));
    assert!(matches!(pool.get(), Err(GetError::Closed)));
    assert!(pool.try_get().is_none());
}

#[test]
fn closing_says_what_is_left_when_its_time_is_over() {
    let script = script();
    let pool = pool(&script, settings(1));
    let lease = pool.get().unwrap();
    let left = pool.close(Duration::ZERO);
    assert_eq!((left.leased, left.total), (1, 1));
    until(|| pool.handle.shared.inner.lock().threads == 0);
    // No thread is left to close it.
    drop(lease);
    assert_eq!(closed(&script), 1);
    assert_eq!(pool.close(PATIENCE).total, 0);
}

#[test]
fn a_pool_ends_with_its_last_handle_and_a_lease_after_it() {
    let script = script();
    let pool = pool(&script, settings(2));
    let lease = pool.get().unwrap();
    drop(pool.get().unwrap());
    drop(pool.clone());
    assert_eq!(pool.status().total, 2);
    drop(pool);
    until(|| closed(&script) == 1);
    assert_eq!(lease.number, 0);
    drop(lease);
    until(|| Arc::strong_count(&script) == 1);
    assert_eq!(closed(&script), 2);
}

#[test]
fn an_attempt_under_way_when_the_pool_ends_is_closed_when_it_succeeds() {
    let script = script();
    script.shut();
    let pool = pool(
        &script,
        PoolSettings {
            min_idle: Some(1),
            ..settings(1)
        },
    );
    until(|| pool.status().connecting == 1);
    let left = pool.close(Duration::ZERO);
    assert_eq!(left.connecting, 1);
    script.admit_all();
    pool.close(PATIENCE);
    assert_eq!((opened(&script), closed(&script)), (1, 1));
}
