//! The handshake: an HTTP request that becomes a WebSocket.

use crate::http::{Body, Date, Head, InvalidHeader, Persistence, Response, Status, Version, field};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// What a client that asks for a WebSocket gets.
///
/// ```
/// use netcore::codec::{Codec, Decoded};
/// use netcore::http::{Incoming, RequestLimits, Requests};
/// use netcore::websocket::handshake;
///
/// # let bytes = b"GET /v1/socket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
/// #     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
/// #     Sec-WebSocket-Protocol: chat.v2, chat.v1\r\n\r\n";
/// # let mut requests = Requests::new(RequestLimits::default());
/// # let Decoded::Frame { frame: Incoming::Request(request), .. } = requests.decode(bytes)? else {
/// #     panic!("the request is whole");
/// # };
/// // `request` is that of a browser, to which both versions of the subprotocol are fine.
/// let accepted = handshake::check(&request.head, &["chat.v1"]).map_err(|refused| refused.status());
/// let response = accepted.unwrap().response(None);
/// assert!(response.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
/// assert!(response.ends_with(
///     b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat.v1\r\n\r\n"
/// ));
/// # Ok::<_, netcore::http::Refused>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Accepted<'a> {
    accept: [u8; ACCEPT_BYTES],
    /// The subprotocol, of those that the server offers.
    pub protocol: Option<&'a str>,
}

/// Why a request does not become a WebSocket. The connection may go on as HTTP.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Refused {
    /// The method is not `GET`.
    #[error("the method of a handshake is GET")]
    Method,
    /// The version is HTTP/1.0, there is a body, or `Upgrade` and `Connection` do not ask for a WebSocket.
    #[error("the request does not ask for a WebSocket")]
    NotAsked,
    /// The version of the protocol is not 13.
    #[error("the version of the protocol is not 13")]
    Version,
    /// `Sec-WebSocket-Key` is not one value of 16 bytes in base64.
    #[error("the key is not 16 bytes in base64")]
    Key,
}

impl Refused {
    /// The status to answer with. An answer with 426 is to have the headers `Upgrade: websocket`, `Connection: Upgrade`
    /// and `Sec-WebSocket-Version: 13`, see [`UPGRADE_HEADERS`].
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::Method => Status::METHOD_NOT_ALLOWED,
            Self::NotAsked | Self::Version => Status::UPGRADE_REQUIRED,
            Self::Key => Status::BAD_REQUEST,
        }
    }

    /// A short answer in plain text, behind which the connection is to be closed.
    #[must_use]
    pub fn response(self, date: Option<Date>) -> Bytes {
        let headers = match self {
            Self::Method => &[("Allow", "GET")],
            Self::NotAsked | Self::Version => UPGRADE_HEADERS,
            Self::Key => &[],
        };
        crate::http::plain(self.status(), date, headers, &format!("{self}\n"))
    }
}

/// The headers of an answer with [`Status::UPGRADE_REQUIRED`].
pub const UPGRADE_HEADERS: &[(&str, &str)] = &[
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
];

const ACCEPT_BYTES: usize = 28;

/// What a key is followed by before it is hashed (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether a request asks for a WebSocket, and asks rightly. Of the subprotocols that the client offers, the first that
/// is in `protocols` is taken, without one if none is. Who the page is that asks (`Origin`) is for the caller to check.
///
/// # Errors
/// The request is to be refused.
pub fn check<'a>(head: &Head, protocols: &[&'a str]) -> Result<Accepted<'a>, Refused> {
    if head.method() != "GET" {
        return Err(Refused::Method);
    }
    let asks = |name, option: &str| {
        head.values(name)
            .flat_map(field::list)
            .any(|asked| asked.eq_ignore_ascii_case(option.as_bytes()))
    };
    let bodiless = head.body_length() == crate::http::BodyLength::None;
    if head.version() != Version::Http11
        || !bodiless
        || !asks("upgrade", "websocket")
        || !asks("connection", "upgrade")
    {
        return Err(Refused::NotAsked);
    }
    if single(head, "sec-websocket-version") != Some(b"13") {
        return Err(Refused::Version);
    }
    let key = single(head, "sec-websocket-key").ok_or(Refused::Key)?;
    if !STANDARD.decode(key).is_ok_and(|key| key.len() == 16) {
        return Err(Refused::Key);
    }
    let mut offered = head.values("sec-websocket-protocol").flat_map(field::list);
    let protocol = offered.find_map(|asked| protocols.iter().find(|protocol| protocol.as_bytes() == asked));
    Ok(Accepted {
        accept: accept(key),
        protocol: protocol.copied(),
    })
}

/// The value of a header that comes once.
fn single<'a>(head: &'a Head, name: &str) -> Option<&'a [u8]> {
    let mut values = head.values(name);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

