//! `docs/PROTOCOL.md` says what the code does: every example is decoded and encoded again byte for byte, every number
//! and every limit in its tables is compared, and its schema is the one that is compiled.

// In tests a failed unwrap is the failing assertion, also in what they share.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeSet, HashSet},
    sync::LazyLock,
};

use bytes::{Bytes, BytesMut};
use protocol::{
    Command, Decode, ERROR_MESSAGE_BYTES_MAX, Encoding, Frame, FrameCodec, HEADER_BYTES, Push, Refusal,
    Reply, Request, Split, USER_ID_MAX, encode_error, limits,
    v1::{self, ErrorCode, EventKind, QualityOfService},
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
    assert!(check_examples(DOCUMENT) >= 53);
}

/// The examples by their kind, each with its frame.
fn examples() -> Vec<(String, Frame)> {
    let blocks = blocks(DOCUMENT).into_iter();
    let wire = blocks.filter_map(|(kind, hex)| Some((kind.strip_prefix("wire ")?.to_owned(), hex)));
    wire.map(|(kind, hex)| (kind, one_frame(&bytes_of(&hex))))
        .collect()
}

/// What a client author needs to see once: every push, and each way of saying something in a conversation.
#[test]
fn there_is_an_example_of_everything_that_is_hard_to_imagine() {
    let (mut pushes, mut commands, mut sent, mut happened) =
        (HashSet::new(), HashSet::new(), HashSet::new(), HashSet::new());
    let (mut resyncs, mut syncs) = (false, Vec::new());
    for (kind, frame) in examples() {
        let command = Command::from_number(frame.kind.command());
        match kind.as_str() {
            "push" => {
                let command = command.unwrap();
                pushes.insert(command);
                match Push::decode(command, Encoding::Protobuf, frame.body).unwrap() {
                    Push::EventsPush(page) => happened.extend(page.events.iter().map(v1::Event::kind)),
                    Push::HeadsPush(heads) => resyncs |= heads.resync,
                    _ => {}
                }
            }
            "request" => {
                let command = command.unwrap();
                commands.insert(command);
                if let Request::Send(send) = Request::decode(command, Encoding::Protobuf, frame.body).unwrap()
                {
                    sent.insert((send.kind(), send.quality()));
                }
            }
            "reply" => {
                if let Reply::Sync(sync) =
                    Reply::decode(command.unwrap(), Encoding::Protobuf, frame.body).unwrap()
                {
                    syncs.push(sync);
                }
            }
            _ => {}
        }
    }
    for push in Command::ALL.iter().filter(|command| command.is_push()) {
        // They say nothing that the schema does not, or are in the appendix alone.
        let obvious = matches!(push, Command::GoAway | Command::TypingPush);
        assert!(obvious || pushes.contains(push), "no example of {}", push.name());
    }
    for command in [
        Command::Hello,
        Command::Register,
        Command::Send,
        Command::History,
        Command::Sync,
        Command::ListConversations,
        Command::GetConversations,
        Command::Delivered,
        Command::CreateGroup,
        Command::ListMembers,
        Command::Typing,
    ] {
        assert!(commands.contains(&command), "no example of {}", command.name());
    }
    for kind in [
        EventKind::Text,
        EventKind::Edit,
        EventKind::Reaction,
        EventKind::GroupCreated,
        EventKind::MembersAdded,
    ] {
        assert!(happened.contains(&kind), "no example of {kind:?}");
    }
    assert!(resyncs, "no example of a push that asks for a sync");
    let synced = |has: fn(&v1::SyncResponse) -> bool| syncs.iter().any(has);
    assert!(synced(|sync| sync.restarted) && synced(|sync| sync.more));
    assert!(synced(|sync| !sync.pages.is_empty() && !sync.cursors.is_empty()));
    assert!(sent.contains(&(EventKind::Edit, QualityOfService::ExactlyOnce)));
    assert!(
        sent.iter()
            .any(|(_, quality)| *quality == QualityOfService::AtMostOnce)
    );
}

