//! `[http]`: who may use the HTTP door.

use super::section::section;

section! {
    /// browsers and scripts: calls, streams of events, WebSockets
    pub struct Http in [http] {
        /// pages of these origins may use the server, as in "https://chat.example.org"; its own pages always may
        origins: Vec<String> = Vec::new();
        /// names of this server for which a request from this machine may ask, besides localhost
        hosts: Vec<String> = Vec::new();
    }
}
