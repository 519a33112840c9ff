//! Runs every file of every corpus through its oracle, and proves that each oracle can fail.

// In tests a failed unwrap is the failing assertion, also in what they share.
#![allow(clippy::unwrap_used)]

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use fuzz::{
    Beating, Bodies, Bounds, Driven, ORACLES, Real, client_direction_with, codec_with, conn_operations_with,
    doors_with, events_with, frames_with, http_with, length_prefixed_with, requests_with, round_trip_with,
    seeds, splits_with, websocket_with,
};
use netcore::codec::{Codec, Decoded, FrameError as PrefixError, LengthPrefixed, Owned};
use netcore::conn::{Core, Step};
use netcore::http::events::Block;
use netcore::http::{Incoming, Refused, RequestLimits, Requests};
use netcore::time::Tick;
use netcore::websocket::{Decoder, Message, MessageLimits, Opcode, encode_masked};
use netcore::{CloseHow, CloseReason, Settings};
use protocol::{
    Command, Decode, Encoding, Frame, FrameCodec, FrameError, Push, RawPage, Refusal, Request,
    door::{self, Door, DoorError},
    samples,
    v1::{self, ErrorCode},
    validate::Limits,
};

/// Oracles count the memory of the whole process: one test at a time.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn corpus(target: &str) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(directory("corpus").join(target)).unwrap();
    files
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect()
}

#[test]
fn every_file_of_every_corpus_passes() {
    let _turn = turn();
    for (target, oracle) in ORACLES {
        let files = corpus(target);
        assert!(files.len() >= 20, "{target} has {} files", files.len());
        for (name, data) in files {
            assert!(data.len() <= 4_096, "{target}/{name} is large");
            let ran = catch_unwind(|| oracle(&data));
            assert!(ran.is_ok(), "{target}/{name}");
            // Cut off, it is as good an input.
            oracle(&data[..data.len() / 2]);
        }
        oracle(&[]);
    }
}

#[test]
fn the_seeds_are_those_of_the_code() {
    let mut targets: BTreeMap<_, usize> = BTreeMap::new();
    for seed in seeds::all() {
        let path = directory("corpus").join(seed.target).join(&seed.name);
        let found = fs::read(&path).unwrap_or_default();
        assert_eq!(
            found,
            seed.data,
            "{}: run `cargo run -p fuzz --example seeds`",
            path.display()
        );
        *targets.entry(seed.target).or_default() += 1;
    }
    let named: Vec<_> = ORACLES.iter().map(|(name, _)| *name).collect();
    assert!(targets.keys().eq(named.iter()), "each oracle has seeds");
}

#[test]
fn every_oracle_has_its_binary() {
    let mut files: Vec<_> = fs::read_dir(directory("fuzz_targets"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.file_stem().unwrap().to_string_lossy().into_owned(),
                fs::read_to_string(path).unwrap(),
            )
        })
        .collect();
    files.sort();
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ORACLES.map(|(name, _)| name));
    let manifest = fs::read_to_string(directory("Cargo.toml")).unwrap();
    for (name, text) in &files {
        assert!(
            text.contains(&format!("fuzz::{name}(data)")),
            "{name} runs its oracle"
        );
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{name} is in the manifest"
        );
    }
}

#[test]
fn the_dictionary_is_that_of_the_table_and_the_schema_and_is_well_formed() {
    let text = fs::read_to_string(fuzz::dictionary::path()).unwrap();
    let made = fuzz::dictionary::text().unwrap();
    assert!(text == made, "make it anew: cargo run -p fuzz --example seeds");
    let lines = text.lines();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (_, value) = line.split_once('=').unwrap();
        let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        assert!(inner.is_some_and(|inner| !inner.is_empty()), "{line}");
    }
    for piece in [
        "rename_group=\"\\x13\\x8e\"",
        "field_16_bytes=\"\\x82\\x01\"",
        "json_peer_id=",
        "role_owner=",
    ] {
        assert!(made.contains(piece), "{piece}");
    }
}

