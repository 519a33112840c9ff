//! What a server can do to those who rely on it: be away, be silent, forget, be full, go and come back.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use services::{Redis, RedisSetup};

use super::world::{PATIENCE, next, node, patient, session, token};
use crate::ephemeral::{
    Checked, Codes, Ended, Heartbeat, Hint, HintTarget, Hints, HintsBy, Limits, Lookup, Presence, Rate,
    RateLimits, Remote, RemoteError, RemoteSettings, SessionCache, Taken, UrlError,
};
use crate::{SessionId, UserId};
use pool::breaker::BreakerState;

fn connect(settings: RemoteSettings) -> Remote {
    Remote::new(settings, Instant::now()).expect("a URL")
}

/// Sends a command past everything that is tested, and waits for its answer.
fn say(address: SocketAddr, command: &str) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream
        .write_all(format!("{command}\r\nQUIT\r\n").as_bytes())
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(!answer.starts_with('-'), "{answer}");
}

fn keep(remote: &Remote, number: u8, id: u64, user: u64) {
    let now = Instant::now();
    let Lookup::Unknown(Some(ticket)) = remote.find(&token(number), now) else {
        panic!("no ticket");
    };
    let (session, user) = session(id, user);
    remote.keep(&token(number), Some((&session, &user)), ticket, now);
    assert!(is_found(remote, number));
}

fn is_found(remote: &Remote, number: u8) -> bool {
    matches!(remote.find(&token(number), Instant::now()), Lookup::Found(_))
}

fn until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "it did not come about");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Every question has an answer, and it is that nothing is known.
fn nothing_is_known(remote: &Remote) {
    let now = Instant::now();
    let sessions = [(UserId(1), SessionId(1))];
    assert_eq!(remote.find(&token(1), now), Lookup::Unknown(None));
    assert_eq!(remote.heartbeat(&node("a", 1), now), Heartbeat::Unknown);
    assert!(!remote.announce(&node("a", 1), &sessions, now));
    assert!(!remote.withdraw(&node("a", 1), &sessions, now));
    assert_eq!(remote.routes(&[UserId(1)], now), None);
    assert_eq!(remote.nodes(now), None);
    assert!(!remote.issue("a", "123456", now));
    assert_eq!(remote.check("a", "123456", now), Checked::Unknown);
    assert!(!remote.publish(HintTarget::All, b"", now));
    // This node's own rate.
    let rate = Rate {
        every: Duration::from_hours(1),
        burst: 1,
    };
    assert_eq!(remote.take("a", rate, 1, now), Taken::Allowed);
    assert!(matches!(remote.take("a", rate, 1, now), Taken::Refused { .. }));
}

#[test]
fn without_a_server_nothing_is_known_and_nobody_waits_for_it() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let remote = connect(patient(format!("redis://{address}")));
    nothing_is_known(&remote);
    let status = remote.status();
    assert_eq!(status.breaker, BreakerState::Open);
    assert_eq!((status.pool.leased, status.pool.idle), (0, 0));
    assert_eq!(status.calls, status.unanswered);
}

#[test]
fn a_silent_server_is_left_alone_after_a_few_calls() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    // Ends with the process; it holds what it accepts and never answers.
    std::thread::spawn(move || {
        let held: Vec<_> = listener
            .incoming()
            .inspect(|_| {
                count.fetch_add(1, Ordering::SeqCst);
            })
            .collect();
        drop(held);
    });
    let remote = connect(RemoteSettings {
        connect_timeout: Duration::from_millis(20),
        read_timeout: Duration::from_millis(20),
        ..RemoteSettings::new(format!("redis://{address}"))
    });
    nothing_is_known(&remote);
    assert_eq!(remote.status().breaker, BreakerState::Open);
    assert!(
        accepted.load(Ordering::SeqCst) <= 5,
        "it was asked more than five times"
    );
}

#[test]
fn a_server_that_forgets_everything_is_told_anew() {
    let server = Redis::start().expect("a server");
    for by in [HintsBy::PubSub, HintsBy::Streams] {
        let remote = connect(RemoteSettings {
            hints_by: by,
            prefix: format!("{by:?}:"),
            ..patient(server.url())
        });
        let now = Instant::now();
        let hints = remote.subscribe("a");
        assert_eq!(next(&hints), Hint::Lost);
        assert!(remote.publish(HintTarget::All, b"1", now));
        assert_eq!(next(&hints), Hint::Bytes(Bytes::from_static(b"1")));
        remote.heartbeat(&node("a", 1), now);
        assert_eq!(remote.heartbeat(&node("a", 2), now), Heartbeat::Kept);
        // Ends make the numbers of before greater than the first of after.
        for _ in 0..3 {
            remote.end(Ended::User(UserId(8)), now);
        }
        let Lookup::Unknown(Some(late)) = remote.find(&token(1), now) else {
            panic!("no ticket");
        };

        say(server.address(), "FLUSHALL");

        let (session, user) = session(5, 7);
        remote.keep(&token(1), Some((&session, &user)), late, now);
        assert!(!is_found(&remote, 1), "a ticket from before counts");
        keep(&remote, 2, 5, 7);
        remote.end(Ended::User(UserId(7)), now);
        assert!(!is_found(&remote, 2));
        assert_eq!(remote.heartbeat(&node("a", 2), now), Heartbeat::Repeat);
        assert_eq!(remote.heartbeat(&node("a", 2), now), Heartbeat::Repeat);
        assert_eq!(remote.heartbeat(&node("a", 3), now), Heartbeat::Kept);
        // Numbers begin anew, which is where one may be missing.
        assert!(remote.publish(HintTarget::All, b"2", now));
        assert!(remote.publish(HintTarget::All, b"3", now));
        assert_eq!(next(&hints), Hint::Lost);
        assert_eq!(next(&hints), Hint::Bytes(Bytes::from_static(b"2")));
        assert_eq!(next(&hints), Hint::Bytes(Bytes::from_static(b"3")));
    }
}

