//! Several devices and sessions of one person.

use std::time::Instant;

use protocol::v1::{self, DeviceClass, ErrorCode, GoAwayReason};
use tests::harness::{Daemon, Incoming, PATIENCE, Setup, User, hello, login, refused};

fn login_as(daemon: &Daemon, device: &str, class: DeviceClass) -> User {
    let mut conn = daemon.connect();
    let mut hello = hello(device);
    if let Some(device) = &mut hello.device {
        device.class = class.into();
    }
    conn.ask(hello).unwrap();
    let session = conn.ask(login("ada")).unwrap();
    User::of(daemon.address(), conn, device, session)
}

#[test]
fn devices_are_listed_with_what_they_said_of_themselves() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let mut conn = daemon.connect();
    let phone = v1::Device {
        device_id: "phone.1".to_owned(),
        class: DeviceClass::Mobile.into(),
        name: "Ada's phone".to_owned(),
    };
    let hello = v1::Hello {
        device: Some(phone.clone()),
        ..hello("")
    };
    conn.ask(hello).unwrap();
    let session = conn.ask(login("ada")).unwrap();
    let list = |user: &mut User| user.get(v1::ListDevicesRequest {}).sessions;
    let sessions = list(&mut ada);
    assert_eq!(sessions.len(), 2);
    let first = sessions
        .iter()
        .find(|other| other.session_id == ada.session)
        .unwrap();
    assert!(first.current && first.online);
    assert_eq!(first.device.as_ref().unwrap().device_id, "first");
    let second = sessions
        .iter()
        .find(|other| other.session_id == session.session_id)
        .unwrap();
    assert!(!second.current && second.online);
    assert_eq!(second.device, Some(phone));
    assert!(second.created_at_ms > 0 && second.last_seen_at_ms >= second.created_at_ms);
    // Gone, it is listed still, but not online.
    conn.finish();
    conn.end();
    let offline = loop {
        let sessions = list(&mut ada);
        let second = sessions
            .iter()
            .find(|other| other.session_id == session.session_id);
        if let Some(second) = second.filter(|second| !second.online) {
            break second.clone();
        }
    };
    assert_eq!(offline.session_id, session.session_id);
}

#[test]
fn logging_out_ends_the_session_and_the_connection() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let mut other = daemon.login("ada", "second");
    ada.get(v1::LogoutRequest {});
    ada.conn.end();
    assert_eq!(
        refused(daemon.connect().ask(ada.hello_again())),
        ErrorCode::Unauthenticated
    );
    assert_eq!(other.get(v1::ListDevicesRequest {}).sessions.len(), 1);
}

#[test]
fn logging_the_others_out_ends_them_at_once_and_says_why() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let mut others: Vec<User> = ["two", "three"].map(|device| daemon.login("ada", device)).into();
    let offline = daemon.login("ada", "four");
    drop(offline.conn);
    assert_eq!(ada.get(v1::LogoutOthersRequest {}).sessions, 3);
    for other in &mut others {
        assert_eq!(other.conn.go_away().reason(), GoAwayReason::Revoked);
        other.conn.end();
        assert_eq!(
            refused(daemon.connect().ask(other.hello_again())),
            ErrorCode::Unauthenticated
        );
    }
    let hello = v1::Hello {
        session_token: offline.token,
        ..hello("four")
    };
    assert_eq!(refused(daemon.connect().ask(hello)), ErrorCode::Unauthenticated);
    assert_eq!(ada.get(v1::ListDevicesRequest {}).sessions.len(), 1);
    assert_eq!(ada.get(v1::LogoutOthersRequest {}).sessions, 0);
}

#[test]
fn a_session_that_connects_again_replaces_its_old_connection() {
    let daemon = Daemon::start();
    let mut old = daemon.register("ada");
    let mut new = old.resumed();
    assert_eq!(old.conn.go_away().reason(), GoAwayReason::Replaced);
    old.conn.end();
    new.get(v1::ListDevicesRequest {});
    new.text(new.own(), "still here");
    assert_eq!(new.pushed().seq, 1);
}

#[test]
fn a_device_that_logs_in_again_gets_a_new_session_in_place_of_its_old_one() {
    let daemon = Daemon::start();
    let mut old = daemon.register("ada");
    let mut new = daemon.login("ada", "first");
    assert_ne!(old.session, new.session);
    assert_eq!(old.conn.go_away().reason(), GoAwayReason::Replaced);
    old.conn.end();
    assert_eq!(
        refused(daemon.connect().ask(old.hello_again())),
        ErrorCode::Unauthenticated
    );
    assert_eq!(new.get(v1::ListDevicesRequest {}).sessions.len(), 1);
}