// ---- each oracle can fail -----------------------------------------------------------------------

/// Whether the oracle objects. What it prints on the way is the panic of a test that passes.
fn objects(oracle: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(oracle)).is_err()
}

/// The protocol's codec with one thing wrong.
struct Broken {
    fault: Fault,
    real: FrameCodec,
    calls: Cell<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    TakesTooMuch,
    HoldsTooMuch,
    WaitsForNothing,
    WaitsForTooMuch,
    ReservesTheDeclaredLength,
    FailsOnlyWhenWhole,
    CountsCalls,
    LosesTheSeqOfTornFrames,
}

impl Codec for Broken {
    type In<'a> = Frame;
    type Out = Frame;
    type Error = FrameError;

    fn decode(&mut self, source: &[u8]) -> Result<Decoded<Frame>, FrameError> {
        self.calls.set(self.calls.get() + 1);
        if self.fault == Fault::ReservesTheDeclaredLength
            && let Some(length) = source.first_chunk()
        {
            drop(Vec::<u8>::with_capacity(u32::from_be_bytes(*length) as usize));
        }
        let wait = |bytes| {
            Ok(Decoded::Need {
                total: NonZeroUsize::new(bytes).unwrap(),
            })
        };
        match (self.fault, self.real.decode(source)) {
            (Fault::TakesTooMuch, Ok(Decoded::Frame { frame, used })) => Ok(Decoded::Frame {
                frame,
                used: used.saturating_add(1),
            }),
            (Fault::HoldsTooMuch, Ok(Decoded::Frame { frame, used })) => {
                let body = [frame.body.as_ref(), &[0; 9]].concat().into();
                Ok(Decoded::Frame {
                    frame: Frame { body, ..frame },
                    used,
                })
            }
            (Fault::WaitsForNothing, Ok(Decoded::Need { .. })) => wait(1),
            (Fault::WaitsForTooMuch, Ok(Decoded::Need { .. })) => wait(usize::MAX),
            (Fault::FailsOnlyWhenWhole, Err(_)) if source.len() < 9 => wait(source.len() + 1),
            (Fault::CountsCalls, Ok(Decoded::Frame { frame, used })) => Ok(Decoded::Frame {
                frame: Frame {
                    seq: self.calls.get() as u16,
                    ..frame
                },
                used,
            }),
            (Fault::LosesTheSeqOfTornFrames, Ok(Decoded::Frame { frame, used })) if self.calls.get() > 9 => {
                Ok(Decoded::Frame {
                    frame: Frame { seq: 0, ..frame },
                    used,
                })
            }
            (_, result) => result,
        }
    }

    fn encode(&self, frame: &Frame, out: &mut BytesMut) -> Result<(), FrameError> {
        frame.encode(out)
    }
}

fn broken(fault: Fault) -> Broken {
    Broken {
        fault,
        real: FrameCodec::new(1024 * 1024),
        calls: Cell::new(0),
    }
}

fn two_frames() -> Vec<u8> {
    let mut out = BytesMut::new();
    for request in samples::requests().iter().take(2) {
        request.to_frame(Encoding::Protobuf, 5).encode(&mut out).unwrap();
    }
    out.to_vec()
}

/// Two frames and the beginning of a third, of whose large body little is there.
fn torn() -> Vec<u8> {
    [two_frames(), vec![0, 8, 0, 0, 3, 0xE9, 0, 1, 7]].concat()
}

#[test]
fn the_codec_oracle_can_fail() {
    let _turn = turn();
    let run = |fault, stream: &[u8]| {
        let bounds = Bounds {
            frame_bytes: |frame: &Frame| frame.body.len(),
            total_max: 1024 * 1024 + 8,
        };
        objects(|| codec_with(broken(fault), stream, bounds))
    };
    assert!(!run(Fault::None, &two_frames()));
    assert!(!run(Fault::None, &torn()));
    // One frame, the shortest: whatever is taken beyond it is not there.
    for fault in [Fault::TakesTooMuch, Fault::HoldsTooMuch] {
        assert!(run(fault, &[0, 0, 0, 0, 3, 0xEA, 0, 1]), "{fault:?} is not seen");
    }
    for fault in [
        Fault::WaitsForNothing,
        Fault::WaitsForTooMuch,
        Fault::ReservesTheDeclaredLength,
    ] {
        assert!(run(fault, &torn()), "{fault:?} is not seen");
    }
}

