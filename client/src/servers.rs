//! The list of servers, and the order in which they are tried. It owns the parsing of their addresses and the memory of
//! unreachable servers. It must never connect or read a clock: the caller supplies the time.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::error::Error;

/// The prefix of the address of a server with TLS.
const TLS: &str = "tls://";
/// Servers in a list, at most.
const SERVERS_MAX: usize = 64;
/// How long a server is left out after it could not be reached, unless no other can be reached either.
pub const OUT_OF_REACH: Duration = Duration::from_secs(30);

/// A server's address: `HOST:PORT`, or `tls://HOST:PORT` where connections are encrypted. An IPv6 address stands in brackets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerAddress {
    /// Connections are encrypted.
    pub tls: bool,
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl ServerAddress {
    /// Parses an address.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (tls, rest) = match text.strip_prefix(TLS) {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if rest.contains('/') {
            return Err("it is an address of something else");
        }
        let (host, port) = rest.rsplit_once(':').ok_or("the port is missing")?;
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if host.contains(':') && inner.is_none() {
            return Err("an IPv6 address stands in brackets, as in [::1]:7400");
        }
        let host = inner.unwrap_or(host);
        let is_strange = |letter: char| letter.is_whitespace() || letter.is_control();
        if host.is_empty() || host.chars().any(is_strange) {
            return Err("the host is missing");
        }
        let is_digits = port.bytes().all(|byte| byte.is_ascii_digit());
        match port.parse() {
            Ok(port @ 1..) if is_digits => Ok(Self {
                tls,
                host: host.to_owned(),
                port,
            }),
            _ => Err("the port is a number from 1 to 65535"),
        }
    }

    /// Parses a list of addresses that are separated by commas.
    ///
    /// # Errors
    /// The first wrong address with the reason; or there are too many.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        let parse = |one: &str| Self::parse(one).map_err(|why| format!("'{one}' is no server: {why}"));
        let servers = text.split(',').map(parse).collect::<Result<Vec<_>, _>>()?;
        if servers.len() > SERVERS_MAX {
            return Err(format!(
                "{} servers are too many: at most {SERVERS_MAX}",
                servers.len()
            ));
        }
        Ok(servers)
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { TLS } else { "" };
        if self.host.contains(':') {
            write!(formatter, "{scheme}[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{scheme}{}:{}", self.host, self.port)
        }
    }
}

/// The servers of a client, in the order in which they are preferred.
#[derive(Debug)]
pub(crate) struct Servers {
    known: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    address: ServerAddress,
    /// Until when it is left out, because it could not be reached.
    back_at: Option<Instant>,
}

impl Servers {
    /// The servers of a list, see [`ServerAddress::parse_list`].
    pub(crate) fn parse(list: &str) -> Result<Self, Error> {
        let addresses = ServerAddress::parse_list(list).map_err(Error::Unreachable)?;
        let known = |address| Known {
            address,
            back_at: None,
        };
        Ok(Self {
            known: addresses.into_iter().map(known).collect(),
        })
    }

    /// The servers to try now, in order: first those that a server has named, then those of the list that are not left
    /// out; if all of the list are left out, all of them. If any server of the list uses TLS, so do the named ones:
    /// nothing is sent in the clear to a server that is not on the list.
    pub(crate) fn to_try(&self, told: &[String], now: Instant) -> Vec<ServerAddress> {
        let tls = self.known.iter().any(|known| known.address.tls);
        let told = told.iter().filter_map(|text| {
            let address = ServerAddress::parse(text).ok()?;
            Some(ServerAddress { tls, ..address })
        });
        let is_left_out = |known: &&Known| known.back_at.is_some_and(|at| at > now);
        let all_are = self.known.iter().all(|known| is_left_out(&known));
        let own = self.known.iter().filter(|known| all_are || !is_left_out(known));
        told.chain(own.map(|known| known.address.clone())).collect()
    }

    /// This one could not be reached.
    pub(crate) fn failed(&mut self, address: &ServerAddress, now: Instant) {
        self.set(address, Some(now + OUT_OF_REACH));
    }

    /// A connection to this one stands.
    pub(crate) fn reached(&mut self, address: &ServerAddress) {
        self.set(address, None);
    }

    fn set(&mut self, address: &ServerAddress, back_at: Option<Instant>) {
        for known in self.known.iter_mut().filter(|known| known.address == *address) {
            known.back_at = back_at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(servers: &Servers, told: &[&str], now: Instant) -> Vec<String> {
        let told: Vec<String> = told.iter().map(|text| (*text).to_owned()).collect();
        let addresses = servers.to_try(&told, now);
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_address_is_shown_as_it_is_read() {
        for text in [
            "localhost:7400",
            "tls://im.example.org:443",
            "[::1]:1",
            "tls://[2001:db8::1]:65535",
        ] {
            assert_eq!(ServerAddress::parse(text).unwrap().to_string(), text);
        }
        for wrong in [
            "",
            "tls://",
            "tls://a",
            "ssl://a:1",
            "a:0",
            "a:1/",
            "::1:1",
            "a:+1",
            "a b:1",
            "tls://a:1/x",
        ] {
            ServerAddress::parse(wrong).unwrap_err();
        }
        assert_eq!(ServerAddress::parse_list("a:1,tls://b:2").unwrap().len(), 2);
        for wrong in ["a:1,", ",a:1", "a:1, b:2", ""] {
            ServerAddress::parse_list(wrong).unwrap_err();
        }
        ServerAddress::parse_list(&vec!["a:1"; SERVERS_MAX + 1].join(",")).unwrap_err();
    }

    #[test]
    fn one_that_is_out_of_reach_is_left_out_for_a_while_unless_all_are() {
        let (now, mut servers) = (Instant::now(), Servers::parse("a:1,b:2").unwrap());
        let first = ServerAddress::parse("a:1").unwrap();
        let second = ServerAddress::parse("b:2").unwrap();
        assert_eq!(shown(&servers, &[], now), ["a:1", "b:2"]);
        servers.failed(&first, now);
        assert_eq!(shown(&servers, &[], now), ["b:2"]);
        servers.failed(&second, now);
        assert_eq!(shown(&servers, &[], now), ["a:1", "b:2"]);
        servers.reached(&second);
        assert_eq!(shown(&servers, &[], now), ["b:2"]);
        assert_eq!(shown(&servers, &[], now + OUT_OF_REACH), ["a:1", "b:2"]);
    }

    #[test]
    fn what_a_server_tells_comes_first_and_is_as_encrypted_as_the_list() {
        let now = Instant::now();
        let plain = Servers::parse("a:1").unwrap();
        assert_eq!(shown(&plain, &["c:3", "nonsense"], now), ["c:3", "a:1"]);
        let encrypted = Servers::parse("tls://a:1").unwrap();
        assert_eq!(shown(&encrypted, &["c:3"], now), ["tls://c:3", "tls://a:1"]);
    }
}
