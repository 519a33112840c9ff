use std::time::{Duration, Instant};

use protocol::{
    CAPABILITY_ANSWER_IS_EVENT, Command, Decode, Encoding, Frame, MAGIC, Push, Refusal, Reply, Request,
    encode_error, limits,
    v1::{self, ErrorClass, ErrorCode, GoAwayReason},
};

use super::{Action, Event, GREETING_TIMEOUT, IN_FLIGHT_MAX, Identity, Link, STABLE_AFTER, WAITING_MAX};
use crate::{
    backoff::RECONNECT_CAP,
    error::{Ending, Error, Outcome},
};

const HEARTBEAT: Duration = Duration::from_millis(limits::HEARTBEAT_MS as u64);
const IDLE: Duration = Duration::from_millis(limits::IDLE_MS as u64);

/// A link, a clock that moves only when told to, and what the link has sent.
struct World {
    link: Link,
    now: Instant,
    sent: Vec<Frame>,
    events: Vec<Event>,
    completed: Vec<(u64, Result<Reply, Error>)>,
    connects: Vec<Vec<String>>,
    closes: usize,
}

impl World {
    fn new(token: Option<&str>) -> Self {
        let identity = Identity {
            device: v1::Device {
                device_id: "d".to_owned(),
                ..v1::Device::default()
            },
            program: "test".to_owned(),
            token: token.map(str::to_owned),
        };
        let now = Instant::now();
        let mut world = Self {
            link: Link::new(identity, 5, now),
            now,
            sent: Vec::new(),
            events: Vec::new(),
            completed: Vec::new(),
            connects: Vec::new(),
            closes: 0,
        };
        world.link.start();
        world.act();
        world
    }

    /// Resumed, and the greeting out of the way.
    fn open() -> Self {
        Self::open_with(0)
    }

    /// The same as user 7, to a server with these capabilities.
    fn open_with(capabilities: u64) -> Self {
        let mut world = Self::new(Some("token"));
        world.connected();
        let session = v1::Session {
            user: Some(v1::User {
                user_id: 7,
                ..v1::User::default()
            }),
            ..v1::Session::default()
        };
        world.welcome_with(Some(session), capabilities);
        world.sent.clear();
        world.events.clear();
        world
    }

    /// The same to a server that says these times.
    fn open_timed(heartbeat_ms: u32, idle_ms: u32) -> Self {
        let mut world = Self::new(Some("token"));
        world.connected();
        let hello = world.sent.pop().expect("a hello").seq;
        let welcome = v1::Welcome {
            version: 1,
            heartbeat_ms,
            idle_ms,
            session: Some(v1::Session::default()),
            ..v1::Welcome::default()
        };
        world.answer(hello, &Reply::Hello(welcome));
        world
    }

    fn act(&mut self) {
        while let Some(action) = self.link.next_action() {
            match action {
                Action::Connect { preferred } => self.connects.push(preferred),
                Action::Send(frame) => self.sent.push(frame),
                Action::Close => self.closes += 1,
                Action::Complete { ticket, result } => self.completed.push((ticket, result)),
                Action::Event(event) => self.events.push(event),
            }
        }
    }

    fn connected(&mut self) {
        self.link.handle_connected(self.now);
        self.act();
    }

    fn welcome(&mut self, session: Option<v1::Session>) {
        self.welcome_with(session, 0);
    }

    fn welcome_with(&mut self, session: Option<v1::Session>, capabilities: u64) {
        let hello = self.sent.last().expect("a hello").seq;
        self.answer(
            hello,
            &Reply::Hello(v1::Welcome {
                version: 1,
                limits: Some(v1::Limits {
                    requests_in_flight_max: 4,
                    ..v1::Limits::default()
                }),
                heartbeat_ms: 15_000,
                session,
                capabilities,
                ..v1::Welcome::default()
            }),
        );
    }

    fn frame(&mut self, frame: Frame) {
        self.link.handle_frame(frame, self.now);
        self.act();
    }

    fn answer(&mut self, seq: u16, reply: &Reply) {
        self.frame(reply.to_frame(Encoding::Protobuf, seq));
    }

    fn refuse(&mut self, seq: u16, refusal: &Refusal) {
        self.frame(encode_error(refusal, Encoding::Protobuf, seq));
    }

