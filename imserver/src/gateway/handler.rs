//! The handler of one event loop.

use std::{
    hash::RandomState,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use netcore::{
    CloseHow, CloseReason, ConnCx, ConnId, Eof, Flow, Handler, LoopCx, Peer, Refusal as NotAccepted,
    WorkerPool, websocket::CloseCode,
};
use parking_lot::Mutex;
use protocol::{
    Command, Frame, FrameError, MessageType, Push, Refusal,
    door::{self, Door, DoorError, Incoming},
    text::TextError,
    v1::{self, ErrorCode, GoAwayReason},
};
use storage::{Snapshot, Timestamp};

use super::{
    answers::{close_if_finished, send, send_go_away, send_refusal},
    connection::{Connection, Present},
    http::{Tickets, respond_last, respond_refused, respond_too_slow, say_close},
    park::Waiting,
    terms::Terms,
};
use crate::{
    clock,
    cluster::ClusterHandle,
    config::{self, Config},
    delivery::{Kick, Outboxes, Routes},
    lane::{Collected, LaneHandle},
    message::ToLoop,
    metrics::{self, Asked, Metrics, OfLoop, Outcome},
    presence::PresenceHandle,
    principal::Principal,
    service::WorkerTask,
    session::{Allowance, Allowances, Verdict},
    token::Tokens,
    wire::{Format, frame},
};

/// Close codes of this application, for logs.
pub(super) mod code {
    pub(in crate::gateway) const REFUSED: u16 = 1;
    pub(in crate::gateway) const GOING_AWAY: u16 = 2;
    pub(in crate::gateway) const LOGGED_OUT: u16 = 3;
    pub(in crate::gateway) const FINISHED: u16 = 4;
}

/// A peer is given more once at most this many queued bytes are left: its socket's buffer keeps it busy meanwhile.
pub(crate) const LOW_WATER: usize = 16 * 1024;
/// Bytes queued for a connection that is not authenticated.
const PUSH_QUEUE_UNAUTHENTICATED: usize = 16 * 1024;

/// The retry-after of a connection that is turned away because there are too many.
const TURNED_AWAY_RETRY_MS: u32 = 1_000;
/// The timer of a connection that is turned away; those of streams have other keys.
const TURN_AWAY: u32 = 0;
/// Its first bytes say in which words it is to be told. One that sends nothing for so long is told nothing, unless there
/// is only one door.
const TURN_AWAY_AFTER: Duration = Duration::from_millis(500);

/// What the loops share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The configuration.
    pub config: Arc<Config>,
    /// The terms that count now, each loop takes them over at its next tick.
    pub terms: Mutex<Arc<Terms>>,
    /// The store's epoch.
    pub epoch: u64,
    /// Makes the tokens that devices carry.
    pub tokens: Tokens,
    /// Where users are connected.
    pub routes: Arc<Routes>,
    /// Marks of missed deliveries.
    pub outboxes: Arc<Outboxes>,
    /// The lanes.
    pub lane: LaneHandle,
    /// The other nodes.
    pub cluster: ClusterHandle,
    /// How present users are.
    pub presence: PresenceHandle,
    /// Bytes of answers and pushes that one loop may hold for its peers before its pages become frugal.
    pub answers_bytes: usize,
    /// Names the groups in which connections share the workers. It is random, so that no client can choose its group.
    pub groups: RandomState,
    /// The allowances of users and addresses.
    pub allowances: Allowances,
    /// Connections that are served at a time.
    pub connections_max: usize,
    /// All connections, with those that are being turned away.
    pub connections_present: Arc<AtomicUsize>,
    /// Tickets for streams of events.
    pub tickets: Tickets,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// They answer queries.
    pub workers: WorkerPool<WorkerTask>,
    /// The server is going away.
    pub draining: AtomicBool,
    /// The zero of the clock that rates use.
    pub started: Instant,
}

