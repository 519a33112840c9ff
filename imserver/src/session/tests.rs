//! Every state against every kind of frame, and the limits that hold in each.

use std::sync::Arc;

use bytes::Bytes;
use protocol::{
    CAPABILITY_ANSWER_IS_EVENT, Command, Encoding, Frame, Kind, MAGIC, MessageType, Request,
    v1::{self, ErrorCode},
    validate,
};
use storage::{SessionId, UserId};

use super::{Allowance, Opens, Rules, Session, Verdict};
use crate::principal::Principal;

const RULES: Rules = Rules {
    in_flight_max: 3,
    sends_per_second: 1,
    sends_burst: 2,
    requests_per_second: 1,
    requests_burst: 4,
    people_per_minute: 60,
    people_burst: 5,
    receipts_per_second: 1,
    receipts_burst: 3,
    profiles_per_minute: 60,
    profiles_burst: 500,
    searches_per_minute: 60,
    searches_burst: 2,
    watches_per_minute: 60,
    watches_burst: 500,
    hellos_per_minute: 60,
    unknown_per_minute: 2,
    capabilities: CAPABILITY_ANSWER_IS_EVENT,
    validation: validate::Limits {
        text_bytes_max: 16,
        body_bytes_max: 64,
    },
};

const WHO: Principal = Principal {
    user: UserId(7),
    session: SessionId(9),
};

fn hello(token: &str) -> Request {
    Request::Hello(v1::Hello {
        magic: MAGIC,
        version_min: 1,
        version_max: 1,
        device: Some(v1::Device {
            device_id: "d".into(),
            ..v1::Device::default()
        }),
        session_token: token.into(),
        ..v1::Hello::default()
    })
}

fn login() -> Request {
    Request::Login(v1::LoginRequest {
        name: "a".into(),
        password: "b".into(),
    })
}

fn text(body: &[u8]) -> Request {
    Request::Send(v1::SendRequest {
        conversation_id: 7,
        client_msg_id: Bytes::from_static(&[1; 16]),
        kind: v1::EventKind::Text.into(),
        content: Some(v1::Content {
            body: Bytes::copy_from_slice(body),
            ..v1::Content::default()
        }),
        ..v1::SendRequest::default()
    })
}

fn frame(request: &Request, seq: u16) -> Frame {
    request.to_frame(Encoding::Protobuf, seq)
}

fn judge(session: &mut Session, request: &Request, seq: u16) -> Verdict {
    session.judge(&frame(request, seq), 0, &RULES)
}

fn code(verdict: &Verdict) -> Option<(bool, ErrorCode)> {
    match verdict {
        Verdict::Refuse(refusal) => Some((false, refusal.code())),
        Verdict::Close(refusal) => Some((true, refusal.code())),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug)]
enum At {
    Greeting,
    Welcomed,
    Active,
}

fn session(at: At) -> Session {
    let mut session = Session::new(None);
    match at {
        At::Greeting => {}
        At::Welcomed => assert_eq!(judge(&mut session, &hello(""), 1), Verdict::Welcome),
        At::Active => session.authenticated(WHO, Some(Arc::default())),
    }
    session
}

/// What each command meets in each state; `None`: it passes.
#[test]
fn every_command_in_every_state() {
    for command in Command::ALL.iter().copied() {
        for at in [At::Greeting, At::Welcomed, At::Active] {
            // An empty body: good for some commands, INVALID for others, never a reason to let one pass.
            let request = Frame {
                kind: MessageType::request(command.number()),
                seq: 5,
                body: Bytes::new(),
            };
            let verdict = session(at).judge(&request, 0, &RULES);
            let close = |code| Some((true, code));
            let expected = match (at, command) {
                (_, command) if command.is_push() => close(ErrorCode::Protocol),
                (_, Command::Ping) => None,
                // Its empty body has no magic.
                (At::Greeting, Command::Hello) => close(ErrorCode::Protocol),
                (At::Greeting, _) | (_, Command::Hello) => close(ErrorCode::Protocol),
                (At::Welcomed, Command::Register | Command::Login) => Some((false, ErrorCode::Invalid)),
                (At::Welcomed, _) => close(ErrorCode::Unauthenticated),
                (At::Active, Command::Register | Command::Login) => close(ErrorCode::Protocol),
                (
                    At::Active,
                    Command::Logout
                    | Command::LogoutOthers
                    | Command::ListDevices
                    | Command::UpdateProfile
                    | Command::WatchPresence
                    | Command::SetAway,
                ) => None,
                (At::Active, _) => Some((false, ErrorCode::Invalid)),
            };
            assert_eq!(code(&verdict), expected, "{command:?} at {at:?}: {verdict:?}");
        }
    }
}

