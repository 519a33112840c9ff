//! Owns the end of a connection: the side that began it, and the steps to it. Must never lose the first reason given.

use super::{BY_LIBRARY, Core, END_REPORTED, END_SEEN, Phase, Sending};
use crate::close::{CloseHow, CloseReason, Initiator};
use crate::codec::Codec;
use crate::time::Tick;

/// How the peer finished sending.
///
/// ```
/// use netcore::conn::{Core, Ending, Step};
/// # use netcore::codec::LengthPrefixed;
/// # use netcore::time::Tick;
/// # use netcore::{Outbound, Settings, Timeouts};
/// # let settings = Settings::new(&Timeouts::default(), Outbound::default());
/// # let mut core = Core::new(LengthPrefixed::new(100), Tick(0), 0, &settings);
///
/// let mut source = core.source(b"\0\0");
/// while !matches!(core.step(&settings, Tick(1), &mut source), Step::Idle) {}
/// core.finish(source);
/// core.handle_end();
/// assert!(core.end_seen() && core.has_news());
/// assert_eq!(core.poll_end(), Some(Ending::Truncated { have: 2 }));
/// // It is news once.
/// assert_eq!(core.poll_end(), None);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Ending {
    /// Between two frames; every frame has been delivered.
    Clean,
    /// In the middle of a frame.
    Truncated {
        /// Bytes of the frame that had arrived.
        have: usize,
    },
}

impl<C: Codec> Core<C> {
    /// The first reason given to [`close`](Self::close).
    pub fn reason(&self) -> Option<&CloseReason<C::Error>> {
        self.reason.as_deref()
    }

    /// Takes the reason of a connection that is over.
    pub fn take_reason(&mut self) -> Option<CloseReason<C::Error>> {
        self.reason.take().map(|reason| *reason)
    }

    /// Puts back a reason that was taken to show it to the application. It replaces any reason given since.
    pub fn restore_reason(&mut self, reason: CloseReason<C::Error>) {
        self.reason = Some(Box::new(reason));
    }

    /// The peer has finished sending.
    pub const fn end_seen(&self) -> bool {
        self.flags & END_SEEN != 0
    }

    /// Begins the end. A connection that is closing already keeps its first reason; only `Abort` still has an effect
    /// then. An end that the library begins gets the linger time for everything; another end goes on while bytes can be
    /// written.
    pub fn close(&mut self, reason: CloseReason<C::Error>, how: CloseHow, now: Tick) {
        if self.phase == Phase::Closed {
            return;
        }
        if self.reason.is_none() {
            if reason.initiator() == Initiator::Library {
                self.flags |= BY_LIBRARY;
            }
            self.reason = Some(Box::new(reason));
        }
        self.inbox = None;
        match how {
            CloseHow::Abort => self.enter_closed(),
            CloseHow::Flush if self.phase == Phase::Open => {
                self.phase = Phase::Flushing;
                self.since = now;
                self.writable = false;
            }
            CloseHow::Flush => {}
        }
    }

    /// Whether frames can be queued although the connection is being flushed: while the application is told of an end
    /// that it did not begin.
    ///
    /// ```
    /// use netcore::conn::Core;
    /// use netcore::{CloseHow, CloseReason, SendError};
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::time::Tick;
    /// # use netcore::{Outbound, Settings, Timeouts};
    /// # let settings = Settings::new(&Timeouts::default(), Outbound::default());
    /// # let mut core = Core::new(LengthPrefixed::new(100), Tick(0), 0, &settings);
    ///
    /// core.close(CloseReason::IdleTimeout, CloseHow::Flush, Tick(9));
    /// assert_eq!(core.send(&settings, Tick(9), b"hello?"), Err(SendError::Closing));
    /// // The application is told why, and says it to the peer.
    /// if let Some(why) = core.take_reason() {
    ///     core.allow_last_words(true);
    ///     core.send(&settings, Tick(9), why.name().as_bytes())?;
    ///     core.allow_last_words(false);
    ///     core.restore_reason(why);
    /// }
    /// assert_eq!(core.slice(), Some(&b"\0\0\0\x0cidle_timeout"[..]));
    /// # Ok::<_, SendError>(())
    /// ```
    pub const fn allow_last_words(&mut self, allowed: bool) {
        self.last_words = allowed;
    }