/// An event as a client puts it together that has sent `request` and got `answer`.
fn put_together(request: v1::SendRequest, answer: &v1::SendResponse, user: u64) -> v1::Event {
    v1::Event {
        conversation_id: answer.conversation_id,
        seq: answer.seq,
        ordinal: answer.ordinal,
        roster: answer.roster,
        sender_id: user,
        sent_at_ms: answer.sent_at_ms,
        kind: request.kind,
        client_msg_id: request.client_msg_id,
        body: Some(v1::EventBody {
            content: request.content,
            group: None,
            reaction: request.reaction,
            entry: None,
        }),
        ..v1::Event::default()
    }
}

/// Each request to send a message is answered with what its event has, also where that is pushed.
#[test]
fn an_answer_and_its_request_make_the_event() {
    let mut made = Vec::new();
    let mut pushed = Vec::new();
    let mut asked: Option<(u16, v1::SendRequest)> = None;
    for (kind, frame) in examples() {
        let Ok(command) = Command::from_number(frame.kind.command()) else {
            continue;
        };
        match kind.as_str() {
            "request" if command == Command::Send => {
                match Request::decode(command, Encoding::Protobuf, frame.body).unwrap() {
                    Request::Send(send) => asked = Some((frame.seq, send)),
                    _ => unreachable!(),
                }
            }
            "reply" if command == Command::Send => {
                let Reply::Send(answer) = Reply::decode(command, Encoding::Protobuf, frame.body).unwrap()
                else {
                    unreachable!()
                };
                let (seq, send) = asked.take().unwrap();
                assert_eq!(seq, frame.seq, "an answer follows its request");
                if validate::is_displayable(send.kind()) && answer.seq > 0 {
                    made.push(put_together(send, &answer, 1));
                }
            }
            "push" if command == Command::EventsPush => {
                if let Push::EventsPush(page) = Push::decode(command, Encoding::Protobuf, frame.body).unwrap()
                {
                    pushed.extend(page.events);
                }
            }
            _ => {}
        }
    }
    let shown: Vec<v1::Event> = blocks(DOCUMENT)
        .into_iter()
        .filter(|(kind, _)| *kind == "json event")
        .map(|(_, text)| serde_json::from_str(&text).unwrap())
        .collect();
    assert_eq!((made.len(), shown.len()), (2, 1));
    assert!(pushed.contains(&made[0]), "as it was pushed");
    assert_eq!(made[1], shown[0], "as the document puts it together");
}