#[test]
fn the_comparison_with_a_naive_reader_can_fail() {
    let _turn = turn();
    let run = |fault, stream: &[u8]| objects(|| frames_with(broken(fault), 1024 * 1024, stream));
    assert!(!run(Fault::None, &torn()));
    for fault in [Fault::TakesTooMuch, Fault::HoldsTooMuch, Fault::CountsCalls] {
        assert!(run(fault, &torn()), "{fault:?} is not seen");
    }
}

#[test]
fn the_splits_oracle_can_fail() {
    let _turn = turn();
    let run = |fault, stream: &[u8]| objects(|| splits_with(|| broken(fault), &[3, 8], stream));
    assert!(!run(Fault::None, &torn()));
    for fault in [
        Fault::TakesTooMuch,
        Fault::CountsCalls,
        Fault::LosesTheSeqOfTornFrames,
    ] {
        assert!(run(fault, &torn()), "{fault:?} is not seen");
    }
    // An error that comes one byte late is the same error, unless the stream ends there.
    let header = [0, 0, 0, 0, 0x40, 1, 0, 1];
    assert!(!run(Fault::FailsOnlyWhenWhole, &header));
    let run = |cuts: &[usize], pieces: &[u8]| {
        objects(|| splits_with(|| Impatient(FrameCodec::new(16)), cuts, pieces))
    };
    assert!(
        run(&[4], &header),
        "an error that depends on the pieces is not seen"
    );
}

/// Fails on a header that arrives torn.
struct Impatient(FrameCodec);

impl Codec for Impatient {
    type In<'a> = Frame;
    type Out = Frame;
    type Error = FrameError;

    fn decode(&mut self, source: &[u8]) -> Result<Decoded<Frame>, FrameError> {
        if source.len() < 8 {
            return Err(FrameError::ReservedBit { bits: 0, seq: 0 });
        }
        self.0.decode(source)
    }

    fn encode(&self, frame: &Frame, out: &mut BytesMut) -> Result<(), FrameError> {
        frame.encode(out)
    }
}

/// netcore's codec with one thing wrong.
#[derive(Clone, Copy)]
struct BrokenPrefix {
    real: Owned<LengthPrefixed>,
    forgets: bool,
    shifts: bool,
}

impl Codec for BrokenPrefix {
    type In<'a> = Bytes;
    type Out = [u8];
    type Error = netcore::codec::FrameError;

    fn decode(&mut self, source: &[u8]) -> Result<Decoded<Bytes>, Self::Error> {
        match self.real.decode(source)? {
            Decoded::Frame { frame, used } if self.forgets => Ok(Decoded::Frame {
                frame: frame.slice(frame.len() / 2..),
                used,
            }),
            other => Ok(other),
        }
    }

    fn encode(&self, out: &[u8], dst: &mut BytesMut) -> Result<(), Self::Error> {
        let start = dst.len();
        self.real.encode(out, dst)?;
        if self.shifts {
            dst[start + 3] ^= 1;
        }
        Ok(())
    }
}

#[test]
fn the_length_prefixed_oracle_can_fail() {
    let _turn = turn();
    let run = |forgets, shifts| {
        let codec = BrokenPrefix {
            real: Owned(LengthPrefixed::new(1_000)),
            forgets,
            shifts,
        };
        objects(|| length_prefixed_with(|| codec, 1_004, &[1], &[0, 0, 0, 2, 9, 9, 0]))
    };
    assert!(!run(false, false));
    assert!(run(true, false), "a frame that lost its beginning is not seen");
    assert!(run(false, true), "a wrong length is not seen");
}