#[test]
fn a_server_that_goes_and_comes_back_is_used_again() {
    let mut server = Redis::start().expect("a server");
    let remote = connect(patient(server.url()));
    keep(&remote, 1, 5, 7);
    remote.heartbeat(&node("a", 1), Instant::now());
    let hints = remote.subscribe("a");
    assert_eq!(next(&hints), Hint::Lost);
    server.stop().expect("stopped");
    server.start_again().expect("started");
    // The connection that was closed meanwhile is replaced within the call.
    keep(&remote, 2, 5, 7);
    assert!(!is_found(&remote, 1), "it was forgotten");
    assert_eq!(remote.status().breaker, BreakerState::Closed);
    assert_eq!(remote.status().unanswered, 0);
    assert_eq!(next(&hints), Hint::Lost, "connected again");
    assert!(remote.publish(HintTarget::Node("a"), b"1", Instant::now()));
    assert_eq!(next(&hints), Hint::Bytes(Bytes::from_static(b"1")));

    server.kill().expect("killed");
    assert!(!remote.announce(&node("a", 2), &[(UserId(1), SessionId(1))], Instant::now()));
    server.start_again().expect("started");
    until(|| remote.heartbeat(&node("a", 2), Instant::now()) == Heartbeat::Repeat);
    assert_eq!(remote.heartbeat(&node("a", 3), Instant::now()), Heartbeat::Kept);
}

#[test]
fn what_ended_while_nobody_listened_does_not_come_back() {
    let server = Redis::start().expect("a server");
    // A breaker that hides no call, and time-outs that end in time.
    let mut settings = patient(server.url());
    settings.breaker.failures_in_a_row = u32::MAX;
    settings.breaker.calls_min = u32::MAX;
    settings.read_timeout = Duration::from_millis(500);
    settings.connect_timeout = Duration::from_millis(500);
    let remote = connect(settings);
    keep(&remote, 1, 5, 7);
    server.freeze();
    remote.end(Ended::Session(SessionId(5)), Instant::now());
    assert_eq!(remote.find(&token(1), Instant::now()), Lookup::Unknown(None));
    server.thaw();
    until(|| remote.find(&token(1), Instant::now()) != Lookup::Unknown(None));
    assert!(!is_found(&remote, 1));
}

#[test]
fn too_many_ends_to_tell_are_told_as_all() {
    let mut server = Redis::start().expect("a server");
    let remote = connect(patient(server.url()));
    keep(&remote, 1, 5, 7);
    let others = connect(patient(server.url()));
    server.kill().expect("killed");
    for session in 0..200 {
        remote.end(Ended::Session(SessionId(session + 100)), Instant::now());
    }
    assert_eq!(remote.find(&token(1), Instant::now()), Lookup::Unknown(None));
    server.start_again().expect("started");
    keep(&others, 1, 5, 7);
    until(|| remote.find(&token(1), Instant::now()) != Lookup::Unknown(None));
    assert!(!is_found(&others, 1), "the others were not told");
}

#[test]
fn a_full_server_answers_questions_and_ends_sessions() {
    let server = Redis::start().expect("a server");
    let remote = connect(patient(server.url()));
    keep(&remote, 1, 5, 7);
    keep(&remote, 2, 6, 8);
    remote.heartbeat(&node("a", 1), Instant::now());
    assert!(remote.announce(&node("a", 1), &[(UserId(1), SessionId(1))], Instant::now()));
    say(server.address(), "CONFIG SET maxmemory 1");

    let now = Instant::now();
    assert!(is_found(&remote, 1));
    assert_eq!(remote.is_online(&[UserId(1)], now), Some(vec![true]));
    assert!(!remote.announce(&node("a", 1), &[(UserId(2), SessionId(2))], now));
    assert!(!remote.issue("a", "123456", now));
    for _ in 0..20 {
        assert!(!remote.publish(HintTarget::All, b"", now));
    }
    assert_eq!(remote.status().breaker, BreakerState::Closed, "it does answer");
    remote.end(Ended::User(UserId(7)), now);
    assert!(!is_found(&remote, 1));

    let Lookup::Unknown(Some(ticket)) = remote.find(&token(3), now) else {
        panic!("no ticket");
    };
    remote.keep(&token(3), None, ticket, now);
    let unknown = matches!(remote.find(&token(3), now), Lookup::Unknown(Some(_)));
    assert!(unknown, "it was kept");

    say(server.address(), "CONFIG SET maxmemory 0");
    assert!(!is_found(&remote, 1) && is_found(&remote, 2));
    keep(&remote, 3, 6, 8);
    assert_eq!(
        remote.heartbeat(&node("a", 1), now),
        Heartbeat::Repeat,
        "one was not announced"
    );
}

