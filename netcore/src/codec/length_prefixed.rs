//! Owns the framing "a length, then that many bytes" in its usual variations. Must never wait for bytes of a frame
//! whose declared length is already invalid.

use super::{Codec, Decoded};
use bytes::BytesMut;
use std::num::NonZeroUsize;

/// Frames that carry their length in a field near their beginning.
///
/// ```text
///   0        offset   offset + width
///   +--------+--------+--------------------------------+
///   |  ...   | length |  length + adjustment bytes     |   <= max bytes in all
///   +--------+--------+--------------------------------+
///   |<---- strip ---->|<- what decode yields ----------|
/// ```
///
/// Encoding is the inverse of decoding: bytes that `strip` removes are written as zeros, except for the length
/// field, which is always filled in.
///
/// ```
/// use netcore::codec::{Codec, Decoded, LengthPrefixed};
///
/// // A type of one byte, then a little-endian length of two that counts itself and the type.
/// let mut codec = LengthPrefixed::builder()
///     .offset(1)
///     .width(2)
///     .little_endian()
///     .adjustment(-3)
///     .strip(0)
///     .max(4096)
///     .build()?;
/// let Decoded::Frame { frame, .. } = codec.decode(b"T\x05\0hi")? else { panic!("it is whole") };
/// assert_eq!(frame, b"T\x05\0hi");
/// assert!(codec.decode(b"T\xff\xff").is_err());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LengthPrefixed {
    max: u32,
    adjustment: i32,
    strip: u16,
    offset: u8,
    width: u8,
    little_endian: bool,
}

/// Why a frame is refused.
///
/// ```
/// use netcore::codec::{Codec, FrameError, LengthPrefixed};
///
/// let mut codec = LengthPrefixed::new(10);
/// // Refused as soon as the length is known.
/// let too_long = FrameError::TooLong { len: 15, max: 14 };
/// assert_eq!(codec.decode(b"\0\0\0\x0b"), Err(too_long));
/// // A frame that the other side would refuse is not sent either.
/// assert_eq!(codec.encode(b"eleven char", &mut bytes::BytesMut::new()), Err(too_long));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FrameError {
    /// The whole frame would have more bytes than allowed.
    #[error("frame of {len} bytes exceeds the limit of {max}")]
    TooLong {
        /// Bytes of the whole frame, header included; saturates.
        len: u64,
        /// The limit in force.
        max: u32,
    },
    /// The declared length makes the frame end within its own header.
    #[error("declared length {declared} ends within the header")]
    TooShort {
        /// The value of the length field.
        declared: u64,
    },
    /// The frame to send has a length that the field cannot express.
    #[error("a frame of {len} bytes cannot be expressed by the length field")]
    Unrepresentable {
        /// Bytes of the whole frame.
        len: u64,
    },
}

/// Why a layout cannot be used.
///
/// ```
/// use netcore::codec::{InvalidLayout, LengthPrefixed};
///
/// let layout = LengthPrefixed::builder().width(5).build();
/// assert_eq!(layout, Err(InvalidLayout::Width(5)));
/// // A frame has at least a header.
/// let layout = LengthPrefixed::builder().offset(6).width(2).max(7).build();
/// assert_eq!(layout, Err(InvalidLayout::Max(7)));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidLayout {
    /// The length field must have 1, 2, 3, 4 or 8 bytes.
    #[error("a length field of {0} bytes is not supported")]
    Width(usize),
    /// The length field must start within the first 256 bytes.
    #[error("a length field {0} bytes into the frame is not supported")]
    Offset(usize),
    /// At most 65,535 bytes can be stripped.
    #[error("stripping {0} bytes is not supported")]
    Strip(usize),
    /// The maximum must have room for the header and fit into 32 bits.
    #[error("a maximum of {0} bytes is not supported")]
    Max(usize),
}

/// Collects the options of a [`LengthPrefixed`].
///
/// ```
/// use netcore::codec::{Codec, Decoded, LengthPrefixed, LengthPrefixedBuilder};
///
/// /// Four bytes of length that count the body alone, then four more of header; the handler gets all of it.
/// fn layout() -> LengthPrefixedBuilder {
///     LengthPrefixed::builder().width(4).big_endian().adjustment(4).strip(0)
/// }
/// let mut codec = layout().max(4096).build()?;
/// let frame = b"\0\0\0\x02\x03\xe9\0\x01hi";
/// assert!(matches!(codec.decode(frame)?, Decoded::Frame { frame: whole, .. } if whole == frame));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LengthPrefixedBuilder {
    offset: usize,
    width: usize,
    little_endian: bool,
    adjustment: i32,
    strip: Option<usize>,
    max: usize,
}

