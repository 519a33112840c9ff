//! The core against a naive model, in any order of operations. The model keeps every byte in one list, decodes from
//! its beginning each time, and counts time tick by tick with ages instead of dates; it knows of no buffer that
//! comes and goes and of no deadline that is computed.

use super::*;
use crate::close::Initiator;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
enum Operation {
    /// So many bytes arrive, and so many frames are taken.
    Receive {
        bytes: usize,
        frames: usize,
    },
    End,
    Send(usize),
    SendEncoded(usize),
    Reply(usize),
    /// The socket takes so many of the bytes offered.
    Write(usize),
    Pause(Pause),
    Resume(Pause),
    Pass(u32),
    Establish,
    Close(bool, CloseHow),
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let why = prop_oneof![Just(super::Pause::Application), Just(super::Pause::Workers)];
    // Frames of up to 300 bytes do not share a chunk with others.
    let size = prop_oneof![6 => 0_usize..12, 1 => 250_usize..300];
    let frames = prop_oneof![3 => Just(99_usize), 1 => 0_usize..4];
    let span = prop_oneof![3 => 0_u32..5, 2 => 15_u32..45, 1 => 0_u32..130];
    prop_oneof![
        8 => (0_usize..25, frames).prop_map(|(bytes, frames)| Receive { bytes, frames }),
        1 => Just(End),
        3 => size.clone().prop_map(Send),
        3 => size.clone().prop_map(SendEncoded),
        2 => size.prop_map(Reply),
        5 => (0_usize..40).prop_map(Write),
        2 => Just(Write(usize::MAX)),
        2 => why.clone().prop_map(Pause),
        4 => why.prop_map(Resume),
        4 => span.prop_map(Pass),
        1 => Just(Establish),
        1 => (any::<bool>(), prop_oneof![3 => Just(CloseHow::Flush), 1 => Just(CloseHow::Abort)])
            .prop_map(|(library, how)| Close(library, how)),
    ]
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => Just(b"?".to_vec()),
        1 => Just(b"!".to_vec()),
        8 => proptest::collection::vec(b'a'..b'f', 0..15),
    ]
}

/// What came of the passing of one tick, or of anything else that can end a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Outcome {
    Nothing,
    Pinged,
    Late(String),
    Closed,
}

#[derive(Debug)]
struct Model {
    phase: Phase,
    by_library: bool,
    undecoded: Vec<u8>,
    /// The beginning of `undecoded` has been looked at and is not a frame.
    looked_at: bool,
    queued: VecDeque<u8>,
    marks: Outbound,
    pauses: Vec<Pause>,
    wants_room: bool,
    established: bool,
    end_seen: bool,
    end_reported: bool,
    awaits_pong: bool,
    first_ping_passed: bool,
    jitter: u16,
    // Ages in ticks.
    age: u32,
    silence: u32,
    since_ping: u32,
    since_torn: u32,
    stalled: u32,
    closing: u32,
}

impl Model {
    fn reads(&self) -> bool {
        self.phase == Phase::Open && self.pauses.is_empty()
    }

    /// What has arrived ends within a frame, and that has been seen.
    fn is_torn(&self) -> bool {
        let whole = self
            .undecoded
            .first()
            .is_some_and(|length| self.undecoded.len() > usize::from(*length));
        self.looked_at && !whole
    }

    fn has_undecoded(&self) -> bool {
        self.reads() && !self.undecoded.is_empty() && !self.is_torn()
    }

    /// The next frame, as the definition of the format says.
    fn decode(&mut self) -> Option<Vec<u8>> {
        let length = 1 + usize::from(*self.undecoded.first()?);
        if self.undecoded.len() < length {
            if !self.looked_at {
                self.since_torn = 0;
            }
            self.looked_at = true;
            return None;
        }
        self.looked_at = false;
        Some(self.undecoded.drain(..length).skip(1).collect())
    }

