//! Owns why a request is refused, and the status that says so. Must never repeat anything that the client sent.

use super::{Body, Date, Persistence, Response, Status};
use bytes::Bytes;

/// Why a request is refused. It is to be answered with [`status`](Self::status), and the connection then closed: nobody
/// can say where the next request would begin.
///
/// ```
/// use netcore::codec::Codec;
/// use netcore::http::{Refused, RequestLimits, Requests, Status};
///
/// let mut requests = Requests::new(RequestLimits::default());
/// let refused = requests.decode(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap_err();
/// assert_eq!(refused, Refused::Version);
/// assert_eq!(refused.status(), Status::VERSION_NOT_SUPPORTED);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Refused {
    /// The first line or a header is not what RFC 9112 allows.
    #[error("the head of the request is malformed")]
    Malformed,
    /// A line does not end with CR LF, or a CR or NUL stands within one.
    #[error("a line of the head holds a bare CR, a bare LF or a NUL")]
    LineEnd,
    /// An HTTP/1.1 request has no `Host`, several, or one that is no host; or its target names another one.
    #[error("the request does not name exactly one host")]
    Host,
    /// The target has no form that a server is asked in.
    #[error("the target of the request has no form that a server is asked in")]
    Target,
    /// The length of the body is stated twice, or not as a number.
    #[error("the length of the body is ambiguous")]
    Length,
    /// The body has a transfer coding in HTTP/1.0, or one beside a length, or `chunked` is not the last coding.
    #[error("the transfer coding of the body is ambiguous")]
    TransferCoding,
    /// A chunk of the body is malformed, or the chunks hold too little for what surrounds them.
    #[error("the chunks of the body are malformed")]
    Chunk,
    /// The body has more bytes than [`RequestLimits::body_bytes`](super::RequestLimits::body_bytes).
    #[error("the body is too large")]
    BodyTooLarge,
    /// The target has more bytes than [`RequestLimits::target_bytes`](super::RequestLimits::target_bytes).
    #[error("the target is too long")]
    TargetTooLong,
    /// The client expects something else than `100-continue`.
    #[error("the client expects what is not known")]
    Expectation,
    /// The head has more bytes or headers than [`RequestLimits`](super::RequestLimits) allows.
    #[error("the head is too large")]
    HeadTooLarge,
    /// The method is longer than any method that exists, or it is `CONNECT`.
    #[error("the method is not implemented")]
    Method,
    /// The body comes in a transfer coding other than `chunked`.
    #[error("the transfer coding is not implemented")]
    UnknownCoding,
    /// The version is neither HTTP/1.0 nor HTTP/1.1.
    #[error("the version is neither HTTP/1.0 nor HTTP/1.1")]
    Version,
}

impl Refused {
    /// The status to answer with.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::Malformed
            | Self::LineEnd
            | Self::Host
            | Self::Target
            | Self::Length
            | Self::TransferCoding
            | Self::Chunk => Status::BAD_REQUEST,
            Self::BodyTooLarge => Status::CONTENT_TOO_LARGE,
            Self::TargetTooLong => Status::URI_TOO_LONG,
            Self::Expectation => Status::EXPECTATION_FAILED,
            Self::HeadTooLarge => Status::HEADER_FIELDS_TOO_LARGE,
            Self::Method | Self::UnknownCoding => Status::NOT_IMPLEMENTED,
            Self::Version => Status::VERSION_NOT_SUPPORTED,
        }
    }

    /// A short answer in plain text, behind which the connection is to be closed.
    ///
    /// ```
    /// use netcore::http::Refused;
    ///
    /// let answer = Refused::TargetTooLong.response(None);
    /// assert!(answer.starts_with(b"HTTP/1.1 414 URI Too Long\r\nConnection: close\r\n"));
    /// assert!(answer.ends_with(b"\r\n\r\nthe target is too long\n"));
    /// ```
    #[must_use]
    pub fn response(self, date: Option<Date>) -> Bytes {
        plain(self.status(), date, &[], &format!("{self}\n"))
    }
}

/// A response in plain text that ends the connection.
pub(crate) fn plain(status: Status, date: Option<Date>, headers: &[(&str, &str)], text: &str) -> Bytes {
    let headers = [&[("Content-Type", "text/plain; charset=utf-8")], headers].concat();
    let response = Response {
        status,
        date,
        persistence: Persistence::Close,
        headers: &headers,
        body: Body::Full(text.as_bytes()),
    };
    // The headers are constants.
    response.to_bytes().unwrap_or_default()
}
