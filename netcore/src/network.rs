//! Owns blocks of addresses. Must never resolve a name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

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

/// The bits of an address, of IPv4 in its mapped IPv6 form.
pub(crate) const fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

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
}
