//! Owns how a stream is cut into messages, by either end. Must never hold memory between two messages, nor trust a
//! length before it is checked.

use super::frame::{self, Parsed, mask};
use super::{Close, CloseCode, Opcode};
use crate::codec::Decoded;
use bytes::{Bytes, BytesMut};
use std::num::NonZeroUsize;

/// How large a message may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MessageLimits {
    /// Bytes of the payload of a message, of all of its fragments together. Default: 1 MiB.
    pub message_bytes: u32,
    /// Frames of one message. Default: 1,024.
    pub fragments: u32,
}

impl Default for MessageLimits {
    fn default() -> Self {
        Self {
            message_bytes: 1024 * 1024,
            fragments: 1024,
        }
    }
}

/// Something received.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message {
    /// A text, which is valid UTF-8.
    Text(Bytes),
    /// Bytes.
    Binary(Bytes),
    /// To be answered with a pong of the same payload.
    Ping(Bytes),
    /// The answer to a ping, or a sign of life that nobody asked for.
    Pong(Bytes),
    /// The peer ends the connection, and sends nothing more. To be answered with a close frame, unless one was sent.
    Close(Close),
    /// A fragment came that does not end its message; it is kept until the rest has come.
    Fragment,
}

/// The peer broke the protocol. It is to be told by a close frame with [`close_code`](Self::close_code), and the
/// connection then closed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Error {
    /// A reserved bit is set without an extension.
    #[error("a reserved bit is set, and no extension was agreed on")]
    ReservedBit,
    /// The opcode means nothing.
    #[error("the opcode is reserved")]
    Opcode,
    /// A control frame is fragmented.
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// A control frame has more than 125 bytes.
    #[error("a control frame has more than 125 bytes")]
    LongControl,
    /// A length is not in its shortest form, or has its highest bit set.
    #[error("a length is not in its shortest form, or beyond 63 bits")]
    Length,
    /// A client did not mask a frame.
    #[error("a frame of a client is not masked")]
    Unmasked,
    /// A server masked a frame.
    #[error("a frame of a server is masked")]
    Masked,
    /// A continuation came without a beginning.
    #[error("there is no message to continue")]
    NothingToContinue,
    /// A message began before the one before it had ended.
    #[error("a message began within another")]
    Interrupted,
    /// A close frame has one byte, or a code that may not be sent.
    #[error("a close frame has no valid code")]
    CloseCode,
    /// A text, or the reason of a close, is not UTF-8.
    #[error("a text is not UTF-8")]
    Utf8,
    /// The message has more bytes than [`MessageLimits::message_bytes`].
    #[error("a message has more than {max} bytes")]
    TooLarge {
        /// The limit.
        max: u32,
    },
    /// The message has more frames than [`MessageLimits::fragments`].
    #[error("a message has more than {max} fragments")]
    TooManyFragments {
        /// The limit.
        max: u32,
    },
}

impl Error {
    /// The code of the close frame that tells the peer.
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::ReservedBit
            | Self::Opcode
            | Self::FragmentedControl
            | Self::LongControl
            | Self::Length
            | Self::Unmasked
            | Self::Masked
            | Self::NothingToContinue
            | Self::Interrupted
            | Self::CloseCode => CloseCode::PROTOCOL,
            Self::Utf8 => CloseCode::INVALID_DATA,
            Self::TooLarge { .. } => CloseCode::TOO_LARGE,
            Self::TooManyFragments { .. } => CloseCode::POLICY,
        }
    }
}

/// Cuts a stream into messages, as either end. Servers have it as a codec: [`Messages`](super::Messages).
///
/// A frame whose payload has come in parts is looked at when it is whole; a text in several frames is checked with each,
/// so one that is not UTF-8 is refused with the frame that makes it so.
///
/// ```
/// use netcore::codec::Decoded;
/// use netcore::websocket::{Decoder, Message, MessageLimits, Opcode, encode};
///
/// let mut client = Decoder::client(MessageLimits::default());
/// let Decoded::Frame { frame, .. } = client.decode(&encode(Opcode::Text, "grüezi".as_bytes()))? else {
///     panic!("the message is whole");
/// };
/// assert_eq!(frame, Message::Text("grüezi".into()));
/// # Ok::<_, netcore::websocket::Error>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    limits: MessageLimits,
    role: Role,
    /// The message whose end has not come.
    partial: Option<Box<Partial>>,
}

const _: () = assert!(size_of::<Decoder>() <= 24);

/// Whose frames are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    /// Those of a client: masked.
    Server,
    /// Those of a server: not masked.
    Client,
}

/// The fragments of a message that have come.
#[derive(Debug)]
struct Partial {
    text: bool,
    fragments: u32,
    payload: BytesMut,
    /// So many bytes of a text are whole characters.
    checked: usize,
}

impl Decoder {
    /// Reads what a client sends.
    #[must_use]
    pub const fn server(limits: MessageLimits) -> Self {
        Self {
            limits,
            role: Role::Server,
            partial: None,
        }
    }

    /// Reads what a server sends.
    #[must_use]
    pub const fn client(limits: MessageLimits) -> Self {
        Self {
            limits,
            role: Role::Client,
            partial: None,
        }
    }

    /// The limits in force.
    #[must_use]
    pub const fn limits(&self) -> MessageLimits {
        self.limits
    }

    /// Changes the limits, for frames that are not yet decoded. What has come of a message stays, and counts.
    pub const fn set_limits(&mut self, limits: MessageLimits) {
        self.limits = limits;
    }

    /// Whether fragments of a message are kept whose end has not come.
    #[must_use]
    pub const fn is_within_message(&self) -> bool {
        self.partial.is_some()
    }

