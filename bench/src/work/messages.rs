//! The loop behind `chat`, `group` and `fanout`: everyone logs in, messages flow for a while, and then what is
//! outstanding is waited for.

use std::time::Duration;

use clap::Args;

use crate::{
    BenchError,
    dialect::{Event, Follow, Role, Target},
    driver::{Driver, Handler},
    load::Load,
    outcome::Outcome,
    pace::Pace,
    report::Report,
    traffic::{Amount, Traffic},
    watch::Watch,
};

/// How often a connection is pinged, so that the server knows it is alive.
const HEARTBEAT_SECONDS: f64 = 10.0;
/// How often the one who looks on is told something.
const PROGRESS_NS: u64 = 1_000_000_000;
/// What is outstanding at the end is waited for while it comes, and this long when nothing does.
const STALL_NS: u64 = 20_000_000_000;
/// And this long in all.
const SETTLE_NS: u64 = 300_000_000_000;

/// How messages are sent and measured.
#[derive(Clone, Debug, Args)]
pub(crate) struct Sending {
    /// Bytes of a message's body; at least 32.
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    pub(crate) size: usize,
    /// How long to measure.
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// How long to load before that.
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    pub(crate) warm_up: f64,
    /// Closed loop: messages of one sender that are not yet both acknowledged and delivered. Of those, a
    /// connection has no more unacknowledged than the server works on at a time, less ten (22 by default).
    #[arg(long, value_name = "N", conflicts_with = "rate", default_value_t = 1)]
    pub(crate) window: u64,
    /// Open loop instead: messages a second over all senders. Each is measured from the time it was meant to
    /// be sent, so a server that stalls is not spared.
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<f64>,
    /// So many of a hundred receivers read slowly. They are not waited for until the end; then they must have
    /// everything too.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    pub(crate) slow: f64,
    /// How slowly.
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    pub(crate) slow_bytes_per_second: u64,
}

impl Sending {
    /// Whether receiver `number` is one of the slow ones, which are spread evenly.
    fn is_slow(&self, number: usize) -> bool {
        let before = |number: usize| (number as f64 * self.slow.clamp(0.0, 100.0) / 100.0).floor();
        before(number + 1) > before(number)
    }
}

/// Everyone who takes part.
pub(super) struct Party {
    driver: Driver,
    traffic: Traffic,
    receivers: usize,
    sending: Sending,
}

impl Party {
    pub(super) fn new(load: &Load<'_>, sending: &Sending) -> Result<Self, BenchError> {
        Ok(Self {
            driver: load.driver()?,
            traffic: Traffic::new(load.run.bodies(sending.size))?,
            receivers: 0,
            sending: sending.clone(),
        })
    }

    /// Adds accounts `first` and on, `members` of them, who all get what the first `senders` of them send.
    /// `target` says whom a sender writes to.
    pub(super) fn add_group(
        &mut self,
        load: &Load<'_>,
        first: usize,
        members: usize,
        senders: usize,
        target: impl Fn(usize) -> Target,
    ) -> Result<(), BenchError> {
        let mut connections = Vec::with_capacity(members);
        let mut slow = vec![false; members];
        for (number, is_slow) in slow.iter_mut().enumerate() {
            // Who sends is never slow: it has to hear its acknowledgements.
            if number >= senders {
                *is_slow = self.sending.is_slow(self.receivers);
                self.receivers += 1;
            }
            let account = load
                .accounts
                .get(first + number)
                .ok_or_else(|| BenchError::Other("too few accounts".to_owned()))?;
            let slow_bytes = is_slow.then_some(self.sending.slow_bytes_per_second);
            let role = if number < senders {
                Role::Sends
            } else {
                Role::Receives
            };
            let device = load.device(account, Follow::Everything, role)?;
            connections.push(self.driver.add(device, slow_bytes));
        }
        let awaited = members - 1 - slow.iter().filter(|slow| **slow).count();
        let mut first_stream = None;
        for connection in connections.iter().take(senders) {
            let target = target(*connection);
            let stream = self
                .traffic
                .add_sender(*connection, target, members - 1, awaited)?;
            first_stream.get_or_insert(stream);
        }
        for (connection, is_slow) in connections.iter().zip(slow) {
            self.traffic
                .add_receiver(*connection, first_stream.unwrap_or(0), senders, is_slow);
        }
        Ok(())
    }

