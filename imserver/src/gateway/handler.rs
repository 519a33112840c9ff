//! The handler of one event loop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use netcore::{
    CloseHow, CloseReason, ConnCx, ConnId, Eof, Flow, Handler, LoopCx, Peer, Refusal as NotAccepted,
    ReserveError, SendError, WorkerPool,
};
use protocol::{
    Command, Encoding, Frame, FrameCodec, FrameError, Push, Refusal, Reply, Request,
    v1::{self, ErrorCode, GoAwayReason},
};
use storage::{CursorMove, Revoke, Seq, Snapshot, TokenHash, Write};

use super::{
    connection::{Connection, Established},
    park::{Parked, Waiting},
};
use crate::{
    clock,
    cluster::ClusterHandle,
    config::Config,
    delivery::{Behind, Delivery, Entry, Item, Kick, Outboxes, Route, Routes, encode},
    lane::{Collected, Job, LaneHandle, SubmitError, Then},
    reply::{Answer, Authenticated, Effect, ReplyTo},
    service::{Question, append, question::Query, wire},
    session::{Rules, Verdict},
    token::SyncToken,
};

/// Close codes of this application, for logs.
mod code {
    pub(super) const REFUSED: u16 = 1;
    pub(super) const GOING_AWAY: u16 = 2;
    pub(super) const LOGGED_OUT: u16 = 3;
    pub(super) const FINISHED: u16 = 4;
}

/// Bytes queued for a connection that is not authenticated.
const PUSH_QUEUE_UNAUTHENTICATED: usize = 16 * 1024;
/// Heads of connections that caught up, and parked requests, handled in one turn.
const PARKED_PER_TURN: usize = 256;

/// What reaches a loop from other threads.
#[derive(Debug)]
pub enum ToLoop {
    /// The answer to a request.
    Answer(Answer),
    /// Pushes.
    Deliver(Delivery),
}

/// What the loops share.
#[derive(Debug)]
pub struct Shared {
    /// The configuration.
    pub config: Arc<Config>,
    /// The rules of sessions, from it.
    pub rules: Rules,
    /// The store's epoch.
    pub epoch: u64,
    /// Names its commit order.
    pub log_id: u64,
    /// Who is connected.
    pub routes: Arc<Routes>,
    /// Marks of missed deliveries.
    pub outboxes: Arc<Outboxes>,
    /// The writer.
    pub lane: LaneHandle,
    /// The other nodes.
    pub cluster: ClusterHandle,
    /// Those who answer questions.
    pub workers: WorkerPool<Question>,
    /// The server is going away.
    pub draining: AtomicBool,
    /// What rates are measured against.
    pub started: Instant,
}

/// See the module.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    loop_index: usize,
    /// Everything up to here was delivered to this loop.
    complete_to: Snapshot,
    waiting: Waiting,
    /// What this turn has for the lanes.
    collected: Collected,
    /// Connections with heads to send once there is room.
    owed: Vec<ConnId>,
    /// Connections to end once they have their answers.
    kicks: Vec<Kick>,
}

type Cx<'a> = ConnCx<'a, Gateway>;
type Reason = CloseReason<FrameError>;

impl Handler for Gateway {
    type Codec = FrameCodec;
    type Conn = Connection;
    type Msg = ToLoop;
    type Task = Question;

    fn on_accept(&mut self, peer: &Peer) -> Result<(FrameCodec, Connection), NotAccepted> {
        if self.shared.draining.load(Ordering::Relaxed) {
            return Err(NotAccepted);
        }
        let limits = &self.shared.config.limits;
        let exempt = peer
            .address
            .ip()
            .is_some_and(|ip| limits.exempt.iter().any(|network| network.contains(ip)));
        Ok((
            FrameCodec::new(limits.frame_bytes_unauthenticated),
            Connection::new(exempt),
        ))
    }

    fn on_open(&mut self, cx: &mut Cx<'_>) {
        let limit = PUSH_QUEUE_UNAUTHENTICATED;
        cx.set_outbound_limit(limit / 4, limit / 2, limit);
    }

