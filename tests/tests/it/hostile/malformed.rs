//! Bodies that are no messages, or strange ones.

use bytes::Bytes;
use protocol::{
    Command, Encoding, MessageType,
    v1::{self, ErrorCode, EventKind},
};
use tests::harness::{User, body, message_id, text};

use super::Stage;

/// Sends a raw body and takes the refusal.
#[track_caller]
fn refused(user: &mut User, command: Command, body: Vec<u8>) -> v1::Error {
    user.conn
        .write_frame(MessageType::request(command.number()), 9_000, body);
    user.conn.refusal_of(9_000)
}

#[test]
fn an_empty_body_where_fields_are_needed_is_invalid() {
    let mut stage = Stage::new();
    let mut ada = stage.daemon.register("ada");
    let needs_none = [
        Command::Logout,
        Command::LogoutOthers,
        Command::ListDevices,
        Command::UpdateProfile,
        // Nobody is away, and nobody is watched.
        Command::WatchPresence,
        Command::SetAway,
    ];
    let needs_fields =
        Command::requests().filter(|command| !command.is_for_anyone() && !needs_none.contains(command));
    for command in needs_fields {
        let refusal = refused(&mut ada, command, vec![]);
        assert_eq!(refusal.code(), ErrorCode::Invalid, "{command:?}");
        assert!(!refusal.field.is_empty(), "{command:?} says which field");
    }
    ada.get(v1::ListDevicesRequest {});
    for command in [Command::Hello, Command::Register, Command::Login] {
        let mut conn = if command == Command::Hello {
            stage.stranger()
        } else {
            stage.welcomed()
        };
        conn.write_frame(MessageType::request(command.number()), 9, &b""[..]);
        let code = conn.refusal_of(9).code();
        assert!(
            matches!(code, ErrorCode::Invalid | ErrorCode::Protocol),
            "{command:?}: {code:?}"
        );
        if command == Command::Hello {
            conn.end();
        } else {
            // Whoever mistyped something tries again.
            conn.ask(v1::Ping {}).unwrap();
        }
    }
    stage.still_serves();
}