    /// Logs in, loads, and waits for what is outstanding.
    pub(super) fn run(self, load: &mut Load<'_>) -> Result<Outcome, BenchError> {
        let (sending, mut driver) = (self.sending, self.driver);
        let mut room = Room {
            traffic: self.traffic,
            broken: None,
        };
        let amount = match sending.rate {
            Some(rate) => Amount::Rate(rate),
            None => Amount::Window(sending.window),
        };
        driver.open_all(0..driver.len(), &mut room)?;
        load.watch.ready()?;
        let start = driver.now_ns();
        let from = start + nanoseconds(sending.warm_up);
        let to = from + nanoseconds(sending.seconds);
        room.traffic.measure(from, to);
        room.traffic.start(start, amount);
        let mut clockwork = Clockwork::new(start, driver.len());
        clockwork.drive(&mut driver, &mut room, load.watch, from, |_| false)?;
        load.watch.measuring();
        clockwork.drive(&mut driver, &mut room, load.watch, to, |_| false)?;
        load.watch.measured();
        room.traffic.stop(driver.now_ns());
        driver.lift_throttles();
        clockwork.settle(&mut driver, &mut room, load.watch, |room| {
            room.traffic.is_complete()
        })?;
        Ok(room.traffic.into_outcome(sending.seconds))
    }
}

/// Everyone's ears: what they hear goes to the traffic.
pub(super) struct Room {
    pub(super) traffic: Traffic,
    pub(super) broken: Option<String>,
}

impl Handler for Room {
    fn event(&mut self, now_ns: u64, connection: usize, event: Event<'_>) -> Result<(), BenchError> {
        match event {
            Event::Acked(id) => self.traffic.acked(connection, id, now_ns),
            Event::Delivered(body) => self.traffic.delivered(connection, body, now_ns),
            Event::Ready | Event::Pong => {}
            Event::Refused { id, reason, .. } => {
                let what = id.map_or_else(String::new, |id| format!("message {id} was "));
                return Err(BenchError::Other(format!("{what}refused: {reason}")));
            }
            // The connection ends after it, and that ends the run: this says why.
            Event::GoAway { reason, .. } => self.broken = Some(reason),
        }
        Ok(())
    }

    fn lost(&mut self, _: u64, _: usize, reason: &str) -> Result<(), BenchError> {
        let why = self.broken.take().unwrap_or_else(|| reason.to_owned());
        Err(BenchError::Other(format!("a connection was lost: {why}")))
    }
}

/// Anything whose messages [`Clockwork`] sends.
pub(super) trait Sender: Handler {
    fn traffic(&mut self) -> &mut Traffic;
}

impl Sender for Room {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }
}

/// What happens by the clock: messages, heartbeats, and telling how it goes.
pub(super) struct Clockwork {
    heartbeats: Pace,
    next_progress_ns: u64,
}

impl Clockwork {
    pub(super) fn new(now_ns: u64, connections: usize) -> Self {
        Self {
            heartbeats: Pace::new(now_ns, connections as f64 / HEARTBEAT_SECONDS, connections),
            next_progress_ns: now_ns,
        }
    }

    /// Lets messages flow until `until_ns` or until `done`.
    pub(super) fn drive<S: Sender>(
        &mut self,
        driver: &mut Driver,
        sender: &mut S,
        watch: &mut dyn Watch,
        until_ns: u64,
        done: impl Fn(&S) -> bool,
    ) -> Result<(), BenchError> {
        loop {
            let now = driver.now_ns();
            if now >= until_ns || done(sender) {
                return Ok(());
            }
            let next = self.tick(driver, sender, watch, now);
            driver.turn(next.min(until_ns), sender)?;
        }
    }

