//! Owns the life of one connection as a plain state machine: bytes, times and application calls in; frames,
//! bytes to write and deadlines out. Must never touch a socket, a clock, a thread or a random source, and must
//! hold no buffer while a connection is idle.
//!
//! ```text
//!            close(Flush)             outbox empty: shut down our side
//!   Open ------------------> Flushing ------------------> Lingering
//!    |                          |        (peer's end seen)    |  peer's end, linger deadline
//!    +--------------------------+-----------------------------+------> Closed
//!       close(Abort), errors
//! ```
//!
//! | input | Open | Flushing | Lingering | Closed |
//! |---|---|---|---|---|
//! | bytes | frames | discarded | discarded | discarded |
//! | end of input | noted, reported after the last frame | noted | Closed | – |
//! | send | queued | refused ¹ | refused | refused |
//! | all written | on_writable | shut down, then Lingering, or Closed if the peer has ended | – | – |
//! | finish_sending | sends are refused; all written: shut down, still Open | – | – | – |
//! | close(Flush) | Flushing | – | – | – |
//! | close(Abort) | Closed | Closed | Closed | – |
//! | deadline | ping, or a reason to close | Closed | Closed | – |
//!
//! ¹ except for last words, see [`Core::allow_last_words`].
//!
//! Invariant: whatever the boundaries at which bytes arrive, the same frames come out.

mod closing;
mod deadlines;
mod inbox;
mod outbox;
mod output;
mod source;
#[cfg(test)]
mod tests;

pub use closing::Ending;
pub use deadlines::Expiry;
pub use output::Spare;
pub use source::Source;

use crate::close::CloseReason;
use crate::codec::Codec;
use crate::config::{Outbound, Settings};
use crate::time::Tick;
use inbox::Inbox;
use outbox::Outbox;

/// The phase of a connection.
///
/// ```
/// use netcore::conn::{Core, Expiry, Phase};
/// use netcore::{CloseHow, CloseReason};
/// # use netcore::codec::LengthPrefixed;
/// # use netcore::time::Tick;
/// # use netcore::{Outbound, Settings, Timeouts};
/// # let settings = Settings::new(&Timeouts::default(), Outbound::default());
/// # let mut core = Core::new(LengthPrefixed::new(100), Tick(0), 0, &settings);
///
/// core.close(CloseReason::Local(0), CloseHow::Flush, Tick(1));
/// assert_eq!(core.phase(), Phase::Flushing);
/// // Nothing is queued: our side is shut down at once.
/// assert!(core.poll_shutdown(Tick(1)));
/// assert_eq!(core.phase(), Phase::Lingering);
/// // We wait at most the linger time for a peer that never closes its side.
/// let over = core.next_deadline(&settings);
/// assert!(matches!(core.handle_deadline(&settings, over), Expiry::Closed));
/// assert_eq!(core.phase(), Phase::Closed);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Phase {
    /// Frames go both ways.
    Open,
    /// Queued bytes are being written; nothing is read or queued any more.
    Flushing,
    /// Our side is shut down; we wait for the peer to do the same, so that a reset does not destroy bytes that it has
    /// not read yet.
    Lingering,
    /// The connection is over.
    Closed,
}

/// Why a connection is not being read. Several reasons can hold at once.
///
/// ```
/// use netcore::conn::{Core, Pause};
/// # use netcore::codec::LengthPrefixed;
/// # use netcore::time::Tick;
/// # use netcore::{Outbound, Settings, Timeouts};
/// # let settings = Settings::new(&Timeouts::default(), Outbound::default());
/// # let mut core = Core::new(LengthPrefixed::new(100), Tick(0), 0, &settings);
///
/// core.pause(Pause::Application, Tick(1));
/// core.pause(Pause::Workers, Tick(2));
/// core.resume(Pause::Workers, Tick(3));
/// assert!(core.is_paused_by(Pause::Application) && !core.is_paused_by(Pause::Workers));
/// assert!(!core.wants_input());
/// core.resume(Pause::Application, Tick(4));
/// assert!(core.wants_input());
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Pause {
    /// The application asked for it.
    Application = 1,
    /// The peer does not take the bytes queued for it.
    Outbound = 2,
    /// The worker pool refused a task of this connection.
    Workers = 4,
}

/// The result of decoding received bytes.
///
/// ```
/// use netcore::conn::{Core, Step};
/// use netcore::{CloseHow, CloseReason};
/// # use netcore::codec::LengthPrefixed;
/// # use netcore::time::Tick;
/// # use netcore::{Outbound, Settings, Timeouts};
/// # let settings = Settings::new(&Timeouts::default(), Outbound::default());
/// # let mut core = Core::new(LengthPrefixed::new(100), Tick(0), 0, &settings);
///
/// let mut source = core.source(b"\0\0\0\x02hi\xff\xff\xff\xff");
/// let why = loop {
///     match core.step(&settings, Tick(1), &mut source) {
///         Step::Frame(frame) => assert_eq!(frame, b"hi"),
///         Step::Beat | Step::Again => {}
///         Step::Idle => break None,
///         Step::Failed(why) => break Some(why),
///     }
/// };
/// core.finish(source);
/// # assert!(matches!(why, Some(CloseReason::Protocol(_))));
/// if let Some(why) = why {
///     core.close(why, CloseHow::Flush, Tick(1));
/// }
/// ```
#[derive(Debug)]
pub enum Step<F, E> {
    /// A frame for the application.
    Frame(F),
    /// A ping or pong, already taken care of.
    Beat,
    /// None of these, but there may be more to decode.
    Again,
    /// Nothing more for now. All input has been taken.
    Idle,
    /// The connection must be closed for this reason.
    Failed(CloseReason<E>),
}

