//! Offline messages fetched: clients that were away come back and catch up.

use std::sync::Arc;

use clap::Args;

use super::messages::{Clockwork, Room, Sender, add_usage};
use crate::{
    BenchError,
    dialect::{Event, Follow, Role, Target},
    driver::{Driver, Handler},
    load::Load,
    outcome::{Latency, Outcome},
    report::Report,
    traffic::Traffic,
};

/// How long nobody may make any progress.
const STALL_NS: u64 = 30_000_000_000;
const TICK_NS: u64 = 100_000_000;

/// What `sync` does.
#[derive(Clone, Debug, Args)]
pub(crate) struct Sync {
    /// Clients that come back; each takes two accounts, because somebody has to write to it.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) clients: usize,
    /// Messages that wait for each of them.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) messages: u64,
    /// Clients that catch up at the same time.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) at_once: usize,
    /// Bytes of a message's body; at least 32.
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    pub(crate) size: usize,
    /// Messages of one sender that are not yet acknowledged while they are stored.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(crate) window: u64,
}

/// Who has come back, and when.
struct Returning {
    room: Room,
    /// When each client began to connect; 0 while it is away.
    began_ns: Vec<u64>,
    back: usize,
    /// Those who have just caught up.
    done: Vec<usize>,
    latency: Latency,
    last_ns: u64,
}

impl Handler for Returning {
    fn event(&mut self, now_ns: u64, connection: usize, event: Event<'_>) -> Result<(), BenchError> {
        if let (Event::Ready, Some(began)) = (&event, self.began_ns.get_mut(connection))
            && *began > 0
        {
            self.latency.record(now_ns - std::mem::take(began));
            self.back += 1;
            self.done.push(connection);
        }
        self.last_ns = now_ns;
        self.room.event(now_ns, connection, event)
    }
}

impl Sender for Returning {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.room.traffic
    }
}

pub(super) fn run(sync: &Sync, load: &mut Load<'_>) -> Result<Outcome, BenchError> {
    let mut driver = load.driver()?;
    let mut traffic = Traffic::new(load.run.bodies(sync.size))?;
    let (mut receivers, mut accounts) = (Vec::new(), load.accounts.iter());
    while let (Some(receiver), Some(sender)) = (accounts.next(), accounts.next()) {
        let connection = driver.add(load.device(receiver, Follow::Everything, Role::Receives)?, None);
        receivers.push(connection);
        let sending = driver.add(load.device(sender, Follow::Everything, Role::Receives)?, None);
        let target = Target::User(Arc::new(receiver.clone()));
        let stream = traffic.add_sender(sending, target, 1, 0)?;
        traffic.add_receiver(connection, stream, 1, false);
    }
    let mut everyone = Returning {
        room: Room {
            traffic,
            broken: None,
        },
        began_ns: vec![0; driver.len()],
        back: 0,
        done: Vec::new(),
        latency: Latency::new()?,
        last_ns: 0,
    };
    driver.open_all(0..driver.len(), &mut everyone)?;
    for receiver in &receivers {
        driver.close(*receiver);
    }
    let mut clockwork = Clockwork::new(driver.now_ns(), driver.len());
    everyone.traffic().measure(0, u64::MAX);
    everyone.traffic().add_round(sync.messages, sync.window);
    clockwork.settle(&mut driver, &mut everyone, load.watch, |everyone| {
        everyone.room.traffic.are_acked()
    })?;
    if !everyone.traffic().are_acked() {
        return Err(BenchError::Other(
            "the messages that were to wait were not stored".to_owned(),
        ));
    }
    for connection in 0..driver.len() {
        driver.close(connection);
    }
    load.watch.ready()?;
    load.watch.measuring();
    let began = driver.now_ns();
    come_back(sync, &receivers, &mut driver, &mut everyone, load)?;
    let seconds = (driver.now_ns() - began) as f64 / 1e9;
    load.watch.measured();
    let latency = everyone.latency;
    let mut outcome = everyone.room.traffic.into_outcome(seconds);
    outcome.add("clients", receivers.len() as u64);
    outcome.add_latency("sync", latency);
    Ok(outcome)
}

fn come_back(
    sync: &Sync,
    receivers: &[usize],
    driver: &mut Driver,
    everyone: &mut Returning,
    load: &mut Load<'_>,
) -> Result<(), BenchError> {
    let (mut waiting, mut opened) = (receivers.iter().copied(), 0);
    everyone.last_ns = driver.now_ns();
    while everyone.back < receivers.len() {
        let now = driver.now_ns();
        if now.saturating_sub(everyone.last_ns) > STALL_NS {
            return Err(BenchError::Other(format!(
                "{} clients do not catch up",
                receivers.len() - everyone.back
            )));
        }
        while opened - everyone.back < sync.at_once.max(1)
            && let Some(receiver) = waiting.next()
        {
            if let Some(began) = everyone.began_ns.get_mut(receiver) {
                *began = now.max(1);
            }
            driver.open(receiver)?;
            opened += 1;
        }
        let (acked, delivered) = everyone.traffic().progress();
        load.watch.progress(acked, delivered);
        driver.turn(now + TICK_NS, everyone)?;
        // Nobody has to be kept alive who has what there was.
        while let Some(done) = everyone.done.pop() {
            driver.close(done);
        }
    }
    Ok(())
}

pub(super) fn report(outcome: &Outcome) -> Report {
    let mut report = Report::default();
    let seconds = outcome.maximum("seconds").max(1e-9);
    report.add_counts(outcome, ["clients", "sent", "acked", "delivered"]);
    report.add_checks(outcome);
    report.add_float("seconds", seconds);
    let delivered = outcome.count("delivered");
    report.add("delivered_per_s", (delivered as f64 / seconds).round());
    report.add_latency("sync", "caught up after", outcome.latency("sync"));
    add_usage(&mut report, outcome, "delivered", delivered);
    report
}