    /// Decodes the frame at the beginning of `src`. The same beginning is shown again, with more behind it, until the
    /// frame is whole.
    ///
    /// # Errors
    /// The peer broke the protocol, which is known before the payload has come where the header shows it. Nothing more
    /// can be read.
    pub fn decode(&mut self, src: &[u8]) -> Result<Decoded<Message>, Error> {
        let header = match frame::parse(src)? {
            Ok(header) => header,
            Err(bytes) => return Ok(need(bytes)),
        };
        self.check(&header)?;
        // Checked to be within 32 bits.
        let total = header.bytes + header.payload as usize;
        let Some(payload) = src.get(header.bytes..total) else {
            return Ok(need(total));
        };
        let message = if header.opcode.is_control() {
            control(&header, payload)?
        } else {
            self.data(&header, payload)?
        };
        Ok(Decoded::Frame {
            frame: message,
            used: NonZeroUsize::new(total).unwrap_or(NonZeroUsize::MIN),
        })
    }

    /// Whether a frame with this header may come now.
    fn check(&self, header: &Parsed) -> Result<(), Error> {
        match (self.role, header.mask) {
            (Role::Server, None) => return Err(Error::Unmasked),
            (Role::Client, Some(_)) => return Err(Error::Masked),
            (Role::Server, Some(_)) | (Role::Client, None) => {}
        }
        if header.opcode.is_control() {
            return Ok(());
        }
        let before = match (&self.partial, header.opcode) {
            (None, Opcode::Continuation) => return Err(Error::NothingToContinue),
            (Some(partial), Opcode::Continuation) => {
                if partial.fragments >= self.limits.fragments {
                    return Err(Error::TooManyFragments {
                        max: self.limits.fragments,
                    });
                }
                partial.payload.len() as u64
            }
            (Some(_), _) => return Err(Error::Interrupted),
            (None, _) => 0,
        };
        let max = self.limits.message_bytes;
        if header.payload > u64::from(max).saturating_sub(before) {
            return Err(Error::TooLarge { max });
        }
        Ok(())
    }

    /// Takes a frame of a message.
    fn data(&mut self, header: &Parsed, payload: &[u8]) -> Result<Message, Error> {
        let partial = match self.partial.take() {
            Some(mut partial) => {
                partial.add(header, payload);
                partial
            }
            None if header.last => return whole(header, payload),
            None => {
                let mut partial = Box::new(Partial {
                    text: header.opcode == Opcode::Text,
                    fragments: 0,
                    payload: BytesMut::new(),
                    checked: 0,
                });
                partial.add(header, payload);
                partial
            }
        };
        self.continued(partial, header.last)
    }

    fn continued(&mut self, mut partial: Box<Partial>, last: bool) -> Result<Message, Error> {
        if partial.text {
            partial.check(last)?;
        }
        if !last {
            self.partial = Some(partial);
            return Ok(Message::Fragment);
        }
        let payload = partial.payload.freeze();
        Ok(if partial.text {
            Message::Text(payload)
        } else {
            Message::Binary(payload)
        })
    }
}

impl Partial {
    fn add(&mut self, header: &Parsed, payload: &[u8]) {
        let from = self.payload.len();
        self.payload.extend_from_slice(payload);
        if let Some(key) = header.mask {
            mask(self.payload.get_mut(from..).unwrap_or_default(), key);
        }
        self.fragments += 1;
    }

    /// Checks the characters that have become whole; at the end of the message, that there is no other.
    fn check(&mut self, last: bool) -> Result<(), Error> {
        let unchecked = self.payload.get(self.checked..).unwrap_or_default();
        match std::str::from_utf8(unchecked) {
            Ok(_) => self.checked = self.payload.len(),
            Err(error) if error.error_len().is_none() && !last => self.checked += error.valid_up_to(),
            Err(_) => return Err(Error::Utf8),
        }
        Ok(())
    }
}

/// A message of one frame.
fn whole(header: &Parsed, payload: &[u8]) -> Result<Message, Error> {
    let payload = unmasked(header, payload);
    if header.opcode != Opcode::Text {
        return Ok(Message::Binary(payload));
    }
    match std::str::from_utf8(&payload) {
        Ok(_) => Ok(Message::Text(payload)),
        Err(_) => Err(Error::Utf8),
    }
}

fn control(header: &Parsed, payload: &[u8]) -> Result<Message, Error> {
    let payload = unmasked(header, payload);
    match header.opcode {
        Opcode::Ping => Ok(Message::Ping(payload)),
        Opcode::Close => close(payload).map(Message::Close),
        Opcode::Pong | Opcode::Continuation | Opcode::Text | Opcode::Binary => Ok(Message::Pong(payload)),
    }
}

fn close(payload: Bytes) -> Result<Close, Error> {
    match &payload[..] {
        [] => Ok(Close {
            code: None,
            reason: payload,
        }),
        [high, low, reason @ ..] => {
            let code = CloseCode::new(u16::from_be_bytes([*high, *low])).ok_or(Error::CloseCode)?;
            std::str::from_utf8(reason).map_err(|_| Error::Utf8)?;
            Ok(Close {
                code: Some(code),
                reason: payload.slice(2..),
            })
        }
        [_] => Err(Error::CloseCode),
    }
}

/// The payload without its mask, in one allocation; in none if it is empty.
fn unmasked(header: &Parsed, payload: &[u8]) -> Bytes {
    match header.mask {
        Some(key) => {
            let mut bytes = payload.to_vec();
            mask(&mut bytes, key);
            bytes.into()
        }
        None => Bytes::copy_from_slice(payload),
    }
}

fn need(total: usize) -> Decoded<Message> {
    Decoded::Need {
        total: NonZeroUsize::new(total).unwrap_or(NonZeroUsize::MIN),
    }
}

#[cfg(test)]
#[path = "decoder_tests.rs"]
mod tests;