/// The handler of one loop; see the module.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(super) shared: Arc<Shared>,
    /// The terms that this loop has taken over.
    pub(super) terms: Arc<Terms>,
    pub(super) loop_index: usize,
    /// Everything up to here was delivered to this loop.
    pub(super) complete_to: Snapshot,
    pub(super) waiting: Waiting,
    /// This turn's jobs for the lanes.
    pub(super) collected: Collected,
    /// The largest size of the answers to queries that are on their way to this loop's connections. Bytes.
    pub(super) promised: usize,
    /// Connections whose backlog is sent once there is room.
    pub(super) owed: Vec<ConnId>,
    /// Connections to end once their requests are answered.
    pub(super) kicks: Vec<Kick>,
}

pub(super) type Cx<'a> = ConnCx<'a, Gateway>;
type Reason = CloseReason<DoorError>;

impl Handler for Gateway {
    type Codec = Door;
    type Conn = Connection;
    type Msg = ToLoop;
    type Task = WorkerTask;

    fn on_accept(&mut self, peer: &Peer) -> Result<(Door, Connection), NotAccepted> {
        let limits = &self.shared.config.limits;
        let address = self.allowance_of(Terms::source(peer));
        let of_address = if self.terms.is_proxy(Terms::source(peer)) {
            // Each of its clients has a share, which is asked for when it is known who that is.
            0
        } else {
            address.as_ref().map_or(0, connections_of)
        };
        let (present, count) = Present::enter(&self.shared.connections_present);
        let mut conn = Connection::new(address, present);
        if self.shared.draining.load(Ordering::Relaxed) {
            let refusal = Refusal::new(ErrorCode::Draining, "this server is going away");
            conn.turned_away = Some(Box::new(refusal));
        } else if of_address > self.terms.connections_per_address {
            conn.turned_away = Some(Box::new(too_many_of_address()));
        } else if count > self.shared.connections_max {
            let refusal = Refusal::new(
                ErrorCode::Overloaded,
                "this server has no room for more connections",
            )
            .with_retry_after_ms(TURNED_AWAY_RETRY_MS);
            conn.turned_away = Some(Box::new(refusal));
        }
        let bytes = door::Limits {
            frame_bytes: limits.frame_bytes_unauthenticated,
            call_bytes: limits.frame_bytes,
        };
        let door = match self.terms.doors(peer) {
            [config::Door::Native] => Door::native(bytes),
            [config::Door::Http] => Door::http(bytes),
            _ => Door::any(bytes),
        };
        Ok((door, conn))
    }

    fn on_open(&mut self, cx: &mut Cx<'_>) {
        if !self.terms.takes_passwords(&cx.peer(), cx.is_encrypted()) {
            cx.conn().session.refuse_passwords();
        }
        let limit = PUSH_QUEUE_UNAUTHENTICATED;
        cx.set_outbound_limit(limit / 4, limit / 2, limit);
        self.row().connections.opened();
        if cx.conn().turned_away.is_some() {
            // A connection has room for this timer: it has none yet.
            let _ = cx.set_timer(TURN_AWAY, TURN_AWAY_AFTER);
        }
    }

    fn on_frame(&mut self, cx: &mut Cx<'_>, incoming: Incoming) -> Flow<Self> {
        if cx.conn().turned_away.is_some() {
            turn_away(self.row(), cx);
            return Flow::Continue;
        }
        let flow = match incoming {
            Incoming::Frame(frame) => self.frame(cx, &frame),
            other @ (Incoming::Binary(_)
            | Incoming::Text(_)
            | Incoming::NoFrame(_)
            | Incoming::Request(_)
            | Incoming::Expectation
            | Incoming::Ping(_)
            | Incoming::Pong
            | Incoming::Close(_)) => self.not_native(cx, other),
        };
        if let Flow::Close(code) = flow {
            say_closing(cx, code);
        }
        flow
    }

    fn on_timer(&mut self, cx: &mut Cx<'_>, key: u32) {
        match key {
            TURN_AWAY => turn_away(self.row(), cx),
            _ => self.stream_timer(cx, key),
        }
    }

