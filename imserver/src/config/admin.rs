//! `[admin]`: the listener for whoever runs the server.

use std::{net::SocketAddr, path::PathBuf};

use super::{ConfigError, flags, section::section};

section! {
    /// metrics, status and health over HTTP, for whoever runs the server
    pub struct Admin in [admin] {
        /// as 127.0.0.1:9100; empty: none
        listen: String = String::new();
        /// holds the token that whoever asks for metrics or status must send (Authorization: Bearer); empty: none, which
        /// is refused beyond loopback
        token_file: PathBuf = PathBuf::new();
    }
}

impl Admin {
    /// What no range says.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refused = |why: String| Err(ConfigError::Refused(why));
        match self.address() {
            Ok(Some(address)) if !address.ip().is_loopback() && self.token_file.as_os_str().is_empty() => {
                refused(format!(
                    "admin.listen is {address}, where others can reach it: set admin.token_file, or listen on 127.0.0.1"
                ))
            }
            Ok(_) => Ok(()),
            Err(why) => refused(format!("admin.listen is {:?}: {why}", self.listen)),
        }
    }

    /// Where it listens, if it does.
    ///
    /// # Errors
    /// It is no address; what to write instead.
    pub fn address(&self) -> Result<Option<SocketAddr>, String> {
        if self.listen.is_empty() {
            return Ok(None);
        }
        flags::address(&self.listen).map(Some)
    }
}
