//! Reads libFuzzer's progress out of what it prints: `#131072 pulse cov: 53 ft: 97 corp: 20/87b …`.

use std::fmt;

/// The last counts that were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    executions: u64,
    coverage: u64,
    started: bool,
}

impl Progress {
    /// The heading for what `Display` prints.
    pub(super) const HEADING: &'static str = "  executions   coverage";

    /// Notes the counts in a line, if it has any.
    pub(super) fn note(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if let Some(count) = progress_count(line) {
            self.executions = self.executions.max(count);
            self.started = true;
            // Coverage is missing on the first line, before the seeds have run.
            let coverage = words
                .skip_while(|word| *word != "cov:")
                .nth(1)
                .and_then(|count| count.parse().ok());
            self.coverage = coverage.unwrap_or(self.coverage);
        } else if first == "stat::number_of_executed_units:" {
            let count = words.next().and_then(|count| count.parse().ok());
            self.executions = count.unwrap_or(self.executions);
        } else if first == "INFO:" {
            self.started = true;
        }
    }

    /// Whether the target ran at all; if not, a failure is not a finding.
    pub(super) fn started(&self) -> bool {
        self.started
    }
}

/// The number at the start of a progress line. A frame of a stack trace begins alike, indented and with a space.
fn progress_count(line: &str) -> Option<u64> {
    line.strip_prefix('#')?.split_once('\t')?.0.parse().ok()
}

impl fmt::Display for Progress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:>12} {:>10}", self.executions, self.coverage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_counts_win() {
        let mut progress = Progress::default();
        progress.note("   Compiling fuzz v0.1.0\n");
        assert!(!progress.started());
        progress.note("INFO: Running with entropic power schedule (0xFF, 100).\n");
        assert!(progress.started());
        progress.note("#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 40Mb\n");
        progress.note("#131072\tpulse  cov: 53 ft: 97 corp: 20/87b lim: 1300 exec/s: 65536 rss: 60Mb\n");
        progress.note("#200001\tDONE   cov: 54 ft: 99 corp: 21/90b lim: 1300 exec/s: 66667 rss: 61Mb\n");
        progress.note("stat::number_of_executed_units: 200001\n");
        assert_eq!(
            progress,
            Progress {
                executions: 200_001,
                coverage: 54,
                started: true
            }
        );
    }

    #[test]
    fn a_stack_trace_is_not_progress() {
        let mut progress = Progress::default();
        progress.note("    #0 0x55d0 in rust_fuzzer_test_input cov: 9\n");
        progress.note("    #1 0x55d1 in LLVMFuzzerTestOneInput\n");
        assert_eq!(progress.coverage, 0);
    }
}