    fn queue(&mut self, bytes: &[u8], limit: usize) -> Result<Queued, SendError> {
        if self.phase != Phase::Open {
            return Err(SendError::Closing);
        }
        if self.queued.len() + bytes.len() > limit {
            self.wants_room = true;
            return Err(SendError::Full);
        }
        if self.queued.is_empty() {
            self.stalled = 0;
        }
        self.queued.extend(bytes);
        // An empty frame that is encoded already leaves everything as it was.
        if self.queued.len() > self.marks.high_water && !bytes.is_empty() {
            self.wants_room = true;
            self.pause(Pause::Outbound);
            return Ok(Queued::AboveHighWater);
        }
        Ok(Queued::Buffered)
    }

    /// A ping or pong that finds no room is left out.
    fn queue_beat(&mut self, beat: &[u8]) -> bool {
        let room = self.marks.limit + self.marks.reply_reserve;
        self.queued.len() + beat.len() <= room && self.queue(beat, room).is_ok()
    }

    fn pause(&mut self, why: Pause) {
        if !self.pauses.contains(&why) {
            self.pauses.push(why);
        }
    }

    fn resume(&mut self, why: Pause) {
        self.pauses.retain(|other| *other != why);
    }

    /// Returns whether the application is to be told of room.
    fn write(&mut self, count: usize) -> bool {
        self.queued.drain(..count);
        if count == 0 {
            return false;
        }
        self.stalled = 0;
        if self.queued.len() > self.marks.low_water || !self.wants_room {
            return false;
        }
        self.wants_room = false;
        self.resume(Pause::Outbound);
        self.phase == Phase::Open
    }

    fn close(&mut self, library: bool, how: CloseHow) {
        if self.phase == Phase::Open {
            self.by_library = library;
            self.closing = 0;
            self.phase = Phase::Flushing;
            self.undecoded.clear();
        }
        if how == CloseHow::Abort {
            self.over();
        }
    }

    fn over(&mut self) {
        self.phase = Phase::Closed;
        self.undecoded.clear();
        self.queued.clear();
    }

    /// Our side is shut down if there is nothing left to write.
    fn shut_down(&mut self) -> bool {
        if self.phase != Phase::Flushing || !self.queued.is_empty() {
            return false;
        }
        if self.end_seen {
            self.over();
        } else {
            self.phase = Phase::Lingering;
            if !self.by_library {
                self.closing = 0;
            }
        }
        true
    }

    /// How the peer ended, if it is time to say so.
    fn end(&mut self) -> Option<Ending> {
        if !self.reads() || !self.end_seen || self.end_reported || self.has_undecoded() {
            return None;
        }
        self.end_reported = true;
        Some(match self.undecoded.len() {
            0 => Ending::Clean,
            have => Ending::Truncated { have },
        })
    }

    fn tick(&mut self) -> Outcome {
        self.age += 1;
        self.stalled += 1;
        self.closing += 1;
        // What waits for the peer waits while we do not read, too.
        if self.reads() {
            self.silence += 1;
            self.since_ping += 1;
            self.since_torn += 1;
        }
        let limits = settings();
        let stalled = !self.queued.is_empty() && self.stalled >= limits.write_stall.0;
        let lingered = self.closing >= limits.linger.0;
        let over = match self.phase {
            Phase::Open => return self.deadline(stalled),
            Phase::Flushing if !self.by_library && !self.queued.is_empty() => stalled,
            Phase::Flushing | Phase::Lingering => lingered,
            Phase::Closed => false,
        };
        if !over {
            return Outcome::Nothing;
        }
        self.over();
        Outcome::Closed
    }

    fn deadline(&mut self, stalled: bool) -> Outcome {
        let limits = settings();
        let span = limits.ping_after.unwrap().0;
        // A tenth either way, spread by the jitter.
        let quiet = span - span / 10 + span / 10 * 2 * u32::from(self.jitter) / u32::from(u16::MAX);
        let first = span * u32::from(self.jitter) / u32::from(u16::MAX);
        let quiet_enough = self.silence >= quiet && self.since_ping >= quiet;
        let pings = self.reads() && self.established && !self.end_seen && !self.awaits_pong;
        if !self.established && self.age >= limits.handshake.0 {
            Outcome::Late("handshake took too long".to_owned())
        } else if stalled {
            Outcome::Late("the peer stopped reading".to_owned())
        } else if !self.reads() {
            Outcome::Nothing
        } else if self.looked_at && self.since_torn >= limits.frame.0 {
            Outcome::Late("a frame took too long to arrive".to_owned())
        } else if self.awaits_pong && !self.end_seen && self.since_ping >= limits.pong_within.0 {
            Outcome::Late("a ping was not answered in time".to_owned())
        } else if self.silence >= limits.idle.0 {
            Outcome::Late("nothing was received for too long".to_owned())
        } else if pings && (quiet_enough || !self.first_ping_passed && self.age >= first) {
            self.first_ping_passed = true;
            self.since_ping = 0;
            self.awaits_pong = self.queue_beat(b"\x01?");
            if self.awaits_pong {
                Outcome::Pinged
            } else {
                Outcome::Nothing
            }
        } else {
            Outcome::Nothing
        }
    }
}

