//! The seeds of the corpora: real messages, and the ways to break them that a fuzzer would take long to find.
//! It owns the files `corpus/<target>/seed-*`; `cargo run -p fuzz --example seeds` writes them anew.

use bytes::BytesMut;
use netcore::codec::{Codec, LengthPrefixed};
use netcore::websocket::{Opcode, encode, encode_masked};
use protocol::{Command, Encoding, Frame, Push, Reply, Request, encode_error, samples};

const ENCODINGS: [(Encoding, &str); 2] = [(Encoding::Protobuf, "protobuf"), (Encoding::Json, "json")];

/// A file of a corpus.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seed {
    /// Whose corpus.
    pub target: &'static str,
    /// The name of the file.
    pub name: String,
    /// What is in it.
    pub data: Vec<u8>,
}

/// All of them.
pub fn all() -> Vec<Seed> {
    let mut seeds = codec();
    seeds.extend(conn_operations());
    seeds.extend(splits());
    seeds.extend(length_prefixed());
    seeds.extend(bodies());
    seeds.extend(client_direction());
    seeds.extend(doors());
    seeds.extend(http());
    seeds.extend(websocket());
    seeds.extend(events());
    seeds
}

fn seed(target: &'static str, name: &str, data: Vec<u8>) -> Seed {
    Seed {
        target,
        name: format!("seed-{name}"),
        data,
    }
}

fn requests() -> Vec<Request> {
    samples::requests()
        .into_iter()
        .chain(samples::sends().into_iter().map(Request::Send))
        .collect()
}

fn bytes(frames: &[Frame]) -> Vec<u8> {
    let mut out = BytesMut::new();
    for frame in frames {
        // No sample is as long as a header can say.
        let _ = frame.encode(&mut out);
    }
    out.to_vec()
}

/// What a server would send: answers, pushes, a refusal.
fn server_frames(encoding: Encoding) -> Vec<(String, Frame)> {
    let replies = samples::replies().into_iter().map(|reply: Reply| {
        (
            format!("reply-{}", reply.command().name()),
            reply.to_frame(encoding, 7),
        )
    });
    let pushes = samples::pushes()
        .into_iter()
        .map(|push: Push| (format!("push-{}", push.command().name()), push.to_frame(encoding)));
    let error = ("error".to_owned(), encode_error(&samples::refusal(), encoding, 7));
    replies.chain(pushes).chain([error]).collect()
}

fn codec() -> Vec<Seed> {
    let frames: Vec<Frame> = requests()
        .iter()
        .zip(1..)
        .map(|(request, seq)| request.to_frame(Encoding::Protobuf, seq))
        .collect();
    let mut seeds = Vec::new();
    for frame in frames.iter().take(26) {
        let name = Command::from_number(frame.kind.command()).map_or("unknown", Command::name);
        seeds.push(seed(
            "codec",
            name,
            [vec![0], bytes(std::slice::from_ref(frame))].concat(),
        ));
    }
    let three = bytes(&frames[..3]);
    seeds.push(seed("codec", "three", [vec![0], three.clone()].concat()));
    seeds.push(seed(
        "codec",
        "torn",
        [vec![0], three[..three.len() - 1].to_vec()].concat(),
    ));
    seeds.push(seed("codec", "too-long", [vec![2], three.clone()].concat()));
    seeds.push(seed(
        "codec",
        "longest-length",
        vec![0, 0xFF, 0xFF, 0xFF, 0xFF, 3, 0xE9, 0, 1],
    ));
    seeds.push(seed(
        "codec",
        "half-length",
        vec![0, 0x7F, 0xFF, 0xFF, 0xFF, 3, 0xE9, 0, 1],
    ));
    seeds.push(seed(
        "codec",
        "any-length",
        vec![7, 0xFF, 0xFF, 0xFF, 0xFF, 3, 0xE9, 0, 1, 9],
    ));
    seeds.push(seed(
        "codec",
        "reserved-bit",
        [three, vec![0, 0, 0, 0, 0x43, 0xE9, 0, 1]].concat(),
    ));
    seeds.push(seed(
        "codec",
        "empty-bodies",
        [vec![1], [0, 0, 0, 0, 3, 0xEA, 0, 1].repeat(4)].concat(),
    ));
    seeds.push(seed(
        "codec",
        "http",
        b"\0GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
    ));
    seeds
}

