//! `[[listen]]`: the addresses that this process serves on, each with rules of its own. It owns what they may say; it must
//! never open one.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use netcore::{Network, limits::LISTENERS_MAX};
use serde::{Deserialize, Deserializer, de::Error};

use super::{Config, ConfigError, Server, flags, limits::networks};

/// What an address begins with that is a Unix socket's.
const UNIX: &str = "unix:";

/// The addresses of `[[listen]]`; none: `server.listen` is the only one.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(transparent)]
pub struct Listeners(pub Vec<Listener>);

/// An address to serve on.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Where.
    pub address: ListenAddress,
    /// The permissions of a Unix socket's file; `None`: what the process' umask leaves.
    #[serde(default, deserialize_with = "mode")]
    pub mode: Option<u32>,
    /// Whether clients encrypt; `None`: as they like if there is a certificate, else not.
    #[serde(default)]
    pub tls: Option<Encryption>,
    /// The networks of proxies whose connections begin with a PROXY header.
    #[serde(default, deserialize_with = "networks")]
    pub proxy_protocol: Vec<Network>,
    /// What is spoken here.
    #[serde(default = "all_doors")]
    pub doors: Vec<Door>,
}

/// Where to listen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ListenAddress {
    /// A TCP address.
    Ip(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// Whether connections are encrypted.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// None is.
    Off,
    /// All are.
    On,
    /// As the client likes.
    Auto,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// The protocol's own frames.
    Native,
    /// HTTP, and what begins as that.
    Http,
}

impl Config {
    /// Every address to serve on, with whether its connections are encrypted.
    pub fn listeners(&self) -> Vec<(Listener, Encryption)> {
        let only = || Listener::at(ListenAddress::Ip(self.server.listen));
        let listeners = match self.listen.0.as_slice() {
            [] => vec![only()],
            listeners => listeners.to_vec(),
        };
        let encryption = |listener: &Listener| match listener.tls {
            Some(encryption) => encryption,
            None if self.tls.is_configured() => Encryption::Auto,
            None => Encryption::Off,
        };
        listeners
            .into_iter()
            .map(|listener| {
                let encryption = encryption(&listener);
                (listener, encryption)
            })
            .collect()
    }

    /// Whether some networks are trusted to tell their clients' addresses. Then a connection from this machine may stand for
    /// anybody.
    pub fn trusts_proxies(&self) -> bool {
        let proxied = |listener: &Listener| !listener.proxy_protocol.is_empty();
        !self.server.trusted_proxies.is_empty() || self.listen.0.iter().any(proxied)
    }
}

impl Listener {
    /// One with the defaults.
    pub fn at(address: ListenAddress) -> Self {
        Self {
            address,
            mode: None,
            tls: None,
            proxy_protocol: Vec::new(),
            doors: all_doors(),
        }
    }
}

impl Listeners {
    /// What no type says.
    pub(super) fn check(&self, config: &Config) -> Result<(), ConfigError> {
        let refused = |what: String| Err(ConfigError::Refused(what));
        if self.0.is_empty() {
            return Ok(());
        }
        if config.server.listen != Server::default().listen {
            return refused(
                "server.listen and [[listen]] say where to listen: leave one of them out".to_owned(),
            );
        }
        if self.0.len() > LISTENERS_MAX {
            return refused(format!(
                "{} times [[listen]] is too often: at most {LISTENERS_MAX} times",
                self.0.len()
            ));
        }
        for (index, listener) in self.0.iter().enumerate() {
            let address = &listener.address;
            let encrypts = matches!(listener.tls, Some(Encryption::On | Encryption::Auto));
            if encrypts && !config.tls.is_configured() {
                return refused(format!(
                    "listen.tls of {address} needs a certificate: set tls.certificate and tls.key"
                ));
            }
            if listener.doors.is_empty() {
                return refused(format!(
                    "listen.doors of {address} is empty: nothing could be said there"
                ));
            }
            if listener.mode.is_some() && matches!(address, ListenAddress::Ip(_)) {
                return refused(format!("listen.mode of {address} is for Unix sockets"));
            }
            let earlier = self.0.iter().take(index);
            if !address.is_any_port() && earlier.clone().any(|other| other.address == *address) {
                return refused(format!("listen.address {address} is there twice"));
            }
        }
        Ok(())
    }

    /// As tables for people; without any, as an example that is commented out.
    pub(super) fn to_manual(&self) -> String {
        if self.0.is_empty() {
            return EXAMPLE.to_owned();
        }
        let tables: Vec<String> = self.0.iter().map(Listener::to_manual).collect();
        tables.join("\n")
    }
}

/// All keys of a listener. What is said of them is said nowhere else.
const EXAMPLE: &str = "\
# Addresses in the place of server.listen, each with rules of its own:
# [[listen]]
# address = \"0.0.0.0:7400\"      # or \"unix:/run/imserver/imserver.sock\"
# mode = \"660\"                  # permissions of a Unix socket's file; left out: as the umask has it
# tls = \"auto\"                  # off, on, or auto: as each client likes; left out: auto with a certificate, else off
# proxy_protocol = []           # networks of proxies whose connections begin with a PROXY header, and must; on a Unix
#                               # socket, with any network here, all do
# doors = [\"native\", \"http\"]  # what is spoken here
";

