//! Owns the header of a frame. Must never look at a payload.

use super::Error;

/// Bytes of the payload of a control frame.
pub const CONTROL_BYTES_MAX: usize = 125;

/// Bytes of the longest header: of a masked frame with a 64-bit length.
pub const HEADER_BYTES_MAX: usize = 14;

/// The kind of a frame.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Opcode {
    /// The next fragment of a message.
    Continuation,
    /// A text, in UTF-8.
    Text,
    /// Bytes.
    Binary,
    /// The end.
    Close,
    /// A question whether the peer is alive.
    Ping,
    /// The answer.
    Pong,
}

impl Opcode {
    /// The number in the header.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    const fn new(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Continuation),
            1 => Some(Self::Text),
            2 => Some(Self::Binary),
            8 => Some(Self::Close),
            9 => Some(Self::Ping),
            10 => Some(Self::Pong),
            _ => None,
        }
    }

    pub(super) const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// What the header of a frame says, checked as far as a header alone can be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Parsed {
    pub(super) opcode: Opcode,
    /// It is the last frame of its message.
    pub(super) last: bool,
    pub(super) mask: Option<[u8; 4]>,
    /// Bytes of the payload.
    pub(super) payload: u64,
    /// Bytes of the header.
    pub(super) bytes: usize,
}

/// The header at the beginning of `src`, or how many bytes are needed to see it.
pub(super) fn parse(src: &[u8]) -> Result<Result<Parsed, usize>, Error> {
    let &[first, ref rest @ ..] = src else {
        return Ok(Err(2));
    };
    if first & 0x70 != 0 {
        return Err(Error::ReservedBit);
    }
    let opcode = Opcode::new(first & 0x0f).ok_or(Error::Opcode)?;
    let last = first & 0x80 != 0;
    if opcode.is_control() && !last {
        return Err(Error::FragmentedControl);
    }
    let &[second, ref rest @ ..] = rest else {
        return Ok(Err(2));
    };
    let length_bytes = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if opcode.is_control() && length_bytes > 0 {
        return Err(Error::LongControl);
    }
    let mask_bytes = if second & 0x80 == 0 { 0 } else { 4 };
    let bytes = 2 + length_bytes + mask_bytes;
    let Some((length, rest)) = rest.split_at_checked(length_bytes) else {
        return Ok(Err(bytes));
    };
    let payload = match length {
        [] => u64::from(second & 0x7f),
        length => length
            .iter()
            .fold(0, |value: u64, byte| value << 8 | u64::from(*byte)),
    };
    let minimal = match length_bytes {
        2 => payload > 125,
        8 => payload > u64::from(u16::MAX) && payload >> 63 == 0,
        _ => true,
    };
    if !minimal {
        return Err(Error::Length);
    }
    let mask = match (mask_bytes, rest.first_chunk()) {
        (0, _) => None,
        (_, Some(mask)) => Some(*mask),
        (_, None) => return Ok(Err(bytes)),
    };
    Ok(Ok(Parsed {
        opcode,
        last,
        mask,
        payload,
        bytes,
    }))
}

/// The header of a frame to send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FrameHeader {
    bytes: [u8; HEADER_BYTES_MAX],
    len: u8,
}

impl FrameHeader {
    /// The header of a whole message, or of a control frame, with a payload of `payload` bytes.
    pub(super) fn new(opcode: Opcode, payload: usize, mask: Option<[u8; 4]>) -> Self {
        let mut header = Self {
            bytes: [0; HEADER_BYTES_MAX],
            len: 0,
        };
        let masked = if mask.is_some() { 0x80 } else { 0 };
        header.put(&[0x80 | opcode.number()]);
        match (u8::try_from(payload), u16::try_from(payload)) {
            (Ok(short @ ..=125), _) => header.put(&[masked | short]),
            (_, Ok(medium)) => {
                header.put(&[masked | 126]);
                header.put(&medium.to_be_bytes());
            }
            _ => {
                header.put(&[masked | 127]);
                header.put(&(payload as u64).to_be_bytes());
            }
        }
        if let Some(mask) = mask {
            header.put(&mask);
        }
        header
    }

    fn put(&mut self, bytes: &[u8]) {
        let from = usize::from(self.len);
        if let Some(place) = self.bytes.get_mut(from..from + bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len() as u8;
        }
    }

    /// The bytes of the header.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// Applies a mask, which also removes it, to bytes that begin at the start of a payload.
pub(super) fn mask(bytes: &mut [u8], key: [u8; 4]) {
    let (words, rest) = bytes.as_chunks_mut::<8>();
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}
