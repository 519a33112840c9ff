//! Owns what the head of a request says: what is asked for, and where the body and the connection end. Must refuse
//! whatever two readers could understand in two ways.

use super::{HEADERS_MAX, Refused, RequestLimits};
use bytes::Bytes;
use std::fmt;
use std::mem::MaybeUninit;

/// Bytes of a method; no registered one has as many.
pub(super) const METHOD_BYTES_MAX: usize = 32;

/// The version of a request.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Version {
    /// HTTP/1.0, which knows no chunks, and closes the connection unless asked to keep it.
    Http10,
    /// HTTP/1.1
    Http11,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum BodyLength {
    /// There is no body, or one of zero bytes.
    None,
    /// It has this many bytes, at least one.
    Bytes(u64),
    /// It comes in chunks, of which the last is empty.
    Chunked,
}

/// Whether the connection goes on after the response, and what the client must be told about that.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Persistence {
    /// It goes on, as HTTP/1.1 has it unless someone says otherwise: nothing is said.
    Implied,
    /// It goes on because an HTTP/1.0 client asked, which is told so: `Connection: keep-alive`.
    Granted,
    /// It ends: `Connection: close`.
    Close,
}

/// The head of a request, checked. It owns its bytes, in one allocation.
///
/// ```
/// use netcore::codec::{Codec, Decoded};
/// use netcore::http::{BodyLength, Incoming, Persistence, RequestLimits, Requests, Version};
///
/// let mut requests = Requests::new(RequestLimits::default());
/// let bytes = b"GET /v1/events?since=7 HTTP/1.1\r\nHost: chat.example\r\nAccept: text/event-stream\r\n\r\n";
/// let Decoded::Frame { frame: Incoming::Request(request), .. } = requests.decode(bytes)? else {
///     panic!("the request is whole");
/// };
/// let head = request.head;
/// assert_eq!((head.method(), head.path(), head.query()), ("GET", "/v1/events", Some("since=7")));
/// assert_eq!((head.version(), head.body_length()), (Version::Http11, BodyLength::None));
/// assert_eq!(head.header("accept"), Some(&b"text/event-stream"[..]));
/// assert_eq!(head.host(), Some("chat.example"));
/// assert_eq!(head.persistence(), Persistence::Implied);
/// # Ok::<_, netcore::http::Refused>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct Head {
    /// The first line and the headers as they came, without empty lines before or behind. Every line ends with CR LF.
    bytes: Bytes,
    layout: Layout,
}

/// Where the parts of a head are, and what its headers say about the connection. `u16`, as no head is longer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Layout {
    body: BodyLength,
    method: u16,
    /// The end of the target, which begins behind the space after the method.
    target: u16,
    headers: u16,
    version: Version,
    persistence: Persistence,
    pub(super) expects_continue: bool,
}

impl Head {
    /// The head in `bytes`, which [`Layout::parse`] has accepted.
    pub(super) const fn new(bytes: Bytes, layout: Layout) -> Self {
        Self { bytes, layout }
    }

    /// The method, in the case that it came in: methods are case-sensitive.
    #[must_use]
    pub fn method(&self) -> &str {
        self.text(0, self.layout.method)
    }

    /// The target as it came: of visible ASCII characters. It begins with `/`, or with `http://` or `https://`, or is
    /// `*` and the method is `OPTIONS`.
    #[must_use]
    pub fn target(&self) -> &str {
        self.text(self.layout.method + 1, self.layout.target)
    }

    /// The path of the target, as it came: percent-encoding and dots are not resolved. It begins with `/`, or is `*`.
    #[must_use]
    pub fn path(&self) -> &str {
        let target = origin_form(self.target());
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        if path.is_empty() { "/" } else { path }
    }

