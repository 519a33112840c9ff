//! Owns the values of some headers, as total functions of their bytes. Must never decide what they are worth.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

/// The elements of a list separated by commas, without white space around them, and without the empty ones.
///
/// ```
/// let options: Vec<_> = netcore::http::field::list(b"keep-alive, ,Upgrade").collect();
/// assert_eq!(options, [&b"keep-alive"[..], b"Upgrade"]);
/// ```
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750); `None` if the value is anything else.
///
/// ```
/// use netcore::http::field::bearer;
///
/// assert_eq!(bearer(b"Bearer mF_9.B5f-4.1JqM="), Some("mF_9.B5f-4.1JqM="));
/// assert_eq!(bearer(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), None);
/// assert_eq!(bearer(b"Bearer two words"), None);
/// ```
#[must_use]
pub fn bearer(value: &[u8]) -> Option<&str> {
    let (scheme, token) = value.split_at_checked(b"Bearer".len())?;
    let token = token.strip_prefix(b" ")?.trim_ascii_start();
    let text = std::str::from_utf8(token).ok()?;
    let body = text.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    let valid = scheme.eq_ignore_ascii_case(b"Bearer") && !body.is_empty() && body.bytes().all(allowed);
    valid.then_some(text)
}

/// The value of the first parameter with this name in the query of a target, decoded: `+` is a space, and `%xx` a byte.
/// `None` if there is none, or if it is not UTF-8 or not encoded rightly.
///
/// ```
/// use netcore::http::field::parameter;
///
/// assert_eq!(parameter("name=a%20b+c&since=7", "name").as_deref(), Some("a b c"));
/// assert_eq!(parameter("name=%zz", "name"), None);
/// ```
#[must_use]
pub fn parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let value = query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })?;
    if !value.contains(['%', '+']) {
        return Some(value.into());
    }
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        decoded.push(match (first, behind) {
            (b'+', _) => b' ',
            (b'%', [high, low, behind @ ..]) => {
                rest = behind;
                nibble(*high)? << 4 | nibble(*low)?
            }
            (b'%', _) => return None,
            (other, _) => *other,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// A host and perhaps a port, as `Host` and targets name them.
///
/// ```
/// use netcore::http::field::Host;
///
/// let host = Host::parse(b"chat.example:8080").unwrap();
/// assert_eq!((host.name, host.port), ("chat.example", Some(8080)));
/// // A page on the web whose name was made to lead here names itself, so a loopback listener can refuse it.
/// assert!(!host.is_loopback() && Host::parse(b"[::1]:80").unwrap().is_loopback());
/// assert_eq!(Host::parse(b"user@host"), None);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Host<'a> {
    /// A name, an IPv4 address, or an IPv6 address in brackets. Never empty.
    pub name: &'a str,
    /// The port, if one is named.
    pub port: Option<u16>,
}

impl<'a> Host<'a> {
    /// Reads a host; `None` if it is empty or none.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let name_end = match text.strip_prefix('[') {
            Some(behind) => behind.find(']')? + 2,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (name, port) = text.split_at_checked(name_end)?;
        let valid = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => !name.is_empty() && name.bytes().all(is_name_byte),
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            // A colon without a port is allowed.
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            _ => return None,
        };
        valid.then_some(Self { name, port })
    }

    /// The address that the host is, if it is not a name.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self
            .name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
        {
            Some(address) => address.parse().ok().map(IpAddr::V6),
            None => self.name.parse().ok(),
        }
    }

    /// `localhost`, a name below it, or a loopback address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let name = self.name.strip_suffix('.').unwrap_or(self.name);
        let below = name
            .len()
            .checked_sub(".localhost".len())
            .and_then(|at| name.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(".localhost"));
        below
            || name.eq_ignore_ascii_case("localhost")
            || self.ip().is_some_and(|ip| ip.to_canonical().is_loopback())
    }
}

