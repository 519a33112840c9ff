//! What must hold for netcore's connection core, whatever is done to it in whatever order.

use bytes::{Bytes, BytesMut};
use netcore::codec::{Beat, Codec, Decoded, FrameError, LengthPrefixed, Owned};
use netcore::conn::{Core, Ending, Expiry, Pause, Phase, Step};
use netcore::limits::{INBOX_RESERVE_BYTES_MAX, READ_BUFFER_BYTES, WRITE_SLICES_MAX};
use netcore::time::{Tick, Ticks};
use netcore::{CloseHow, CloseReason, Outbound, Queued, SendError, Settings, Timeouts};
use std::{io::IoSlice, time::Duration};

use crate::input::Input;

const PAUSES: [Pause; 2] = [Pause::Application, Pause::Workers];
const PAYLOAD_MAX: u32 = 4096;
const PING: &[u8] = b"?";
const PONG: &[u8] = b"!";

/// A core that can be driven: netcore's own, or one with something wrong.
pub trait Driven {
    /// The core.
    fn core(&mut self) -> &mut Core<Beating>;

    /// Takes note of written bytes.
    fn handle_written(&mut self, settings: &Settings, now: Tick, written: usize) {
        self.core().handle_written(settings, now, written);
    }

    /// Takes a frame out of what is held and new.
    fn next_frame(&mut self, settings: &Settings, now: Tick, input: &mut &[u8]) -> Step<Bytes, FrameError> {
        self.core().next_frame(settings, now, input)
    }

    /// Begins the end.
    fn close(&mut self, reason: CloseReason<FrameError>, how: CloseHow, now: Tick) {
        self.core().close(reason, how, now);
    }
}

impl Driven for Core<Beating> {
    fn core(&mut self) -> &mut Core<Beating> {
        self
    }
}

/// netcore's length-prefixed codec with the payloads "?" and "!" as ping and pong.
#[derive(Clone, Copy, Debug)]
pub struct Beating(Owned<LengthPrefixed>);

impl Codec for Beating {
    type In<'a> = Bytes;
    type Out = [u8];
    type Error = FrameError;

    fn decode(&mut self, source: &[u8]) -> Result<Decoded<Bytes>, FrameError> {
        self.0.decode(source)
    }

    fn encode(&self, out: &[u8], to: &mut BytesMut) -> Result<(), FrameError> {
        self.0.encode(out, to)
    }

    fn beat(&self, frame: &Bytes) -> Beat {
        match &frame[..] {
            PING => Beat::Ping,
            PONG => Beat::Pong,
            _ => Beat::Data,
        }
    }

    fn encode_beat(&self, beat: Beat, _: Option<&Bytes>, to: &mut BytesMut) {
        // Neither is too long.
        let _ = self.0.encode(if beat == Beat::Ping { PING } else { PONG }, to);
    }
}

/// Any operations on a connection: bounds on what it holds, frames that are those of its input, output that is what
/// was queued, phases in order, the first reason kept, and an end that time alone brings.
///
/// # Panics
/// A promise is broken.
pub fn conn_operations(data: &[u8]) {
    conn_operations_with(|core| core, data);
}

/// The same for a core that has been tampered with.
///
/// # Panics
/// A promise is broken.
pub fn conn_operations_with<D: Driven>(make: impl FnOnce(Core<Beating>) -> D, data: &[u8]) {
    let mut input = Input::new(data);
    let settings = settings(&mut input);
    let jitter = u16::from(input.byte()) * 257;
    let core = Core::new(
        Beating(Owned(LengthPrefixed::new(PAYLOAD_MAX))),
        Tick(0),
        jitter,
        &settings,
    );
    let mut run = Run {
        driven: make(core),
        settings,
        now: Tick(0),
        arrived: Vec::new(),
        taken: 0,
        queued: Vec::new(),
        phase: Phase::Open,
        reason: None,
        peak: 0,
    };
    while !input.rest().is_empty() {
        run.operation(&mut input);
        run.check();
    }
    run.finish();
}

