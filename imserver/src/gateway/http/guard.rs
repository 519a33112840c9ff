//! Who may ask over HTTP at all: the page that asks, the name it asked for, and the address it comes from. Total
//! functions of a request's head and the configuration.

use std::net::IpAddr;

use netcore::{
    Network,
    http::{
        Head,
        field::{Host, Origin},
        forwarded::{self, ForwardedHeader},
    },
};
use protocol::{Refusal, v1::ErrorCode};

use crate::config::Http as Config;

/// Characters of a request's name, at most.
const REQUEST_ID_BYTES_MAX: usize = 64;

/// A client's own name for a request, if it can stand in a log and in a header as it is.
pub(super) fn request_id(value: &[u8]) -> Option<Box<str>> {
    let text = std::str::from_utf8(value).ok()?;
    let good = !text.is_empty()
        && text.len() <= REQUEST_ID_BYTES_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    good.then(|| text.into())
}

/// The address that a request comes from: the peer's, or behind trusted proxies what they say in this header.
pub(super) fn client(peer: IpAddr, head: &Head, header: ForwardedHeader, trusted: &[Network]) -> IpAddr {
    if !trusted.iter().any(|network| network.contains(peer)) {
        return peer;
    }
    forwarded::client(peer, head, header, trusted)
}

/// Whether a request was forwarded by somebody whom nobody trusts: then it may come from anywhere, however near the peer
/// is.
pub(super) fn is_of_stranger(peer: IpAddr, head: &Head, trusted: &[Network]) -> bool {
    !trusted.iter().any(|network| network.contains(peer)) && forwarded::is_forwarded(head)
}

/// Whether a request may be looked at. The answer is the page of another origin that may read what is answered.
///
/// A page of somebody else's can make a browser send requests anywhere, and can give its own name the address of this
/// server (DNS rebinding): so a request that names its page must come from one of ours, and a request from this machine
/// must ask for this machine.
///
/// # Errors
/// It may not.
pub(super) fn admits(
    head: &Head,
    from: Option<IpAddr>,
    trusted: &[Network],
    config: &Config,
) -> Result<Option<Box<str>>, Refusal> {
    let host = head.header("host").and_then(Host::parse);
    if from.is_some_and(|address| address.to_canonical().is_loopback())
        && trusted.is_empty()
        && let Some(host) = &host
        && !host.is_loopback()
        && !config
            .hosts
            .iter()
            .any(|name| name.eq_ignore_ascii_case(host.name))
    {
        let message =
            "this server does not know itself by that name; its operator lists the names in http.hosts";
        return Err(Refusal::new(ErrorCode::Forbidden, message));
    }
    let Some(origin) = head.header("origin") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(origin).unwrap_or_default();
    if config.origins.iter().any(|allowed| allowed == text) {
        return Ok(Some(text.into()));
    }
    match (Origin::parse(origin), &host) {
        (Some(origin), Some(host)) if origin.is_of(host) => Ok(None),
        _ => {
            let message =
                "pages of that origin may not use this server; its operator lists them in http.origins";
            Err(Refusal::new(ErrorCode::Forbidden, message))
        }
    }
}
