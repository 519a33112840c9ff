//! Owns the operations of a handler on one connection.

use super::{LoopCx, LoopState, Slot};
use crate::address::Peer;
use crate::close::{CloseHow, CloseReason, Queued, SendError};
use crate::codec::Codec;
use crate::config::{Outbound, Settings};
use crate::conn::{Core, Pause, Phase};
use crate::handler::Handler;
use crate::id::ConnId;
use crate::limits::{GROUPS_PER_CONNECTION_MAX, TIMERS_PER_CONNECTION_MAX};
use crate::time::{Tick, Ticks};
use crate::worker::SubmitError;
use bytes::Bytes;
use std::fmt;
use std::time::{Duration, Instant};

/// A connection, during a callback on its loop.
///
/// ```
/// use netcore::{CloseHow, ConnCx, Handler};
/// use std::time::Duration;
///
/// const LAST_CALL: u32 = 1;
///
/// /// To be called in `on_drain`: says goodbye, and gives the client half a minute.
/// fn last_call<H: Handler>(cx: &mut ConnCx<'_, H>, word: bytes::Bytes) {
///     if cx.send_encoded(word).is_err() || cx.set_timer(LAST_CALL, Duration::from_secs(30)).is_err() {
///         cx.close(0, CloseHow::Abort);
///     }
/// }
/// ```
pub struct ConnCx<'a, H: Handler> {
    state: &'a mut LoopState<H>,
    /// Slots are freed at the end of a turn only, so the connection exists as long as the context does.
    id: ConnId,
}

/// The connection has the maximum of timers, see [`TIMERS_PER_CONNECTION_MAX`].
///
/// ```
/// use netcore::{ConnCx, Handler, TooManyTimers};
/// use std::time::Duration;
///
/// /// One timer for each request that waits for an answer; without a free one the request is not taken.
/// fn expect<H: Handler>(cx: &mut ConnCx<'_, H>, request: u32) -> Result<(), TooManyTimers> {
///     cx.set_timer(request, Duration::from_secs(5))
/// }
/// assert_eq!(TooManyTimers.to_string(), "a connection has at most 64 timers");
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a connection has at most {TIMERS_PER_CONNECTION_MAX} timers")]
pub struct TooManyTimers;

/// The connection is in the maximum of groups, see [`GROUPS_PER_CONNECTION_MAX`].
///
/// ```
/// use netcore::{ConnCx, Handler, TooManyGroups};
///
/// /// Joins all of them, or none.
/// fn join_all<H: Handler>(cx: &mut ConnCx<'_, H>, groups: &[u64]) -> Result<(), TooManyGroups> {
///     let joined = groups.iter().try_for_each(|group| cx.join(*group));
///     if joined.is_err() {
///         groups.iter().for_each(|group| _ = cx.leave(*group));
///     }
///     joined
/// }
/// assert_eq!(TooManyGroups.to_string(), "a connection is in at most 1024 groups");
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a connection is in at most {GROUPS_PER_CONNECTION_MAX} groups")]
pub struct TooManyGroups;