/// The core and the model, side by side.
struct Pair {
    core: Core<Beating>,
    model: Model,
    now: Tick,
    taken: Vec<Vec<u8>>,
    sent: u8,
}

impl Pair {
    fn new(marks: Outbound, jitter: u16) -> Self {
        let mut core = Core::new(Beating, T0, jitter, &settings());
        core.set_outbound(marks);
        let model = Model {
            phase: Phase::Open,
            by_library: false,
            undecoded: Vec::new(),
            looked_at: false,
            queued: VecDeque::new(),
            marks,
            pauses: Vec::new(),
            wants_room: false,
            established: false,
            end_seen: false,
            end_reported: false,
            awaits_pong: false,
            first_ping_passed: false,
            jitter,
            age: 0,
            silence: 0,
            since_ping: 0,
            since_torn: 0,
            stalled: 0,
            closing: 0,
        };
        Self {
            core,
            model,
            now: T0,
            taken: Vec::new(),
            sent: 0,
        }
    }

    /// A payload that no other has, neither a beat nor an "x".
    fn content(&mut self, size: usize) -> Vec<u8> {
        self.sent = (self.sent + 1) % 30;
        vec![self.sent; size]
    }

    fn apply(&mut self, operation: &Operation, stream: &mut &[u8]) {
        let (limit, reserve) = (self.model.marks.limit, self.model.marks.reply_reserve);
        match *operation {
            Operation::Receive { bytes, frames } => self.receive(bytes, frames, stream),
            Operation::End => {
                self.core.handle_end();
                self.model.end_seen = true;
                if self.model.phase == Phase::Lingering {
                    self.model.over();
                }
            }
            Operation::Send(size) => {
                let payload = self.content(size);
                let frame = [&[size as u8], &payload[..]].concat();
                let expected = self.model.queue(&frame, limit);
                assert_eq!(self.core.send(&settings(), self.now, &payload), expected);
            }
            Operation::SendEncoded(size) => {
                let frame = self.content(size);
                let expected = self.model.queue(&frame, limit);
                assert_eq!(
                    self.core.send_encoded(&settings(), self.now, frame.into()),
                    expected
                );
            }
            Operation::Reply(size) => {
                let frame = self.content(size);
                let expected = self.model.queue(&frame, limit + reserve);
                assert_eq!(
                    self.core.send_reply(&settings(), self.now, frame.into()),
                    expected
                );
            }
            Operation::Write(count) => {
                let count = count.min(self.core.queued_bytes());
                self.core.handle_written(&settings(), self.now, count);
                assert_eq!(self.core.poll_writable(), self.model.write(count));
            }
            Operation::Pause(why) => {
                self.core.pause(why, self.now);
                self.model.pause(why);
            }
            Operation::Resume(why) => {
                self.core.resume(why, self.now);
                self.model.resume(why);
            }
            Operation::Pass(ticks) => (0..ticks).for_each(|_| self.tick()),
            Operation::Establish => {
                self.core.establish();
                self.model.established = true;
            }
            Operation::Close(true, how) => self.close(CloseReason::Drained, how),
            Operation::Close(false, how) => self.close(CloseReason::Local(1), how),
        }
        self.settle();
    }

