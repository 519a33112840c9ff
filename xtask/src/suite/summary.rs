//! Reads the results out of what test runners print. It must never decide success: the exit status does.

use std::fmt;

/// The summary line of cargo-nextest, if this is it.
pub(super) fn nextest(line: &str) -> Option<&str> {
    line.contains("Summary").then_some(())?;
    line.contains(" run: ").then(|| line.trim_end())
}

/// The sum of the result lines that the standard test harness prints, one per test binary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Totals {
    /// Adds the line's counts if it is a result line.
    pub(super) fn note(&mut self, line: &str) {
        let Some((_, counts)) = line.trim().split_once("test result: ") else {
            return;
        };
        for part in counts.split([';', '.']) {
            match part.trim().split_once(' ') {
                Some((count, "passed")) => self.passed += count.parse().unwrap_or(0),
                Some((count, "failed")) => self.failed += count.parse().unwrap_or(0),
                Some((count, "ignored")) => self.ignored += count.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} passed, {} failed, {} ignored",
            self.passed, self.failed, self.ignored
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nextest_summary_is_found_with_and_without_colour() {
        let plain = "     Summary [   1.204s] 33 tests run: 33 passed, 0 skipped\n";
        assert_eq!(
            nextest(plain),
            Some("     Summary [   1.204s] 33 tests run: 33 passed, 0 skipped")
        );
        let coloured = "\u{1b}[32;1m     Summary\u{1b}[0m [ 1s] 2 tests run: 1 passed, 1 failed, 0 skipped";
        assert_eq!(nextest(coloured), Some(coloured));
        assert_eq!(nextest("        PASS [   0.004s] xtask Summary"), None);
    }

    #[test]
    fn results_of_all_binaries_are_added() {
        let mut totals = Totals::default();
        totals.note("test summary ... ok\n");
        totals.note(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n",
        );
        totals.note("test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out\n");
        assert_eq!(
            totals,
            Totals {
                passed: 7,
                failed: 2,
                ignored: 1
            }
        );
        assert_eq!(totals.to_string(), "7 passed, 2 failed, 1 ignored");
    }
}
