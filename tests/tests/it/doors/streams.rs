//! The stream of events while it lasts: what it says, beside what, for whom, and how it ends.

use std::time::Duration;

use protocol::{
    Push,
    v1::{self, ErrorCode, GoAwayReason},
};
use tests::harness::{Account, Daemon, Events, Setup, Web, body, login, message_id, text};

use super::{direct, sent};

#[test]
fn a_stream_says_what_it_is_and_brings_events_as_they_happen() {
    let daemon = Daemon::start();
    let [ada, bob] = ["ada", "bob"].map(|name| Web::to(daemon.address()).register(name));
    let conversation = direct(ada.id, bob.id);
    sent(daemon.address(), &ada.token, conversation, "before");
    let mut events = Events::open(daemon.address(), &bob.token);
    assert_eq!(events.head.header("cache-control"), Some("no-store"));
    assert_eq!(events.head.header("x-accel-buffering"), Some("no"));
    assert_eq!(events.head.header("content-length"), None);
    let sync = events.synced();
    assert!(
        sync.conversations.is_empty(),
        "it begins where the log is: {sync:?}"
    );
    assert!(events.retry_ms > Some(0));
    for number in 2..=20 {
        sent(
            daemon.address(),
            &ada.token,
            conversation,
            &format!("message {number}"),
        );
        let event = events.pushed();
        assert_eq!((event.seq, body(&event)), (number, format!("message {number}")));
    }
    let id = events.next_id();
    assert!(!id.is_empty());
    // Everything else that is pushed comes, too.
    let mut web = Web::to(daemon.address());
    web.granted(
        &ada.token,
        v1::TypingRequest {
            conversation_id: conversation,
            typing: true,
        },
    );
    assert!(matches!(events.push(), Push::TypingPush(push) if push.user_id == ada.id && push.typing));
    let seq = sent(daemon.address(), &bob.token, conversation, "mine").seq;
    assert_eq!(events.pushed().seq, seq);
    web.granted(
        &ada.token,
        v1::ReadRequest {
            conversation_id: conversation,
            seq,
        },
    );
    assert!(matches!(events.push(), Push::CursorsPush(push) if push.cursors[0].user_id == ada.id));
    let group = web
        .granted(
            &ada.token,
            v1::CreateGroupRequest {
                client_msg_id: message_id(),
                name: "g".to_owned(),
                user_ids: vec![bob.id],
            },
        )
        .conversation_id;
    assert_eq!(events.pushed().conversation_id, group);
}

#[test]
fn a_stream_begins_where_it_is_asked_to() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let [ada, bob] = ["ada", "bob"].map(|name| web.register(name));
    let conversation = direct(ada.id, bob.id);
    web.granted(&ada.token, text(conversation, "one"));
    // From the very beginning.
    let mut events = Events::open_at(daemon.address(), &bob.token, "/v1/events?since=", &[]);
    let sync = events.synced();
    assert_eq!(sync.conversations[0].head_seq, 1);
    let id = events.next_id();
    drop(events);
    // From a token, in both alphabets of base64, escaped or not; a header counts before the query.
    web.granted(&ada.token, text(conversation, "two"));
    let url_safe = id.replace('+', "-").replace('/', "_");
    let escaped = id.replace('+', "%2B").replace('/', "%2f").replace('=', "%3D");
    for since in [&id, &url_safe, url_safe.trim_end_matches('='), &escaped] {
        let mut events = Events::open_at(
            daemon.address(),
            &bob.token,
            &format!("/v1/events?since={since}"),
            &[],
        );
        assert_eq!(events.synced().conversations[0].head_seq, 2, "{since}");
    }
    let headers = [("Last-Event-ID", id.as_str())];
    let mut events = Events::open_at(daemon.address(), &bob.token, "/v1/events?since=", &headers);
    let sync = events.synced();
    assert_eq!(sync.conversations.len(), 1);
    // Another's token, and what is none.
    let mut of_ada = Events::resume(daemon.address(), &ada.token, &id);
    assert_eq!(of_ada.synced().conversations[0].head_seq, 2);
    let tampered = format!("{}AAAA", &id[..id.len() - 4]);
    for wrong in ["x", "!", "AAAA", "%00", &tampered, &"A".repeat(4_000)] {
        let mut web = Web::to(daemon.address());
        let bearer = format!("Bearer {}", bob.token);
        let target = format!("/v1/events?since={wrong}");
        let response = web.request("GET", &target, &[("Authorization", &bearer)], "");
        response.is_refused(400, ErrorCode::Invalid);
        assert_eq!(response.refusal().field, "since", "{wrong:.20}");
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Last-Event-ID", &wrong.replace('%', "~")),
        ];
        web.request("GET", "/v1/events", &headers, "")
            .is_refused(400, ErrorCode::Invalid);
    }
}

