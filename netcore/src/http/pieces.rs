//! Owns how a stream is cut into requests whose bodies are handed out as they come. Must never keep a byte of a body.

use super::chunk::{self, SizeLine};
use super::head::Layout;
use super::requests::{frame, need};
use super::scan::HeadScan;
use super::{BodyLength, Head, Refused, RequestLimits};
use crate::codec::{Codec, Decoded};
use bytes::{Bytes, BytesMut};

/// A part of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Piece {
    /// The head. A body follows unless [`Head::body_length`] is [`BodyLength::None`]. If
    /// [`Head::expects_continue`], the client waits for [`CONTINUE`](super::CONTINUE).
    Head(Head),
    /// The next bytes of the body.
    Body {
        /// The bytes. Empty only if this is the end of chunks.
        data: Bytes,
        /// The body ends here.
        last: bool,
    },
}

/// HTTP/1.0 and HTTP/1.1 requests in, in pieces: for bodies that are too large to be held. As [`Requests`] otherwise.
///
/// [`RequestLimits::body_bytes`] is not used: a handler counts what it takes, and sees a declared length in the head. A
/// piece ends the partial frame of its connection, so a handler that wants a body to come within some time sets a timer.
///
/// [`Requests`]: super::Requests
///
/// ```
/// use netcore::codec::{Codec, Decoded};
/// use netcore::http::{Piece, Pieces, RequestLimits};
///
/// let mut pieces = Pieces::new(RequestLimits::default());
/// let mut received = &b"PUT /v1/blobs HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"[..];
/// let mut body = Vec::new();
/// while let Decoded::Frame { frame, used } = pieces.decode(received)? {
///     received = &received[used.get()..];
///     match frame {
///         Piece::Head(head) => assert_eq!(head.path(), "/v1/blobs"),
///         Piece::Body { data, last } => {
///             body.extend_from_slice(&data);
///             if last {
///                 break;
///             }
///         }
///     }
/// }
/// assert_eq!(body, b"hello");
/// # Ok::<_, netcore::http::Refused>(())
/// ```
#[derive(Debug)]
pub struct Pieces {
    limits: RequestLimits,
    scan: HeadScan,
    next: Next,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Next {
    Head,
    /// So many bytes of a body whose length was stated.
    Bytes(u64),
    /// The line that begins a chunk.
    SizeLine,
    /// So many bytes of a chunk, at least one.
    Chunk(u64),
    /// The line end behind the data of a chunk.
    ChunkEnd,
    /// What follows the line of the last chunk.
    Trailers,
}

impl Pieces {
    /// Requests within these limits.
    #[must_use]
    pub const fn new(limits: RequestLimits) -> Self {
        Self {
            limits,
            scan: HeadScan::new(),
            next: Next::Head,
        }
    }

    fn head(&mut self, src: &[u8]) -> Result<Decoded<Piece>, Refused> {
        let Some(end) = self.scan.end(src, &self.limits)? else {
            return Ok(need(src.len() + 1));
        };
        let all = src.get(..end).unwrap_or_default();
        let head = all.strip_prefix(b"\r\n").unwrap_or(all);
        let layout = Layout::parse(head, &self.limits)?;
        self.next = match layout.body() {
            BodyLength::None => Next::Head,
            BodyLength::Bytes(length) => Next::Bytes(length),
            BodyLength::Chunked => Next::SizeLine,
        };
        Ok(frame(
            Piece::Head(Head::new(Bytes::copy_from_slice(head), layout)),
            end,
        ))
    }

    /// Takes data of a chunk, with the lines before it.
    fn chunks(&mut self, src: &[u8]) -> Result<Decoded<Piece>, Refused> {
        // What is not consumed is shown again.
        let begun = self.next;
        let mut at = 0;
        loop {
            let rest = src.get(at..).unwrap_or_default();
            match self.next {
                Next::SizeLine => {
                    let Some(SizeLine { size, bytes }) = chunk::size_line(rest)? else {
                        break;
                    };
                    at += bytes;
                    self.next = if size == 0 {
                        Next::Trailers
                    } else {
                        Next::Chunk(size)
                    };
                }
                Next::Head | Next::Bytes(_) => break,
                Next::Chunk(_) if rest.is_empty() => break,
                Next::Chunk(left) => {
                    let data = prefix(rest, left);
                    let left = left - data.len() as u64;
                    self.next = if left == 0 {
                        Next::ChunkEnd
                    } else {
                        Next::Chunk(left)
                    };
                    let data = Bytes::copy_from_slice(data);
                    let used = at + data.len();
                    return Ok(frame(Piece::Body { data, last: false }, used));
                }
                Next::ChunkEnd => match chunk::data_end(rest)? {
                    None => break,
                    Some(bytes) => {
                        at += bytes;
                        self.next = Next::SizeLine;
                    }
                },
                Next::Trailers => {
                    let Some(bytes) = chunk::trailers(rest)? else {
                        break;
                    };
                    self.next = Next::Head;
                    let data = Bytes::new();
                    return Ok(frame(Piece::Body { data, last: true }, at + bytes));
                }
            }
        }
        self.next = begun;
        Ok(need(src.len() + 1))
    }
}

impl Codec for Pieces {
    type In<'a> = Piece;
    type Out = [u8];
    type Error = Refused;

    fn decode(&mut self, src: &[u8]) -> Result<Decoded<Piece>, Refused> {
        match self.next {
            Next::Head => self.head(src),
            Next::Bytes(left) => {
                let data = Bytes::copy_from_slice(prefix(src, left));
                let (used, left) = (data.len(), left - data.len() as u64);
                let last = left == 0;
                self.next = if last { Next::Head } else { Next::Bytes(left) };
                Ok(frame(Piece::Body { data, last }, used))
            }
            Next::SizeLine | Next::Chunk(_) | Next::ChunkEnd | Next::Trailers => self.chunks(src),
        }
    }

    /// Appends a response, or a part of one, that was encoded before.
    fn encode(&self, response: &[u8], dst: &mut BytesMut) -> Result<(), Refused> {
        dst.extend_from_slice(response);
        Ok(())
    }
}

fn prefix(src: &[u8], bytes_max: u64) -> &[u8] {
    let bytes = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    src.get(..bytes).unwrap_or(src)
}

#[cfg(test)]
#[path = "pieces_tests.rs"]
mod tests;
