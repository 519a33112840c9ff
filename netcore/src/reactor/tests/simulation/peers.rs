//! Owns the models of the peers: what they send, what of it has arrived, and what they got. Must never look into
//! the reactor.

use super::random::Random;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Weak;
use std::time::Instant;

/// The largest frame with its header.
pub(super) const FRAME_BYTES_MAX: usize = 6000;

pub(super) const DATA: u8 = b'd';
pub(super) const OWN: u8 = b'o';
pub(super) const POSTED: u8 = b'p';
pub(super) const PING: u8 = b'?';
pub(super) const PONG: u8 = b'!';

/// A frame on the wire: its length in two bytes, its kind, its number, and bytes that follow from the number.
pub(super) fn frame(kind: u8, number: u32, fill: usize) -> Bytes {
    let mut payload = vec![kind];
    payload.extend_from_slice(&number.to_be_bytes());
    payload.extend((0..fill).map(|place| filling(number, place)));
    wrap(&payload)
}

pub(super) fn wrap(payload: &[u8]) -> Bytes {
    [&(payload.len() as u16).to_be_bytes(), payload].concat().into()
}

const fn filling(number: u32, place: usize) -> u8 {
    (number as u8).wrapping_mul(31).wrapping_add(place as u8)
}

/// The kind and number of a frame without its length, if it is whole.
pub(super) fn unwrap(payload: &[u8]) -> Option<(u8, u32)> {
    let (kind, rest) = payload.split_first()?;
    let (number, fill) = rest.split_first_chunk::<4>()?;
    let number = u32::from_be_bytes(*number);
    let intact = fill
        .iter()
        .enumerate()
        .all(|(place, byte)| *byte == filling(number, place));
    intact.then_some((*kind, number))
}

/// Some sizes are much more interesting than others.
pub(super) fn some_size(random: &mut Random) -> usize {
    match random.below(20) {
        0 => random.between(2000, FRAME_BYTES_MAX - 7),
        1..=3 => random.between(200, 600),
        _ => random.below(40),
    }
}

/// What a peer does about its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Habit {
    /// Reads fast.
    Quick,
    /// Reads a little now and then.
    Slow,
    /// Does not read before all is calm.
    Stuck,
    /// Has room, but takes a few bytes at a time.
    Trickling,
}

/// What a stretch of the stream is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    Frame,
    /// A heartbeat or a header.
    Other,
}

/// One socket, seen from the other side.
pub(super) struct Peer {
    pub(super) habit: Habit,
    /// The trusted proxy begins with a header; `Some(false)` with one that is broken.
    pub(super) header: Option<bool>,
    /// The source that the header names.
    pub(super) proxied: bool,
    /// Under way, not received by the system yet.
    pub(super) to_send: VecDeque<u8>,
    /// Where in the stream each frame ends.
    ends: VecDeque<(u64, Part)>,
    /// Where the last part ends that the system has received wholly.
    boundary: u64,
    fed: u64,
    written: u64,
    pub(super) sent: u32,
    /// Frames that the system has received wholly.
    pub(super) whole: u32,
    /// Received by the system, not read by the reactor.
    pub(super) incoming: VecDeque<u8>,
    pub(super) ended: bool,
    pub(super) reset: bool,
    /// What the peer got that is not a whole frame yet.
    pub(super) partial: Vec<u8>,
    /// It sent something that is not a frame.
    pub(super) broken: bool,
    /// Bytes the system takes from the reactor.
    pub(super) room: usize,
    pub(super) blocked: bool,
    pub(super) unconnected: bool,
    pub(super) token: Option<u64>,
    pub(super) stream: Weak<()>,
    pub(super) taken: bool,
    pub(super) shut_down: Option<Instant>,
    pub(super) readable_event: bool,
    pub(super) writable_event: bool,
    pub(super) end_announced: bool,
    pub(super) read_at: Option<Instant>,
    pub(super) written_at: Option<Instant>,
    pub(super) reads_in_turn: usize,
    pub(super) writes_in_turn: usize,
    /// The connection in the checks that it belongs to.
    pub(super) serial: Option<usize>,
}

impl Peer {
    pub(super) fn new(random: &mut Random) -> Self {
        let habit = random.pick(&[
            Habit::Quick,
            Habit::Quick,
            Habit::Slow,
            Habit::Stuck,
            Habit::Trickling,
        ]);
        let room = match habit {
            Habit::Quick | Habit::Trickling => 1 << 20,
            Habit::Slow => random.below(200),
            Habit::Stuck => random.below(2000),
        };
        Self {
            habit,
            header: None,
            proxied: false,
            to_send: VecDeque::new(),
            ends: VecDeque::new(),
            boundary: 0,
            fed: 0,
            written: 0,
            sent: 0,
            whole: 0,
            incoming: VecDeque::new(),
            ended: false,
            reset: false,
            partial: Vec::new(),
            broken: false,
            room,
            blocked: false,
            unconnected: false,
            token: None,
            stream: Weak::new(),
            taken: false,
            shut_down: None,
            readable_event: false,
            writable_event: false,
            end_announced: false,
            read_at: None,
            written_at: None,
            reads_in_turn: 0,
            writes_in_turn: 0,
            serial: None,
        }
    }

    /// The reactor holds its end.
    pub(super) fn is_held(&self) -> bool {
        self.stream.strong_count() > 0
    }

    /// Sends something that is not a frame of the application.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.send(bytes, Part::Other);
    }

    fn send(&mut self, bytes: &[u8], part: Part) {
        self.to_send.extend(bytes);
        self.written += bytes.len() as u64;
        self.ends.push_back((self.written, part));
    }

    pub(super) fn say_frame(&mut self, fill: usize) {
        let bytes = frame(DATA, self.sent, fill);
        self.sent += 1;
        self.send(&bytes, Part::Frame);
    }

    /// So many bytes reach the system.
    pub(super) fn feed(&mut self, bytes: usize) {
        let bytes = bytes.min(self.to_send.len());
        if bytes == 0 || self.ended || self.reset || self.unconnected {
            return;
        }
        self.incoming.extend(self.to_send.drain(..bytes));
        self.fed += bytes as u64;
        while let Some((end, part)) = self.ends.front().copied()
            && end <= self.fed
        {
            self.ends.pop_front();
            self.boundary = end;
            self.whole += u32::from(part == Part::Frame);
        }
        self.readable_event = true;
    }

    pub(super) fn end(&mut self) {
        if !self.ended && !self.unconnected {
            self.ended = true;
            self.readable_event = true;
        }
    }

    pub(super) fn abort(&mut self) {
        self.reset = true;
        self.incoming.clear();
        self.readable_event = true;
        self.writable_event = true;
    }

    pub(super) fn make_room(&mut self, bytes: usize) {
        self.room += bytes;
        if self.blocked && bytes > 0 {
            self.blocked = false;
            self.writable_event = true;
        }
    }

    /// What the system received ends with a whole frame.
    pub(super) const fn is_between_frames(&self) -> bool {
        self.fed == self.boundary
    }
}
