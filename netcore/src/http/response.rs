//! Owns how a response is written. Must never write a header that would end before its value does.

use super::{Date, Persistence, Status};
use bytes::{BufMut, Bytes, BytesMut};

/// Tells a client that it may send the body that it holds back, see [`Head::expects_continue`](super::Head).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The body of a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Body<'a> {
    /// These bytes; with a `Content-Length`.
    Full(&'a [u8]),
    /// None, where one of this many bytes would be: the answer to `HEAD`. With a `Content-Length`.
    Omitted(u64),
    /// This many bytes, which the caller sends behind the head. With a `Content-Length`.
    Follows(u64),
    /// Chunks, which the caller writes with [`Chunks`] behind the head. With `Transfer-Encoding: chunked`.
    Chunked,
    /// What the caller sends behind the head until the connection ends: for a client of HTTP/1.0, which knows no chunks.
    /// With `Connection: close`, whatever `persistence` says.
    UntilClose,
}

/// A response, encoded in one allocation.
///
/// Whatever the body is, none is written, nor declared, for a status that never has one (1xx, 204, 304).
///
/// ```
/// use netcore::http::{Body, Date, Persistence, Response, Status};
/// use std::time::{Duration, UNIX_EPOCH};
///
/// let response = Response {
///     status: Status::OK,
///     date: Some(Date::new(UNIX_EPOCH + Duration::from_secs(784_111_777))),
///     persistence: Persistence::Implied,
///     headers: &[("Content-Type", "application/json")],
///     body: Body::Full(b"{}"),
/// };
/// assert_eq!(
///     response.to_bytes()?,
///     "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/json\r\n\
///      Content-Length: 2\r\n\r\n{}"
/// );
/// # Ok::<_, netcore::http::InvalidHeader>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The status.
    pub status: Status,
    /// When the response was made; a server with a clock always says so.
    pub date: Option<Date>,
    /// What becomes of the connection: what [`Head::persistence`](super::Head::persistence) says, or
    /// [`Persistence::Close`]. Nothing is said beside a status of 1xx.
    pub persistence: Persistence,
    /// Further headers. `Content-Length` and `Transfer-Encoding` are written from the body, and refused here; `Connection`
    /// and `Date` are written from the other fields, and only a 101 or 426 adds `Connection: Upgrade` here.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: Body<'a>,
}

/// A header cannot be written: its name is no token or states how long the body is, or its value holds a control
/// character, with which it could end and another one begin. Nothing was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("header {index} has a name or a value that is not allowed")]
pub struct InvalidHeader {
    /// The position among the headers of the response.
    pub index: usize,
}

impl Response<'_> {
    /// Appends the response to `dst`, which grows at most once.
    ///
    /// # Errors
    /// A header cannot be written; `dst` is as it was.
    pub fn encode(&self, dst: &mut BytesMut) -> Result<(), InvalidHeader> {
        check(self.headers.iter())?;
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum();
        let body = match self.body {
            Body::Full(body) if !self.status.is_bodiless() => body,
            Body::Full(_) | Body::Omitted(_) | Body::Follows(_) | Body::Chunked | Body::UntilClose => &[],
        };
        dst.reserve(FIXED_BYTES_MAX + headers + body.len());
        dst.put_slice(b"HTTP/1.1 ");
        dst.put_slice(&self.status.digits());
        dst.put_u8(b' ');
        dst.put_slice(self.status.reason().as_bytes());
        dst.put_slice(b"\r\n");
        if let Some(date) = &self.date {
            put_header(dst, "Date", date.as_str());
        }
        let interim = self.status.code() < 200;
        let persistence = match self.body {
            Body::UntilClose => Persistence::Close,
            Body::Full(_) | Body::Omitted(_) | Body::Follows(_) | Body::Chunked => self.persistence,
        };
        match persistence {
            Persistence::Granted if !interim => put_header(dst, "Connection", "keep-alive"),
            Persistence::Close if !interim => put_header(dst, "Connection", "close"),
            Persistence::Implied | Persistence::Granted | Persistence::Close => {}
        }
        for (name, value) in self.headers {
            put_header(dst, name, value);
        }
        match self.body {
            _ if self.status.is_bodiless() => {}
            Body::Full(body) => put_length(dst, body.len() as u64),
            Body::Omitted(length) | Body::Follows(length) => put_length(dst, length),
            Body::Chunked => put_header(dst, "Transfer-Encoding", "chunked"),
            Body::UntilClose => {}
        }
        dst.put_slice(b"\r\n");
        dst.put_slice(body);
        Ok(())
    }

    /// The response as bytes.
    ///
    /// # Errors
    /// A header cannot be written.
    pub fn to_bytes(&self) -> Result<Bytes, InvalidHeader> {
        let mut dst = BytesMut::new();
        self.encode(&mut dst)?;
        Ok(dst.freeze())
    }
}

