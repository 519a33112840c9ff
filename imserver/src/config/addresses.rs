//! What this node is called and where it is reached: checks, and what follows where nothing is configured.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Config, ConfigError, StoreUrl};

/// Bytes of a node's name, at most.
const NODE_BYTES_MAX: usize = 64;
/// Bytes of the address that clients are told, at most: a DNS name has 253, a port 5.
const ADVERTISE_BYTES_MAX: usize = 260;
/// What a node is called that has nobody to be confused with.
const ONLY_NODE: &str = "imserver";

impl Config {
    /// Gives the node a name if the configuration does not: `imserver` where there is one node only, else the machine's
    /// name and the port, so that two nodes are not called alike by default.
    pub fn name_node(&mut self, host: &str, listening: Option<SocketAddr>) {
        if !self.server.node.is_empty() {
            return;
        }
        self.server.node = match &self.store.url {
            StoreUrl::Default | StoreUrl::Sqlite(_) => ONLY_NODE.to_owned(),
            StoreUrl::Postgres(_) => automatic_name(host, listening.map_or(0, |address| address.port())),
        };
    }

    /// An address that a client on this machine can connect to, or the one that is told to clients.
    pub fn reachable(&self, listening: SocketAddr) -> String {
        if !self.cluster.advertise.is_empty() {
            return self.cluster.advertise.clone();
        }
        let ip = match listening.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
        };
        SocketAddr::new(ip, listening.port()).to_string()
    }
}

/// `HOST:PORT`, with what a name must not have left out.
fn automatic_name(host: &str, port: u16) -> String {
    let allowed = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
    let longest = NODE_BYTES_MAX - ":65535".len();
    let host: String = host.chars().filter(allowed).take(longest).collect();
    let host = if host.is_empty() { ONLY_NODE } else { &host };
    format!("{host}:{port}")
}

/// A node's name stands in lists with one node a line.
pub(super) fn check_node(name: &str) -> Result<(), ConfigError> {
    if name.len() > NODE_BYTES_MAX {
        return Err(ConfigError::Refused(format!(
            "server.node has {} bytes, but must have at most {NODE_BYTES_MAX}",
            name.len()
        )));
    }
    if name
        .chars()
        .any(|letter| letter.is_control() || letter.is_whitespace())
    {
        return Err(ConfigError::Refused(
            "server.node must have no spaces and no control characters".to_owned(),
        ));
    }
    Ok(())
}

/// An address that clients are told must be one they can use: `HOST:PORT`.
pub(super) fn check_advertised(address: &str) -> Result<(), ConfigError> {
    let refused = |what: &str| {
        Err(ConfigError::Refused(format!(
            "cluster.advertise is {address:?}, {what}: write HOST:PORT as clients reach this node, with an IPv6 address \
             in brackets, or leave it empty"
        )))
    };
    if address.is_empty() {
        return Ok(());
    }
    if address.len() > ADVERTISE_BYTES_MAX {
        return Err(ConfigError::Refused(format!(
            "cluster.advertise must have at most {ADVERTISE_BYTES_MAX} bytes"
        )));
    }
    let Some((host, port)) = address.rsplit_once(':') else {
        return refused("without a port");
    };
    if !port.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(port.parse::<u16>(), Ok(1..)) {
        return refused("whose port is none of 1 to 65535");
    }
    let ip: Option<IpAddr> = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => match inner.parse::<Ipv6Addr>() {
            Ok(ip) => Some(ip.into()),
            Err(_) => return refused("whose brackets hold no IPv6 address"),
        },
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::from),
    };
    match ip {
        Some(ip) if ip.is_unspecified() || ip.is_multicast() => refused("which nobody can connect to"),
        None if !is_host_name(host) => refused("whose host is neither a name nor an address"),
        _ => Ok(()),
    }
}

/// RFC 1123, and underscores, which some internal names have. Names of digits and dots alone are mistyped addresses.
fn is_host_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    host.len() <= 253 && host.split('.').all(label) && host.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_clients_can_use_are_advertised() {
        for good in [
            "",
            "chat.example.org:7400",
            "localhost:1",
            "10.0.0.1:65535",
            "[2001:db8::1]:7400",
            "node_1.:80",
        ] {
            check_advertised(good).unwrap();
        }
        for wrong in [
            "chat.example.org",
            "chat.example.org:",
            "chat.example.org:0",
            "chat.example.org:65536",
            "chat.example.org:+80",
            "chat.example.org:http",
            "2001:db8::1:7400",
            "[2001:db8::1]",
            "[chat]:7400",
            "0.0.0.0:7400",
            "[::]:7400",
            "224.0.0.1:7400",
            "10.0.0:7400",
            ":7400",
            "a b:7400",
            "-a:7400",
            "tcp://chat.example.org:7400",
            "a\nb:7400",
        ] {
            let error = check_advertised(wrong).unwrap_err().to_string();
            assert!(
                error.contains("cluster.advertise") && error.contains("HOST:PORT") && !error.contains('\n'),
                "{error}"
            );
        }
        assert!(check_advertised(&format!("{}:1", "a".repeat(300))).is_err());
    }

    #[test]
    fn nodes_have_names_of_their_own_by_default() {
        let listening: SocketAddr = "[::]:7401".parse().unwrap();
        let name = |url: &str, host: &str| {
            let mut config = Config::default();
            config.store.url = url.parse().unwrap();
            config.name_node(host, Some(listening));
            check_node(&config.server.node).unwrap();
            config.server.node
        };
        assert_eq!(name("", "box"), "imserver");
        assert_eq!(name("postgres://im@db/im", "box"), "box:7401");
        assert_eq!(name("postgres://im@db/im", ""), "imserver:7401");
        assert_eq!(name("postgres://im@db/im", &"b\u{e9}x ".repeat(64)).len(), 63);
        let mut config = Config::default();
        config.server.node = "one".to_owned();
        config.name_node("box", None);
        assert_eq!(config.server.node, "one");
        for wrong in ["two words", "tab\tbed", "esc\u{1b}", &"n".repeat(65)] {
            assert!(check_node(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_shown_can_be_connected_to() {
        let mut config = Config::default();
        for (listening, shown) in [
            ("0.0.0.0:7400", "127.0.0.1:7400"),
            ("[::]:7400", "[::1]:7400"),
            ("10.0.0.1:7400", "10.0.0.1:7400"),
        ] {
            assert_eq!(config.reachable(listening.parse().unwrap()), shown);
        }
        config.cluster.advertise = "chat.example.org:7400".to_owned();
        assert_eq!(
            config.reachable("0.0.0.0:1".parse().unwrap()),
            "chat.example.org:7400"
        );
    }
}