#[test]
fn a_password_is_used_and_never_shown() {
    let setup = RedisSetup {
        password: Some("hidden".to_owned()),
        ..RedisSetup::default()
    };
    let server = setup.start().expect("a server");
    let right = connect(patient(server.url()));
    keep(&right, 1, 5, 7);
    let settings = patient(server.url().replace("hidden", "guessed"));
    let shown = format!("{settings:?}");
    let wrong = connect(settings);
    nothing_is_known(&wrong);
    let bad = patient("redis://:guessed@host:port".to_owned());
    let error = Remote::new(bad, Instant::now()).expect_err("no such port");
    assert_eq!(error, RemoteError::Url(UrlError));
    for text in [shown, format!("{right:?}{wrong:?}{error:?}{error}")] {
        assert!(!text.contains("hidden") && !text.contains("guessed"), "{text}");
    }
}

#[test]
fn a_server_without_encryption_is_none_where_it_is_asked_for() {
    let server = Redis::start().expect("a server");
    let url = server.url().replace("redis://", "rediss://");
    nothing_is_known(&connect(RemoteSettings {
        connect_timeout: Duration::from_millis(100),
        ..RemoteSettings::new(url)
    }));
}

#[test]
fn every_key_expires_and_has_the_prefix() {
    let server = Redis::start().expect("a server");
    for by in [HintsBy::PubSub, HintsBy::Streams] {
        let remote = connect(RemoteSettings {
            hints_by: by,
            prefix: format!("mine:{by:?}:"),
            ..patient(server.url())
        });
        let now = Instant::now();
        keep(&remote, 1, 5, 7);
        remote.find(&token(2), now);
        remote.end(Ended::User(UserId(1)), now);
        remote.heartbeat(&node("a", 1), now);
        assert!(remote.announce(&node("a", 1), &[(UserId(1), SessionId(1))], now));
        assert!(remote.issue("a", "123456", now));
        let rate = Rate {
            every: Duration::from_secs(60),
            burst: 1,
        };
        assert_eq!(remote.take(&format!("{by:?}"), rate, 1, now), Taken::Allowed);
        assert!(remote.publish(HintTarget::All, b"1", now));
        remote.end(Ended::Token(token(1).0), now);
    }
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut connection = client.get_connection().expect("a connection");
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).expect("keys");
    assert!(keys.len() >= 22, "{keys:?}");
    for key in keys {
        assert!(key.starts_with("mine:"), "{key}");
        let ttl: i64 = redis::cmd("PTTL")
            .arg(&key)
            .query(&mut connection)
            .expect("its TTL");
        assert!(ttl > 0, "{key} lives for ever");
    }
}

#[test]
fn nodes_share_what_they_know() {
    let settings = super::world::shared(Limits::default());
    let (first, second) = (connect(settings.clone()), connect(settings.clone()));
    let strangers = connect(RemoteSettings {
        prefix: format!("{}other:", settings.prefix),
        ..settings
    });
    let now = Instant::now();
    let rate = Rate {
        every: Duration::from_hours(1),
        burst: 1,
    };
    assert_eq!(first.take("a", rate, 1, now), Taken::Allowed);
    assert!(matches!(second.take("a", rate, 1, now), Taken::Refused { .. }));
    assert_eq!(strangers.take("a", rate, 1, now), Taken::Allowed);

    keep(&first, 1, 5, 7);
    assert!(is_found(&second, 1) && !is_found(&strangers, 1));
    second.end(Ended::User(UserId(7)), now);
    assert!(!is_found(&first, 1));

    assert!(first.issue("a", "123456", now));
    assert_eq!(strangers.check("a", "123456", now), Checked::NoCode);
    assert_eq!(second.check("a", "123456", now), Checked::Right);

    first.heartbeat(&node("a", 1), now);
    assert!(first.announce(&node("a", 1), &[(UserId(1), SessionId(1))], now));
    assert_eq!(second.is_online(&[UserId(1)], now), Some(vec![true]));
    assert_eq!(strangers.is_online(&[UserId(1)], now), Some(vec![false]));

    let hints = second.subscribe("b");
    assert_eq!(next(&hints), Hint::Lost);
    assert!(strangers.publish(HintTarget::All, b"0", now));
    assert!(first.publish(HintTarget::Node("b"), b"1", now));
    assert_eq!(next(&hints), Hint::Bytes(Bytes::from_static(b"1")));
}