    fn go_away(&mut self, reason: GoAwayReason, reconnect_in_ms: u32, addresses: &[&str]) {
        let go_away = v1::GoAway {
            reason: reason.into(),
            reconnect_in_ms,
            addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
            ..v1::GoAway::default()
        };
        self.frame(Push::GoAway(go_away).to_frame(Encoding::Protobuf));
    }

    fn submit(&mut self, ticket: u64, request: Request) {
        self.link
            .submit(ticket, request, self.now + Duration::from_secs(10), self.now);
        self.act();
    }

    fn untrusted(&mut self) {
        self.link.handle_untrusted("no", self.now);
        self.act();
    }

    fn closed(&mut self) {
        self.link.handle_closed("gone", self.now);
        self.act();
    }

    /// Moves the clock and does what is due on the way, one deadline after the other.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.link.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.link.handle_timeout(self.now);
            self.act();
        }
        self.now = end;
    }

    fn retry_in(&self) -> Option<Duration> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Disconnected { retry_in, .. } => *retry_in,
            _ => None,
        })
    }

    fn requests(&self) -> Vec<Command> {
        let number = |frame: &Frame| Command::from_number(frame.kind.command()).unwrap();
        self.sent.iter().map(number).collect()
    }
}

fn message(kind: v1::EventKind) -> v1::SendRequest {
    v1::SendRequest {
        conversation_id: 5,
        client_msg_id: vec![3; 16].into(),
        kind: kind.into(),
        content: Some(v1::Content {
            body: "hello".into(),
            ..v1::Content::default()
        }),
        ..v1::SendRequest::default()
    }
}

fn sent() -> v1::SendResponse {
    v1::SendResponse {
        conversation_id: 5,
        epoch: 9,
        seq: 4,
        ordinal: 3,
        sent_at_ms: 1_000,
        duplicate: false,
        roster: 2,
    }
}

fn whoever() -> Request {
    Request::FindUser(v1::FindUserRequest {
        name: "bob".to_owned(),
    })
}

fn found() -> Reply {
    Reply::FindUser(v1::FindUserResponse::default())
}

#[test]
fn the_greeting_says_who_it_is_and_resumes() {
    let mut world = World::new(Some("token"));
    assert_eq!(world.connects.len(), 1);
    world.connected();
    let hello = world.sent[0].clone();
    let Ok(Request::Hello(hello)) = Request::decode(Command::Hello, Encoding::Protobuf, hello.body) else {
        panic!("the first frame is the greeting");
    };
    assert_eq!((hello.magic, hello.session_token.as_str()), (MAGIC, "token"));
    world.welcome(Some(v1::Session {
        epoch: 9,
        ..v1::Session::default()
    }));
    assert!(matches!(&world.events[..], [Event::Connected { session, .. }] if session.epoch == 9));
}

#[test]
fn answers_find_their_requests_in_any_order() {
    let mut world = World::open();
    world.submit(1, whoever());
    world.submit(2, Request::Typing(v1::TypingRequest::default()));
    let (first, second) = (world.sent[0].seq, world.sent[1].seq);
    assert_ne!(first, second);
    world.answer(second, &Reply::Typing(v1::Empty {}));
    let refusal = Refusal::new(ErrorCode::NotFound, "nobody");
    world.refuse(first, &refusal);
    let refused = Err(Error::Refused(refusal.0));
    assert_eq!(
        world.completed,
        [(2, Ok(Reply::Typing(v1::Empty {}))), (1, refused)]
    );
}

#[test]
fn no_more_requests_fly_than_the_server_allows() {
    let mut world = World::open();
    for ticket in 0..10 {
        world.submit(ticket, whoever());
    }
    assert_eq!(
        world.sent.len(),
        3,
        "of four places one is kept for the heartbeat"
    );
    let seq = world.sent[0].seq;
    world.answer(seq, &found());
    assert_eq!(world.sent.len(), 4);
    const { assert!(IN_FLIGHT_MAX <= limits::REQUESTS_IN_FLIGHT_MAX as usize) };
}

#[test]
fn there_is_room_for_a_bounded_number_of_requests() {
    let mut world = World::new(Some("token"));
    for ticket in 0..WAITING_MAX as u64 {
        assert!(world.link.has_room());
        world.submit(ticket, whoever());
    }
    assert!(!world.link.has_room());
}

