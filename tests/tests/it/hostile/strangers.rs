//! Peers that speak something else.

use std::io::Read;

use protocol::{
    Command, MessageType,
    v1::{self, ErrorCode},
};
use tests::{
    harness::{Incoming, hello},
    random::Random,
};

use super::Stage;

#[test]
fn other_protocols_are_refused_and_closed() {
    let mut stage = Stage::new();
    let greetings: [&[u8]; 3] = [
        // The start of a TLS ClientHello.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c",
        b"*1\r\n$4\r\nPING\r\n",
    ];
    for greeting in greetings {
        let mut conn = stage.stranger();
        conn.write(greeting);
        let refusal = conn.refusal();
        assert_eq!(refusal.code(), ErrorCode::FrameTooLarge, "{greeting:?}");
        conn.end();
    }
    // What begins like the name of a method is answered in HTTP.
    let greetings: [&[u8]; 3] = [
        b"POST /api HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 2000\r\n\r\n",
    ];
    for greeting in greetings {
        let mut conn = stage.stranger();
        conn.write(greeting);
        let mut answer = String::new();
        conn.stream().read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{greeting:?}: {answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
    stage.still_serves();
}

#[test]
fn random_bytes_are_closed_and_never_served() {
    let mut stage = Stage::with("[timeouts]\nhandshake_ms = 1000\n");
    let seed = Random::seed("GARBAGE_SEED");
    println!("GARBAGE_SEED={seed}");
    let mut random = Random::new(seed);
    for round in 0..200 {
        let mut bytes = vec![0; 8 + random.below(300) as usize];
        random.fill(&mut bytes);
        if round % 2 == 0 {
            // Lengths that the body reaches, so that the rest of the header is looked at.
            bytes[..4].copy_from_slice(&(random.below(64) as u32).to_be_bytes());
        }
        // What begins like the name of a method comes through another door.
        bytes[0] = bytes[0].to_ascii_lowercase();
        let mut conn = stage.stranger();
        let _ = conn.try_write(&bytes);
        conn.stream()
            .shutdown(std::net::Shutdown::Write)
            .unwrap_or_default();
        for incoming in conn.rest() {
            let ping =
                matches!(&incoming, Incoming::Reply(_, reply) if matches!(**reply, protocol::Reply::Ping(_)));
            assert!(
                ping || matches!(incoming, Incoming::Refused(..)),
                "{bytes:?}: {incoming:?}"
            );
        }
    }
    stage.still_serves();
}

#[test]
fn an_unknown_command_before_authentication_ends_the_connection() {
    let mut stage = Stage::new();
    for number in [0, 1, 999, 1_000, 4_000, 9_999, 0x3FFF] {
        let mut conn = stage.stranger();
        conn.write_frame(MessageType::request(number), 1, &b""[..]);
        assert_eq!(conn.refusal_of(1).code(), ErrorCode::UnknownCommand, "{number}");
        conn.end();
        let mut conn = stage.welcomed();
        conn.write_frame(MessageType::request(number), 1, &b""[..]);
        assert_eq!(conn.refusal_of(1).code(), ErrorCode::UnknownCommand, "{number}");
        conn.end();
    }
    stage.still_serves();
}

#[test]
fn an_unknown_command_of_a_session_is_refused_and_the_connection_stays() {
    let mut stage = Stage::with("[limits]\nunknown_commands_per_minute = 5\n");
    let mut ada = stage.daemon.register("ada");
    for _ in 0..5 {
        ada.conn
            .write_frame(MessageType::request(4_999), 900, &b"someday"[..]);
        assert_eq!(ada.conn.refusal_of(900).code(), ErrorCode::UnknownCommand);
    }
    ada.get(v1::ListDevicesRequest {});
    // Too many of them are no newer client any more.
    ada.conn
        .write_frame(MessageType::request(4_999), 900, &b"someday"[..]);
    assert_eq!(ada.conn.refusal_of(900).code(), ErrorCode::Protocol);
    ada.conn.end();
    ada.resumed().get(v1::ListDevicesRequest {});
    stage.still_serves();
}

#[test]
fn every_command_that_needs_a_session_is_refused_before_it() {
    let mut stage = Stage::new();
    for command in Command::requests().filter(|command| !command.is_for_anyone()) {
        let mut conn = stage.stranger();
        conn.write_frame(MessageType::request(command.number()), 1, &b""[..]);
        assert_eq!(conn.refusal_of(1).code(), ErrorCode::Protocol, "{command:?}");
        conn.end();
        let mut conn = stage.welcomed();
        conn.write_frame(MessageType::request(command.number()), 900, &b""[..]);
        assert_eq!(
            conn.refusal_of(900).code(),
            ErrorCode::Unauthenticated,
            "{command:?}"
        );
        conn.end();
    }
    stage.still_serves();
}

#[test]
fn what_a_client_calls_itself_cannot_write_to_the_log() {
    let mut stage = Stage::with("[log]\nlevel = \"trace\"\n");
    for name in ["a\nERROR forged line", "\u{1b}[31mred", "%s%n", "\0"] {
        let mut conn = stage.stranger();
        let hello = v1::Hello {
            client: name.to_owned(),
            ..hello("one")
        };
        let _ = conn.ask(hello);
    }
    stage.still_serves();
    for line in stage.daemon.log() {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(!line.starts_with("ERROR forged"), "{line}");
    }
}
