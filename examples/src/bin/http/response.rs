//! Owns what is answered, and how that is written. Must never repeat anything that the client sent.

use crate::request::Persistence;
use bytes::BytesMut;

/// The time of a response, as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) type Date = [u8; 29];

/// An answer: one of the pages, and what changes from one answer to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Response {
    pub(crate) page: &'static Page,
    pub(crate) date: Date,
    pub(crate) persistence: Persistence,
    /// The answer to `HEAD` ends where the body would begin.
    pub(crate) without_body: bool,
}

/// A status and a body, written in advance: head, date, connection, body.
#[derive(Debug)]
pub(crate) struct Page {
    head: &'static str,
    body: &'static str,
}

/// The page with this status line, length and body. That the length is right is tested.
macro_rules! page {
    ($status:literal, $length:literal, $body:literal $(, $header:literal)?) => {
        Page {
            head: concat!(
                "HTTP/1.1 ", $status, "\r\nContent-Type: text/plain\r\nContent-Length: ", $length,
                $("\r\n", $header,)? "\r\nDate: "
            ),
            body: $body,
        }
    };
}

pub(crate) static HELLO: Page = page!("200 OK", 13, "Hello, world!");
pub(crate) static MALFORMED: Page = page!("400 Bad Request", 12, "Bad request\n");
pub(crate) static NOT_FOUND: Page = page!("404 Not Found", 10, "Not found\n");
pub(crate) static NOT_ALLOWED: Page = page!(
    "405 Method Not Allowed",
    19,
    "Method not allowed\n",
    "Allow: GET, HEAD"
);
pub(crate) static TOO_SLOW: Page = page!("408 Request Timeout", 9, "Too slow\n");
pub(crate) static BODY_TOO_LARGE: Page = page!("413 Content Too Large", 15, "Body too large\n");
pub(crate) static HEAD_TOO_LARGE: Page = page!("431 Request Header Fields Too Large", 15, "Head too large\n");
pub(crate) static NO_TRANSFER_CODING: Page =
    page!("501 Not Implemented", 30, "No transfer coding is allowed\n");
pub(crate) static UNKNOWN_VERSION: Page = page!(
    "505 HTTP Version Not Supported",
    27,
    "Only HTTP/1.0 and HTTP/1.1\n"
);

/// Tells a client that it may send the body.
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Response {
    pub(crate) fn encode(&self, dst: &mut BytesMut) {
        let connection: &[u8] = match self.persistence {
            Persistence::Implied => b"\r\n\r\n",
            Persistence::Granted => b"\r\nConnection: keep-alive\r\n\r\n",
            Persistence::Close => b"\r\nConnection: close\r\n\r\n",
        };
        let body = if self.without_body { "" } else { self.page.body };
        dst.reserve(self.page.head.len() + self.date.len() + connection.len() + body.len());
        dst.extend_from_slice(self.page.head.as_bytes());
        dst.extend_from_slice(&self.date);
        dst.extend_from_slice(connection);
        dst.extend_from_slice(body.as_bytes());
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
