//! Owns the sending half of a connection: the bytes that may be queued, and the time when the application is told to go
//! on. Must never let the queue of a connection pass its limit plus the reserve for replies.

use super::{Core, NEVER_PING, Pause, Phase, Sending, WRITABLE_WANTED};
use crate::close::{CloseHow, CloseReason, Queued, SendError};
use crate::codec::{Beat, Codec};
use crate::config::{Outbound, Settings, WhenFull};
use crate::conn::outbox::{EncodeError, Outbox};
use crate::limits::{SPARE_OUTBOX_BYTES_MAX, WRITE_SLICES_MAX};
use crate::time::Tick;
use bytes::Bytes;
use std::io::IoSlice;

/// Memory for the out-queues of a loop's connections: most queues live for less than a turn. Holds up to
/// [`SPARE_OUTBOX_BYTES_MAX`](crate::limits::SPARE_OUTBOX_BYTES_MAX).
///
/// ```
/// use netcore::conn::{Core, Spare};
/// # use netcore::codec::LengthPrefixed;
/// # use netcore::time::Tick;
/// # use netcore::{Outbound, Settings, Timeouts};
/// # let settings = Settings::new(&Timeouts::default(), Outbound::default());
/// # let mut core = Core::new(LengthPrefixed::new(100), Tick(0), 0, &settings);
///
/// // One value for all connections of a loop.
/// let mut spare = Spare::default();
/// core.lend(Tick(1), &mut spare);
/// let sent = core.send(&settings, Tick(1), b"hi");
/// // Nothing happens if something is queued now.
/// core.give_back(&mut spare);
/// assert!(sent.is_ok() && core.wants_output());
/// // The socket has taken all of it: the next connection can have the memory.
/// core.written(&settings, Tick(1), 6, &mut spare);
/// assert!(core.is_idle());
/// ```
#[derive(Debug, Default)]
pub struct Spare {
    // Boxed as connections have them, so that they are not moved about.
    #[allow(clippy::vec_box)]
    outboxes: Vec<Box<Outbox>>,
    bytes: usize,
}

impl Spare {
    fn take(&mut self, now: Tick) -> Option<Box<Outbox>> {
        let mut outbox = self.outboxes.pop()?;
        self.bytes = self.bytes.saturating_sub(outbox.held());
        outbox.begin(now);
        Some(outbox)
    }

    fn put(&mut self, mut outbox: Box<Outbox>) {
        outbox.recycle();
        let held = outbox.held();
        if self.bytes + held <= SPARE_OUTBOX_BYTES_MAX {
            self.bytes += held;
            self.outboxes.push(outbox);
        }
    }
}