#[test]
fn a_request_that_takes_too_long_is_given_up_and_its_late_answer_is_dropped() {
    let mut world = World::open();
    world.submit(1, whoever());
    let seq = world.sent[0].seq;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.completed, [(1, Err(Error::Timeout))]);
    world.answer(seq, &found());
    assert_eq!(world.completed.len(), 1);
    assert_eq!(world.closes, 0);
}

#[test]
fn a_lost_connection_leaves_what_flew_unknown_and_what_waited_waiting() {
    let mut world = World::open();
    for ticket in 1..=4 {
        world.submit(ticket, whoever());
    }
    world.closed();
    let lost = |ticket| (ticket, Err(Error::ConnectionLost("gone".to_owned())));
    assert_eq!(world.completed, [lost(1), lost(2), lost(3)]);
    let delay = world.retry_in().unwrap();
    world.pass(delay);
    assert_eq!(world.connects.len(), 2);
    world.connected();
    world.welcome(Some(v1::Session::default()));
    assert_eq!(
        world.requests().last(),
        Some(&Command::FindUser),
        "the fourth goes out now"
    );
}

/// A session tries again by itself, because a certificate may be renewed; whoever asks hears of it at once each time.
#[test]
fn whoever_waits_for_a_server_that_is_not_trusted_is_told_so() {
    let untrusted = |ticket| (ticket, Err(Error::Untrusted("no".to_owned())));
    let mut world = World::new(Some("token"));
    world.submit(1, Request::ListDevices(v1::ListDevicesRequest {}));
    assert_eq!(world.connects.len(), 1);
    world.untrusted();
    assert_eq!(world.completed, [untrusted(1)]);
    let wait = world.retry_in().expect("a session comes back");
    world.submit(2, Request::ListDevices(v1::ListDevicesRequest {}));
    world.pass(wait);
    assert_eq!(world.connects.len(), 2);
    world.untrusted();
    assert_eq!(world.completed, [untrusted(1), untrusted(2)]);
    let mut stranger = World::new(None);
    stranger.submit(1, Request::Login(v1::LoginRequest::default()));
    stranger.untrusted();
    assert_eq!(stranger.completed, [untrusted(1)]);
    stranger.pass(Duration::from_secs(3_600));
    assert_eq!(stranger.connects.len(), 1);
    assert_eq!(Error::Untrusted(String::new()).outcome(), Outcome::Over);
}

#[test]
fn whoever_waits_for_an_attempt_that_fails_is_told() {
    let mut world = World::new(None);
    assert!(
        world.connects.is_empty(),
        "without a session there is no reason to connect"
    );
    world.submit(1, Request::Login(v1::LoginRequest::default()));
    assert_eq!(world.connects.len(), 1);
    world.closed();
    assert_eq!(world.completed, [(1, Err(Error::Unreachable("gone".to_owned())))]);
    assert_eq!(
        world.retry_in(),
        None,
        "and without anyone waiting there is none again"
    );
    world.pass(Duration::from_secs(3_600));
    assert_eq!(world.connects.len(), 1);
}

#[test]
fn a_login_makes_a_session_that_is_resumed_from_then_on() {
    let mut world = World::new(None);
    world.submit(1, whoever());
    assert_eq!(world.completed, [(1, Err(Error::NotLoggedIn))]);
    world.submit(2, Request::Login(v1::LoginRequest::default()));
    world.connected();
    world.welcome(None);
    let login = world.sent.last().unwrap().seq;
    let session = v1::Session {
        token: "fresh".to_owned(),
        ..v1::Session::default()
    };
    world.answer(login, &Reply::Login(session.clone()));
    assert_eq!(world.completed[1], (2, Ok(Reply::Login(session))));
    assert!(matches!(world.events.last(), Some(Event::Connected { .. })));
    world.closed();
    world.pass(RECONNECT_CAP);
    world.connected();
    let body = world.sent.last().unwrap().body.clone();
    let hello: v1::Hello = Encoding::Protobuf.decode(body).unwrap();
    assert_eq!(hello.session_token, "fresh");
}