const ESTABLISHED: u8 = 1 << 0;
const END_SEEN: u8 = 1 << 1;
const END_REPORTED: u8 = 1 << 2;
const AWAITING_PONG: u8 = 1 << 3;
const FIRST_PING_PASSED: u8 = 1 << 4;
const NEVER_PING: u8 = 1 << 5;
const WRITABLE_WANTED: u8 = 1 << 6;
const BY_LIBRARY: u8 = 1 << 7;

/// One connection.
///
/// The methods fall into four classes. *Events from outside* are `receive`-like and carry the time:
/// [`step`](Self::step), [`handle_received`](Self::handle_received),
/// [`handle_end`](Self::handle_end), [`handle_written`](Self::handle_written),
/// [`handle_deadline`](Self::handle_deadline). *Application calls* are [`send`](Self::send),
/// [`send_encoded`](Self::send_encoded), [`pause`](Self::pause), [`resume`](Self::resume),
/// [`close`](Self::close), [`establish`](Self::establish). *Outputs* are the return values and
/// [`slices`](Self::slices), [`poll_writable`](Self::poll_writable), [`poll_end`](Self::poll_end),
/// [`poll_shutdown`](Self::poll_shutdown), [`next_deadline`](Self::next_deadline). The rest are getters. Times
/// given to one value must not go backwards.
///
/// ```
/// use netcore::codec::LengthPrefixed;
/// use netcore::conn::{Core, Step};
/// use netcore::time::Tick;
/// use netcore::{Outbound, Settings, Timeouts};
///
/// let settings = Settings::new(&Timeouts::default(), Outbound::default());
/// let mut core = Core::new(LengthPrefixed::new(100), Tick(0), 0, &settings);
///
/// // Bytes in: a whole frame and the beginning of another.
/// core.handle_received(Tick(1));
/// let mut source = core.source(b"\0\0\0\x02hi\0\0");
/// assert!(matches!(core.step(&settings, Tick(1), &mut source), Step::Frame(b"hi")));
/// while !matches!(core.step(&settings, Tick(1), &mut source), Step::Idle) {}
/// core.finish(source);
/// assert!(core.held_bytes() > 0);
///
/// // A frame out.
/// core.send(&settings, Tick(1), b"ho").unwrap();
/// assert_eq!(core.queued_bytes(), 6);
/// ```
///
/// From a login to the end:
///
/// ```
/// # use netcore::codec::LengthPrefixed;
/// # use netcore::conn::{Core, Phase};
/// # use netcore::time::Tick;
/// # use netcore::{CloseHow, CloseReason, Outbound, Settings, Timeouts};
/// # let timeouts = Timeouts { handshake: std::time::Duration::from_secs(5), ..Timeouts::default() };
/// # let settings = Settings::new(&timeouts, Outbound::default());
/// let mut core = Core::new(LengthPrefixed::new(16), Tick(0), 0, &settings);
/// assert!(core.wants_input() && !core.is_established() && core.is_idle());
/// core.establish();
/// core.codec().set_max(4096);
/// core.send(&settings, Tick(1), b"bye")?;
/// core.close(CloseReason::Local(7), CloseHow::Flush, Tick(1));
/// while let Some(bytes) = core.slice() {
///     // Here they go to a socket, which may take fewer.
///     let written = bytes.len();
///     core.handle_written(&settings, Tick(2), written);
/// }
/// // Now our side of the socket is shut down, and the peer closes its own.
/// assert!(core.poll_shutdown(Tick(2)));
/// core.handle_end();
/// assert_eq!(core.phase(), Phase::Closed);
/// assert!(matches!(core.take_reason(), Some(CloseReason::Local(7))));
/// # Ok::<_, netcore::SendError>(())
/// ```
#[derive(Debug)]
pub struct Core<C: Codec> {
    inbox: Option<Box<Inbox>>,
    outbox: Option<Box<Outbox>>,
    limits: Option<Box<Outbound>>,
    reason: Option<Box<CloseReason<C::Error>>>,
    opened: Tick,
    received: Tick,
    pinged: Tick,
    /// When reading was paused, or when the connection began to close.
    since: Tick,
    jitter: u16,
    flags: u8,
    pauses: u8,
    phase: Phase,
    last_words: bool,
    writable: bool,
    cut_off: bool,
    sending: Sending,
    codec: C,
}

/// The progress of our side to a half-close.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sending {
    Open,
    /// The queued bytes are the last.
    Finishing,
    /// Our side is shut down.
    Finished,
}