impl Accepted<'_> {
    /// The answer, after which the connection is a WebSocket.
    #[must_use]
    pub fn response(&self, date: Option<Date>) -> Bytes {
        // Neither a value of base64 nor a subprotocol that a client can name holds a control character.
        self.try_response(date).unwrap_or_default()
    }

    fn try_response(&self, date: Option<Date>) -> Result<Bytes, InvalidHeader> {
        let accept = std::str::from_utf8(&self.accept).unwrap_or_default();
        let headers = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accept),
            ("Sec-WebSocket-Protocol", self.protocol.unwrap_or_default()),
        ];
        let sent = if self.protocol.is_some() {
            headers.len()
        } else {
            headers.len() - 1
        };
        Response {
            status: Status::SWITCHING_PROTOCOLS,
            date,
            persistence: Persistence::Implied,
            headers: headers.get(..sent).unwrap_or_default(),
            body: Body::Full(&[]),
        }
        .to_bytes()
    }
}

/// `Sec-WebSocket-Accept` for a key.
fn accept(key: &[u8]) -> [u8; ACCEPT_BYTES] {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(key);
    hash.update(GUID);
    let mut accept = [0; ACCEPT_BYTES];
    // 20 bytes are 28 in base64.
    let _ = STANDARD.encode_slice(hash.digest().bytes(), &mut accept);
    accept
}

/// The request of a client for a WebSocket.
///
/// ```
/// use netcore::websocket::handshake::Request;
///
/// let request = Request { host: "chat.example", target: "/v1/socket", key: [7; 16], headers: &[] };
/// let bytes = request.to_bytes()?;
/// // The server hashes the key; this one did not.
/// let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///     Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n";
/// assert!(request.check(answer).is_err());
/// # Ok::<_, netcore::http::InvalidHeader>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The host, with the port if it is not that of the scheme.
    pub host: &'a str,
    /// The target, which begins with `/`.
    pub target: &'a str,
    /// 16 random bytes.
    pub key: [u8; 16],
    /// Further headers, such as `Sec-WebSocket-Protocol` and `Authorization`.
    pub headers: &'a [(&'a str, &'a str)],
}

/// The answer of a server is not the beginning of a WebSocket.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Failed {
    /// It is no HTTP response, or its head is longer than 16 KiB.
    #[error("the answer is not the head of an HTTP response")]
    Malformed,
    /// The server refuses, with this status.
    #[error("the server answers with status {0}")]
    Status(u16),
    /// A header is missing or wrong: `Upgrade`, `Connection`, or `Sec-WebSocket-Accept`; or there is an extension.
    #[error("the server does not agree to a WebSocket as it was asked for")]
    Headers,
}

/// Bytes of the head of an answer.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Headers of an answer.
const ANSWER_HEADERS_MAX: usize = 64;

impl Request<'_> {
    /// The request.
    ///
    /// # Errors
    /// A header, the host or the target cannot be written.
    pub fn to_bytes(&self) -> Result<Bytes, InvalidHeader> {
        let key = STANDARD.encode(self.key);
        let fixed = [
            ("Host", self.host),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", &key),
        ];
        crate::http::get(self.target, fixed.iter().chain(self.headers))
    }

    /// Checks the answer at the beginning of `src`: bytes of its head, behind which the WebSocket begins, or `None` if
    /// it is not whole.
    ///
    /// # Errors
    /// The server does not agree.
    pub fn check(&self, src: &[u8]) -> Result<Option<usize>, Failed> {
        let mut headers = [httparse::EMPTY_HEADER; ANSWER_HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let bytes = match response.parse(src) {
            Ok(httparse::Status::Complete(bytes)) => bytes,
            Ok(httparse::Status::Partial) if src.len() < ANSWER_BYTES_MAX => return Ok(None),
            Ok(httparse::Status::Partial) | Err(_) => return Err(Failed::Malformed),
        };
        if response.code != Some(101) {
            return Err(Failed::Status(response.code.unwrap_or_default()));
        }
        let key = STANDARD.encode(self.key);
        let values = |name: &'static str| {
            let named = response
                .headers
                .iter()
                .filter(move |header| header.name.eq_ignore_ascii_case(name));
            named.map(|header| header.value)
        };
        let has = |name: &'static str, option: &str| {
            values(name)
                .flat_map(field::list)
                .any(|value| value.eq_ignore_ascii_case(option.as_bytes()))
        };
        let accepted = values("sec-websocket-accept").eq([&accept(key.as_bytes())[..]]);
        let extended = values("sec-websocket-extensions").next().is_some();
        if accepted && !extended && has("upgrade", "websocket") && has("connection", "upgrade") {
            Ok(Some(bytes))
        } else {
            Err(Failed::Headers)
        }
    }
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
