//! Calls: who makes them, on which device, and how a repetition is told.

use protocol::v1::{self, ErrorCode};
use serde_json::json;
use tests::harness::{Account, Daemon, PASSWORD, Setup, Web, body, login, text};

use super::{direct, history};

#[test]
fn two_people_chat_by_calls_alone() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let [ada, bob] = ["ada", "bob"].map(|name| web.register(name));
    let conversation = direct(ada.id, bob.id);
    let stored = web.granted(&ada.token, text(conversation, "hello"));
    assert_eq!((stored.seq, stored.duplicate), (1, false));
    web.granted(&bob.token, text(conversation, "hello yourself"));
    for token in [&ada.token, &bob.token] {
        let page = web.granted(token, history(conversation)).page.unwrap();
        let texts: Vec<String> = page.events.iter().map(body).collect();
        assert_eq!(texts, ["hello", "hello yourself"]);
        let sync = web.granted(
            token,
            v1::SyncRequest {
                limit: 10,
                ..v1::SyncRequest::default()
            },
        );
        assert_eq!(sync.conversations.len(), 1);
        assert_eq!(sync.conversations[0].head_seq, 2);
        assert!(!sync.token.is_empty());
    }
    // The same from the token on: nothing is new, then one is.
    let token = web
        .granted(
            &bob.token,
            v1::SyncRequest {
                limit: 10,
                ..v1::SyncRequest::default()
            },
        )
        .token;
    web.granted(&ada.token, text(conversation, "and again"));
    let sync = web.granted(&bob.token, v1::SyncRequest { token, limit: 10 });
    assert_eq!(sync.conversations[0].head_seq, 3);
}

#[test]
fn an_answer_says_what_it_is_and_is_kept_by_nobody() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let ada = web.register("ada");
    let response = web.call(&ada.token, "list_devices", "");
    assert_eq!(response.status, 200, "an empty body is an empty message");
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    assert!(response.header("date").unwrap().ends_with(" GMT"));
    assert_eq!(web.call(&ada.token, "list_devices", "{}").json(), response.json());
    let nothing = web.call(&ada.token, "logout", "");
    assert_eq!((nothing.status, nothing.text().as_str()), (200, "{}"));
}

#[test]
fn a_login_may_name_its_device_and_takes_its_place() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let mut web = Web::to(daemon.address());
    let device = |id: &str| {
        json!({"name": "ada", "password": PASSWORD,
               "device": {"device_id": id, "class": "DEVICE_CLASS_WEB", "name": "browser"}})
        .to_string()
    };
    let response = web.call("", "login", &device("tab"));
    assert_eq!(response.status, 200, "{}", response.text());
    let token = response.json()["token"].as_str().unwrap().to_owned();
    let devices = web.granted(&token, v1::ListDevicesRequest {}).sessions;
    let own = devices.iter().find(|session| session.current).unwrap();
    let named = own.device.as_ref().unwrap();
    assert_eq!(
        (named.device_id.as_str(), named.class(), named.name.as_str()),
        ("tab", v1::DeviceClass::Web, "browser")
    );
    // The same device once more: the session before is over.
    assert_eq!(web.call("", "login", &device("tab")).status, 200);
    web.call(&token, "list_devices", "")
        .is_refused(401, ErrorCode::Unauthenticated);
    let refused = web.call("", "login", &device("a b"));
    refused.is_refused(400, ErrorCode::Invalid);
    assert_eq!(refused.refusal().field, "device.device_id");
    // A registration may, too.
    let register = json!({"name": "bob", "password": PASSWORD, "device": {"device_id": "phone", "class": "DEVICE_CLASS_MOBILE"}});
    let response = web.call("", "register", &register.to_string());
    let token = response.json()["token"].as_str().unwrap().to_owned();
    let devices = web.granted(&token, v1::ListDevicesRequest {}).sessions;
    assert_eq!(
        devices[0].device.as_ref().unwrap().class(),
        v1::DeviceClass::Mobile
    );
    // And nobody's native connection has noticed.
    ada.get(v1::Ping {});
}

#[test]
fn scripts_displace_no_device_and_only_each_other() {
    let daemon = Setup::config("[devices]\ntotal = 2\ndesktop = 2\nscript = 3\n").start();
    let mut ada = daemon.register("ada");
    let mut other = daemon.login("ada", "second");
    let mut web = Web::to(daemon.address());
    let scripts: Vec<Account> = (0..4)
        .map(|_| Account::of(web.granted("", login("ada"))))
        .collect();
    for device in [&mut ada, &mut other] {
        device.get(v1::Ping {});
        assert!(!device.conn.has_kept(), "nobody was told to go");
    }
    let statuses: Vec<u16> = scripts
        .iter()
        .map(|script| web.call(&script.token, "list_devices", "").status)
        .collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 3);
    assert_eq!(statuses[3], 200, "the newest stays");
    let devices = ada.get(v1::ListDevicesRequest {}).sessions;
    assert_eq!(devices.len(), 2 + 3);
}