#[test]
fn a_stream_and_a_live_connection_of_one_session_both_get_everything() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let mut events = Events::open(daemon.address(), &bob.token);
    events.synced();
    let conversation = ada.direct(bob.id);
    for number in 1..=10 {
        ada.text(conversation, "to both");
        assert_eq!(events.pushed().seq, number);
        assert_eq!(bob.pushed().seq, number);
    }
    // What the session itself sends comes on the stream, too.
    bob.text(conversation, "mine");
    assert_eq!(events.pushed().sender_id, bob.id);
    // The end of the one is not the end of the other.
    drop(events);
    ada.text(conversation, "still");
    bob.pushed();
    assert_eq!(bob.pushed().seq, 12);
    let mut events = Events::open(daemon.address(), &bob.token);
    events.synced();
    let (address, token) = (bob.address, bob.token.clone());
    drop(bob);
    ada.text(conversation, "and still");
    assert_eq!(events.pushed().seq, 13);
    let sessions = Web::to(address)
        .granted(&token, v1::ListDevicesRequest {})
        .sessions;
    assert!(sessions[0].online, "a stream is a connection");
}

#[test]
fn a_second_stream_of_a_session_replaces_the_first() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let [ada, bob] = ["ada", "bob"].map(|name| web.register(name));
    let mut first = Events::open(daemon.address(), &bob.token);
    first.synced();
    let mut second = Events::open(daemon.address(), &bob.token);
    second.synced();
    let Push::GoAway(go_away) = first.push() else {
        panic!("a go-away was expected")
    };
    assert_eq!(go_away.reason(), GoAwayReason::Replaced);
    first.end();
    // Another session of the user's has a stream of its own.
    let other = Account::of(web.granted("", login("bob")));
    let mut third = Events::open(daemon.address(), &other.token);
    third.synced();
    web.granted(&ada.token, text(direct(ada.id, bob.id), "to both"));
    assert_eq!((second.pushed().seq, third.pushed().seq), (1, 1));
}

#[test]
fn a_stream_ends_with_its_session_and_says_so() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    web.register("ada");
    for revoked in ["logout", "logout_others"] {
        let [script, other] = [(); 2].map(|()| Account::of(web.granted("", login("ada"))));
        let mut events = Events::open(daemon.address(), &script.token);
        events.synced();
        let by = if revoked == "logout" {
            &script.token
        } else {
            &other.token
        };
        let mut caller = Web::to(daemon.address());
        assert_eq!(caller.call(by, revoked, "").status, 200);
        let Push::GoAway(go_away) = events.push() else {
            panic!("a go-away was expected")
        };
        assert_eq!(go_away.reason(), GoAwayReason::Revoked, "{revoked}");
        events.end();
        let mut web = Web::to(daemon.address());
        let bearer = format!("Bearer {}", script.token);
        let response = web.request("GET", "/v1/events", &[("Authorization", &bearer)], "");
        response.is_refused(401, ErrorCode::Unauthenticated);
    }
}

