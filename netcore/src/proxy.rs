//! Owns the PROXY protocol, by which a proxy reports the client's address: versions 1 and 2 as HAProxy's
//! `proxy-protocol.txt` defines them. Must never hold more than the longest header allowed, and never look behind the
//! header.

use crate::limits::PROXY_HEADER_BYTES_MAX;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header of version 1, with its line end.
const V1_BYTES_MAX: usize = 107;

/// The first bytes of version 2.
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The bytes of version 2 before the addresses.
const V2_FIXED_BYTES: usize = 16;

/// The content of a header.
///
/// ```
/// use netcore::proxy::{Header, parse};
/// use std::net::SocketAddr;
///
/// /// The client of the connection, if the proxy did not connect for itself.
/// fn client(header: Header) -> Option<SocketAddr> {
///     match header {
///         Header::Proxied { source, .. } => Some(source),
///         Header::Local => None,
///     }
/// }
/// let (header, _) = parse(b"PROXY UNKNOWN\r\n")?.unwrap();
/// assert_eq!(client(header), None);
/// # Ok::<_, netcore::proxy::ProxyError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Header {
    /// The proxy connects for itself, for example to check our health, or does not know its client.
    Local,
    /// The proxy connects for this client.
    Proxied {
        /// The client.
        source: SocketAddr,
        /// The address that the client connected to.
        destination: SocketAddr,
    },
}

/// The bytes are not a header.
///
/// ```
/// use netcore::proxy::{ProxyError, parse};
///
/// assert_eq!(parse(b"GET / HTTP/1.1\r\n"), Err(ProxyError::Missing));
/// assert_eq!(parse(b"PROXY TCP4 192.0.2.1 192.0.2.9 5000 99999\r\n"), Err(ProxyError::Address));
/// // Not an error yet: the rest may come.
/// assert_eq!(parse(b"PROXY TC"), Ok(None));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The addresses of a version 1 header do not make sense.
    #[error("an address of the PROXY header cannot be read")]
    Address,
    /// The stream does not begin with a header.
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    /// The header is longer than [`PROXY_HEADER_BYTES_MAX`], or than its version allows.
    #[error("the PROXY header is too long")]
    TooLong,
    /// A version, command, family or length that the protocol does not define.
    #[error("the PROXY header is not well-formed")]
    Malformed,
}

/// Reads the header at the beginning of `input`: the header and its length in bytes, or `None` while it is not
/// complete.
///
/// # Errors
/// The bytes can never become a header that is accepted.
///
/// ```
/// use netcore::proxy::{Header, parse};
/// let (header, len) = parse(b"PROXY TCP4 192.0.2.1 192.0.2.9 5000 443\r\nGET")?.unwrap();
/// assert_eq!(len, 41);
/// assert!(matches!(header, Header::Proxied { source, .. } if source.port() == 5000));
/// # Ok::<_, netcore::proxy::ProxyError>(())
/// ```
pub fn parse(input: &[u8]) -> Result<Option<(Header, usize)>, ProxyError> {
    let starts_like = |start: &[u8]| input.iter().zip(start).all(|(have, want)| have == want);
    if starts_like(V2_SIGNATURE) {
        parse_v2(input)
    } else if starts_like(b"PROXY ") {
        parse_v1(input)
    } else {
        Err(ProxyError::Missing)
    }
}

fn parse_v1(input: &[u8]) -> Result<Option<(Header, usize)>, ProxyError> {
    let window = input.get(..V1_BYTES_MAX).unwrap_or(input);
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if input.len() >= V1_BYTES_MAX {
            Err(ProxyError::TooLong)
        } else {
            Ok(None)
        };
    };
    let line = window.get(..end).unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| ProxyError::Malformed)?;
    let mut words = line.split(' ').skip(1);
    let used = end + 2;
    let header = match words.next() {
        // The rest of the line must be ignored.
        Some("UNKNOWN") => return Ok(Some((Header::Local, used))),
        Some("TCP4") => addresses::<Ipv4Addr>(&mut words)?,
        Some("TCP6") => addresses::<Ipv6Addr>(&mut words)?,
        _ => return Err(ProxyError::Malformed),
    };
    match words.next() {
        None => Ok(Some((header, used))),
        Some(_) => Err(ProxyError::Malformed),
    }
}

fn addresses<'a, A>(words: &mut impl Iterator<Item = &'a str>) -> Result<Header, ProxyError>
where
    A: std::str::FromStr + Into<IpAddr>,
{
    let mut ip = || -> Result<IpAddr, ProxyError> {
        let word = words.next().ok_or(ProxyError::Malformed)?;
        word.parse::<A>().map(Into::into).map_err(|_| ProxyError::Address)
    };
    let (source, destination) = (ip()?, ip()?);
    let mut port = || -> Result<u16, ProxyError> {
        let word = words.next().ok_or(ProxyError::Malformed)?;
        let digits = word.bytes().all(|byte| byte.is_ascii_digit());
        // "A number without leading zeroes", says the document.
        if !digits || (word.len() > 1 && word.starts_with('0')) {
            return Err(ProxyError::Address);
        }
        word.parse().map_err(|_| ProxyError::Address)
    };
    let (source_port, destination_port) = (port()?, port()?);
    Ok(Header::Proxied {
        source: (source, source_port).into(),
        destination: (destination, destination_port).into(),
    })
}

fn parse_v2(input: &[u8]) -> Result<Option<(Header, usize)>, ProxyError> {
    let Some(fixed) = input.first_chunk::<V2_FIXED_BYTES>() else {
        return Ok(None);
    };
    let (command, family, len) = (fixed[12], fixed[13], u16::from_be_bytes([fixed[14], fixed[15]]));
    let used = V2_FIXED_BYTES + usize::from(len);
    if used > PROXY_HEADER_BYTES_MAX {
        return Err(ProxyError::TooLong);
    }
    // Version 2 in the upper half, then 0 is LOCAL and 1 is PROXY.
    let local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyError::Malformed),
    };
    let Some(body) = input.get(V2_FIXED_BYTES..used) else {
        return Ok(None);
    };
    if local {
        return Ok(Some((Header::Local, used)));
    }
    // Extensions follow the addresses; none of them is needed here.
    let header = match family {
        0x11 => {
            let block = body.first_chunk::<12>().ok_or(ProxyError::Malformed)?;
            let [a, b, c, d, e, f, g, h, source_high, source_low, high, low] = *block;
            Header::Proxied {
                source: ([a, b, c, d], u16::from_be_bytes([source_high, source_low])).into(),
                destination: ([e, f, g, h], u16::from_be_bytes([high, low])).into(),
            }
        }
        0x21 => {
            let (source, rest) = body.split_first_chunk::<16>().ok_or(ProxyError::Malformed)?;
            let (destination, rest) = rest.split_first_chunk::<16>().ok_or(ProxyError::Malformed)?;
            let ports = rest.first_chunk::<4>().ok_or(ProxyError::Malformed)?;
            Header::Proxied {
                source: (*source, u16::from_be_bytes([ports[0], ports[1]])).into(),
                destination: (*destination, u16::from_be_bytes([ports[2], ports[3]])).into(),
            }
        }
        // Datagrams, Unix sockets and "unspecified": the connection counts as the proxy's own.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => Header::Local,
        _ => return Err(ProxyError::Malformed),
    };
    Ok(Some((header, used)))
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
