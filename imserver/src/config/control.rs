//! `[control]`: the socket through which commands reach the running daemon.

use std::path::PathBuf;

use super::{Config, StoreUrl, section::section};

section! {
    /// how commands as `imserver status` reach the running daemon
    pub struct Control in [control] {
        /// a Unix socket, for this user only; empty: the embedded store's file with ".control" added, over PostgreSQL none
        socket: PathBuf = PathBuf::new();
    }
}

impl Config {
    /// The path of the control socket; `None` if there is none.
    pub fn control_socket(&self) -> Option<PathBuf> {
        if !self.control.socket.as_os_str().is_empty() {
            return Some(self.control.socket.clone());
        }
        match &self.store.url {
            StoreUrl::Postgres(_) => None,
            StoreUrl::Default | StoreUrl::Sqlite(_) => {
                let mut path = self.sqlite_file().into_os_string();
                path.push(".control");
                Some(path.into())
            }
        }
    }
}