/// Marks far apart, close together, or without any room.
fn settings(input: &mut Input<'_>) -> Settings {
    let low_water = usize::from(input.byte());
    let high_water = low_water + usize::from(input.byte());
    let outbound = Outbound {
        low_water,
        high_water,
        limit: high_water + usize::from(input.byte()) * 8,
        reply_reserve: usize::from(input.byte()) * 4,
        ..Outbound::default()
    };
    let seconds = |count: u8| match count {
        255 => Duration::MAX,
        count => Duration::from_millis(u64::from(count) * 100),
    };
    let timeouts = Timeouts {
        handshake: seconds(input.byte()),
        frame: seconds(input.byte() % 64),
        idle: seconds(input.byte() % 128),
        ping_after: match input.byte() {
            255 => None,
            count => Some(seconds(count % 64)),
        },
        pong_within: seconds(input.byte() % 64),
        write_stall: seconds(input.byte() % 128),
        linger: seconds(input.byte() % 64),
        ..Timeouts::default()
    };
    Settings::new(&timeouts, outbound)
}

struct Run<D> {
    driven: D,
    settings: Settings,
    now: Tick,
    /// Everything that arrived while it was wanted.
    arrived: Vec<u8>,
    /// How much of that came out as frames.
    taken: usize,
    /// What is to be written.
    queued: Vec<u8>,
    phase: Phase,
    reason: Option<String>,
    /// The most that was undecoded, since nothing was.
    peak: usize,
}

impl<D: Driven> Run<D> {
    fn core(&mut self) -> &mut Core<Beating> {
        self.driven.core()
    }

    fn operation(&mut self, input: &mut Input<'_>) {
        let (settings, now) = (self.settings, self.now);
        let choice = input.byte();
        match choice % 16 {
            0 | 1 => self.receive(input),
            2 => {
                // A whole frame, so that the fuzzer does not have to find the length of each.
                let count = usize::from(input.byte() % 32);
                let payload = input.bytes(count);
                let frame = [&(payload.len() as u32).to_be_bytes()[..], payload].concat();
                self.arrive(&frame, usize::from(choice >> 4));
            }
            3 => self.deliver(&mut &[][..], usize::from(input.byte())),
            4 => self.core().handle_end(),
            5 => {
                let count = usize::from(input.byte()) * 3;
                let payload = vec![choice; count];
                let marks = self.core().outbound(&settings);
                let sent = self.core().send(&settings, now, &payload);
                let frame = [&(count as u32).to_be_bytes()[..], &payload].concat();
                self.sent(sent, &frame, marks.limit);
            }
            6 | 7 => {
                let frame = vec![choice; usize::from(input.byte()) * 3];
                let marks = self.core().outbound(&settings);
                let (sent, limit) = if choice % 16 == 6 {
                    let sent = self.core().send_encoded(&settings, now, frame.clone().into());
                    (sent, marks.limit)
                } else {
                    let sent = self.core().send_reply(&settings, now, frame.clone().into());
                    (sent, marks.limit + marks.reply_reserve)
                };
                self.sent(sent, &frame, limit);
            }
            8 => self.write(usize::from(input.byte())),
            9 => self.write(usize::MAX),
            10 => {
                let why = PAUSES[usize::from(choice >> 7)];
                self.core().pause(why, now);
            }
            11 => {
                let why = PAUSES[usize::from(choice >> 7)];
                self.core().resume(why, now);
            }
            12 => self.now = now.after(Ticks(u32::from(input.byte()))),
            13 => self.pass_deadline(),
            14 => self.core().establish(),
            _ => self.close(choice >> 4),
        }
    }

    fn receive(&mut self, input: &mut Input<'_>) {
        let (count, frames) = (usize::from(input.byte()), usize::from(input.byte()));
        let bytes = input.bytes(count);
        self.arrive(bytes, frames);
    }

    /// As a reactor does: only what is wanted is read.
    fn arrive(&mut self, bytes: &[u8], frames: usize) {
        if !self.core().wants_input() || bytes.is_empty() {
            return;
        }
        let now = self.now;
        self.core().handle_received(now);
        if self.core().phase() == Phase::Open {
            self.arrived.extend_from_slice(bytes);
        }
        self.deliver(&mut &bytes[..], frames);
    }

