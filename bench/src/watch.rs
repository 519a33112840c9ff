//! Who looks on while a load runs: the terminal, or the process that several of them report to. What is
//! sampled at the borders of the measured time is sampled here.

use std::{
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use crate::{BenchError, outcome::Outcome, process};

/// How often a line is written anew.
pub(crate) const PROGRESS_EVERY: Duration = Duration::from_millis(900);

/// What a load tells about itself while it runs.
pub(crate) trait Watch {
    /// Everything is logged in. Returns when the load may begin.
    ///
    /// # Errors
    /// It shall not begin.
    fn ready(&mut self) -> Result<(), BenchError>;

    /// The measured time begins.
    fn measuring(&mut self);

    /// The measured time is over.
    fn measured(&mut self);

    /// Acknowledged and delivered so far; may be told as often as it is convenient.
    fn progress(&mut self, acked: u64, delivered: u64);
}

/// What the server and this process have used in the measured time.
#[derive(Debug)]
pub(crate) struct Usage {
    pids: Vec<u32>,
    server_cpu: [Option<f64>; 2],
    server_bytes: [Option<u64>; 3],
    own_cpu: [Option<f64>; 2],
}

impl Usage {
    /// Looks at these processes as they are before anything connects.
    pub(crate) fn new(pids: Vec<u32>) -> Self {
        let before = process::anonymous_bytes(&pids);
        Self {
            pids,
            server_cpu: [None; 2],
            server_bytes: [before, None, None],
            own_cpu: [None; 2],
        }
    }

    pub(crate) fn begin(&mut self) {
        self.own_cpu[0] = process::own_cpu_seconds();
        self.server_cpu[0] = process::cpu_seconds(&self.pids);
        self.server_bytes[1] = process::anonymous_bytes(&self.pids);
    }

    pub(crate) fn end(&mut self) {
        self.server_cpu[1] = process::cpu_seconds(&self.pids);
        self.server_bytes[2] = process::anonymous_bytes(&self.pids);
        self.own_cpu[1] = process::own_cpu_seconds();
    }

    /// Adds what was sampled, where it could be.
    pub(crate) fn add_to(&self, outcome: &mut Outcome) {
        let microseconds = |samples: [Option<f64>; 2]| {
            let [Some(before), Some(after)] = samples else {
                return None;
            };
            Some(((after - before).max(0.0) * 1e6) as u64)
        };
        if let Some(own) = microseconds(self.own_cpu) {
            outcome.add("load_cpu_us", own);
        }
        if self.pids.is_empty() {
            return;
        }
        if let Some(server) = microseconds(self.server_cpu) {
            outcome.add("server_cpu_us", server);
        }
        let names = ["server_bytes_before", "server_bytes_ready", "server_bytes"];
        for (name, bytes) in names.into_iter().zip(self.server_bytes) {
            if let Some(bytes) = bytes {
                outcome.add(name, bytes);
            }
        }
    }
}

/// A line on the terminal that is written over and over; nothing where there is none.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    shown: bool,
    last: Option<(Instant, u64, u64)>,
}

impl ProgressLine {
    pub(crate) fn new(wanted: bool) -> Self {
        Self {
            shown: wanted && std::io::stderr().is_terminal(),
            last: None,
        }
    }

    pub(crate) fn say(&self, what: &str) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K{what}");
        }
    }

    pub(crate) fn progress(&mut self, acked: u64, delivered: u64) {
        let now = Instant::now();
        let is_early = |(then, ..): (Instant, u64, u64)| now.duration_since(then) < PROGRESS_EVERY;
        if !self.shown || self.last.is_some_and(is_early) {
            return;
        }
        if let Some((then, acked_then, delivered_then)) = self.last.replace((now, acked, delivered)) {
            let seconds = now.duration_since(then).as_secs_f64().max(1e-3);
            let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
            self.say(&format!(
                "acknowledged {:.0}/s, delivered {:.0}/s; {acked} and {delivered} in all",
                rate(acked, acked_then),
                rate(delivered, delivered_then)
            ));
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.say("");
    }
}

/// The load runs in this process.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) usage: Usage,
    line: ProgressLine,
}

impl Local {
    pub(crate) fn new(pids: Vec<u32>, show: bool) -> Self {
        let line = ProgressLine::new(show);
        line.say("logging in");
        Self {
            usage: Usage::new(pids),
            line,
        }
    }
}

impl Watch for Local {
    fn ready(&mut self) -> Result<(), BenchError> {
        self.line.say("warming up");
        Ok(())
    }

    fn measuring(&mut self) {
        self.line.say("measuring");
        self.usage.begin();
    }

    fn measured(&mut self) {
        self.usage.end();
        self.line.say("waiting for what is outstanding");
    }

    fn progress(&mut self, acked: u64, delivered: u64) {
        self.line.progress(acked, delivered);
    }
}
