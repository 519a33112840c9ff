//! Owns the next deadline of a connection and its effect. Must never be told of activity: deadlines are computed from
//! the times of the last activity, so that activity costs one store.

use super::{AWAITING_PONG, BY_LIBRARY, Core, END_SEEN, FIRST_PING_PASSED, NEVER_PING, Phase};
use crate::close::CloseReason;
use crate::codec::{Beat, Codec};
use crate::config::Settings;
use crate::time::{Tick, Ticks};

/// The effect of a passed deadline.
///
/// ```
/// use netcore::conn::{Core, Expiry};
/// use netcore::{CloseHow, CloseReason};
/// # use netcore::codec::LengthPrefixed;
/// # use netcore::time::Tick;
/// # use netcore::{Outbound, Settings, Timeouts};
/// # let settings = Settings::new(&Timeouts::default(), Outbound::default());
/// # let mut core = Core::new(LengthPrefixed::new(100), Tick(0), 0, &settings);
///
/// let due = core.next_deadline(&settings);
/// // A byte has arrived since, so the timer comes too early.
/// core.handle_received(Tick(5));
/// assert!(matches!(core.handle_deadline(&settings, due), Expiry::Nothing));
/// let due = core.next_deadline(&settings);
/// match core.handle_deadline(&settings, due) {
///     Expiry::Nothing | Expiry::Pinged | Expiry::Closed => {}
///     Expiry::Close(why) => core.close(why, CloseHow::Flush, due),
/// }
/// assert!(matches!(core.reason(), Some(CloseReason::IdleTimeout)));
/// ```
#[derive(Debug)]
pub enum Expiry<E> {
    /// No deadline has passed.
    Nothing,
    /// A ping was queued.
    Pinged,
    /// The connection must be closed for this reason.
    Close(CloseReason<E>),
    /// The time for a clean close is over; the connection is closed now.
    Closed,
}

impl<C: Codec> Core<C> {
    /// When [`handle_deadline`](Self::handle_deadline) is next needed; may move into the future meanwhile.
    pub fn next_deadline(&self, settings: &Settings) -> Tick {
        match self.phase {
            Phase::Open => {
                let (silence, _) = self.silence_deadline(settings);
                self.handshake_deadline(settings)
                    .min(self.stall_deadline(settings))
                    .min(self.frame_deadline(settings))
                    .min(self.ping_deadline(settings))
                    .min(silence)
            }
            Phase::Flushing => self.flush_deadline(settings),
            Phase::Lingering => self.since.after(settings.linger),
            Phase::Closed => Tick::NEVER,
        }
    }

    /// Acts on the deadline that has passed, if any.
    pub fn handle_deadline(&mut self, settings: &Settings, now: Tick) -> Expiry<C::Error> {
        if now < self.next_deadline(settings) {
            return Expiry::Nothing;
        }
        if self.phase != Phase::Open {
            self.enter_closed();
            return Expiry::Closed;
        }
        let (silence, reason) = self.silence_deadline(settings);
        if now >= self.handshake_deadline(settings) {
            Expiry::Close(CloseReason::HandshakeTimeout)
        } else if now >= self.stall_deadline(settings) {
            Expiry::Close(CloseReason::WriteStalled)
        } else if now >= self.frame_deadline(settings) {
            Expiry::Close(CloseReason::FrameTimeout)
        } else if now >= silence {
            Expiry::Close(reason)
        } else {
            self.ping(settings, now)
        }
    }

    fn handshake_deadline(&self, settings: &Settings) -> Tick {
        if self.is_established() {
            Tick::NEVER
        } else {
            self.opened.after(settings.handshake)
        }
    }

    fn stall_deadline(&self, settings: &Settings) -> Tick {
        self.outbox.as_ref().map_or(Tick::NEVER, |outbox| {
            outbox.progress().after(settings.write_stall)
        })
    }

    fn frame_deadline(&self, settings: &Settings) -> Tick {
        let since = self.inbox.as_ref().and_then(|inbox| inbox.partial_since());
        match since {
            Some(since) if !self.is_paused() => since.after(settings.frame),
            _ => Tick::NEVER,
        }
    }

    /// When the peer has been silent for too long, and the reason that this gives.
    fn silence_deadline(&self, settings: &Settings) -> (Tick, CloseReason<C::Error>) {
        if self.is_paused() {
            return (Tick::NEVER, CloseReason::IdleTimeout);
        }
        let idle = self.received.after(settings.idle);
        let pong = self.pinged.after(settings.pong_within);
        if self.flags & AWAITING_PONG != 0 && self.flags & END_SEEN == 0 && pong < idle {
            (pong, CloseReason::PongTimeout)
        } else {
            (idle, CloseReason::IdleTimeout)
        }
    }

    fn ping_deadline(&self, settings: &Settings) -> Tick {
        let pointless = self.flags & (AWAITING_PONG | NEVER_PING | END_SEEN) != 0;
        let Some(span) = settings.ping_after else {
            return Tick::NEVER;
        };
        if pointless || self.is_paused() || !self.is_established() {
            return Tick::NEVER;
        }
        let quiet = self.received.after(self.jittered(span));
        if self.flags & FIRST_PING_PASSED == 0 {
            let share = u64::from(span.0) * u64::from(self.jitter) / u64::from(u16::MAX);
            quiet.min(self.opened.after(Ticks(share as u32)))
        } else {
            // A ping that found no room is tried again after the same time.
            quiet.max(self.pinged.after(self.jittered(span)))
        }
    }

    fn flush_deadline(&self, settings: &Settings) -> Tick {
        if self.flags & BY_LIBRARY != 0 || self.outbox.is_none() {
            self.since.after(settings.linger)
        } else {
            self.stall_deadline(settings)
        }
    }

    fn ping(&mut self, settings: &Settings, now: Tick) -> Expiry<C::Error> {
        self.flags |= FIRST_PING_PASSED;
        self.pinged = now;
        if self.queue_beat(settings, now, Beat::Ping, None) {
            self.flags |= AWAITING_PONG;
            Expiry::Pinged
        } else {
            Expiry::Nothing
        }
    }

    /// `span` moved by up to a tenth either way.
    fn jittered(&self, span: Ticks) -> Ticks {
        let tenth = u64::from(span.0) / 10;
        let moved = tenth * 2 * u64::from(self.jitter) / u64::from(u16::MAX);
        Ticks(u32::try_from(u64::from(span.0) - tenth + moved).unwrap_or(u32::MAX))
    }
}
