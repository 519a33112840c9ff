//! What the event loops do: traffic, turns, lag. netcore reports it, once a turn.

use std::time::Duration;

use netcore::{Initiator, LoopId, Observer, Refused, Turn};

use super::{
    Metrics,
    cell::{Distribution, Histogram, TIMES, Tally},
    exposition::Shown,
    table,
};

/// The reasons for which a connection is refused before it is opened.
const REFUSED: [(Refused, &str); 8] = [
    (Refused::Application, "application"),
    (Refused::Connections, "connections"),
    (Refused::Descriptors, "descriptors"),
    (Refused::Draining, "draining"),
    (Refused::LoopBusy, "loop_busy"),
    (Refused::OtherUser, "other_user"),
    (Refused::PerSource, "per_source"),
    (Refused::PerSourceRate, "per_source_rate"),
];

/// The traffic and the turns of one loop.
#[derive(Debug)]
pub(crate) struct Turns {
    received_bytes: Tally,
    sent_bytes: Tally,
    received_frames: Tally,
    sent_frames: Tally,
    reads: Tally,
    writes: Tally,
    undecoded_bytes: Tally,
    queued_bytes: Tally,
    turns: Tally,
    work_us: Tally,
    work: Histogram,
    lag: Histogram,
    messages: Tally,
    /// By the place in [`REFUSED`]; what has none is not counted.
    refused: [Tally; REFUSED.len()],
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            received_bytes: Tally::default(),
            sent_bytes: Tally::default(),
            received_frames: Tally::default(),
            sent_frames: Tally::default(),
            reads: Tally::default(),
            writes: Tally::default(),
            undecoded_bytes: Tally::default(),
            queued_bytes: Tally::default(),
            turns: Tally::default(),
            work_us: Tally::default(),
            work: Histogram::new(&TIMES),
            lag: Histogram::new(&TIMES),
            messages: Tally::default(),
            refused: Default::default(),
        }
    }
}

impl Turns {
    fn ended(&self, turn: &Turn) {
        self.received_bytes.add(turn.read_bytes);
        self.sent_bytes.add(turn.written_bytes);
        self.received_frames.add(turn.frames);
        self.sent_frames.add(turn.sent_frames);
        self.reads.add(turn.reads);
        self.writes.add(turn.writes);
        self.undecoded_bytes.set(turn.undecoded_bytes as u64);
        self.queued_bytes.set(turn.queued_bytes as u64);
        self.turns.add(1);
        self.messages.add(turn.messages);
        self.work_us
            .add(u64::try_from(turn.work.as_micros()).unwrap_or_default());
        self.work.record_time(turn.work);
        // Most turns had nothing to do at a certain time.
        if turn.lag > Duration::ZERO {
            self.lag.record_time(turn.lag);
        }
    }
}

impl Observer for Metrics {
    fn turn(&self, loop_id: LoopId, turn: &Turn) {
        self.of_loop(loop_id.index()).turns.ended(turn);
    }

    fn opened(&self, _: LoopId) {
        // The handler counts these, with the door.
    }

    fn closed(&self, _: LoopId, _: Initiator, _: &'static str) {
        // Likewise.
    }

    fn refused(&self, loop_id: LoopId, why: Refused) {
        let place = REFUSED.iter().position(|(other, _)| *other == why);
        if let Some(count) = place.and_then(|place| self.of_loop(loop_id.index()).turns.refused.get(place)) {
            count.add(1);
        }
    }
}

/// Shows the reasons of refusals of all loops together.
pub(super) fn show_refused<'a>(shown: &mut Shown, loops: impl Iterator<Item = &'a Turns> + Clone) {
    let counts = REFUSED.iter().enumerate().map(|(place, (_, name))| {
        let of_loop = |turns: &Turns| turns.refused.get(place).map_or(0, Tally::get);
        let count: u64 = loops.clone().map(of_loop).sum();
        (vec![(*name).to_owned()], count as f64)
    });
    shown.numbers(&table::CONNECTIONS_REFUSED, counts);
}

/// Shows the traffic and the turns of all loops together.
pub(super) fn show<'a>(shown: &mut Shown, loops: impl Iterator<Item = &'a Turns> + Clone) {
    let sum = |of: fn(&Turns) -> &Tally| -> u64 { loops.clone().map(|turns| of(turns).get()).sum() };
    shown.count(&table::RECEIVED_BYTES, sum(|turns| &turns.received_bytes));
    shown.count(&table::SENT_BYTES, sum(|turns| &turns.sent_bytes));
    shown.count(&table::RECEIVED_FRAMES, sum(|turns| &turns.received_frames));
    shown.count(&table::SENT_FRAMES, sum(|turns| &turns.sent_frames));
    shown.count(&table::SOCKET_READS, sum(|turns| &turns.reads));
    shown.count(&table::SOCKET_WRITES, sum(|turns| &turns.writes));
    shown.count(&table::UNDECODED_BYTES, sum(|turns| &turns.undecoded_bytes));
    shown.count(&table::QUEUED_BYTES, sum(|turns| &turns.queued_bytes));
    shown.count(&table::LOOP_TURNS, sum(|turns| &turns.turns));
    shown.number(&table::LOOP_WORK, sum(|turns| &turns.work_us) as f64 / 1e6);
    shown.histogram(
        &table::LOOP_TURN,
        Distribution::of(loops.clone().map(|turns| &turns.work)),
    );
    shown.histogram(
        &table::LOOP_LAG,
        Distribution::of(loops.clone().map(|turns| &turns.lag)),
    );
    shown.count(&table::LOOP_MESSAGES, sum(|turns| &turns.messages));
}
