//! The states of a session and what each lets through.
//!
//! ```text
//!             hello                 register / login          answered well
//!  Greeting ─────────▶ Welcomed ─────────────────────▶ Authenticating ─────────▶ Active
//!     │  ▲                 ▲                                  │ refused
//!     │  └─ refused ─┐     └──────────────────────────────────┘
//!     └── hello with token ──▶ Resuming ── answered well ──────────────────────▶ Active
//! ```
//!
//! In `Resuming` and `Authenticating` the connection is not read from. So the server works on one request at a time
//! until the connection is authenticated, and looks at later requests only after a login is decided.

use std::sync::Arc;

use protocol::{
    CAPABILITY_ANSWER_IS_EVENT, Command, Decode, Frame, Kind, Refusal, Request, VERSION,
    limits::HELLOS_MAX,
    v1::{Device, ErrorCode},
    validate,
};
use smallvec::SmallVec;

use super::{
    Rules,
    allowance::{Allowance, Charge},
    rate::Rate,
};
use crate::{principal::Principal, wire::Format};

/// Unanswered requests whose numbers are kept inline. A client that waits for each answer has one.
const IN_FLIGHT_INLINE: usize = 8;
const MINUTE_US: u64 = 60_000_000;
/// A request for friendship is charged as naming so many people.
const FRIEND_REQUEST_PEOPLE: usize = 20;

/// What to do with a frame.
#[derive(Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart at once, and a box would be one for every request"
)]
pub(crate) enum Verdict {
    /// Answer the ping.
    Pong,
    /// Say welcome; no session is resumed.
    Welcome,
    /// Do it.
    Go(Request),
    /// Refuse it and go on.
    Refuse(Refusal),
    /// Say why and close.
    Close(Refusal),
}

/// The state machine of a session; the module's first lines describe it.
#[derive(Debug)]
pub(crate) struct Session {
    state: State,
    format: Format,
    answer_is_event: bool,
    hellos: u8,
    draining: bool,
    passwords_refused: bool,
    /// Sequence numbers of unanswered requests.
    in_flight: SmallVec<[u16; IN_FLIGHT_INLINE]>,
    /// `None` where the peer's address is exempt, and between the calls that a proxy forwards.
    rates: Option<Rates>,
    unknown: Rate,
}

/// The allowances that a connection uses.
#[derive(Debug)]
struct Rates {
    /// Kept as long as the connection serves that address, so the number of references tells how many connections the address has.
    address: Arc<Allowance>,
    /// `None` until the user is known.
    user: Option<Arc<Allowance>>,
}

impl Rates {
    fn allowance(&self) -> &Allowance {
        self.user.as_ref().unwrap_or(&self.address)
    }
}

/// How a connection becomes authenticated, which decides the answer it gets then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Opens {
    /// By a session's token.
    Hello,
    /// By a new account.
    Register,
    /// By a password.
    Login,
}

impl Opens {
    /// The way that a command opens; `None` if the command does not authenticate.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a test walks the commands of this kind"
    )]
    pub(crate) const fn of(command: Command) -> Option<Self> {
        match command {
            Command::Hello => Some(Self::Hello),
            Command::Register => Some(Self::Register),
            Command::Login => Some(Self::Login),
            _ => None,
        }
    }
}

/// Who calls over HTTP.
#[derive(Debug)]
pub(crate) enum Caller {
    /// Somebody on this device, who logs in or registers.
    Unknown(Box<Device>),
    /// The owner of a session token, which is checked under this number.
    Token(u16),
}

#[derive(Debug)]
enum State {
    Greeting,
    Resuming(Box<Device>),
    Welcomed(Box<Device>),
    Authenticating(Box<Device>, Opens),
    Active(Principal),
}

impl Session {
    /// The session of a new connection. `address` is its address' allowance; `None` if no rates apply.
    pub(crate) fn new(address: Option<Arc<Allowance>>) -> Self {
        Self {
            state: State::Greeting,
            format: Format::Protobuf,
            answer_is_event: false,
            hellos: 0,
            draining: false,
            passwords_refused: false,
            in_flight: SmallVec::new(),
            rates: address.map(|address| Rates { address, user: None }),
            unknown: Rate::default(),
        }
    }

    /// Whether rates do not apply.
    pub(crate) const fn is_exempt(&self) -> bool {
        self.rates.is_none()
    }

    /// How what is sent is written.
    pub(crate) const fn format(&self) -> Format {
        self.format
    }

    /// From now on what is sent goes another way.
    pub(crate) const fn set_format(&mut self, format: Format) {
        self.format = format;
    }