#[test]
fn a_call_never_takes_over_the_sessions_live_connection() {
    let daemon = Daemon::start();
    let [mut ada, bob] = daemon.register_all(["ada", "bob"]);
    let mut web = Web::to(daemon.address());
    let conversation = direct(ada.id, bob.id);
    for number in 1..=20 {
        let stored = web.granted(&ada.token, text(conversation, "by a call"));
        assert_eq!(stored.seq, number);
        // The session that called is told of it on its connection as of another device's.
        assert_eq!(ada.pushed().seq, number);
    }
    let sessions = web.granted(&ada.token, v1::ListDevicesRequest {}).sessions;
    assert_eq!(sessions.len(), 1);
    assert!(sessions[0].online && sessions[0].current);
    // Neither does it make an offline session an online one.
    drop(bob.conn);
    let online = |web: &mut Web| web.granted(&bob.token, v1::ListDevicesRequest {}).sessions[0].online;
    while online(&mut web) {}
    assert!(!online(&mut web));
}

#[test]
fn one_connection_serves_several_users_each_as_themselves() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let [ada, bob, cyd] = ["ada", "bob", "cyd"].map(|name| web.register(name));
    let conversation = direct(ada.id, bob.id);
    web.granted(&ada.token, text(conversation, "for two"));
    for _ in 0..3 {
        assert!(web.ask(&ada.token, history(conversation)).is_ok());
        let (status, refusal) = web.ask(&cyd.token, history(conversation)).unwrap_err();
        assert_eq!((status, refusal.code()), (404, ErrorCode::NotFound));
        assert!(web.ask(&bob.token, history(conversation)).is_ok());
        // Whoever says nothing is nobody, though the connection was somebody's just now.
        let response = web.call("", "history", "{}");
        response.is_refused(401, ErrorCode::Unauthenticated);
    }
}

#[test]
fn a_key_or_a_uuid_makes_a_repetition_one() {
    const UUID: &str = "0190a5c2-7b31-7c4e-9f00-0123456789ab";
    const KEY: &str = "0190a5c2-7b31-7c4e-9f00-0123456789ac";
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let ada = web.register("ada");
    let own = protocol::self_conversation(ada.id).unwrap().get().to_string();
    let send = |extra: serde_json::Value| {
        let mut body =
            json!({"conversation_id": own, "kind": "EVENT_KIND_TEXT", "content": {"body": "aGk="}});
        let members = extra.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(members);
        body.to_string()
    };
    let mut stored = |headers: &[(&str, &str)], extra| {
        let response = web.call_with(&ada.token, "send", headers, &send(extra));
        assert_eq!(response.status, 200, "{}", response.text());
        let answer = response.json();
        (
            answer["seq"].as_str().unwrap().to_owned(),
            answer["duplicate"].as_bool().unwrap_or(false),
        )
    };
    let with_uuid = || json!({"client_msg_id": UUID});
    assert_eq!(stored(&[], with_uuid()), ("1".to_owned(), false));
    assert_eq!(stored(&[], with_uuid()), ("1".to_owned(), true));
    // In capitals it is the same, and in the form of the protocol.
    assert_eq!(stored(&[], json!({"client_msg_id": UUID.to_uppercase()})).0, "1");
    assert_eq!(
        stored(&[], json!({"clientMsgId": "AZClwnsxfE6fAAEjRWeJqw=="})).0,
        "1"
    );
    let key = [("Idempotency-Key", KEY)];
    assert_eq!(stored(&key, json!({})), ("2".to_owned(), false));
    assert_eq!(stored(&key, json!({})), ("2".to_owned(), true));
    let quoted = format!("\"{KEY}\"");
    assert_eq!(stored(&[("idempotency-key", &quoted)], json!({})).0, "2");
    // What the body says counts before the header.
    assert_eq!(stored(&key, with_uuid()).0, "1");
    // With neither, each is another message.
    assert_eq!(stored(&[], json!({})), ("3".to_owned(), false));
    assert_eq!(stored(&[], json!({})), ("4".to_owned(), false));
    let mut web = Web::to(daemon.address());
    for (headers, extra) in [
        (&[("Idempotency-Key", "again")][..], json!({})),
        (&[], json!({"client_msg_id": "again"})),
        (&[], json!({"client_msg_id": &UUID[1..]})),
        (&[], json!({"client_msg_id": 7})),
    ] {
        let response = web.call_with(&ada.token, "send", headers, &send(extra.clone()));
        response.is_refused(400, ErrorCode::Invalid);
        assert_eq!(response.refusal().field, "client_msg_id", "{extra}");
    }
}

#[test]
fn a_body_that_is_no_request_is_refused_and_the_connection_stays() {
    let daemon = Daemon::start();
    let mut web = Web::to(daemon.address());
    let ada = web.register("ada");
    let deep = "[".repeat(50_000);
    for body in [
        "{",
        "[]",
        "null",
        "7",
        "{\"no_such_field\": 1}",
        "\u{feff}{}",
        &deep,
    ] {
        for command in ["send", "history", "update_profile", "create_group"] {
            let response = web.call(&ada.token, command, body);
            assert!(
                matches!(response.status, 200 | 400 | 404),
                "{command} {body:.20}: {}",
                response.text()
            );
            if response.status == 400 {
                assert_eq!(response.refusal().code(), ErrorCode::Invalid);
            }
        }
        for command in ["register", "login"] {
            web.call("", command, body).is_refused(400, ErrorCode::Invalid);
        }
    }
    assert_eq!(web.call(&ada.token, "list_devices", "").status, 200);
}
