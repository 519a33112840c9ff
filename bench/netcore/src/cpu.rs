//! Owns what a process has used of the processor, read from `/proc`. Must never change the process it looks at.

use std::fmt;
use std::fs;
use std::io;
use std::time::Duration;

/// Clock ticks per second of `/proc/PID/stat`; the kernel's interface fixes it at 100 for programs.
const TICKS_PER_SECOND: u64 = 100;

/// CPU time of a process up to some moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CpuTime {
    /// The scheduler's exact account of all living threads, user and system.
    pub exact: Duration,
    /// User time as accounted by ticks.
    pub user_ticks: Duration,
    /// System time as accounted by ticks.
    pub system_ticks: Duration,
}

impl CpuTime {
    /// What process `pid` has used up to now.
    ///
    /// # Errors
    /// There is no such process, or `/proc` is not what it is on Linux.
    pub fn of(pid: u32) -> io::Result<Self> {
        let mut exact = Duration::ZERO;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread that ended meanwhile has nothing to say.
            if let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) {
                exact += parse_schedstat(&text).ok_or_else(|| malformed("schedstat"))?;
            }
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (user_ticks, system_ticks) = parse_stat(&stat).ok_or_else(|| malformed("stat"))?;
        Ok(Self {
            exact,
            user_ticks,
            system_ticks,
        })
    }

    /// What was used since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            exact: self.exact.saturating_sub(earlier.exact),
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(earlier.system_ticks),
        }
    }
}

impl fmt::Display for CpuTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:?} (by ticks: user {:?}, system {:?})",
            self.exact, self.user_ticks, self.system_ticks
        )
    }
}

fn malformed(file: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{file} is malformed"))
}

/// The time on a processor from `schedstat`: its first number, in nanoseconds.
fn parse_schedstat(text: &str) -> Option<Duration> {
    let nanoseconds = text.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// User and system time from `/proc/PID/stat`.
fn parse_stat(text: &str) -> Option<(Duration, Duration)> {
    // The name in parentheses may hold anything; fields are counted behind it.
    let (_, fields) = text.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11).map(|field| {
        let ticks: u64 = field.parse().ok()?;
        Some(Duration::from_millis(ticks.checked_mul(1000 / TICKS_PER_SECOND)?))
    });
    Some((times.next()??, times.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_of_schedstat_is_the_time() {
        let text = "1234567890 42 7\n";
        assert_eq!(parse_schedstat(text), Some(Duration::from_nanos(1_234_567_890)));
        assert_eq!(parse_schedstat(""), None);
        assert_eq!(parse_schedstat("one 2 3"), None);
    }

    #[test]
    fn a_name_with_spaces_and_parentheses_shifts_nothing() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 250 31 0 0 20";
        let expected = Some((Duration::from_millis(2500), Duration::from_millis(310)));
        assert_eq!(parse_stat(&format!("7 (echo) {fields}")), expected);
        assert_eq!(parse_stat(&format!("7 (a b) (c) {fields}")), expected);
        assert_eq!(parse_stat("7 (echo) S 1 2"), None);
    }

    #[test]
    fn this_process_has_used_some() {
        let before = CpuTime::default();
        let now = CpuTime::of(std::process::id()).expect("a process that lives");
        assert_eq!(now.since(before), now);
        assert_eq!(before.since(now), before);
        assert!(CpuTime::of(0).is_err());
    }
}
