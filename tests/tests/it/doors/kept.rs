//! What a kept connection carries between its answers, and what a stream carries beside calls of its session.

use protocol::v1::{self, ErrorCode};
use tests::harness::{Daemon, Events, Setup, Web, login, text};

use super::{direct, sent};

#[test]
fn nothing_comes_between_the_answers_of_calls() {
    let daemon = Daemon::start();
    let [ada, bob] = daemon.register_all(["ada", "bob"]);
    let conversation_id = direct(ada.id, bob.id);
    let mut web = Web::to(daemon.address());
    let token = web.granted("", login("ada")).token;
    web.granted(&token, text(conversation_id, "hello"));
    for _ in 0..3 {
        // The device seems to have what the store has not: natively it would be told to begin anew.
        let beyond = v1::HistoryRequest {
            conversation_id,
            from_seq: 9_999,
            limit: 10,
            ..v1::HistoryRequest::default()
        };
        let (status, refusal) = web.ask(&token, beyond).unwrap_err();
        assert_eq!((status, refusal.code()), (400, ErrorCode::OutOfRange));
        assert_eq!(web.get("/healthz").status, 200);
    }
    let delivered = v1::DeliveredRequest {
        up_to: vec![v1::Head {
            conversation_id,
            seq: 9_999,
        }],
    };
    web.granted(&token, delivered);
    assert_eq!(web.get("/healthz").status, 200);
}

#[test]
fn a_stream_goes_on_whatever_its_session_reports() {
    let daemon = Daemon::start();
    let [ada, bob] = daemon.register_all(["ada", "bob"]);
    let conversation_id = direct(ada.id, bob.id);
    sent(daemon.address(), &bob.token, conversation_id, "first");
    let mut web = Web::to(daemon.address());
    let token = web.granted("", login("ada")).token;
    let mut events = Events::open(daemon.address(), &token);
    events.synced();
    web.granted(
        &token,
        v1::DeliveredRequest {
            up_to: vec![v1::Head {
                conversation_id,
                seq: 9_999,
            }],
        },
    );
    let second = sent(daemon.address(), &bob.token, conversation_id, "second");
    assert_eq!(events.pushed().seq, second.seq);
}

#[test]
fn a_field_that_occurs_twice_is_refused() {
    let daemon = Daemon::start();
    let ada = daemon.register("ada");
    let mut web = Web::to(daemon.address());
    let own = ada.own();
    for body in [
        format!(
            r#"{{"conversation_id":"{own}","conversation_id":"1","kind":1,"content":{{"body":"aGk="}}}}"#
        ),
        format!(r#"{{"conversation_id":"{own}","kind":1,"content":{{"body":"aGk=","body":"aG8="}}}}"#),
        format!(
            r#"{{"client_msg_id":"0190a5c2-7b31-7c4e-9f00-0123456789ab","clientMsgId":"0190a5c2-7b31-7c4e-9f00-0123456789ac","conversation_id":"{own}","kind":1,"content":{{"body":"aGk="}}}}"#
        ),
    ] {
        web.call(&ada.token, "send", &body)
            .is_refused(400, ErrorCode::Invalid);
    }
    for body in [
        r#"{"name":"ada","name":"bob","password":"correct horse battery"}"#,
        r#"{"name":"ada","password":"correct horse battery","device":{"device_id":"a"},"device":{"device_id":"b"}}"#,
        r#"{"name":"ada","password":"correct horse battery","device":{"device_id":"a","device_id":"b"}}"#,
    ] {
        web.call("", "login", body).is_refused(400, ErrorCode::Invalid);
    }
    let null = r#"{"name":"ada","password":"correct horse battery","device":null}"#;
    assert_eq!(web.call("", "login", null).status, 200);
}

#[test]
fn tickets_are_charged_to_who_asks_for_them() {
    let daemon =
        Setup::config("[limits]\nexempt = []\nrequests_per_second = 1\nrequests_burst = 5\n").start();
    let ada = daemon.register("ada");
    let mut web = Web::to(daemon.address());
    let asked = (0..20).map(|_| {
        let bearer = format!("Bearer {}", ada.token);
        let headers = [("Authorization", bearer.as_str())];
        web.request("POST", "/v1/events/ticket", &headers, "").status
    });
    let given = asked.filter(|status| *status == 200).count();
    assert!((1..=10).contains(&given), "{given}");
}