    /// Waits until `done`, as long as something still comes. What does not come is lost.
    pub(super) fn settle<S: Sender>(
        &mut self,
        driver: &mut Driver,
        sender: &mut S,
        watch: &mut dyn Watch,
        done: impl Fn(&S) -> bool,
    ) -> Result<(), BenchError> {
        let began = driver.now_ns();
        let (mut seen, mut since) = (sender.traffic().progress(), began);
        while !done(sender) {
            let now = driver.now_ns();
            let progress = sender.traffic().progress();
            if progress != seen {
                (seen, since) = (progress, now);
            }
            if now - since > STALL_NS || now - began > SETTLE_NS {
                return Ok(());
            }
            let next = self.tick(driver, sender, watch, now);
            driver.turn(next, sender)?;
        }
        Ok(())
    }

    /// Queues what is due and says when something will be.
    pub(super) fn tick<S: Sender>(
        &mut self,
        driver: &mut Driver,
        sender: &mut S,
        watch: &mut dyn Watch,
        now: u64,
    ) -> u64 {
        let traffic = sender.traffic();
        let mut next = traffic.plan_until(now);
        while let Some(message) = traffic.next(now, |connection| driver.in_flight_max(connection)) {
            driver.send(message.connection, message.target, message.id, message.body);
        }
        while let Some(connection) = self.heartbeats.take_due(now) {
            driver.ping(connection);
        }
        if now >= self.next_progress_ns {
            self.next_progress_ns = now + PROGRESS_NS;
            let (acked, delivered) = traffic.progress();
            watch.progress(acked, delivered);
        }
        next = next.min(self.heartbeats.next_ns());
        next.min(self.next_progress_ns)
    }
}

pub(super) fn nanoseconds(seconds: f64) -> u64 {
    let duration = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}

/// The figures that loads of messages have in common.
pub(super) fn report(outcome: &Outcome) -> Report {
    let mut report = Report::default();
    let seconds = outcome.maximum("seconds").max(1e-9);
    report.add_counts(outcome, ["sent", "acked", "delivered"]);
    report.add_checks(outcome);
    report.add_counts(outcome, ["unsent", "unacked", "foreign"]);
    report.add_float("seconds", seconds);
    for (name, count) in [
        ("acked_per_s", "acked_within"),
        ("delivered_per_s", "delivered_within"),
    ] {
        report.add(name, (outcome.count(count) as f64 / seconds).round());
    }
    report.add_latency("ack", "acknowledged after", outcome.latency("ack"));
    report.add_latency("deliver", "delivered after", outcome.latency("deliver"));
    report.add_latency(
        "slow_deliver",
        "delivered to slow readers after",
        outcome.latency("slow_deliver"),
    );
    add_usage(
        &mut report,
        outcome,
        "delivered",
        outcome.count("delivered_within"),
    );
    report
}

/// What was used, in all and for each of `count` things called `what`.
pub(super) fn add_usage(report: &mut Report, outcome: &Outcome, what: &str, count: u64) {
    for side in ["server", "load"] {
        let used = outcome.count(&format!("{side}_cpu_us"));
        if used == 0 && side == "server" && outcome.count("server_bytes") == 0 {
            continue;
        }
        report.add_float(&format!("{side}_cpu_seconds"), used as f64 / 1e6);
        report.add_float(
            &format!("{side}_cpu_us_per_{what}"),
            used as f64 / count.max(1) as f64,
        );
    }
    if outcome.count("server_bytes") > 0 {
        report.add_counts(
            outcome,
            ["server_bytes_before", "server_bytes_ready", "server_bytes"],
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_receivers_are_spread_evenly() {
        let sending = |slow| Sending {
            size: 128,
            seconds: 1.0,
            warm_up: 1.0,
            window: 1,
            rate: None,
            slow,
            slow_bytes_per_second: 1024,
        };
        let of = |slow| {
            (0..100)
                .filter(|number| sending(slow).is_slow(*number))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(10.0), [9, 19, 29, 39, 49, 59, 69, 79, 89, 99]);
        assert_eq!((of(0.0).len(), of(33.0).len(), of(100.0).len()), (0, 33, 100));
    }
}
