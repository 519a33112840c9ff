//! The configuration: one TOML file, overridden by environment and flags, checked whole before anything
//! starts.
//!
//! It owns every key's meaning, default and range: each in its section's file, once (see `section.rs`). A key it does
//! not know is an error, so that a misspelt limit is never silently the default.

mod accounts;
mod addresses;
mod admin;
mod cluster;
mod control;
mod devices;
mod error;
mod flags;
mod groups;
mod http;
mod limits;
mod listen;
mod log;
mod manual;
mod redis;
mod section;
mod server;
mod store;
mod timeouts;
mod tls;
mod units;
mod urls;

use std::{fs::File, io::Read, path::Path};

use section::sections;

pub use accounts::Accounts;
pub use admin::Admin;
pub use cluster::Cluster;
pub use control::Control;
pub use devices::Devices;
pub use error::ConfigError;
pub use flags::{
    Backup, Command, Confirmed, Copy, Flags, NewPast, Past, Provision, Restore, ShowStatus, Where,
};
pub use groups::Groups;
pub use http::{Http, ToldBy};
pub use limits::Limits;
pub use listen::{Door, Encryption, ListenAddress, Listener, Listeners};
pub use log::{Level, Log, LogFormat};
pub use redis::{HintsBy, Redis};
pub use section::{Changes, Key, Section, Setting};
pub use server::Server;
pub use store::{Failover, StoreSettings};
pub use timeouts::Timeouts;
pub use tls::Tls;
pub use urls::{SecretUrl, StoreUrl};

/// Bytes of a configuration file, at most.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

sections! {
    /// Everything that can be set. `docs/OPERATIONS.md` has all keys with what they mean, made from the same table.
    pub struct Config {
        server: Server,
        tls: Tls,
        store: StoreSettings,
        redis: Redis,
        cluster: Cluster,
        http: Http,
        limits: Limits,
        groups: Groups,
        devices: Devices,
        accounts: Accounts,
        timeouts: Timeouts,
        control: Control,
        admin: Admin,
        log: Log,
    }
    listen: Listeners,
}

impl Config {
    /// Reads the file that the flags name, if they do, and lets the flags override it.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, has an unknown key, or a value is out of its range.
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        let mut config = match &flags.config {
            Some(path) => Self::read(path)?,
            None => Self::default(),
        };
        flags.apply(&mut config)?;
        config.check()?;
        Ok(config)
    }

    fn read(path: &Path) -> Result<Self, ConfigError> {
        let path = || path.to_owned();
        let mut bytes = Vec::new();
        File::open(path())
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|source| ConfigError::Unreadable { path: path(), source })?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(ConfigError::TooLarge { path: path() });
        }
        let text =
            String::from_utf8(bytes).map_err(|source| ConfigError::NotText { path: path(), source })?;
        Self::parse(&text).map_err(|error| ConfigError::Within {
            path: path(),
            source: Box::new(error),
        })
    }

    /// From TOML, without checking ranges.
    ///
    /// # Errors
    /// It is not TOML, or a key is unknown or of the wrong type; the message names line and key.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
            ConfigError::Line {
                line,
                key: key_on(text, line),
                message: error.message().replace('\n', " "),
            }
        })
    }

    /// Whether every value is in its range and they go together.
    ///
    /// # Errors
    /// Names the first key that is not, its value, and what it may be.
    pub fn check(&self) -> Result<(), ConfigError> {
        for section in self.sections() {
            section.keys.iter().try_for_each(Key::check)?;
        }
        self.timeouts.check()?;
        self.tls.check()?;
        self.listen.check(self)?;
        self.admin.check()?;
        addresses::check_node(&self.server.node)?;
        addresses::check_advertised(&self.cluster.advertise)?;
        self.redis.check()
    }

    /// Whether it can be served with: commands need less of it.
    ///
    /// # Errors
    /// What does not go together.
    pub fn check_serving(&self) -> Result<(), ConfigError> {
        if !self.redis.url.is_empty() && !matches!(self.store.url, StoreUrl::Postgres(_)) {
            return Err(ConfigError::Refused(
                "the embedded store has one node: leave redis.url out, or store in PostgreSQL".to_owned(),
            ));
        }
        Ok(())
    }
}

/// The key that a line sets, with its section, if it sets one.
fn key_on(text: &str, line: usize) -> Option<String> {
    let lines: Vec<&str> = text.lines().take(line).collect();
    let (last, before) = lines.split_last()?;
    let key = last.split_once('=')?.0.trim();
    let is_key = |word: &str| {
        let mut bytes = word.bytes();
        !word.is_empty()
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
    };
    if !is_key(key) {
        return None;
    }
    let header = |line: &str| {
        Some(
            line.trim()
                .strip_prefix('[')?
                .trim_start_matches('[')
                .split_once(']')?
                .0
                .trim()
                .to_owned(),
        )
    };
    let section = before
        .iter()
        .rev()
        .copied()
        .find_map(header)
        .filter(|section| is_key(section));
    Some(section.map_or_else(|| key.to_owned(), |section| format!("{section}.{key}")))
}

#[cfg(test)]
mod tests;