/// The origin of the page that a browser asks for, from `Origin`.
///
/// ```
/// use netcore::http::field::{Host, Origin};
///
/// let origin = Origin::parse(b"https://chat.example").unwrap();
/// assert!(origin.is_of(&Host::parse(b"chat.example:443").unwrap()));
/// assert!(!origin.is_of(&Host::parse(b"chat.example:8443").unwrap()));
/// // The origin of a file or a sandbox is nobody's.
/// assert_eq!(Origin::parse(b"null"), None);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Origin<'a> {
    /// `http`, `https`, or that of an application.
    pub scheme: &'a str,
    /// The host and the port, which is left out if it is that of the scheme.
    pub host: Host<'a>,
}

impl<'a> Origin<'a> {
    /// Reads an origin; `None` if it is `null` or none.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let (scheme, host) = text.split_once("://")?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(allowed) {
            return None;
        }
        let host = Host::parse(host.as_bytes())?;
        Some(Self { scheme, host })
    }

    /// The page is from this host, as the request names it, and from the same port. The schemes are not compared: who
    /// ends TLS in front of a server does not say so in `Host`.
    #[must_use]
    pub fn is_of(&self, host: &Host<'_>) -> bool {
        let default = match self.scheme {
            scheme if scheme.eq_ignore_ascii_case("http") => Some(80),
            scheme if scheme.eq_ignore_ascii_case("https") => Some(443),
            _ => None,
        };
        self.host.name.eq_ignore_ascii_case(host.name) && self.host.port.or(default) == host.port.or(default)
    }
}

/// The coding among `offered` that a client likes best, by `Accept-Encoding`; the first of those it likes equally.
/// `None` is the plain body. A client that excludes the plain body and all of `offered` gets the plain body, too.
///
/// ```
/// use netcore::http::field::accepted_coding;
///
/// assert_eq!(accepted_coding(b"gzip, deflate, br", &["br", "gzip"]), Some("br"));
/// assert_eq!(accepted_coding(b"br;q=0.5, gzip", &["br", "gzip"]), Some("gzip"));
/// assert_eq!(accepted_coding(b"*;q=0", &["br"]), None);
/// ```
#[must_use]
pub fn accepted_coding<'a>(value: &[u8], offered: &[&'a str]) -> Option<&'a str> {
    let plain = quality(value, "identity").unwrap_or(0);
    let mut best = None;
    for coding in offered {
        let quality = quality(value, coding)
            .or_else(|| quality(value, "*"))
            .unwrap_or(0);
        if quality > 0 && quality >= plain && best.is_none_or(|(_, before)| quality > before) {
            best = Some((*coding, quality));
        }
    }
    best.map(|(coding, _)| coding)
}

/// The quality of a coding in thousandths, if it is listed. One that is not a quality counts as zero.
fn quality(value: &[u8], coding: &str) -> Option<u16> {
    list(value).find_map(|element| {
        let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next()?;
        if !name.eq_ignore_ascii_case(coding.as_bytes()) {
            return None;
        }
        Some(match parts.next() {
            None => 1000,
            Some([b'q' | b'Q', b'=', quality @ ..]) => thousandths(quality).unwrap_or(0),
            Some(_) => 0,
        })
    })
}

/// `0`, `1`, or either with up to three digits behind the point; at most 1.
fn thousandths(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = match text {
        [whole @ (b'0' | b'1')] => (whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let mut value = u16::from(whole - b'0') * 1000;
    let mut unit = 100;
    for digit in fraction {
        if !digit.is_ascii_digit() {
            return None;
        }
        value += u16::from(digit - b'0') * unit;
        unit /= 10;
    }
    (value <= 1000).then_some(value)
}

/// What `Host` may hold: a host, or nothing.
pub(super) fn is_host(value: &[u8]) -> bool {
    value.is_empty() || Host::parse(value).is_some()
}

/// The bytes of names of headers, of methods, and of options.
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// The bytes of a registered name (RFC 3986).
const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b'%'
        )
}

#[cfg(test)]
#[path = "field_tests.rs"]
mod tests;
