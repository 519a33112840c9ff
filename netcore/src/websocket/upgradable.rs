//! Owns a connection that begins with HTTP and may become a WebSocket. Must never decide when it does.

use super::{Error, Message, MessageLimits, Messages, encode_close};
use crate::codec::{Beat, Codec, Decoded};
use crate::http::{Date, Incoming, Refused, Requests};
use bytes::{Bytes, BytesMut};

/// HTTP requests, and behind an [`upgrade`](Self::upgrade) the messages of a WebSocket. What is sent was encoded before:
/// a [`Response`](crate::http::Response), or a frame by [`encode`](super::encode).
///
/// ```
/// use netcore::codec::{Codec, Decoded};
/// use netcore::http::{Incoming, RequestLimits, Requests};
/// use netcore::websocket::{Message, MessageLimits, Opcode, Received, Upgradable, encode_masked};
///
/// let mut codec = Upgradable::new(Requests::new(RequestLimits::default()));
/// let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
/// assert!(matches!(
///     codec.decode(request)?,
///     Decoded::Frame { frame: Received::Http(Incoming::Request(_)), .. }
/// ));
/// // In `on_frame`, once the handshake was accepted: `cx.codec().upgrade(limits)`.
/// codec.upgrade(MessageLimits::default());
/// let frame = encode_masked(Opcode::Text, b"hi", [1, 2, 3, 4]);
/// assert!(matches!(
///     codec.decode(&frame)?,
///     Decoded::Frame { frame: Received::Socket(Message::Text(_)), .. }
/// ));
/// # Ok::<_, netcore::websocket::Unreadable>(())
/// ```
#[derive(Debug)]
pub struct Upgradable(State);

#[derive(Debug)]
enum State {
    Http(Requests),
    Socket(Messages),
}

/// Something received by [`Upgradable`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Received {
    /// Over HTTP.
    Http(Incoming),
    /// Over the WebSocket.
    Socket(Message),
}

/// Nothing more can be read. Which answer is due depends on what the connection was.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unreadable {
    /// A request is refused: answer with its status.
    #[error(transparent)]
    Http(#[from] Refused),
    /// The protocol of the WebSocket was broken: answer with its close code.
    #[error(transparent)]
    Socket(#[from] Error),
}

impl Unreadable {
    /// The last that the peer is told: a response, or a close frame. For [`on_closing`](crate::Handler::on_closing).
    #[must_use]
    pub fn answer(self, date: Option<Date>) -> Bytes {
        match self {
            Self::Http(refused) => refused.response(date),
            Self::Socket(error) => encode_close(error.close_code(), ""),
        }
    }
}

impl Upgradable {
    /// A connection that begins with HTTP.
    #[must_use]
    pub const fn new(requests: Requests) -> Self {
        Self(State::Http(requests))
    }

    /// From the next byte on it is a WebSocket: what follows the request that asked for it.
    pub fn upgrade(&mut self, limits: MessageLimits) {
        self.0 = State::Socket(Messages::new(limits));
    }

    /// Whether it is a WebSocket.
    #[must_use]
    pub const fn is_socket(&self) -> bool {
        matches!(self.0, State::Socket(_))
    }
}

impl Codec for Upgradable {
    type In<'a> = Received;
    type Out = [u8];
    type Error = Unreadable;

    fn decode(&mut self, src: &[u8]) -> Result<Decoded<Received>, Unreadable> {
        Ok(match &mut self.0 {
            State::Http(requests) => map(requests.decode(src)?, Received::Http),
            State::Socket(messages) => map(messages.decode(src)?, Received::Socket),
        })
    }

    fn encode(&self, encoded: &[u8], dst: &mut BytesMut) -> Result<(), Unreadable> {
        dst.extend_from_slice(encoded);
        Ok(())
    }

    fn beat(&self, received: &Received) -> Beat {
        match (&self.0, received) {
            (State::Http(requests), Received::Http(incoming)) => requests.beat(incoming),
            (State::Socket(messages), Received::Socket(message)) => messages.beat(message),
            (State::Http(_) | State::Socket(_), _) => Beat::Data,
        }
    }

    fn encode_beat(&self, beat: Beat, answer_to: Option<&Received>, dst: &mut BytesMut) {
        match (&self.0, answer_to) {
            (State::Http(requests), Some(Received::Http(incoming))) => {
                requests.encode_beat(beat, Some(incoming), dst);
            }
            (State::Socket(messages), Some(Received::Socket(message))) => {
                messages.encode_beat(beat, Some(message), dst);
            }
            (State::Socket(messages), _) => messages.encode_beat(beat, None, dst),
            (State::Http(_), _) => {}
        }
    }
}

fn map<A, B>(decoded: Decoded<A>, of: impl FnOnce(A) -> B) -> Decoded<B> {
    match decoded {
        Decoded::Frame { frame, used } => Decoded::Frame {
            frame: of(frame),
            used,
        },
        Decoded::Need { total } => Decoded::Need { total },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{CONTINUE, RequestLimits};

    fn beat(codec: &Upgradable, beat: Beat, answer_to: Option<Received>) -> BytesMut {
        let mut dst = BytesMut::new();
        codec.encode_beat(beat, answer_to.as_ref(), &mut dst);
        dst
    }

    #[test]
    fn signs_of_life_are_those_of_what_the_connection_is() {
        let mut codec = Upgradable::new(Requests::new(RequestLimits::default()));
        let expectation = Received::Http(Incoming::Expectation);
        assert_eq!(codec.beat(&expectation), Beat::Ping);
        assert_eq!(beat(&codec, Beat::Pong, Some(expectation)), CONTINUE);
        assert_eq!(beat(&codec, Beat::Ping, None), "");
        assert!(!codec.is_socket());
        codec.upgrade(MessageLimits::default());
        assert!(codec.is_socket());
        let ping = Received::Socket(Message::Ping(Bytes::from("?")));
        assert_eq!(codec.beat(&ping), Beat::Ping);
        assert_eq!(
            codec.beat(&Received::Socket(Message::Text("a".into()))),
            Beat::Data
        );
        assert_eq!(&beat(&codec, Beat::Pong, Some(ping))[..], b"\x8a\x01?");
        assert_eq!(&beat(&codec, Beat::Ping, None)[..], b"\x89\x00");
    }

    #[test]
    fn what_cannot_be_read_says_how_to_answer() {
        let mut codec = Upgradable::new(Requests::new(RequestLimits::default()));
        let refused = codec.decode(b"\n").unwrap_err();
        assert_eq!(refused, Unreadable::Http(Refused::LineEnd));
        assert!(refused.answer(None).starts_with(b"HTTP/1.1 400 "));
        codec.upgrade(MessageLimits::default());
        assert_eq!(
            codec.decode(b"GET / HTTP/1.1"),
            Err(Unreadable::Socket(Error::ReservedBit))
        );
    }
}
