//! Registering, logging in and resuming, from the request to the session.

use protocol::{
    Command, Kind, Request,
    v1::{DeviceClass, ErrorCode, GoAwayReason, Hello},
};
use std::time::Duration;
use storage::{DevicePolicy, Outcome, Rules, SessionId, Timestamp, Write};

use super::{
    super::{hashing::Hashed, hashing::What, login::Opening, work::Failure},
    effects::connect,
    fixture::{Fixture, device, log_in, phone, register},
};
use crate::{
    config::Config,
    delivery::{Kick, KickTo},
    principal::Principal,
};

fn resume(token: &str) -> Request {
    Request::Hello(Hello {
        session_token: token.into(),
        ..Hello::default()
    })
}

#[track_caller]
fn code<T: std::fmt::Debug>(found: Result<T, Failure>) -> ErrorCode {
    match found {
        Err(Failure::Refused(refusal)) => refusal.code(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_command_that_opens_is_known_and_no_other() {
    let mut group = super::fixture::Group::new();
    for command in Command::requests() {
        let request = super::matrix::one_request(command, &group).unwrap();
        let found = group.fixture.open(&phone("somebody"), None, request);
        let is_unknown =
            matches!(&found, Err(Failure::Refused(refusal)) if refusal.code() == ErrorCode::Internal);
        assert_eq!(is_unknown, command.kind() != Some(Kind::Open), "{command:?}");
    }
}

#[test]
fn a_session_is_resumed_by_the_token_that_was_shown_once() {
    let mut fixture = Fixture::new();
    let registered = fixture.register("Anna", &phone("anna")).unwrap();
    assert_eq!(registered.user.name, "anna");
    assert_eq!(registered.user.display_name, "Anna");
    let token = registered.token.unwrap();
    let opening = fixture.open(&phone("anna"), None, resume(&token)).unwrap();
    let Opening::Resumed(resumed) = opening else {
        panic!("{opening:?}");
    };
    assert_eq!(resumed.principal, registered.principal);
    assert_eq!(resumed.token_hash, registered.token_hash);
    assert!(resumed.token.is_none());
    let stranger = fixture.open(&phone("anna"), None, resume("another token"));
    assert_eq!(code(stranger), ErrorCode::Unauthenticated);
    // It ends with a logout.
    let logout = Request::Logout(protocol::v1::LogoutRequest {});
    fixture.answered(registered.principal, logout);
    let ended = fixture.open(&phone("anna"), None, resume(&token));
    assert_eq!(code(ended), ErrorCode::Unauthenticated);
}

#[test]
fn a_name_is_taken_once_also_by_two_at_the_same_time() {
    let mut fixture = Fixture::new();
    let first = fixture.open(&phone("one"), None, register("anna")).unwrap();
    let second = fixture.open(&phone("two"), None, register("ANNA")).unwrap();
    assert!(matches!(&first, Opening::Hash(hashing) if matches!(hashing.what, What::Hash)));
    fixture.hashed(first, Hashed::Hash("hash".into())).unwrap();
    let refusal = fixture.hashed(second, Hashed::Hash("hash".into())).unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::NameTaken);
    let third = fixture.open(&phone("three"), None, register("Anna"));
    assert_eq!(code(third), ErrorCode::NameTaken);
}

#[test]
fn a_name_that_was_asked_for_in_vain_is_found_once_it_is_somebodys() {
    let mut fixture = Fixture::new();
    let asks = fixture.person("asks");
    let find = || {
        Request::FindUser(protocol::v1::FindUserRequest {
            name: "Newcomer".into(),
        })
    };
    assert_eq!(code(fixture.ask(asks, find())), ErrorCode::NotFound);
    fixture.person("newcomer");
    fixture.answered(asks, find());
}

#[test]
fn where_registration_is_closed_only_who_is_there_gets_in() {
    let mut config = Config::default();
    config.accounts.registration = false;
    let mut fixture = Fixture::with(Rules::default(), config);
    let found = fixture.open(&phone("anna"), None, register("anna"));
    assert_eq!(code(found), ErrorCode::RegistrationClosed);
}

#[test]
fn what_became_of_a_password_decides() {
    let mut fixture = Fixture::new();
    fixture.person("anna");
    let table = [
        ("anna", Hashed::Differs, ErrorCode::BadCredentials),
        ("nobody", Hashed::Differs, ErrorCode::BadCredentials),
        ("anna", Hashed::Failed, ErrorCode::Unavailable),
        ("nobody", Hashed::Matches, ErrorCode::Unavailable),
        ("anna", Hashed::Hash("hash".into()), ErrorCode::Unavailable),
        (
            "anna",
            Hashed::Busy(Duration::from_secs(2)),
            ErrorCode::Overloaded,
        ),
    ];
    for (name, hashed, expected) in table {
        let said = format!("{name} {hashed:?}");
        let opening = fixture.open(&phone("anna"), None, log_in(name)).unwrap();
        // An account cannot be told by what is done with the password.
        let Opening::Hash(hashing) = &opening else {
            panic!("{opening:?}");
        };
        let What::Verify(stored) = &hashing.what else {
            panic!("{said}");
        };
        assert_eq!(stored.as_deref(), (name == "anna").then_some("hash of anna"));
        let refusal = fixture.hashed(opening, hashed).unwrap_err();
        assert_eq!(refusal.code(), expected, "{said}");
        if expected == ErrorCode::Overloaded {
            assert_eq!(refusal.0.retry_after_ms, 2_000);
        }
    }
    for hashed in [Hashed::Differs, Hashed::Matches, Hashed::Failed] {
        let opening = fixture.open(&phone("bea"), None, register("bea")).unwrap();
        fixture.hashed(opening, hashed).unwrap_err();
    }
}

#[test]
fn passwords_are_counted_by_address_and_by_account() {
    let mut config = Config::default();
    config.limits.passwords_per_address = 3;
    config.limits.passwords_per_account = 2;
    let mut fixture = Fixture::with(Rules::default(), config);
    let address = |last: u8| Some(std::net::IpAddr::from([192, 0, 2, last]));
    let device = phone("anna");
    for last in [1, 2] {
        fixture.open(&device, address(last), log_in("anna")).unwrap();
    }
    let third = fixture.open(&device, address(3), log_in("ANNA"));
    assert_eq!(code(third), ErrorCode::RateLimited);
    // Registering counts for the address.
    for name in ["bea", "cleo"] {
        fixture.open(&device, address(1), register(name)).unwrap();
    }
    let fourth = fixture.open(&device, address(1), register("dora"));
    assert_eq!(code(fourth), ErrorCode::RateLimited);
    // Addresses that are exempt are not counted.
    for _ in 0..5 {
        fixture.open(&device, None, log_in("anna")).unwrap();
    }
}

#[test]
fn a_login_ends_the_sessions_whose_place_it_takes() {
    let mut fixture = Fixture::new();
    fixture.policy = DevicePolicy {
        total: 2,
        mobile: 2,
        desktop: 1,
        web: 1,
        script: 1,
    };
    // A login takes the policy from the configuration.
    let mut config = Config::clone(&fixture.context.config);
    config.devices.total = 2;
    config.devices.desktop = 1;
    fixture.context.config = std::sync::Arc::new(config);
    let on_phone = fixture.register("anna", &phone("anna")).unwrap();
    let desk = |id| device(id, DeviceClass::Desktop);
    let first = fixture.log_in("anna", &desk("first")).unwrap();
    let second = fixture.log_in("anna", &desk("second")).unwrap();
    // The phone stays: the other desktop was one too many.
    assert_eq!(sessions(&mut fixture, on_phone.principal), {
        let mut both = vec![on_phone.principal.session, second.principal.session];
        both.sort_unstable();
        both
    });
    let conns = connect(&fixture, &[on_phone.principal, second.principal]);
    // The same device again: its old session is replaced, not displaced.
    let again = fixture.log_in("anna", &desk("second")).unwrap();
    assert_ne!(again.principal.session, second.principal.session);
    let replaced = Kick {
        conn: conns[1],
        what: KickTo::End(GoAwayReason::Replaced),
    };
    assert_eq!(fixture.context.routes.take_kicks(0), [replaced]);
    // Another desktop: the session that is there is displaced.
    let conns = connect(&fixture, &[again.principal]);
    fixture.log_in("anna", &desk("third")).unwrap();
    let displaced = Kick {
        conn: conns[0],
        what: KickTo::End(GoAwayReason::Displaced),
    };
    assert_eq!(fixture.context.routes.take_kicks(0), [displaced]);
    for gone in [first, second, again] {
        let token = gone.token.unwrap();
        let found = fixture.open(&phone("anna"), None, resume(&token));
        assert_eq!(code(found), ErrorCode::Unauthenticated);
    }
}

#[test]
fn who_is_connected_is_displaced_last() {
    let mut fixture = Fixture::new();
    let mut config = Config::default();
    config.devices.total = 2;
    fixture.context.config = std::sync::Arc::new(config);
    let oldest = fixture.register("anna", &phone("anna")).unwrap().principal;
    let desk = device("desk", DeviceClass::Desktop);
    let newer = fixture.log_in("anna", &desk).unwrap().principal;
    // Seen much later than the one that is connected.
    let seen = vec![(newer.session, Timestamp(1 << 50))];
    fixture.commit(Write::TouchSessions(seen)).unwrap();
    connect(&fixture, &[oldest]);
    let web = device("web", DeviceClass::Web);
    let newest = fixture.log_in("anna", &web).unwrap().principal;
    let left = sessions(&mut fixture, oldest);
    assert!(left.contains(&oldest.session) && left.contains(&newest.session));
    assert!(!left.contains(&newer.session));
}

fn sessions(fixture: &mut Fixture, who: Principal) -> Vec<SessionId> {
    let mut sessions: Vec<SessionId> = fixture
        .reader
        .sessions(who.user)
        .unwrap()
        .iter()
        .map(|session| session.id)
        .collect();
    sessions.sort_unstable();
    sessions
}

#[test]
fn another_writes_outcome_makes_no_session() {
    let mut fixture = Fixture::new();
    fixture.person("anna");
    let opening = fixture.open(&phone("anna"), None, log_in("anna")).unwrap();
    let Opening::Hash(hashing) = opening else {
        panic!("{opening:?}");
    };
    let planned = (hashing.then)(Hashed::Matches).unwrap();
    let refusal = (planned.after)(Outcome::Done, &fixture.aftermath()).unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::Internal);
}

#[test]
fn a_session_that_others_may_have_revoked_is_checked_against_before_its_commit() {
    let mut fixture = Fixture::new();
    fixture.context.routes.note_revocation(&[SessionId(1)]);
    let now = fixture.context.routes.revocations();
    let authenticated = fixture.register("anna", &phone("anna")).unwrap();
    assert_eq!(authenticated.checked_at, now);
    let mut aftermath = fixture.aftermath();
    aftermath.checked_before = Some(now - 1);
    assert_eq!(aftermath.checked_at(), now - 1);
}
