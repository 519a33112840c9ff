//! The configuration: one TOML file, overridden by environment and flags, checked whole before anything
//! starts.
//!
//! It owns every key's meaning, default and range. A key it does not know is an error, so that a misspelt
//! limit is never silently the default.

mod addresses;
mod flags;
mod ranges;
mod urls;

use std::{
    fs::File,
    io::Read,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use netcore::Network;
use protocol::{limits, validate};
use serde::Deserialize;

pub use flags::{Backup, Command, Confirmed, Copy, Flags, NewPast, Past, Provision, Restore};
pub use ranges::Range;
pub use urls::{SecretUrl, StoreUrl};

/// Bytes of a configuration file, at most.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Everything that can be set. See `docs/OPERATIONS.md` for the same list with advice.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[store]`
    pub store: StoreSettings,
    /// `[redis]`
    pub redis: Redis,
    /// `[cluster]`
    pub cluster: Cluster,
    /// `[limits]`
    pub limits: Limits,
    /// `[groups]`
    pub groups: Groups,
    /// `[devices]`
    pub devices: Devices,
    /// `[accounts]`
    pub accounts: Accounts,
    /// `[timeouts]`
    pub timeouts: Timeouts,
    /// `[log]`
    pub log: Log,
}

/// Where and how to serve.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address and port of the protocol. Port 0: any free one. Default `127.0.0.1:7400`.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// This node's name, shown to clients and in logs. Empty: [`Config::name_node`] makes one.
    pub node: String,
    /// Event loops. 0: one per core, at most 8.
    pub loops: usize,
    /// Threads that answer questions (history, sync, profiles). 0: two per core, at most 16.
    pub workers: usize,
    /// Threads that hash passwords. 0: half the cores, at least 1.
    pub hashers: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7400)),
            node: String::new(),
            loops: 0,
            workers: 0,
            hashers: 0,
        }
    }
}

/// Where to store.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSettings {
    /// Which engine, and where: `sqlite:PATH` or `postgres://USER@HOST:PORT/DATABASE`. Empty: the embedded
    /// store in `data_dir`.
    pub url: StoreUrl,
    /// The directory of the embedded store; made if missing. Default `imserver-data`.
    pub data_dir: PathBuf,
    /// PostgreSQL: a file with the password; else it is in the URL or in `IMSERVER_STORE_PASSWORD`.
    pub password_file: PathBuf,
    /// PostgreSQL: certificates, in PEM, of the authorities that its own may be signed by. Empty: the system's.
    pub root_certificates: PathBuf,
    /// PostgreSQL: lanes, that is threads and connections that write. 0: 4.
    pub lanes: usize,
    /// PostgreSQL: connections that read, at most. 0: one for each worker and two more.
    pub connections: usize,
    /// PostgreSQL: connections that read and are kept when idle.
    pub connections_idle: usize,
    /// PostgreSQL: how long a question waits for one of them. Milliseconds.
    pub acquire_ms: u64,
    /// PostgreSQL: an idle connection beyond `connections_idle` is closed after this.
    pub idle_ms: u64,
    /// PostgreSQL: a connection is replaced after this.
    pub lifetime_ms: u64,
    /// PostgreSQL: a connection held for longer than this is reported as leaked.
    pub leak_ms: u64,
    /// PostgreSQL: connecting may take this long.
    pub connect_ms: u64,
    /// PostgreSQL: a statement may take this long.
    pub statement_ms: u64,
    /// PostgreSQL: and wait for a lock this long of it.
    pub lock_ms: u64,
    /// PostgreSQL: a write is given up after this, repeats included.
    pub request_ms: u64,
    /// PostgreSQL: what a standby that is promoted may lack.
    pub failover: Failover,
}

