//! The states of a link and what moves it between them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use protocol::{
    CAPABILITY_ANSWER_IS_EVENT, Command, Decode, Encoding, Frame, Kind, MAGIC, MessageType, Push, Reply,
    Request, VERSION, limits,
    v1::{self, ErrorCode, GoAwayReason},
    validate,
};

use super::{
    ADDRESSES_MAX, Action, Event, GREETING_TIMEOUT, IN_FLIGHT_MAX, Identity, STABLE_AFTER, STAY_AWAY_MAX,
    WAITING_MAX, answered,
    flights::{Flight, Flights, Waiting},
};
use crate::{
    backoff::{Backoff, RECONNECT_BASE, RECONNECT_CAP},
    error::{Ending, Error},
};

#[derive(Debug)]
enum Phase {
    /// No connection, and no reason for one.
    Idle,
    /// No connection until then.
    Away { until: Instant },
    /// The shell is connecting.
    Connecting,
    /// Hello was sent.
    Greeting { deadline: Instant },
    /// Requests flow.
    Open(Open),
    /// The session is over.
    Ended(Ending),
}

#[derive(Debug)]
struct Open {
    since: Instant,
    authenticated: bool,
    heartbeat: Duration,
    ping_at: Instant,
    /// Silence for this long means that the other side is gone.
    idle: Duration,
    /// The server said that it is about to close: nothing new is sent.
    leaving: bool,
    /// The answer to a message stands for its event; whose messages they are.
    answer_is_event: bool,
    user: u64,
}

/// One client's connection over its whole life, reconnects included.
#[derive(Debug)]
pub struct Link {
    identity: Identity,
    phase: Phase,
    flights: Flights,
    backoff: Backoff,
    limits: v1::Limits,
    heard_at: Instant,
    /// False while the program does not take events, so that nothing is read: silence means nothing then.
    reading: bool,
    /// How long the server asked to stay away, and where else to go.
    stay_away: Duration,
    preferred: Vec<String>,
    /// Why the server is about to close, for people.
    last_words: Option<String>,
    actions: VecDeque<Action>,
}

impl Link {
    /// A link that does nothing yet. `seed` feeds the jitter of its reconnects.
    pub fn new(identity: Identity, seed: u64, now: Instant) -> Self {
        Self {
            identity,
            phase: Phase::Idle,
            flights: Flights::default(),
            backoff: Backoff::new(RECONNECT_BASE, RECONNECT_CAP, seed),
            limits: v1::Limits::default(),
            heard_at: now,
            reading: true,
            stay_away: Duration::ZERO,
            preferred: Vec::new(),
            last_words: None,
            actions: VecDeque::new(),
        }
    }

    /// Connects when there is a session to resume; otherwise the first request will.
    pub fn start(&mut self) {
        if self.identity.token.is_some() && matches!(self.phase, Phase::Idle) {
            self.connect();
        }
    }

    /// The next thing to do.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether another request can be taken.
    pub fn has_room(&self) -> bool {
        self.flights.waiting() < WAITING_MAX
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        let own = match &self.phase {
            Phase::Idle | Phase::Connecting | Phase::Ended(_) => None,
            Phase::Away { until } => Some(*until),
            Phase::Greeting { deadline } => Some(*deadline),
            Phase::Open(open) => {
                let dead_at = self.reading.then(|| self.heard_at + open.idle);
                dead_at
                    .into_iter()
                    .chain(self.pings(open).then_some(open.ping_at))
                    .min()
            }
        };
        own.into_iter().chain(self.flights.next_deadline()).min()
    }

    /// Takes a request. Its result comes as [`Action::Complete`] with this ticket, at `deadline` at the
    /// latest, counted from when a timeout is handled.
    pub fn submit(&mut self, ticket: u64, request: Request, deadline: Instant, now: Instant) {
        if let Err(error) = self.admit(&request) {
            self.complete(ticket, Err(error));
            return;
        }
        self.flights.wait(Waiting {
            ticket,
            request,
            deadline,
        });
        if matches!(self.phase, Phase::Idle) {
            self.connect();
        }
        self.send_waiting(now);
    }