impl<C: Codec> Core<C> {
    /// Bytes queued and not yet written.
    pub fn queued_bytes(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.len())
    }

    /// Whether there is something to write.
    pub const fn wants_output(&self) -> bool {
        self.outbox.is_some() && matches!(self.phase, Phase::Open | Phase::Flushing)
    }

    /// Gives this connection water marks of its own; they are put in ascending order.
    pub fn set_outbound(&mut self, outbound: Outbound) {
        self.limits = Some(Box::new(outbound.ordered()));
    }

    /// The water marks in force.
    pub fn outbound(&self, settings: &Settings) -> Outbound {
        self.limits.as_deref().copied().unwrap_or(settings.outbound)
    }

    /// Encodes and queues a frame.
    ///
    /// # Errors
    /// Nothing was queued; see [`SendError`].
    pub fn send(&mut self, settings: &Settings, now: Tick, out: &C::Out) -> Result<Queued, SendError> {
        self.check_sendable()?;
        let marks = self.outbound(settings);
        let outbox = self.outbox.get_or_insert_with(|| Box::new(Outbox::new(now)));
        match outbox.encode(&self.codec, out, marks.limit) {
            Ok(()) => Ok(self.note_queued(&marks, now)),
            Err(refusal) => {
                if outbox.len() == 0 {
                    self.outbox = None;
                }
                match refusal {
                    EncodeError::Full => Err(self.note_refused(&marks, now)),
                    EncodeError::Codec(error) => {
                        log::debug!("a frame could not be encoded: {error}");
                        Err(SendError::Encode)
                    }
                }
            }
        }
    }

    /// Queues a frame that is encoded already; its bytes may be shared.
    ///
    /// # Errors
    /// Nothing was queued; see [`SendError`].
    pub fn send_encoded(
        &mut self,
        settings: &Settings,
        now: Tick,
        frame: Bytes,
    ) -> Result<Queued, SendError> {
        let marks = self.outbound(settings);
        self.queue(&marks, now, frame, marks.limit)
    }

    /// Queues the encoded answer to an admitted request, which may use the reserve beyond the limit.
    ///
    /// # Errors
    /// Nothing was queued; see [`SendError`].
    ///
    /// ```
    /// use bytes::Bytes;
    /// use netcore::conn::Core;
    /// use netcore::SendError;
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::time::Tick;
    /// # use netcore::{Outbound, Settings, Timeouts};
    /// # let settings = Settings::new(&Timeouts::default(), Outbound::default());
    /// # let mut core = Core::new(LengthPrefixed::new(100), Tick(0), 0, &settings);
    ///
    /// core.set_outbound(Outbound { limit: 8, high_water: 8, low_water: 4, ..core.outbound(&settings) });
    /// let push = Bytes::from_static(b"\0\0\0\x05hello");
    /// assert_eq!(core.send_encoded(&settings, Tick(1), push.clone()), Err(SendError::Full));
    /// assert!(core.send_reply(&settings, Tick(1), push).is_ok());
    /// ```
    pub fn send_reply(&mut self, settings: &Settings, now: Tick, frame: Bytes) -> Result<Queued, SendError> {
        let marks = self.outbound(settings);
        let limit = marks.limit.saturating_add(marks.reply_reserve);
        self.queue(&marks, now, frame, limit)
    }

    /// Refuses a frame as if the queue were full: the loop is short of memory, and this connection holds enough of
    /// it.
    ///
    /// ```
    /// use netcore::conn::Core;
    /// use netcore::SendError;
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::time::Tick;
    /// # use netcore::{Outbound, Settings, Timeouts};
    /// # let settings = Settings::new(&Timeouts::default(), Outbound::default());
    /// # let mut core = Core::new(LengthPrefixed::new(100), Tick(0), 0, &settings);
    ///
    /// core.send(&settings, Tick(1), b"hi")?;
    /// // The loop holds too much for all its peers, so this one has to wait. It is told when to go on.
    /// assert_eq!(core.refuse(&settings, Tick(1)), SendError::Full);
    /// core.handle_written(&settings, Tick(2), 6);
    /// assert!(core.poll_writable());
    /// # Ok::<_, SendError>(())
    /// ```
    pub fn refuse(&mut self, settings: &Settings, now: Tick) -> SendError {
        let marks = self.outbound(settings);
        self.check_sendable()
            .map_or_else(|closing| closing, |()| self.note_refused(&marks, now))
    }

    /// Makes [`poll_writable`](Self::poll_writable) report when the queue has fallen to low water; `false` if it is not
    /// above.
    ///
    /// ```
    /// use netcore::conn::Core;
    /// use netcore::Outbound;
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::time::Tick;
    /// # use netcore::{Settings, Timeouts};
    /// # let settings = Settings::new(&Timeouts::default(), Outbound::default());
    /// # let mut core = Core::new(LengthPrefixed::new(100), Tick(0), 0, &settings);
    ///
    /// core.set_outbound(Outbound { low_water: 4, ..Outbound::default() });
    /// core.send(&settings, Tick(1), b"hello")?;
    /// assert!(core.await_low_water(&settings));
    /// core.handle_written(&settings, Tick(2), 5);
    /// assert!(core.poll_writable() && !core.await_low_water(&settings));
    /// # Ok::<_, netcore::SendError>(())
    /// ```
    pub fn await_low_water(&mut self, settings: &Settings) -> bool {
        let above = self.queued_bytes() > self.outbound(settings).low_water;
        if above {
            self.flags |= WRITABLE_WANTED;
        }
        above
    }

    /// The next bytes to write, if they are in one piece, as they usually are.
    pub fn slice(&self) -> Option<&[u8]> {
        self.outbox.as_ref()?.slice()
    }

    /// Fills `slices` with the next bytes to write; returns the numbers of slices and bytes.
    ///
    /// ```
    /// use netcore::limits::WRITE_SLICES_MAX;
    /// use std::io::{IoSlice, Write};
    /// # use netcore::conn::Core;
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::time::Tick;
    /// # use netcore::{Outbound, Settings, Timeouts};
    /// # let settings = Settings::new(&Timeouts::default(), Outbound::default());
    /// # let mut core = Core::new(LengthPrefixed::new(100), Tick(0), 0, &settings);
    /// # let mut socket = Vec::new();
    ///
    /// core.send_encoded(&settings, Tick(1), bytes::Bytes::from(vec![1; 5000]))?;
    /// core.send_encoded(&settings, Tick(1), bytes::Bytes::from(vec![2; 5000]))?;
    /// let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
    /// let (count, bytes) = core.slices(&mut slices);
    /// let written = socket.write_vectored(&slices[..count])?;
    /// core.handle_written(&settings, Tick(1), written);
    /// if written < bytes {
    ///     // The rest waits for the peer, in no more memory than it needs.
    ///     core.shrink();
    /// }
    /// # assert_eq!((written, bytes, count), (10_000, 10_000, 2));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; WRITE_SLICES_MAX]) -> (usize, usize) {
        self.outbox
            .as_ref()
            .map_or((0, 0), |outbox| outbox.slices(slices))
    }

    /// `written` bytes of the offered [`slices`](Self::slices) were written.
    pub fn handle_written(&mut self, settings: &Settings, now: Tick, written: usize) {
        self.written(settings, now, written, &mut Spare::default());
    }

    /// The same, keeping the memory of an out-queue that has become empty.
    pub fn written(&mut self, settings: &Settings, now: Tick, written: usize, spare: &mut Spare) {
        let Some(outbox) = &mut self.outbox else { return };
        outbox.advance(written, now);
        let queued = outbox.len();
        if queued == 0 {
            self.give_back(spare);
        }
        if written > 0 && queued <= self.outbound(settings).low_water && self.flags & WRITABLE_WANTED != 0 {
            self.resume(Pause::Outbound, now);
            self.flags &= !WRITABLE_WANTED;
            self.writable = self.phase == Phase::Open;
        }
    }

    /// The queued bytes must wait for the peer: gives up memory that they do not need.
    pub fn shrink(&mut self) {
        if let Some(outbox) = &mut self.outbox {
            outbox.shrink();
        }
    }

    /// Gives the queue used memory if it is empty. Afterwards a frame must be queued, or [`give_back`](Self::give_back)
    /// called.
    pub fn lend(&mut self, now: Tick, spare: &mut Spare) {
        if self.outbox.is_none() {
            self.outbox = spare.take(now);
        }
    }

    /// Gives the memory of an empty out-queue back.
    pub fn give_back(&mut self, spare: &mut Spare) {
        if self.outbox.as_ref().is_some_and(|outbox| outbox.len() == 0)
            && let Some(outbox) = self.outbox.take()
        {
            spare.put(outbox);
        }
    }

    /// Whether the queue has fallen to low water after it had been above high water or had refused a frame. True once.
    ///
    /// ```
    /// use netcore::conn::Core;
    /// use netcore::Queued;
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::time::Tick;
    /// # use netcore::{Outbound, Settings, Timeouts};
    /// # let settings = Settings::new(&Timeouts::default(), Outbound::default());
    /// # let mut core = Core::new(LengthPrefixed::new(100), Tick(0), 0, &settings);
    ///
    /// core.set_outbound(Outbound { low_water: 4, high_water: 8, ..Outbound::default() });
    /// assert_eq!(core.send(&settings, Tick(1), b"hello"), Ok(Queued::AboveHighWater));
    /// core.handle_written(&settings, Tick(2), 3);
    /// assert!(!core.poll_writable());
    /// core.handle_written(&settings, Tick(3), 3);
    /// assert!(core.poll_writable() && !core.poll_writable());
    /// ```
    pub const fn poll_writable(&mut self) -> bool {
        std::mem::replace(&mut self.writable, false)
    }

    /// Queues a ping or pong; returns whether it did: the codec may have none, or the queue may be full.
    pub(super) fn queue_beat(
        &mut self,
        settings: &Settings,
        now: Tick,
        beat: Beat,
        answer_to: Option<&C::In<'_>>,
    ) -> bool {
        if self.sending != Sending::Open {
            // After our end no ping and no pong can be sent.
            self.flags |= NEVER_PING;
            return false;
        }
        let marks = self.outbound(settings);
        let limit = marks.limit.saturating_add(marks.reply_reserve);
        let outbox = self.outbox.get_or_insert_with(|| Box::new(Outbox::new(now)));
        let codec = &self.codec;
        let before = outbox.len();
        let appended = outbox.append_within(limit, |tail| codec.encode_beat(beat, answer_to, tail));
        let queued = outbox.len();
        if queued == 0 {
            self.outbox = None;
        } else {
            self.note_queued(&marks, now);
        }
        if appended == 0 && beat == Beat::Ping {
            self.flags |= NEVER_PING;
        }
        queued > before
    }

    fn queue(
        &mut self,
        marks: &Outbound,
        now: Tick,
        frame: Bytes,
        limit: usize,
    ) -> Result<Queued, SendError> {
        self.check_sendable()?;
        if self.queued_bytes().saturating_add(frame.len()) > limit {
            return Err(self.note_refused(marks, now));
        }
        if frame.is_empty() {
            return Ok(Queued::Buffered);
        }
        self.outbox
            .get_or_insert_with(|| Box::new(Outbox::new(now)))
            .push(frame);
        Ok(self.note_queued(marks, now))
    }

    const fn check_sendable(&self) -> Result<(), SendError> {
        match (self.phase, self.sending) {
            (Phase::Open, Sending::Open) => Ok(()),
            (Phase::Flushing, Sending::Open) if self.last_words => Ok(()),
            _ => Err(SendError::Closing),
        }
    }

    fn note_queued(&mut self, marks: &Outbound, now: Tick) -> Queued {
        let queued = self.queued_bytes();
        if queued == 0 {
            self.outbox = None;
        }
        if queued > marks.high_water {
            self.flags |= WRITABLE_WANTED;
            self.pause(Pause::Outbound, now);
            Queued::AboveHighWater
        } else {
            Queued::Buffered
        }
    }

    fn note_refused(&mut self, marks: &Outbound, now: Tick) -> SendError {
        self.flags |= WRITABLE_WANTED;
        if marks.when_full == WhenFull::Close {
            let queued = self.queued_bytes();
            self.close(CloseReason::OutboundFull { queued }, CloseHow::Abort, now);
        }
        SendError::Full
    }
}
