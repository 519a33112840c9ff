//! Processes from outside, and what this one may use: CPU time and memory, from `/proc`, and descriptors.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Clock ticks a second in `/proc/PID/stat`; the kernel's interface fixes it at 100 for user space.
const TICKS_PER_SECOND: f64 = 100.0;
/// Descriptors of this process besides those of its connections.
const DESCRIPTORS_BESIDES: u64 = 64;
/// Where the system does not limit descriptors.
const CONNECTIONS_MAX: u64 = 1 << 20;

/// User and system seconds that processes have used together.
pub(crate) fn cpu_seconds(pids: &[u32]) -> Option<f64> {
    pids.iter().map(|pid| cpu_seconds_of(&pid.to_string())).sum()
}

/// User and system seconds that this process has used.
pub(crate) fn own_cpu_seconds() -> Option<f64> {
    cpu_seconds_of("self")
}

fn cpu_seconds_of(pid: &str) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces; fields are counted behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some((ticks(11)? + ticks(12)?) as f64 / TICKS_PER_SECOND)
}

/// Resident bytes of processes that are their own: anonymous memory, without files.
pub(crate) fn anonymous_bytes(pids: &[u32]) -> Option<u64> {
    pids.iter()
        .map(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
            Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
        })
        .sum()
}

/// Connections that one process can have: its descriptors are raised to what is allowed, and all but a few of
/// them are for connections.
pub(crate) fn connections_max() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let descriptors = current.unwrap_or(CONNECTIONS_MAX).min(CONNECTIONS_MAX);
    usize::try_from(descriptors.saturating_sub(DESCRIPTORS_BESIDES)).unwrap_or(1)
}
