//! `docs/PROTOCOL.md` says what the code does: every example is decoded and encoded again byte for byte, every number
//! and every limit in its tables is compared, and its schema is the one that is compiled.

// In tests a failed unwrap is the failing assertion, also in what they share.
#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use protocol::{
    Command, Decode, ERROR_MESSAGE_BYTES_MAX, Encoding, Frame, FrameCodec, HEADER_BYTES, Push, Refusal,
    Reply, Request, Split, USER_ID_MAX, encode_error, limits,
    v1::{self, ErrorCode},
    validate,
};
use serde_json::Value;

mod schema;

use schema::{FILES, Schema};

const DOCUMENT: &str = include_str!("../../docs/PROTOCOL.md");

/// A fenced block: what stands behind the opening fence, and the text inside.
fn blocks(document: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, String)> = None;
    for line in document.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(kind)) => open = Some((kind, String::new())),
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some((_, text)), _) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block that does not end");
    blocks
}

fn bytes_of(hex: &str) -> BytesMut {
    hex.split_whitespace()
        .map(|pair| u8::from_str_radix(pair, 16).unwrap_or_else(|_| panic!("{pair:?} is no byte")))
        .collect()
}

fn one_frame(bytes: &[u8]) -> Frame {
    match FrameCodec::new(limits::FRAME_BYTES_MAX).split(bytes) {
        Ok(Split::Frame(frame)) => {
            assert_eq!(
                HEADER_BYTES + frame.body.len(),
                bytes.len(),
                "bytes behind the frame"
            );
            frame
        }
        other => panic!("no frame: {other:?} in {bytes:02x?}"),
    }
}

/// Decodes an example by its kind, and encodes what was found: the frame again, and the body in JSON.
fn again(kind: &str, frame: &Frame) -> (Frame, Value) {
    let encoding = if kind.ends_with("json") {
        Encoding::Json
    } else {
        Encoding::Protobuf
    };
    let command = || Command::from_number(frame.kind.command()).unwrap();
    let body = || frame.body.clone();
    let json = |bytes: Bytes| serde_json::from_slice(&bytes).unwrap();
    match kind.split(' ').next() {
        Some("request") => {
            let request = Request::decode(command(), encoding, body()).unwrap();
            validate::request(&request, &validate::Limits::default()).unwrap();
            (
                request.to_frame(encoding, frame.seq),
                json(request.encode(Encoding::Json)),
            )
        }
        Some("reply") => {
            let reply = Reply::decode(command(), encoding, body()).unwrap();
            (
                reply.to_frame(encoding, frame.seq),
                json(reply.encode(Encoding::Json)),
            )
        }
        Some("push") => {
            let push = Push::decode(command(), encoding, body()).unwrap();
            (push.to_frame(encoding), json(push.encode(Encoding::Json)))
        }
        Some("error") => {
            let refusal = Refusal(encoding.decode(body()).unwrap());
            let json = json(Encoding::Json.encode(&refusal.0));
            (encode_error(&refusal, encoding, frame.seq), json)
        }
        _ => panic!("{kind:?} is no kind of example"),
    }
}

/// Checks the examples of a document and says how many there are.
fn check_examples(document: &str) -> usize {
    let blocks = blocks(document);
    let mut checked = 0;
    for (index, (kind, hex)) in blocks.iter().enumerate() {
        let Some(kind) = kind.strip_prefix("wire ") else {
            continue;
        };
        let bytes = bytes_of(hex);
        let frame = one_frame(&bytes);
        let (encoded, json) = again(kind, &frame);
        let mut out = BytesMut::new();
        encoded.encode(&mut out).unwrap();
        assert_eq!(out, bytes, "example {kind}");
        let (next, text) = &blocks[index + 1];
        assert_eq!(*next, "json", "an example is followed by its body in JSON");
        let shown: Value = serde_json::from_str(text).unwrap();
        assert_eq!(shown, json, "example {kind}");
        checked += 1;
    }
    checked
}

#[test]
fn the_examples_are_what_the_code_sends() {
    assert!(check_examples(DOCUMENT) >= 25);
}