    /// What follows the first `?` of the target.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target().split_once('?').map(|(_, query)| query)
    }

    /// The version that the client speaks.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.layout.version
    }

    /// Whether the connection goes on after the response, as far as the client is concerned.
    #[must_use]
    pub const fn persistence(&self) -> Persistence {
        self.layout.persistence
    }

    /// How the end of the body is found.
    #[must_use]
    pub const fn body_length(&self) -> BodyLength {
        self.layout.body
    }

    /// The client sends the body only after [`CONTINUE`](super::CONTINUE) was sent to it, or after a while.
    #[must_use]
    pub const fn expects_continue(&self) -> bool {
        self.layout.expects_continue
    }

    /// The host that is asked, with the port if one is named; `None` only for HTTP/1.0 without `Host`. An HTTP/1.1
    /// request has exactly one, which may be empty.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.header("host")
            .and_then(|host| std::str::from_utf8(host).ok())
    }

    /// The value of the first header with this name, of whatever case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.values(name).next()
    }

    /// The values of all headers with this name, of whatever case, in the order in which they came.
    pub fn values<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.headers()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// All headers, in the order in which they came: names in the case they came in, values without the white space
    /// around them.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let lines = self
            .bytes
            .get(usize::from(self.layout.headers)..)
            .unwrap_or_default();
        lines.split(|byte| *byte == b'\n').filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at_checked(colon)?;
            let value = value.get(1..).unwrap_or_default();
            Some((std::str::from_utf8(name).ok()?, value.trim_ascii()))
        })
    }

    fn text(&self, from: u16, to: u16) -> &str {
        let bytes = self.bytes.get(usize::from(from)..usize::from(to));
        bytes
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

/// The first line alone: headers may hold secrets.
impl fmt::Debug for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Head")
            .field("method", &self.method())
            .field("path", &self.path())
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

impl Layout {
    /// Understands a whole head, of which every line ends with CR LF, and before which there is no empty line.
    pub(super) fn parse(bytes: &[u8], limits: &RequestLimits) -> Result<Self, Refused> {
        let mut headers = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; HEADERS_MAX];
        let count = usize::from(limits.headers).min(HEADERS_MAX);
        let allowed = headers.get_mut(..count).unwrap_or_default();
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(bytes, allowed) {
            Ok(httparse::Status::Complete(_)) => {}
            Err(httparse::Error::TooManyHeaders) => return Err(Refused::HeadTooLarge),
            Err(httparse::Error::Version) if names_version(bytes) => return Err(Refused::Version),
            Ok(httparse::Status::Partial) | Err(_) => return Err(Refused::Malformed),
        }
        let method = request.method.unwrap_or_default();
        let target = request.path.unwrap_or_default();
        let version = match request.version {
            Some(1) => Version::Http11,
            _ => Version::Http10,
        };
        if method.len() > METHOD_BYTES_MAX || method == "CONNECT" {
            return Err(Refused::Method);
        }
        if target.len() > usize::from(limits.target_bytes) {
            return Err(Refused::TargetTooLong);
        }
        let fields = Fields::collect(request.headers)?;
        let authority = authority(method, target)?;
        fields.check_host(version, authority)?;
        let first_line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or_default() + 1;
        Ok(Self {
            body: fields.body(version)?,
            method: method.len() as u16,
            target: (method.len() + 1 + target.len()) as u16,
            headers: first_line as u16,
            version,
            persistence: fields.persistence(version),
            // An HTTP/1.0 client knows no interim responses, and expects none whatever it says.
            expects_continue: fields.expectation? && version == Version::Http11,
        })
    }

    /// How the end of the body is found.
    pub(super) const fn body(&self) -> BodyLength {
        self.body
    }
}