fn splits() -> Vec<Seed> {
    let frames: Vec<Frame> = requests()
        .iter()
        .zip(1..)
        .map(|(request, seq)| request.to_frame(Encoding::Protobuf, seq))
        .collect();
    let mut seeds = Vec::new();
    for (index, three) in frames.chunks(3).enumerate() {
        for (name, cuts) in [("odd", vec![0, 6, 1, 12]), ("long", vec![63, 2, 200])] {
            let head = [vec![0, cuts.len() as u8], cuts].concat();
            seeds.push(seed(
                "splits",
                &format!("{name}-{index}"),
                [head, bytes(three)].concat(),
            ));
        }
    }
    let broken = [bytes(&frames[..1]), vec![0, 0, 0, 1, 0x40, 0, 0, 1, 9]].concat();
    seeds.push(seed(
        "splits",
        "reserved-bit",
        [vec![0, 2, 7, 8], broken].concat(),
    ));
    seeds.push(seed(
        "splits",
        "too-long",
        [vec![2, 1, 4], bytes(&frames[..2])].concat(),
    ));
    seeds
}

/// Flags, offset, width, adjustment, largest, strip, number of cuts, cuts; then the stream.
fn length_prefixed() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let builder = LengthPrefixed::builder;
    let layouts = [
        ("plain", [0, 0, 0, 0, 0, 0], builder()),
        ("little", [1, 0, 0, 0, 0, 0], builder().little_endian()),
        ("one", [0, 0, 1, 0, 3, 0], builder().width(1)),
        ("two", [0, 0, 2, 0, 0, 0], builder().width(2)),
        ("three", [1, 0, 3, 0, 0, 0], builder().width(3).little_endian()),
        ("eight", [0, 0, 4, 0, 0, 0], builder().width(8)),
        ("whole", [0, 0, 2, 254, 0, 0], builder().width(2).adjustment(-2)),
        ("header", [2, 0, 0, 4, 0, 0], builder().adjustment(4).strip(0)),
        (
            "inside",
            [2, 3, 2, 2, 0, 1],
            builder().offset(3).width(2).adjustment(2).strip(1),
        ),
    ];
    for (name, head, builder) in layouts {
        let Ok(codec) = builder.build() else { continue };
        let mut stream = BytesMut::new();
        for payload in [&b"hello, world, 0123456789"[..], b"............"] {
            let _ = codec.encode(payload, &mut stream);
        }
        let whole = [&head[..], &[2, 0, 4], &stream].concat();
        let torn = whole[..whole.len() - 1].to_vec();
        seeds.push(seed("length_prefixed", &format!("{name}-torn"), torn));
        seeds.push(seed("length_prefixed", name, whole));
    }
    seeds.push(seed(
        "length_prefixed",
        "too-short",
        vec![0, 0, 0, 254, 0, 0, 1, 3, 0, 0, 0, 1, 9],
    ));
    seeds.push(seed(
        "length_prefixed",
        "too-long",
        vec![0, 0, 0, 0, 2, 0, 1, 3, 0xFF, 0xFF, 0xFF, 0xFF],
    ));
    seeds.push(seed("length_prefixed", "unusable", vec![2, 255, 4, 0, 1, 255, 0]));
    seeds
}