/// What is known of a standby of PostgreSQL that becomes the primary.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Failover {
    /// It may lack what was acknowledged: a new epoch begins.
    #[default]
    Lossy,
    /// Replication is synchronous, and only a synchronous standby is ever promoted: the epoch stays.
    Lossless,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            url: StoreUrl::Default,
            data_dir: PathBuf::from("imserver-data"),
            password_file: PathBuf::new(),
            root_certificates: PathBuf::new(),
            lanes: 0,
            connections: 0,
            connections_idle: 2,
            acquire_ms: 500,
            idle_ms: 600_000,
            lifetime_ms: 1_800_000,
            leak_ms: 30_000,
            connect_ms: 1_000,
            statement_ms: 3_000,
            lock_ms: 800,
            request_ms: 900,
            failover: Failover::default(),
        }
    }
}

/// What may vanish, shared by the nodes.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Redis {
    /// `redis://HOST:PORT/DATABASE`, or `rediss://` for TLS. Empty: none, and each node keeps to itself what
    /// others need not know.
    pub url: SecretUrl,
    /// A file with the password; else it is in the URL or in `IMSERVER_REDIS_PASSWORD`.
    pub password_file: PathBuf,
    /// What the names of all keys begin with, so that several systems can share a server.
    pub prefix: String,
    /// How hints between nodes travel.
    pub hints: HintsBy,
    /// Connecting may take this long. Milliseconds.
    pub connect_ms: u64,
    /// An answer may take this long.
    pub read_ms: u64,
    /// A command may take this long to be sent.
    pub write_ms: u64,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            url: SecretUrl::default(),
            password_file: PathBuf::new(),
            prefix: "imserver:".to_owned(),
            hints: HintsBy::PubSub,
            connect_ms: 1_000,
            read_ms: 100,
            write_ms: 200,
        }
    }
}

/// The two ways of hints.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum HintsBy {
    /// Publish and subscribe: quickest, and lost while a node is not connected.
    PubSub,
    /// Bounded streams: a node that was cut off for a moment finds what it missed.
    Streams,
}

/// How nodes work together.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// Where clients reach this node, told to them when another drains. Empty: the address it listens on.
    pub advertise: String,
    /// How long other nodes' commits may stay unseen when no hint comes. Milliseconds.
    pub follow_ms: u64,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            advertise: String::new(),
            follow_ms: 500,
        }
    }
}

