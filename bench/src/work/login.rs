//! Logging in, over and over: each of a number of clients connects, logs in, closes and begins again.

use clap::Args;

use super::messages::nanoseconds;
use crate::{
    BenchError,
    dialect::{Event, Follow},
    driver::{Driver, Handler},
    load::Load,
    outcome::{Latency, Outcome},
    report::Report,
};

/// How long a login may take.
const LOGIN_NS: u64 = 30_000_000_000;
const TICK_NS: u64 = 100_000_000;

/// What `login` does.
#[derive(Clone, Debug, Args)]
pub(crate) struct Login {
    /// Clients that log in at the same time.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(crate) clients: usize,
    /// How long to measure.
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// How long to load before that.
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    pub(crate) warm_up: f64,
    /// With the password instead of the session's token: each login costs the server a password hash.
    /// Accounts of a file then need a fourth column with theirs, or --password-file.
    #[arg(long)]
    pub(crate) passwords: bool,
    /// The password of all accounts, as it was given to `imserver provision`.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<std::path::PathBuf>,
    /// Up to the point where the client has caught up with its conversations.
    #[arg(long)]
    pub(crate) follow: bool,
}

/// Everyone who logs in.
struct Queue {
    /// When each client began to connect.
    began_ns: Vec<u64>,
    /// Those who are to begin anew.
    ready: Vec<usize>,
    measured: (u64, u64),
    logins: u64,
    latency: Latency,
    refused: u64,
    last_ns: u64,
}

impl Handler for Queue {
    fn event(&mut self, now_ns: u64, connection: usize, event: Event<'_>) -> Result<(), BenchError> {
        match event {
            Event::Ready => {
                let began = self.began_ns.get(connection).copied().unwrap_or(now_ns);
                if self.measured.0 <= began && now_ns < self.measured.1 {
                    self.logins += 1;
                    self.latency.record(now_ns - began);
                }
                self.last_ns = now_ns;
                self.ready.push(connection);
            }
            Event::Refused {
                retry_after: Some(_), ..
            } => {
                self.refused += 1;
                self.ready.push(connection);
            }
            Event::Refused { reason, .. } => return Err(BenchError::Other(format!("refused: {reason}"))),
            // Logged in elsewhere, or by its own next attempt: that one counts.
            Event::GoAway { .. } | Event::Acked(_) | Event::Delivered(_) | Event::Pong => {}
        }
        Ok(())
    }
}

pub(super) fn run(login: &Login, load: &mut Load<'_>) -> Result<Outcome, BenchError> {
    give_passwords(login, load)?;
    let mut driver = load.driver_of_all(Follow::if_asked(login.follow))?;
    // Thousands of closes a second would use up the ports.
    driver.reset_on_close();
    let count = driver.len();
    load.watch.ready()?;
    let start = driver.now_ns();
    let from = start + nanoseconds(login.warm_up);
    let to = from + nanoseconds(login.seconds);
    let mut queue = Queue {
        began_ns: vec![0; count],
        ready: (0..count).collect(),
        measured: (from, to),
        logins: 0,
        latency: Latency::new()?,
        refused: 0,
        last_ns: start,
    };
    until(from, &mut driver, &mut queue, load)?;
    load.watch.measuring();
    until(to, &mut driver, &mut queue, load)?;
    load.watch.measured();
    let mut outcome = Outcome::default();
    outcome.add("logins", queue.logins);
    outcome.add("refused", queue.refused);
    outcome.set_maximum("seconds", login.seconds);
    outcome.add_latency("login", queue.latency);
    Ok(outcome)
}

fn until(end_ns: u64, driver: &mut Driver, queue: &mut Queue, load: &mut Load<'_>) -> Result<(), BenchError> {
    loop {
        let now = driver.now_ns();
        if now >= end_ns {
            return Ok(());
        }
        if now.saturating_sub(queue.last_ns) > LOGIN_NS {
            return Err(BenchError::Other("nobody gets logged in any more".to_owned()));
        }
        while let Some(client) = queue.ready.pop() {
            driver.close(client);
            if let Some(began) = queue.began_ns.get_mut(client) {
                *began = now;
            }
            driver.open(client)?;
        }
        load.watch.progress(queue.logins, 0);
        driver.turn(end_ns.min(now + TICK_NS), queue)?;
    }
}

/// Accounts that have a password and no token log in with it.
fn give_passwords(login: &Login, load: &mut Load<'_>) -> Result<(), BenchError> {
    if !login.passwords {
        return Ok(());
    }
    let common = match &login.password_file {
        Some(file) => Some(std::fs::read_to_string(file)?),
        None => None,
    };
    for account in &mut load.accounts {
        account.token.clear();
        if let Some(common) = &common {
            account.password = common.trim_end_matches(['\r', '\n']).to_owned();
        }
        if account.password.is_empty() {
            return Err(BenchError::Other(format!(
                "the password of {} is not known",
                account.name
            )));
        }
    }
    Ok(())
}

pub(super) fn report(outcome: &Outcome) -> Report {
    let mut report = Report::default();
    let seconds = outcome.maximum("seconds").max(1e-9);
    report.add_counts(outcome, ["logins", "refused"]);
    report.add_float("seconds", seconds);
    report.add_float("logins_per_s", outcome.count("logins") as f64 / seconds);
    report.add_latency("login", "logged in after", outcome.latency("login"));
    super::messages::add_usage(&mut report, outcome, "login", outcome.count("logins"));
    report
}