#[test]
fn a_heartbeat_goes_out_and_silence_is_death() {
    let mut world = World::open();
    world.pass(HEARTBEAT);
    assert_eq!(world.requests(), [Command::Ping]);
    let pong = v1::Pong {
        sync_token: "t".into(),
        ..v1::Pong::default()
    };
    let seq = world.sent[0].seq;
    world.answer(seq, &Reply::Ping(pong.clone()));
    assert_eq!(world.events, [Event::Pong(pong)]);
    world.pass(HEARTBEAT);
    assert_eq!(world.requests(), [Command::Ping, Command::Ping]);
    world.pass(IDLE - HEARTBEAT - Duration::from_millis(1));
    assert_eq!(world.closes, 0);
    assert_eq!(world.sent.len(), 2, "one heartbeat at a time");
    world.pass(Duration::from_millis(1));
    assert_eq!(world.closes, 1);
    assert!(world.retry_in().is_some());
}

#[test]
fn the_heartbeat_is_as_frequent_as_the_servers_patience_needs() {
    // Heartbeat and patience of the server in milliseconds, and when the client pings.
    for (heartbeat_ms, idle_ms, expected) in [
        (15_000, 40_000, 15_000),
        (300, 1_000, 300),
        (15_000, 500, 250),
        (60_000, 150_000, 60_000),
        (600_000, 600_000, 300_000),
        (0, 0, 15_000),
        (100, 200, 100),
        (1, 1, 100),
        (u32::MAX, u32::MAX, 1_800_000),
    ] {
        let mut world = World::open_timed(heartbeat_ms, idle_ms);
        world.pass(Duration::from_millis(expected - 1));
        assert_eq!(world.requests(), [], "{heartbeat_ms} {idle_ms}");
        world.pass(Duration::from_millis(1));
        assert_eq!(world.requests(), [Command::Ping], "{heartbeat_ms} {idle_ms}");
    }
}

#[test]
fn the_client_is_as_patient_as_the_server() {
    // Heartbeat and patience of the server in milliseconds, and when the client gives up.
    for (heartbeat_ms, idle_ms, expected) in [
        (15_000, 40_000, 40_000),
        (100, 200, 200),
        (15_000, 500, 500),
        (15_000, 600_000, 600_000),
        (600_000, 600_000, 600_000),
        (15_000, 0, 40_000),
        (1, 1, 200),
        (0, u32::MAX, 3_600_000),
    ] {
        let mut world = World::open_timed(heartbeat_ms, idle_ms);
        let idle = Duration::from_millis(expected);
        world.pass(idle - Duration::from_millis(1));
        assert_eq!(world.closes, 0, "{heartbeat_ms} {idle_ms}");
        assert_eq!(world.requests(), [Command::Ping], "it asked before it gives up");
        world.pass(Duration::from_millis(1));
        assert_eq!(world.closes, 1, "{heartbeat_ms} {idle_ms}");
    }
}

#[test]
fn a_server_that_answers_is_never_given_up() {
    for (heartbeat_ms, idle_ms) in [(100, 200), (15_000, 500), (600_000, 600_000)] {
        let mut world = World::open_timed(heartbeat_ms, idle_ms);
        for _ in 0..50 {
            world.pass(Duration::from_millis(u64::from(idle_ms) / 2));
            let ping = world.sent.pop().expect("a heartbeat");
            assert_eq!(ping.kind.command(), Command::Ping.number());
            // The answer takes nearly as long as the server is patient.
            world.pass(Duration::from_millis(u64::from(idle_ms) / 2 - 1));
            world.answer(ping.seq, &Reply::Ping(v1::Pong::default()));
        }
        assert_eq!(world.closes, 0, "{heartbeat_ms} {idle_ms}");
    }
}

#[test]
fn silence_means_nothing_while_nothing_is_read() {
    let mut world = World::open();
    world.link.set_reading(false, world.now);
    world.pass(IDLE * 3);
    assert_eq!(world.closes, 0);
    world.link.set_reading(true, world.now);
    world.pass(IDLE - Duration::from_millis(1));
    assert_eq!(world.closes, 0);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.closes, 1);
}

#[test]
fn a_greeting_that_is_not_answered_is_a_failed_attempt() {
    let mut world = World::new(Some("token"));
    world.connected();
    world.pass(GREETING_TIMEOUT);
    assert_eq!(world.closes, 1);
    assert!(world.retry_in().is_some());
}

