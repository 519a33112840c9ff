//! Owns whose request a proxy forwards. Must never believe anybody but the proxies that are trusted.

use super::Head;
use crate::Network;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The header in which the trusted proxies name the client. Only one may be believed: a proxy adds to its own header,
/// and hands on others as the client wrote them.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ForwardedHeader {
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Forwarded-For`.
    XForwardedFor,
}

/// The address of the client whose request came from `peer`: the last one named that is not itself a trusted proxy, as
/// far as only trusted proxies have named it. Where a proxy names none, or hides it (`unknown`, `_hidden`), it is that
/// proxy. A `peer` that is not trusted is the client, whatever its headers say.
///
/// ```
/// use netcore::codec::{Codec, Decoded};
/// use netcore::http::forwarded::{ForwardedHeader, client};
/// use netcore::http::{Incoming, RequestLimits, Requests};
/// use netcore::Network;
///
/// let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.0.0.2\r\n\r\n";
/// # let mut requests = Requests::new(RequestLimits::default());
/// # let Decoded::Frame { frame: Incoming::Request(request), .. } = requests.decode(bytes)? else {
/// #     panic!("the request is whole");
/// # };
/// # let head = request.head;
/// // `head` is that of the request in `bytes`.
/// let trusted: Vec<Network> = vec!["10.0.0.0/8".parse().unwrap()];
/// let of = |peer: &str| client(peer.parse().unwrap(), &head, ForwardedHeader::XForwardedFor, &trusted).to_string();
/// assert_eq!(of("10.0.0.1"), "192.0.2.7");
/// assert_eq!(of("192.0.2.99"), "192.0.2.99");
/// # Ok::<_, netcore::http::Refused>(())
/// ```
#[must_use]
pub fn client(peer: IpAddr, head: &Head, header: ForwardedHeader, trusted: &[Network]) -> IpAddr {
    match header {
        ForwardedHeader::Forwarded => {
            let elements = head.values("forwarded").flat_map(elements);
            last_untrusted(peer, elements.map(forwarded_for), trusted)
        }
        ForwardedHeader::XForwardedFor => {
            let elements = head
                .values("x-forwarded-for")
                .flat_map(|value| value.split(|byte| *byte == b','));
            last_untrusted(peer, elements.map(|node| address(node.trim_ascii())), trusted)
        }
    }
}

/// Whether the request says that it was forwarded, by any of the headers in use for that: nobody who sends such a
/// request is who it seems to be.
#[must_use]
pub fn is_forwarded(head: &Head) -> bool {
    const PREFIX: &str = "x-forwarded-";
    head.headers().any(|(name, _)| {
        let has_prefix = name
            .get(..PREFIX.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
        has_prefix
            || ["forwarded", "x-real-ip", "via"]
                .iter()
                .any(|other| name.eq_ignore_ascii_case(other))
    })
}

/// The client, from the hops in the order in which they were added. A hop without an address hides all before it.
fn last_untrusted(peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(peer) {
        return peer;
    }
    let mut client = None;
    for hop in hops {
        client = match (client, hop) {
            (_, None) => None,
            (Some(client), Some(hop)) if is_trusted(hop) => Some(client),
            (_, Some(hop)) => Some(hop.to_canonical()),
        };
    }
    client.unwrap_or(peer)
}

/// The elements of a `Forwarded` header: what is between the commas outside of quotes. A header whose quotes are wrong is
/// one element, in which nothing is found.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_readable = has_whole_quotes(value);
    let all = (!is_readable).then_some(&b""[..]);
    let elements = is_readable.then(|| split_unquoted(value, b','));
    elements.into_iter().flatten().chain(all)
}

/// Whether every quoted text of a header begins as a value, ends, and is followed by nothing of that value. A client whose
/// quote does not end could otherwise hide in it what the proxy adds behind.
fn has_whole_quotes(value: &[u8]) -> bool {
    let (mut quoted, mut escaped, mut before) = (false, false, b',');
    for byte in value {
        let begins = !quoted && *byte == b'"';
        let is_wrong = match (quoted, before) {
            (true, _) => false,
            (false, b'"') => !matches!(byte, b';' | b',' | b' ' | b'\t'),
            (false, before) => begins && before != b'=' || *byte == b'\\',
        };
        if is_wrong {
            return false;
        }
        match (escaped, *byte) {
            (true, _) => escaped = false,
            (false, b'\\') => escaped = true,
            (false, b'"') => quoted = !quoted,
            (false, _) => {}
        }
        before = if begins { b' ' } else { *byte };
    }
    !quoted
}

/// The address in the `for` of an element; `None` if there is none, or several.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    for pair in split_unquoted(element, b';') {
        let pair = pair.trim_ascii();
        let Some((name, value)) = pair.split_at_checked(b"for=".len()) else {
            continue;
        };
        if name.eq_ignore_ascii_case(b"for=") {
            if found.is_some() {
                return None;
            }
            let value = match value.strip_prefix(b"\"") {
                Some(quoted) => quoted.strip_suffix(b"\"")?,
                None => value,
            };
            found = Some(address(value)?);
        }
    }
    found
}

fn split_unquoted(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |byte| {
        if escaped {
            escaped = false;
            return false;
        }
        match *byte {
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            other => return other == separator && !quoted,
        }
        false
    })
}

/// An address, perhaps with a port; one of IPv6 with a port in brackets.
fn address(node: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(node).ok()?;
    let bare = text.parse().ok();
    let bracketed = || {
        let inner = text.strip_prefix('[')?.strip_suffix(']')?;
        inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    };
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.or_else(bracketed).or_else(with_port)
}

#[cfg(test)]
#[path = "forwarded_tests.rs"]
mod tests;