    fn deliver(&mut self, input: &mut &[u8], frames: usize) {
        let (settings, now) = (self.settings, self.now);
        for _ in 0..frames {
            let may = self.core().phase() == Phase::Open && !self.core().is_paused();
            let queued = self.core().queued_bytes();
            match self.driven.next_frame(&settings, now, input) {
                Step::Idle => break,
                Step::Again => {}
                Step::Frame(frame) => {
                    assert!(may, "a frame that nobody may have");
                    assert!(!matches!(&frame[..], PING | PONG), "a beat came out");
                    self.took(&frame);
                }
                Step::Beat => {
                    assert!(may, "a beat of a connection that is not read");
                    self.took_beat(queued);
                }
                Step::Failed(reason) => {
                    assert!(may && matches!(reason, CloseReason::Protocol(_)), "{reason}");
                    let rest = self.arrived.get(self.taken..).unwrap_or_default();
                    let declared = rest.first_chunk().map_or(0, |length| u32::from_be_bytes(*length));
                    assert!(declared > PAYLOAD_MAX, "a failure without a reason");
                    self.driven.close(reason, CloseHow::Flush, now);
                }
            }
        }
        self.core().keep(input);
        assert!(input.is_empty(), "the loop needs its buffer for others");
    }

    /// A frame came out: it has to be the next one that arrived.
    fn took(&mut self, frame: &[u8]) {
        let rest = self.arrived.get(self.taken..).unwrap_or_default();
        let declared = rest.first_chunk().map_or(0, |length| u32::from_be_bytes(*length));
        assert_eq!(declared as usize, frame.len(), "a frame of another length");
        assert_eq!(
            rest.get(4..4 + frame.len()),
            Some(frame),
            "a frame that did not arrive"
        );
        self.taken += 4 + frame.len();
    }

    fn took_beat(&mut self, queued_before: usize) {
        let rest = self.arrived.get(self.taken..).unwrap_or_default();
        let ping = rest.get(..5) == Some(b"\0\0\0\x01?");
        assert!(
            ping || rest.get(..5) == Some(b"\0\0\0\x01!"),
            "a beat that did not arrive"
        );
        self.taken += 5;
        match self.core().queued_bytes() - queued_before {
            // It found no room.
            0 => {}
            5 if ping => self.queued.extend_from_slice(b"\0\0\0\x01!"),
            other => panic!("a beat is answered with {other} bytes"),
        }
    }

    fn sent(&mut self, sent: Result<Queued, SendError>, frame: &[u8], limit: usize) {
        let fits = self.queued.len() + frame.len() <= limit;
        match sent {
            Ok(_) => {
                assert!(
                    self.phase == Phase::Open && fits,
                    "taken beyond the limit or the end"
                );
                self.queued.extend_from_slice(frame);
            }
            Err(SendError::Closing) => assert_ne!(self.phase, Phase::Open),
            Err(SendError::Full) => assert!(self.phase == Phase::Open && !fits, "refused although it fits"),
            Err(SendError::Encode) => panic!("no payload here is too long"),
        }
    }

    fn write(&mut self, count: usize) {
        if !self.core().wants_output() {
            return;
        }
        let count = count.min(self.queued.len());
        let (settings, now) = (self.settings, self.now);
        self.driven.handle_written(&settings, now, count);
        self.queued.drain(..count);
    }

    fn close(&mut self, choice: u8) {
        let now = self.now;
        let (reason, how) = match choice % 4 {
            0 => (CloseReason::Local(choice.into()), CloseHow::Flush),
            1 => (CloseReason::Drained, CloseHow::Flush),
            2 => (CloseReason::Eof, CloseHow::Flush),
            _ => (CloseReason::Reset, CloseHow::Abort),
        };
        self.driven.close(reason, how, now);
    }

    fn pass_deadline(&mut self) {
        let settings = self.settings;
        let due = self.core().next_deadline(&settings);
        if due == Tick::NEVER {
            return;
        }
        if due.0 > 0 && due > self.now {
            let early = self.core().handle_deadline(&settings, Tick(due.0 - 1));
            assert!(matches!(early, Expiry::Nothing), "too early");
        }
        self.now = self.now.max(due);
        let now = self.now;
        let before = self.core().queued_bytes();
        match self.core().handle_deadline(&settings, now) {
            Expiry::Close(reason) => self.driven.close(reason, CloseHow::Flush, now),
            Expiry::Closed => assert_eq!(self.core().phase(), Phase::Closed),
            Expiry::Pinged => {
                assert_eq!(
                    self.core().queued_bytes(),
                    before + 5,
                    "a ping that was not queued"
                );
                self.queued.extend_from_slice(b"\0\0\0\x01?");
            }
            Expiry::Nothing => {}
        }
        assert!(
            self.core().next_deadline(&settings) > now,
            "the same deadline again"
        );
    }

