//! What is found where: the one list of paths.

use protocol::Command;

use super::page::Page;

/// Where calls are made.
const CALL: &str = "/v1/call/";
/// Where a WebSocket begins.
pub(super) const SOCKET: &str = "/v1/socket";
/// The stream of events.
const EVENTS: &str = "/v1/events";
/// A ticket for it.
const TICKET: &str = "/v1/events/ticket";

/// What a request is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Route {
    /// A call of this command.
    Call(Command),
    /// The handshake of a WebSocket.
    Socket,
    /// A stream of events.
    Events,
    /// A ticket for a stream of events.
    Ticket,
    /// Something that is there without anybody being known.
    Page(Page),
    /// A browser asks whether a page of another origin may.
    Preflight,
    /// There is something, but not for this method: these are allowed.
    NotAllowed(&'static str),
    /// A call of what is no command, or one of a connection.
    UnknownCommand,
    /// There is nothing.
    Nothing,
}

impl Route {
    /// What this method means at this path.
    pub(super) fn of(method: &str, path: &str) -> Self {
        let only = |allowed: &'static str, names: &[&str], route| {
            if names.contains(&method) {
                route
            } else if method == "OPTIONS" {
                Self::Preflight
            } else {
                Self::NotAllowed(allowed)
            }
        };
        if let Some(name) = path.strip_prefix(CALL) {
            let route = Command::from_name(name)
                .filter(|command| command.is_callable())
                .map_or(Self::UnknownCommand, Self::Call);
            return only("POST", &["POST"], route);
        }
        match path {
            SOCKET => only("GET", &["GET"], Self::Socket),
            EVENTS => only("GET", &["GET"], Self::Events),
            TICKET => only("POST", &["POST"], Self::Ticket),
            _ => match Page::at(path) {
                Some(page) => only("GET, HEAD", &["GET", "HEAD"], Self::Page(page)),
                None => Self::Nothing,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::Command;

    use super::Route;

    #[test]
    fn every_command_is_called_by_its_name_or_belongs_to_a_connection() {
        for command in Command::ALL {
            let path = format!("/v1/call/{}", command.name());
            let expected = if command.is_callable() {
                Route::Call(*command)
            } else {
                Route::UnknownCommand
            };
            assert_eq!(Route::of("POST", &path), expected, "{path}");
            assert_eq!(Route::of("GET", &path), Route::NotAllowed("POST"));
            assert_eq!(Route::of("OPTIONS", &path), Route::Preflight);
        }
    }

    #[test]
    fn what_is_nowhere_is_nothing() {
        for path in ["/v1/call/", "/v1/call/send/", "/v1/call/Send", "/v1/call/../send"] {
            assert_eq!(Route::of("POST", path), Route::UnknownCommand, "{path}");
        }
        for path in [
            "/v1",
            "/v1/",
            "/v1/events/",
            "//",
            "/healthz/",
            "*",
            "/etc/passwd",
        ] {
            assert_eq!(Route::of("GET", path), Route::Nothing, "{path}");
        }
        assert_eq!(Route::of("POST", "/v1/socket"), Route::NotAllowed("GET"));
        assert_eq!(Route::of("DELETE", "/"), Route::NotAllowed("GET, HEAD"));
    }
}