#[test]
fn a_stream_is_told_when_the_server_goes_and_goes_on_when_it_is_back() {
    let mut daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let [ada, bob] = ["ada", "bob"].map(|name| web.register(name));
    let conversation = direct(ada.id, bob.id);
    let mut events = Events::open(daemon.address(), &bob.token);
    events.synced();
    web.granted(&ada.token, text(conversation, "one"));
    events.pushed();
    let id = events.next_id();
    daemon.ask_to_end();
    let Push::GoAway(go_away) = events.push() else {
        panic!("a go-away was expected")
    };
    assert_eq!(go_away.reason(), GoAwayReason::Draining);
    events.end();
    assert!(daemon.ended().success());
    daemon.start_again();
    sent(daemon.address(), &ada.token, conversation, "two");
    let mut events = Events::resume(daemon.address(), &bob.token, &id);
    assert_eq!(events.synced().conversations[0].head_seq, 2);
}

// ---- tickets --------------------------------------------------------------------------------------------

fn ticket(daemon: &Daemon, token: &str) -> String {
    let bearer = format!("Bearer {token}");
    let response =
        Web::to(daemon.address()).request("POST", "/v1/events/ticket", &[("Authorization", &bearer)], "");
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("cache-control"), Some("no-store"));
    response.json()["ticket"].as_str().unwrap().to_owned()
}

#[test]
fn a_ticket_opens_one_stream_of_its_owner() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let [ada, bob] = ["ada", "bob"].map(|name| web.register(name));
    let one = ticket(&daemon, &bob.token);
    assert!(
        one.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
        "{one}"
    );
    assert_ne!(one, ticket(&daemon, &bob.token));
    let target = format!("/v1/events?ticket={one}");
    let mut events = Events::open_at(daemon.address(), "", &target, &[]);
    events.synced();
    web.granted(&ada.token, text(direct(ada.id, bob.id), "hello"));
    assert_eq!(events.pushed().sender_id, ada.id);
    // Once used it is nobody's, whoever shows it; neither is one that was changed, or a session's own token.
    let forged = {
        let mut forged = ticket(&daemon, &bob.token).into_bytes();
        forged[7] = if forged[7] == b'A' { b'B' } else { b'A' };
        String::from_utf8(forged).unwrap()
    };
    let bearer = format!("Bearer {}", ada.token);
    for wrong in [&one, &forged, &bob.token, "", "x"] {
        for headers in [&[][..], &[("Authorization", bearer.as_str())]] {
            let mut web = Web::to(daemon.address());
            let response = web.request("GET", &format!("/v1/events?ticket={wrong}"), headers, "");
            response.is_refused(401, ErrorCode::Unauthenticated);
        }
    }
    // A ticket is no token of a call.
    let other = ticket(&daemon, &bob.token);
    web.call(&other, "list_devices", "")
        .is_refused(401, ErrorCode::Unauthenticated);
}

#[test]
fn a_ticket_ends_with_its_session_and_with_the_server() {
    let mut daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let ada = web.register("ada");
    let of_revoked = ticket(&daemon, &ada.token);
    assert_eq!(web.call(&ada.token, "logout", "").status, 200);
    let refused = |daemon: &Daemon, ticket: &str| {
        let response = Web::to(daemon.address()).get(&format!("/v1/events?ticket={ticket}"));
        response.is_refused(401, ErrorCode::Unauthenticated);
    };
    refused(&daemon, &of_revoked);
    let again = Account::of(Web::to(daemon.address()).granted("", login("ada")));
    let used = ticket(&daemon, &again.token);
    Events::open_at(daemon.address(), "", &format!("/v1/events?ticket={used}"), &[]).synced();
    // Which tickets were used is known to the process alone; so none of before is good after it.
    daemon.restart();
    refused(&daemon, &used);
}

// ---- slow and idle --------------------------------------------------------------------------------------

#[test]
fn a_stream_on_which_nothing_happens_says_that_it_is_alive() {
    // Longer than the daemon keeps a silent connection: a stream's client has nothing to say.
    let daemon = Setup::config("[timeouts]\nheartbeat_ms = 200\nidle_ms = 1000\n").start();
    let ada = Web::to(daemon.address()).register("ada");
    let mut events = Events::open(daemon.address(), &ada.token);
    events.synced();
    events.comment();
    sent(
        daemon.address(),
        &ada.token,
        protocol::self_conversation(ada.id).unwrap().get(),
        "after",
    );
    assert_eq!(events.pushed().seq, 1);
}

