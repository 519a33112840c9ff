//! Everyone reconnects at once: the server goes away and comes back, and all clients with it.
//!
//! They behave as clients must: a random wait that grows, longer where the server asks for it, and a sync from
//! the token they have. Messages flow meanwhile, and what was not acknowledged is repeated.

use std::{cmp::Reverse, collections::BinaryHeap, process::Child, sync::Arc, time::Duration};

use clap::Args;

use super::messages::{Clockwork, Sender, nanoseconds};
use crate::{
    BenchError,
    dialect::{Event, Follow, Role, Target},
    driver::{Driver, Handler},
    load::Load,
    outcome::{Latency, Outcome},
    pace::{Backoff, Dice},
    report::Report,
    traffic::{Amount, Traffic},
};

const TICK_NS: u64 = 100_000_000;

/// What `storm` does.
#[derive(Clone, Debug, Args)]
pub(crate) struct Storm {
    /// How many clients.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) connections: usize,
    /// A shell command that restarts the server and ends when that is done. Without it somebody else has to,
    /// while this waits.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) restart_command: Option<String>,
    /// Messages a second over all clients, before and during the storm.
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    pub(crate) rate: f64,
    /// Bytes of a message's body; at least 32.
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    pub(crate) size: usize,
    /// Seconds from everyone being logged in until the restart.
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    pub(crate) before: f64,
    /// Seconds that the restart, and then the storm, may take.
    #[arg(long, value_name = "S", default_value_t = 120.0)]
    pub(crate) timeout: f64,
}

/// Everyone who comes back.
struct Crowd {
    traffic: Traffic,
    dice: Dice,
    clients: Vec<Client>,
    /// Who tries again, and when.
    retries: BinaryHeap<Reverse<(u64, usize)>>,
    /// Connections that are of no use any more.
    useless: Vec<usize>,
    is_storm: bool,
    /// When the first connection was lost, and when the first was made after that.
    down_ns: Option<u64>,
    up_ns: Option<u64>,
    online: usize,
    struck: usize,
    attempts: u64,
    refused: u64,
    refused_for_good: u64,
    since_loss: Latency,
    since_up: Latency,
    /// From the start of the attempt that succeeded: without the waits between attempts.
    attempt: Latency,
}

#[derive(Clone, Copy, Debug)]
struct Client {
    backoff: Backoff,
    /// The server asked not to come back before.
    not_before_ns: u64,
    /// When its last attempt began.
    opened_ns: u64,
    is_online: bool,
    /// Lost its connection in the storm.
    is_struck: bool,
    is_back: bool,
    /// The server does not want it any more.
    is_out: bool,
}

impl Crowd {
    fn schedule(&mut self, now_ns: u64, connection: usize) {
        let roll = self.dice.roll();
        if let Some(client) = self.clients.get_mut(connection).filter(|client| !client.is_out) {
            let wait = client.backoff.next_ns(roll);
            let at = now_ns.max(client.not_before_ns).saturating_add(wait);
            self.retries.push(Reverse((at, connection)));
        }
    }

    fn disconnected(&mut self, now_ns: u64, connection: usize) {
        self.traffic.disconnected(connection);
        if let Some(client) = self.clients.get_mut(connection) {
            self.online -= usize::from(std::mem::take(&mut client.is_online));
            if self.is_storm && !client.is_struck {
                client.is_struck = true;
                self.struck += 1;
                self.down_ns.get_or_insert(now_ns);
            }
        }
        self.schedule(now_ns, connection);
    }

    fn ready(&mut self, now_ns: u64, connection: usize) {
        self.traffic.reconnected(connection);
        let Some(client) = self.clients.get_mut(connection) else {
            return;
        };
        if !client.is_online {
            client.is_online = true;
            client.backoff = Backoff::new();
            self.online += 1;
        }
        if client.is_struck && !client.is_back {
            client.is_back = true;
            let since = |then: Option<u64>| now_ns.saturating_sub(then.unwrap_or(now_ns));
            self.since_loss.record(since(self.down_ns));
            self.since_up.record(since(self.up_ns));
            self.attempt.record(since(Some(client.opened_ns)));
        }
    }

    fn refused(&mut self, now_ns: u64, connection: usize, again_after: Option<Duration>) {
        let Some(client) = self.clients.get_mut(connection) else {
            return;
        };
        match again_after {
            Some(after) => {
                self.refused += 1;
                let after = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
                client.not_before_ns = now_ns.saturating_add(after);
            }
            None => {
                self.refused_for_good += u64::from(!client.is_out);
                client.is_out = true;
            }
        }
    }