    fn on_frame(&mut self, cx: &mut Cx<'_>, frame: Frame) -> Flow<Self> {
        let seq = frame.seq;
        let now_us = self.now_us(cx.now());
        let verdict = cx.conn().session.judge(&frame, now_us, &self.shared.rules);
        match verdict {
            Verdict::Pong => self.pong(cx, seq),
            Verdict::Welcome => self.welcome(cx, seq, None),
            Verdict::Go(request) => return self.start(cx, seq, request),
            Verdict::Refuse(refusal) => send_refusal(cx, &refusal, seq),
            Verdict::Close(refusal) => {
                send_refusal(cx, &refusal, seq);
                return Flow::Close(code::REFUSED);
            }
        }
        Flow::Continue
    }

    fn on_writable(&mut self, cx: &mut Cx<'_>) {
        self.settle(cx);
    }

    fn on_msg(&mut self, cx: &mut LoopCx<'_, Self>, message: ToLoop) {
        match message {
            ToLoop::Answer(answer) => self.answer(cx, answer),
            ToLoop::Deliver(delivery) => self.deliver(cx, delivery),
        }
    }

    fn on_turn_end(&mut self, cx: &mut LoopCx<'_, Self>) {
        self.shared.lane.hand_over(&mut self.collected);
        self.kick(cx);
        self.retry_parked(cx);
        for id in std::mem::take(&mut self.owed) {
            if let Some(mut cx) = cx.conn(id) {
                self.settle(&mut cx);
            }
        }
    }

    fn on_tick(&mut self, cx: &mut LoopCx<'_, Self>) {
        self.check_missed(cx);
        self.kick(cx);
        self.retry_parked(cx);
    }

    fn on_drain(&mut self, cx: &mut Cx<'_>) {
        let spread = self.shared.config.timeouts.reconnect_spread_ms;
        // The connection's number spreads the returns well enough, and needs no randomness.
        let jitter = cx.id().as_u64().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let reconnect_in_ms = u32::try_from(jitter % u64::from(spread.max(1))).unwrap_or(0);
        let farewell = v1::GoAway {
            reason: GoAwayReason::Draining.into(),
            reconnect_in_ms,
            message: "this server is going away".to_owned(),
            addresses: self.shared.cluster.addresses_of_others(),
        };
        let encoding = cx.conn().session.encoding();
        send(cx, encode::push(&Push::GoAway(farewell), encoding));
        let conn = cx.conn();
        conn.session.drain();
        conn.ending = true;
        close_if_finished(cx);
    }

    fn on_eof(&mut self, cx: &mut Cx<'_>) -> Eof {
        let conn = cx.conn();
        if conn.session.in_flight() == 0 {
            return Eof::Close;
        }
        conn.ending = true;
        Eof::KeepWriting
    }

    fn on_closing(&mut self, cx: &mut Cx<'_>, why: &Reason) {
        match why {
            CloseReason::Protocol(error) => {
                let code = match error {
                    FrameError::TooLong { .. } => ErrorCode::FrameTooLarge,
                    FrameError::ReservedBit(_) => ErrorCode::Protocol,
                };
                send_refusal(cx, &Refusal::new(code, error.to_string()), 0);
            }
            CloseReason::HandshakeTimeout | CloseReason::FrameTimeout => {
                send_refusal(cx, &Refusal::new(ErrorCode::Timeout, "this took too long"), 0);
            }
            CloseReason::IdleTimeout => {
                send_go_away(cx, GoAwayReason::Idle, 0, "nothing was heard for too long");
            }
            _ => {}
        }
    }

    fn on_close(&mut self, _: &mut LoopCx<'_, Self>, id: ConnId, conn: Connection, why: &Reason) {
        if let Some(Established { user, .. }) = conn.session.established()
            && let Some(session) = self.shared.routes.remove(user, id)
        {
            self.shared.cluster.disconnected(user, session);
        }
        log::debug!("connection {:#x} closed: {why:?}", id.as_u64());
    }
}

impl Gateway {
    /// The handler of loop `loop_index`; nothing of what `snapshot` has is delivered.
    pub fn new(shared: Arc<Shared>, loop_index: usize, snapshot: Snapshot) -> Self {
        Self {
            shared,
            loop_index,
            complete_to: snapshot,
            waiting: Waiting::default(),
            collected: Collected::default(),
            owed: Vec::new(),
            kicks: Vec::new(),
        }
    }