impl<C: Codec> Core<C> {
    /// A connection accepted `now`. `jitter` moves its pings; it should differ between connections.
    pub fn new(codec: C, now: Tick, jitter: u16, settings: &Settings) -> Self {
        let established = settings.handshake == crate::time::Ticks::NEVER;
        Self {
            inbox: None,
            outbox: None,
            limits: None,
            reason: None,
            opened: now,
            received: now,
            pinged: now,
            since: now,
            jitter,
            flags: if established { ESTABLISHED } else { 0 },
            pauses: 0,
            phase: Phase::Open,
            last_words: false,
            writable: false,
            cut_off: false,
            sending: Sending::Open,
            codec,
        }
    }

    /// The phase of the connection.
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The codec.
    pub const fn codec(&mut self) -> &mut C {
        &mut self.codec
    }

    /// Bytes of memory held for received but undecoded bytes; 0 while no frame is incomplete or waiting.
    pub fn held_bytes(&self) -> usize {
        self.inbox.as_ref().map_or(0, |inbox| inbox.held())
    }

    /// Whether neither input nor output holds memory.
    pub const fn is_idle(&self) -> bool {
        self.inbox.is_none() && self.outbox.is_none()
    }

    /// Whether reading is paused for at least one reason.
    pub const fn is_paused(&self) -> bool {
        self.pauses != 0
    }

    /// Whether reading is paused for this reason.
    pub const fn is_paused_by(&self, why: Pause) -> bool {
        self.pauses & why as u8 != 0
    }

    /// Whether the application has declared the connection established, or need not.
    pub const fn is_established(&self) -> bool {
        self.flags & ESTABLISHED != 0
    }

    /// Whether received bytes are wanted, if only to discard them.
    pub const fn wants_input(&self) -> bool {
        let seen = self.flags & END_SEEN != 0;
        match self.phase {
            Phase::Open => self.pauses == 0 && !seen,
            Phase::Lingering => !seen,
            Phase::Flushing | Phase::Closed => false,
        }
    }

    /// Whether held bytes may contain whole frames, and nothing prevents their decoding.
    pub fn has_undecoded(&self) -> bool {
        let waiting = self.inbox.as_ref().is_some_and(|inbox| !inbox.is_partial());
        waiting && self.phase == Phase::Open && self.pauses == 0
    }

    /// Ends the handshake deadline.
    pub const fn establish(&mut self) {
        self.flags |= ESTABLISHED;
    }

    /// Bytes have arrived: the peer is alive.
    pub const fn handle_received(&mut self, now: Tick) {
        self.received = now;
        self.flags &= !AWAITING_PONG;
    }

    /// The peer has finished sending.
    pub fn handle_end(&mut self) {
        self.flags |= END_SEEN;
        if self.phase == Phase::Lingering {
            self.enter_closed();
        }
    }

    /// Holds the rest of `input` until decoding goes on; drops it if the connection is closing.
    ///
    /// ```
    /// use netcore::conn::{Core, Pause};
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::time::Tick;
    /// # use netcore::{Outbound, Settings, Timeouts};
    /// # let settings = Settings::new(&Timeouts::default(), Outbound::default());
    /// # let mut core = Core::new(LengthPrefixed::new(100), Tick(0), 0, &settings);
    ///
    /// core.pause(Pause::Workers, Tick(1));
    /// // This had been received before the pause.
    /// let mut rest = &b"\0\0\0\x02hi"[..];
    /// core.keep(&mut rest);
    /// assert!(rest.is_empty() && core.held_bytes() >= 6);
    /// core.resume(Pause::Workers, Tick(9));
    /// // Decoding goes on with `source(&[])`, before anything is read.
    /// assert!(core.has_undecoded());
    /// ```
    pub fn keep(&mut self, input: &mut &[u8]) {
        if self.phase != Phase::Open {
            *input = &[];
        } else if !input.is_empty() {
            self.inbox
                .get_or_insert_with(|| Box::new(Inbox::new()))
                .append(input);
        }
    }

    /// Stops reading for this reason, too. Bytes that were received already are kept undecoded, and the deadlines that
    /// wait for the peer stand still.
    pub const fn pause(&mut self, why: Pause, now: Tick) {
        if self.pauses == 0 && matches!(self.phase, Phase::Open) {
            self.since = now;
        }
        self.pauses |= why as u8;
    }

    /// Takes this reason away. If it was the last, deadlines move by the time they stood still, and
    /// [`has_undecoded`](Self::has_undecoded) and [`wants_input`](Self::wants_input) say how to go on.
    pub fn resume(&mut self, why: Pause, now: Tick) {
        let before = self.pauses;
        self.pauses &= !(why as u8);
        if before != 0 && self.pauses == 0 && self.phase == Phase::Open {
            let paused = now.since(self.since);
            self.received = self.received.after(paused);
            self.pinged = self.pinged.after(paused);
            if let Some(inbox) = &mut self.inbox {
                inbox.shift(paused);
            }
        }
    }
}
