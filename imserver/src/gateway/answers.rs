//! Answers on their way to a connection, and their effects on its session.

use netcore::{CloseHow, LoopCx, SendError, websocket::CloseCode};
use protocol::{
    Push, Refusal, Reply,
    v1::{self, ErrorCode, GoAwayReason},
};
use storage::TokenHash;

use super::{
    handler::{Cx, Gateway, LOW_WATER, code, say_closing},
    http::{respond_frame, say_close},
};
use crate::{
    clock,
    delivery::Route,
    message::{Answer, Authenticated, Effect, Reached},
    metrics::Outcome,
    principal::Principal,
    reply::ReplyTo,
    request_id,
    service::{WorkerTask, worker::Doing},
    session::{Charge, Opens, too_many},
    wire::{self, Format, frame},
};

impl Gateway {
    pub(super) fn pong(&self, cx: &mut Cx<'_>, seq: u16) {
        let conn = cx.conn();
        let format = conn.session.format();
        let token = conn
            .token(&self.complete_to)
            .map(|snapshot| self.shared.tokens.sync_token(&snapshot).into());
        let pong = v1::Pong {
            sync_token: token.unwrap_or_default(),
            server_time_ms: clock::wall().0,
        };
        send(cx, frame::reply(&Reply::Ping(pong), format, seq));
    }

    pub(super) fn welcome(&self, cx: &mut Cx<'_>, seq: u16, session: Option<v1::Session>) {
        let config = &self.shared.config;
        let limits = &config.limits;
        let welcome = v1::Welcome {
            version: protocol::VERSION,
            capabilities: cx.conn().session.capabilities(),
            limits: Some(v1::Limits {
                frame_bytes_max: limits.frame_bytes,
                text_bytes_max: u32::try_from(limits.text_bytes).unwrap_or(u32::MAX),
                requests_in_flight_max: u32::from(limits.requests_in_flight),
                page_events_max: limits.page_events,
                group_members_max: config.groups.members,
            }),
            heartbeat_ms: config.timeouts.heartbeat_ms,
            idle_ms: config.timeouts.idle_ms,
            server_time_ms: clock::wall().0,
            server: concat!("imserver/", env!("CARGO_PKG_VERSION")).to_owned(),
            node: config.server.node.clone(),
            session,
        };
        let format = cx.conn().session.format();
        send(cx, frame::reply(&Reply::Hello(welcome), format, seq));
    }

    pub(super) fn answer(&mut self, cx: &mut LoopCx<'_, Self>, answer: Answer) {
        let now_us = self.now_us(cx.now());
        if !matches!(answer.effect, Effect::Authenticated(_)) {
            self.row().requests.answered(answer.asked, answer.outcome, now_us);
        }
        let Some(mut cx) = cx.conn(answer.conn) else {
            return;
        };
        let cx = &mut cx;
        if let Effect::Authenticated(authenticated) = answer.effect {
            return self.authenticated(cx, answer.seq, *authenticated);
        }
        if !answer.frame.is_empty() {
            send(cx, answer.frame);
        }
        self.answered(cx, answer.seq);
        let conn = cx.conn();
        match answer.effect {
            Effect::NotAuthenticated => conn.session.not_authenticated(),
            Effect::Synced {
                reached,
                started_over,
            } => {
                // A flag that was set after this sync was asked stays. What the device reported while this one started
                // it over is of before that.
                conn.starts_over &= !started_over;
                let more_from = match reached {
                    Reached::All(snapshot) => {
                        let settled = conn.backlog.as_mut().map(|backlog| backlog.synced(&snapshot));
                        conn.synced = Some(snapshot);
                        match settled {
                            Some(true) => conn.backlog = None,
                            Some(false) => self.owed.push(answer.conn),
                            None => {}
                        }
                        None
                    }
                    Reached::Part(token) => Some(*token),
                };
                if cx.conn().session.format() == Format::Stream {
                    self.stream_synced(cx, more_from);
                }
            }
            Effect::LoggedOut => {
                if let Some(Principal { user, session }) = conn.session.principal() {
                    // A call over HTTP has no route.
                    if self.shared.routes.remove(user, answer.conn).is_some() {
                        self.shared.cluster.disconnected(user, session);
                        self.shared.presence.changed(user);
                    }
                    // What else the session has open, a stream or its live connection, ends with it.
                    self.shared.routes.revoke(user, &[session], GoAwayReason::Revoked);
                }
                say_close(cx, CloseCode::NORMAL, "logged out");
                cx.close(code::LOGGED_OUT, CloseHow::Flush);
                return;
            }
            Effect::StartOver => self.start_over(cx),
            Effect::None | Effect::Authenticated(_) => {}
        }
        self.ask_more(cx);
        close_if_finished(cx);
        self.resume_if_possible(cx);
    }