    /// A call over HTTP begins, which stands for itself, whatever was called on this connection before. `address` is
    /// the allowance of whoever calls; `None` if no rates apply.
    pub(crate) fn begin_call(&mut self, caller: Caller, address: Option<Arc<Allowance>>) {
        self.rates = address.map(|address| Rates { address, user: None });
        self.state = match caller {
            Caller::Unknown(device) => State::Welcomed(device),
            Caller::Token(seq) => {
                self.in_flight.push(seq);
                State::Resuming(Box::default())
            }
        };
    }

    /// A call was answered on a connection that is kept for others, as a proxy does: it holds nobody's allowance until the
    /// next call begins.
    pub(crate) fn let_go(&mut self) {
        self.rates = None;
    }

    /// A WebSocket begins: from here on it is as a new connection, from somebody with this allowance.
    pub(crate) fn greet(&mut self, address: Option<Arc<Allowance>>) {
        self.rates = address.map(|address| Rates { address, user: None });
        self.state = State::Greeting;
    }

    /// Whether nobody has said hello.
    pub(crate) const fn is_new(&self) -> bool {
        self.hellos == 0
    }

    /// Takes a number for a request that the server makes for this connection itself.
    pub(crate) fn begin(&mut self, seq: u16) {
        self.in_flight.push(seq);
    }

    /// The capabilities that both sides have.
    pub(crate) const fn capabilities(&self) -> u64 {
        if self.answer_is_event {
            CAPABILITY_ANSWER_IS_EVENT
        } else {
            0
        }
    }

    /// Whether the answer to the sending of a message stands for its event.
    pub(crate) const fn answer_is_event(&self) -> bool {
        self.answer_is_event
    }

    /// Who it is, once authenticated.
    pub(crate) const fn principal(&self) -> Option<Principal> {
        match self.state {
            State::Active(principal) => Some(principal),
            State::Greeting | State::Resuming(_) | State::Welcomed(_) | State::Authenticating(..) => None,
        }
    }

    /// The device that said hello.
    pub(crate) fn device(&self) -> Option<&Device> {
        match &self.state {
            State::Resuming(device) | State::Welcomed(device) | State::Authenticating(device, _) => {
                Some(device)
            }
            State::Greeting | State::Active(_) => None,
        }
    }

    /// What is being decided before this session is authenticated.
    pub(crate) const fn deciding(&self) -> Option<Opens> {
        match self.state {
            State::Resuming(_) => Some(Opens::Hello),
            State::Authenticating(_, opens) => Some(opens),
            State::Greeting | State::Welcomed(_) | State::Active(_) => None,
        }
    }

    /// Requests without an answer yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether nothing more may be read until an answer has gone out.
    pub(crate) fn must_wait(&self, rules: &Rules) -> bool {
        match self.state {
            State::Resuming(_) | State::Authenticating(..) => true,
            State::Greeting | State::Welcomed(_) => !self.in_flight.is_empty(),
            State::Active(_) => self.in_flight.len() >= rules.in_flight_max,
        }
    }

    /// Whether requests are refused because the server goes away, or the session ends.
    pub(crate) const fn is_draining(&self) -> bool {
        self.draining
    }

    /// Its connection is no place for passwords: somebody on the way could read them.
    pub(crate) const fn refuse_passwords(&mut self) {
        self.passwords_refused = true;
    }

    /// From now on requests are refused.
    pub(crate) const fn drain(&mut self) {
        self.draining = true;
    }

    /// A request whose command has no number, only a name that nobody knows.
    pub(crate) fn judge_unknown(&mut self, name: &str, now_us: u64, rules: &Rules) -> Verdict {
        match self.charge(Charge::Request, now_us, rules) {
            Ok(()) => self.unknown(name, now_us, rules),
            Err(refusal) => Verdict::Refuse(refusal),
        }
    }