/// What the headers say that matters for the framing.
#[derive(Debug)]
struct Fields<'a> {
    length: Option<u64>,
    coding: Option<&'a [u8]>,
    close: bool,
    keep_alive: bool,
    expectation: Result<bool, Refused>,
    host: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn collect(headers: &[httparse::Header<'a>]) -> Result<Self, Refused> {
        let mut fields = Self {
            length: None,
            coding: None,
            close: false,
            keep_alive: false,
            expectation: Ok(false),
            host: None,
        };
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            // Most headers are told apart by the length of their name alone.
            match header.name.len() {
                4 if is("host") => set_once(&mut fields.host, header.value, Refused::Host)?,
                6 if is("expect") => {
                    fields.expectation = if header.value.eq_ignore_ascii_case(b"100-continue") {
                        fields.expectation
                    } else {
                        Err(Refused::Expectation)
                    }
                    .map(|_| true);
                }
                10 if is("connection") => {
                    for option in super::field::list(header.value) {
                        fields.close |= option.eq_ignore_ascii_case(b"close");
                        fields.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                14 if is("content-length") => {
                    let length = decimal(header.value)?;
                    set_once(&mut fields.length, length, Refused::Length)?;
                }
                17 if is("transfer-encoding") => {
                    set_once(&mut fields.coding, header.value, Refused::TransferCoding)?;
                }
                _ => {}
            }
        }
        Ok(fields)
    }

    /// Where a length and a coding come together, or a coding in a version that has none, two readers could disagree.
    fn body(&self, version: Version) -> Result<BodyLength, Refused> {
        match (self.coding, self.length) {
            (None, None | Some(0)) => Ok(BodyLength::None),
            (None, Some(length)) => Ok(BodyLength::Bytes(length)),
            (Some(_), Some(_)) => Err(Refused::TransferCoding),
            (Some(_), None) if version == Version::Http10 => Err(Refused::TransferCoding),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(BodyLength::Chunked),
            (Some(coding), None) => {
                let last = super::field::list(coding).last().unwrap_or_default();
                let earlier = super::field::list(coding)
                    .filter(|coding| coding.eq_ignore_ascii_case(b"chunked"))
                    .count();
                if last.eq_ignore_ascii_case(b"chunked") && earlier == 1 {
                    Err(Refused::UnknownCoding)
                } else {
                    Err(Refused::TransferCoding)
                }
            }
        }
    }

    fn check_host(&self, version: Version, authority: Option<&str>) -> Result<(), Refused> {
        match (self.host, authority) {
            (None, _) if version == Version::Http11 => Err(Refused::Host),
            (None, _) => Ok(()),
            (Some(host), _) if !super::field::is_host(host) => Err(Refused::Host),
            (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority.as_bytes()) => {
                Err(Refused::Host)
            }
            (Some(_), _) => Ok(()),
        }
    }

    const fn persistence(&self, version: Version) -> Persistence {
        match (version, self.close, self.keep_alive) {
            (_, true, _) | (Version::Http10, false, false) => Persistence::Close,
            (Version::Http11, false, _) => Persistence::Implied,
            (Version::Http10, false, true) => Persistence::Granted,
        }
    }
}

/// Whether the first line ends with a version of HTTP, as the third of its words.
fn names_version(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ').skip(2);
    words.next().is_some_and(|word| word.starts_with(b"HTTP/")) && words.next().is_none()
}

fn set_once<T>(field: &mut Option<T>, value: T, twice: Refused) -> Result<(), Refused> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(twice),
    }
}

/// Digits alone: parsing alone would also take a sign. A number beyond 64 bits is a length, too, only a large one.
fn decimal(value: &[u8]) -> Result<u64, Refused> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refused::Length);
    }
    let text = std::str::from_utf8(value).map_err(|_| Refused::Length)?;
    text.parse().map_err(|_| Refused::BodyTooLarge)
}

/// The authority of a target in absolute form; `None` for a path, or the `*` of `OPTIONS`.
fn authority<'a>(method: &str, target: &'a str) -> Result<Option<&'a str>, Refused> {
    if !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(Refused::Target);
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok(None);
    }
    let behind = behind_scheme(target).ok_or(Refused::Target)?;
    let authority = behind.split(['/', '?']).next().unwrap_or_default();
    if authority.is_empty() || !super::field::is_host(authority.as_bytes()) {
        return Err(Refused::Target);
    }
    Ok(Some(authority))
}

/// What follows `http://` or `https://`.
fn behind_scheme(target: &str) -> Option<&str> {
    ["http://", "https://"].into_iter().find_map(|scheme| {
        let (start, behind) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(behind)
    })
}

/// The target without a scheme and an authority: a path with a query, a query alone, nothing, or `*`.
fn origin_form(target: &str) -> &str {
    match behind_scheme(target) {
        Some(behind) => behind
            .find(['/', '?'])
            .and_then(|at| behind.get(at..))
            .unwrap_or_default(),
        None => target,
    }
}
