//! Owns the framing "everything up to a delimiter", lines being the usual case. Must never look twice at the same byte,
//! and never wait for the end of a line that is too long already.

use super::{Codec, Decoded};
use bytes::BytesMut;
use std::num::NonZeroUsize;

/// Frames that end with a delimiter: a line feed, or any other sequence of bytes. The frame is the part before the
/// delimiter.
///
/// ```
/// use netcore::codec::{Codec, Decoded, Delimited};
///
/// let mut lines = Delimited::lines(1024);
/// let Decoded::Frame { frame, used } = lines.decode(b"PING\r\nPI")? else {
///     panic!("there is a whole line");
/// };
/// assert_eq!((frame, used.get()), (&b"PING"[..], 6));
/// # Ok::<_, netcore::codec::DelimiterError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Delimited {
    delimiter: &'static [u8],
    /// A carriage return before the delimiter is part of it.
    strip_return: bool,
    max: u32,
    /// How many bytes from the beginning of the frame hold no delimiter.
    seen: u32,
}

/// Why a frame is refused.
///
/// ```
/// use bytes::BytesMut;
/// use netcore::codec::{Codec, Delimited, DelimiterError};
///
/// let mut lines = Delimited::lines(4);
/// assert_eq!(lines.decode(b"endless"), Err(DelimiterError::TooLong { max: 4 }));
/// // Two lines instead of one could inject a command.
/// let two = Delimited::lines(100).encode(b"hello\nQUIT", &mut BytesMut::new());
/// assert_eq!(two, Err(DelimiterError::ContainsDelimiter));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DelimiterError {
    /// There is no delimiter within this many bytes.
    #[error("no end of a frame within {max} bytes")]
    TooLong {
        /// The limit in force, in bytes without the delimiter.
        max: u32,
    },
    /// The frame to send contains the delimiter, and would arrive as several.
    #[error("a frame to send contains the delimiter")]
    ContainsDelimiter,
}

impl Delimited {
    /// Lines of up to `max` bytes, without their ends: `\n`, or `\r\n`. What is sent ends with `\r\n`, as the text
    /// protocols of the internet have it.
    #[must_use]
    pub const fn lines(max: u32) -> Self {
        Self {
            delimiter: b"\n",
            strip_return: true,
            max,
            seen: 0,
        }
    }

    /// Frames of up to `max` bytes, without the delimiter that ends them. An empty delimiter counts as a zero byte.
    ///
    /// ```
    /// use netcore::codec::{Codec, Decoded, Delimited};
    ///
    /// let mut records = Delimited::by(b"\0", 16);
    /// assert!(matches!(records.decode(b"a record\0and")?, Decoded::Frame { frame: b"a record", .. }));
    /// // From now on longer ones are accepted.
    /// records.set_max(1024);
    /// assert!(matches!(records.decode(b"and one of more than sixteen")?, Decoded::Need { .. }));
    /// # Ok::<_, netcore::codec::DelimiterError>(())
    /// ```
    #[must_use]
    pub const fn by(delimiter: &'static [u8], max: u32) -> Self {
        Self {
            delimiter: if delimiter.is_empty() { b"\0" } else { delimiter },
            strip_return: false,
            max,
            seen: 0,
        }
    }

    /// Changes the longest frame in bytes, for frames not yet begun.
    pub const fn set_max(&mut self, max: u32) {
        self.max = max;
    }

    /// The longest a frame can be together with what ends it.
    const fn longest(&self) -> usize {
        (self.max as usize).saturating_add(self.delimiter.len() + self.strip_return as usize)
    }
}

/// Where `needle`, which is not empty, begins in `haystack`.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    match needle {
        [byte] => haystack.iter().position(|other| other == byte),
        _ => haystack.windows(needle.len()).position(|window| window == needle),
    }
}

impl Codec for Delimited {
    type In<'a> = &'a [u8];
    type Out = [u8];
    type Error = DelimiterError;

    fn decode<'a>(&mut self, src: &'a [u8]) -> Result<Decoded<&'a [u8]>, DelimiterError> {
        let too_long = DelimiterError::TooLong { max: self.max };
        let window = src.get(..self.longest()).unwrap_or(src);
        // A delimiter can begin among the bytes seen, but end behind them.
        let from = (self.seen as usize).min(window.len());
        let Some(at) = find(window.get(from..).unwrap_or_default(), self.delimiter) else {
            if window.len() >= self.longest() {
                return Err(too_long);
            }
            self.seen = (window.len() + 1).saturating_sub(self.delimiter.len()) as u32;
            return Ok(Decoded::Need {
                total: NonZeroUsize::MIN.saturating_add(src.len()),
            });
        };
        self.seen = 0;
        let mut frame = window.get(..from + at).unwrap_or_default();
        let used = frame.len() + self.delimiter.len();
        if self.strip_return {
            frame = frame.strip_suffix(b"\r").unwrap_or(frame);
        }
        if frame.len() > self.max as usize {
            return Err(too_long);
        }
        Ok(Decoded::Frame {
            frame,
            used: NonZeroUsize::new(used).unwrap_or(NonZeroUsize::MIN),
        })
    }

    fn frame_bytes_max(&self) -> Option<usize> {
        Some(self.longest())
    }

    fn encode(&self, out: &[u8], dst: &mut BytesMut) -> Result<(), DelimiterError> {
        if out.len() > self.max as usize {
            return Err(DelimiterError::TooLong { max: self.max });
        }
        let start = dst.len();
        dst.reserve(out.len() + self.delimiter.len() + 1);
        dst.extend_from_slice(out);
        if self.strip_return {
            dst.extend_from_slice(b"\r");
        }
        let end = dst.len() - start;
        dst.extend_from_slice(self.delimiter);
        // The end of the frame and the beginning of the delimiter can look like a delimiter, too.
        if find(dst.get(start..).unwrap_or_default(), self.delimiter) != Some(end) {
            dst.truncate(start);
            return Err(DelimiterError::ContainsDelimiter);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
