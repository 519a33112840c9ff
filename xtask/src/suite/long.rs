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
    let mut outcome = Outcome::Passed;
    let mut lines = Vec::new();
    for (name, step) in steps {
        eprintln!("\n=== {name}");
        let began = Instant::now();
        let ended = step()?;
        let word = if ended == Outcome::Passed {
            "passed"
        } else {
            "FAILED"
        };
        lines.push(format!("{name:20} {word} after {} s", began.elapsed().as_secs()));
        outcome = outcome.and(ended);
    }
    eprintln!("\n=== the long tier\n{}", lines.join("\n"));
    Ok(outcome)
}