    fn now_us(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.shared.started);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    // ---- requests ---------------------------------------------------------------------------------

    /// Hands an admitted request on, its answer's place reserved.
    fn start(&mut self, cx: &mut Cx<'_>, seq: u16, request: Request) -> Flow<Self> {
        let id = cx.id();
        let encoding = cx.conn().session.encoding();
        let permit = match cx.loop_cx().remote().reserve(id.loop_id()) {
            Ok(permit) => permit,
            Err(ReserveError::Full) => {
                self.park(cx, Parked::Request(seq, Box::new(request)));
                return Flow::Continue;
            }
            Err(ReserveError::Stopped) => return Flow::Close(code::GOING_AWAY),
        };
        let conn = cx.conn();
        let reply = ReplyTo::new(permit, id, seq, encoding).with_event(conn.session.answer_is_event());
        if conn.session.must_wait(&self.shared.rules) {
            cx.pause_reading();
        }
        self.route(cx, request, reply)
    }

    /// To the lane, to a worker, or done here.
    fn route(&mut self, cx: &mut Cx<'_>, mut request: Request, reply: ReplyTo) -> Flow<Self> {
        let key = cx.id().as_u64();
        let conn = cx.conn();
        let Some(who) = conn.session.established() else {
            let Some(device) = conn.session.device() else {
                reply.refuse(&Refusal::new(ErrorCode::Unauthenticated, "log in first"));
                return Flow::Continue;
            };
            let query = Query::Open(Box::new(device.clone()), request);
            return Flow::Offload(Question { key, query, reply });
        };
        match request {
            Request::Send(ref send) if send.quality() == v1::QualityOfService::AtMostOnce => {}
            Request::Sync(_) => {
                if let Some(behind) = &mut cx.conn().behind {
                    behind.sync_asked();
                }
            }
            Request::Delivered(delivered) => {
                self.delivered(who, &delivered, reply);
                return Flow::Continue;
            }
            Request::Read(read) => {
                self.read(who, &read, reply);
                return Flow::Continue;
            }
            Request::Logout(_) => {
                let write = Write::RevokeSessions(Revoke::One(who.user, who.session));
                return self.submit(
                    cx,
                    Box::new(Job {
                        write,
                        then: Then::LoggedOut(reply),
                    }),
                );
            }
            Request::LogoutOthers(_) => {
                let write = Write::RevokeSessions(Revoke::Others(who.user, who.session));
                return self.submit(
                    cx,
                    Box::new(Job {
                        write,
                        then: Then::OthersLoggedOut(who.user, reply),
                    }),
                );
            }
            Request::UpdateProfile(update) => {
                let change = storage::ProfileChange {
                    user: who.user,
                    display_name: update.display_name,
                    avatar: update.avatar,
                    status: update.status,
                };
                return self.submit(
                    cx,
                    Box::new(Job {
                        write: Write::UpdateProfile(change),
                        then: Then::Profile(reply),
                    }),
                );
            }
            ref mut other => match append::from_request(who.user, other, clock::wall()) {
                Ok(Some(append)) => {
                    let then = Then::Sent(other.command(), reply);
                    return self.submit(
                        cx,
                        Box::new(Job {
                            write: Write::Append(append),
                            then,
                        }),
                    );
                }
                Ok(None) => {}
                Err(refusal) => {
                    reply.refuse(&refusal);
                    return Flow::Continue;
                }
            },
        }
        Flow::Offload(Question {
            key,
            query: Query::Ask(who, request),
            reply,
        })
    }

    fn submit(&mut self, cx: &mut Cx<'_>, job: Box<Job>) -> Flow<Self> {
        match self.shared.lane.collect(job, &mut self.collected) {
            Ok(()) => Flow::Continue,
            Err(SubmitError::Full(job)) => {
                self.park(cx, Parked::Job(job));
                Flow::Continue
            }
            // The reply in the job says so.
            Err(SubmitError::Stopped(_)) => Flow::Continue,
        }
    }

    fn delivered(&self, who: Established, delivered: &v1::DeliveredRequest, reply: ReplyTo) {
        let moves = delivered.up_to.iter().map(|head| CursorMove {
            conversation: storage::ConversationId(head.conversation_id),
            user: who.user,
            delivered: Seq(head.seq),
            read: Seq(0),
        });
        self.move_cursors(moves, &Reply::Delivered(v1::Empty {}), reply);
    }

