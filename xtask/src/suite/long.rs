//! The long tier: the suite with everything in full, then more histories of decisions than every run compares, then the
//! seeded faults. It goes on after what fails, and ends with a summary of its own. With a filter it is those tests in full.

use std::time::Instant;

use super::{Options, Tier, once};
use crate::{
    faults,
    process::{Outcome, Result, Workspace},
};

/// Every test, those of disasters with all of them and the soak of half an hour among them.
const IN_FULL: Tier = Tier {
    profile: "all",
    settings: &[
        ("DISASTERS", "all"),
        ("CHAOS_SECONDS", "1800"),
        ("CHAOS_USERS", "100"),
        ("CHAOS_EVERY_SECONDS", "20"),
        ("CHAOS_PAUSE_MS", "3000"),
        ("SCHEMATHESIS_EXAMPLES", "1000"),
    ],
    filters: &[],
};

/// Random histories on the model and on both stores.
const HISTORIES: Tier = Tier {
    profile: "all",
    settings: &[("PROPTEST_CASES", "10000")],
    filters: &["both_stores_answer_alike", "postgresql_answers_like_the_model"],
};

type Step<'a> = (&'static str, &'a dyn Fn() -> Result<Outcome>);

pub(super) fn run(workspace: &Workspace, options: &Options) -> Result<Outcome> {
    if options.filter.is_some() {
        return once(workspace, options, &IN_FULL);
    }
    let steps: [Step<'_>; 3] = [
        ("the suite in full", &|| once(workspace, options, &IN_FULL)),
        ("10,000 histories", &|| once(workspace, options, &HISTORIES)),
        ("seeded faults", &|| {
            faults::run(workspace, &faults::Options::default())
        }),
    ];
    let (outcome, lines) = go_through(&steps);
    eprintln!("\n=== the long tier\n{}", lines.join("\n"));
    Ok(outcome)
}

/// Takes every step, also after one that fails or cannot be taken, and says how each ended.
fn go_through(steps: &[Step<'_>]) -> (Outcome, Vec<String>) {
    let mut outcome = Outcome::Passed;
    let mut lines = Vec::new();
    for (name, step) in steps {
        eprintln!("\n=== {name}");
        let began = Instant::now();
        let (ended, word) = match step() {
            Ok(Outcome::Passed) => (Outcome::Passed, "passed".to_owned()),
            Ok(Outcome::Failed) => (Outcome::Failed, "FAILED".to_owned()),
            Err(failure) => (Outcome::Failed, format!("FAILED ({failure})")),
        };
        lines.push(format!("{name:20} {word} after {} s", began.elapsed().as_secs()));
        outcome = outcome.and(ended);
    }
    (outcome, lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Failure;

    #[test]
    fn what_fails_or_cannot_be_started_stops_nothing_and_is_told() {
        let (outcome, lines) = go_through(&[
            ("one", &|| Ok(Outcome::Passed)),
            ("two", &|| Err(Failure::new("no such program".to_owned()))),
            ("three", &|| Ok(Outcome::Failed)),
            ("four", &|| Ok(Outcome::Passed)),
        ]);
        assert_eq!(outcome, Outcome::Failed);
        let said: Vec<_> = lines
            .iter()
            .map(|line| line.split_once(" after ").map_or("", |(said, _)| said))
            .collect();
        assert_eq!(
            said,
            [
                "one                  passed",
                "two                  FAILED (no such program)",
                "three                FAILED",
                "four                 passed"
            ]
        );
    }

    #[test]
    fn everything_passed_where_every_step_did() {
        let (outcome, _) = go_through(&[("one", &|| Ok(Outcome::Passed))]);
        assert_eq!(outcome, Outcome::Passed);
    }
}
