//! The 8-byte header and the frame codec: bytes in, frames out, and back.
//!
//! ```text
//!  0               4       6       8
//!  +-------+-------+-------+-------+--------- - -
//!  | length (u32)  | type  |  seq  | body (length bytes)
//!  +-------+-------+-------+-------+--------- - -
//! ```
//!
//! All numbers are big-endian. A length beyond the limit is refused when its eighth header byte arrives,
//! before a byte of body is kept; nothing is ever reserved from a declared length.

use std::num::NonZeroUsize;

use bytes::{BufMut, Bytes, BytesMut};
use netcore::codec::{Codec, Decoded};

/// Bytes of the header.
pub const HEADER_BYTES: usize = 8;

const RESPONSE_BIT: u16 = 0x8000;
const RESERVED_BIT: u16 = 0x4000;
const COMMAND_MASK: u16 = 0x3FFF;

/// The `type` of a header: a command number and whether the frame answers a request.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct MessageType {
    command: u16,
    response: bool,
}

impl MessageType {
    /// The type of the answer that says a request was refused.
    pub const ERROR: Self = Self {
        command: 0,
        response: true,
    };

    /// A request or a push. The command is cut to its 14 bits.
    pub const fn request(command: u16) -> Self {
        Self {
            command: command & COMMAND_MASK,
            response: false,
        }
    }

    /// The answer to a request. The command is cut to its 14 bits.
    pub const fn response(command: u16) -> Self {
        Self {
            command: command & COMMAND_MASK,
            response: true,
        }
    }

    /// The command number, 0 to 16,383.
    pub const fn command(self) -> u16 {
        self.command
    }

    /// Whether bit 15 is set.
    pub const fn is_response(self) -> bool {
        self.response
    }

    /// As it stands in the header.
    pub const fn to_bits(self) -> u16 {
        if self.response {
            self.command | RESPONSE_BIT
        } else {
            self.command
        }
    }

    /// From the header; `None` when the reserved bit is set.
    pub const fn from_bits(bits: u16) -> Option<Self> {
        if bits & RESERVED_BIT != 0 {
            return None;
        }
        Some(Self {
            command: bits & COMMAND_MASK,
            response: bits & RESPONSE_BIT != 0,
        })
    }
}

/// One frame: header fields and body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// What it is.
    pub kind: MessageType,
    /// Pairs a response with its request; 0 in what the server starts.
    pub seq: u16,
    /// Protobuf or JSON, as the hello chose.
    pub body: Bytes,
}

impl Frame {
    /// Appends header and body to `out`.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] when the body has more bytes than `u32` can say.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), FrameError> {
        let length = u32::try_from(self.body.len()).map_err(|_| FrameError::TooLong {
            length: u32::MAX,
            limit: u32::MAX,
            seq: self.seq,
        })?;
        out.reserve(HEADER_BYTES.saturating_add(self.body.len()));
        out.put_slice(&header(length, self.kind, self.seq));
        out.put_slice(&self.body);
        Ok(())
    }
}

const fn header(length: u32, kind: MessageType, seq: u16) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = length.to_be_bytes();
    let [e, f] = kind.to_bits().to_be_bytes();
    let [g, h] = seq.to_be_bytes();
    [a, b, c, d, e, f, g, h]
}

/// Appends the header of a body that this crate has just made or is about to, which never comes near 4 GiB.
pub(crate) fn put_header(out: &mut Vec<u8>, body_bytes: usize, kind: MessageType, seq: u16) {
    let length = u32::try_from(body_bytes).unwrap_or(u32::MAX);
    out.extend_from_slice(&header(length, kind, seq));
}

/// Header and body, copied together.
pub(crate) fn in_one_piece(kind: MessageType, seq: u16, body: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(HEADER_BYTES.saturating_add(body.len()));
    put_header(&mut bytes, body.len(), kind, seq);
    bytes.extend_from_slice(body);
    bytes.into()
}

/// Why bytes are not a frame. The connection cannot go on after any of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FrameError {
    /// The header declares more body than the limit in force allows.
    #[error("frame of {length} bytes, limit {limit}")]
    TooLong {
        /// The declared length of the body.
        length: u32,
        /// The limit in force.
        limit: u32,
        /// The seq of the header.
        seq: u16,
    },
    /// Bit 14 of the type is set.
    #[error("reserved bit set in type {bits:#06x}")]
    ReservedBit {
        /// The type.
        bits: u16,
        /// The seq of the header.
        seq: u16,
    },
}

impl FrameError {
    /// The seq of the frame at fault: its header was whole.
    pub const fn seq(&self) -> u16 {
        match *self {
            Self::TooLong { seq, .. } | Self::ReservedBit { seq, .. } => seq,
        }
    }
}

/// Cuts a byte stream into frames, under a limit that the connection's state sets.
#[derive(Clone, Copy, Debug)]
pub struct FrameCodec {
    body_bytes_max: u32,
}

impl FrameCodec {
    /// A codec that refuses bodies of more than `body_bytes_max` bytes.
    pub const fn new(body_bytes_max: u32) -> Self {
        Self { body_bytes_max }
    }

    /// Changes the limit, from the next frame on.
    pub const fn set_limit(&mut self, body_bytes_max: u32) {
        self.body_bytes_max = body_bytes_max;
    }

    /// The limit in force.
    pub const fn limit(&self) -> u32 {
        self.body_bytes_max
    }

    /// The frame that `source` starts with: `Ok(None)` while bytes are missing, else the frame and how
    /// many bytes it took.
    ///
    /// # Errors
    /// Says why no frame can ever start here; refused as soon as the header is whole.
    pub fn split(&self, source: &[u8]) -> Result<Split, FrameError> {
        let Some((header, rest)) = source.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(Split::Need(HEADER_BYTES));
        };
        let [l0, l1, l2, l3, t0, t1, s0, s1] = *header;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let seq = u16::from_be_bytes([s0, s1]);
        if length > self.body_bytes_max {
            return Err(FrameError::TooLong {
                length,
                limit: self.body_bytes_max,
                seq,
            });
        }
        let bits = u16::from_be_bytes([t0, t1]);
        let kind = MessageType::from_bits(bits).ok_or(FrameError::ReservedBit { bits, seq })?;
        let body_bytes = length as usize;
        match rest.get(..body_bytes) {
            Some(body) => Ok(Split::Frame(Frame {
                kind,
                seq,
                body: Bytes::copy_from_slice(body),
            })),
            None => Ok(Split::Need(HEADER_BYTES.saturating_add(body_bytes))),
        }
    }
}

/// What [`FrameCodec::split`] found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Split {
    /// A whole frame.
    Frame(Frame),
    /// The frame that starts here takes this many bytes in all, as far as is known yet.
    Need(usize),
}

impl Codec for FrameCodec {
    type In<'a> = Frame;
    type Out = Frame;
    type Error = FrameError;

    fn decode(&mut self, source: &[u8]) -> Result<Decoded<Frame>, FrameError> {
        const HEADER: NonZeroUsize = NonZeroUsize::new(HEADER_BYTES).unwrap();
        match self.split(source)? {
            Split::Frame(frame) => {
                let used = HEADER.saturating_add(frame.body.len());
                Ok(Decoded::Frame { frame, used })
            }
            Split::Need(total) => Ok(Decoded::Need {
                total: NonZeroUsize::new(total).unwrap_or(HEADER),
            }),
        }
    }

    fn encode(&self, frame: &Frame, out: &mut BytesMut) -> Result<(), FrameError> {
        frame.encode(out)
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