/// Bounds on what clients can use up.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections in all. 0: what the descriptor limit allows.
    pub connections: usize,
    /// Bytes of a frame's body after authentication; 4 KiB to 1 MiB.
    pub frame_bytes: u32,
    /// Bytes of a frame's body before it; 1 to 64 KiB.
    pub frame_bytes_unauthenticated: u32,
    /// Bytes of a text.
    pub text_bytes: usize,
    /// Requests one connection may have unanswered; then it is not read from.
    pub requests_in_flight: u16,
    /// Events in one page.
    pub page_events: u32,
    /// Bytes of bodies in one page, roughly.
    pub page_bytes: usize,
    /// Bytes queued for one connection before its pushes turn to heads.
    pub push_queue_bytes: usize,
    /// Bytes of answers and pushes that wait for peers to take them, of all connections.
    pub queued_bytes: usize,
    /// Sends a second and user, on average.
    pub sends_per_second: u32,
    /// Sends a user may make at once beyond that average.
    pub sends_burst: u32,
    /// Other requests a second and user, on average; and as many pings. Before a login, of an address.
    pub requests_per_second: u32,
    /// Other requests at once beyond that average.
    pub requests_burst: u32,
    /// People that a user may name in a minute for groups to make or to add to, on average.
    pub people_per_minute: u32,
    /// People named at once beyond that average.
    pub people_burst: u32,
    /// Conversations that a user may report as delivered in a second, on average.
    pub receipts_per_second: u32,
    /// Conversations reported at once beyond that average.
    pub receipts_burst: u32,
    /// Connections from one address at a time. 0: an eighth of all.
    pub connections_per_address: usize,
    /// Hellos from one address in a minute, on average and at once. 0: any number.
    pub hellos_per_address: u32,
    /// Passwords from one address in a minute, on average and at once, to log in or to register. 0: any number.
    pub passwords_per_address: u32,
    /// Passwords for one account in a minute, on average and at once, from anywhere. 0: any number.
    pub passwords_per_account: u32,
    /// Unknown commands a connection may send in a minute.
    pub unknown_commands_per_minute: u32,
    /// Writes that wait for the store, in all.
    pub lane_queue: usize,
    /// Writes in one transaction.
    pub lane_batch: usize,
    /// Questions that wait for a worker, in all.
    pub worker_queue: usize,
    /// Passwords that wait to be hashed.
    pub hash_queue: usize,
    /// Addresses and networks that rates do not apply to. Default: loopback.
    #[serde(deserialize_with = "networks")]
    pub exempt: Vec<Network>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 0,
            frame_bytes: limits::FRAME_BYTES_DEFAULT,
            frame_bytes_unauthenticated: limits::HANDSHAKE_FRAME_BYTES_MAX,
            text_bytes: validate::Limits::default().text_bytes_max,
            requests_in_flight: limits::REQUESTS_IN_FLIGHT_MAX,
            page_events: 500,
            page_bytes: 64 * 1024,
            push_queue_bytes: 1024 * 1024,
            queued_bytes: 256 * 1024 * 1024,
            sends_per_second: 20,
            sends_burst: 100,
            requests_per_second: 50,
            requests_burst: 200,
            people_per_minute: 600,
            people_burst: 2_000,
            receipts_per_second: 500,
            receipts_burst: 5_000,
            connections_per_address: 0,
            hellos_per_address: 3_000,
            passwords_per_address: 30,
            passwords_per_account: 60,
            unknown_commands_per_minute: limits::UNKNOWN_COMMANDS_PER_MINUTE_MAX,
            lane_queue: 16_384,
            lane_batch: 512,
            worker_queue: 8_192,
            hash_queue: 64,
            exempt: Network::loopback(),
        }
    }
}

/// Rules of groups.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Groups {
    /// Members of a group.
    pub members: u32,
    /// Whoever is in so many groups makes no more.
    pub per_user: u32,
    /// Whoever is in so many groups is not put into more by others. At most `per_user`; what is between the two is left
    /// to them, whatever others do.
    pub put_into: u32,
    /// Whoever left a group is not put back by others before. Milliseconds.
    pub put_back_after_ms: u64,
    /// Any member may add others; else admins and owners only.
    pub members_may_add: bool,
    /// Groups larger than this show no typing and push no receipts of others.
    pub receipts_up_to: u32,
}

impl Default for Groups {
    fn default() -> Self {
        Self {
            members: 2_000,
            per_user: 2_000,
            put_into: 1_000,
            put_back_after_ms: 86_400_000,
            members_may_add: true,
            receipts_up_to: 100,
        }
    }
}

/// How many devices of a user may be logged in; of those that are not connected the one not seen for longest goes first.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Devices {
    /// In all.
    pub total: u32,
    /// Telephones and tablets.
    pub mobile: u32,
    /// Computers.
    pub desktop: u32,
    /// Browsers.
    pub web: u32,
    /// When a device was last seen is noted no more often than this. Milliseconds.
    pub seen_every_ms: u64,
}

impl Default for Devices {
    fn default() -> Self {
        Self {
            total: 10,
            mobile: 5,
            desktop: 5,
            web: 5,
            seen_every_ms: 3_600_000,
        }
    }
}

/// Rules of accounts.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Accounts {
    /// Anyone may register.
    pub registration: bool,
}

impl Default for Accounts {
    fn default() -> Self {
        Self { registration: true }
    }
}

