//! Owns how a stream is cut into whole requests. Must never hold memory for a connection between two requests.

use super::chunk::{self, SizeLine};
use super::head::Layout;
use super::scan::HeadScan;
use super::{BodyLength, CHUNK_FRAMING_BYTES_MAX, CONTINUE, Head, Refused, RequestLimits};
use crate::codec::{Beat, Codec, Decoded};
use bytes::{Bytes, BytesMut};
use std::num::NonZeroUsize;

/// A whole request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// Its head.
    pub head: Head,
    /// Its body, at most [`RequestLimits::body_bytes`]; trailers are dropped. Empty if there is none.
    pub body: Bytes,
}

/// Something received by [`Requests`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Incoming {
    /// A whole request.
    Request(Request),
    /// The client waits for [`CONTINUE`] before it sends the body. The library answers it (see [`Requests`]), and the
    /// handler never sees it.
    Expectation,
}

/// HTTP/1.0 and HTTP/1.1 requests in, each whole with its body; encoded responses out, see
/// [`Response`](super::Response).
///
/// One request is handed out at a time. Those that are pipelined behind it stay in the buffer of the connection: a
/// handler that answers later pauses reading until it has answered, and so answers in order. After an error of
/// [`decode`](Codec::decode) nothing more can be read; the error says with which status to answer, which a handler does
/// in [`on_closing`](crate::Handler::on_closing).
///
/// A request counts as partial from its first byte to the last of its body, so the deadline for partial frames
/// ([`Timeouts::frame`](crate::Timeouts)) ends a slow one. A body that the client holds back until it is told to go on
/// (`Expect: 100-continue`) counts anew: the head is classified as [`Beat::Ping`], and the pong that the library sends
/// is `100 Continue`. The client is not told to go on if its body is too large.
///
/// A connection without a partial request holds no memory but this value, of 24 bytes.
///
/// ```
/// use netcore::codec::{Codec, Decoded};
/// use netcore::http::{Incoming, RequestLimits, Requests};
///
/// let mut requests = Requests::new(RequestLimits::default());
/// let bytes = b"POST /v1/call/ping HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nGET";
/// let Decoded::Frame { frame: Incoming::Request(request), used } = requests.decode(bytes)? else {
///     panic!("the request is whole");
/// };
/// assert_eq!((request.head.path(), &request.body[..]), ("/v1/call/ping", &b"{}"[..]));
/// assert_eq!(&bytes[used.get()..], b"GET");
/// # Ok::<_, netcore::http::Refused>(())
/// ```
#[derive(Debug)]
pub struct Requests {
    limits: RequestLimits,
    scan: HeadScan,
    /// The request whose body is coming.
    partial: Option<Box<Partial>>,
}

const _: () = assert!(size_of::<Requests>() <= 24);

/// A request whose head was read.
#[derive(Debug)]
struct Partial {
    head: Head,
    /// Where the body begins in the bytes shown, which still begin with the head unless that was consumed.
    body_at: usize,
    body: Body,
}

/// What is known of a body of which not all has come.
#[derive(Clone, Copy, Debug)]
enum Body {
    /// It has this many bytes.
    Bytes(usize),
    /// `data` bytes are in the chunks before the one that begins at `at`.
    Chunks { at: usize, data: usize },
}

/// A body that has come.
#[derive(Clone, Copy, Debug)]
struct Whole {
    /// The end of the body, with all that belongs to it.
    end: usize,
    /// Bytes of data in it.
    data: usize,
}

impl Requests {
    /// Requests within these limits.
    #[must_use]
    pub const fn new(limits: RequestLimits) -> Self {
        Self {
            limits,
            scan: HeadScan::new(),
            partial: None,
        }
    }

    /// Whether some of a request has come and not all: its client waits for an answer.
    ///
    /// ```
    /// use netcore::codec::Codec;
    /// use netcore::http::{RequestLimits, Requests};
    ///
    /// let mut requests = Requests::new(RequestLimits::default());
    /// assert!(!requests.is_partial());
    /// requests.decode(b"GET / HT")?;
    /// assert!(requests.is_partial());
    /// requests.decode(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
    /// assert!(!requests.is_partial());
    /// # Ok::<_, netcore::http::Refused>(())
    /// ```
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        self.scan.has_begun() || self.partial.is_some()
    }

    /// Decodes a head, and all of the request if its body has come with it.
    fn head(&mut self, src: &[u8]) -> Result<Decoded<Incoming>, Refused> {
        let Some(end) = self.scan.end(src, &self.limits)? else {
            return Ok(need(src.len() + 1));
        };
        let all = src.get(..end).unwrap_or_default();
        let head = all.strip_prefix(b"\r\n").unwrap_or(all);
        let layout = Layout::parse(head, &self.limits)?;
        let mut body = match layout.body() {
            BodyLength::None => Body::Bytes(0),
            BodyLength::Bytes(length) => Body::Bytes(
                usize::try_from(length)
                    .ok()
                    .filter(|length| *length <= self.limits.body_bytes as usize)
                    .ok_or(Refused::BodyTooLarge)?,
            ),
            BodyLength::Chunked => Body::Chunks { at: end, data: 0 },
        };
        if let Some(whole) = body.advance(src, end, &self.limits)? {
            let request = Request {
                head: Head::new(Bytes::copy_from_slice(head), layout),
                body: body.collect(src, end, whole),
            };
            return Ok(frame(Incoming::Request(request), whole.end));
        }
        let missing = body.missing(src, end);
        let head = Head::new(Bytes::copy_from_slice(head), layout);
        let (body_at, body) = if layout.expects_continue {
            (0, body.moved(end))
        } else {
            (end, body)
        };
        self.partial = Some(Box::new(Partial { head, body_at, body }));
        if layout.expects_continue {
            return Ok(frame(Incoming::Expectation, end));
        }
        Ok(need(missing))
    }

    /// Goes on with the body of a request whose head was read.
    fn body(&mut self, mut partial: Box<Partial>, src: &[u8]) -> Result<Decoded<Incoming>, Refused> {
        let Some(whole) = partial.body.advance(src, partial.body_at, &self.limits)? else {
            let missing = partial.body.missing(src, partial.body_at);
            self.partial = Some(partial);
            return Ok(need(missing));
        };
        let request = Request {
            head: partial.head,
            body: partial.body.collect(src, partial.body_at, whole),
        };
        Ok(frame(Incoming::Request(request), whole.end))
    }
}

