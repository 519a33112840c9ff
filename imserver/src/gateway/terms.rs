//! On which terms connections are taken: what the listener says that they came from, and what a reload changes while the
//! loops run. Values of the configuration and what follows from them; it must never know a connection.

use std::net::{IpAddr, Ipv4Addr};

use netcore::{Address, Admission, Network, Peer};

use crate::{
    config::{Config, Door, Encryption},
    session::Rules,
};

/// Connections of an address beyond its share, so that they can be told. Those beyond these are closed without a word:
/// whoever sends nothing could keep any number of them.
const TURNED_AWAY_PER_ADDRESS: usize = 64;
/// What connections over a Unix socket count as: they come from this machine, too.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// See the module.
#[derive(Debug)]
pub(crate) struct Terms {
    /// The rules of sessions.
    pub rules: Rules,
    /// Connections of one address at a time.
    pub connections_per_address: usize,
    exempt: Vec<Network>,
    /// They tell for whom each request is.
    proxies: Vec<Network>,
    /// A connection from this machine may be a proxy's, and so anybody's.
    trusts_proxies: bool,
    cleartext_passwords: bool,
    /// By the tags of the listeners.
    entrances: Vec<Entrance>,
}

#[derive(Debug)]
struct Entrance {
    encryption: Encryption,
    doors: Vec<Door>,
}

impl Terms {
    /// As configured, with these rules of sessions and this share of an address.
    pub(crate) fn new(config: &Config, rules: Rules, connections_per_address: usize) -> Self {
        let entrance = |(listener, encryption): (crate::config::Listener, _)| Entrance {
            encryption,
            doors: listener.doors,
        };
        Self {
            rules,
            connections_per_address,
            exempt: config.limits.exempt.clone(),
            proxies: config.server.trusted_proxies.clone(),
            trusts_proxies: config.trusts_proxies(),
            cleartext_passwords: config.tls.cleartext_passwords,
            entrances: config.listeners().into_iter().map(entrance).collect(),
        }
    }

    /// The address that a peer's use is charged to.
    pub(crate) fn source(peer: &Peer) -> IpAddr {
        peer.address.ip().unwrap_or(HERE)
    }

    /// Whether rates and shares do not apply to this address.
    pub(crate) fn is_exempt(&self, address: IpAddr) -> bool {
        let listed = self.exempt.iter().any(|network| network.contains(address));
        listed && !(self.trusts_proxies && address.to_canonical().is_loopback())
    }