    fn read(&self, who: Established, read: &v1::ReadRequest, reply: ReplyTo) {
        let moved = CursorMove {
            conversation: storage::ConversationId(read.conversation_id),
            user: who.user,
            delivered: Seq(read.seq),
            read: Seq(read.seq),
        };
        self.move_cursors(std::iter::once(moved), &Reply::Read(v1::Empty {}), reply);
    }

    fn move_cursors(&self, moves: impl Iterator<Item = CursorMove>, answer: &Reply, reply: ReplyTo) {
        let lane = &self.shared.lane;
        for moved in moves {
            match lane.lazy().move_cursor(moved) {
                Ok(true) => lane.wake_lazy(),
                Ok(false) => {}
                Err(_) => {
                    return reply.refuse(&Refusal::new(ErrorCode::Overloaded, "too many receipts wait"));
                }
            }
        }
        reply.ok(answer);
    }

    // ---- parked requests --------------------------------------------------------------------------

    fn park(&mut self, cx: &mut Cx<'_>, parked: Parked) {
        cx.conn().parked = Some(Box::new(parked));
        cx.pause_reading();
        self.waiting.push(cx.id());
    }

    fn retry_parked(&mut self, cx: &mut LoopCx<'_, Self>) {
        for _ in 0..PARKED_PER_TURN {
            let Some(id) = self.waiting.pop() else { return };
            let Some(mut cx) = cx.conn(id) else { continue };
            let Some(parked) = cx.conn().parked.take() else {
                continue;
            };
            match *parked {
                Parked::Question(question) => self.offload(&mut cx, *question),
                Parked::Job(job) => match self.shared.lane.submit(job) {
                    Err(SubmitError::Full(job)) => {
                        cx.conn().parked = Some(Box::new(Parked::Job(job)));
                        self.waiting.push_front(id);
                        return;
                    }
                    Ok(()) | Err(SubmitError::Stopped(_)) => {}
                },
                Parked::Request(seq, request) => {
                    let flow = self.start(&mut cx, seq, *request);
                    if cx.conn().parked.is_some() {
                        // No place yet; it stands at the end of the line again.
                        return;
                    }
                    match flow {
                        Flow::Continue => {}
                        Flow::Offload(question) => self.offload(&mut cx, question),
                        Flow::Close(code) => cx.close(code, CloseHow::Flush),
                    }
                }
            }
            self.resume_if_possible(&mut cx);
        }
    }

    /// What the loop itself does for a frame that is not parked.
    fn offload(&mut self, cx: &mut Cx<'_>, question: Question) {
        match self.shared.workers.try_submit(question) {
            Ok(()) => {}
            Err(refused) => self.park(cx, Parked::Question(Box::new(refused.into_task()))),
        }
    }

    fn resume_if_possible(&self, cx: &mut Cx<'_>) {
        let rules = &self.shared.rules;
        let conn = cx.conn();
        if conn.parked.is_none() && !conn.session.must_wait(rules) {
            cx.resume_reading();
        }
    }

    // ---- answers ----------------------------------------------------------------------------------

    fn pong(&self, cx: &mut Cx<'_>, seq: u16) {
        let log_id = self.shared.log_id;
        let conn = cx.conn();
        let encoding = conn.session.encoding();
        let token = conn
            .token(&self.complete_to)
            .map(|snapshot| SyncToken { log_id, snapshot });
        let pong = v1::Pong {
            sync_token: token.map(|token| token.to_bytes().into()).unwrap_or_default(),
            server_time_ms: clock::wall().0,
        };
        send(cx, encode::reply(&Reply::Ping(pong), encoding, seq));
    }

    fn welcome(&self, cx: &mut Cx<'_>, seq: u16, session: Option<v1::Session>) {
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
        let encoding = cx.conn().session.encoding();
        send(cx, encode::reply(&Reply::Hello(welcome), encoding, seq));
    }