    fn is_over(&self) -> bool {
        let out = usize::try_from(self.refused_for_good).unwrap_or(usize::MAX);
        self.struck == self.clients.len() && self.online + out >= self.clients.len()
    }
}

impl Handler for Crowd {
    fn event(&mut self, now_ns: u64, connection: usize, event: Event<'_>) -> Result<(), BenchError> {
        match event {
            Event::Ready => self.ready(now_ns, connection),
            Event::Acked(id) => self.traffic.acked(connection, id, now_ns),
            Event::Delivered(body) => self.traffic.delivered(connection, body, now_ns),
            Event::Pong => {}
            Event::Refused { retry_after, .. } => {
                self.refused(now_ns, connection, retry_after);
                // Whatever it was is repeated on a new connection.
                self.useless.push(connection);
            }
            Event::GoAway { retry_after, .. } => match retry_after {
                Some(after) => {
                    let after = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
                    if let Some(client) = self.clients.get_mut(connection) {
                        client.not_before_ns = now_ns.saturating_add(after);
                    }
                }
                None => self.refused(now_ns, connection, None),
            },
        }
        Ok(())
    }

    fn connected(&mut self, now_ns: u64, _: usize) {
        if self.down_ns.is_some() {
            self.up_ns.get_or_insert(now_ns);
        }
    }

    fn lost(&mut self, now_ns: u64, connection: usize, reason: &str) -> Result<(), BenchError> {
        if !self.is_storm {
            return Err(BenchError::Other(format!("a connection was lost: {reason}")));
        }
        self.disconnected(now_ns, connection);
        Ok(())
    }
}

impl Sender for Crowd {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }
}

pub(super) fn run(storm: &Storm, load: &mut Load<'_>) -> Result<Outcome, BenchError> {
    let mut driver = load.driver()?;
    let count = load.accounts.len();
    if count < 2 {
        return Err(BenchError::Other("a storm needs two clients at least".to_owned()));
    }
    let mut traffic = Traffic::new(load.run.bodies(storm.size))?;
    // Everyone writes to the next one.
    for account in &load.accounts {
        let connection = driver.add(load.device(account, Follow::Everything, Role::Receives)?, None);
        let next = load
            .accounts
            .get((connection + 1) % count)
            .cloned()
            .unwrap_or_default();
        let stream = traffic.add_sender(connection, Target::User(Arc::new(next)), 1, 1)?;
        traffic.add_receiver((connection + 1) % count, stream, 1, false);
    }
    let mut crowd = Crowd {
        traffic,
        dice: load.run.dice(),
        clients: vec![
            Client {
                backoff: Backoff::new(),
                not_before_ns: 0,
                opened_ns: 0,
                is_online: false,
                is_struck: false,
                is_back: false,
                is_out: false,
            };
            count
        ],
        retries: BinaryHeap::new(),
        useless: Vec::new(),
        is_storm: false,
        down_ns: None,
        up_ns: None,
        online: 0,
        struck: 0,
        attempts: 0,
        refused: 0,
        refused_for_good: 0,
        since_loss: Latency::new()?,
        since_up: Latency::new()?,
        attempt: Latency::new()?,
    };
    driver.open_all(0..count, &mut crowd)?;
    load.watch.ready()?;
    load.watch.measuring();
    let start = driver.now_ns();
    crowd.traffic.measure(start, u64::MAX);
    if storm.rate > 0.0 {
        let rate = storm.rate * count as f64 / storm.connections.max(1) as f64;
        crowd.traffic.start(start, Amount::Rate(rate));
    }
    let mut clockwork = Clockwork::new(start, count);
    let restart_at = start + nanoseconds(storm.before);
    clockwork.drive(&mut driver, &mut crowd, load.watch, restart_at, |_| false)?;
    crowd.is_storm = true;
    let restart = match &storm.restart_command {
        Some(command) if load.part.index == 0 => Some(shell(command)?),
        _ => None,
    };
    weather(storm, &mut driver, &mut crowd, &mut clockwork, load, restart)?;
    load.watch.measured();
    let seconds = (driver.now_ns() - start) as f64 / 1e9;
    // Whoever is in step gets what is sent now: that is what being in step means.
    crowd.traffic.stop(driver.now_ns());
    clockwork.settle(&mut driver, &mut crowd, load.watch, |crowd| {
        crowd.traffic.is_complete()
    })?;
    crowd.traffic.add_round(1, u64::MAX);
    clockwork.settle(&mut driver, &mut crowd, load.watch, |crowd| {
        crowd.traffic.is_complete()
    })?;
    Ok(outcome(crowd, count, seconds))
}