    /// A session was checked: makes its route, then welcomes the device.
    fn authenticated(&mut self, cx: &mut Cx<'_>, seq: u16, authenticated: Authenticated) {
        if cx.conn().session.format() == Format::Call {
            return self.caller_known(cx, seq, authenticated);
        }
        let Authenticated {
            principal,
            user,
            checked_at,
            token,
            seen_at,
            ..
        } = authenticated;
        let Some(command) = cx.conn().session.deciding() else {
            return;
        };
        let id = cx.id();
        let now_us = self.now_us(cx.now());
        let is_exempt = cx.conn().session.is_exempt();
        let allowance = (!is_exempt).then(|| self.shared.allowances.of_user(principal.user, now_us));
        // A resume costs its user a request, whichever connection tries it.
        if command == Opens::Hello
            && let Some(allowance) = &allowance
            && let Err(wait_us) = allowance.take(Charge::Request, now_us, &self.terms.rules)
        {
            let refusal = too_many(Charge::Request, wait_us);
            return self.not_authenticated(cx, seq, &refusal);
        }
        let route = Route {
            conn: id,
            session: principal.session,
            format: cx.conn().session.format(),
            since: clock::wall(),
            is_away: false,
        };
        if self
            .shared
            .routes
            .insert(principal.user, route, checked_at)
            .is_err()
        {
            // A session was revoked in between, perhaps this one: look it up again.
            return self.check_again(cx, seq, authenticated.token_hash, token);
        }
        self.shared
            .cluster
            .connected(principal.user, principal.session, route.since);
        self.shared.presence.changed(principal.user);
        let conn = cx.conn();
        conn.session.answered(seq);
        conn.session.authenticated(principal, allowance);
        self.seen_since(conn, seen_at, now_us);
        let format = conn.session.format();
        cx.codec().set_limit(self.shared.config.limits.frame_bytes);
        let limit = self.shared.config.limits.push_queue_bytes;
        cx.set_outbound_limit(LOW_WATER.min(limit / 4), limit / 2, limit);
        cx.established();
        let asked = cx.conn().asked;
        self.row().requests.answered(asked, Outcome::OK, now_us);
        let mut session = v1::Session {
            user: Some(wire::user(&user)),
            session_id: principal.session.0,
            token: token.unwrap_or_default(),
            epoch: self.shared.epoch,
        };
        match command {
            Opens::Register => send(cx, frame::reply(&Reply::Register(session), format, seq)),
            Opens::Login => send(cx, frame::reply(&Reply::Login(session), format, seq)),
            Opens::Hello => {
                session.token = String::new();
                self.welcome(cx, seq, Some(session));
            }
        }
        close_if_finished(cx);
        self.resume_if_possible(cx);
    }

