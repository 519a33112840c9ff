//! The doors of one port: the first byte of a connection tells which one its client came through. It owns how bytes
//! become what a server is given; it must never answer.
//!
//! | first byte | door |
//! |---|---|
//! | an upper-case letter | HTTP: a method's name begins with one; from there to a WebSocket |
//! | any other | native: the header of a frame begins with a length, whose first byte is 0 |
//!
//! A native connection pays one look at that byte and 12 bytes of memory.

use bytes::{Bytes, BytesMut};
use netcore::{
    codec::{Beat, Codec, Decoded},
    http::{self, RequestLimits, Requests},
    websocket::{self, Close, Message, MessageLimits, Messages},
};

use crate::{
    Frame, FrameCodec, FrameError, HEADER_BYTES, Split,
    text::{self, TextError},
};

/// Frames of which a message of a WebSocket is made, at most.
const FRAGMENTS_MAX: u32 = 64;
/// Bytes that a text has beside a frame's body, at most: names, numbers, punctuation.
const TEXT_AROUND_BYTES: u32 = 256;

/// The codec of a connection.
#[derive(Debug)]
pub enum Door {
    /// Nothing has come.
    Unknown(Limits),
    /// Native frames.
    Native(FrameCodec),
    /// Requests over HTTP.
    Http(Box<Requests>),
    /// Messages of a WebSocket.
    Socket(Box<Messages>),
}

/// Bytes of a body that a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In a frame, before it is authenticated.
    pub frame_bytes: u32,
    /// In a call over HTTP, whose head says who calls.
    pub call_bytes: u32,
}

