//! Who sends what to whom and when, and what became of it: the state behind every load that sends messages.
//!
//! Time and events come in; what to send comes out. It must never touch a socket or a clock.

mod stream;

use std::collections::VecDeque;

use self::stream::Stream;
use crate::{
    BenchError,
    check::{Checker, Findings},
    dialect::Target,
    outcome::{Latency, Outcome},
    pace::Pace,
    stamp::{SENDERS_MAX, STAMP_BYTES, Stamp},
};

/// How messages are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bodies {
    /// Tells this load's messages from any other's.
    pub(crate) run: u64,
    /// Bytes of a body.
    pub(crate) size: usize,
}

/// How many are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Amount {
    /// Closed loop: as many as keep this many of each sender outstanding.
    Window(u64),
    /// Open loop: so many a second over all senders, whatever becomes of them.
    Rate(f64),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Traffic {
    bodies: Bodies,
    streams: Vec<Stream>,
    /// The stream that a connection sends.
    stream_of: Vec<Option<usize>>,
    receivers: Vec<Receiver>,
    window: u64,
    pace: Option<Pace>,
    /// Streams that may have something to send.
    due: VecDeque<usize>,
    /// Counters to be sent again, with the times they were meant for.
    again: VecDeque<(usize, u64, u64)>,
    body: Vec<u8>,
    measured: (u64, u64),
    totals: Totals,
    findings: Findings,
    /// What no sender of this load sent.
    foreign: u64,
    /// What was meant for somebody else.
    strayed: u64,
    acks: Latency,
    deliveries: Latency,
    slow_deliveries: Latency,
}

/// Counts over all streams.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    planned: u64,
    sent: u64,
    acked: u64,
    /// Deliveries that there must be.
    expected: u64,
    /// Of the messages meant to be sent in the measured time.
    sent_measured: u64,
    acked_measured: u64,
    delivered_measured: u64,
    /// What came about in the measured time.
    acked_within: u64,
    delivered_within: u64,
}

/// What a connection receives: streams `first` and those behind it.
#[derive(Debug, Default)]
struct Receiver {
    first: usize,
    checkers: Vec<Checker>,
    is_slow: bool,
}

/// One message to send.
#[derive(Debug)]
pub(crate) struct Sending<'a> {
    pub(crate) connection: usize,
    pub(crate) target: &'a Target,
    pub(crate) id: u64,
    pub(crate) body: &'a [u8],
}

impl Traffic {
    /// Nobody sends anything yet.
    ///
    /// # Errors
    /// The bodies are too short to be checked.
    pub(crate) fn new(bodies: Bodies) -> Result<Self, BenchError> {
        if bodies.size < STAMP_BYTES {
            return Err(BenchError::Other(format!(
                "--size must be at least {STAMP_BYTES}: what a message is checked by"
            )));
        }
        Ok(Self {
            bodies,
            streams: Vec::new(),
            stream_of: Vec::new(),
            receivers: Vec::new(),
            window: 0,
            pace: None,
            due: VecDeque::new(),
            again: VecDeque::new(),
            body: Vec::new(),
            measured: (u64::MAX, u64::MAX),
            totals: Totals::default(),
            findings: Findings::default(),
            foreign: 0,
            strayed: 0,
            acks: Latency::new()?,
            deliveries: Latency::new()?,
            slow_deliveries: Latency::new()?,
        })
    }

    /// A connection that sends to `target`, which `receivers` others get, `awaited` of them at full speed.
    /// Returns the number of its stream; they count from 0.
    ///
    /// # Errors
    /// There are too many.
    pub(crate) fn add_sender(
        &mut self,
        connection: usize,
        target: Target,
        receivers: usize,
        awaited: usize,
    ) -> Result<usize, BenchError> {
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        if self.streams.len() >= SENDERS_MAX {
            return Err(BenchError::Other("too many senders".to_owned()));
        }
        if self.stream_of.len() <= connection {
            self.stream_of.resize(connection + 1, None);
        }
        let number = self.streams.len();
        self.stream_of[connection] = Some(number);
        self.streams
            .push(Stream::new(connection, target, count(receivers), count(awaited)));
        Ok(number)
    }

    /// A connection that gets `count` streams from `first` on, its own aside.
    pub(crate) fn add_receiver(&mut self, connection: usize, first: usize, count: usize, is_slow: bool) {
        if self.receivers.len() <= connection {
            self.receivers.resize_with(connection + 1, Receiver::default);
        }
        let mut checkers = Vec::new();
        checkers.resize_with(count, Checker::default);
        self.receivers[connection] = Receiver {
            first,
            checkers,
            is_slow,
        };
    }