impl<H: Handler> fmt::Debug for ConnCx<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnCx")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<'a, H: Handler> ConnCx<'a, H> {
    /// The name of the connection.
    #[must_use]
    pub const fn id(&self) -> ConnId {
        self.id
    }

    /// The other end of the connection.
    ///
    /// ```
    /// # use netcore::{ConnCx, Handler};
    /// /// The beginning of a log line.
    /// fn subject<H: Handler>(cx: &ConnCx<'_, H>) -> String {
    ///     let peer = cx.peer();
    ///     format!("connection {} of {} on {}", cx.id(), peer.address, peer.local)
    /// }
    /// ```
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.state.shared.peer(&self.slot().peer)
    }

    /// The result of the TLS handshake; `None` without TLS.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(&self) -> Option<&crate::tls::TlsInfo> {
        self.slot().rare.as_ref()?.tls.as_ref()
    }

    /// Whether everything on this connection is encrypted by TLS.
    ///
    /// ```
    /// use netcore::{ConnCx, Handler};
    ///
    /// /// Whether a password may come over this connection. A Unix socket leaves the machine as little as loopback does.
    /// fn may_take_passwords<H: Handler>(cx: &ConnCx<'_, H>) -> bool {
    ///     cx.is_encrypted() || cx.peer().address.ip().is_none_or(|address| address.is_loopback())
    /// }
    /// ```
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.slot().rare.as_ref().is_some_and(|rare| rare.tls.is_some())
    }

    /// When this turn of the loop began.
    ///
    /// ```
    /// use netcore::{ConnCx, Handler};
    /// use std::time::{Duration, Instant};
    ///
    /// struct Session { next: Instant }
    ///
    /// /// Whether this frame may be handled, if ten in a second are allowed. Reads no clock.
    /// fn admit<H: Handler<Conn = Session>>(cx: &mut ConnCx<'_, H>) -> bool {
    ///     let now = cx.now();
    ///     let session = cx.conn();
    ///     let in_time = session.next <= now;
    ///     if in_time {
    ///         session.next = now + Duration::from_millis(100);
    ///     }
    ///     in_time
    /// }
    /// ```
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.state.now
    }

    /// The application's state of the connection.
    pub fn conn(&mut self) -> &mut H::Conn {
        &mut self.slot_mut().conn
    }

    /// The codec of the connection.
    pub fn codec(&mut self) -> &mut H::Codec {
        self.slot_mut().core.codec()
    }

    /// Encodes a frame and queues it; it is written in this turn, once.
    ///
    /// # Errors
    /// Nothing was queued; see [`SendError`].
    pub fn send(&mut self, out: &<H::Codec as Codec>::Out) -> Result<Queued, SendError> {
        self.state
            .queue(self.id, |core, settings, now| core.send(settings, now, out))
    }

    /// Queues an encoded frame, without copying it unless it is small; it is written in this turn, once.
    ///
    /// # Errors
    /// Nothing was queued; see [`SendError`].
    ///
    /// ```
    /// use bytes::Bytes;
    /// use netcore::{ConnCx, Handler, Queued};
    /// # use std::collections::VecDeque;
    ///
    /// /// Sends parts of a file as fast as the peer takes them: now, and again in `on_writable`.
    /// fn feed<H: Handler>(cx: &mut ConnCx<'_, H>, parts: &mut VecDeque<Bytes>) {
    ///     while let Some(part) = parts.front() {
    ///         let sent = cx.send_encoded(part.clone());
    ///         if sent.is_ok() {
    ///             parts.pop_front();
    ///         }
    ///         if sent != Ok(Queued::Buffered) {
    ///             return;
    ///         }
    ///     }
    /// }
    /// ```
    pub fn send_encoded(&mut self, frame: Bytes) -> Result<Queued, SendError> {
        self.state.queue(self.id, |core, settings, now| {
            core.send_encoded(settings, now, frame)
        })
    }

    /// Like [`send_encoded`](Self::send_encoded) for the answer to an admitted request: it may use the
    /// [`reply_reserve`](Outbound::reply_reserve) beyond the limit, and goes through when the loop is short of
    /// memory.
    ///
    /// # Errors
    /// Nothing was queued; see [`SendError`].
    ///
    /// ```
    /// use bytes::Bytes;
    /// use netcore::{ConnCx, Handler, SendError};
    ///
    /// /// The answer may use the reserve; the advice goes only to a client that keeps up.
    /// fn reply<H: Handler>(cx: &mut ConnCx<'_, H>, answer: Bytes, advice: Bytes) -> Result<(), SendError> {
    ///     cx.send_reply(answer)?;
    ///     if cx.queued_bytes() < 16 * 1024 {
    ///         cx.send_encoded(advice)?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn send_reply(&mut self, frame: Bytes) -> Result<Queued, SendError> {
        self.state.queue_in_any_case(self.id, |core, settings, now| {
            core.send_reply(settings, now, frame)
        })
    }

    /// Ends our side: what is queued is written, then the peer is told that nothing more will come (a half-close).
    /// Sends are refused from now on, pings and pongs go unsent. The peer can go on sending; the connection stays
    /// open until it is closed, which [`Eof::Close`](crate::Eof::Close) does when the peer has finished, too.
    ///
    /// ```
    /// use netcore::codec::LengthPrefixed;
    /// use netcore::{ConnCx, Flow, Handler};
    ///
    /// /// The last part of an answer: behind it the peer finds the end, but may go on asking.
    /// fn last_part<H: Handler<Codec = LengthPrefixed>>(cx: &mut ConnCx<'_, H>, part: &[u8]) -> Flow<H> {
    ///     if cx.send(part).is_err() {
    ///         return Flow::Close(1);
    ///     }
    ///     cx.finish_sending();
    ///     Flow::Continue
    /// }
    /// ```
    pub fn finish_sending(&mut self) {
        self.with_core(|core, _, _| core.finish_sending());
    }

    /// Bytes queued for the peer and not yet written. Of a TLS connection, up to
    /// [`TLS_UNWRITTEN_BYTES_MAX`](crate::limits::TLS_UNWRITTEN_BYTES_MAX) more can wait encrypted.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.slot().core.queued_bytes()
    }

    /// Whether more than the low water mark is queued for the peer. If so, `on_writable` will be called when it is no
    /// longer. For frames that are worth producing only once the peer has taken the earlier ones.
    ///
    /// ```
    /// use netcore::{ConnCx, Handler};
    /// # use bytes::Bytes;
    ///
    /// /// The next part of a listing, if the peer has read the parts before. To be called in `on_writable`, too.
    /// fn go_on<H: Handler>(cx: &mut ConnCx<'_, H>, next_part: impl FnOnce() -> Bytes) {
    ///     if !cx.is_above_low_water() {
    ///         let _ = cx.send_reply(next_part());
    ///     }
    /// }
    /// ```
    pub fn is_above_low_water(&mut self) -> bool {
        let state = &mut *self.state;
        let settings = &state.settings;
        state
            .slots
            .get_mut(self.id)
            .is_some_and(|slot| slot.core.await_low_water(settings))
    }

    /// Ends the handshake deadline.
    ///
    /// ```
    /// use netcore::codec::LengthPrefixed;
    /// use netcore::{ConnCx, Handler};
    ///
    /// struct Session { user: Option<u64> }
    ///
    /// /// What changes after a client has logged in.
    /// fn log_in<H: Handler<Codec = LengthPrefixed, Conn = Session>>(cx: &mut ConnCx<'_, H>, user: u64) {
    ///     cx.conn().user = Some(user);
    ///     cx.established();
    ///     // Before, frames were short, and little was sent.
    ///     cx.codec().set_max(1024 * 1024);
    ///     cx.set_outbound_limit(256 * 1024, 512 * 1024, 4 * 1024 * 1024);
    /// }
    /// ```
    pub fn established(&mut self) {
        self.with_core(|core, _, _| core.establish());
    }

    /// Gives this connection water marks of its own, in bytes; see [`Outbound`]. The reserve for replies and the
    /// policy stay as configured.
    pub fn set_outbound_limit(&mut self, low_water: usize, high_water: usize, limit: usize) {
        self.with_core(|core, settings, _| {
            core.set_outbound(Outbound {
                low_water,
                high_water,
                limit,
                ..settings.outbound
            });
        });
    }

    /// Has `on_timer` called with this key after about `after` (at the next [`TICK`](crate::limits::TICK)), once.
    /// A timer of this key that is set already is moved. Timers go on while reading is paused, and end with the
    /// connection.
    ///
    /// # Errors
    /// The connection has too many timers; a timer of this key is unset.
    pub fn set_timer(&mut self, key: u32, after: Duration) -> Result<(), TooManyTimers> {
        let at = self.state.tick.after(Ticks::from_duration(after));
        let set = self.slot_mut().rare().timers.set(key, at);
        self.state.touch(self.id);
        if set { Ok(()) } else { Err(TooManyTimers) }
    }

    /// Unsets the timer of this key; returns whether it was set.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// use netcore::{ConnCx, Flow, Handler};
    /// use std::time::Duration;
    ///
    /// const ANSWER_DUE: u32 = 1;
    ///
    /// fn ask<H: Handler>(cx: &mut ConnCx<'_, H>, question: Bytes) -> Flow<H> {
    ///     let asked = cx.send_encoded(question).is_ok();
    ///     let timed = cx.set_timer(ANSWER_DUE, Duration::from_secs(10)).is_ok();
    ///     if asked && timed { Flow::Continue } else { Flow::Close(1) }
    /// }
    ///
    /// /// Whether an answer was expected. If this one is too late, `on_timer` was called before it.
    /// fn on_answer<H: Handler>(cx: &mut ConnCx<'_, H>) -> bool {
    ///     cx.clear_timer(ANSWER_DUE)
    /// }
    /// ```
    pub fn clear_timer(&mut self, key: u32) -> bool {
        let rare = self.slot_mut().rare.as_mut();
        rare.is_some_and(|rare| rare.timers.clear(key))
    }

    /// Puts the connection into a group of its loop, to be reached by [`LoopCx::send_to_group`] and
    /// [`Remote::send_to_group`](crate::Remote::send_to_group). It leaves when it ends. Joining twice is joining
    /// once.
    ///
    /// # Errors
    /// The connection is in too many groups.
    pub fn join(&mut self, group: u64) -> Result<(), TooManyGroups> {
        let id = self.id;
        let rare = self.slot_mut().rare();
        if rare.groups.iter().any(|membership| membership.group == group) {
            return Ok(());
        }
        if rare.groups.len() >= GROUPS_PER_CONNECTION_MAX {
            return Err(TooManyGroups);
        }
        let membership = self.state.groups.join(group, id);
        self.slot_mut().rare().groups.push(membership);
        Ok(())
    }

    /// Takes the connection out of a group; returns whether it was a member.
    pub fn leave(&mut self, group: u64) -> bool {
        let Some(rare) = self.slot_mut().rare.as_mut() else {
            return false;
        };
        let place = rare
            .groups
            .iter()
            .position(|membership| membership.group == group);
        let membership = place.map(|place| rare.groups.swap_remove(place));
        if let Some(membership) = membership {
            self.state.leave_group(membership);
        }
        membership.is_some()
    }

    /// The groups of the connection.
    ///
    /// ```
    /// use netcore::{ConnCx, Handler, TooManyGroups};
    ///
    /// /// Goes to another room, from any room it was in.
    /// fn go_to<H: Handler>(cx: &mut ConnCx<'_, H>, room: u64) -> Result<(), TooManyGroups> {
    ///     let rooms: Vec<u64> = cx.groups().collect();
    ///     for other in rooms {
    ///         cx.leave(other);
    ///     }
    ///     cx.join(room)
    /// }
    /// ```
    pub fn groups(&self) -> impl Iterator<Item = u64> {
        let rare = self.slot().rare.as_ref();
        rare.into_iter()
            .flat_map(|rare| rare.groups.iter().map(|membership| membership.group))
    }

    /// Gives work to the worker pool, from any callback; in `on_frame`, [`Flow::Offload`](crate::Flow::Offload) does the
    /// same. If the pool has no room, the task is kept and reading of the connection pauses until it has; tasks of a
    /// connection keep their order.
    ///
    /// ```
    /// # use netcore::{CloseHow, ConnCx, Handler, Task};
    /// # struct Report(u64);
    /// # impl Task for Report {
    /// #     type Worker = ();
    /// #     fn key(&self) -> u64 { self.0 }
    /// #     fn run(self, (): &mut ()) {}
    /// # }
    /// /// To be called in `on_timer`: once a minute, writes down what the client did.
    /// fn report<H: Handler<Task = Report>>(cx: &mut ConnCx<'_, H>) {
    ///     let task = Report(cx.id().as_u64());
    ///     if cx.offload(task).is_err() {
    ///         // The task of the last minute still waits: this minute is part of the next report.
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// The task comes back: [`SubmitError::Full`] if another task of this connection waits for room,
    /// [`SubmitError::Stopped`] if the pool has stopped or the server has no pool.
    pub fn offload(&mut self, task: H::Task) -> Result<(), SubmitError<H::Task>> {
        let offloaded = self.state.offload(self.id, task);
        self.state.touch(self.id);
        offloaded
    }

    /// Stops reading of this connection: no `on_frame` until [`resume_reading`](Self::resume_reading). The
    /// frame, idle and pong deadlines stand still.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use netcore::{CloseHow, ConnCx, ConnId, Handler, Queued};
    ///
    /// /// Passes a frame on within the loop, one way: a sender that is faster than the receiver must wait.
    /// fn relay<H: Handler>(cx: &mut ConnCx<'_, H>, to: ConnId, frame: Bytes) {
    ///     let sent = cx.loop_cx().conn(to).map(|mut to| to.send_encoded(frame));
    ///     match sent {
    ///         Some(Ok(Queued::Buffered)) => {}
    ///         Some(Ok(Queued::AboveHighWater)) => cx.pause_reading(),
    ///         Some(Err(_)) | None => cx.close(1, CloseHow::Flush),
    ///     }
    /// }
    /// ```
    pub fn pause_reading(&mut self) {
        self.with_core(|core, _, now| core.pause(Pause::Application, now));
    }

    /// Goes on reading, unless the library has a reason of its own to pause. Kept bytes come first; calls of `on_frame`
    /// begin after this callback.
    ///
    /// ```
    /// # use netcore::{ConnCx, ConnId, Handler};
    /// /// To be called in `on_writable`: there is room for frames of `source`.
    /// fn go_on<H: Handler>(cx: &mut ConnCx<'_, H>, source: ConnId) {
    ///     if let Some(mut source) = cx.loop_cx().conn(source)
    ///         && source.is_reading_paused()
    ///     {
    ///         source.resume_reading();
    ///     }
    /// }
    /// ```
    pub fn resume_reading(&mut self) {
        self.with_core(|core, _, now| core.resume(Pause::Application, now));
    }

    /// Whether reading is paused, by the application or by the library.
    #[must_use]
    pub fn is_reading_paused(&self) -> bool {
        self.slot().core.is_paused()
    }

    /// Whether the connection is closing: sends are refused.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.slot().core.phase() != Phase::Open
    }

    /// Closes the connection with a code of the application, which `on_close` gets back as
    /// [`CloseReason::Local`]. No further frame of it is handled.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use netcore::{CloseHow, ConnCx, Handler};
    ///
    /// const DISPLACED: u16 = 3;
    ///
    /// /// The same user has logged in elsewhere.
    /// fn displace<H: Handler>(cx: &mut ConnCx<'_, H>, notice: Bytes) {
    ///     if !cx.is_closing() {
    ///         // Without the notice if there is no room for it.
    ///         let _ = cx.send_encoded(notice);
    ///         cx.close(DISPLACED, CloseHow::Flush);
    ///     }
    /// }
    /// ```
    pub fn close(&mut self, code: u16, how: CloseHow) {
        self.with_core(|core, _, now| core.close(CloseReason::Local(code), how, now));
    }

    /// The loop.
    pub const fn loop_cx(&mut self) -> LoopCx<'_, H> {
        LoopCx::new(self.state)
    }

    pub(crate) const fn new(state: &'a mut LoopState<H>, id: ConnId) -> Self {
        Self { state, id }
    }

    fn with_core<R>(&mut self, act: impl FnOnce(&mut Core<H::Codec>, &Settings, Tick) -> R) -> R {
        match self.state.with_core(self.id, act) {
            Some(result) => result,
            None => unreachable!("slots are freed at the end of a turn only"),
        }
    }

    fn slot(&self) -> &Slot<H> {
        match self.state.slots.get(self.id) {
            Some(slot) => slot,
            None => unreachable!("slots are freed at the end of a turn only"),
        }
    }

    fn slot_mut(&mut self) -> &mut Slot<H> {
        match self.state.slots.get_mut(self.id) {
            Some(slot) => slot,
            None => unreachable!("slots are freed at the end of a turn only"),
        }
    }
}

impl<H: Handler> LoopState<H> {
    /// Takes a connection out of a group, and updates the member that takes its position.
    pub(crate) fn leave_group(&mut self, membership: super::groups::Membership) {
        let Some(moved) = self.groups.leave(membership) else {
            return;
        };
        let memberships = self
            .slots
            .get_mut(moved)
            .and_then(|slot| slot.rare.as_mut())
            .map(|rare| rare.groups.iter_mut());
        for other in memberships.into_iter().flatten() {
            if other.group == membership.group {
                other.position = membership.position;
            }
        }
    }
}