    /// Judges a frame. After [`Verdict::Go`] the request is in flight until [`Session::answered`].
    pub(crate) fn judge(&mut self, frame: &Frame, now_us: u64, rules: &Rules) -> Verdict {
        let kind = frame.kind;
        if kind.is_response() {
            return protocol_error("a client sends no responses");
        }
        // A ping may be the shortest frame there is, and an answer to it needs no pairing.
        if frame.seq == 0 && kind.command() != Command::Ping.number() {
            return protocol_error("a request's seq is 1 or more");
        }
        if self.in_flight.contains(&frame.seq) {
            return protocol_error("this seq is in flight");
        }
        let command = match Command::from_number(kind.command()) {
            Ok(command) => command,
            Err(unknown) => {
                return match self.charge(Charge::Request, now_us, rules) {
                    Ok(()) => self.unknown(&unknown.to_string(), now_us, rules),
                    Err(refusal) => Verdict::Refuse(refusal),
                };
            }
        };
        if command.is_push() {
            return protocol_error("only the server sends this");
        }
        if let Some(verdict) = self.out_of_turn(command) {
            return verdict;
        }
        if command == Command::Hello {
            self.format = self.format.greeted(&frame.body);
            self.hellos += 1;
        }
        // Before any work: a malformed request costs as much.
        if let Err(refusal) = self.within_rate(command, now_us, rules) {
            // An error with seq 0 tells the client that the connection ends.
            return if frame.seq == 0 {
                Verdict::Close(refusal)
            } else {
                Verdict::Refuse(refusal)
            };
        }
        if self.hellos == 0 && command == Command::Ping && !frame.body.is_empty() {
            // Without a hello, the encoding of bodies is unknown; a refused hello has told it, too.
            let refusal = Refusal::new(ErrorCode::Invalid, "a ping before the hello has no body");
            return Verdict::Close(refusal);
        }
        let request = Request::decode(command, self.format.encoding(), frame.body.clone())
            .and_then(|request| validate::request(&request, &rules.validation).map(|()| request));
        match request {
            Ok(request) => self.admit(request, frame.seq, now_us, rules),
            Err(refusal) => self.malformed(command, refusal),
        }
    }

    /// An answer to request `seq` is on its way out.
    pub(crate) fn answered(&mut self, seq: u16) {
        if let Some(index) = self.in_flight.iter().position(|other| *other == seq) {
            self.in_flight.swap_remove(index);
        }
        if self.in_flight.is_empty() && self.in_flight.spilled() {
            // An idle session keeps no buffer.
            self.in_flight = SmallVec::new();
        }
    }

    /// The check succeeded. From now on the user's allowance counts, if rates apply.
    pub(crate) fn authenticated(&mut self, principal: Principal, allowance: Option<Arc<Allowance>>) {
        self.state = State::Active(principal);
        if let Some(rates) = &mut self.rates {
            rates.user = allowance;
        }
    }