/// Waits for the storm, and until it is over.
fn weather(
    storm: &Storm,
    driver: &mut Driver,
    crowd: &mut Crowd,
    clockwork: &mut Clockwork,
    load: &mut Load<'_>,
    mut restart: Option<Child>,
) -> Result<(), BenchError> {
    let (began, timeout) = (driver.now_ns(), nanoseconds(storm.timeout));
    while restart.is_some() || !crowd.is_over() {
        let now = driver.now_ns();
        if now - crowd.down_ns.unwrap_or(began) > timeout {
            return Err(BenchError::Other(format!(
                "after {} s {} of {} clients are in step, and {} were struck",
                storm.timeout,
                crowd.online,
                crowd.clients.len(),
                crowd.struck
            )));
        }
        if let Some(status) = restart.as_mut().map(Child::try_wait).transpose()?.flatten() {
            restart = None;
            if !status.success() {
                return Err(BenchError::Other(format!("the restart failed: {status}")));
            }
        }
        while let Some(connection) = crowd.useless.pop() {
            driver.close(connection);
            crowd.disconnected(now, connection);
        }
        while let Some(Reverse((at, connection))) = crowd.retries.peek().copied()
            && at <= now
        {
            crowd.retries.pop();
            crowd.attempts += 1;
            if let Some(client) = crowd.clients.get_mut(connection) {
                client.opened_ns = now;
            }
            if driver.open(connection).is_err() {
                crowd.schedule(now, connection);
            }
        }
        let next_retry = crowd.retries.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
        let next = clockwork.tick(driver, crowd, load.watch, now);
        driver.turn(next.min(next_retry).min(now + TICK_NS), crowd)?;
    }
    Ok(())
}

fn shell(command: &str) -> Result<Child, BenchError> {
    // What it prints must not stand between the figures.
    let child = std::process::Command::new("sh")
        .args(["-c", command])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()?;
    Ok(child)
}

fn outcome(crowd: Crowd, count: usize, seconds: f64) -> Outcome {
    let outage = crowd
        .up_ns
        .unwrap_or(0)
        .saturating_sub(crowd.down_ns.unwrap_or(0));
    let mut outcome = crowd.traffic.into_outcome(seconds);
    outcome.add("connections", count as u64);
    outcome.add("attempts", crowd.attempts);
    outcome.add("refused", crowd.refused);
    outcome.add("refused_for_good", crowd.refused_for_good);
    outcome.set_maximum("outage_s", outage as f64 / 1e9);
    outcome.add_latency("since_loss", crowd.since_loss);
    outcome.add_latency("since_up", crowd.since_up);
    outcome.add_latency("attempt", crowd.attempt);
    outcome
}

pub(super) fn report(outcome: &Outcome) -> Report {
    let mut report = Report::default();
    report.add_counts(outcome, ["connections", "attempts", "refused"]);
    report.add_violations("refused_for_good", outcome.count("refused_for_good"));
    report.add_counts(outcome, ["sent", "acked", "delivered"]);
    report.add_checks(outcome);
    report.add_float("seconds", outcome.maximum("seconds"));
    report.add_float("outage_s", outcome.maximum("outage_s"));
    for (name, latency) in [
        ("in_step", "since_up"),
        ("after_loss", "since_loss"),
        // What the server has a part in; the rest are waits that clients must keep.
        ("attempt", "attempt"),
    ] {
        let Some(histogram) = outcome.latency(latency).map(Latency::histogram) else {
            continue;
        };
        for (label, quantile) in [("50", 0.5), ("99", 0.99), ("all", 1.0)] {
            let seconds = histogram.value_at_quantile(quantile) as f64 / 1e9;
            report.add_float(&format!("{name}_{label}_s"), seconds);
        }
    }
    report.add_chart(
        "in step, since the first could connect again",
        outcome.latency("since_up"),
    );
    report.add_latency("deliver", "delivered after", outcome.latency("deliver"));
    report
}
