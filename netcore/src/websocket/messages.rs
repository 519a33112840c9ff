//! Owns the codec of a server of WebSockets. Must never answer anything but pings.

use super::{Decoder, Error, Message, MessageLimits, Opcode, encode_close, frame_header};
use crate::codec::{Beat, Codec, Decoded};
use bytes::{BufMut, BytesMut};

/// Messages in and out, at the server. Each is a frame of the library: pings are answered by it, fragments and pongs
/// count as signs of life, and a handler sees [`Message::Text`], [`Message::Binary`] and [`Message::Close`] alone.
///
/// A connection without a partial message holds no memory but this value, of 24 bytes. The fragments of a message are
/// held here, up to the [limits](MessageLimits), for as long as the peer shows signs of life.
///
/// ```
/// use netcore::codec::{Codec, Decoded};
/// use netcore::websocket::{Message, MessageLimits, Messages, Opcode, encode_masked};
///
/// let mut messages = Messages::new(MessageLimits::default());
/// let sent = encode_masked(Opcode::Binary, b"hello", [1, 2, 3, 4]);
/// let Decoded::Frame { frame, .. } = messages.decode(&sent)? else {
///     panic!("the message is whole");
/// };
/// assert_eq!(frame, Message::Binary("hello".into()));
/// # Ok::<_, netcore::websocket::Error>(())
/// ```
#[derive(Debug)]
pub struct Messages(Decoder);

impl Messages {
    /// Messages within these limits.
    #[must_use]
    pub const fn new(limits: MessageLimits) -> Self {
        Self(Decoder::server(limits))
    }

    /// Changes the limits, for frames that are not yet decoded. What has come of a message stays, and counts.
    ///
    /// ```
    /// # use netcore::codec::Codec;
    /// use netcore::websocket::{MessageLimits, Messages, Opcode, encode_masked};
    ///
    /// let mut messages = Messages::new(MessageLimits { message_bytes: 10, fragments: 1 });
    /// let sent = encode_masked(Opcode::Binary, &[0; 11], [1, 2, 3, 4]);
    /// assert!(messages.decode(&sent).is_err());
    /// // Once the client has logged in, it may send more at once.
    /// messages.set_limits(MessageLimits::default());
    /// assert!(messages.decode(&sent).is_ok());
    /// ```
    pub const fn set_limits(&mut self, limits: MessageLimits) {
        self.0.set_limits(limits);
    }
}

impl Codec for Messages {
    type In<'a> = Message;
    type Out = Message;
    type Error = Error;

    fn decode(&mut self, src: &[u8]) -> Result<Decoded<Message>, Error> {
        self.0.decode(src)
    }

    /// Appends a message as one frame. [`Message::Fragment`] stands for nothing, and appends nothing.
    fn encode(&self, message: &Message, dst: &mut BytesMut) -> Result<(), Error> {
        match message {
            Message::Text(payload) => put(Opcode::Text, payload, dst),
            Message::Binary(payload) => put(Opcode::Binary, payload, dst),
            Message::Ping(payload) => put(Opcode::Ping, payload, dst),
            Message::Pong(payload) => put(Opcode::Pong, payload, dst),
            Message::Close(close) => match close.code {
                Some(code) => dst.put_slice(&encode_close(code, close.reason())),
                None => put(Opcode::Close, &[], dst),
            },
            Message::Fragment => {}
        }
        Ok(())
    }

    fn beat(&self, message: &Message) -> Beat {
        match message {
            Message::Text(_) | Message::Binary(_) | Message::Close(_) => Beat::Data,
            Message::Ping(_) => Beat::Ping,
            Message::Pong(_) | Message::Fragment => Beat::Pong,
        }
    }

    fn encode_beat(&self, beat: Beat, answer_to: Option<&Message>, dst: &mut BytesMut) {
        match (beat, answer_to) {
            (_, Some(Message::Ping(payload))) => put(Opcode::Pong, payload, dst),
            (Beat::Ping, _) => put(Opcode::Ping, &[], dst),
            (Beat::Pong | Beat::Data, _) => {}
        }
    }
}

fn put(opcode: Opcode, payload: &[u8], dst: &mut BytesMut) {
    let header = frame_header(opcode, payload.len());
    dst.reserve(header.as_bytes().len() + payload.len());
    dst.put_slice(header.as_bytes());
    dst.put_slice(payload);
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
