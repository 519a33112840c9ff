//! Owns what a request asks for, and what its head says about the connection and the body. Must never read a
//! body, and must refuse whatever two readers could understand in two ways.

use httparse::{Header, Status};
use std::mem::MaybeUninit;

/// The longest head of a request: its first line, its headers, and the line that ends them.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Headers of one request.
pub(crate) const HEADERS_MAX: usize = 64;

/// The longest body of a request.
pub(crate) const BODY_BYTES_MAX: u64 = 1024 * 1024;

/// A request. What it asks for is decided where its head is parsed, so it needs no memory of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) persistence: Persistence,
}

/// What is to be done with the target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Method {
    Get,
    Head,
    Other,
}

/// What this server knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    /// `/`
    Root,
    Unknown,
}

/// Whether the connection goes on after the response, and what the client must be told about that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Persistence {
    /// It goes on, as HTTP/1.1 has it unless someone says otherwise.
    Implied,
    /// It goes on because an HTTP/1.0 client asked, who needs to be told so.
    Granted,
    /// It ends.
    Close,
}

/// Why a request is refused. The connection ends, as nobody can say where the next request would begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the request is malformed")]
    Malformed,
    #[error("the head has more than {HEAD_BYTES_MAX} bytes or {HEADERS_MAX} headers")]
    HeadTooLarge,
    #[error("the body has more than {BODY_BYTES_MAX} bytes")]
    BodyTooLarge,
    #[error("the body comes in a transfer coding")]
    TransferCoding,
    #[error("the version is not HTTP/1.0 or HTTP/1.1")]
    Version,
}

/// The head of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Head {
    pub(crate) request: Request,
    /// Bytes of the head.
    pub(crate) bytes: usize,
    /// Bytes of the body that follows.
    pub(crate) body_bytes: u64,
    /// The client sends the body only after it was told to.
    pub(crate) expects_continue: bool,
}

/// The head at the beginning of `src`; `None` if it is not whole.
pub(crate) fn parse(src: &[u8]) -> Result<Option<Head>, Refused> {
    let mut headers = [const { MaybeUninit::<Header<'_>>::uninit() }; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut []);
    let bytes = match head.parse_with_uninit_headers(src, &mut headers) {
        Ok(Status::Complete(bytes)) if bytes <= HEAD_BYTES_MAX => bytes,
        Ok(Status::Partial) if src.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Refused::HeadTooLarge),
        Err(httparse::Error::Version) => return Err(Refused::Version),
        Err(_) => return Err(Refused::Malformed),
    };
    let newer = head.version == Some(1);
    let fields = Fields::collect(head.headers)?;
    if newer && fields.hosts != 1 {
        return Err(Refused::Malformed);
    }
    let persistence = match (newer, fields.close, fields.keep_alive) {
        (_, true, _) | (false, false, false) => Persistence::Close,
        (true, false, _) => Persistence::Implied,
        (false, false, true) => Persistence::Granted,
    };
    Ok(Some(Head {
        request: Request {
            method: method(head.method.unwrap_or_default()),
            target: target(head.path.unwrap_or_default()),
            persistence,
        },
        bytes,
        body_bytes: fields.body_bytes.unwrap_or_default(),
        expects_continue: newer && fields.expects_continue,
    }))
}

/// What the headers say that matters here.
#[derive(Debug, Default)]
struct Fields {
    body_bytes: Option<u64>,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    hosts: usize,
}

impl Fields {
    fn collect(headers: &[Header<'_>]) -> Result<Self, Refused> {
        let mut fields = Self::default();
        for header in headers {
            // Most headers are told apart by the length of their name alone.
            match header.name.len() {
                4 if header.name.eq_ignore_ascii_case("host") => fields.hosts += 1,
                6 if header.name.eq_ignore_ascii_case("expect") => {
                    fields.expects_continue |= header.value.eq_ignore_ascii_case(b"100-continue");
                }
                10 if header.name.eq_ignore_ascii_case("connection") => {
                    for option in header.value.split(|byte| *byte == b',') {
                        let option = option.trim_ascii();
                        fields.close |= option.eq_ignore_ascii_case(b"close");
                        fields.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    let bytes = body_bytes(header.value)?;
                    if fields.body_bytes.is_some_and(|before| before != bytes) {
                        return Err(Refused::Malformed);
                    }
                    fields.body_bytes = Some(bytes);
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                    return Err(Refused::TransferCoding);
                }
                _ => {}
            }
        }
        Ok(fields)
    }
}

fn body_bytes(value: &[u8]) -> Result<u64, Refused> {
    // Parsing alone would also take a sign.
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refused::Malformed);
    }
    let bytes = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    // A number beyond 64 bits is a length, too, only a large one.
    bytes
        .filter(|bytes| *bytes <= BODY_BYTES_MAX)
        .ok_or(Refused::BodyTooLarge)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        _ => Method::Other,
    }
}

/// A target is a path, or a whole address, as proxies send it; either may have a query, which does not matter.
fn target(text: &str) -> Target {
    let path = match text.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("http://") => {
            let behind = text.get(7..).unwrap_or_default();
            behind
                .find(['/', '?'])
                .and_then(|at| behind.get(at..))
                .unwrap_or("/")
        }
        _ => text,
    };
    match path.as_bytes() {
        [b'/'] | [b'/', b'?', ..] | [b'?', ..] => Target::Root,
        _ => Target::Unknown,
    }
}