    fn answer(&mut self, cx: &mut LoopCx<'_, Self>, answer: Answer) {
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
        let conn = cx.conn();
        conn.session.answered(answer.seq);
        match answer.effect {
            Effect::NotAuthenticated => conn.session.not_authenticated(),
            Effect::Synced(snapshot) => {
                let settled = conn.behind.as_mut().map(|behind| behind.synced(&snapshot));
                conn.synced = Some(snapshot);
                match settled {
                    Some(true) => conn.behind = None,
                    Some(false) => self.owed.push(answer.conn),
                    None => {}
                }
            }
            Effect::LoggedOut => {
                if let Some(established) = conn.session.established() {
                    let Established { user, session } = established;
                    self.shared.routes.remove(user, answer.conn);
                    self.shared.cluster.disconnected(user, session);
                }
                cx.close(code::LOGGED_OUT, CloseHow::Flush);
                return;
            }
            Effect::None | Effect::Authenticated(_) => {}
        }
        close_if_finished(cx);
        self.resume_if_possible(cx);
    }

    /// A session was checked: make its route, then welcome it.
    fn authenticated(&mut self, cx: &mut Cx<'_>, seq: u16, authenticated: Authenticated) {
        let Authenticated {
            established,
            user,
            checked_at,
            token,
            ..
        } = authenticated;
        let Some(command) = cx.conn().session.deciding() else {
            return;
        };
        let id = cx.id();
        let route = Route {
            conn: id,
            session: established.session,
            encoding: cx.conn().session.encoding(),
            since: clock::wall(),
        };
        if self
            .shared
            .routes
            .insert(established.user, route, checked_at)
            .is_err()
        {
            // Some session was revoked meanwhile, perhaps this one: look again.
            return self.check_again(cx, seq, authenticated.token_hash, token);
        }
        self.shared
            .cluster
            .connected(established.user, established.session, route.since);
        let conn = cx.conn();
        conn.session.answered(seq);
        conn.session.authenticated(established);
        let encoding = conn.session.encoding();
        cx.codec().set_limit(self.shared.config.limits.frame_bytes);
        let limit = self.shared.config.limits.push_queue_bytes;
        cx.set_outbound_limit(limit / 4, limit / 2, limit);
        cx.established();
        let mut session = v1::Session {
            user: Some(wire::user(&user)),
            session_id: established.session.0,
            token: token.unwrap_or_default(),
            epoch: self.shared.epoch,
        };
        match command {
            Command::Register => send(cx, encode::reply(&Reply::Register(session), encoding, seq)),
            Command::Login => send(cx, encode::reply(&Reply::Login(session), encoding, seq)),
            _ => {
                session.token = String::new();
                self.welcome(cx, seq, Some(session));
            }
        }
        close_if_finished(cx);
        self.resume_if_possible(cx);
    }

    fn check_again(&mut self, cx: &mut Cx<'_>, seq: u16, token_hash: TokenHash, token: Option<String>) {
        let (id, encoding) = (cx.id(), cx.conn().session.encoding());
        match cx.loop_cx().remote().reserve(id.loop_id()) {
            Ok(permit) => {
                let reply = ReplyTo::new(permit, id, seq, encoding);
                let query = Query::Recheck(token_hash, token);
                self.offload(
                    cx,
                    Question {
                        key: id.as_u64(),
                        query,
                        reply,
                    },
                );
            }
            Err(_) => {
                send_refusal(
                    cx,
                    &Refusal::new(ErrorCode::Overloaded, "too many requests wait"),
                    seq,
                );
                let session = &mut cx.conn().session;
                session.answered(seq);
                session.not_authenticated();
                self.resume_if_possible(cx);
            }
        }
    }

    // ---- pushes -----------------------------------------------------------------------------------

    fn deliver(&mut self, cx: &mut LoopCx<'_, Self>, delivery: Delivery) {
        self.check_missed(cx);
        let mut to = delivery.to.iter();
        for entry in delivery.entries {
            match entry {
                Entry::Push(item) => {
                    for id in to.by_ref().take(item.receivers) {
                        if let Some(mut cx) = cx.conn(*id) {
                            self.push(&mut cx, &item);
                        }
                    }
                }
                Entry::Answer(answer) => self.answer(cx, answer.received()),
            }
        }
        if let Some(complete_to) = &delivery.complete_to {
            self.complete_to = self.complete_to.union(complete_to);
        }
    }