    fn on_writable(&mut self, cx: &mut Cx<'_>) {
        self.settle(cx);
        self.ask_more(cx);
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
        self.terms = Arc::clone(&self.shared.terms.lock());
        self.check_missed(cx);
        self.kick(cx);
        self.retry_parked(cx);
    }

    fn on_drain(&mut self, cx: &mut Cx<'_>) {
        let spread = self.shared.config.timeouts.reconnect_spread_ms;
        // The connection's id spreads the returns well enough, and needs no randomness.
        let jitter = cx.id().as_u64().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let reconnect_in_ms = u32::try_from(jitter % u64::from(spread.max(1))).unwrap_or(0);
        let farewell = v1::GoAway {
            reason: GoAwayReason::Draining.into(),
            reconnect_in_ms,
            message: "this server is going away".to_owned(),
            addresses: self.shared.cluster.addresses_of_others(),
        };
        let is_calling = cx.conn().is_stream_or_calls();
        match cx.codec() {
            // It is not known which words would be understood.
            Door::Unknown(_) => {}
            Door::Http(requests) if requests.is_partial() && !is_calling => {
                return respond_last(
                    self.row(),
                    cx,
                    &Refusal::new(ErrorCode::Draining, "this server is going away"),
                );
            }
            Door::Native(_) | Door::Http(_) | Door::Socket(_) => {
                let format = cx.conn().session.format();
                send(cx, frame::push(&Push::GoAway(farewell), format));
            }
        }
        self.give_up_asking(cx);
        let conn = cx.conn();
        conn.session.drain();
        conn.ending = true;
        close_if_finished(cx);
    }

    fn on_truncated(&mut self, cx: &mut Cx<'_>, _have: usize) -> Eof {
        // The requests before the cut were whole.
        self.on_eof(cx)
    }

    fn on_eof(&mut self, cx: &mut Cx<'_>) -> Eof {
        let conn = cx.conn();
        if conn.session.in_flight() == 0 {
            return Eof::Close;
        }
        conn.ending = true;
        Eof::KeepWriting
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a peer that is gone, or was told already, is told nothing"
    )]
    fn on_closing(&mut self, cx: &mut Cx<'_>, why: &Reason) {
        match why {
            CloseReason::Protocol(error) => say_broken(self.row(), cx, error),
            CloseReason::HandshakeTimeout | CloseReason::FrameTimeout => say_too_slow(self.row(), cx),
            CloseReason::IdleTimeout => {
                let message = "nothing was heard for too long";
                send_go_away(cx, GoAwayReason::Idle, 0, message);
                say_close(cx, close_code(GoAwayReason::Idle), message);
            }
            _ => {}
        }
    }

    fn on_close(&mut self, _: &mut LoopCx<'_, Self>, id: ConnId, mut conn: Connection, why: &Reason) {
        let door = metrics::Door::from(conn.session.format());
        self.row().connections.closed(door, why);
        self.promised -= conn.asks.as_ref().map_or(0, |asks| asks.promised());
        if let Some(parked) = conn.parked.take() {
            parked.forget();
        }
        if conn.session.in_flight() > 0 {
            for question in self.shared.workers.forget(id.as_u64()) {
                question.reply.forget();
            }
        }
        if let Some(Principal { user, .. }) = conn.session.principal() {
            if let Some(session) = self.shared.routes.remove(user, id) {
                self.shared.cluster.disconnected(user, session);
            }
            // Also if another thread has removed the route before. A call over HTTP has none.
            if conn.session.format() != Format::Call {
                self.shared.presence.changed(user);
            }
        }
        log::debug!("connection {:#x} closed: {why:?}", id.as_u64());
    }
}

impl Gateway {
    /// The handler of loop `loop_index`. Everything in `snapshot` counts as delivered.
    pub(crate) fn new(shared: Arc<Shared>, loop_index: usize, snapshot: Snapshot) -> Self {
        let terms = Arc::clone(&shared.terms.lock());
        Self {
            shared,
            terms,
            loop_index,
            complete_to: snapshot,
            waiting: Waiting::default(),
            collected: Collected::default(),
            promised: 0,
            owed: Vec::new(),
            kicks: Vec::new(),
        }
    }