/// What a client sent.
#[derive(Debug)]
pub enum Incoming {
    /// A frame, natively.
    Frame(Frame),
    /// A frame that is a binary message.
    Binary(Frame),
    /// A frame that was written as a text.
    Text(Frame),
    /// A text that is no frame.
    NoFrame(TextError),
    /// A request over HTTP.
    Request(Box<http::Request>),
    /// The client of a request waits for the word to go on; the library gives it.
    Expectation,
    /// A ping of the WebSocket, which the library answers.
    Ping(Bytes),
    /// A sign of life that needs no answer.
    Pong,
    /// The client ends its WebSocket.
    Close(Close),
}

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// No frame can begin like this.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// It is no request that can be answered.
    #[error(transparent)]
    Http(#[from] http::Refused),
    /// The WebSocket's protocol was broken.
    #[error(transparent)]
    Socket(#[from] websocket::Error),
    /// A binary message is not one whole frame.
    #[error("a binary message is not exactly one frame")]
    NotOneFrame,
}

impl Door {
    /// The codec of a connection that has sent nothing, where every door is open.
    #[must_use]
    pub const fn any(limits: Limits) -> Self {
        Self::Unknown(limits)
    }

    /// The codec of a connection where nothing but native frames is spoken.
    #[must_use]
    pub const fn native(limits: Limits) -> Self {
        Self::Native(FrameCodec::new(limits.frame_bytes))
    }

    /// The codec of a connection where nothing but HTTP is spoken.
    #[must_use]
    pub fn http(limits: Limits) -> Self {
        Self::Http(Box::new(Requests::new(RequestLimits {
            body_bytes: limits.call_bytes,
            ..RequestLimits::default()
        })))
    }

    /// Messages of a WebSocket, in which a frame's body may have so many bytes.
    #[must_use]
    pub fn socket(body_bytes: u32) -> Self {
        Self::Socket(Box::new(Messages::new(message_limits(body_bytes))))
    }

    /// Changes the limit of a frame's body, from the next frame on.
    pub fn set_limit(&mut self, body_bytes: u32) {
        match self {
            Self::Native(frames) => frames.set_limit(body_bytes),
            Self::Socket(messages) => messages.set_limits(message_limits(body_bytes)),
            Self::Unknown(_) | Self::Http(_) => {}
        }
    }

    /// The door whose first byte this is.
    fn of(first: u8, limits: Limits) -> Self {
        if first.is_ascii_uppercase() {
            Self::http(limits)
        } else {
            Self::native(limits)
        }
    }
}

const fn message_limits(body_bytes: u32) -> MessageLimits {
    MessageLimits {
        message_bytes: body_bytes.saturating_add(TEXT_AROUND_BYTES),
        fragments: FRAGMENTS_MAX,
    }
}

impl Codec for Door {
    type In<'a> = Incoming;
    type Out = [u8];
    type Error = DoorError;

    #[inline]
    fn decode(&mut self, src: &[u8]) -> Result<Decoded<Incoming>, DoorError> {
        match self {
            Self::Native(frames) => Ok(mapped(frames.decode(src)?, Incoming::Frame)),
            Self::Unknown(limits) => {
                *self = Self::of(src.first().copied().unwrap_or_default(), *limits);
                self.decode(src)
            }
            Self::Http(requests) => Ok(mapped(requests.decode(src)?, |incoming| match incoming {
                http::Incoming::Request(request) => Incoming::Request(Box::new(request)),
                http::Incoming::Expectation => Incoming::Expectation,
            })),
            Self::Socket(messages) => match messages.decode(src)? {
                Decoded::Need { total } => Ok(Decoded::Need { total }),
                Decoded::Frame { frame, used } => Ok(Decoded::Frame {
                    frame: message(frame)?,
                    used,
                }),
            },
        }
    }

    /// Appends what was written before.
    fn encode(&self, bytes: &[u8], dst: &mut BytesMut) -> Result<(), DoorError> {
        dst.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn beat(&self, incoming: &Incoming) -> Beat {
        match incoming {
            Incoming::Frame(_)
            | Incoming::Binary(_)
            | Incoming::Text(_)
            | Incoming::NoFrame(_)
            | Incoming::Request(_)
            | Incoming::Close(_) => Beat::Data,
            Incoming::Expectation | Incoming::Ping(_) => Beat::Ping,
            Incoming::Pong => Beat::Pong,
        }
    }

    fn encode_beat(&self, beat: Beat, answer_to: Option<&Incoming>, dst: &mut BytesMut) {
        match self {
            Self::Http(requests) if matches!(answer_to, Some(Incoming::Expectation)) => {
                requests.encode_beat(beat, Some(&http::Incoming::Expectation), dst);
            }
            Self::Socket(messages) => {
                if let Some(Incoming::Ping(payload)) = answer_to {
                    messages.encode_beat(beat, Some(&Message::Ping(payload.clone())), dst);
                }
            }
            Self::Unknown(_) | Self::Native(_) | Self::Http(_) => {}
        }
    }
}

#[inline]
fn mapped<A, B>(decoded: Decoded<A>, map: impl FnOnce(A) -> B) -> Decoded<B> {
    match decoded {
        Decoded::Need { total } => Decoded::Need { total },
        Decoded::Frame { frame, used } => Decoded::Frame {
            frame: map(frame),
            used,
        },
    }
}

fn message(message: Message) -> Result<Incoming, DoorError> {
    Ok(match message {
        Message::Binary(bytes) => Incoming::Binary(one_frame(&bytes)?),
        Message::Text(bytes) => {
            // The library has checked that it is UTF-8.
            match text::frame_of_text(std::str::from_utf8(&bytes).unwrap_or_default()) {
                Ok(frame) => Incoming::Text(frame),
                Err(error) => Incoming::NoFrame(error),
            }
        }
        Message::Ping(payload) => Incoming::Ping(payload),
        Message::Pong(_) | Message::Fragment => Incoming::Pong,
        Message::Close(close) => Incoming::Close(close),
    })
}

/// The frame that a binary message is, header included. The limit of the message was the frame's.
fn one_frame(message: &[u8]) -> Result<Frame, DoorError> {
    match FrameCodec::new(u32::MAX).split(message)? {
        Split::Frame(frame) if message.len() == HEADER_BYTES + frame.body.len() => Ok(frame),
        Split::Frame(_) | Split::Need(_) => Err(DoorError::NotOneFrame),
    }
}

#[cfg(test)]
mod tests {
    use netcore::{
        codec::{Codec, Decoded},
        websocket::{Opcode, encode_masked},
    };

    use super::{Door, DoorError, Incoming, Limits};
    use crate::{Encoding, FrameError, Request, v1};

    const LIMITS: Limits = Limits {
        frame_bytes: 100,
        call_bytes: 1_000,
    };

    fn one(door: &mut Door, bytes: &[u8]) -> Result<Incoming, DoorError> {
        match door.decode(bytes)? {
            Decoded::Frame { frame, used } => {
                assert_eq!(used.get(), bytes.len());
                Ok(frame)
            }
            Decoded::Need { total } => panic!("{total} bytes are needed"),
        }
    }

    #[test]
    fn a_door_costs_a_native_connection_nothing() {
        assert!(size_of::<Door>() <= 16);
    }

    #[test]
    fn the_first_byte_tells_the_door() {
        let ping = Request::Ping(v1::Ping {}).to_bytes(Encoding::Protobuf, 1);
        let mut door = Door::any(LIMITS);
        assert!(matches!(one(&mut door, &ping), Ok(Incoming::Frame(frame)) if frame.seq == 1));
        assert!(matches!(door, Door::Native(_)));

        let mut door = Door::any(LIMITS);
        let request = one(&mut door, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(matches!(request, Ok(Incoming::Request(request)) if request.head.path() == "/"));

        // Neither: told as natively.
        let mut door = Door::any(LIMITS);
        let refused = door.decode(b"get / HT").expect_err("no frame is so long");
        assert!(matches!(refused, DoorError::Frame(FrameError::TooLong { .. })));
    }

    #[test]
    fn a_message_of_a_socket_is_one_frame() {
        let ping = Request::Ping(v1::Ping {}).to_bytes(Encoding::Protobuf, 7);
        let mut door = Door::socket(100);
        let mut sent = |opcode, payload: &[u8]| one(&mut door, &encode_masked(opcode, payload, [1, 2, 3, 4]));
        assert!(matches!(sent(Opcode::Binary, &ping), Ok(Incoming::Binary(frame)) if frame.seq == 7));
        let text = sent(Opcode::Text, br#"{"type":"ping","seq":8}"#);
        assert!(matches!(text, Ok(Incoming::Text(frame)) if frame.seq == 8));
        assert!(matches!(sent(Opcode::Text, b"hello"), Ok(Incoming::NoFrame(_))));
        for wrong in [&ping[..7], &[&ping[..], &b"x"[..]].concat(), b""] {
            assert!(matches!(sent(Opcode::Binary, wrong), Err(DoorError::NotOneFrame)));
        }
    }

    #[test]
    fn a_message_beyond_the_limit_is_refused() {
        let mut door = Door::socket(100);
        door.set_limit(10);
        let long = encode_masked(Opcode::Text, &[b'x'; 300], [0; 4]);
        assert!(matches!(door.decode(&long), Err(DoorError::Socket(_))));
    }
}
