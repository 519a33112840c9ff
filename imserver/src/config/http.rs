//! `[http]`: who may use the HTTP door.

use netcore::http::forwarded::ForwardedHeader;
use serde::Deserialize;

use super::section::section;

section! {
    /// browsers and scripts: calls, streams of events, WebSockets
    pub struct Http in [http] {
        /// pages of these origins (scheme, name and port) may use the server; its own pages always may
        origins: Vec<String> = Vec::new();
        /// the header in which server.trusted_proxies tell the addresses of their clients: "x-forwarded-for" or
        /// "forwarded"; they must remove or extend the one that a client sends
        told_by: ToldBy = ToldBy::XForwardedFor;
        /// names of this server for which a request from this machine may ask, besides localhost
        hosts: Vec<String> = Vec::new();
    }
}

/// The header of a proxy that tells the address of its client. Only one is believed: a proxy passes the other on as the
/// client wrote it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum ToldBy {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ToldBy {
    /// As it stands in the file.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }

    /// As netcore has it.
    pub(crate) const fn header(self) -> ForwardedHeader {
        match self {
            Self::XForwardedFor => ForwardedHeader::XForwardedFor,
            Self::Forwarded => ForwardedHeader::Forwarded,
        }
    }
}
