//! Owns the addresses of connections: their public form, and the compact form that a connection keeps. Must never
//! resolve a name.

use crate::network::to_bits;
use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::sync::Arc;

/// One end of a connection.
///
/// ```
/// use netcore::Address;
/// use std::net::SocketAddr;
///
/// /// For a log: the peer without its port, which is a new one each time.
/// fn who(address: &Address) -> String {
///     match address {
///         Address::Ip(address) => address.ip().to_string(),
///         Address::Unix(Some(path)) => path.display().to_string(),
///         Address::Unix(None) => "a local process".to_owned(),
///     }
/// }
/// let address = Address::from(SocketAddr::from(([192, 0, 2, 1], 7000)));
/// assert_eq!(who(&address), "192.0.2.1");
/// assert_eq!(address.to_string(), "192.0.2.1:7000");
/// assert_eq!(address.socket_addr().map(|address| address.port()), Some(7000));
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Address {
    /// A TCP address.
    Ip(SocketAddr),
    /// A Unix socket; `None` is one without a name, as the clients' ends are.
    Unix(Option<Arc<Path>>),
}

impl Address {
    /// The IP address, if there is one.
    ///
    /// ```
    /// use netcore::Address;
    /// let address = Address::from("[::1]:80".parse::<std::net::SocketAddr>()?);
    /// assert!(address.ip().is_some_and(|ip| ip.is_loopback()));
    /// assert_eq!(Address::Unix(None).ip(), None);
    /// # Ok::<_, std::net::AddrParseError>(())
    /// ```
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip()),
            Self::Unix(_) => None,
        }
    }

    /// The address as one of TCP, if it is one.
    #[must_use]
    pub const fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Self::Unix(None) => f.write_str("unix:"),
        }
    }
}

/// The other end of a connection.
///
/// ```
/// use netcore::{Address, Peer};
///
/// /// Whether administration is allowed: on its own listener, from this machine.
/// fn may_administer(peer: &Peer, admin: &Address) -> bool {
///     let near = match &peer.address {
///         Address::Ip(address) => address.ip().is_loopback(),
///         Address::Unix(_) => true,
///     };
///     // The address that a proxy reports is good enough for a log, not for this.
///     near && !peer.proxied && peer.local == *admin
/// }
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Peer {
    /// The address of the peer. Behind a trusted proxy, the address that the proxy reports.
    pub address: Address,
    /// Our end: the address of the listener that accepted the connection. For a connection that we made, the address
    /// that we connected to.
    pub local: Address,
    /// A trusted proxy is between us and the peer.
    pub proxied: bool,
    /// What the listener was marked with, see [`Listen::tag`](crate::Listen::tag); 0 for a connection that we made.
    pub tag: u32,
}

impl Peer {
    /// A peer at `address` on a connection to `local`: without a proxy, and of a listener without a mark. For tests of what
    /// decides by peers.
    ///
    /// ```
    /// use netcore::{Address, Peer};
    ///
    /// let mut peer = Peer::new(Address::Unix(None), Address::Unix(None));
    /// peer.proxied = true;
    /// assert_eq!((peer.proxied, peer.tag), (true, 0));
    /// ```
    #[must_use]
    pub const fn new(address: Address, local: Address) -> Self {
        Self {
            address,
            local,
            proxied: false,
            tag: 0,
        }
    }
}

/// The unit of limits per address: an IPv4 address, or the `/64` of an IPv6 address, which one customer gets (RFC
/// 6177).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Source(u128);

impl Source {
    pub(crate) const fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(to_bits(IpAddr::V4(address))),
            IpAddr::V6(address) => Self(address.to_bits() >> 64 << 64),
        }
    }
}

/// The listener that a connection came from; none for a connection that we made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Origin(u8);

impl Origin {
    pub(crate) const OUTBOUND: Self = Self(u8::MAX);

    pub(crate) const fn listener(index: usize) -> Self {
        Self(index as u8)
    }

    pub(crate) const fn index(self) -> Option<usize> {
        if self.0 == u8::MAX {
            None
        } else {
            Some(self.0 as usize)
        }
    }
}

/// What a connection keeps of its peer: 26 bytes instead of the 80 of [`Peer`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct CompactPeer {
    ip: CompactIp,
    port: u16,
    pub(crate) origin: Origin,
    pub(crate) proxied: bool,
    /// The connection is counted for its source.
    pub(crate) counted: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum CompactIp {
    V4([u8; 4]),
    /// The address, and the scope of an IPv6 address.
    V6([u8; 16], [u8; 4]),
    Unix,
}

impl CompactPeer {
    pub(crate) fn new(address: &Address, origin: Origin) -> Self {
        let (ip, port) = match address {
            Address::Ip(SocketAddr::V4(address)) => (CompactIp::V4(address.ip().octets()), address.port()),
            Address::Ip(SocketAddr::V6(address)) => (
                CompactIp::V6(address.ip().octets(), address.scope_id().to_ne_bytes()),
                address.port(),
            ),
            Address::Unix(_) => (CompactIp::Unix, 0),
        };
        Self {
            ip,
            port,
            origin,
            proxied: false,
            counted: false,
        }
    }

    pub(crate) fn address(&self) -> Address {
        match self.ip {
            CompactIp::V4(octets) => Address::Ip((octets, self.port).into()),
            CompactIp::V6(octets, scope) => {
                let scope = u32::from_ne_bytes(scope);
                Address::Ip(SocketAddrV6::new(octets.into(), self.port, 0, scope).into())
            }
            CompactIp::Unix => Address::Unix(None),
        }
    }

    pub(crate) fn source(&self) -> Option<Source> {
        self.address().ip().map(Source::of)
    }
}

const _: () = assert!(size_of::<CompactPeer>() <= 26);
const _: () = assert!(crate::limits::LISTENERS_MAX < u8::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_a_64() {
        let source = |text| Source::of(ip(text));
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:0:0:1"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_ne!(source("10.0.0.1"), source("10.0.0.2"));
        assert_eq!(source("10.0.0.1"), source("::ffff:10.0.0.1"));
    }

    #[test]
    fn the_compact_form_keeps_the_address() {
        for text in ["127.0.0.1:0", "1.2.3.4:65535", "[fe80::1%7]:80", "[::]:1"] {
            let address = Address::Ip(text.parse().unwrap());
            let compact = CompactPeer::new(&address, Origin::listener(3));
            assert_eq!(compact.address(), address);
            assert_eq!(compact.origin.index(), Some(3));
        }
        let unix = CompactPeer::new(&Address::Unix(None), Origin::OUTBOUND);
        assert_eq!((unix.address(), unix.origin.index()), (Address::Unix(None), None));
        assert_eq!(unix.source(), None);
    }
}