/// Deadlines.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// From accept to authenticated; what arrives does not extend it. Milliseconds.
    pub handshake_ms: u64,
    /// For a frame to become whole once it began.
    pub frame_ms: u64,
    /// A client pings when it has sent nothing for this long.
    pub heartbeat_ms: u32,
    /// A connection that was silent for this long is closed.
    pub idle_ms: u32,
    /// A connection that takes no byte of what is queued for it for this long is closed.
    pub write_stall_ms: u64,
    /// A drain takes this long at most.
    pub drain_ms: u64,
    /// Clients told to come back are spread over this long.
    pub reconnect_spread_ms: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake_ms: limits::HANDSHAKE_MS.into(),
            frame_ms: 30_000,
            heartbeat_ms: limits::HEARTBEAT_MS,
            idle_ms: limits::IDLE_MS,
            write_stall_ms: 120_000,
            drain_ms: 10_000,
            reconnect_spread_ms: 2_000,
        }
    }
}

/// Logging, to standard error.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: Level,
    /// For people or for machines.
    pub format: LogFormat,
    /// A file to write to instead; it is rotated daily and at 64 MiB, and the newest 14 are kept.
    pub file: Option<PathBuf>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: Level::Info,
            format: LogFormat::Human,
            file: None,
        }
    }
}

/// How much to log.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What an operator must act on.
    Error,
    /// What may become that.
    Warn,
    /// Starts and stops.
    Info,
    /// Connections and refusals.
    Debug,
    /// Requests.
    Trace,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text.
    Human,
    /// One JSON object a line.
    Json,
}