    fn receive(&mut self, bytes: usize, frames: usize, stream: &mut &[u8]) {
        let mut input = &stream[..0];
        if self.core.wants_input() && bytes > 0 && !stream.is_empty() {
            let (arrived, later) = stream.split_at(stream.len().min(bytes));
            (input, *stream) = (arrived, later);
            self.core.handle_received(self.now);
            if self.model.phase == Phase::Open {
                self.model.undecoded.extend(arrived);
            }
            (self.model.silence, self.model.awaits_pong) = (0, false);
        }
        for _ in 0..frames {
            let reads = self.model.reads();
            let expected = reads.then(|| self.model.decode()).flatten();
            match (self.core.next_frame(&settings(), self.now, &mut input), expected) {
                (Step::Idle, None) => break,
                (Step::Beat, Some(frame)) if frame == b"?" => {
                    self.model.queue_beat(b"\x01!");
                }
                (Step::Beat, Some(frame)) if frame == b"!" => {}
                (Step::Frame(frame), Some(expected)) => {
                    assert_eq!(frame, expected);
                    self.taken.push(expected);
                }
                (step, expected) => panic!("{step:?}, not {expected:?}"),
            }
        }
        self.core.keep(&mut input);
        assert!(input.is_empty());
    }

    fn close(&mut self, reason: CloseReason<AnX>, how: CloseHow) {
        let library = reason.initiator() == Initiator::Library;
        self.core.close(reason, how, self.now);
        self.model.close(library, how);
    }

    fn tick(&mut self) {
        self.now = self.now.after(Ticks(1));
        let due = self.core.next_deadline(&settings()) <= self.now;
        let (outcome, reason) = match self.core.handle_deadline(&settings(), self.now) {
            Expiry::Nothing => (Outcome::Nothing, None),
            Expiry::Pinged => (Outcome::Pinged, None),
            Expiry::Closed => (Outcome::Closed, None),
            Expiry::Close(reason) => (Outcome::Late(reason.to_string()), Some(reason)),
        };
        assert!(due || outcome == Outcome::Nothing);
        assert_eq!(outcome, self.model.tick(), "at {:?}", self.now.since(T0));
        if let Some(reason) = reason {
            self.close(reason, CloseHow::Flush);
        }
        self.settle();
    }

    /// What a reactor asks at the end of a turn, and everything that can be seen.
    fn settle(&mut self) {
        assert_eq!(self.core.poll_end(), self.model.end());
        assert_eq!(self.core.poll_shutdown(self.now), self.model.shut_down());
        let (core, model) = (&self.core, &self.model);
        assert_eq!(core.phase(), model.phase);
        assert_eq!(model.queued, output(core));
        assert_eq!(core.held_bytes() > 0, !model.undecoded.is_empty());
        assert_eq!(core.has_undecoded(), model.has_undecoded());
        for why in [Pause::Application, Pause::Outbound, Pause::Workers] {
            assert_eq!(core.is_paused_by(why), model.pauses.contains(&why), "{why:?}");
        }
        explore::check(&mut self.core);
    }
}

fn marks() -> impl Strategy<Value = Outbound> {
    let marks = [
        (10, 20, 30, 8),
        (10, 10, 10, 0),
        (0, 0, 40, 1),
        (100, 250, 600, 100),
    ];
    proptest::sample::select(marks.to_vec()).prop_map(|(low_water, high_water, limit, reply_reserve)| {
        Outbound {
            low_water,
            high_water,
            limit,
            reply_reserve,
            ..Outbound::default()
        }
    })
}

proptest! {
    #[test]
    fn behaves_like_the_model(
        marks in marks(),
        jitter in prop_oneof![Just(0), Just(u16::MAX), any::<u16>()],
        established in any::<bool>(),
        payloads in proptest::collection::vec(payload(), 0..40),
        operations in proptest::collection::vec(operation(), 0..120),
    ) {
        let frames: Vec<_> = payloads.iter().map(|payload| [&[payload.len() as u8], &payload[..]].concat()).collect();
        let bytes = frames.concat();
        let mut stream = &bytes[..];
        let mut pair = Pair::new(marks, jitter);
        if established {
            pair.apply(&Operation::Establish, &mut stream);
        }
        for operation in &operations {
            pair.apply(operation, &mut stream);
        }
        // Whatever happened: what came out is what went in.
        let expected = payloads.iter().filter(|payload| !matches!(&payload[..], b"?" | b"!"));
        prop_assert!(expected.zip(&pair.taken).all(|(sent, taken)| sent == taken));
    }
}