/// netcore's connection core with one thing wrong.
struct BrokenCore {
    real: Core<Beating>,
    wrong: Wrong,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    Nothing,
    LosesAFrame,
    WritesTwice,
    ForgetsTheReason,
}

impl Driven for BrokenCore {
    fn core(&mut self) -> &mut Core<Beating> {
        &mut self.real
    }

    fn handle_written(&mut self, settings: &Settings, now: Tick, written: usize) {
        let taken = if self.wrong == Wrong::WritesTwice {
            written / 2
        } else {
            written
        };
        self.real.handle_written(settings, now, taken);
    }

    fn next_frame(&mut self, settings: &Settings, now: Tick, input: &mut &[u8]) -> Step<Bytes, PrefixError> {
        let first = self.real.next_frame(settings, now, input);
        match first {
            Step::Frame(_) if self.wrong == Wrong::LosesAFrame => self.real.next_frame(settings, now, input),
            other => other,
        }
    }

    fn close(&mut self, reason: CloseReason<PrefixError>, how: CloseHow, now: Tick) {
        if self.wrong == Wrong::ForgetsTheReason {
            self.real.take_reason();
        }
        self.real.close(reason, how, now);
    }
}

#[test]
fn the_conn_operations_oracle_can_fail() {
    let _turn = turn();
    let run = |wrong, name: &str| {
        let data = &corpus("conn_operations")[name];
        objects(|| conn_operations_with(|real| BrokenCore { real, wrong }, data))
    };
    let sees = [
        (Wrong::LosesAFrame, "seed-frames-wide"),
        (Wrong::WritesTwice, "seed-slow-reader-wide"),
        (Wrong::ForgetsTheReason, "seed-closes-wide"),
    ];
    for (wrong, name) in sees {
        assert!(!run(Wrong::Nothing, name));
        assert!(run(wrong, name), "{wrong:?} is not seen");
    }
}

/// The bodies' code with one thing wrong.
struct ForgetsNames;
impl Bodies for ForgetsNames {
    fn encode(&self, request: &Request, encoding: Encoding) -> Bytes {
        match request {
            Request::FindUser(_) => Bytes::new(),
            other => other.encode(encoding),
        }
    }
}

struct LetsThrough;
impl Bodies for LetsThrough {
    fn validate(&self, _: &Request, _: &Limits) -> Result<(), Refusal> {
        Ok(())
    }
}

struct RefusesOddly;
impl Bodies for RefusesOddly {
    fn validate(&self, _: &Request, _: &Limits) -> Result<(), Refusal> {
        Err(Refusal::new(ErrorCode::Internal, "why not"))
    }
}

struct RefusesAtLength;
impl Bodies for RefusesAtLength {
    fn validate(&self, _: &Request, _: &Limits) -> Result<(), Refusal> {
        let mut refusal = Refusal::invalid("name", "");
        refusal.0.message = "x".repeat(2_000);
        Err(refusal)
    }
}

struct Wasteful;
impl Bodies for Wasteful {
    fn request(&self, command: Command, encoding: Encoding, body: Bytes) -> Result<Request, Refusal> {
        drop(vec![1_u8; body.len() * 500 + 100_000]);
        Request::decode(command, encoding, body)
    }

    fn push(&self, command: Command, encoding: Encoding, body: Bytes) -> Result<Push, Refusal> {
        drop(vec![1_u8; body.len() * 5_000 + 100_000]);
        Push::decode(command, encoding, body)
    }
}

struct DropsEvents;
impl Bodies for DropsEvents {
    fn to_page(&self, raw: &RawPage) -> v1::Page {
        v1::Page {
            events: Vec::new(),
            ..raw.to_page()
        }
    }
}

fn find_user(name: &str) -> Vec<u8> {
    let request = Request::FindUser(v1::FindUserRequest {
        name: name.to_owned(),
    });
    request.encode(Encoding::Protobuf).to_vec()
}