    /// What must hold between any two operations.
    fn check(&mut self) {
        let (settings, now, before) = (self.settings, self.now, self.phase);
        let seen = self.core().end_seen();
        let waiting = self.core().has_undecoded();
        match self.core().poll_end() {
            None => {}
            Some(_) if waiting => panic!("the end before the last frame"),
            Some(Ending::Clean) => assert_eq!(self.taken, self.arrived.len(), "bytes are missing"),
            Some(Ending::Truncated { have }) => assert_eq!(self.taken + have, self.arrived.len()),
        }
        let room = self.core().poll_writable();
        assert!(!self.core().poll_writable() && (!room || before == Phase::Open));
        let written = self.core().queued_bytes() == 0 && self.core().phase() == Phase::Flushing;
        assert_eq!(self.core().poll_shutdown(now), written);

        let core = self.driven.core();
        let phase = core.phase();
        assert!(phase as u8 >= before as u8, "{before:?} to {phase:?}");
        self.phase = phase;
        if phase == Phase::Closed {
            self.queued.clear();
        }
        let reason = core.reason().map(|reason| format!("{reason:?}"));
        assert_eq!(reason.is_some(), phase != Phase::Open);
        assert!(
            self.reason.is_none() || self.reason == reason,
            "the first reason is lost"
        );
        self.reason = reason;

        let marks = core.outbound(&settings);
        let (queued, held) = (core.queued_bytes(), core.held_bytes());
        assert!(queued <= marks.limit + marks.reply_reserve);
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
        let (count, bytes) = core.slices(&mut slices);
        let offered: Vec<u8> = slices[..count]
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        assert_eq!(
            (offered.len(), queued),
            (bytes, self.queued.len()),
            "output is lost or invented"
        );
        assert!(self.queued.starts_with(&offered), "other output than was queued");
        assert!(count == WRITE_SLICES_MAX || bytes == queued);

        let undecoded = if phase == Phase::Open {
            self.arrived.len() - self.taken
        } else {
            0
        };
        self.peak = if undecoded == 0 {
            0
        } else {
            self.peak.max(undecoded)
        };
        assert_eq!(held > 0, undecoded > 0, "memory without content, or bytes lost");
        let bound = 3 * self.peak + INBOX_RESERVE_BYTES_MAX.max(READ_BUFFER_BYTES);
        assert!(held <= bound, "{held} bytes held for {}", self.peak);
        assert_eq!(core.is_idle(), held == 0 && queued == 0);
        assert_eq!(core.wants_output(), queued > 0);
        let reads = match phase {
            Phase::Open => !core.is_paused() && !seen,
            Phase::Lingering => !seen,
            Phase::Flushing | Phase::Closed => false,
        };
        assert_eq!(core.wants_input(), reads);
        if phase == Phase::Open {
            let pushed_back = core.is_paused_by(Pause::Outbound);
            assert!(
                pushed_back || queued <= marks.high_water,
                "reads for a peer that does not"
            );
            assert!(
                !pushed_back || queued > marks.low_water,
                "nothing would resume reading"
            );
        }
    }

    /// Time alone ends a connection that we do not keep waiting, unless its deadlines are switched off.
    fn finish(&mut self) {
        let now = self.now;
        for why in PAUSES {
            self.core().resume(why, now);
        }
        // A ping that finds no room is tried again and again until the peer counts as idle.
        for _ in 0..400 {
            self.pass_deadline();
            self.check();
            if self.phase == Phase::Closed {
                return;
            }
        }
        let settings = self.settings;
        let next = self.core().next_deadline(&settings);
        assert_eq!(next, Tick::NEVER, "still {:?}", self.phase);
    }
}