    /// Messages are sent from now on.
    pub(crate) fn start(&mut self, now_ns: u64, amount: Amount) {
        match amount {
            Amount::Window(window) => {
                self.window = window.max(1);
                for stream in 0..self.streams.len() {
                    self.plan(stream, u64::MAX);
                }
            }
            Amount::Rate(per_second) => {
                self.window = u64::MAX;
                self.pace = Some(Pace::new(now_ns, per_second, self.streams.len()));
            }
        }
    }

    /// Every sender sends `count` messages more, at most `window` outstanding.
    pub(crate) fn add_round(&mut self, count: u64, window: u64) {
        self.window = window.max(1);
        self.pace = None;
        for stream in 0..self.streams.len() {
            let planned = self.streams.get(stream).map_or(0, |stream| stream.planned);
            self.plan(stream, planned.saturating_add(count));
        }
    }

    /// Messages whose intended time is in here are measured.
    pub(crate) const fn measure(&mut self, from_ns: u64, to_ns: u64) {
        self.measured = (from_ns, to_ns);
    }

    /// Nothing new is planned any more. What an open loop should have sent by now is still sent.
    pub(crate) fn stop(&mut self, now_ns: u64) {
        self.plan_until(now_ns);
        if self.pace.is_none() {
            for stream in &mut self.streams {
                stream.planned = stream.sent;
            }
            self.totals.planned = self.totals.sent;
        }
    }

    /// Plans what is due, and says when something will be.
    pub(crate) fn plan_until(&mut self, now_ns: u64) -> u64 {
        while let Some(stream) = self.pace.as_mut().and_then(|pace| pace.take_due(now_ns)) {
            let planned = self.streams.get(stream).map_or(0, |stream| stream.planned);
            self.plan(stream, planned + 1);
        }
        self.pace.map_or(u64::MAX, |pace| pace.next_ns())
    }

    fn plan(&mut self, stream: usize, planned: u64) {
        if let Some(found) = self.streams.get_mut(stream) {
            self.totals.planned = self
                .totals
                .planned
                .saturating_add(planned.saturating_sub(found.planned));
            found.planned = planned;
        }
        self.look_at(stream);
    }