impl LengthPrefixed {
    /// Four bytes of big-endian length, counting what follows them, and payloads of up to `payload_max` bytes.
    ///
    /// ```
    /// use netcore::codec::{Codec, Decoded, LengthPrefixed};
    ///
    /// let mut bytes = bytes::BytesMut::new();
    /// LengthPrefixed::new(100).encode(b"hi", &mut bytes)?;
    /// assert_eq!(&bytes[..], b"\0\0\0\x02hi");
    /// let begun = LengthPrefixed::new(100).decode(&bytes[..5])?;
    /// assert!(matches!(begun, Decoded::Need { total } if total.get() == 6));
    /// # Ok::<_, netcore::codec::FrameError>(())
    /// ```
    #[must_use]
    pub fn new(payload_max: u32) -> Self {
        Self {
            max: payload_max.saturating_add(4),
            adjustment: 0,
            strip: 4,
            offset: 0,
            width: 4,
            little_endian: false,
        }
    }

    /// Starts from: offset 0, width 4, big-endian, adjustment 0, the header stripped, 1 MiB at most.
    #[must_use]
    pub const fn builder() -> LengthPrefixedBuilder {
        LengthPrefixedBuilder {
            offset: 0,
            width: 4,
            little_endian: false,
            adjustment: 0,
            strip: None,
            max: 1024 * 1024,
        }
    }

    /// Changes the limit of whole frames in bytes, header included, for frames not yet begun: a protocol that
    /// allows more after authentication raises it then.
    ///
    /// ```
    /// use netcore::codec::{Codec, LengthPrefixed};
    ///
    /// let mut codec = LengthPrefixed::new(16);
    /// assert!(codec.decode(b"\0\0\x10\0").is_err());
    /// // A client that has logged in may send more.
    /// codec.set_max(64 * 1024);
    /// assert!(codec.decode(b"\0\0\x10\0").is_ok());
    /// assert_eq!(codec.max(), 64 * 1024);
    /// ```
    pub const fn set_max(&mut self, max: u32) {
        self.max = max;
    }

    /// Largest whole frame in bytes, header included.
    #[must_use]
    pub const fn max(&self) -> u32 {
        self.max
    }

    const fn header(&self) -> usize {
        self.offset as usize + self.width as usize
    }

    #[inline]
    fn declared(&self, field: &[u8]) -> u64 {
        if let Ok(four) = <[u8; 4]>::try_from(field) {
            let declared = if self.little_endian {
                u32::from_le_bytes(four)
            } else {
                u32::from_be_bytes(four)
            };
            return u64::from(declared);
        }
        let push = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
        if self.little_endian {
            field.iter().rev().fold(0, push)
        } else {
            field.iter().fold(0, push)
        }
    }

    /// Bytes of the whole frame whose length field says `declared`.
    #[inline]
    fn total(&self, declared: u64) -> Result<usize, FrameError> {
        let moved = u64::from(self.adjustment.unsigned_abs());
        let body = if self.adjustment < 0 {
            declared.checked_sub(moved)
        } else {
            Some(declared.saturating_add(moved))
        };
        let total = body.map(|body| body.saturating_add(self.header() as u64));
        match total {
            Some(total) if total > u64::from(self.max) => Err(FrameError::TooLong {
                len: total,
                max: self.max,
            }),
            Some(total) if total >= u64::from(self.strip) => Ok(total as usize),
            _ => Err(FrameError::TooShort { declared }),
        }
    }

    fn write_declared(&self, declared: u64, field: &mut [u8]) {
        let bytes = declared.to_be_bytes();
        let start = bytes.len() - usize::from(self.width);
        field.copy_from_slice(&bytes[start..]);
        if self.little_endian {
            field.reverse();
        }
    }
}

impl Codec for LengthPrefixed {
    type In<'a> = &'a [u8];
    type Out = [u8];
    type Error = FrameError;