#[test]
fn delays_grow_over_failed_attempts_and_start_over_after_a_good_connection() {
    let mut world = World::new(Some("token"));
    let mut longest = Duration::ZERO;
    for _ in 0..40 {
        world.closed();
        let delay = world.retry_in().unwrap();
        assert!(delay <= RECONNECT_CAP);
        longest = longest.max(delay);
        world.pass(delay);
    }
    assert!(longest > RECONNECT_CAP / 2);
    world.connected();
    world.welcome(Some(v1::Session::default()));
    world.pass(STABLE_AFTER);
    world.closed();
    assert!(world.retry_in().unwrap() <= Duration::from_millis(500));
}

#[test]
fn a_server_that_drains_says_when_and_where_to_come_back() {
    let mut world = World::open();
    world.submit(1, whoever());
    world.go_away(GoAwayReason::Draining, 30_000, &["other:1", "another:2"]);
    world.submit(2, whoever());
    assert_eq!(world.sent.len(), 1, "nothing new is begun");
    let seq = world.sent[0].seq;
    world.answer(seq, &found());
    assert_eq!(world.completed, [(1, Ok(found()))], "what flew may finish");
    assert_eq!(world.closes, 1);
    assert!(world.retry_in().unwrap() >= Duration::from_secs(30));
    world.pass(Duration::from_secs(30));
    assert_eq!(world.connects.last().unwrap(), &["other:1", "another:2"]);
}

#[test]
fn there_is_no_return_from_some_farewells() {
    for (reason, ending) in [
        (GoAwayReason::Replaced, Ending::Replaced),
        (GoAwayReason::Displaced, Ending::Displaced),
        (GoAwayReason::Revoked, Ending::Revoked),
    ] {
        let mut world = World::open();
        world.submit(1, whoever());
        world.go_away(reason, 0, &[]);
        assert_eq!(world.completed, [(1, Err(Error::Ended(ending.clone())))]);
        assert_eq!(world.events.last(), Some(&Event::Ended(ending.clone())));
        world.closed();
        world.pass(Duration::from_secs(3_600));
        assert_eq!(world.connects.len(), 1, "{reason:?}");
        world.submit(2, whoever());
        assert_eq!(world.completed[1], (2, Err(Error::Ended(ending))));
    }
}

#[test]
fn a_session_that_is_not_accepted_is_over_and_a_busy_server_is_not() {
    let refused = |code| {
        let mut world = World::new(Some("token"));
        world.connected();
        let seq = world.sent[0].seq;
        world.refuse(seq, &Refusal::new(code, "").with_retry_after_ms(20_000));
        world
    };
    let world = refused(ErrorCode::Unauthenticated);
    assert_eq!(world.events, [Event::Ended(Ending::Unauthenticated)]);
    let world = refused(ErrorCode::UnsupportedVersion);
    assert!(matches!(
        world.events[..],
        [Event::Ended(Ending::UnsupportedVersion { .. })]
    ));
    let world = refused(ErrorCode::Overloaded);
    assert!(
        world.retry_in().unwrap() >= Duration::from_secs(20),
        "the server says when"
    );
}

#[test]
fn what_no_server_says_ends_the_connection_and_nothing_else() {
    let strange: [fn(&mut World, u16); 4] = [
        |world, seq| world.answer(seq + 1, &found()),
        |world, seq| world.answer(seq, &Reply::Typing(v1::Empty {})),
        |world, seq| {
            let mut frame = found().to_frame(Encoding::Protobuf, seq);
            frame.body = "\u{7f}\u{7f}".into();
            world.frame(frame);
        },
        |world, _| {
            let mut frame = Push::HeadsPush(v1::HeadsPush::default()).to_frame(Encoding::Protobuf);
            frame.body = "\u{7f}\u{7f}".into();
            world.frame(frame);
        },
    ];
    for (index, act) in strange.into_iter().enumerate() {
        let mut world = World::open();
        world.submit(1, whoever());
        let seq = world.sent[0].seq;
        act(&mut world, seq);
        assert_eq!(world.closes, 1, "case {index}");
        assert_eq!(world.completed.len(), 1, "case {index}");
        assert!(world.retry_in().is_some(), "case {index}");
    }
}

#[test]
fn what_a_newer_server_pushes_is_passed_over() {
    let mut world = World::open();
    world.frame(Frame {
        kind: protocol::MessageType::request(3_999),
        seq: 0,
        body: "anything".into(),
    });
    assert_eq!((world.closes, world.events.len()), (0, 0));
}