impl Listener {
    fn to_manual(&self) -> String {
        let text = |value: &dyn fmt::Display| toml::Value::from(value.to_string()).to_string();
        let mut lines = vec![
            "[[listen]]".to_owned(),
            format!("address = {}", text(&self.address)),
        ];
        lines.extend(self.mode.map(|mode| format!("mode = \"{mode:o}\"")));
        // Each word in the file is the variant's name in lower case.
        let word = |value: &dyn fmt::Debug| format!("{value:?}").to_lowercase();
        lines.extend(self.tls.map(|tls| format!("tls = \"{}\"", word(&tls))));
        let networks: Vec<String> = self.proxy_protocol.iter().map(ToString::to_string).collect();
        lines.push(format!("proxy_protocol = {}", toml::Value::from(networks)));
        let doors: Vec<String> = self.doors.iter().map(|door| word(door)).collect();
        lines.push(format!("doors = {}\n", toml::Value::from(doors)));
        lines.join("\n")
    }
}

impl ListenAddress {
    /// The TCP address, if it is one.
    pub const fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    fn is_any_port(&self) -> bool {
        self.socket_addr().is_some_and(|address| address.port() == 0)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "{UNIX}{}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.strip_prefix(UNIX) {
            Some(path) if Path::new(path).is_absolute() => Ok(Self::Unix(path.into())),
            Some(path) => Err(D::Error::custom(format!(
                "{path:?} must be an absolute path, as unix:/run/imserver.sock"
            ))),
            None => flags::address(&text).map(Self::Ip).map_err(D::Error::custom),
        }
    }
}

fn all_doors() -> Vec<Door> {
    vec![Door::Native, Door::Http]
}

/// Permissions as people write them: three octal digits.
fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || {
        D::Error::custom(format!(
            "{text:?} must be permissions in octal digits, as \"660\""
        ))
    };
    let bits = u32::from_str_radix(&text, 8).map_err(|_| wrong())?;
    if bits > 0o777 {
        Err(wrong())
    } else {
        Ok(Some(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<Config, String> {
        let config = Config::parse(text).map_err(|error| error.to_string())?;
        config.check().map(|()| config).map_err(|error| error.to_string())
    }

    const TLS: &str = "[tls]\ncertificate = \"a.pem\"\nkey = \"b.pem\"\n";

    #[test]
    fn without_a_list_there_is_one_address_which_encrypts_if_it_can() {
        let plain = checked("[server]\nlisten = \"[::1]:1\"\n").unwrap().listeners();
        let at = Listener::at(ListenAddress::Ip("[::1]:1".parse().unwrap()));
        assert_eq!(plain, [(at, Encryption::Off)]);
        let [(_, encryption)] = checked(TLS).unwrap().listeners().try_into().unwrap();
        assert_eq!(encryption, Encryption::Auto);
    }

    #[test]
    fn each_address_has_rules_of_its_own() {
        let config = checked(&format!(
            "{TLS}[[listen]]\naddress = \"0.0.0.0:7400\"\n\
             [[listen]]\naddress = \"unix:/run/im.sock\"\nmode = \"660\"\ntls = \"off\"\ndoors = [\"native\"]\n\
             [[listen]]\naddress = \"127.0.0.1:7401\"\ntls = \"on\"\nproxy_protocol = [\"127.0.0.0/8\"]\n"
        ))
        .unwrap();
        let [(all, auto), (unix, off), (proxied, on)] = config.listeners().try_into().unwrap();
        assert_eq!(
            (auto, off, on),
            (Encryption::Auto, Encryption::Off, Encryption::On)
        );
        assert_eq!(all.doors, [Door::Native, Door::Http]);
        assert_eq!((unix.mode, unix.doors), (Some(0o660), vec![Door::Native]));
        assert_eq!(unix.address.to_string(), "unix:/run/im.sock");
        assert_eq!(proxied.proxy_protocol, ["127.0.0.0/8".parse().unwrap()]);
        assert!(config.trusts_proxies());
        assert_eq!(Config::parse(&config.to_manual()).unwrap(), config);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let listen = |keys: &str| format!("[[listen]]\naddress = \"127.0.0.1:1\"\n{keys}");
        for (text, named) in [
            (listen("tls = \"on\"\n"), "tls.certificate"),
            (listen("tls = \"auto\"\n"), "127.0.0.1:1"),
            (listen("tls = \"maybe\"\n"), "listen.tls"),
            (listen("doors = []\n"), "listen.doors"),
            (listen("doors = [\"back\"]\n"), "listen.doors"),
            (listen("mode = \"660\"\n"), "listen.mode"),
            (listen("mode = \"999\"\n"), "octal"),
            (listen("proxy_protocol = [\"here\"]\n"), "listen.proxy_protocol"),
            (listen("port = 1\n"), "port"),
            (listen(&listen("")), "twice"),
            ("[[listen]]\naddress = \"unix:im.sock\"\n".to_owned(), "absolute"),
            ("[[listen]]\naddress = \"nowhere\"\n".to_owned(), "listen.address"),
            ("[[listen]]\ntls = \"off\"\n".to_owned(), "address"),
            (
                format!("[server]\nlisten = \"127.0.0.1:2\"\n{}", listen("")),
                "server.listen",
            ),
            (listen("").repeat(LISTENERS_MAX + 1), "too often"),
            ("[tls]\ncertificate = \"a.pem\"\n".to_owned(), "tls.key"),
            ("[tls]\nkey = \"a.pem\"\n".to_owned(), "tls.certificate"),
        ] {
            let error = checked(&text).unwrap_err();
            assert!(error.contains(named) && !error.contains('\n'), "{named}: {error}");
        }
    }
}