    #[inline]
    fn decode<'a>(&mut self, src: &'a [u8]) -> Result<Decoded<&'a [u8]>, FrameError> {
        let header = self.header();
        let Some(field) = src.get(usize::from(self.offset)..header) else {
            return Ok(Decoded::Need {
                total: at_least_one(header),
            });
        };
        let total = self.total(self.declared(field))?;
        match src.get(usize::from(self.strip)..total) {
            Some(frame) => Ok(Decoded::Frame {
                frame,
                used: at_least_one(total),
            }),
            None => Ok(Decoded::Need {
                total: at_least_one(total),
            }),
        }
    }

    fn frame_bytes_max(&self) -> Option<usize> {
        usize::try_from(self.max).ok()
    }

    #[inline]
    fn encode(&self, out: &[u8], dst: &mut BytesMut) -> Result<(), FrameError> {
        let total = out.len() + usize::from(self.strip);
        let len = total as u64;
        if len > u64::from(self.max) {
            return Err(FrameError::TooLong { len, max: self.max });
        }
        // Of lengths up to `max`, so nothing overflows. The receiver has the same rules, and nothing is sent that it
        // would refuse.
        let body = len as i64 - self.header() as i64;
        let declared = body - i64::from(self.adjustment);
        let largest = u64::MAX >> (64 - 8 * u32::from(self.width));
        if body < 0 || declared < 0 || declared as u64 > largest {
            return Err(FrameError::Unrepresentable { len });
        }
        let declared = declared as u64;
        dst.reserve(total);
        if self.offset == 0 && usize::from(self.strip) == self.header() {
            // The usual layout: nothing but the length is written before the payload.
            if self.width == 4 {
                let field = if self.little_endian {
                    (declared as u32).to_le_bytes()
                } else {
                    (declared as u32).to_be_bytes()
                };
                dst.extend_from_slice(&field);
                dst.extend_from_slice(out);
                return Ok(());
            }
            let mut field = declared.to_be_bytes();
            let field = &mut field[8 - usize::from(self.width)..];
            if self.little_endian {
                field.reverse();
            }
            dst.extend_from_slice(field);
            dst.extend_from_slice(out);
            return Ok(());
        }
        let start = dst.len();
        dst.resize(start + usize::from(self.strip), 0);
        dst.extend_from_slice(out);
        let field = start + usize::from(self.offset)..start + self.header();
        self.write_declared(declared, &mut dst[field]);
        Ok(())
    }
}

impl LengthPrefixedBuilder {
    /// Bytes of the frame before the length field.
    #[must_use]
    pub const fn offset(mut self, bytes: usize) -> Self {
        self.offset = bytes;
        self
    }

    /// Bytes of the length field: 1, 2, 3, 4 or 8.
    #[must_use]
    pub const fn width(mut self, bytes: usize) -> Self {
        self.width = bytes;
        self
    }

    /// The most significant byte of the length comes first. The default.
    #[must_use]
    pub const fn big_endian(mut self) -> Self {
        self.little_endian = false;
        self
    }

    /// The least significant byte of the length comes first.
    #[must_use]
    pub const fn little_endian(mut self) -> Self {
        self.little_endian = true;
        self
    }

    /// What to add to the length to get the number of bytes behind the length field: 4 if a header of 4 more
    /// bytes is not counted, minus the size of the header if the length counts the whole frame.
    #[must_use]
    pub const fn adjustment(mut self, bytes: i32) -> Self {
        self.adjustment = bytes;
        self
    }

    /// How many bytes to remove from the beginning of a decoded frame. Default: through the length field.
    #[must_use]
    pub const fn strip(mut self, bytes: usize) -> Self {
        self.strip = Some(bytes);
        self
    }

    /// Largest whole frame in bytes, header included.
    #[must_use]
    pub const fn max(mut self, bytes: usize) -> Self {
        self.max = bytes;
        self
    }

    /// Checks the options.
    ///
    /// # Errors
    /// The first option that cannot be used.
    pub fn build(self) -> Result<LengthPrefixed, InvalidLayout> {
        if !matches!(self.width, 1 | 2 | 3 | 4 | 8) {
            return Err(InvalidLayout::Width(self.width));
        }
        let offset = u8::try_from(self.offset).map_err(|_| InvalidLayout::Offset(self.offset))?;
        let header = self.offset + self.width;
        let strip = self.strip.unwrap_or(header);
        let strip = u16::try_from(strip).map_err(|_| InvalidLayout::Strip(strip))?;
        let max = u32::try_from(self.max).map_err(|_| InvalidLayout::Max(self.max))?;
        if self.max < header || max < u32::from(strip) {
            return Err(InvalidLayout::Max(self.max));
        }
        Ok(LengthPrefixed {
            max,
            adjustment: self.adjustment,
            strip,
            offset,
            width: self.width as u8,
            little_endian: self.little_endian,
        })
    }
}

fn at_least_one(bytes: usize) -> NonZeroUsize {
    NonZeroUsize::new(bytes).unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
#[path = "length_prefixed_tests.rs"]
mod tests;