    fn push(&mut self, cx: &mut Cx<'_>, item: &Item) {
        let owes = cx.conn().behind.is_some();
        if !owes {
            match cx.send_encoded(item.frame.clone()) {
                Ok(_) | Err(SendError::Closing | SendError::Encode) => return,
                Err(SendError::Full) => {}
            }
        }
        let Some((conversation, seq)) = item.head else {
            return;
        };
        let token = cx.conn().token(&self.complete_to).unwrap_or_default();
        cx.conn()
            .behind
            .get_or_insert_with(|| Box::new(Behind::new(token)))
            .note(conversation, seq);
    }

    /// Sends a connection the heads it is owed, if there is room for them now.
    fn settle(&mut self, cx: &mut Cx<'_>) {
        let conn = cx.conn();
        let Some(push) = conn
            .behind
            .as_ref()
            .and_then(|behind| behind.push(self.shared.epoch))
        else {
            return;
        };
        let frame = encode::push(&Push::HeadsPush(push), conn.session.encoding());
        if cx.send_encoded(frame).is_ok() {
            let conn = cx.conn();
            if conn.behind.as_mut().is_some_and(|behind| behind.sent()) {
                conn.behind = None;
            }
        }
    }

    /// Turns every session of this loop to a resync if something could not be posted to it.
    fn check_missed(&mut self, cx: &mut LoopCx<'_, Self>) {
        let Some(mark) = self.shared.outboxes.mark(self.loop_index) else {
            return;
        };
        if !mark.take() {
            return;
        }
        let complete_to = self.complete_to.clone();
        for id in cx.connection_ids() {
            let Some(mut cx) = cx.conn(id) else { continue };
            let conn = cx.conn();
            if conn.session.established().is_some() {
                let token = conn.token(&complete_to).unwrap_or_default();
                conn.behind
                    .get_or_insert_with(|| Box::new(Behind::new(token)))
                    .owe_resync();
                self.owed.push(id);
            }
        }
    }

    /// Ends the connections whose sessions are no longer theirs.
    fn kick(&mut self, cx: &mut LoopCx<'_, Self>) {
        let mut kicks = std::mem::take(&mut self.kicks);
        kicks.extend(self.shared.routes.take_kicks(self.loop_index));
        for kick in kicks {
            let Some(mut cx) = cx.conn(kick.conn) else {
                continue;
            };
            let session = &mut cx.conn().session;
            if session.in_flight() > 0 {
                // What it asked is answered first, a logout above all; it may ask nothing more.
                session.drain();
                self.kicks.push(kick);
                continue;
            }
            let message = match kick.reason {
                GoAwayReason::Replaced => "this session connected again",
                GoAwayReason::Displaced => "another device took this one's place",
                _ => "this session was ended",
            };
            send_go_away(&mut cx, kick.reason, 0, message);
            cx.close(code::GOING_AWAY, CloseHow::Flush);
        }
    }
}

/// An answer: its place was reserved.
fn send(cx: &mut Cx<'_>, frame: bytes::Bytes) {
    if let Err(SendError::Full) = cx.send_reply(frame) {
        // Requests in flight are bounded, and so are their answers; a peer that reads none of them is gone.
        log::debug!("connection {:#x} takes no answers", cx.id().as_u64());
        cx.close(code::REFUSED, CloseHow::Abort);
    }
}

fn send_refusal(cx: &mut Cx<'_>, refusal: &Refusal, seq: u16) {
    let encoding: Encoding = cx.conn().session.encoding();
    send(cx, encode::refusal(refusal, encoding, seq));
}

fn send_go_away(cx: &mut Cx<'_>, reason: GoAwayReason, reconnect_in_ms: u32, message: &str) {
    let push = Push::GoAway(v1::GoAway {
        reason: reason.into(),
        reconnect_in_ms,
        message: message.to_owned(),
        addresses: Vec::new(),
    });
    let encoding = cx.conn().session.encoding();
    send(cx, encode::push(&push, encoding));
}

/// Closes a connection that was only waiting for its answers.
fn close_if_finished(cx: &mut Cx<'_>) {
    let conn = cx.conn();
    if conn.ending && conn.session.in_flight() == 0 {
        cx.close(code::FINISHED, CloseHow::Flush);
    }
}