#[test]
fn what_is_no_protocol_buffer_is_invalid() {
    let mut stage = Stage::new();
    let mut ada = stage.daemon.register("ada");
    let eleven_bytes = [vec![0x08], vec![0xFF; 10], vec![0x01]].concat();
    // Start-group tags of field 100, never ended.
    let groups = [0xA3, 0x06].repeat(10_000);
    let bodies = [
        ("a varint of eleven bytes", eleven_bytes),
        ("a field longer than the rest", vec![0x12, 0x7F, 1, 2, 3]),
        (
            "a length of 2^63",
            vec![0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
        ),
        ("field number 0", vec![0x00, 0x01]),
        ("wire type 6", vec![0x0E, 0x01]),
        ("wire type 7", vec![0x0F, 0x01]),
        ("text where a number belongs", vec![0x0A, 0x01, b'x']),
        ("half a varint", vec![0x08, 0x80]),
        ("ten thousand nested groups", groups),
        ("an end of no group", vec![0xA4, 0x06]),
    ];
    for command in [Command::Send, Command::History, Command::AddMembers] {
        for (name, body) in &bodies {
            let refusal = refused(&mut ada, command, body.clone());
            assert_eq!(refusal.code(), ErrorCode::Invalid, "{command:?}: {name}");
        }
    }
    ada.get(v1::ListDevicesRequest {});
    // A string that is no UTF-8.
    let refusal = refused(&mut ada, Command::FindUser, vec![0x0A, 0x02, 0xC3, 0x28]);
    assert_eq!(refusal.code(), ErrorCode::Invalid);
    stage.still_serves();
}

#[test]
fn a_frame_full_of_tiny_unknown_fields_is_harmless() {
    let mut stage = Stage::new();
    let mut ada = stage.daemon.register("ada");
    let own = ada.own();
    let mut bytes = Encoding::Protobuf.encode(&text(own, "beside the point")).to_vec();
    while bytes.len() < 65_000 {
        bytes.extend([0xF8, 0x7F, 0x00]);
    }
    let before = stage.daemon.memory();
    for round in 0..100 {
        let kind = MessageType::request(Command::Send.number());
        ada.conn.write_frame(kind, 9_000 + round, bytes.clone());
        ada.conn.answer::<v1::SendRequest>(9_000 + round).unwrap();
    }
    if let (Some(before), Some(after)) = (before, stage.daemon.memory()) {
        assert!(after < before + 32 * 1024 * 1024, "{before} to {after} bytes");
    }
    assert_eq!(ada.texts(own), ["beside the point"]);
    stage.still_serves();
}

#[test]
fn repeated_fields_have_limits() {
    let mut stage = Stage::new();
    let mut ada = stage.daemon.register("ada");
    let own = ada.own();
    let many = vec![1; 60_000];
    let get = v1::GetUsersRequest {
        user_ids: many.clone(),
    };
    assert_eq!(ada.refused(get), ErrorCode::TooMany);
    let create = v1::CreateGroupRequest {
        client_msg_id: message_id(),
        name: "everybody".to_owned(),
        user_ids: many,
    };
    assert_eq!(ada.refused(create), ErrorCode::TooMany);
    let delivered = v1::DeliveredRequest {
        up_to: vec![
            v1::Head {
                conversation_id: own,
                seq: 1
            };
            1_001
        ],
    };
    assert_eq!(ada.refused(delivered), ErrorCode::TooMany);
    let mut mentions = text(own, "all of you");
    mentions.content.as_mut().unwrap().mentions = vec![1; 101];
    assert_eq!(ada.refused(mentions), ErrorCode::TooMany);
    // The same without packing: a tag for each.
    let unpacked = [0x08, 0x01].repeat(30_000);
    assert_eq!(
        refused(&mut ada, Command::GetUsers, unpacked).code(),
        ErrorCode::TooMany
    );
    stage.still_serves();
}

#[test]
fn a_field_that_comes_twice_counts_as_it_came_last() {
    let mut stage = Stage::new();
    let mut ada = stage.daemon.register("ada");
    let own = ada.own();
    let mut bytes = Encoding::Protobuf.encode(&text(999_999, "where to?")).to_vec();
    bytes.push(0x08);
    let mut id = own;
    while id >= 0x80 {
        bytes.push((id & 0x7F) as u8 | 0x80);
        id >>= 7;
    }
    bytes.push(id as u8);
    ada.conn
        .write_frame(MessageType::request(Command::Send.number()), 9_000, bytes);
    assert_eq!(
        ada.conn.answer::<v1::SendRequest>(9_000).unwrap().conversation_id,
        own
    );
    stage.still_serves();
}

#[test]
fn numbers_that_mean_nothing_are_invalid() {
    let mut stage = Stage::new();
    let mut ada = stage.daemon.register("ada");
    let own = ada.own();
    for kind in [0, 9, 31, 35, 64, 70, 999, -1, i32::MIN, i32::MAX] {
        let send = v1::SendRequest {
            kind,
            ..text(own, "x")
        };
        assert_eq!(ada.refused(send), ErrorCode::Invalid, "kind {kind}");
    }
    for quality in [3, -1, i32::MIN] {
        let send = v1::SendRequest {
            quality,
            ..text(own, "x")
        };
        assert_eq!(ada.refused(send), ErrorCode::Invalid, "quality {quality}");
    }
    let history = |conversation_id, from_seq, limit, direction| v1::HistoryRequest {
        conversation_id,
        from_seq,
        limit,
        direction,
        epoch: 0,
    };
    ada.text(own, "one");
    for request in [
        history(own, 1, 1, 2),
        history(own, 1, 1, -1),
        history(own, 1, 0, 0),
        history(own, 1 << 63, 1, 0),
        history(own, u64::MAX, 1, 1),
        history(0, 1, 1, 0),
        history(1 << 63, 1, 1, 0),
        history(1 << 31, 1, 1, 0),
        history(1 << 60, 1, 1, 0),
        history(u64::MAX, 1, 1, 0),
    ] {
        assert_eq!(ada.refused(request), ErrorCode::Invalid, "{request:?}");
    }
    let mut expires = text(own, "x");
    expires.content.as_mut().unwrap().expires_at_ms = 1 << 63;
    assert_eq!(ada.refused(expires), ErrorCode::Invalid);
    let mut replies = text(own, "x");
    replies.content.as_mut().unwrap().reply_to = u64::MAX;
    assert_eq!(ada.refused(replies), ErrorCode::Invalid);
    for user_id in [0, 1 << 31, u64::MAX] {
        let get = v1::GetUsersRequest {
            user_ids: vec![user_id],
        };
        assert_eq!(ada.refused(get), ErrorCode::Invalid, "user {user_id}");
    }
    stage.still_serves();
}

#[test]
fn bodies_are_kept_to_the_byte_and_names_are_not_anything() {
    let mut stage = Stage::new();
    let mut ada = stage.daemon.register("ada");
    let own = ada.own();
    let combining = format!("Z{}", "\u{0323}\u{0302}".repeat(900));
    let strange: [&[u8]; 6] = [
        b"\0",
        b"\xC3\x28\xFF\xFE",
        "\u{202E}gnp.exe".as_bytes(),
        "\u{1F469}\u{200D}\u{1F680}".as_bytes(),
        b"\x1b[2J\x07",
        combining.as_bytes(),
    ];
    for bytes in strange {
        let mut send = text(own, "");
        send.content.as_mut().unwrap().body = Bytes::copy_from_slice(bytes);
        let ack = ada.get(send);
        let event = ada.page(own, ack.seq, 1).unwrap().events.remove(0);
        assert_eq!(event.body.unwrap().content.unwrap().body, bytes);
    }
    for name in [
        "",
        "  ",
        "\0",
        "a\nb",
        "\u{202E}abc",
        "\u{200B}",
        &"x".repeat(65),
        &"ä".repeat(65),
    ] {
        let create = v1::CreateGroupRequest {
            client_msg_id: message_id(),
            name: name.to_owned(),
            user_ids: vec![],
        };
        assert_eq!(ada.refused(create), ErrorCode::Invalid, "{name:?}");
        let profile = v1::UpdateProfileRequest {
            display_name: Some(name.to_owned()),
            ..v1::UpdateProfileRequest::default()
        };
        assert_eq!(ada.refused(profile), ErrorCode::Invalid, "{name:?}");
    }
    let family = "The \u{1F469}\u{200D}\u{1F680}s";
    let group = ada.group(family, &[]);
    assert_eq!(ada.view(group).name, family);
    stage.still_serves();
}

#[test]
fn what_the_server_decides_cannot_be_forged() {
    let mut stage = Stage::new();
    let [mut ada, mut eve] = stage.daemon.register_all(["ada", "eve"]);
    let conversation = eve.direct(ada.id);
    let send = text(conversation, "from ada, surely");
    // As an event would say it: sender 5, time 6, seq 2, epoch; in a request those fields do not exist.
    let mut forged = Encoding::Protobuf.encode(&send).to_vec();
    for (field, value) in [(10, 1), (11, 99), (12, 99), (13, 7)] {
        forged.extend([field << 3, value]);
    }
    eve.conn
        .write_frame(MessageType::request(Command::Send.number()), 9_000, forged);
    let ack = eve.conn.answer::<v1::SendRequest>(9_000).unwrap();
    assert_eq!(ack.seq, 1);
    let event = ada.pushed();
    assert_eq!(
        (event.sender_id, event.seq, event.kind()),
        (eve.id, 1, EventKind::Text)
    );
    assert_eq!(event.sent_at_ms, ack.sent_at_ms);
    assert_eq!(body(&event), "from ada, surely");
    stage.still_serves();
}

#[test]
fn what_was_refused_is_not_echoed_to_a_terminal() {
    let mut stage = Stage::new();
    let ada = stage.daemon.register("ada");
    let mut conn = stage.daemon.connect();
    conn.encoding = Encoding::Json;
    conn.ask(ada.hello_again()).unwrap();
    let hostile = "\\u001b[31m\\u009b\\r\\n\\u202e\\u2066\\u007f\\u0000 \u{9b}\u{202e}\u{7f}";
    let bodies = [
        format!("{{\"conversation_id\": \"{hostile}\"}}"),
        format!("{{\"{hostile}\": 1}}"),
        format!("{{\"direction\": \"{hostile}\"}}"),
        format!("{{\"limit\": \"{hostile}\"}}"),
        format!("{{\"limit\": [\"{hostile}\"]}}"),
        format!("\"{hostile}\""),
        hostile.to_owned(),
    ];
    for (seq, body) in (9_000..).zip(bodies) {
        conn.write_frame(MessageType::request(Command::History.number()), seq, body.clone());
        let refusal = conn.refusal_of(seq);
        let is_bad = |c: char| {
            c.is_control() || matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
        };
        let said = format!("{}{}", refusal.message, refusal.field);
        assert!(!said.contains(is_bad), "{body:?}: {said:?}");
    }
    stage.still_serves();
}