    /// What this loop counts in.
    pub(super) fn row(&self) -> &OfLoop {
        self.shared.metrics.of_loop(self.loop_index)
    }

    /// Counts a request that is answered here and now.
    fn count(&self, kind: MessageType, verdict: &Verdict) {
        let outcome = match verdict {
            Verdict::Go(_) => return,
            Verdict::Pong | Verdict::Welcome => Outcome::OK,
            Verdict::Refuse(refusal) | Verdict::Close(refusal) => Outcome::refused(refusal),
        };
        let command = Command::from_number(kind.command()).ok();
        self.row().requests.answered_here(command, outcome);
    }

    /// A session is here that was last noted as connected at `seen_at`.
    pub(super) fn seen_since(&self, conn: &mut Connection, seen_at: Timestamp, now_us: u64) {
        let every_ms = self.shared.config.devices.seen_every_ms;
        let age_ms = clock::wall().0.saturating_sub(seen_at.0);
        conn.seen_due_us = now_us.saturating_add(every_ms.saturating_sub(age_ms) * 1_000);
        if age_ms >= every_ms {
            self.seen(conn, now_us);
        }
    }

    /// Notes that a session is connected, at most once in the configured interval, however often it connects.
    fn seen(&self, conn: &mut Connection, now_us: u64) {
        let every_us = self.shared.config.devices.seen_every_ms * 1_000;
        conn.seen_due_us = now_us.saturating_add(every_us);
        if let Some(Principal { session, .. }) = conn.session.principal()
            && self.shared.lane.lazy().touch(session, clock::wall())
        {
            self.shared.lane.wake_lazy();
        }
    }

    /// A frame came, natively or as a message of a WebSocket.
    fn frame(&mut self, cx: &mut Cx<'_>, frame: &Frame) -> Flow<Self> {
        let now_us = self.now_us(cx.now());
        let conn = cx.conn();
        if now_us >= conn.seen_due_us {
            self.seen(conn, now_us);
        }
        self.judged(cx, frame)
    }

    /// Does what the session machine says to a frame.
    pub(super) fn judged(&mut self, cx: &mut Cx<'_>, frame: &Frame) -> Flow<Self> {
        let now_us = self.now_us(cx.now());
        let verdict = cx.conn().session.judge(frame, now_us, &self.terms.rules);
        self.count(frame.kind, &verdict);
        self.act(cx, frame.seq, verdict)
    }

    fn act(&mut self, cx: &mut Cx<'_>, seq: u16, verdict: Verdict) -> Flow<Self> {
        match verdict {
            Verdict::Pong => self.pong(cx, seq),
            Verdict::Welcome => self.welcome(cx, seq, None),
            Verdict::Go(request) => {
                cx.conn().asked = Asked::new(request.command(), self.now_us(cx.now()));
                return self.start(cx, seq, request);
            }
            Verdict::Refuse(refusal) => send_refusal(cx, &refusal, seq),
            Verdict::Close(refusal) => {
                send_refusal(cx, &refusal, seq);
                return Flow::Close(code::REFUSED);
            }
        }
        Flow::Continue
    }