#[test]
fn a_stream_that_is_not_read_is_told_heads_and_catches_up() {
    const MESSAGES: u64 = 4_000;
    let config =
        "[limits]\npush_queue_bytes = 65536\n[timeouts]\nidle_ms = 120000\nwrite_stall_ms = 600000\n";
    let daemon = Setup::config(config).start();
    let [mut ada, bob] = daemon.register_all(["ada", "bob"]);
    let mut events = Events::open(daemon.address(), &bob.token);
    events.synced();
    let conversation = ada.direct(bob.id);
    let long = "x".repeat(4_000);
    let mut open = std::collections::VecDeque::new();
    for _ in 0..MESSAGES {
        if open.len() == 32 {
            ada.conn
                .answer::<v1::SendRequest>(open.pop_front().unwrap())
                .unwrap();
            while ada.conn.has_kept() {
                ada.conn.next();
            }
        }
        open.push_back(ada.conn.submit(text(conversation, &long)));
    }
    for seq in open {
        ada.conn.answer::<v1::SendRequest>(seq).unwrap();
    }
    // Now it is read: in order as far as it fit, then heads instead.
    let (mut last, mut heads) = (0, 0);
    loop {
        match events.push() {
            Push::EventsPush(page) => {
                // Once there was no room, a head stands for what did not fit, and events may follow it.
                if heads == 0 {
                    assert_eq!(page.from_seq, last + 1, "in order, without a gap");
                    last = page.to_seq;
                }
                if page.to_seq == MESSAGES {
                    break;
                }
            }
            Push::HeadsPush(push) => {
                heads += 1;
                // The newest is told in the end.
                let mut told = push
                    .heads
                    .iter()
                    .filter(|head| head.conversation_id == conversation);
                if push.resync || told.any(|head| head.seq == MESSAGES) {
                    break;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(
        heads > 0 && last < MESSAGES,
        "{last} of {MESSAGES} came as events"
    );
    // What it lacks is pulled; then pushes come again.
    let mut web = Web::to(daemon.address());
    let mut from = last + 1;
    while from <= MESSAGES {
        let request = v1::HistoryRequest {
            conversation_id: conversation,
            from_seq: from,
            limit: 500,
            ..v1::HistoryRequest::default()
        };
        let page = web.granted(&bob.token, request).page.unwrap();
        assert_eq!(page.from_seq, from);
        from = page.to_seq + 1;
    }
    web.granted(&ada.token, text(conversation, "still there?"));
    loop {
        match events.push() {
            Push::EventsPush(page) if page.to_seq == MESSAGES + 1 => break,
            Push::EventsPush(_) | Push::HeadsPush(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_stream_that_takes_nothing_for_long_is_closed() {
    let daemon =
        Setup::config("[limits]\npush_queue_bytes = 65536\n[timeouts]\nwrite_stall_ms = 500\n").start();
    let [mut ada, bob] = daemon.register_all(["ada", "bob"]);
    let mut events = Events::open(daemon.address(), &bob.token);
    events.synced();
    let address = bob.address;
    let token = bob.token.clone();
    let conversation = ada.direct(bob.id);
    drop(bob);
    let long = "x".repeat(4_000);
    let mut web = Web::to(address);
    // As long as it is open, the session is online.
    let online = |web: &mut Web| web.granted(&token, v1::ListDevicesRequest {}).sessions[0].online;
    while online(&mut web) {
        for _ in 0..50 {
            ada.conn.submit(text(conversation, &long));
        }
        ada.get(v1::Ping {});
        while ada.conn.has_kept() {
            ada.conn.next();
        }
    }
    // What was on its way is whole as far as it came.
    let mut last = 0;
    while let Some(event) = events.poll(Duration::from_secs(5)) {
        assert!(event.name == "events" || event.name == "heads", "{}", event.name);
        last += 1;
    }
    assert!(last > 0 && events.has_ended());
}