/// Bytes of everything but the headers of the caller and the body: the longest status line, a date, the persistence, the
/// longest length, the empty line.
const FIXED_BYTES_MAX: usize = 9 + 4 + 31 + 2 + (6 + Date::BYTES + 2) + 24 + (16 + 20 + 2) + 2;

fn put_header(dst: &mut BytesMut, name: &str, value: &str) {
    dst.put_slice(name.as_bytes());
    dst.put_slice(b": ");
    dst.put_slice(value.as_bytes());
    dst.put_slice(b"\r\n");
}

fn put_length(dst: &mut BytesMut, length: u64) {
    dst.put_slice(b"Content-Length: ");
    put_number(dst, length, 10);
    dst.put_slice(b"\r\n");
}

/// Appends digits, of base 10 or 16.
fn put_number(dst: &mut BytesMut, mut number: u64, base: u64) {
    let mut digits = [b'0'; 20];
    let mut from = digits.len();
    for digit in digits.iter_mut().rev() {
        let value = (number % base) as u8;
        *digit = if value < 10 {
            b'0' + value
        } else {
            b'a' + value - 10
        };
        number /= base;
        from -= 1;
        if number == 0 {
            break;
        }
    }
    dst.put_slice(digits.get(from..).unwrap_or_default());
}

fn check<'a>(mut headers: impl Iterator<Item = &'a (&'a str, &'a str)>) -> Result<(), InvalidHeader> {
    let valid = |(name, value): &(&str, &str)| is_name(name) && is_value(value);
    headers
        .position(|header| !valid(header))
        .map_or(Ok(()), |index| Err(InvalidHeader { index }))
}

fn is_name(name: &str) -> bool {
    let framing = ["content-length", "transfer-encoding"];
    !name.is_empty()
        && name.bytes().all(super::field::is_token_byte)
        && !framing.iter().any(|other| name.eq_ignore_ascii_case(other))
}

fn is_value(value: &str) -> bool {
    value
        .bytes()
        .all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}

/// Writes the chunks of a body whose length is not known when it begins, behind a response with [`Body::Chunked`].
///
/// ```
/// use bytes::BytesMut;
/// use netcore::http::Chunks;
///
/// let mut dst = BytesMut::new();
/// Chunks::put(b"hello", &mut dst);
/// Chunks::put_last(&mut dst);
/// assert_eq!(&dst[..], b"5\r\nhello\r\n0\r\n\r\n");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Chunks;

impl Chunks {
    /// Appends a chunk. Nothing is written for no data: an empty chunk would end the body.
    pub fn put(data: &[u8], dst: &mut BytesMut) {
        if data.is_empty() {
            return;
        }
        dst.reserve(data.len() + 20);
        put_number(dst, data.len() as u64, 16);
        dst.put_slice(b"\r\n");
        dst.put_slice(data);
        dst.put_slice(b"\r\n");
    }

    /// Ends the body.
    pub fn put_last(dst: &mut BytesMut) {
        dst.put_slice(b"0\r\n\r\n");
    }
}

/// A request for `target` without a body; the position in an error counts from these headers.
pub(crate) fn get<'a>(
    target: &str,
    headers: impl Iterator<Item = &'a (&'a str, &'a str)> + Clone,
) -> Result<Bytes, InvalidHeader> {
    check(headers.clone())?;
    if !target.starts_with('/') || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(InvalidHeader { index: 0 });
    }
    let mut dst = BytesMut::with_capacity(512);
    dst.put_slice(b"GET ");
    dst.put_slice(target.as_bytes());
    dst.put_slice(b" HTTP/1.1\r\n");
    for (name, value) in headers {
        put_header(&mut dst, name, value);
    }
    dst.put_slice(b"\r\n");
    Ok(dst.freeze())
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