    /// The next message to send now, if there is one. `in_flight_max` is what a connection may have
    /// unacknowledged.
    pub(crate) fn next(
        &mut self,
        now_ns: u64,
        in_flight_max: impl Fn(usize) -> usize,
    ) -> Option<Sending<'_>> {
        let (stream, id, intended) = match self.again.pop_front() {
            Some(again) => again,
            None => self.next_new(now_ns, in_flight_max)?,
        };
        let stamp = Stamp {
            run: self.bodies.run,
            sender: u32::try_from(stream).unwrap_or(u32::MAX),
            counter: id,
            intended_ns: intended,
        };
        stamp.write(self.bodies.size, &mut self.body);
        let stream = self.streams.get(stream)?;
        Some(Sending {
            connection: stream.connection,
            target: &stream.target,
            id,
            body: &self.body,
        })
    }

    fn next_new(&mut self, now_ns: u64, in_flight_max: impl Fn(usize) -> usize) -> Option<(usize, u64, u64)> {
        while let Some(index) = self.due.front().copied() {
            let stream = self.streams.get_mut(index)?;
            let may_send = stream.is_online
                && stream.sent < stream.planned
                && stream.outstanding() < self.window
                && stream.unacked < in_flight_max(stream.connection);
            if !may_send {
                stream.is_due = false;
                self.due.pop_front();
                continue;
            }
            let intended = match &self.pace {
                Some(pace) => pace.intended_ns(index, stream.sent),
                None => now_ns,
            };
            let id = stream.send(intended);
            self.totals.sent += 1;
            self.totals.expected += u64::from(stream.receivers);
            if is_within(self.measured, intended) {
                self.totals.sent_measured += 1;
            }
            return Some((index, id, intended));
        }
        None
    }

    /// A message is acknowledged.
    pub(crate) fn acked(&mut self, connection: usize, id: u64, now_ns: u64) {
        let Some(index) = self.stream_of.get(connection).copied().flatten() else {
            return;
        };
        let Some(intended) = self.streams.get_mut(index).and_then(|stream| stream.ack(id)) else {
            return;
        };
        self.totals.acked += 1;
        self.totals.acked_within += u64::from(is_within(self.measured, now_ns));
        if is_within(self.measured, intended) {
            self.totals.acked_measured += 1;
            self.acks.record(now_ns.saturating_sub(intended));
        }
        self.look_at(index);
    }

    /// A body arrived.
    pub(crate) fn delivered(&mut self, connection: usize, body: &[u8], now_ns: u64) {
        // A sender hears itself too; that is not looked at.
        let own = self.stream_of.get(connection).copied().flatten();
        let Some(peek) = Stamp::peek(body) else {
            self.findings.corrupted += 1;
            return;
        };
        let index = peek.sender as usize;
        if own == Some(index) && peek.run == self.bodies.run {
            return;
        }
        let Some(stamp) = Stamp::read(body) else {
            self.findings.corrupted += 1;
            return;
        };
        if stamp.run != self.bodies.run {
            self.foreign += 1;
            return;
        }
        let Some(receiver) = self.receivers.get_mut(connection) else {
            self.strayed += 1;
            return;
        };
        let is_slow = receiver.is_slow;
        let checker = index
            .checked_sub(receiver.first)
            .and_then(|at| receiver.checkers.get_mut(at));
        let (Some(checker), Some(stream)) = (checker, self.streams.get_mut(index)) else {
            self.strayed += 1;
            return;
        };
        if stamp.counter >= stream.sent {
            // Never sent, however well it adds up.
            self.findings.corrupted += 1;
            return;
        }
        if !self.findings.count(checker.take(stamp.counter)) {
            return;
        }
        self.totals.delivered_within += u64::from(is_within(self.measured, now_ns));
        if is_within(self.measured, stamp.intended_ns) {
            self.totals.delivered_measured += 1;
            let latency = now_ns.saturating_sub(stamp.intended_ns);
            if is_slow {
                self.slow_deliveries.record(latency);
            } else {
                self.deliveries.record(latency);
            }
        }
        if !is_slow {
            stream.complete(stamp.counter);
            self.look_at(index);
        }
    }

    /// A connection is down: nothing is sent on it.
    pub(crate) fn disconnected(&mut self, connection: usize) {
        if let Some(index) = self.stream_of.get(connection).copied().flatten()
            && let Some(stream) = self.streams.get_mut(index)
        {
            stream.is_online = false;
            self.again.retain(|(again, _, _)| *again != index);
        }
    }

    /// It is up again: what was not acknowledged is sent again, before anything new.
    pub(crate) fn reconnected(&mut self, connection: usize) {
        if let Some(index) = self.stream_of.get(connection).copied().flatten()
            && let Some(stream) = self.streams.get_mut(index).filter(|stream| !stream.is_online)
        {
            stream.is_online = true;
            let again = stream
                .unacknowledged()
                .map(|(counter, intended)| (index, counter, intended));
            self.again.extend(again);
            self.look_at(index);
        }
    }

    fn look_at(&mut self, stream: usize) {
        if let Some(found) = self.streams.get_mut(stream).filter(|stream| !stream.is_due) {
            found.is_due = true;
            self.due.push_back(stream);
        }
    }

    /// Everything that was planned is sent, acknowledged and delivered to everyone.
    pub(crate) const fn is_complete(&self) -> bool {
        self.are_acked() && self.findings.delivered >= self.totals.expected
    }

    /// Everything that was planned is sent and acknowledged.
    pub(crate) const fn are_acked(&self) -> bool {
        let Totals {
            planned, sent, acked, ..
        } = self.totals;
        planned == sent && sent == acked
    }

    /// Acknowledged and delivered so far: while it moves, the server works.
    pub(crate) const fn progress(&self) -> (u64, u64) {
        (self.totals.acked, self.findings.delivered)
    }

    /// What was found, over `seconds` of measured time.
    pub(crate) fn into_outcome(self, seconds: f64) -> Outcome {
        let totals = self.totals;
        let mut outcome = Outcome::default();
        outcome.set_maximum("seconds", seconds);
        for (name, count) in [
            ("sent", totals.sent_measured),
            ("acked", totals.acked_measured),
            ("delivered", totals.delivered_measured),
            ("lost", totals.expected.saturating_sub(self.findings.delivered)),
            ("duplicated", self.findings.duplicated),
            ("misordered", self.findings.misordered),
            ("corrupted", self.findings.corrupted + self.strayed),
            ("foreign", self.foreign),
            ("unsent", totals.planned.saturating_sub(totals.sent)),
            ("unacked", totals.sent.saturating_sub(totals.acked)),
            ("acked_within", totals.acked_within),
            ("delivered_within", totals.delivered_within),
            ("sent_in_all", totals.sent),
        ] {
            outcome.add(name, count);
        }
        outcome.add_latency("ack", self.acks);
        outcome.add_latency("deliver", self.deliveries);
        if self.receivers.iter().any(|receiver| receiver.is_slow) {
            outcome.add_latency("slow_deliver", self.slow_deliveries);
        }
        outcome
    }
}

const fn is_within(window: (u64, u64), at_ns: u64) -> bool {
    window.0 <= at_ns && at_ns < window.1
}

#[cfg(test)]
mod tests;
