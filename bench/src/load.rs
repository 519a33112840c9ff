//! What every workload is given: where the server is, who the load is, and what it speaks.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use clap::ValueEnum;
use rustls::ClientConfig;

use crate::{
    BenchError, accounts,
    dialect::{
        Account, Dialect, Follow, Role, http::Http, imserver::Imserver, mqtt::Mqtt, nats::Nats, relay::Relay,
        tls::Tls, websocket::WebSocket, xmpp::Xmpp,
    },
    driver::Driver,
    pace::Dice,
    stamp::RUN_MAX,
    traffic::Bodies,
    watch::Watch,
};

/// What the load speaks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Spoken {
    /// The protocol of imserver.
    #[default]
    Imserver,
    /// That of the bare relay, `relay-limit`.
    Relay,
    /// MQTT 3.1.1, quality of service 1 and sessions that stay.
    Mqtt,
    /// NATS JetStream: one stream, a durable consumer each.
    Nats,
    /// XMPP with stream management; no groups.
    Xmpp,
}

/// The way to the server.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Door {
    /// What is spoken, and nothing around it.
    #[default]
    Native,
    /// The same, encrypted; `--ca` says whom to believe.
    Tls,
    /// The same as messages of a WebSocket; imserver alone.
    Websocket,
    /// Who sends makes calls on a kept connection, who receives follows the stream of events; imserver alone, and one
    /// sender of each conversation.
    Http,
}

/// Which of several processes this is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Part {
    pub(crate) index: usize,
    pub(crate) of: usize,
}

impl Part {
    /// The only one.
    pub(crate) const WHOLE: Self = Self { index: 0, of: 1 };

    /// How many of `total` are this one's.
    pub(crate) const fn share(self, total: usize) -> usize {
        self.before(total, self.index + 1) - self.before(total, self.index)
    }

    /// How many of `total` are those of the parts before.
    pub(crate) const fn offset(self, total: usize) -> usize {
        self.before(total, self.index)
    }

    const fn before(self, total: usize, index: usize) -> usize {
        (total as u128 * index as u128 / self.of as u128) as usize
    }
}

/// Tells this load's messages from those of every other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    id: u64,
    began_ms: u64,
    salt: u32,
}

impl Run {
    pub(crate) fn new() -> Result<Self, BenchError> {
        let random = accounts::random()?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            id: random & RUN_MAX,
            began_ms: u64::try_from(since.as_millis()).unwrap_or(0),
            salt: (random >> 32) as u32,
        })
    }

    pub(crate) const fn bodies(self, size: usize) -> Bodies {
        Bodies { run: self.id, size }
    }

    pub(crate) const fn dice(self) -> Dice {
        Dice(self.id)
    }
}

/// See the module.
pub(crate) struct Load<'a> {
    pub(crate) server: SocketAddr,
    pub(crate) spoken: Spoken,
    pub(crate) door: Door,
    /// Whom to believe; needed by [`Door::Tls`].
    pub(crate) trust: Option<Arc<ClientConfig>>,
    pub(crate) part: Part,
    pub(crate) run: Run,
    /// Those of this part.
    pub(crate) accounts: Vec<Account>,
    pub(crate) watch: &'a mut dyn Watch,
}

impl Load<'_> {
    pub(crate) fn driver(&self) -> Result<Driver, BenchError> {
        Driver::new(self.server, self.source())
    }

    /// A driver of one client for each account, numbered as these are.
    pub(crate) fn driver_of_all(&self, follow: Follow) -> Result<Driver, BenchError> {
        let mut driver = self.driver()?;
        for account in &self.accounts {
            driver.add(self.device(account, follow, Role::Receives)?, None);
        }
        Ok(driver)
    }

    /// An address of its own for each of several processes: the ports of one would not suffice.
    fn source(&self) -> Option<IpAddr> {
        let IpAddr::V4(server) = self.server.ip() else {
            return None;
        };
        if !server.is_loopback() || self.part.of == 1 {
            return None;
        }
        let index = u8::try_from(self.part.index % 250).unwrap_or(0);
        Some(Ipv4Addr::new(127, 0, 1, index + 1).into())
    }

    /// One client's side of what is spoken.
    ///
    /// # Errors
    /// Nothing says whom to believe.
    pub(crate) fn device(
        &self,
        account: &Account,
        follow: Follow,
        role: Role,
    ) -> Result<Box<dyn Dialect>, BenchError> {
        let Run { began_ms, salt, .. } = self.run;
        let host = || self.server.to_string();
        if self.door == Door::Http {
            return Ok(Box::new(Http::new(account.clone(), role, host(), began_ms, salt)));
        }
        let device: Box<dyn Dialect> = match self.spoken {
            Spoken::Imserver => Box::new(Imserver::new(account.clone(), follow, began_ms, salt)),
            Spoken::Relay => Box::new(Relay::new(account)),
            Spoken::Mqtt => Box::new(Mqtt::new(account)),
            Spoken::Nats => Box::new(Nats::new(account)),
            Spoken::Xmpp => Box::new(Xmpp::new(account)),
        };
        Ok(match self.door {
            Door::Native | Door::Http => device,
            Door::Tls => {
                let trust = self.trust.clone().ok_or_else(|| {
                    BenchError::Other("--ca says whose certificates are believed".to_owned())
                })?;
                Box::new(Tls::new(device, trust, self.server.ip()))
            }
            Door::Websocket => Box::new(WebSocket::new(device, host())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_share_everything_once() {
        for (total, of) in [(10, 3), (2, 5), (100_000, 7), (0, 2)] {
            let parts = (0..of).map(|index| Part { index, of });
            let mut next = 0;
            for part in parts {
                assert_eq!(part.offset(total), next);
                next += part.share(total);
            }
            assert_eq!(next, total);
        }
    }
}
