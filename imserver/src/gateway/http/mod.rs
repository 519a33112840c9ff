//! The HTTP door: calls, streams of events, the way to a WebSocket, and what a browser or a probe asks for. A call ends
//! in the same session machine as a frame. It must never keep who called for the next request: each one says who calls.
//!
//! One request is worked on at a time; those that are pipelined behind it wait in the connection's buffer.

mod answer;
mod call;
mod guard;
mod identify;
mod page;
mod route;
mod socket;
mod stream;
mod tickets;

use std::net::IpAddr;

use bytes::Bytes;
use netcore::{
    Flow,
    http::{Head, Persistence, Request},
};
use protocol::Frame;
use storage::TokenHash;

pub(crate) use self::tickets::Tickets;
pub(super) use self::{
    answer::{respond_frame, respond_last, respond_refused, respond_too_slow},
    socket::say_close,
};
use self::{identify::Known, route::Route, stream::Stream};
use super::{
    handler::{Cx, Gateway},
    terms::Terms,
};
use crate::{principal::Principal, wire::Format};

/// The number of the one request that is worked on, whatever the request.
pub(super) const CALL_SEQ: u16 = 1;

/// What a connection of this door has beside others.
#[derive(Debug)]
pub(super) struct Http {
    /// The token that was checked last, and who its owner is.
    known: Option<Known>,
    /// What is done once a token was checked.
    pending: Option<Pending>,
    /// What becomes of the connection after the answer.
    persistence: Persistence,
    /// The answer has no body.
    is_head: bool,
    /// The client's own name for the request, which the answer repeats.
    request_id: Option<Box<str>>,
    /// The page of another origin that may read the answer.
    allowed_origin: Option<Box<str>>,
    /// Where the request comes from; `None` if that is no address.
    pub(super) from: Option<IpAddr>,
    /// Somebody whom nobody trusts to say so says that it was forwarded: no rule for near addresses applies to it.
    pub(super) is_of_stranger: bool,
    /// The peer is a trusted proxy, whose next request may be another client's.
    is_of_proxy: bool,
    /// What is kept of a stream of events.
    stream: Option<Stream>,
}

/// What waits for a token to be checked.
#[derive(Debug)]
enum Pending {
    /// A call.
    Call(Frame),
    /// A stream of events from this sync token on.
    Stream(Bytes),
    /// A ticket for such a stream.
    Ticket,
}

impl Http {
    fn new() -> Box<Self> {
        Box::new(Self {
            known: None,
            pending: None,
            persistence: Persistence::Close,
            is_head: false,
            request_id: None,
            allowed_origin: None,
            from: None,
            is_of_stranger: false,
            is_of_proxy: false,
            stream: None,
        })
    }

    /// Who calls, once that is known: the token, its owner, and the revocations when that was checked.
    fn caller(&self) -> Option<(TokenHash, Principal, u64)> {
        let known = self.known.as_ref()?;
        Some((known.token, known.principal, known.checked_at))
    }

    /// Takes what the answer needs from a request's head.
    fn begin(&mut self, head: &Head) {
        self.pending = None;
        self.persistence = head.persistence();
        self.is_head = head.method() == "HEAD";
        self.request_id = head.header("x-request-id").and_then(guard::request_id);
        self.allowed_origin = None;
    }
}

impl Gateway {
    /// A whole request came.
    pub(super) fn request(&mut self, cx: &mut Cx<'_>, request: Request) -> Flow<Self> {
        let Request { head, body } = request;
        let peer = cx.peer();
        let config = &self.shared.config;
        let header = config.http.told_by.header();
        let proxies = &config.server.trusted_proxies;
        let from = guard::client(Terms::source(&peer), &head, header, proxies);
        let is_of_stranger = guard::is_of_stranger(Terms::source(&peer), &head, proxies);
        let is_of_proxy = self.terms.is_proxy(Terms::source(&peer));
        let id_of_connection = cx.id();
        let conn = cx.conn();
        conn.session.set_format(Format::Call);
        let http = conn.http.get_or_insert_with(Http::new);
        http.begin(&head);
        (http.from, http.is_of_stranger, http.is_of_proxy) = (Some(from), is_of_stranger, is_of_proxy);
        if let Some(id) = &http.request_id {
            // What is logged of a request names its connection, and a connection has one at a time.
            log::debug!(
                "connection {:#x}: the client calls its request {id}",
                id_of_connection.as_u64()
            );
        }
        let is_upgrade = head.path() == route::SOCKET;
        match guard::admits(
            &head,
            peer.address.ip().map(|_| from),
            &config.server.trusted_proxies,
            &config.http,
        ) {
            Ok(origin) => http.allowed_origin = origin,
            Err(refusal) => return self.refuse_request(cx, &refusal),
        }
        if !is_upgrade {
            // The time for a handshake is over; from here on only silence ends the connection.
            cx.established();
        }
        let flow = match Route::of(head.method(), head.path()) {
            Route::Call(command) => self.call(cx, command, &head, body),
            Route::Socket => self.upgrade(cx, &head),
            Route::Events => self.events(cx, &head),
            Route::Ticket => self.ticket(cx, &head),
            Route::Page(page) => self.page(cx, page, &head),
            Route::Preflight => self.preflight(cx),
            Route::NotAllowed(allowed) => self.not_allowed(cx, allowed),
            Route::UnknownCommand => self.unknown_command(cx, head.path()),
            Route::Nothing => self.nothing_there(cx),
        };
        if cx.conn().is_stream_or_calls() {
            // What was sent ahead waits for the answer to this.
            cx.pause_reading();
        }
        flow
    }
}
