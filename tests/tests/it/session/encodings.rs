//! JSON in place of protocol buffers, decided by the first byte of the hello.

use protocol::{
    Command, Encoding, MessageType, Push,
    v1::{self, ErrorCode, EventKind},
};
use tests::harness::{Connection, Daemon, PASSWORD, User, body, hello, refused};

fn json(daemon: &Daemon) -> Connection {
    let mut conn = daemon.connect();
    conn.encoding = Encoding::Json;
    conn
}

#[test]
fn a_json_connection_does_everything_in_json() {
    let daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let mut conn = json(&daemon);
    let welcome = conn.ask(hello("browser")).unwrap();
    assert_eq!(welcome.limits.unwrap().page_events_max, 500);
    let session = conn
        .ask(v1::RegisterRequest {
            name: "jay".to_owned(),
            password: PASSWORD.to_owned(),
            display_name: "J. Son".to_owned(),
        })
        .unwrap();
    let mut jay = User::of(daemon.address(), conn, "browser", session);
    let conversation = jay.direct(ada.id);
    jay.text(conversation, "from JSON");
    assert_eq!(body(&jay.pushed()), "from JSON");
    assert_eq!(body(&ada.pushed()), "from JSON");
    ada.text(conversation, "from protobuf");
    assert_eq!(body(&jay.pushed()), "from protobuf");
    assert_eq!(jay.texts(conversation), ["from JSON", "from protobuf"]);
    assert_eq!(jay.history(conversation), ada.history(conversation));
    let group = jay.group("both", &[ada.id]);
    assert_eq!(jay.pushed().kind(), EventKind::GroupCreated);
    assert_eq!(jay.view(group).member_count, 2);
    ada.get(v1::TypingRequest {
        conversation_id: group,
        typing: true,
    });
    assert!(matches!(jay.conn.push(), Push::TypingPush(push) if push.user_id == ada.id));
    let pong = jay.get(v1::Ping {});
    assert!(pong.server_time_ms > 0);
    let sync = jay.get(v1::SyncRequest {
        token: Default::default(),
        limit: 10,
    });
    assert_eq!(sync.conversations.len(), 2);
}

#[test]
fn json_is_read_as_people_write_it() {
    let daemon = Daemon::start();
    let mut conn = json(&daemon);
    let hello = br#"{"magic": 1229804337, "versionMin": 1, "versionMax": 1, "someday": {"more": [1]},
        "device": {"deviceId": "script", "class": "DEVICE_CLASS_WEB"}}"#;
    conn.write_frame(MessageType::request(Command::Hello.number()), 1, &hello[..]);
    conn.answer::<v1::Hello>(1).unwrap();
    // An empty body is an empty message.
    conn.write_frame(MessageType::request(Command::Ping.number()), 2, &b""[..]);
    conn.answer::<v1::Ping>(2).unwrap();
    let register = br#"{"name": "script", "password": "correct horse battery"}"#;
    conn.write_frame(MessageType::request(Command::Register.number()), 3, &register[..]);
    let session = conn.answer::<v1::RegisterRequest>(3).unwrap();
    let own = session.user.unwrap().user_id;
    let send = format!(
        r#"{{"conversationId": "{own}", "clientMsgId": "AAAAAAAAAAAAAAAAAAAAAA==", "kind": "EVENT_KIND_TEXT",
            "content": {{"body": "aGk="}}}}"#
    );
    conn.write_frame(MessageType::request(Command::Send.number()), 4, send);
    assert_eq!(conn.answer::<v1::SendRequest>(4).unwrap().seq, 1);
}

#[test]
fn broken_json_is_refused_in_json() {
    let daemon = Daemon::start();
    let mut conn = json(&daemon);
    conn.write_frame(
        MessageType::request(Command::Hello.number()),
        1,
        &b"{\"magic\": "[..],
    );
    let refusal = conn.answer::<v1::Hello>(1).unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::Invalid);
    conn.end();
}

#[test]
fn deep_json_is_refused_and_hurts_nobody() {
    let daemon = Daemon::start();
    let mut conn = json(&daemon);
    conn.ask(hello("deep")).unwrap();
    let session = conn
        .ask(v1::RegisterRequest {
            name: "deep".to_owned(),
            password: PASSWORD.to_owned(),
            display_name: String::new(),
        })
        .unwrap();
    let mut user = User::of(daemon.address(), conn, "deep", session);
    let nested = format!("{{\"token\": {}", "[".repeat(60_000));
    user.conn
        .write_frame(MessageType::request(Command::Sync.number()), 900, nested);
    assert_eq!(
        refused(user.conn.answer::<v1::SyncRequest>(900)),
        ErrorCode::Invalid
    );
    user.get(v1::ListDevicesRequest {});
}