    /// What comes through the other doors. Kept apart, so that a native frame passes none of it.
    #[inline(never)]
    fn not_native(&mut self, cx: &mut Cx<'_>, incoming: Incoming) -> Flow<Self> {
        match incoming {
            Incoming::Frame(frame) => self.frame(cx, &frame),
            Incoming::Binary(frame) => {
                if cx.conn().session.format() == Format::SocketText {
                    let message = "this session said hello in a text";
                    send_refusal(cx, &Refusal::new(ErrorCode::Protocol, message), frame.seq);
                    return Flow::Close(code::REFUSED);
                }
                self.frame(cx, &frame)
            }
            Incoming::Text(frame) => {
                if let Err(refusal) = speaks_texts(cx) {
                    send_refusal(cx, &refusal, frame.seq);
                    return Flow::Close(code::REFUSED);
                }
                self.frame(cx, &frame)
            }
            Incoming::NoFrame(error) => {
                if let Err(refusal) = speaks_texts(cx) {
                    send_refusal(cx, &refusal, 0);
                    return Flow::Close(code::REFUSED);
                }
                match error {
                    TextError::UnknownCommand { ref name, seq } if seq > 0 => {
                        let now_us = self.now_us(cx.now());
                        let message = format!("unknown command {name:?}");
                        let session = &mut cx.conn().session;
                        let verdict = session.judge_unknown(&message, now_us, &self.terms.rules);
                        self.act(cx, seq, verdict)
                    }
                    error @ (TextError::NoFrame { .. } | TextError::UnknownCommand { .. }) => {
                        send_refusal(cx, &Refusal::new(ErrorCode::Protocol, error.to_string()), 0);
                        Flow::Close(code::REFUSED)
                    }
                }
            }
            Incoming::Request(request) => self.request(cx, *request),
            Incoming::Close(close) => {
                say_close(cx, close.code.unwrap_or(CloseCode::NORMAL), "");
                cx.close(code::FINISHED, CloseHow::Flush);
                Flow::Continue
            }
            // The library has answered.
            Incoming::Expectation | Incoming::Ping(_) | Incoming::Pong => Flow::Continue,
        }
    }

    /// Where a connection, or the request on it, comes from.
    pub(super) fn source(cx: &mut Cx<'_>) -> IpAddr {
        let conn = cx.conn();
        let told = match (&conn.http, &conn.from) {
            (Some(http), _) => http.from,
            (None, from) => from.as_deref().copied(),
        };
        told.unwrap_or_else(|| Terms::source(&cx.peer()))
    }

    /// The allowance of whoever sent the request that is worked on; `None` if exempt from rates.
    pub(super) fn allowance_of_request(&self, cx: &mut Cx<'_>) -> Option<Arc<Allowance>> {
        let source = Self::source(cx);
        if cx.conn().http.as_ref().is_some_and(|http| http.is_of_stranger) {
            return Some(self.allowance_whoever(source));
        }
        self.allowance_of(source)
    }

    /// Whether the client of a proxy may have one more connection for itself, beside its other ones and its calls under way.
    /// Whoever is not a proxy's client was counted when they came. The connection must hold the client's allowance already.
    ///
    /// # Errors
    /// It has its share.
    pub(super) fn share_of_client(&self, cx: &mut Cx<'_>) -> Result<(), Refusal> {
        if !self.terms.is_proxy(Terms::source(&cx.peer())) {
            return Ok(());
        }
        // It holds one reference more.
        let held = self
            .allowance_of_request(cx)
            .map_or(0, |address| connections_of(&address).saturating_sub(1));
        if held > self.terms.connections_per_address {
            return Err(too_many_of_address());
        }
        Ok(())
    }

    /// The allowance of an address; `None` if it is exempt from rates.
    fn allowance_of(&self, address: IpAddr) -> Option<Arc<Allowance>> {
        if self.terms.is_exempt(address) {
            return None;
        }
        Some(self.allowance_whoever(address))
    }

    /// The allowance of an address, whether exempt or not.
    fn allowance_whoever(&self, address: IpAddr) -> Arc<Allowance> {
        let now_us = self.now_us(Instant::now());
        self.shared.allowances.of_address(address, now_us)
    }