/// Water marks, deadlines and jitter, then one life of a connection each.
fn conn_operations() -> Vec<Seed> {
    let wide: &[u8] = &[100, 100, 50, 50, 50, 30, 100, 40, 20, 60, 10, 128];
    let narrow: &[u8] = &[8, 0, 0, 0, 255, 30, 100, 2, 20, 60, 10, 0];
    let patient: &[u8] = &[50, 50, 20, 20, 255, 255, 255, 255, 255, 255, 255, 255];
    let lives: [(&str, &[u8]); 9] = [
        // The numbers of operations are those of `Run::operation`.
        (
            "frames",
            &[
                2, 2, 2, b'h', b'i', 0xF2, 2, b'y', b'o', 3, 9, 0, 6, 9, 0, 0, 0, 4, b'x', b'y', 0, 2, 9,
                b'z', b'a',
            ],
        ),
        (
            "beats",
            &[14, 0xF2, 1, b'?', 0xF2, 1, b'!', 9, 13, 0xF2, 1, b'!', 13, 13],
        ),
        (
            "slow-reader",
            &[
                5, 30, 6, 60, 6, 60, 7, 60, 7, 90, 0xF2, 2, b'n', b'o', 8, 60, 8, 200, 9, 3, 9,
            ],
        ),
        (
            "refused",
            &[5, 255, 6, 255, 7, 255, 5, 40, 5, 40, 5, 40, 5, 40, 5, 40, 9, 5, 1],
        ),
        ("half-frame", &[0, 3, 9, 0, 0, 0, 12, 5, 13, 9, 13]),
        (
            "paused",
            &[
                14, 10, 2, 2, b'h', b'i', 138, 11, 12, 50, 139, 3, 9, 10, 13, 11, 13,
            ],
        ),
        ("ends", &[2, 2, b'h', b'i', 4, 3, 9, 5, 9, 47, 9, 13]),
        ("closes", &[5, 9, 15, 31, 8, 2, 5, 9, 9, 13, 63]),
        ("garbage", &[0, 4, 9, 255, 255, 255, 255, 9, 4]),
    ];
    let mut seeds = Vec::new();
    for (name, life) in lives {
        for (kind, settings) in [("wide", wide), ("narrow", narrow), ("patient", patient)] {
            seeds.push(seed(
                "conn_operations",
                &format!("{name}-{kind}"),
                [settings, life].concat(),
            ));
        }
    }
    seeds
}

fn bodies() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (encoding, encoding_name) in ENCODINGS {
        for (number, request) in requests().iter().enumerate() {
            let body = request.encode(encoding).to_vec();
            let name = format!("request-{}-{number}-{encoding_name}", request.command().name());
            let choice = Command::ALL
                .iter()
                .position(|command| *command == request.command());
            let chosen = [vec![choice.unwrap_or_default() as u8], body.clone()].concat();
            seeds.push(seed("round_trip", &name, chosen));
            if !body.is_empty() {
                seeds.push(seed("requests", &name, body));
            }
        }
        for (name, frame) in server_frames(encoding) {
            let choice = Command::ALL
                .iter()
                .position(|it| it.number() == frame.kind.command());
            let chosen = [vec![choice.unwrap_or_default() as u8], frame.body.to_vec()].concat();
            seeds.push(seed("round_trip", &format!("{name}-{encoding_name}"), chosen));
        }
    }
    let hostile: [(&str, Vec<u8>); 8] = [
        ("groups", [0x7B].repeat(200)),
        ("lists", format!("{{\"x\":{}", "[".repeat(200)).into_bytes()),
        ("numbers", [vec![0x0A, 0x7F], vec![1; 127]].concat()),
        ("heads", [0x0A, 0x00].repeat(100)),
        ("long-varint", [vec![0x08], vec![0xFF; 11]].concat()),
        ("past-the-end", vec![0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]),
        (
            "future-kind",
            br#"{"conversation_id":"7","kind":31,"content":{"body":"AA=="}}"#.to_vec(),
        ),
        (
            "buffered",
            format!("{{\"magic\":[{}0]}}", "0,".repeat(100)).into_bytes(),
        ),
    ];
    seeds.extend(
        hostile
            .into_iter()
            .map(|(name, data)| seed("requests", name, data)),
    );
    seeds
}

fn client_direction() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (encoding, encoding_name) in ENCODINGS {
        for (name, frame) in server_frames(encoding) {
            let name = format!("{name}-{encoding_name}");
            seeds.push(seed(
                "client_direction",
                &name,
                bytes(std::slice::from_ref(&frame)),
            ));
            if name.contains("events") {
                seeds.push(seed(
                    "client_direction",
                    &format!("body-{name}"),
                    frame.body.to_vec(),
                ));
            }
        }
    }
    let events = [0x2A, 0x00].repeat(200);
    seeds.push(seed("client_direction", "empty-events", events.clone()));
    let page = Frame {
        kind: protocol::MessageType::request(3100),
        seq: 0,
        body: events.into(),
    };
    seeds.push(seed("client_direction", "empty-events-push", bytes(&[page])));
    seeds
}