    /// The check failed.
    pub(crate) fn not_authenticated(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Greeting) {
            State::Resuming(_) => State::Greeting,
            State::Authenticating(device, _) => State::Welcomed(device),
            other @ (State::Greeting | State::Welcomed(_) | State::Active(_)) => other,
        };
    }

    /// Refuses a command that this state does not allow.
    fn out_of_turn(&self, command: Command) -> Option<Verdict> {
        let active = matches!(self.state, State::Active(_));
        let opens = command.kind() == Some(Kind::Open);
        if active && opens {
            return Some(protocol_error("this connection is authenticated already"));
        }
        if active || (command.is_for_anyone() && !opens) {
            return None;
        }
        match (&self.state, command) {
            (State::Greeting, Command::Hello) => {
                (self.hellos >= HELLOS_MAX).then(|| protocol_error("too many hellos"))
            }
            (State::Greeting, _) => Some(protocol_error("the first frame is a hello")),
            (_, Command::Hello) => Some(protocol_error("hello was said")),
            _ if opens => None,
            _ => Some(Verdict::Close(Refusal::new(
                ErrorCode::Unauthenticated,
                "log in first",
            ))),
        }
    }

    fn unknown(&mut self, message: &str, now_us: u64, rules: &Rules) -> Verdict {
        let refusal = Refusal::new(ErrorCode::UnknownCommand, message);
        if !matches!(self.state, State::Active(_)) {
            return Verdict::Close(refusal);
        }
        let a_minute = rules.unknown_per_minute;
        let each_us = MINUTE_US / u64::from(a_minute.max(1));
        if a_minute == 0 || self.unknown.take(now_us, each_us, a_minute, 1).is_err() {
            return protocol_error("too many unknown commands");
        }
        Verdict::Refuse(refusal)
    }

    /// The connection stays open after a mistyped name or a password that is too short: the user tries again.
    fn malformed(&self, command: Command, refusal: Refusal) -> Verdict {
        let opens = command.kind() == Some(Kind::Open) && command != Command::Hello;
        if matches!(self.state, State::Active(_)) || opens {
            Verdict::Refuse(refusal)
        } else {
            Verdict::Close(refusal)
        }
    }

    fn admit(&mut self, request: Request, seq: u16, now_us: u64, rules: &Rules) -> Verdict {
        if matches!(request, Request::Ping(_)) {
            return Verdict::Pong;
        }
        if self.draining {
            return Verdict::Refuse(Refusal::new(ErrorCode::Draining, "this server is going away"));
        }
        if let Request::Hello(hello) = &request {
            return self.greeted(hello.clone(), request, seq, rules);
        }
        if self.passwords_refused && request.command().kind() == Some(Kind::Open) {
            return Verdict::Refuse(Refusal::new(
                ErrorCode::Forbidden,
                "passwords are taken over encrypted connections alone: connect with TLS, as im --server tls://HOST:PORT does",
            ));
        }
        if let Err(refusal) = self.names_few(&request, now_us, rules) {
            return Verdict::Refuse(refusal);
        }
        self.state = match (
            std::mem::replace(&mut self.state, State::Greeting),
            Opens::of(request.command()),
        ) {
            (State::Welcomed(device), Some(opens)) => State::Authenticating(device, opens),
            (other, _) => other,
        };
        self.in_flight.push(seq);
        Verdict::Go(request)
    }

    fn greeted(&mut self, hello: protocol::v1::Hello, request: Request, seq: u16, rules: &Rules) -> Verdict {
        if hello.version_min > VERSION || hello.version_max < VERSION {
            let mut refusal = Refusal::new(
                ErrorCode::UnsupportedVersion,
                format!("this server speaks version {VERSION}"),
            );
            (refusal.0.version_min, refusal.0.version_max) = (VERSION, VERSION);
            return Verdict::Close(refusal);
        }
        self.answer_is_event = hello.capabilities & rules.capabilities & CAPABILITY_ANSWER_IS_EVENT != 0;
        let device = Box::new(hello.device.unwrap_or_default());
        if hello.session_token.is_empty() {
            self.state = State::Welcomed(device);
            return Verdict::Welcome;
        }
        self.state = State::Resuming(device);
        self.in_flight.push(seq);
        Verdict::Go(request)
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a command without an allowance of its own is charged as a request"
    )]
    fn within_rate(&self, command: Command, now_us: u64, rules: &Rules) -> Result<(), Refusal> {
        let charge = match command {
            Command::Hello => Charge::Hello,
            Command::Ping => Charge::Ping,
            Command::Send => Charge::Send,
            Command::SearchUsers => Charge::Search,
            _ => Charge::Request,
        };
        self.charge(charge, now_us, rules)
    }

    /// Each item that a request names is charged as one request would be.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what names no number of others is charged as a request, and that is done"
    )]
    fn names_few(&self, request: &Request, now_us: u64, rules: &Rules) -> Result<(), Refusal> {
        let charge = match request {
            Request::CreateGroup(create) => Charge::People(create.user_ids.len()),
            Request::AddMembers(add) => Charge::People(add.user_ids.len()),
            Request::Delivered(delivered) => Charge::Receipts(delivered.up_to.len()),
            Request::GetUsers(get) => Charge::Profiles(get.user_ids.len()),
            Request::FindUser(_) => Charge::Profiles(1),
            // It writes to another user's log and reaches their devices, asked for or not.
            Request::RequestFriend(_) => Charge::People(FRIEND_REQUEST_PEOPLE),
            Request::WatchPresence(watch) => Charge::Watches(watch.user_ids.len()),
            _ => return Ok(()),
        };
        self.charge(charge, now_us, rules)
    }

    /// Takes from the allowance of the user, or before that is known, of the address.
    pub(crate) fn charge(&self, charge: Charge, now_us: u64, rules: &Rules) -> Result<(), Refusal> {
        let Some(rates) = &self.rates else {
            return Ok(());
        };
        rates
            .allowance()
            .take(charge, now_us, rules)
            .map_err(|wait_us| too_many(charge, wait_us))
    }
}

/// The refusal of a request beyond an allowance; after this many microseconds it may be repeated.
pub(crate) fn too_many(charge: Charge, wait_us: u64) -> Refusal {
    let message = match charge {
        Charge::People(_) => "too many people were named",
        Charge::Receipts(_) => "too many conversations were reported",
        Charge::Profiles(_) => "too many profiles were asked for",
        Charge::Search => "too many searches",
        Charge::Watches(_) => "too many people were watched",
        Charge::Hello => "too many connections begin",
        Charge::Send | Charge::Request | Charge::Ping => "too many requests",
    };
    let wait_ms = u32::try_from(wait_us / 1_000 + 1).unwrap_or(u32::MAX);
    Refusal::new(ErrorCode::RateLimited, message).with_retry_after_ms(wait_ms)
}

fn protocol_error(message: &str) -> Verdict {
    Verdict::Close(Refusal::new(ErrorCode::Protocol, message))
}