    /// Whether this address is a proxy's that is trusted to tell for whom each request is. Its connections are nobody's.
    pub(crate) fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(address))
    }

    /// What may be spoken with the peer.
    pub(crate) fn doors(&self, peer: &Peer) -> &[Door] {
        self.entrance(peer).map_or(&[], |entrance| &entrance.doors)
    }

    /// Whether passwords may come over the connection. Where clients choose whether to encrypt, somebody who listens on
    /// the way could read those that come in the clear.
    pub(crate) fn takes_passwords(&self, peer: &Peer, is_encrypted: bool) -> bool {
        let is_choice = self
            .entrance(peer)
            .is_some_and(|entrance| entrance.encryption == Encryption::Auto);
        is_encrypted || !is_choice || self.cleartext_passwords || self.is_from_here(peer)
    }

    /// The limit on connections of an address, as it is kept before anybody is asked.
    pub(crate) fn admission(&self) -> Admission {
        let mut exempt = self.exempt.clone();
        if self.trusts_proxies {
            let near = Network::loopback();
            exempt.retain(|network| !near.contains(network));
        }
        exempt.extend(&self.proxies);
        Admission {
            per_source: Some(
                self.connections_per_address
                    .saturating_add(TURNED_AWAY_PER_ADDRESS),
            ),
            exempt,
            ..Admission::default()
        }
    }

    /// Whether what the peer sends stays on this machine.
    fn is_from_here(&self, peer: &Peer) -> bool {
        let is_near = match &peer.address {
            Address::Ip(address) => address.ip().to_canonical().is_loopback(),
            Address::Unix(_) => true,
        };
        is_near && !peer.proxied && !self.trusts_proxies
    }

    fn entrance(&self, peer: &Peer) -> Option<&Entrance> {
        self.entrances.get(peer.tag as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(config: &str) -> Terms {
        let config = Config::parse(config).unwrap();
        Terms::new(&config, Rules::new(&config, 0), 8)
    }

    fn peer(address: &str, tag: u32) -> Peer {
        let address = match address.parse::<IpAddr>() {
            Ok(ip) => Address::Ip((ip, 4000).into()),
            Err(_) => Address::Unix(None),
        };
        let mut peer = Peer::new(address.clone(), address);
        peer.tag = tag;
        peer
    }

    const CHOICE: &str = "[[listen]]\naddress = \"0.0.0.0:1\"\ntls = \"auto\"\n\
                          [[listen]]\naddress = \"0.0.0.0:2\"\ntls = \"off\"\ndoors = [\"native\"]\n";

    #[test]
    fn passwords_come_in_the_clear_from_this_machine_alone_where_clients_choose() {
        let terms = terms(CHOICE);
        for (address, encrypted, taken) in [
            ("192.0.2.1", false, false),
            ("192.0.2.1", true, true),
            ("2001:db8::1", false, false),
            ("127.0.0.1", false, true),
            ("::1", false, true),
            ("::ffff:127.0.0.1", false, true),
            ("unix", false, true),
        ] {
            assert_eq!(
                terms.takes_passwords(&peer(address, 0), encrypted),
                taken,
                "{address}"
            );
            // Whoever turned TLS off has something else in front of it.
            assert!(terms.takes_passwords(&peer(address, 1), encrypted));
        }
        let mut proxied = peer("127.0.0.1", 0);
        proxied.proxied = true;
        assert!(!terms.takes_passwords(&proxied, false));
        let allowed = self::terms(&format!("[tls]\ncleartext_passwords = true\n{CHOICE}"));
        assert!(allowed.takes_passwords(&peer("192.0.2.1", 0), false));
    }

    #[test]
    fn with_a_trusted_proxy_nothing_that_comes_from_this_machine_is_exempt() {
        let proxies = "[server]\ntrusted_proxies = [\"10.0.0.1\"]\n";
        let header = "[[listen]]\naddress = \"0.0.0.0:1\"\nproxy_protocol = [\"10.0.0.1\"]\n";
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let direct = terms("[limits]\nexempt = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n");
        assert!(direct.is_exempt(ip("127.0.0.1")) && direct.is_exempt(ip("10.0.0.1")));
        assert!(!direct.is_exempt(ip("192.0.2.1")));
        assert!(direct.is_exempt(Terms::source(&peer("unix", 0))));
        assert_eq!(direct.admission().exempt.len(), 2);
        for trusting in [proxies, header] {
            let terms = terms(&format!(
                "{trusting}[limits]\nexempt = [\"::/0\", \"127.0.0.0/8\"]\n"
            ));
            assert!(!terms.is_exempt(ip("127.0.0.1")) && !terms.is_exempt(ip("::1")));
            assert!(!terms.is_exempt(Terms::source(&peer("unix", 0))));
            assert!(terms.is_exempt(ip("10.0.0.1")));
            let all: Network = "::/0".parse().unwrap();
            let expected = [&[all][..], &terms.proxies].concat();
            assert_eq!(terms.admission().exempt, expected);
        }
        let terms = terms(&format!("{proxies}{CHOICE}"));
        assert!(!terms.takes_passwords(&peer("127.0.0.1", 0), false));
    }

    #[test]
    fn a_proxy_has_connections_for_all_its_clients() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let terms = terms("[server]\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n");
        for (address, is_proxy) in [
            ("127.0.0.1", true),
            ("::ffff:10.1.2.3", true),
            ("127.0.0.2", false),
            ("192.0.2.1", false),
        ] {
            assert_eq!(terms.is_proxy(ip(address)), is_proxy, "{address}");
            let admitted = terms.admission().exempt;
            assert_eq!(
                admitted.iter().any(|network| network.contains(ip(address))),
                is_proxy
            );
            assert!(!terms.is_exempt(ip(address)), "{address}: its rates");
        }
    }

    #[test]
    fn an_address_has_the_doors_that_the_configuration_says() {
        let terms = terms(CHOICE);
        assert_eq!(terms.doors(&peer("192.0.2.1", 0)), [Door::Native, Door::Http]);
        assert_eq!(terms.doors(&peer("192.0.2.1", 1)), [Door::Native]);
    }
}