    pub(super) fn now_us(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.shared.started);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

/// The connections that hold an address' allowance. The table of allowances holds it, too.
fn connections_of(address: &Arc<Allowance>) -> usize {
    Arc::strong_count(address).saturating_sub(1)
}

fn too_many_of_address() -> Refusal {
    Refusal::new(ErrorCode::Overloaded, "too many connections from this address")
        .with_retry_after_ms(TURNED_AWAY_RETRY_MS)
}

/// Whether the messages of a WebSocket may be texts: the first one decides.
fn speaks_texts(cx: &mut Cx<'_>) -> Result<(), Refusal> {
    let session = &mut cx.conn().session;
    if session.is_new() {
        session.set_format(Format::SocketText);
    }
    if session.format() == Format::SocketText {
        return Ok(());
    }
    let message = "this session said hello in a binary message";
    Err(Refusal::new(ErrorCode::Protocol, message))
}

/// Tells a client why what it sent ends the connection.
fn say_broken(row: &OfLoop, cx: &mut Cx<'_>, error: &DoorError) {
    match error {
        DoorError::Frame(frame) => {
            let code = match frame {
                FrameError::TooLong { .. } => ErrorCode::FrameTooLarge,
                FrameError::ReservedBit { .. } => ErrorCode::Protocol,
            };
            send_refusal(cx, &Refusal::new(code, error.to_string()), frame.seq());
            say_close(cx, CloseCode::POLICY, "no frame begins like this");
        }
        DoorError::Http(refused) => respond_refused(row, cx, *refused),
        DoorError::Socket(broken) => {
            // Nothing was broken but a rule of ours. Before the first message, it is not known how errors are written.
            if broken.close_code() == CloseCode::POLICY && !cx.conn().session.is_new() {
                send_refusal(cx, &Refusal::new(ErrorCode::Protocol, error.to_string()), 0);
            }
            say_close(cx, broken.close_code(), &error.to_string());
        }
        DoorError::NotOneFrame => say_close(cx, CloseCode::INVALID_DATA, &error.to_string()),
    }
}

/// Tells a client why it is turned away, and closes.
fn turn_away(row: &OfLoop, cx: &mut Cx<'_>) {
    let Some(refusal) = cx.conn().turned_away.take() else {
        return;
    };
    match cx.codec() {
        Door::Unknown(_) => {}
        Door::Http(_) => return respond_last(row, cx, &refusal),
        Door::Native(_) | Door::Socket(_) => send_refusal(cx, &refusal, 0),
    }
    cx.close(code::REFUSED, CloseHow::Flush);
}

/// Tells a client that the connection ends because it took too long.
fn say_too_slow(row: &OfLoop, cx: &mut Cx<'_>) {
    let message = "this took too long";
    let refusal = Refusal::new(ErrorCode::Timeout, message);
    match cx.codec() {
        Door::Unknown(_) => {}
        Door::Http(_) => respond_too_slow(row, cx, &refusal),
        Door::Native(_) | Door::Socket(_) => {
            send_refusal(cx, &refusal, 0);
            say_close(cx, CloseCode::POLICY, message);
        }
    }
}

/// Says on a WebSocket why the gateway closes it.
pub(super) fn say_closing(cx: &mut Cx<'_>, code: u16) {
    let (code, reason) = match code {
        code::REFUSED => (CloseCode::POLICY, "refused: the error before this says why"),
        code::GOING_AWAY => (CloseCode::GOING_AWAY, "this server is going away"),
        _ => (CloseCode::NORMAL, ""),
    };
    say_close(cx, code, reason);
}

/// The close code of a WebSocket that ends for this reason: 1001 where coming back is right, else 4000 and the number of
/// the reason, so that a client that sees nothing but the code knows it.
pub(super) fn close_code(reason: GoAwayReason) -> CloseCode {
    match reason {
        GoAwayReason::Draining => CloseCode::GOING_AWAY,
        GoAwayReason::Unspecified
        | GoAwayReason::Replaced
        | GoAwayReason::Displaced
        | GoAwayReason::Revoked
        | GoAwayReason::Protocol
        | GoAwayReason::Idle => {
            let number = u16::try_from(i32::from(reason)).unwrap_or_default();
            CloseCode::new(4_000 + number).unwrap_or(CloseCode::GOING_AWAY)
        }
    }
}
