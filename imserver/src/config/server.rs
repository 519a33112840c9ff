//! `[server]`: where this process serves, and with how many threads.

use std::net::SocketAddr;

use netcore::Network;
use serde::{Deserialize, Deserializer, de::Error};

use super::{Config, flags, limits::networks, section::section};

section! {
    /// where and how to serve
    pub struct Server in [server] {
        /// port 0: any free one
        #[serde(deserialize_with = "address")]
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 7400));
        /// networks of HTTP proxies that tell the addresses of their clients (Forwarded, X-Forwarded-For); for PROXY headers
        /// see the listeners below. With any here or there, limits apply to connections from this machine too
        #[serde(deserialize_with = "networks")]
        trusted_proxies: Vec<Network> = Vec::new();
        /// this node's name, shown to clients; empty: "imserver", over PostgreSQL MACHINE:PORT
        node: String = String::new();
        /// event loops; 0: one per core, at most 8
        loops: usize = 0, in 0..=255;
        /// threads that answer questions; 0: two per core, at most 16
        workers: usize = 0, in 0..=1_024;
        /// threads that hash passwords; 0: half the cores, at least 1
        hashers: usize = 0, in 0..=256;
    }
}

impl Config {
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
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    flags::address(&text).map_err(D::Error::custom)
}
