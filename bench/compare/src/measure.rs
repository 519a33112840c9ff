//! Owns one run of the load against one server: how imbench is called and what it found. Must never trust a
//! figure whose run lost, duplicated, reordered or changed a message without saying so.

use crate::contestant::Running;
use bench_netcore::children::{self, Core};
use bench_netcore::memory::UserMemory;
use serde::Deserialize;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

/// The name of file systems that live in memory, as `statfs` gives it.
const TMPFS: u64 = 0x0102_1994;

/// What to load a server with.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// imbench, if it is not beside this program.
    pub(crate) program: Option<PathBuf>,
    pub(crate) core: Core,
    pub(crate) pairs: usize,
    pub(crate) size: usize,
    pub(crate) window: usize,
    pub(crate) seconds: u64,
    pub(crate) warm_up: u64,
}

/// What one run found.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Report {
    pub(crate) delivered_per_s: f64,
    pub(crate) ack_p50_us: f64,
    pub(crate) ack_p99_us: f64,
    pub(crate) deliver_p50_us: f64,
    pub(crate) deliver_p99_us: f64,
    pub(crate) server_cpu_us_per_delivered: f64,
    #[serde(default)]
    pub(crate) load_cpu_us_per_delivered: f64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) misordered: u64,
    pub(crate) corrupted: u64,
    /// The server's own resident memory after the run.
    #[serde(skip)]
    pub(crate) memory_bytes: u64,
}

impl Report {
    /// What was wrong with the messages, if anything was.
    pub(crate) fn violations(&self) -> Option<String> {
        let Self {
            lost,
            duplicated,
            misordered,
            corrupted,
            ..
        } = self;
        (lost + duplicated + misordered + corrupted > 0).then(|| {
            format!("{lost} lost, {duplicated} duplicated, {misordered} misordered, {corrupted} corrupted")
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:.0} a second, ack p50 {:.0} us, delivery p50 {:.0} us, {:.1} us of the server's and {:.1} us of \
             the load's CPU each",
            self.delivered_per_s,
            self.ack_p50_us,
            self.deliver_p50_us,
            self.server_cpu_us_per_delivered,
            self.load_cpu_us_per_delivered
        )?;
        match self.violations() {
            Some(violations) => write!(formatter, "; {violations}"),
            None => Ok(()),
        }
    }
}

/// Loads a server that is running.
pub(crate) fn run(load: &Load, dialect: &str, running: &Running) -> io::Result<Report> {
    let program = load
        .program
        .clone()
        .map_or_else(|| children::beside("imbench"), Ok)?;
    let mut command = load.core.command(program);
    let flags = [
        ("--server", running.server.address().to_string()),
        ("--server-pid", running.server.pid().to_string()),
        ("--dialect", dialect.to_owned()),
    ];
    for (flag, value) in flags {
        command.args([flag, &value]);
    }
    let flags = [
        ("--pairs", load.pairs),
        ("--size", load.size),
        ("--window", load.window),
        (
            "--seconds",
            usize::try_from(load.seconds).map_err(io::Error::other)?,
        ),
        (
            "--warm-up",
            usize::try_from(load.warm_up).map_err(io::Error::other)?,
        ),
    ];
    command.arg("chat");
    for (flag, value) in flags {
        command.args([flag, &value.to_string()]);
    }
    if let Some(accounts) = &running.accounts {
        command.arg("--accounts").arg(accounts);
    }
    let Output { stdout, stderr, .. } = command.arg("--json").stdin(Stdio::null()).output()?;
    // A run that found something wrong with the messages has figures and says so by its exit code.
    let mut report: Report = serde_json::from_slice(&stdout).map_err(|_| {
        let complaint = String::from_utf8_lossy(&stderr);
        io::Error::other(complaint.trim_end().to_owned())
    })?;
    report.memory_bytes = UserMemory::of(running.server.pid())?.anonymous;
    Ok(report)
}

/// Whether what is flushed in `directory` is not flushed to a disk.
pub(crate) fn is_in_memory(directory: &Path) -> io::Result<bool> {
    Ok(u64::try_from(rustix::fs::statfs(directory)?.f_type).is_ok_and(|kind| kind == TMPFS))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"{"sent": 9, "acked": 9, "delivered": 8, "lost": 1, "duplicated": 0, "misordered": 0,
        "corrupted": 0, "seconds": 1.0, "acked_per_s": 9.0, "delivered_per_s": 8, "ack_p50_us": 1.5,
        "ack_p99_us": 2.5, "ack_p999_us": 3.5, "deliver_p50_us": 4.5, "deliver_p99_us": 5.5,
        "deliver_p999_us": 6.5, "server_cpu_us_per_delivered": 7.5}"#;

    #[test]
    fn a_report_is_what_imbench_prints() {
        let report: Report = serde_json::from_str(REPORT).expect("a report");
        assert!((report.delivered_per_s - 8.0).abs() < f64::EPSILON);
        assert!((report.deliver_p99_us - 5.5).abs() < f64::EPSILON);
        let found = report.violations().expect("one is lost");
        assert_eq!(found, "1 lost, 0 duplicated, 0 misordered, 0 corrupted");
        assert!(report.to_string().ends_with(&found));
    }

    #[test]
    fn a_clean_report_says_nothing_of_violations() {
        let report: Report =
            serde_json::from_str(&REPORT.replace("\"lost\": 1", "\"lost\": 0")).expect("a report");
        assert_eq!(report.violations(), None);
    }

    #[test]
    fn a_report_without_the_servers_cpu_is_none() {
        let text = REPORT.replace("server_cpu_us_per_delivered", "other");
        assert!(serde_json::from_str::<Report>(&text).is_err());
    }
}