/// Every word in code type and capitals is a name of the schema or a constant: a code that does not exist is in no
/// table and in no sentence.
#[test]
fn every_name_in_capitals_is_known() {
    let schema = Schema::read();
    let mut known: HashSet<String> = HashSet::new();
    for (enumeration, names) in &schema.enumerations {
        let mut prefix = String::new();
        for character in enumeration.chars() {
            if character.is_ascii_uppercase() && !prefix.is_empty() {
                prefix.push('_');
            }
            prefix.push(character.to_ascii_uppercase());
        }
        for (name, _) in names {
            known.insert(name.clone());
            known.insert(name.strip_prefix(&format!("{prefix}_")).unwrap().to_owned());
        }
    }
    let prose: String = {
        let mut inside = false;
        let lines = DOCUMENT.lines().filter(|line| {
            let fence = line.starts_with("```");
            inside ^= fence;
            !inside && !fence
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    let sources = [
        include_str!("../src/validate.rs"),
        include_str!("../src/limits.rs"),
    ]
    .concat();
    let mut checked = 0;
    for word in prose.split('`').skip(1).step_by(2) {
        let is_name = word.len() > 1
            && word.starts_with(|c: char| c.is_ascii_uppercase())
            && word
                .chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
        if is_name {
            let constant = sources.contains(&format!("pub const {word}:"))
                || matches!(
                    word,
                    "HEADER_BYTES" | "ERROR_MESSAGE_BYTES_MAX" | "USER_ID_MAX" | "IMS1"
                );
            assert!(constant || known.contains(word), "nothing is called {word}");
            checked += 1;
        }
    }
    assert!(checked > 150, "{checked}");
}

/// What section 2 says of JSON, tried.
#[test]
fn json_is_read_as_the_document_says() {
    let read = |body: &str| {
        let body = Bytes::copy_from_slice(body.as_bytes());
        Request::decode(Command::Send, Encoding::Json, body)
    };
    let of = |conversation: &str| match read(&format!(r#"{{"conversation_id":{conversation}}}"#)) {
        Ok(Request::Send(send)) => Some(send.conversation_id),
        _ => None,
    };
    for ten in ["10", r#""10""#, "10.0", "1e1", r#""1e1""#] {
        assert!(DOCUMENT.contains("`10.0`, `1e1`") && of(ten) == Some(10), "{ten}");
    }
    assert_eq!(of("null"), Some(0));
    assert_eq!(of("9007199254740994.0"), None, "beyond 2^53");
    assert_eq!(of("1.5"), None);
    assert!(read(r#"{"conversationId":1}"#).is_ok(), "camel case");
    assert!(read(r#"{"no_such_field":1}"#).is_ok(), "unknown fields");
    assert!(read(r#"{"kind":1,"kind":1}"#).is_err(), "twice");
    assert!(
        read(r#"{"kind":"EVENT_KIND_SONG"}"#).is_err(),
        "a name that is not known"
    );
    assert!(read(r#"{"kind":99}"#).is_ok(), "a number is judged later");
    assert!(read("").is_ok(), "an empty body");
    for base64 in ["AZt22qgAfD6aESIzRFVmdw==", "AZt22qgAfD6aESIzRFVmdw", "_-4"] {
        assert!(
            read(&format!(r#"{{"client_msg_id":"{base64}"}}"#)).is_ok(),
            "{base64}"
        );
    }
}

/// What section 2 says of protobuf, tried: embedded messages that come twice are merged.
#[test]
fn protobuf_messages_merge_and_numbers_count_last() {
    let body = |text: &[u8]| {
        let content = [&[0x12, text.len() as u8], text].concat();
        [&[0x2a, content.len() as u8], &content[..]].concat()
    };
    let fallback = [0x2a, 3, 0x32, 1, b'f'];
    let twice = [&body(b"a")[..], &fallback, &[0x18, 1, 0x18, 2]].concat();
    let Request::Send(send) = Request::decode(Command::Send, Encoding::Protobuf, twice.into()).unwrap()
    else {
        panic!("a send")
    };
    let content = send.content.unwrap();
    assert_eq!((&content.body[..], content.fallback.as_str()), (&b"a"[..], "f"));
    assert_eq!(send.kind, 2, "the last counts");
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

#[test]
fn every_command_and_push_is_listed() {
    for command in Command::ALL {
        let number = command.number().to_string();
        let row = [number.as_str(), command.name(), command.message()];
        assert_row(&row.into_iter().chain(command.response()).collect::<Vec<_>>());
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
        for field in &schema.messages[command.message()] {
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
        let kind = EventKind::try_from(*number).unwrap();
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

#[test]
fn every_reserved_name_is_listed() {
    let (_, rest) = DOCUMENT
        .split_once("They are, in upper and lower case alike:")
        .expect("the list");
    let list = rest.split(';').next().unwrap_or_default();
    let listed: BTreeSet<&str> = list.split('`').skip(1).step_by(2).collect();
    assert_eq!(listed, protocol::names::RESERVED.into_iter().collect());
}

#[test]
fn every_limit_is_listed_with_its_value() {
    for (name, value) in validate::NAMED.iter().chain(limits::NAMED) {
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
    // A constant beside the list would not be compared.
    for source in [
        include_str!("../src/validate.rs"),
        include_str!("../src/limits.rs"),
    ] {
        let mut beside = source.lines().filter_map(|line| line.strip_prefix("pub const "));
        assert_eq!(beside.find(|line| !line.starts_with("fn ")), None);
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
