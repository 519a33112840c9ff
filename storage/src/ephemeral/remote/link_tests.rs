//! What a call costs its caller and the others: connections that others have, that were closed, that owe an answer.

use std::sync::mpsc;

use super::*;
use pool::CloseReason;
use pool::breaker::BreakerSettings;

/// Nothing here takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Long enough for an answer on a machine that is busy with other tests.
const ANSWER: Duration = Duration::from_millis(500);

fn link(connections_max: usize, read_timeout: Duration) -> Link {
    let breaker = BreakerSettings {
        failures_in_a_row: 2,
        ..BreakerSettings::default()
    };
    let settings = RemoteSettings {
        breaker,
        connections_max,
        connect_timeout: PATIENCE,
        read_timeout,
        write_timeout: PATIENCE,
        ..RemoteSettings::new(services::shared_redis().expect("a server"))
    };
    Link::new(&settings, Instant::now()).expect("a URL")
}

fn ping(link: &Link, repeatable: Repeatable) -> Option<String> {
    link.call(Instant::now(), repeatable, |connection| {
        redis::cmd("PING").query(connection)
    })
}

/// How a connection is known to the server.
fn name(link: &Link) -> u64 {
    let number = link.call(Instant::now(), Repeatable::Yes, |connection| {
        redis::cmd("CLIENT").arg("ID").query(connection)
    });
    number.expect("an answer")
}

fn closed(link: &Link, reason: CloseReason) -> u64 {
    link.guarded.pool().statistics().closed(reason)
}

#[test]
fn who_gets_no_connection_of_others_goes_without_and_blames_nobody() {
    let link = link(1, ANSWER);
    let (held, release) = (mpsc::sync_channel(1), mpsc::sync_channel::<()>(1));
    std::thread::scope(|scope| {
        let link = &link;
        let (holds, released) = (held.0, release.1);
        scope.spawn(move || {
            link.call(Instant::now(), Repeatable::No, |connection| {
                holds.send(()).expect("heard");
                // Ends with the test, however that ends.
                let _ = released.recv();
                redis::cmd("PING").exec(connection)
            })
        });
        held.1.recv().expect("held");
        let (told, outcome) = mpsc::sync_channel(2);
        scope.spawn(move || {
            for _ in 0..2 {
                told.send(ping(link, Repeatable::Yes)).expect("heard");
            }
        });
        for _ in 0..2 {
            // It does not wait as it would for one that is being made.
            assert_eq!(outcome.recv_timeout(PATIENCE / 2), Ok(None));
        }
        let status = link.status();
        assert_eq!(
            (status.breaker, status.pool.leased, status.unanswered),
            (BreakerState::Closed, 1, 2)
        );
        assert!(status.statistics.wait_longest >= ANSWER);
        drop(release.0);
    });
    assert!(ping(&link, Repeatable::No).is_some());
    let status = link.status();
    assert_eq!(
        (
            status.breaker,
            status.pool.max,
            status.pool.leased,
            status.pool.idle,
            status.pool.waiting
        ),
        (BreakerState::Closed, 1, 0, 1, 0)
    );
    assert_eq!((status.unanswered, status.calls), (2, 4));
}

#[test]
fn a_connection_that_owes_an_answer_is_not_used_again() {
    let link = link(2, ANSWER);
    let before = name(&link);
    let answer: Option<Vec<String>> = link.call(Instant::now(), Repeatable::Yes, |connection| {
        redis::cmd("BLPOP")
            .arg(format!("nobody pushes here {before}"))
            .arg(0)
            .query(connection)
    });
    assert_eq!(answer, None);
    assert_eq!(closed(&link, CloseReason::Tainted), 1, "and it was not repeated");
    assert_ne!(name(&link), before);
    // A refusal is an answer.
    let kept = name(&link);
    let refused: Option<String> = link.call(Instant::now(), Repeatable::Yes, |connection| {
        redis::cmd("NO SUCH COMMAND").query(connection)
    });
    assert_eq!((refused, name(&link)), (None, kept));
    assert_eq!(link.status().breaker, BreakerState::Closed);
}

#[test]
fn connections_that_were_closed_cost_no_call_that_may_be_repeated() {
    let link = link(3, PATIENCE);
    let others = redis::Client::open(services::shared_redis().expect("a server")).expect("a URL");
    let mut others = others.get_connection().expect("a connection");
    let mut end_all = || {
        // All three at once.
        let meet = std::sync::Barrier::new(3);
        let name = || {
            let name = link.call(Instant::now(), Repeatable::No, |connection| {
                meet.wait();
                redis::cmd("CLIENT").arg("ID").query::<u64>(connection)
            });
            name.expect("an answer")
        };
        let names = std::thread::scope(|scope| {
            [(); 3]
                .map(|()| scope.spawn(name))
                .map(|thread| thread.join().expect("no panic"))
        });
        for name in names {
            let ended: u64 = redis::cmd("CLIENT")
                .arg(&["KILL", "ID"])
                .arg(name)
                .query(&mut others)
                .expect("an answer");
            assert_eq!(ended, 1);
        }
    };
    end_all();
    assert!(ping(&link, Repeatable::Yes).is_some());
    let ended = closed(&link, CloseReason::Broken) + closed(&link, CloseReason::Invalid);
    assert_eq!(ended, 3, "the others were tested before they were lent");
    assert_eq!(
        (link.status().unanswered, link.guarded.pool().status().total),
        (0, 1)
    );
    end_all();
    // Where once may be twice it is not tried again, unless the connection was tested before; but it is the only one
    // that fails.
    let _ = ping(&link, Repeatable::No);
    assert!(ping(&link, Repeatable::No).is_some());
    assert_eq!(link.status().breaker, BreakerState::Closed);
}

#[test]
fn the_pool_opens_nothing_that_no_call_waits_for() {
    for connections_max in [1, 8, 4_096] {
        let settings = RemoteSettings {
            connections_max,
            ..RemoteSettings::new("redis://localhost")
        };
        let pool = pool_settings(&settings);
        assert_eq!(pool.check(), Ok(()));
        // Nor to keep some ready, nor in the place of one that grows old; and its pauses hide nothing of the breaker's.
        assert_eq!((pool.min_idle, pool.max_lifetime), (Some(0), None));
        assert_eq!(pool.retry_longest, pool::RETRY_FIRST);
    }
    let settings = RemoteSettings {
        connections_max: 0,
        ..RemoteSettings::new("redis://localhost")
    };
    let refused = Link::new(&settings, Instant::now()).expect_err("no connections");
    assert!(refused.to_string().contains("max must be 1 to 4096"), "{refused}");
}
