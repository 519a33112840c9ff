//! Reads the results out of what test runners print. It must never decide success: the exit status does.

use std::fmt;

/// The summary line of cargo-nextest, if this is it.
pub(super) fn nextest(line: &str) -> Option<&str> {
    line.contains("Summary").then_some(())?;
    line.contains(" run: ").then(|| line.trim_end())
}

/// The tests that failed, by what a run of the suite prints of itself: `None` where that says of no tests at all.
pub(crate) fn failures(output: &str) -> Option<u64> {
    let counts = |line: &str| -> Option<u64> {
        let (_, counts) = line.split_once(" run: ").or_else(|| line.split_once("Tests: "))?;
        let of = |word: &str| {
            let mut parts = counts.split(", ").map(|part| part.trim().split_once(' '));
            let found = parts.find_map(|part| part.filter(|(_, rest)| rest.starts_with(word)));
            found.and_then(|(count, _)| count.parse::<u64>().ok())
        };
        let failed = of("failed").unwrap_or(0) + of("timed out").unwrap_or(0);
        (failed + of("passed").unwrap_or(0) > 0).then_some(failed)
    };
    output.lines().filter_map(counts).next_back()
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
    fn failed_tests_are_told_from_none_at_all() {
        let table = [
            (
                "     Summary [   1.204s] 33 tests run: 33 passed, 0 skipped",
                Some(0),
            ),
            (
                "     Summary [ 1s] 3 tests run: 1 passed (1 slow), 2 failed, 9 skipped\nerror: test run failed",
                Some(2),
            ),
            (
                "     Summary [ 1s] 2 tests run: 1 passed, 1 timed out, 9 skipped",
                Some(1),
            ),
            ("     Summary [ 1s] 0 tests run: 0 passed, 9 skipped", None),
            ("Tests: 4 passed, 1 failed, 0 ignored", Some(1)),
            ("Tests: 0 passed, 0 failed, 0 ignored", None),
            ("error: could not compile", None),
        ];
        for (output, wanted) in table {
            assert_eq!(failures(output), wanted, "{output}");
        }
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