    /// The connection stands: greets.
    pub fn handle_connected(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Connecting) {
            return;
        }
        self.heard_at = now;
        self.phase = Phase::Greeting {
            deadline: now + GREETING_TIMEOUT,
        };
        let hello = Request::Hello(v1::Hello {
            magic: MAGIC,
            version_min: VERSION,
            version_max: VERSION,
            capabilities: CAPABILITY_ANSWER_IS_EVENT,
            device: Some(self.identity.device.clone()),
            session_token: self.identity.token.clone().unwrap_or_default(),
            client: self.identity.program.clone(),
        });
        self.depart(None, None, &hello);
    }

    /// The connection ended, or could not be made.
    pub fn handle_closed(&mut self, reason: &str, now: Instant) {
        let reason = self.last_words.take().unwrap_or_else(|| reason.to_owned());
        match &self.phase {
            Phase::Connecting | Phase::Greeting { .. } => {
                self.fail_attempt(&reason, &|| Error::Unreachable(reason.clone()), now);
            }
            Phase::Open(open) => {
                if now.saturating_duration_since(open.since) >= STABLE_AFTER {
                    self.backoff.reset();
                }
                self.retreat(reason, now);
            }
            Phase::Idle | Phase::Away { .. } | Phase::Ended(_) => {}
        }
    }

    /// No connection was made, because no server is trusted: whoever waits learns so and need not try again. A session
    /// goes on trying, as the certificate may be renewed.
    pub fn handle_untrusted(&mut self, reason: &str, now: Instant) {
        if matches!(self.phase, Phase::Connecting) {
            self.fail_attempt(reason, &|| Error::Untrusted(reason.to_owned()), now);
        }
    }

    /// A frame arrived.
    pub fn handle_frame(&mut self, frame: Frame, now: Instant) {
        self.heard_at = now;
        if !matches!(self.phase, Phase::Greeting { .. } | Phase::Open(_)) {
            return;
        }
        let handled = if frame.kind == MessageType::ERROR {
            self.handle_error(frame, now)
        } else if frame.kind.is_response() {
            self.handle_response(frame, now)
        } else {
            self.handle_push(frame, now)
        };
        if let Err(error) = handled {
            self.actions.push_back(Action::Close);
            self.handle_closed(&error.to_string(), now);
        }
        self.send_waiting(now);
    }

    /// The program takes events again, or no longer: while nothing is read, silence is no sign of death.
    pub const fn set_reading(&mut self, reading: bool, now: Instant) {
        if reading && !self.reading {
            self.heard_at = now;
        }
        self.reading = reading;
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        for ticket in self.flights.expire(now) {
            self.complete(ticket, Err(Error::Timeout));
        }
        match &self.phase {
            Phase::Away { until } if *until <= now => self.connect(),
            Phase::Greeting { deadline } if *deadline <= now => {
                self.actions.push_back(Action::Close);
                self.handle_closed("the server did not answer the greeting", now);
            }
            Phase::Open(open) => {
                if self.reading && now.saturating_duration_since(self.heard_at) >= open.idle {
                    self.actions.push_back(Action::Close);
                    self.handle_closed("nothing was heard from the server", now);
                } else if self.pings(open) && open.ping_at <= now {
                    self.ping(now);
                }
            }
            Phase::Idle
            | Phase::Away { .. }
            | Phase::Connecting
            | Phase::Greeting { .. }
            | Phase::Ended(_) => {}
        }
        self.send_waiting(now);
    }

    /// Gives up everything: the program closes the client.
    pub fn close(&mut self) {
        for ticket in self
            .flights
            .lose_all()
            .into_iter()
            .chain(self.flights.drop_waiting())
        {
            self.complete(ticket, Err(Error::Closed));
        }
        self.actions.push_back(Action::Close);
        self.phase = Phase::Idle;
    }

    /// Whether a request can be taken at all in this state.
    fn admit(&self, request: &Request) -> Result<(), Error> {
        let command = request.command();
        if let Phase::Ended(ending) = &self.phase {
            return Err(Error::Ended(ending.clone()));
        }
        if command == Command::Hello {
            return Err(Error::Protocol("the greeting is the client's own".to_owned()));
        }
        if self.identity.token.is_none() && !command.is_for_anyone() {
            return Err(Error::NotLoggedIn);
        }
        if self.identity.token.is_some() && command.kind() == Some(Kind::Open) {
            return Err(Error::Protocol("this client has a session already".to_owned()));
        }
        Ok(())
    }

    fn connect(&mut self) {
        self.phase = Phase::Connecting;
        self.actions.push_back(Action::Connect {
            preferred: std::mem::take(&mut self.preferred),
        });
    }

    /// Sends what waits, as far as the server's limits allow. One place is kept for the heartbeat.
    fn send_waiting(&mut self, now: Instant) {
        let Phase::Open(open) = &self.phase else { return };
        if open.leaving {
            if self.flights.in_flight() == 0 {
                self.actions.push_back(Action::Close);
                self.handle_closed("the server asked to leave", now);
            }
            return;
        }
        let authenticated = open.authenticated;
        let places = if authenticated { self.places() } else { 1 };
        while self.flights.in_flight() < places {
            let allowed = |command: Command| authenticated || command.is_for_anyone();
            let Some(waiting) = self.flights.take_waiting(allowed) else {
                break;
            };
            self.depart(Some(waiting.ticket), Some(waiting.deadline), &waiting.request);
        }
    }

    fn places(&self) -> usize {
        let allowed = usize::try_from(self.limits.requests_in_flight_max).unwrap_or(usize::MAX);
        allowed.clamp(2, IN_FLIGHT_MAX) - 1
    }

    fn depart(&mut self, ticket: Option<u64>, deadline: Option<Instant>, request: &Request) {
        let seq = self.flights.depart(Flight {
            ticket,
            command: request.command(),
            deadline,
            message: self.awaits_event(request),
        });
        let frame = request.to_frame(Encoding::Protobuf, seq);
        self.actions.push_back(Action::Send(frame));
    }

    /// The message that a request sends, if its answer will stand for the event.
    fn awaits_event(&self, request: &Request) -> Option<Box<v1::SendRequest>> {
        match (&self.phase, request) {
            (Phase::Open(open), Request::Send(send))
                if open.answer_is_event && validate::is_displayable(send.kind()) =>
            {
                Some(Box::new(send.clone()))
            }
            _ => None,
        }
    }

    /// The event that an answer stands for, as if it had been pushed.
    fn own_event(&mut self, message: v1::SendRequest, sent: &v1::SendResponse) {
        // What was stored before was said before, or comes with the next sync; what is not stored is no event.
        if sent.duplicate || sent.seq == 0 {
            return;
        }
        if let Phase::Open(open) = &self.phase {
            let page = answered::page(message, sent, open.user);
            self.actions
                .push_back(Action::Event(Event::Push(Push::EventsPush(page))));
        }
    }

    fn pings(&self, open: &Open) -> bool {
        open.authenticated && !open.leaving && !self.flights.is_flying(Command::Ping)
    }

    /// Counted from the last heartbeat, not from the last frame: its answer brings the token that
    /// proves that nothing was missed, and a busy sender needs that as well.
    fn ping(&mut self, now: Instant) {
        if let Phase::Open(open) = &mut self.phase {
            open.ping_at = now + open.heartbeat;
        }
        self.depart(None, None, &Request::Ping(v1::Ping {}));
    }

    fn handle_response(&mut self, frame: Frame, now: Instant) -> Result<(), Error> {
        let Some(mut flight) = self.flights.arrive(frame.seq) else {
            return Err(Error::Protocol(format!("an answer to no request: {}", frame.seq)));
        };
        if frame.kind.command() != flight.command.number() {
            return Err(self.abandon(flight, "an answer of another command"));
        }
        let Ok(reply) = Reply::decode(flight.command, Encoding::Protobuf, frame.body) else {
            return Err(self.abandon(flight, "an answer that cannot be read"));
        };
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "what a program asks for is its own: only what moves the link itself is looked at"
        )]
        match &reply {
            Reply::Hello(welcome) => return self.handle_welcome(welcome, now),
            Reply::Register(session) | Reply::Login(session) => {
                self.identity.token = Some(session.token.clone());
                let session = session.clone();
                self.complete_flight(flight, Ok(reply));
                self.authenticate(session);
                return Ok(());
            }
            Reply::Send(sent) => {
                if let Some(message) = flight.message.take() {
                    self.own_event(*message, sent);
                }
            }
            Reply::Ping(pong) if flight.ticket.is_none() => {
                self.actions.push_back(Action::Event(Event::Pong(pong.clone())));
            }
            _ => {}
        }
        self.complete_flight(flight, Ok(reply));
        Ok(())
    }

    fn handle_welcome(&mut self, welcome: &v1::Welcome, now: Instant) -> Result<(), Error> {
        if welcome.version != VERSION {
            return Err(Error::Protocol(format!(
                "version {} was not offered",
                welcome.version
            )));
        }
        let (heartbeat, idle) = timing(welcome);
        self.limits = welcome.limits.unwrap_or_default();
        self.stay_away = Duration::ZERO;
        self.phase = Phase::Open(Open {
            since: now,
            authenticated: false,
            heartbeat,
            ping_at: now + heartbeat,
            idle,
            leaving: false,
            answer_is_event: welcome.capabilities & CAPABILITY_ANSWER_IS_EVENT != 0,
            user: 0,
        });
        match &welcome.session {
            Some(session) => self.authenticate(session.clone()),
            None if self.identity.token.is_some() => {
                return Err(Error::Protocol(
                    "the session was neither resumed nor refused".to_owned(),
                ));
            }
            None => {}
        }
        Ok(())
    }

    fn authenticate(&mut self, session: v1::Session) {
        if let Phase::Open(open) = &mut self.phase {
            open.authenticated = true;
            open.user = session.user.as_ref().map_or(0, |user| user.user_id);
        }
        let limits = self.limits;
        self.actions
            .push_back(Action::Event(Event::Connected { session, limits }));
    }

    fn handle_error(&mut self, frame: Frame, now: Instant) -> Result<(), Error> {
        let error: v1::Error = Encoding::Protobuf
            .decode(frame.body)
            .map_err(|_| Error::Protocol("a refusal that cannot be read".to_owned()))?;
        self.note_retry_after(&error, frame.seq);
        if frame.seq == 0 {
            self.last_words = Some(Error::Refused(error).to_string());
            return Ok(());
        }
        let Some(flight) = self.flights.arrive(frame.seq) else {
            return Err(Error::Protocol(format!("a refusal of no request: {}", frame.seq)));
        };
        if flight.command != Command::Hello {
            self.complete_flight(flight, Err(Error::Refused(error)));
            return Ok(());
        }
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "any other refusal of a greeting, of a newer server too, is no end"
        )]
        match error.code() {
            ErrorCode::Unauthenticated => self.end(Ending::Unauthenticated),
            ErrorCode::UnsupportedVersion => self.end(Ending::UnsupportedVersion {
                min: error.version_min,
                max: error.version_max,
            }),
            _ => {
                self.last_words = None;
                self.actions.push_back(Action::Close);
                self.handle_closed(&Error::Refused(error).to_string(), now);
            }
        }
        Ok(())
    }

    /// A refused greeting and the last word before a close say when to come back; any other refusal
    /// speaks of its request only.
    fn note_retry_after(&mut self, error: &v1::Error, seq: u16) {
        if seq == 0 || matches!(self.phase, Phase::Greeting { .. }) {
            let asked = Duration::from_millis(error.retry_after_ms.into());
            self.stay_away = self.stay_away.max(asked).min(STAY_AWAY_MAX);
        }
    }

    fn handle_push(&mut self, frame: Frame, now: Instant) -> Result<(), Error> {
        let Ok(command) = Command::from_number(frame.kind.command()) else {
            // A newer server may push what this version does not know.
            return Ok(());
        };
        let push = Push::decode(command, Encoding::Protobuf, frame.body)
            .map_err(|refusal| Error::Protocol(refusal.to_string()))?;
        if let Push::GoAway(go_away) = push {
            self.handle_go_away(go_away, now);
        } else {
            self.actions.push_back(Action::Event(Event::Push(push)));
        }
        Ok(())
    }

    fn handle_go_away(&mut self, go_away: v1::GoAway, now: Instant) {
        let reason = go_away.reason();
        match reason {
            GoAwayReason::Replaced => return self.end(Ending::Replaced),
            GoAwayReason::Displaced => return self.end(Ending::Displaced),
            GoAwayReason::Revoked => return self.end(Ending::Revoked),
            GoAwayReason::Unspecified
            | GoAwayReason::Draining
            | GoAwayReason::Protocol
            | GoAwayReason::Idle => {}
        }
        self.stay_away = Duration::from_millis(go_away.reconnect_in_ms.into()).min(STAY_AWAY_MAX);
        self.preferred = go_away.addresses;
        self.preferred.truncate(ADDRESSES_MAX);
        if self.last_words.is_none() {
            let name = reason.as_str_name().trim_start_matches("GO_AWAY_REASON_");
            self.last_words = Some(format!("{name}: {}", go_away.message));
        }
        if let Phase::Open(open) = &mut self.phase {
            open.leaving = true;
        } else {
            self.actions.push_back(Action::Close);
            self.handle_closed("the server asked to leave", now);
        }
    }

    /// An attempt to connect failed: whoever waited for it learns so by this error.
    fn fail_attempt(&mut self, reason: &str, error: &dyn Fn() -> Error, now: Instant) {
        self.flights.lose_all();
        for ticket in self.flights.drop_waiting() {
            self.complete(ticket, Err(error()));
        }
        self.retreat(reason.to_owned(), now);
    }

    /// Without a connection: what was in flight has an unknown outcome, what waits goes on waiting.
    fn retreat(&mut self, reason: String, now: Instant) {
        for ticket in self.flights.lose_all() {
            self.complete(ticket, Err(Error::ConnectionLost(reason.clone())));
        }
        let delay = self.backoff.next_delay().max(std::mem::take(&mut self.stay_away));
        let wanted = self.identity.token.is_some() || self.flights.waiting() > 0;
        self.phase = if wanted {
            Phase::Away { until: now + delay }
        } else {
            Phase::Idle
        };
        self.actions.push_back(Action::Event(Event::Disconnected {
            reason,
            retry_in: wanted.then_some(delay),
        }));
    }

    fn end(&mut self, ending: Ending) {
        self.phase = Phase::Ended(ending.clone());
        self.actions.push_back(Action::Close);
        for ticket in self
            .flights
            .lose_all()
            .into_iter()
            .chain(self.flights.drop_waiting())
        {
            self.complete(ticket, Err(Error::Ended(ending.clone())));
        }
        self.actions.push_back(Action::Event(Event::Ended(ending)));
    }

    fn abandon(&mut self, flight: Flight, what: &str) -> Error {
        let error = Error::Protocol(what.to_owned());
        self.complete_flight(flight, Err(error.clone()));
        error
    }

    fn complete_flight(&mut self, flight: Flight, result: Result<Reply, Error>) {
        if let Some(ticket) = flight.ticket {
            self.complete(ticket, result);
        }
    }

    fn complete(&mut self, ticket: u64, result: Result<Reply, Error>) {
        self.actions.push_back(Action::Complete { ticket, result });
    }
}

/// How often the client sends a heartbeat, and after how long a silence it gives the connection up: as the server says,
/// within what the protocol allows. The heartbeat is often enough for both sides' patience.
fn timing(welcome: &v1::Welcome) -> (Duration, Duration) {
    let said = |ms: u32, default: u32| if ms == 0 { default } else { ms };
    let idle = said(welcome.idle_ms, limits::IDLE_MS).clamp(limits::IDLE_MS_MIN, limits::IDLE_MS_MAX);
    let heartbeat = said(welcome.heartbeat_ms, limits::HEARTBEAT_MS)
        .min(idle / 2)
        .max(limits::HEARTBEAT_MS_MIN);
    let millis = |ms: u32| Duration::from_millis(ms.into());
    (millis(heartbeat), millis(idle))
}
