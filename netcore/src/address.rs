//! Owns the addresses of connections and networks: their public form, and the compact form that a connection keeps.
//! Must never resolve a name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::str::FromStr;
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

/// A block of IP addresses in CIDR notation (RFC 4632): `10.0.0.0/8`, `::1/128`, or a single address.
///
/// ```
/// use netcore::Network;
/// let network: Network = "10.0.0.0/8".parse()?;
/// assert!(network.contains("10.255.0.1".parse().unwrap()));
/// assert!(network.contains("::ffff:10.0.0.1".parse().unwrap()));
/// assert!(!network.contains("11.0.0.1".parse().unwrap()));
/// # Ok::<_, netcore::InvalidNetwork>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Network {
    base: u128,
    mask: u128,
}

/// The text is not a network.
///
/// ```
/// use netcore::{InvalidNetwork, Network};
///
/// assert_eq!("10.0.0.0/33".parse::<Network>(), Err(InvalidNetwork));
/// assert_eq!("localhost".parse::<Network>(), Err(InvalidNetwork));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an address or a network in CIDR notation")]
pub struct InvalidNetwork;

impl Network {
    /// The addresses that share their first `prefix` bits with `address`; `None` if an address has fewer bits.
    ///
    /// ```
    /// use netcore::Network;
    /// use std::net::{IpAddr, Ipv4Addr};
    ///
    /// let subnet = Network::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77)), 24);
    /// assert_eq!(subnet, "192.0.2.0/24".parse().ok());
    /// assert_eq!(Network::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 33), None);
    /// ```
    #[must_use]
    pub const fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let (bits, extra) = match address {
            IpAddr::V4(_) => (32, 96),
            IpAddr::V6(_) => (128, 0),
        };
        if prefix > bits {
            return None;
        }
        let mask = match 128 - extra - prefix as u32 {
            128 => 0,
            host => u128::MAX << host,
        };
        Some(Self {
            base: to_bits(address) & mask,
            mask,
        })
    }

    /// Whether the address is in the block. IPv4 addresses and their mapped IPv6 form are the same.
    #[must_use]
    pub const fn contains(&self, address: IpAddr) -> bool {
        to_bits(address) & self.mask == self.base
    }

    /// `127.0.0.0/8` and `::1`.
    ///
    /// ```
    /// use netcore::Network;
    ///
    /// let near = Network::loopback();
    /// let is_near = |address: &str| near.iter().any(|network| network.contains(address.parse().unwrap()));
    /// assert!(is_near("127.0.0.53") && is_near("::1") && !is_near("192.0.2.1"));
    /// ```
    #[must_use]
    pub fn loopback() -> Vec<Self> {
        let v4 = Self::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8);
        let v6 = Self::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 128);
        v4.into_iter().chain(v6).collect()
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse().map_err(|_| InvalidNetwork)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| InvalidNetwork)?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        Self::new(address, prefix.unwrap_or(whole)).ok_or(InvalidNetwork)
    }
}

/// In CIDR notation; a block of one address is that address. What it shows is the same network when it is read again.
///
/// ```
/// use netcore::Network;
///
/// let shown = |text: &str| text.parse::<Network>().unwrap().to_string();
/// assert_eq!(shown("10.1.2.3/8"), "10.0.0.0/8");
/// assert_eq!(shown("::1/128"), "::1");
/// ```
impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = Ipv6Addr::from_bits(self.base);
        // A base has the whole marker of IPv4 only if the mask covers that: then all of the block is IPv4.
        let (address, bits) = match base.to_ipv4_mapped() {
            Some(v4) => (IpAddr::V4(v4), 32),
            None => (IpAddr::V6(base), 128),
        };
        // The bits that addresses of the block may differ in.
        let free = self.mask.count_zeros();
        if free == 0 {
            write!(formatter, "{address}")
        } else {
            write!(formatter, "{address}/{}", bits - free)
        }
    }
}

const fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
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
    fn a_network_has_the_addresses_of_its_prefix() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.1.2.3", "11.0.0.0"),
            ("192.168.1.77/32", "192.168.1.77", "192.168.1.78"),
            ("192.168.1.77", "192.168.1.77", "192.168.1.76"),
            ("192.168.1.77/31", "192.168.1.76", "192.168.1.78"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "::2"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("127.0.0.0/8", "::ffff:127.0.0.1", "::ffff:128.0.0.1"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(ip(inside)), "{network:?} {inside}");
            assert!(!network.contains(ip(outside)), "{network:?} {outside}");
        }
        assert!("::/0".parse::<Network>().unwrap().contains(ip("8.8.8.8")));
    }

    #[test]
    fn a_network_is_shown_as_it_is_read() {
        for (read, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("192.168.1.77/32", "192.168.1.77"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("::/80", "::/80"),
            ("::ffff:0:0/80", "::/80"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("fd12::1/8", "fd00::/8"),
            ("::1", "::1"),
        ] {
            let network: Network = read.parse().unwrap();
            assert_eq!(network.to_string(), shown);
            assert_eq!(shown.parse(), Ok(network));
        }
    }

    #[test]
    fn what_is_not_a_network_is_refused() {
        for text in [
            "",
            "localhost",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/x",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "host/8",
            "10.0.0/8",
        ] {
            assert_eq!(text.parse::<Network>(), Err(InvalidNetwork), "{text}");
        }
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