#[test]
fn a_wrong_example_is_found() {
    let example = |hex: &str, json: &str| format!("```wire request\n{hex}\n```\n\n```json\n{json}\n```\n");
    let good = example("00 00 00 02 0b bc 00 04\n10 64", r#"{"limit":100}"#);
    assert_eq!(check_examples(&good), 1);
    for bad in [
        example("00 00 00 02 0b bc 00 04\n10 65", r#"{"limit":100}"#),
        example("00 00 00 03 0b bc 00 04\n10 64", r#"{"limit":100}"#),
        example("00 00 00 04 0b bc 00 04\n10 64 98 3e", r#"{"limit":100}"#),
        example("00 00 00 02 0b bc 00 04\n10 00", "{}"),
        example("00 00 00 02 4b bc 00 04\n10 64", r#"{"limit":100}"#),
    ] {
        assert!(
            std::panic::catch_unwind(|| check_examples(&bad)).is_err(),
            "{bad}"
        );
    }
}

/// The cells of every row of every table.
static ROWS: LazyLock<Vec<Vec<&str>>> = LazyLock::new(|| {
    let cells = |line: &'static str| {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
    };
    let lines = DOCUMENT.lines().filter(|line| line.starts_with('|'));
    lines.map(|line| cells(line).collect()).collect()
});

fn has_row(expected: &[&str]) -> bool {
    ROWS.iter().any(|row| row.starts_with(expected))
}

fn assert_row(expected: &[&str]) {
    assert!(has_row(expected), "no row {expected:?}");
}

/// The message in a body, by what its `Debug` shows: `Command(Message { .. })`.
fn message_name(body: &impl std::fmt::Debug) -> String {
    let shown = format!("{body:?}");
    let (_, message) = shown.split_once('(').unwrap();
    message.split([' ', ')', '{']).next().unwrap().to_owned()
}

#[test]
fn every_command_and_push_is_listed() {
    for command in Command::ALL {
        let number = command.number().to_string();
        if command.is_push() {
            let body = Push::decode(*command, Encoding::Protobuf, Bytes::new()).unwrap();
            assert_row(&[&number, command.name(), &message_name(&body)]);
        } else {
            let request = Request::decode(*command, Encoding::Protobuf, Bytes::new()).unwrap();
            let reply = Reply::decode(*command, Encoding::Protobuf, Bytes::new()).unwrap();
            assert_row(&[
                &number,
                command.name(),
                &message_name(&request),
                &message_name(&reply),
            ]);
        }
    }
    let commands = ROWS
        .iter()
        .filter(|row| row[0].parse().is_ok_and(|number: u16| number >= 1000));
    assert_eq!(commands.count(), Command::ALL.len(), "and no other");
}

#[test]
fn every_request_field_is_explained_with_its_command() {
    let schema = Schema::read();
    for command in Command::ALL.iter().filter(|command| !command.is_push()) {
        let name = format!("`{}`", command.name());
        let section = DOCUMENT
            .split("\n### ")
            .skip(1)
            .find(|section| {
                section
                    .lines()
                    .next()
                    .is_some_and(|heading| heading.contains(&name))
            })
            .unwrap_or_else(|| panic!("no section on {name}"));
        let section = section.split("\n## ").next().unwrap();
        let request = Request::decode(*command, Encoding::Protobuf, Bytes::new()).unwrap();
        for field in &schema.messages[&message_name(&request)] {
            assert!(
                section.contains(&format!("`{}", field.name)),
                "{name} does not explain {}",
                field.name
            );
        }
    }
}

#[test]
fn every_error_is_listed_with_its_class_and_wait() {
    let schema = Schema::read();
    let short = |name: &str, prefix: &str| name.strip_prefix(prefix).unwrap().to_owned();
    for (name, number) in &schema.enumerations["ErrorCode"] {
        let code = ErrorCode::try_from(*number).unwrap();
        let usual = Refusal::new(code, "").0;
        let class = short(usual.class().as_str_name(), "ERROR_CLASS_");
        let wait = match usual.retry_after_ms {
            0 => "0".to_owned(),
            short @ ..1_000 => format!("{short} ms"),
            long => format!("{},{:03} ms", long / 1_000, long % 1_000),
        };
        assert_row(&[&number.to_string(), &short(name, "ERROR_CODE_"), &class, &wait]);
    }
}

#[test]
fn every_other_number_is_listed() {
    let schema = Schema::read();
    for (enumeration, prefix) in [
        ("ErrorClass", "ERROR_CLASS_"),
        ("GoAwayReason", "GO_AWAY_REASON_"),
        ("EventKind", "EVENT_KIND_"),
    ] {
        for (name, number) in &schema.enumerations[enumeration] {
            if name != "EVENT_KIND_UNSPECIFIED" {
                assert_row(&[&number.to_string(), name.strip_prefix(prefix).unwrap()]);
            }
        }
    }
    for (name, number) in &schema.enumerations["EventKind"] {
        let kind = v1::EventKind::try_from(*number).unwrap();
        let displayable = if validate::is_displayable(kind) {
            "yes"
        } else {
            "no"
        };
        let short = name.strip_prefix("EVENT_KIND_").unwrap();
        assert!(
            *number == 0 || has_row(&[&number.to_string(), short, displayable]),
            "{name}"
        );
    }
}

macro_rules! constants {
    ($($module:ident :: $name:ident),* $(,)?) => {
        [$((stringify!($name), u64::try_from($module::$name).unwrap()),)*]
    };
}

#[test]
fn every_limit_is_listed_with_its_value() {
    #[rustfmt::skip]
    let known = constants![
        validate::NAME_CHARS_MAX, validate::TITLE_CHARS_MAX, validate::PASSWORD_CHARS_MIN,
        validate::PASSWORD_CHARS_MAX, validate::PASSWORD_BYTES_MAX, validate::DEVICE_ID_CHARS_MAX,
        validate::REFERENCE_BYTES_MAX, validate::STATUS_BYTES_MAX, validate::FALLBACK_BYTES_MAX,
        validate::REACTION_BYTES_MAX, validate::REPEATED_MAX, validate::PROFILES_MAX, validate::CONVERSATIONS_MAX, validate::MENTIONS_MAX,
        validate::TOKEN_BYTES_MAX, validate::SIGNED_MAX,
        limits::HANDSHAKE_FRAME_BYTES_MAX, limits::FRAME_BYTES_DEFAULT, limits::FRAME_BYTES_MAX, limits::HANDSHAKE_MS,
        limits::HELLOS_MAX, limits::UNKNOWN_COMMANDS_PER_MINUTE_MAX, limits::REQUESTS_IN_FLIGHT_MAX,
        limits::HEARTBEAT_MS, limits::IDLE_MS, limits::RECONNECT_FIRST_MS, limits::RECONNECT_MAX_MS,
    ];
    for (name, value) in known {
        assert_row(&[name, &value.to_string()]);
    }
    let servers = validate::Limits::default();
    for (name, value) in [
        ("HEADER_BYTES", HEADER_BYTES),
        ("ERROR_MESSAGE_BYTES_MAX", ERROR_MESSAGE_BYTES_MAX),
        ("USER_ID_MAX", USER_ID_MAX as usize),
        ("text_bytes_max", servers.text_bytes_max),
        ("body_bytes_max", servers.body_bytes_max),
    ] {
        assert_row(&[name, &value.to_string()]);
    }
    // A constant that is added there must be added here.
    for source in [
        include_str!("../src/validate.rs"),
        include_str!("../src/limits.rs"),
    ] {
        for line in source.lines().filter_map(|line| line.strip_prefix("pub const ")) {
            let name = line.split(':').next().unwrap();
            let function = line.starts_with("fn ");
            assert!(
                function || known.iter().any(|(known, _)| *known == name),
                "{name} is not compared"
            );
        }
    }
}

#[test]
fn the_appendix_is_the_schema() {
    let shown: Vec<_> = blocks(DOCUMENT)
        .into_iter()
        .filter(|(kind, _)| *kind == "proto")
        .map(|(_, text)| text)
        .collect();
    assert_eq!(shown, FILES, "copy the files of protocol/proto into the appendix");
}

#[test]
fn links_within_the_document_lead_somewhere() {
    let slug = |heading: &str| -> String {
        let kept = heading.trim_start_matches(['#', ' ']).to_lowercase();
        let kept = kept
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    let headings: Vec<_> = DOCUMENT
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(slug)
        .collect();
    let joined = DOCUMENT.replace('\n', " ");
    let mut links = 0;
    for link in joined.split("](#").skip(1) {
        let anchor = link.split(')').next().unwrap();
        assert!(
            headings.iter().any(|heading| heading == anchor),
            "no heading for #{anchor}"
        );
        links += 1;
    }
    assert!(links > 20);
}