    /// Whether [`poll_writable`](Self::poll_writable) or [`poll_end`](Self::poll_end) may have something to report.
    pub const fn has_news(&self) -> bool {
        self.writable || self.flags & (END_SEEN | END_REPORTED) == END_SEEN
    }

    /// How the peer finished sending, once, after all its whole frames were delivered.
    pub fn poll_end(&mut self) -> Option<Ending> {
        let flags = self.flags & (END_SEEN | END_REPORTED);
        if self.phase != Phase::Open || self.is_paused() || flags != END_SEEN {
            return None;
        }
        let ending = match &self.inbox {
            None => Ending::Clean,
            Some(inbox) if inbox.is_partial() => Ending::Truncated { have: inbox.len() },
            Some(_) => return None,
        };
        self.flags |= END_REPORTED;
        Some(ending)
    }

    /// Nothing more will be sent: when the queued bytes have been written, our side is shut down. The peer can go on
    /// sending.
    ///
    /// ```
    /// use netcore::conn::{Core, Phase};
    /// use netcore::SendError;
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::time::Tick;
    /// # use netcore::{Outbound, Settings, Timeouts};
    /// # let settings = Settings::new(&Timeouts::default(), Outbound::default());
    /// # let mut core = Core::new(LengthPrefixed::new(100), Tick(0), 0, &settings);
    ///
    /// core.send(&settings, Tick(1), b"that was all")?;
    /// core.finish_sending();
    /// assert_eq!(core.send(&settings, Tick(1), b"wait"), Err(SendError::Closing));
    /// assert!(!core.is_shutdown_due());
    /// core.handle_written(&settings, Tick(1), 16);
    /// // The socket's sending side is shut down; frames of the peer still come.
    /// assert!(core.is_shutdown_due() && core.poll_shutdown(Tick(1)));
    /// assert_eq!(core.phase(), Phase::Open);
    /// # Ok::<_, SendError>(())
    /// ```
    pub fn finish_sending(&mut self) {
        if self.phase == Phase::Open && self.sending == Sending::Open {
            self.sending = Sending::Finishing;
        }
    }

    /// Whether everything before our shut-down is written.
    pub const fn is_shutdown_due(&self) -> bool {
        self.outbox.is_none()
            && match self.phase {
                Phase::Open => matches!(self.sending, Sending::Finishing),
                Phase::Flushing => true,
                Phase::Lingering | Phase::Closed => false,
            }
    }

    /// Whether everything is written and our side of the socket must be shut down; true once, and moves on. If the peer
    /// has finished, too, a connection that is closing is then closed.
    pub fn poll_shutdown(&mut self, now: Tick) -> bool {
        if !self.is_shutdown_due() {
            return false;
        }
        let finished = std::mem::replace(&mut self.sending, Sending::Finished);
        if self.phase == Phase::Flushing {
            if self.end_seen() {
                self.enter_closed();
            } else {
                self.phase = Phase::Lingering;
                if self.flags & BY_LIBRARY == 0 {
                    self.since = now;
                }
            }
        }
        finished != Sending::Finished
    }

    /// Whether the connection ended before all queued bytes were written.
    ///
    /// ```
    /// use netcore::conn::Core;
    /// use netcore::{CloseHow, CloseReason};
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::time::Tick;
    /// # use netcore::{Outbound, Settings, Timeouts};
    /// # let settings = Settings::new(&Timeouts::default(), Outbound::default());
    /// # let mut core = Core::new(LengthPrefixed::new(100), Tick(0), 0, &settings);
    ///
    /// core.send(&settings, Tick(1), b"hi")?;
    /// core.close(CloseReason::Local(1), CloseHow::Abort, Tick(1));
    /// // The socket is to be reset: its peer has not got everything.
    /// assert!(core.was_cut_off());
    /// # Ok::<_, netcore::SendError>(())
    /// ```
    pub const fn was_cut_off(&self) -> bool {
        self.cut_off
    }

    pub(super) fn enter_closed(&mut self) {
        self.cut_off |= self.outbox.is_some();
        self.phase = Phase::Closed;
        self.inbox = None;
        self.outbox = None;
        self.writable = false;
    }
}