impl Body {
    /// Looks at what has come; the end, if all has.
    fn advance(
        &mut self,
        src: &[u8],
        body_at: usize,
        limits: &RequestLimits,
    ) -> Result<Option<Whole>, Refused> {
        match self {
            Self::Bytes(length) => {
                let whole = Whole {
                    end: body_at + *length,
                    data: *length,
                };
                Ok((src.len() >= whole.end).then_some(whole))
            }
            Self::Chunks { at, data } => loop {
                let rest = src.get(*at..).unwrap_or_default();
                let Some(SizeLine { size, bytes }) = chunk::size_line(rest)? else {
                    return Ok(None);
                };
                let size = usize::try_from(size).map_err(|_| Refused::BodyTooLarge)?;
                if size > (limits.body_bytes as usize).saturating_sub(*data) {
                    return Err(Refused::BodyTooLarge);
                }
                let behind = rest.get(bytes..).unwrap_or_default();
                if size == 0 {
                    let Some(trailers) = chunk::trailers(behind)? else {
                        return Ok(None);
                    };
                    return Ok(Some(Whole {
                        end: *at + bytes + trailers,
                        data: *data,
                    }));
                }
                let Some(end) = chunk::data_end(behind.get(size..).unwrap_or_default())? else {
                    return Ok(None);
                };
                *at += bytes + size + end;
                *data += size;
                // A body of tiny chunks would need far more memory than its limit says.
                if *at - body_at - *data > CHUNK_FRAMING_BYTES_MAX + 2 * *data {
                    return Err(Refused::Chunk);
                }
            },
        }
    }

    /// How many bytes from the beginning of `src` are needed to go on, as far as that is known.
    fn missing(self, src: &[u8], body_at: usize) -> usize {
        let one_more = src.len() + 1;
        match self {
            Self::Bytes(length) => body_at + length,
            Self::Chunks { at, .. } => {
                let line = src.get(at..).map(chunk::size_line);
                match line {
                    // The size is within the limit, or the body would have been refused.
                    Some(Ok(Some(SizeLine { size, bytes }))) => {
                        (at + bytes + size as usize + 2).max(one_more)
                    }
                    _ => one_more,
                }
            }
        }
    }

    /// The data of a whole body that began at `body_at`.
    fn collect(self, src: &[u8], body_at: usize, whole: Whole) -> Bytes {
        match self {
            Self::Bytes(_) => Bytes::copy_from_slice(src.get(body_at..whole.end).unwrap_or_default()),
            Self::Chunks { .. } => {
                let mut collected = Vec::with_capacity(whole.data);
                let mut at = body_at;
                // The chunks were checked one after the other.
                while let Ok(Some(SizeLine { size, bytes })) =
                    chunk::size_line(src.get(at..).unwrap_or_default())
                    && size > 0
                {
                    let data = at + bytes..at + bytes + size as usize;
                    at = data.end + 2;
                    collected.extend_from_slice(src.get(data).unwrap_or_default());
                }
                collected.into()
            }
        }
    }

    /// The same body when the `bytes` before it are gone.
    const fn moved(self, bytes: usize) -> Self {
        match self {
            Self::Bytes(length) => Self::Bytes(length),
            Self::Chunks { at, data } => Self::Chunks { at: at - bytes, data },
        }
    }
}

impl Codec for Requests {
    type In<'a> = Incoming;
    type Out = [u8];
    type Error = Refused;

    fn decode(&mut self, src: &[u8]) -> Result<Decoded<Incoming>, Refused> {
        match self.partial.take() {
            None => self.head(src),
            Some(partial) => self.body(partial, src),
        }
    }

    /// Appends a response, or a part of one, that was encoded before.
    fn encode(&self, response: &[u8], dst: &mut BytesMut) -> Result<(), Refused> {
        dst.extend_from_slice(response);
        Ok(())
    }

    fn beat(&self, frame: &Incoming) -> Beat {
        match frame {
            Incoming::Request(_) => Beat::Data,
            Incoming::Expectation => Beat::Ping,
        }
    }

    /// Tells a client to go on that waits before its body. HTTP has no ping, so nothing is sent for one.
    fn encode_beat(&self, _beat: Beat, answer_to: Option<&Incoming>, dst: &mut BytesMut) {
        if answer_to.is_some() {
            dst.extend_from_slice(CONTINUE);
        }
    }
}

pub(super) fn frame<F>(frame: F, used: usize) -> Decoded<F> {
    Decoded::Frame {
        frame,
        used: NonZeroUsize::new(used).unwrap_or(NonZeroUsize::MIN),
    }
}

pub(super) fn need<F>(total: usize) -> Decoded<F> {
    Decoded::Need {
        total: NonZeroUsize::new(total).unwrap_or(NonZeroUsize::MIN),
    }
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
