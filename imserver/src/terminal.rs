//! The terminal that the process was started from, if it was: whether that has hung up.

use std::fs::File;

/// Leads to the controlling terminal of whoever opens it.
const TERMINAL: &str = "/dev/tty";
/// SIGHUP's bit in a mask of signals.
const SIGHUP_BIT: u64 = 1;

/// See the module.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Terminal {
    /// There was one, and the process was not started to outlive it.
    ends_with_it: bool,
}

impl Terminal {
    /// As it is now. Whoever starts the process with SIGHUP ignored, as `nohup` does, wants it to outlive the
    /// terminal: this asks before the process handles the signal itself.
    pub fn of_this_process() -> Self {
        let status = std::fs::read_to_string("/proc/self/status");
        // Where the system does not tell, nothing is ignored.
        let outlives = status.is_ok_and(|status| ignores_hangup(&status));
        Self {
            ends_with_it: !outlives && File::open(TERMINAL).is_ok(),
        }
    }

    /// The terminal was there, is gone, and the process is to end with it.
    pub fn ends_this(self) -> bool {
        self.ends_with_it && File::open(TERMINAL).is_err()
    }
}

fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & SIGHUP_BIT != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        assert!(ignores_hangup(
            "Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0\n"
        ));
        assert!(!ignores_hangup(
            "Name:\tx\nSigIgn:\t0000000000001000\nSigCgt:\t1\n"
        ));
        assert!(!ignores_hangup("Name:\tx\n"));
    }
}