#[test]
fn a_response_from_a_client_closes_in_every_state() {
    for at in [At::Greeting, At::Welcomed, At::Active] {
        let response = Frame {
            kind: MessageType::response(1002),
            seq: 5,
            body: Bytes::new(),
        };
        let verdict = session(at).judge(&response, 0, &RULES);
        assert_eq!(code(&verdict), Some((true, ErrorCode::Protocol)), "{at:?}");
    }
}

#[test]
fn a_seq_is_not_zero_and_not_used_twice_at_once() {
    let mut session = session(At::Active);
    assert_eq!(
        code(&judge(&mut session, &text(b"x"), 0)),
        Some((true, ErrorCode::Protocol))
    );
    assert!(matches!(judge(&mut session, &text(b"x"), 4), Verdict::Go(_)));
    assert_eq!(
        code(&judge(&mut session, &text(b"x"), 4)),
        Some((true, ErrorCode::Protocol))
    );
    session.answered(4);
    assert!(matches!(judge(&mut session, &text(b"x"), 4), Verdict::Go(_)));
}

#[test]
fn one_request_at_a_time_until_authenticated() {
    let mut session = session(At::Welcomed);
    assert!(!session.must_wait(&RULES));
    assert!(matches!(judge(&mut session, &login(), 2), Verdict::Go(_)));
    assert_eq!(session.deciding(), Some(Opens::Login));
    assert!(session.must_wait(&RULES));
    session.answered(2);
    session.not_authenticated();
    assert!(!session.must_wait(&RULES));
    assert!(matches!(judge(&mut session, &login(), 3), Verdict::Go(_)));
    session.answered(3);
    session.authenticated(WHO, Some(Arc::default()));
    assert_eq!(session.principal(), Some(WHO));
    assert!(!session.must_wait(&RULES));
}

#[test]
fn a_refused_resume_may_say_hello_again_but_not_for_ever() {
    let mut session = session(At::Greeting);
    for seq in 1..=3 {
        assert!(matches!(judge(&mut session, &hello("bad"), seq), Verdict::Go(_)));
        session.answered(seq);
        session.not_authenticated();
    }
    assert_eq!(
        code(&judge(&mut session, &hello(""), 4)),
        Some((true, ErrorCode::Protocol))
    );
}

#[test]
fn requests_in_flight_are_bounded_by_not_reading() {
    let mut session = session(At::Active);
    for seq in 1..=3 {
        assert!(!session.must_wait(&RULES));
        assert!(matches!(judge(&mut session, &text(b"x"), seq), Verdict::Go(_)));
    }
    assert!(session.must_wait(&RULES));
    session.answered(2);
    assert!(!session.must_wait(&RULES));
}

#[test]
fn unknown_commands_are_refused_and_then_too_many() {
    let unknown = |seq| Frame {
        kind: MessageType::request(9_999),
        seq,
        body: Bytes::new(),
    };
    let mut active = session(At::Active);
    assert_eq!(
        code(&active.judge(&unknown(1), 0, &RULES)),
        Some((false, ErrorCode::UnknownCommand))
    );
    assert_eq!(
        code(&active.judge(&unknown(2), 0, &RULES)),
        Some((false, ErrorCode::UnknownCommand))
    );
    assert_eq!(
        code(&active.judge(&unknown(3), 0, &RULES)),
        Some((true, ErrorCode::Protocol))
    );
    // A minute later the count starts over.
    assert_eq!(
        code(&active.judge(&unknown(4), 61_000_000, &RULES)),
        Some((false, ErrorCode::UnknownCommand))
    );
    let verdict = session(At::Welcomed).judge(&unknown(1), 0, &RULES);
    assert_eq!(code(&verdict), Some((true, ErrorCode::UnknownCommand)));
}

#[test]
fn rates_apply_unless_the_peer_is_exempt() {
    let mut limited = Session::new(Some(Arc::default()));
    limited.authenticated(WHO, Some(Arc::default()));
    for seq in [1, 2] {
        assert!(matches!(judge(&mut limited, &text(b"x"), seq), Verdict::Go(_)));
        limited.answered(seq);
    }
    let Verdict::Refuse(refusal) = judge(&mut limited, &text(b"x"), 3) else {
        panic!("no refusal")
    };
    assert_eq!(refusal.code(), ErrorCode::RateLimited);
    assert!(refusal.0.retry_after_ms > 900, "{refusal:?}");
    let mut exempt = session(At::Active);
    for seq in 1..=3 {
        assert!(matches!(judge(&mut exempt, &text(b"x"), seq), Verdict::Go(_)));
    }
}