#[test]
fn the_round_trip_oracle_can_fail() {
    let _turn = turn();
    let choice = Command::ALL
        .iter()
        .position(|command| *command == Command::FindUser)
        .unwrap();
    let data = [vec![choice as u8], find_user("anna")].concat();
    assert!(!objects(|| round_trip_with(&Real, &data)));
    assert!(objects(|| round_trip_with(&ForgetsNames, &data)));
}

#[test]
fn the_requests_oracle_can_fail() {
    let _turn = turn();
    let data = find_user("-no name-");
    assert!(!objects(|| requests_with(&Real, &data)));
    assert!(
        objects(|| requests_with(&LetsThrough, &data)),
        "a broken limit is not seen"
    );
    assert!(
        objects(|| requests_with(&RefusesOddly, &data)),
        "an undocumented refusal is not seen"
    );
    assert!(
        objects(|| requests_with(&RefusesAtLength, &data)),
        "a long refusal is not seen"
    );
    assert!(objects(|| requests_with(&Wasteful, &data)), "waste is not seen");
}

#[test]
fn the_client_oracle_can_fail() {
    let _turn = turn();
    let data = Push::EventsPush(samples::page()).encode(Encoding::Protobuf);
    assert!(!objects(|| client_direction_with(&Real, &data)));
    assert!(
        objects(|| client_direction_with(&DropsEvents, &data)),
        "lost events are not seen"
    );
    assert!(
        objects(|| client_direction_with(&Wasteful, &data)),
        "waste is not seen"
    );
}

/// netcore's reading of requests with one thing wrong.
struct BrokenRequests {
    real: Requests,
    wrong: WrongRequests,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum WrongRequests {
    Nothing,
    LosesTheBody,
    RefusesTornHeads,
    WaitsForTheEnd,
}

impl Codec for BrokenRequests {
    type In<'a> = Incoming;
    type Out = [u8];
    type Error = Refused;

    fn decode(&mut self, source: &[u8]) -> Result<Decoded<Incoming>, Refused> {
        match (self.wrong, self.real.decode(source)?) {
            (
                WrongRequests::LosesTheBody,
                Decoded::Frame {
                    frame: Incoming::Request(mut request),
                    used,
                },
            ) => {
                request.body = Bytes::new();
                Ok(Decoded::Frame {
                    frame: Incoming::Request(request),
                    used,
                })
            }
            (WrongRequests::RefusesTornHeads, Decoded::Need { .. }) => Err(Refused::Malformed),
            (WrongRequests::WaitsForTheEnd, Decoded::Frame { .. }) => Ok(Decoded::Need {
                total: NonZeroUsize::new(source.len() + 1).unwrap(),
            }),
            (_, other) => Ok(other),
        }
    }

    fn encode(&self, out: &[u8], dst: &mut BytesMut) -> Result<(), Refused> {
        self.real.encode(out, dst)
    }
}

#[test]
fn the_http_oracle_can_fail() {
    let _turn = turn();
    let stream = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let limits = RequestLimits::default();
    let run = |wrong| {
        let make = || BrokenRequests {
            real: Requests::new(limits),
            wrong,
        };
        objects(|| http_with(make, limits, &[5], stream))
    };
    assert!(!run(WrongRequests::Nothing));
    for wrong in [
        WrongRequests::LosesTheBody,
        WrongRequests::RefusesTornHeads,
        WrongRequests::WaitsForTheEnd,
    ] {
        assert!(run(wrong), "{wrong:?} is not seen");
    }
}

/// A door that is chosen wrongly.
struct BrokenDoor {
    real: Door,
    wrong: fn(&[u8]) -> bool,
}

impl Codec for BrokenDoor {
    type In<'a> = door::Incoming;
    type Out = [u8];
    type Error = DoorError;