/// Limits, the number of cuts, cuts; then what a new connection may begin with.
fn doors() -> Vec<Seed> {
    let frames: Vec<u8> = requests()
        .iter()
        .zip(1..)
        .take(4)
        .flat_map(|(request, seq)| request.to_bytes(Encoding::Protobuf, seq).to_vec())
        .collect();
    let get = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let post = b"POST /v1/call/login HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
    let streams: [(&str, Vec<u8>); 10] = [
        ("frames", frames.clone()),
        ("requests", [&get[..], post, get].concat()),
        ("torn-frame", frames[..5].to_vec()),
        ("torn-request", get[..3].to_vec()),
        ("frame-and-request", [&frames[..], get].concat()),
        ("request-and-frame", [&get[..], &frames].concat()),
        ("lower-case", b"get / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        ("empty-line", [b"\r\n", &get[..]].concat()),
        ("tls", b"\x16\x03\x01\0\x05\x01\0\0\x01\0".to_vec()),
        ("http2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
    ];
    let seeds = streams.iter().flat_map(|(name, stream)| {
        [0, 1].map(|limits| {
            let name = format!("{name}-{limits}");
            seed("doors", &name, [&[limits, 3, 0, 4, 9][..], stream].concat())
        })
    });
    seeds.collect()
}

/// Limits, the number of cuts, cuts; then requests, right and wrong.
fn http() -> Vec<Seed> {
    let head = "POST /v1/call/send?a=b HTTP/1.1\r\nHost: chat.example:7400\r\n";
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n");
    let tiny = "1\r\nx\r\n".repeat(300);
    let streams = [
        (
            "get",
            "GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n".to_owned(),
        ),
        (
            "old",
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(),
        ),
        (
            "absolute",
            "GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        ),
        ("options", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        (
            "length",
            format!("{head}Content-Length: 13\r\n\r\n{{\"text\":\"hi\"}}"),
        ),
        (
            "chunks",
            format!("{chunked}\r\n3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nT: x\r\n\r\n"),
        ),
        ("tiny-chunks", format!("{chunked}\r\n{tiny}0\r\n\r\n")),
        (
            "expects",
            format!("{head}Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"),
        ),
        (
            "pipelined",
            format!(
                "{head}Content-Length: 2\r\n\r\nhi\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n{chunked}\r\n0\r\n\r\n"
            ),
        ),
        ("torn", format!("{head}Content-Length: 20\r\n\r\nnot all of it")),
        (
            "two-lengths",
            format!("{head}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        ),
        ("both", format!("{chunked}Content-Length: 4\r\n\r\n0\r\n\r\nGET")),
        (
            "two-codings",
            format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        ),
        (
            "old-chunks",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        ),
        ("folded", format!("{head}A: b\r\n c\r\n\r\n")),
        (
            "bare-line-feed",
            format!("{head}A: b\nContent-Length: 3\r\n\r\nabc"),
        ),
        ("bare-return", format!("{head}A: b\rContent-Length: 3\r\n\r\nabc")),
        (
            "space-before-colon",
            format!("{head}Content-Length : 3\r\n\r\nabc"),
        ),
        ("large-chunk", format!("{chunked}\r\nffffffffffffffff1\r\nabc")),
        ("signed-chunk", format!("{chunked}\r\n+3\r\nabc\r\n0\r\n\r\n")),
        ("http2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("many", "GET / HTTP/1.0\r\n\r\n".repeat(200)),
        ("no-host", "GET / HTTP/1.1\r\n\r\n".to_owned()),
    ];
    streams
        .iter()
        .enumerate()
        .map(|(index, (name, stream))| {
            let start = [vec![index as u8 & 1], vec![3, 7, 0, 30]].concat();
            seed("http", name, [start, stream.as_bytes().to_vec()].concat())
        })
        .collect()
}

/// Limits and whose frames are read, the number of cuts, cuts; then frames, right and wrong.
fn websocket() -> Vec<Seed> {
    let key = [1, 2, 3, 4];
    let masked = |first: u8, payload: &[u8]| {
        let mut frame = encode_masked(Opcode::Binary, payload, key).to_vec();
        if let Some(byte) = frame.first_mut() {
            *byte = first;
        }
        frame
    };
    let text = "gr\u{fc}ezi".as_bytes();
    let streams = [
        ("text", 0, masked(0x81, text)),
        ("binary", 0, masked(0x82, &[7; 300])),
        ("empty", 0, masked(0x82, &[])),
        (
            "fragments",
            0,
            [
                masked(0x01, &text[..3]),
                masked(0x89, b"?"),
                masked(0x80, &text[3..]),
            ]
            .concat(),
        ),
        (
            "many-fragments",
            2,
            [masked(0x02, b"a"), masked(0x00, b"b").repeat(4)].concat(),
        ),
        (
            "large",
            2,
            [masked(0x02, &[1; 10]), masked(0x80, &[2; 10])].concat(),
        ),
        ("ping", 0, [masked(0x89, &[9; 125]), masked(0x8a, b"")].concat()),
        (
            "close",
            0,
            [masked(0x88, b"\x03\xe8bye"), masked(0x81, b"late")].concat(),
        ),
        ("close-without-code", 0, masked(0x88, b"")),
        ("close-with-half-a-code", 0, masked(0x88, b"\x03")),
        ("close-with-a-reserved-code", 0, masked(0x88, b"\x03\xee")),
        ("not-utf8", 0, masked(0x81, b"a\xff")),
        (
            "half-a-character",
            0,
            [masked(0x01, b"\xe2\x82"), masked(0x80, b"")].concat(),
        ),
        ("reserved-bit", 0, masked(0xc1, b"a")),
        ("reserved-opcode", 0, masked(0x83, b"a")),
        ("fragmented-ping", 0, masked(0x09, b"a")),
        ("long-ping", 0, masked(0x89, &[0; 126])),
        ("nothing-to-continue", 0, masked(0x80, b"a")),
        (
            "interrupted",
            0,
            [masked(0x01, b"a"), masked(0x81, b"b")].concat(),
        ),
        ("unmasked", 0, encode(Opcode::Text, text).to_vec()),
        (
            "longer-than-need-be",
            0,
            [&[0x82, 0xfe, 0, 5][..], &key, b"hello"].concat(),
        ),
        (
            "highest-bit",
            4,
            [&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0][..], &key].concat(),
        ),
        (
            "server",
            1,
            [
                encode(Opcode::Text, text),
                encode(Opcode::Ping, b""),
                encode(Opcode::Binary, &[3; 200]),
            ]
            .concat(),
        ),
        ("server-masked", 1, masked(0x81, text)),
        ("server-many", 1, encode(Opcode::Ping, b"").repeat(1000)),
    ];
    streams
        .iter()
        .map(|(name, flags, stream)| seed("websocket", name, [&[*flags, 3, 1, 4, 9][..], stream].concat()))
        .collect()
}

/// The number of cuts, cuts; then blocks: which fields, and each with its length. As a stream it is read as it is.
fn events() -> Vec<Seed> {
    let blocks: [(&str, &[u8]); 12] = [
        ("data", b"\x04\x05hello"),
        ("lines", b"\x04\x0ba\nb\r\nc\rd\n\n\r"),
        ("all", b"\x0f\x04name\x0242\x04data"),
        ("id-only", b"\x02\x0242\x04\x01a"),
        ("empty", b"\x07\x00\x00\x00"),
        ("nothing", b"\x00\x00\x00"),
        ("retry", b"\x08\x18"),
        ("spoilt-id", b"\x02\x03a\nb"),
        ("spoilt-name", b"\x05\x03a\rb\x01x"),
        ("zero", b"\x06\x02a\0\x01x"),
        ("spaces", b"\x04\x04  a \x01\x01 "),
        ("colons", b"\x07\x01:\x01:\x02::"),
    ];
    let streams: [(&str, &str); 10] = [
        ("stream", "data: a\n\ndata: b\ndata: c\n\n"),
        ("returns", "data: a\r\rdata: b\r\n\r\n"),
        ("mark", "\u{feff}data: a\n\n"),
        ("comment", ": still here\n\nevent: x\ndata\n\n"),
        ("ids", "id: 1\ndata: a\n\nid\ndata: b\n\n"),
        ("zero-id", "id: a\0b\ndata: a\n\n"),
        ("retries", "retry: 10\nretry: x\nretry: 99999999999\n\n"),
        ("no-colon", "data\n\nunknown\n\n"),
        ("unfinished", "data: a\ndata: b"),
        (
            "long",
            "data: 0123456789012345678901234567890123456789012345678901234567890123456789\n\n",
        ),
    ];
    let written = blocks.into_iter().map(|(name, blocks)| (name, blocks.to_vec()));
    let read = streams
        .into_iter()
        .map(|(name, stream)| (name, stream.as_bytes().to_vec()));
    written
        .chain(read)
        .map(|(name, input)| seed("events", name, [vec![2, 0, 5], input].concat()))
        .collect()
}