#[test]
fn the_last_words_before_a_close_are_its_reason() {
    let mut world = World::open();
    let words = Refusal::new(ErrorCode::Timeout, "too slow").with_class(ErrorClass::NotApplied);
    world.refuse(0, &words);
    world.closed();
    let Some(Event::Disconnected { reason, .. }) = world.events.last() else {
        panic!("a disconnect is reported");
    };
    assert_eq!(reason, "TIMEOUT: too slow");
}

#[test]
fn closing_tells_everyone_who_waits() {
    let mut world = World::open();
    for ticket in 1..=5 {
        world.submit(ticket, whoever());
    }
    world.link.close();
    world.act();
    assert_eq!(world.completed.len(), 5);
    assert!(
        world
            .completed
            .iter()
            .all(|(_, result)| *result == Err(Error::Closed))
    );
}

/// What is heard after a message was sent and answered.
fn heard(capabilities: u64, message: v1::SendRequest, sent: v1::SendResponse) -> Vec<Event> {
    let mut world = World::open_with(capabilities);
    world.submit(1, Request::Send(message));
    let seq = world.sent[0].seq;
    world.answer(seq, &Reply::Send(sent));
    assert_eq!(world.completed.len(), 1);
    world.events
}

#[test]
fn the_answer_to_a_message_is_its_event_where_the_server_agrees() {
    let events = heard(CAPABILITY_ANSWER_IS_EVENT, message(v1::EventKind::Text), sent());
    let event = v1::Event {
        conversation_id: 5,
        seq: 4,
        ordinal: 3,
        roster: 2,
        sender_id: 7,
        sent_at_ms: 1_000,
        kind: v1::EventKind::Text.into(),
        client_msg_id: vec![3; 16].into(),
        body: Some(v1::EventBody {
            content: message(v1::EventKind::Text).content,
            ..v1::EventBody::default()
        }),
        ..v1::Event::default()
    };
    let page = v1::Page {
        conversation_id: 5,
        epoch: 9,
        from_seq: 4,
        to_seq: 4,
        events: vec![event],
        head_seq: 0,
    };
    assert_eq!(events, [Event::Push(Push::EventsPush(page))]);
    assert_eq!(heard(0, message(v1::EventKind::Text), sent()), []);
}

#[test]
fn the_answer_to_anything_else_is_only_an_answer() {
    let duplicate = v1::SendResponse {
        duplicate: true,
        ..sent()
    };
    let transient = v1::SendResponse {
        seq: 0,
        ordinal: 0,
        ..sent()
    };
    for (message, sent) in [
        (message(v1::EventKind::Text), duplicate),
        (message(v1::EventKind::Text), transient),
        (message(v1::EventKind::Edit), sent()),
        (message(v1::EventKind::Recall), sent()),
        (message(v1::EventKind::Reaction), sent()),
    ] {
        assert_eq!(heard(CAPABILITY_ANSWER_IS_EVENT, message, sent), []);
    }
}

#[test]
fn an_answer_that_comes_too_late_for_its_caller_is_still_the_event() {
    let mut world = World::open_with(CAPABILITY_ANSWER_IS_EVENT);
    world.submit(1, Request::Send(message(v1::EventKind::Text)));
    let seq = world.sent[0].seq;
    world.pass(Duration::from_secs(11));
    assert_eq!(world.completed, [(1, Err(Error::Timeout))]);
    assert_eq!(world.events, []);
    world.answer(seq, &Reply::Send(sent()));
    assert!(matches!(world.events[..], [Event::Push(Push::EventsPush(_))]));
}

#[test]
fn an_expired_message_has_no_body() {
    let expired = |expires_at_ms| {
        let mut message = message(v1::EventKind::Text);
        if let Some(content) = &mut message.content {
            content.expires_at_ms = expires_at_ms;
        }
        let events = heard(CAPABILITY_ANSWER_IS_EVENT, message, sent());
        let [Event::Push(Push::EventsPush(page))] = &events[..] else {
            panic!("{events:?}");
        };
        (page.events[0].expired, page.events[0].body.is_none())
    };
    assert_eq!(expired(0), (false, false));
    assert_eq!(expired(1_000), (true, true));
    assert_eq!(expired(1_001), (false, false));
}