#[test]
fn of_one_session_connecting_many_times_at_once_exactly_one_connection_stays() {
    const CONNECTIONS: usize = 20;
    let daemon = Daemon::start();
    let ada = daemon.register("ada");
    let mut bob = daemon.register("bob");
    let conversation = bob.direct(ada.id);
    let hello = ada.hello_again();
    let conns: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let mut conn = daemon.connect();
            let seq = conn.submit(hello.clone());
            (conn, seq)
        })
        .collect();
    // Each is welcomed, perhaps to be sent away later.
    let mut conns: Vec<_> = conns
        .into_iter()
        .map(|(mut conn, seq)| {
            conn.answer::<v1::Hello>(seq).unwrap();
            conn
        })
        .collect();
    bob.text(conversation, "only for the one that stays");
    let mut stayed = 0;
    for conn in &mut conns {
        match conn.next() {
            Incoming::Push(protocol::Push::EventsPush(page)) => {
                assert_eq!(page.events.len(), 1);
                stayed += 1;
            }
            Incoming::Push(protocol::Push::GoAway(go_away)) => {
                assert_eq!(go_away.reason(), GoAwayReason::Replaced);
                conn.end();
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stayed, 1);
}

#[test]
fn a_class_of_devices_has_its_limit_and_the_one_longest_unseen_goes() {
    let daemon = Setup::config("[devices]\nmobile = 2\n").start();
    daemon.register("ada");
    let mut one = login_as(&daemon, "phone-1", DeviceClass::Mobile);
    let mut two = login_as(&daemon, "phone-2", DeviceClass::Mobile);
    let mut desk = login_as(&daemon, "desk", DeviceClass::Desktop);
    let mut three = login_as(&daemon, "phone-3", DeviceClass::Mobile);
    assert_eq!(one.conn.go_away().reason(), GoAwayReason::Displaced);
    one.conn.end();
    assert_eq!(
        refused(daemon.connect().ask(one.hello_again())),
        ErrorCode::Unauthenticated
    );
    for user in [&mut two, &mut desk, &mut three] {
        assert_eq!(user.get(v1::ListDevicesRequest {}).sessions.len(), 4);
    }
}

#[test]
fn all_devices_together_have_a_limit() {
    let daemon = Setup::config("[devices]\ntotal = 2\n").start();
    let mut first = daemon.register("ada");
    let mut web = login_as(&daemon, "web", DeviceClass::Web);
    let mut phone = login_as(&daemon, "phone", DeviceClass::Mobile);
    assert_eq!(first.conn.go_away().reason(), GoAwayReason::Displaced);
    first.conn.end();
    for user in [&mut web, &mut phone] {
        assert_eq!(user.get(v1::ListDevicesRequest {}).sessions.len(), 2);
    }
}

/// When this session was last seen, and whether it is online.
fn seen(user: &mut User, session: u64) -> (u64, bool) {
    let sessions = user.get(v1::ListDevicesRequest {}).sessions;
    let found = sessions.iter().find(|other| other.session_id == session);
    found
        .map(|session| (session.last_seen_at_ms, session.online))
        .unwrap()
}

#[test]
fn a_device_is_seen_as_long_as_it_lives() {
    let daemon = Setup::config("[devices]\nseen_every_ms = 100\n").start();
    let mut ada = daemon.register("ada");
    let mut other = daemon.login("ada", "second");
    let (first, _) = seen(&mut ada, other.session);
    let mut last = first;
    let until = Instant::now() + PATIENCE;
    for _ in 0..2 {
        let before = last;
        while last == before {
            assert!(Instant::now() < until, "it is not seen");
            other.get(v1::Ping {});
            (last, _) = seen(&mut ada, other.session);
        }
        assert!(last >= before + 100, "{before}, then {last}");
    }
}

#[test]
fn coming_back_is_noted_no_more_often_than_living() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let mut other = daemon.login("ada", "second");
    let (first, _) = seen(&mut ada, other.session);
    for _ in 0..5 {
        other = other.resumed();
    }
    // What is written lazily is written in its order.
    let mut bob = daemon.register("bob");
    let direct = bob.direct(ada.id);
    bob.text(direct, "hello");
    ada.get(v1::ReadRequest {
        conversation_id: direct,
        seq: 1,
    });
    let until = Instant::now() + PATIENCE;
    while ada.view(direct).read_seq < 1 {
        assert!(Instant::now() < until, "it is not read");
    }
    assert_eq!(seen(&mut ada, other.session), (first, true));
}

#[test]
fn the_device_in_use_stays_when_another_one_logs_in() {
    let daemon = Daemon::start();
    daemon.register("ada");
    let mut oldest = login_as(&daemon, "oldest", DeviceClass::Desktop);
    let mut others: Vec<User> = (2..=5)
        .map(|number| login_as(&daemon, &format!("device-{number}"), DeviceClass::Desktop))
        .collect();
    let mut unused = others.remove(1);
    unused.conn.finish();
    unused.conn.end();
    let until = Instant::now() + PATIENCE;
    while seen(&mut oldest, unused.session).1 {
        assert!(Instant::now() < until, "it stays online");
    }
    let mut sixth = login_as(&daemon, "device-6", DeviceClass::Desktop);
    assert_eq!(
        refused(daemon.connect().ask(unused.hello_again())),
        ErrorCode::Unauthenticated
    );
    for user in others.iter_mut().chain([&mut oldest, &mut sixth]) {
        user.get(v1::Ping {});
    }
    // Where all are in use, it is the one that was not seen for longest.
    login_as(&daemon, "device-7", DeviceClass::Desktop);
    assert_eq!(oldest.conn.go_away().reason(), GoAwayReason::Displaced);
}