/// What is wrong with a configuration, in one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

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
        let wrong = |what: &str| ConfigError(format!("cannot read configuration {}: {what}", path.display()));
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
        read.map_err(|error| wrong(&error.to_string()))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(wrong(&format!("it is larger than {FILE_BYTES_MAX} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8 text"))?;
        Self::parse(&text).map_err(|error| ConfigError(format!("{}: {error}", path.display())))
    }

    /// From TOML, without checking ranges.
    ///
    /// # Errors
    /// It is not TOML, or a key is unknown or of the wrong type; the message names line and key.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
            let message = error.message().replace('\n', " ");
            match key_on(text, line) {
                Some(key) => ConfigError(format!("line {line}: {key}: {message}")),
                None => ConfigError(format!("line {line}: {message}")),
            }
        })
    }

    /// Whether every value is in its range and they go together.
    ///
    /// # Errors
    /// Names the first key that is not, its value, and what it may be.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.ranges().iter().try_for_each(Range::check)?;
        let timeouts = &self.timeouts;
        if timeouts.idle_ms <= timeouts.heartbeat_ms {
            return Err(ConfigError(format!(
                "timeouts.idle_ms is {}, but must be above timeouts.heartbeat_ms, which is {}",
                timeouts.idle_ms, timeouts.heartbeat_ms
            )));
        }
        addresses::check_node(&self.server.node)?;
        addresses::check_advertised(&self.cluster.advertise)?;
        self.check_engines()
    }

    fn check_engines(&self) -> Result<(), ConfigError> {
        let redis = &self.redis;
        let scheme = redis.url.expose().split_once("://").map(|(scheme, _)| scheme);
        if !redis.url.is_empty() && !matches!(scheme, Some("redis" | "rediss")) {
            return Err(ConfigError(
                "redis.url must begin with redis:// or rediss://".to_owned(),
            ));
        }
        if redis.prefix.is_empty() || redis.prefix.len() > 64 || redis.prefix.contains(['*', '?', '[', ' ']) {
            return Err(ConfigError(
                "redis.prefix must have 1 to 64 bytes, and none of * ? [ or space".to_owned(),
            ));
        }
        Ok(())
    }

    /// Whether it can be served with: commands need less of it.
    ///
    /// # Errors
    /// What does not go together.
    pub fn check_serving(&self) -> Result<(), ConfigError> {
        if !self.redis.url.is_empty() && !matches!(self.store.url, StoreUrl::Postgres(_)) {
            return Err(ConfigError(
                "the embedded store has one node: leave redis.url out, or store in PostgreSQL".to_owned(),
            ));
        }
        Ok(())
    }

    /// The sections whose values differ, as they stand in the file.
    pub fn sections_unlike(&self, other: &Self) -> Vec<&'static str> {
        let sections = [
            ("[server]", self.server == other.server),
            ("[store]", self.store == other.store),
            ("[redis]", self.redis == other.redis),
            ("[cluster]", self.cluster == other.cluster),
            ("[limits]", self.limits == other.limits),
            ("[groups]", self.groups == other.groups),
            ("[devices]", self.devices == other.devices),
            ("[accounts]", self.accounts == other.accounts),
            ("[timeouts]", self.timeouts == other.timeouts),
            ("[log]", self.log == other.log),
        ];
        let unlike = sections.iter().filter(|(_, alike)| !alike);
        unlike.map(|(name, _)| *name).collect()
    }

    /// Lanes to start on a store that takes several.
    pub const fn lanes(&self) -> usize {
        if self.store.lanes == 0 {
            4
        } else {
            self.store.lanes
        }
    }

    /// The embedded store's file.
    pub fn sqlite_file(&self) -> PathBuf {
        match &self.store.url {
            StoreUrl::Sqlite(path) => path.clone(),
            StoreUrl::Default | StoreUrl::Postgres(_) => self.store.data_dir.join("imserver.db"),
        }
    }

    /// Event loops to start.
    pub fn loops(&self) -> usize {
        if self.server.loops == 0 {
            cores().min(8)
        } else {
            self.server.loops
        }
    }

    /// Workers to start.
    pub fn workers(&self) -> usize {
        if self.server.workers == 0 {
            (cores() * 2).min(16)
        } else {
            self.server.workers
        }
    }

    /// Password hashers to start.
    pub fn hashers(&self) -> usize {
        if self.server.hashers == 0 {
            (cores() / 2).max(1)
        } else {
            self.server.hashers
        }
    }

    /// How many sessions a user may have.
    pub const fn device_policy(&self) -> storage::DevicePolicy {
        let Devices {
            total,
            mobile,
            desktop,
            web,
            ..
        } = self.devices;
        storage::DevicePolicy {
            total,
            mobile,
            desktop,
            web,
        }
    }

    /// What requests must look like.
    pub const fn validation(&self) -> validate::Limits {
        validate::Limits {
            text_bytes_max: self.limits.text_bytes,
            // What is left of a frame for the fields around a body.
            body_bytes_max: (self.limits.frame_bytes as usize).saturating_sub(4 * 1024),
        }
    }

    /// What a store enforces in its transactions.
    pub const fn rules(&self) -> storage::Rules {
        storage::Rules {
            group_members_max: self.groups.members,
            groups_per_user_max: self.groups.per_user,
            groups_put_into_max: if self.groups.put_into < self.groups.per_user {
                self.groups.put_into
            } else {
                self.groups.per_user
            },
            put_back_after_ms: self.groups.put_back_after_ms,
            members_may_add: self.groups.members_may_add,
            message_edits_max: storage::Rules::MESSAGE_EDITS_MAX,
            message_reactions_max: storage::Rules::MESSAGE_REACTIONS_MAX,
        }
    }

    /// The drain deadline.
    pub const fn drain(&self) -> Duration {
        Duration::from_millis(self.timeouts.drain_ms)
    }
}

fn address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    flags::address(&text).map_err(serde::de::Error::custom)
}

fn networks<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Network>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let network = |text: &String| {
        let wrong = |_| format!("{text:?} is neither an address nor a network such as 10.0.0.0/8");
        text.parse().map_err(wrong).map_err(serde::de::Error::custom)
    };
    texts.iter().map(network).collect()
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

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

#[cfg(test)]
mod tests;
