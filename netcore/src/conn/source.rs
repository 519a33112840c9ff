//! Owns the bytes that frames are being decoded from: held bytes, and bytes just received. Must never copy received
//! bytes unless a frame is incomplete or must wait.

use super::{Core, Phase, Step};
use crate::close::CloseReason;
use crate::codec::{Beat, Codec, Decoded};
use crate::config::Settings;
use crate::conn::inbox::Inbox;
use crate::time::Tick;

/// The bytes to decode, apart from their connection meanwhile, so that a frame can borrow from them while the
/// connection is used.
///
/// See [`Core`].
///
/// ```
/// use netcore::conn::{Core, Source, Step};
/// # use netcore::codec::LengthPrefixed;
/// # use netcore::time::Tick;
/// # use netcore::{Outbound, Settings, Timeouts};
/// # let settings = Settings::new(&Timeouts::default(), Outbound::default());
/// # let mut core = Core::new(LengthPrefixed::new(100), Tick(0), 0, &settings);
///
/// let received = b"\0\0\0\x02hi\0\0\0\x02ho";
/// let mut source: Source<'_> = core.source(received);
/// assert_eq!(source.input(), received);
/// assert!(matches!(core.step(&settings, Tick(1), &mut source), Step::Frame(b"hi")));
/// assert!(!source.is_spent());
/// assert!(matches!(core.step(&settings, Tick(1), &mut source), Step::Frame(b"ho")));
/// // There is no need to ask for another.
/// assert!(source.is_spent());
/// core.finish(source);
/// ```
#[derive(Debug)]
pub struct Source<'a> {
    held: Option<Box<Inbox>>,
    input: &'a [u8],
    /// Bytes of the newest returned frame: they are dropped when the next one is asked for.
    taken: usize,
    /// The number of bytes that the codec asked for, and when.
    need: Option<(usize, Tick)>,
}

impl<'a> Source<'a> {
    /// Received bytes that are in no frame yet, and the newest returned frame, until the next step.
    #[must_use]
    pub const fn input(&self) -> &'a [u8] {
        self.input
    }

    /// Whether nothing follows the newest returned frame: no [`step`](Core::step) would find another.
    #[must_use]
    pub const fn is_spent(&self) -> bool {
        self.held.is_none() && self.need.is_none() && self.taken >= self.input.len()
    }

    /// Completes the last attempt.
    #[inline]
    fn advance(&mut self) {
        let taken = std::mem::take(&mut self.taken);
        match &mut self.held {
            Some(inbox) => {
                if taken > 0 {
                    inbox.consume(taken);
                }
                if inbox.len() == 0 {
                    self.held = None;
                }
            }
            None => self.input = self.input.get(taken..).unwrap_or_default(),
        }
        if let Some((total, now)) = self.need.take() {
            let input = &mut self.input;
            let held = self.held.get_or_insert_with(|| {
                let mut inbox = Box::new(Inbox::new());
                inbox.append(input);
                inbox
            });
            held.need(total, now);
        }
    }

    /// Whether there are bytes that the codec has not called too few.
    #[inline]
    fn fill(&mut self) -> bool {
        match &mut self.held {
            Some(inbox) if inbox.is_partial() => {
                inbox.fill(&mut self.input);
                !inbox.is_partial()
            }
            Some(_) => true,
            None => !self.input.is_empty(),
        }
    }
}

impl<C: Codec> Core<C> {
    /// Takes the held bytes, to decode frames from them and from `input`, the newly received bytes. Until
    /// [`finish`](Self::finish) the connection seems to hold nothing.
    pub const fn source<'a>(&mut self, input: &'a [u8]) -> Source<'a> {
        Source {
            held: self.inbox.take(),
            input,
            taken: 0,
            need: None,
        }
    }

    /// The next frame. Call it until it returns [`Step::Idle`] or [`Step::Failed`], or the caller has had enough; then
    /// call [`finish`](Self::finish).
    pub fn step<'s>(
        &mut self,
        settings: &Settings,
        now: Tick,
        source: &'s mut Source<'_>,
    ) -> Step<C::In<'s>, C::Error> {
        source.advance();
        if self.phase != Phase::Open || self.pauses != 0 || !source.fill() {
            return Step::Idle;
        }
        let Source {
            held,
            input,
            taken,
            need,
        } = source;
        let bytes: &'s [u8] = match held {
            Some(inbox) => inbox.bytes(),
            None => input,
        };
        let len = bytes.len();
        match self.codec.decode(bytes) {
            Ok(Decoded::Frame { frame, used }) => {
                *taken = used.get().min(len);
                match self.codec.beat(&frame) {
                    Beat::Data => Step::Frame(frame),
                    Beat::Pong => Step::Beat,
                    Beat::Ping => {
                        self.queue_beat(settings, now, Beat::Pong, Some(&frame));
                        Step::Beat
                    }
                }
            }
            Ok(Decoded::Need { total }) => {
                *need = Some((total.get(), now));
                Step::Again
            }
            Err(error) => Step::Failed(CloseReason::Protocol(error)),
        }
    }

    /// Holds the rest of the source until decoding goes on; drops it if the connection is closing.
    pub fn finish(&mut self, mut source: Source<'_>) {
        source.advance();
        self.inbox = source.held;
        let mut input = source.input;
        self.keep(&mut input);
        if self.phase != Phase::Open {
            self.inbox = None;
        }
    }

    /// The next frame, for codecs whose frames own their bytes, from the held bytes and `input`, the newly received
    /// bytes. Removes the bytes it takes from the front of `input`. Call it until it returns [`Step::Idle`]; otherwise
    /// call [`keep`](Self::keep) with the rest.
    ///
    /// ```
    /// use netcore::codec::{LengthPrefixed, Owned};
    /// use netcore::conn::{Core, Step};
    /// # use netcore::{Outbound, Settings, Timeouts, time::Tick};
    /// # let settings = Settings::new(&Timeouts::default(), Outbound::default());
    ///
    /// let mut core = Core::new(Owned(LengthPrefixed::new(100)), Tick(0), 0, &settings);
    /// let mut frames = Vec::new();
    /// for mut received in [&b"\0\0\0\x02h"[..], b"i\0\0\0\x02ho"] {
    ///     while let Step::Frame(frame) = core.next_frame(&settings, Tick(1), &mut received) {
    ///         frames.push(frame);
    ///     }
    /// }
    /// assert_eq!(frames, [&b"hi"[..], b"ho"]);
    /// ```
    pub fn next_frame<F>(&mut self, settings: &Settings, now: Tick, input: &mut &[u8]) -> Step<F, C::Error>
    where
        C: for<'f> Codec<In<'f> = F>,
    {
        let mut source = self.source(input);
        let step = loop {
            match self.step(settings, now, &mut source) {
                Step::Again => {}
                step @ (Step::Frame(_) | Step::Beat | Step::Idle | Step::Failed(_)) => break step,
            }
        };
        source.advance();
        self.inbox = source.held;
        *input = source.input;
        if matches!(step, Step::Idle) || self.phase != Phase::Open {
            self.keep(input);
        }
        step
    }
}
