//! Connections that are logged in and only send heartbeats: what one costs.

use clap::Args;

use super::messages::nanoseconds;
use crate::{
    BenchError,
    dialect::{Event, Follow},
    driver::Handler,
    load::Load,
    outcome::{Latency, Outcome},
    pace::Pace,
    report::Report,
};

/// How long the last pongs may take.
const PONGS_NS: u64 = 30_000_000_000;

/// What `idle` does.
#[derive(Clone, Debug, Args)]
pub(crate) struct Idle {
    /// How many connections.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) connections: usize,
    /// How long they stay.
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// Seconds between two heartbeats of one connection.
    #[arg(long, value_name = "S", default_value_t = 15.0)]
    pub(crate) heartbeat: f64,
    /// Each also follows its conversations, as a client that shows messages does.
    #[arg(long)]
    pub(crate) follow: bool,
}

/// Who waits for pongs.
struct Waiting {
    /// When each connection was pinged; 0 where no pong is due.
    pinged_ns: Vec<u64>,
    pings: u64,
    pongs: u64,
    latency: Latency,
}

impl Handler for Waiting {
    fn event(&mut self, now_ns: u64, connection: usize, event: Event<'_>) -> Result<(), BenchError> {
        match event {
            Event::Pong => {
                self.pongs += 1;
                if let Some(pinged) = self.pinged_ns.get_mut(connection) {
                    self.latency.record(now_ns.saturating_sub(std::mem::take(pinged)));
                }
            }
            Event::Refused { reason, .. } | Event::GoAway { reason, .. } => {
                return Err(BenchError::Other(format!("refused: {reason}")));
            }
            Event::Ready | Event::Acked(_) | Event::Delivered(_) => {}
        }
        Ok(())
    }
}

pub(super) fn run(idle: &Idle, load: &mut Load<'_>) -> Result<Outcome, BenchError> {
    let mut driver = load.driver_of_all(Follow::if_asked(idle.follow))?;
    let count = driver.len();
    let mut waiting = Waiting {
        pinged_ns: vec![0; count],
        pings: 0,
        pongs: 0,
        latency: Latency::new()?,
    };
    let began = driver.now_ns();
    driver.open_all(0..count, &mut waiting)?;
    let connected_ns = driver.now_ns() - began;
    load.watch.ready()?;
    load.watch.measuring();
    let start = driver.now_ns();
    let end = start + nanoseconds(idle.seconds);
    let mut pace = Pace::new(start, count as f64 / idle.heartbeat.max(0.001), count);
    loop {
        let now = driver.now_ns();
        if now >= end {
            break;
        }
        while let Some(connection) = pace.take_due(now) {
            if driver.ping(connection) {
                waiting.pings += 1;
                if let Some(pinged) = waiting.pinged_ns.get_mut(connection) {
                    *pinged = now;
                }
            }
        }
        driver.turn(pace.next_ns().min(end), &mut waiting)?;
    }
    while waiting.pongs < waiting.pings && driver.now_ns() < end + PONGS_NS {
        driver.turn(driver.now_ns() + 100_000_000, &mut waiting)?;
    }
    load.watch.measured();
    let mut outcome = Outcome::default();
    outcome.add("connections", count as u64);
    outcome.add("pings", waiting.pings);
    outcome.add("pongs", waiting.pongs);
    outcome.add("lost", waiting.pings.saturating_sub(waiting.pongs));
    outcome.set_maximum("connect_seconds", connected_ns as f64 / 1e9);
    outcome.set_maximum("seconds", idle.seconds);
    outcome.add_latency("pong", waiting.latency);
    Ok(outcome)
}

pub(super) fn report(outcome: &Outcome) -> Report {
    let mut report = Report::default();
    let connections = outcome.count("connections");
    report.add_counts(outcome, ["connections", "pings", "pongs"]);
    report.add_violations("lost", outcome.count("lost"));
    report.add_float("connect_seconds", outcome.maximum("connect_seconds"));
    report.add_float("seconds", outcome.maximum("seconds"));
    report.add_latency("pong", "pong after", outcome.latency("pong"));
    let bytes = outcome.count("server_bytes");
    if bytes > 0 {
        let grown = bytes.saturating_sub(outcome.count("server_bytes_before"));
        report.add("server_bytes_per_connection", grown / connections.max(1));
    }
    super::messages::add_usage(&mut report, outcome, "ping", outcome.count("pings"));
    report
}