    fn decode(&mut self, source: &[u8]) -> Result<Decoded<door::Incoming>, DoorError> {
        if (self.wrong)(source) {
            return Err(DoorError::NotOneFrame);
        }
        self.real.decode(source)
    }

    fn encode(&self, out: &[u8], dst: &mut BytesMut) -> Result<(), DoorError> {
        self.real.encode(out, dst)
    }
}

#[test]
fn the_doors_oracle_can_fail() {
    let _turn = turn();
    let frame = Request::Ping(v1::Ping {}).to_bytes(Encoding::Protobuf, 1);
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let limits = door::Limits {
        frame_bytes: 4_096,
        call_bytes: 4_096,
    };
    let run = |stream: &[u8], wrong: fn(&[u8]) -> bool| {
        let make = || BrokenDoor {
            real: Door::any(limits),
            wrong,
        };
        objects(|| doors_with(make, limits, &[], stream))
    };
    for stream in [&frame[..], request] {
        assert!(!run(stream, |_| false));
        assert!(
            run(stream, |bytes| bytes.len() == 2),
            "a cut behind the second byte"
        );
        assert!(run(stream, |bytes| bytes.len() > 7), "all of it");
    }
    // The limits of another door, and a door for what is none.
    let other = || {
        Door::any(door::Limits {
            frame_bytes: 10,
            call_bytes: 10,
        })
    };
    let post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n0123456789ab";
    assert!(objects(|| doors_with(other, limits, &[], post)));
    assert!(run(b"get / HTTP/1.1\r\n\r\n", |bytes| bytes.len() < 8));
}

#[test]
fn the_websocket_oracle_can_fail() {
    let _turn = turn();
    let limits = MessageLimits::default();
    let stream = [
        encode_masked(Opcode::Text, b"one", [1, 2, 3, 4]),
        encode_masked(Opcode::Binary, b"two", [5, 6, 7, 8]),
    ]
    .concat();
    let run = |change: fn(&[u8], Decoded<Message>) -> Decoded<Message>| {
        let make = || {
            let mut decoder = Decoder::server(limits);
            move |bytes: &[u8]| decoder.decode(bytes).map(|decoded| change(bytes, decoded))
        };
        objects(|| websocket_with(make, tungstenite::protocol::Role::Server, limits, &[5], &stream))
    };
    assert!(!run(|_, decoded| decoded));
    let another = run(|_, decoded| match decoded {
        Decoded::Frame {
            frame: Message::Text(text),
            used,
        } => Decoded::Frame {
            frame: Message::Binary(text),
            used,
        },
        other => other,
    });
    assert!(another, "another kind is not seen");
    let waits = run(|bytes, decoded| match decoded {
        Decoded::Frame {
            frame: Message::Binary(_),
            ..
        } => Decoded::Need {
            total: NonZeroUsize::new(bytes.len() + 1).unwrap(),
        },
        other => other,
    });
    assert!(waits, "a message that is waited for for ever is not seen");
    let torn = run(|bytes, decoded| match decoded {
        Decoded::Frame { used, .. } if bytes.len() == used.get() => Decoded::Frame {
            frame: Message::Fragment,
            used,
        },
        other => other,
    });
    assert!(torn, "a message that depends on the pieces is not seen");
}

#[test]
fn the_events_oracle_can_fail() {
    let _turn = turn();
    let data = &corpus("events")["seed-all"];
    assert!(!objects(|| events_with(|block, dst| block.encode(dst), data)));
    let forgets = |block: &Block<'_>, dst: &mut BytesMut| Block { id: None, ..*block }.encode(dst);
    assert!(objects(|| events_with(forgets, data)), "a lost id is not seen");
    let spoilt = &corpus("events")["seed-spoilt-id"];
    let injects = |block: &Block<'_>, dst: &mut BytesMut| {
        dst.extend_from_slice(format!("id: {}\n\n", block.id.unwrap_or_default()).as_bytes());
        Ok(())
    };
    assert!(
        objects(|| events_with(injects, spoilt)),
        "an id of two lines is not seen"
    );
}