#[test]
fn a_text_beyond_the_limit_is_refused_and_the_connection_stays() {
    let mut session = session(At::Active);
    let verdict = judge(&mut session, &text(&[b'x'; 17]), 1);
    assert_eq!(code(&verdict), Some((false, ErrorCode::Invalid)));
    assert_eq!(session.in_flight(), 0);
}

#[test]
fn versions_that_do_not_meet_are_told_what_is_spoken() {
    let mut session = session(At::Greeting);
    let Request::Hello(mut newer) = hello("") else {
        unreachable!()
    };
    (newer.version_min, newer.version_max) = (2, 3);
    let Verdict::Close(refusal) = judge(&mut session, &Request::Hello(newer), 1) else {
        panic!("not closed")
    };
    assert_eq!(refusal.code(), ErrorCode::UnsupportedVersion);
    assert_eq!((refusal.0.version_min, refusal.0.version_max), (1, 1));
}

#[test]
fn where_passwords_are_refused_sessions_are_resumed_all_the_same() {
    let register = Request::Register(v1::RegisterRequest {
        name: "a".into(),
        password: "a long one".into(),
        ..v1::RegisterRequest::default()
    });
    for request in [register, login()] {
        let mut session = session(At::Welcomed);
        session.refuse_passwords();
        let verdict = judge(&mut session, &request, 1);
        assert_eq!(code(&verdict), Some((false, ErrorCode::Forbidden)), "{request:?}");
        assert_eq!(session.in_flight(), 0);
        assert!(matches!(
            judge(&mut self::session(At::Welcomed), &request, 1),
            Verdict::Go(_)
        ));
    }
    let mut session = session(At::Greeting);
    session.refuse_passwords();
    assert!(matches!(judge(&mut session, &hello("token"), 1), Verdict::Go(_)));
}

#[test]
fn a_drained_session_answers_pings_only() {
    let mut session = session(At::Active);
    session.drain();
    assert_eq!(
        code(&judge(&mut session, &text(b"x"), 1)),
        Some((false, ErrorCode::Draining))
    );
    assert_eq!(judge(&mut session, &Request::Ping(v1::Ping {}), 2), Verdict::Pong);
}

#[test]
fn a_hello_beyond_its_rate_is_refused_in_its_own_encoding() {
    let address = Arc::new(Allowance::default());
    let rules = Rules {
        hellos_per_minute: 1,
        ..RULES
    };
    let of_same = || Session::new(Some(Arc::clone(&address)));
    let frame = |seq| hello("").to_frame(Encoding::Json, seq);
    assert_eq!(of_same().judge(&frame(1), 0, &rules), Verdict::Welcome);
    let mut session = of_same();
    let refused = session.judge(&frame(1), 0, &rules);
    assert!(matches!(&refused, Verdict::Refuse(_)), "{refused:?}");
    assert_eq!(session.format().encoding(), Encoding::Json);
    // It is one of the three.
    for seq in 2..4 {
        assert!(matches!(
            session.judge(&frame(seq), 0, &rules),
            Verdict::Refuse(_)
        ));
    }
    let fourth = code(&session.judge(&frame(4), 0, &rules));
    assert_eq!(fourth, Some((true, ErrorCode::Protocol)));
}

#[test]
fn a_json_hello_chooses_json() {
    let mut session = session(At::Greeting);
    let frame = hello("").to_frame(Encoding::Json, 1);
    assert_eq!(session.judge(&frame, 0, &RULES), Verdict::Welcome);
    assert_eq!(session.format().encoding(), Encoding::Json);
}

#[test]
fn a_capability_is_what_both_sides_have() {
    let answered = |asked: u64, rules: &Rules| {
        let mut session = session(At::Greeting);
        let Request::Hello(mut hello) = hello("") else {
            panic!("not a hello")
        };
        hello.capabilities = asked;
        let verdict = session.judge(&frame(&Request::Hello(hello), 1), 0, rules);
        assert_eq!(verdict, Verdict::Welcome);
        assert_eq!(session.answer_is_event(), session.capabilities() != 0);
        session.capabilities()
    };
    let none = Rules {
        capabilities: 0,
        ..RULES
    };
    assert_eq!(answered(u64::MAX, &RULES), CAPABILITY_ANSWER_IS_EVENT);
    assert_eq!(answered(u64::MAX, &none), 0);
    assert_eq!(answered(0, &RULES), 0);
    assert_eq!(answered(!CAPABILITY_ANSWER_IS_EVENT, &RULES), 0);
}

#[test]
fn every_command_that_opens_has_its_answer() {
    for command in Command::ALL {
        let opens = command.kind() == Some(Kind::Open);
        assert_eq!(Opens::of(*command).is_some(), opens, "{command:?}");
    }
}
