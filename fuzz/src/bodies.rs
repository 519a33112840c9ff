//! What must hold for the bodies of frames: both encodings, all commands, validation.

use std::fmt::Debug;

use bytes::Bytes;
use protocol::{
    Command, Decode, ERROR_MESSAGE_BYTES_MAX, Encoding, Push, Refusal, Reply, Request, encode_error,
    v1::{self, ErrorCode},
    validate::{self, Limits},
};

use crate::{input::Input, limits, memory};

pub(crate) const ENCODINGS: [Encoding; 2] = [Encoding::Protobuf, Encoding::Json];
/// In use at once while a request is read, per byte of its body. The most that one byte can become is a number of
/// eight in a list; a list grows by doubling, and JSON keeps a list it does not expect in pieces of 32.
const REQUEST_COST: usize = 64;
/// Bytes of a refusal's frame in JSON, at most: its message may double in escapes.
const REFUSAL_BYTES_MAX: usize = 1_024;

/// A body of more bytes than this is tried with every fourth command only, or an input takes seconds.
const LONG: usize = 16 * 1024;

/// The commands to try a body with.
pub(crate) fn commands(body: &[u8]) -> impl Iterator<Item = Command> {
    let step = if body.len() > LONG { 4 } else { 1 };
    Command::ALL.iter().copied().skip(body.len() % step).step_by(step)
}

/// The code under the oracles; a test puts something broken in its place.
pub trait Bodies {
    /// [`Request::decode`].
    ///
    /// # Errors
    /// As it says.
    fn request(&self, command: Command, encoding: Encoding, body: Bytes) -> Result<Request, Refusal> {
        Request::decode(command, encoding, body)
    }

    /// [`Request::encode`].
    fn encode(&self, request: &Request, encoding: Encoding) -> Bytes {
        request.encode(encoding)
    }

    /// [`validate::request`].
    ///
    /// # Errors
    /// As it says.
    fn validate(&self, request: &Request, limits: &Limits) -> Result<(), Refusal> {
        validate::request(request, limits)
    }

    /// [`protocol::RawPage::to_page`].
    fn to_page(&self, raw: &protocol::RawPage) -> v1::Page {
        raw.to_page()
    }

    /// [`Push::decode`].
    ///
    /// # Errors
    /// As it says.
    fn push(&self, command: Command, encoding: Encoding, body: Bytes) -> Result<Push, Refusal> {
        Push::decode(command, encoding, body)
    }
}

/// The code as it is.
#[derive(Clone, Copy, Debug)]
pub struct Real;

impl Bodies for Real {}

/// The first byte chooses a command, the rest is read as its request, reply or push, and as an error, in both
/// encodings. Whatever can be read, written and read again, in either encoding, is the same.
///
/// # Panics
/// It is not.
pub fn round_trip(data: &[u8]) {
    round_trip_with(&Real, data);
}

/// See [`round_trip`].
///
/// # Panics
/// What was read is not the same after writing and reading.
pub fn round_trip_with(bodies: &impl Bodies, data: &[u8]) {
    let mut input = Input::new(data);
    let Some(command) = input.choose(Command::ALL) else {
        return;
    };
    let body = Bytes::copy_from_slice(input.rest());
    if command.is_push() {
        stable(
            |encoding, body| bodies.push(command, encoding, body),
            Push::encode,
            &body,
        );
    } else {
        stable(
            |encoding, body| bodies.request(command, encoding, body),
            |request, encoding| bodies.encode(request, encoding),
            &body,
        );
        stable(
            |encoding, body| Reply::decode(command, encoding, body),
            Reply::encode,
            &body,
        );
    }
    stable(
        |encoding, body| encoding.decode::<v1::Error>(body),
        |error, encoding| encoding.encode(error),
        &body,
    );
}

fn stable<T: Debug + PartialEq>(
    decode: impl Fn(Encoding, Bytes) -> Result<T, Refusal>,
    encode: impl Fn(&T, Encoding) -> Bytes,
    body: &Bytes,
) {
    for from in ENCODINGS {
        let Ok(first) = decode(from, body.clone()) else {
            continue;
        };
        for through in ENCODINGS {
            let bytes = encode(&first, through);
            match decode(through, bytes.clone()) {
                Ok(second) => {
                    assert_eq!(second, first, "changed by {through:?}");
                    assert_eq!(encode(&second, through), bytes, "written in two ways");
                }
                Err(refusal) => panic!("{first:?} in {through:?} is not read again: {refusal}"),
            }
        }
    }
}

/// The bytes as the body of every command in both encodings, as a server reads them.
///
/// # Panics
/// Something that validation lets through breaks a limit, a refusal is longer than it may be or not one of those
/// that are documented, or reading costs more memory than has arrived.
pub fn requests(data: &[u8]) {
    requests_with(&Real, data);
}

/// See [`requests`].
///
/// # Panics
/// A promise is broken.
pub fn requests_with(bodies: &impl Bodies, data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let limits = Limits::default();
    for command in commands(data) {
        for encoding in ENCODINGS {
            let checked = memory::within(body.len(), REQUEST_COST, || {
                let request = bodies.request(command, encoding, body.clone())?;
                bodies.validate(&request, &limits)?;
                Ok(request)
            });
            match checked {
                Ok(request) => {
                    assert_eq!(request.command(), command);
                    assert!(limits::respects(&request, &limits), "{request:?} breaks a limit");
                }
                Err(refusal) => documented(command, &refusal),
            }
        }
    }
}

fn documented(command: Command, refusal: &Refusal) {
    let code = refusal.code();
    let expected: &[ErrorCode] = match command {
        push if push.is_push() => &[ErrorCode::Protocol],
        Command::Hello => &[ErrorCode::Protocol, ErrorCode::Invalid],
        _ => &[ErrorCode::Invalid, ErrorCode::TooMany],
    };
    assert!(
        expected.contains(&code),
        "{} is refused with {refusal}",
        command.name()
    );
    assert!(refusal.0.message.len() <= ERROR_MESSAGE_BYTES_MAX);
    for encoding in ENCODINGS {
        let frame = encode_error(refusal, encoding, 1);
        assert!(
            frame.body.len() <= REFUSAL_BYTES_MAX,
            "a refusal of {} bytes",
            frame.body.len()
        );
    }
}