    /// Answers a login or a registration over HTTP.
    pub(super) fn send_session(&self, cx: &mut Cx<'_>, opens: Opens, seq: u16, known: &Authenticated) {
        let session = v1::Session {
            user: Some(wire::user(&known.user)),
            session_id: known.principal.session.0,
            token: known.token.clone().unwrap_or_default(),
            epoch: self.shared.epoch,
        };
        let reply = match opens {
            Opens::Register => Reply::Register(session),
            Opens::Hello | Opens::Login => Reply::Login(session),
        };
        let format = cx.conn().session.format();
        send(cx, frame::reply(&reply, format, seq));
    }

    pub(super) fn check_again(
        &mut self,
        cx: &mut Cx<'_>,
        seq: u16,
        token_hash: TokenHash,
        token: Option<String>,
    ) {
        let (id, format) = (cx.id(), cx.conn().session.format());
        let group = self.group(cx);
        match cx.loop_cx().remote().reserve(id.loop_id()) {
            Ok(permit) => {
                let reply = ReplyTo::new(permit, id, seq, format, cx.conn().asked);
                self.offload(
                    cx,
                    WorkerTask {
                        key: id.as_u64(),
                        group,
                        doing: Doing::Recheck(token_hash, token),
                        reply,
                    },
                );
            }
            Err(_) => {
                let refusal = Refusal::new(ErrorCode::Overloaded, "too many requests wait");
                self.not_authenticated(cx, seq, &refusal);
            }
        }
    }

    /// Counts the refusal of the newest request of a connection.
    pub(super) fn refused(&self, cx: &mut Cx<'_>, refusal: &Refusal) {
        let now_us = self.now_us(cx.now());
        let asked = cx.conn().asked;
        self.row()
            .requests
            .answered(asked, Outcome::refused(refusal), now_us);
    }

    pub(super) fn not_authenticated(&self, cx: &mut Cx<'_>, seq: u16, refusal: &Refusal) {
        self.refused(cx, refusal);
        send_refusal(cx, refusal, seq);
        let session = &mut cx.conn().session;
        session.answered(seq);
        session.not_authenticated();
        close_if_finished(cx);
        self.resume_if_possible(cx);
    }
}

/// Sends an answer, whose place was reserved.
pub(super) fn send(cx: &mut Cx<'_>, frame: bytes::Bytes) {
    if cx.conn().session.format() == Format::Call {
        return respond_frame(cx, &frame);
    }
    if let Err(SendError::Full) = cx.send_reply(frame) {
        // Requests in flight are bounded, and so are their answers; a peer that reads none of them is gone.
        log::debug!("connection {:#x} takes no answers", cx.id().as_u64());
        cx.close(code::REFUSED, CloseHow::Abort);
    }
}

/// A refusal with a request id, for what the loop refuses by itself.
pub(super) fn named(cx: &Cx<'_>, refusal: &Refusal, seq: u16) -> Refusal {
    request_id::named(refusal, cx.id(), seq, "answered by the loop")
}

pub(super) fn send_refusal(cx: &mut Cx<'_>, refusal: &Refusal, seq: u16) {
    let format = cx.conn().session.format();
    let refusal = named(cx, refusal, seq);
    send(cx, frame::refusal(&refusal, format, seq));
}

pub(super) fn send_go_away(cx: &mut Cx<'_>, reason: GoAwayReason, reconnect_in_ms: u32, message: &str) {
    let push = Push::GoAway(v1::GoAway {
        reason: reason.into(),
        reconnect_in_ms,
        message: message.to_owned(),
        addresses: Vec::new(),
    });
    let format = cx.conn().session.format();
    send(cx, frame::push(&push, format));
}

/// Closes a connection that waited only for its answers.
pub(super) fn close_if_finished(cx: &mut Cx<'_>) {
    let conn = cx.conn();
    if conn.ending && conn.session.in_flight() == 0 {
        if conn.session.is_draining() {
            say_closing(cx, code::GOING_AWAY);
        } else {
            say_closing(cx, code::FINISHED);
        }
        cx.close(code::FINISHED, CloseHow::Flush);
    }
}
