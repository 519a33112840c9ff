//! Everything a change must pass, in the order in which it fails soonest.

use crate::process::{self, Outcome, Result, Workspace};
use crate::{dependencies, suite};
use std::time::Instant;

type Step = fn(&Workspace) -> Result<Outcome>;

const STEPS: [(&str, Step); 5] = [
    ("format", format),
    ("dependencies", dependencies::run),
    ("lints", lints),
    ("documentation", documentation),
    ("tests", tests),
];

/// Runs the steps and stops at the first that fails.
pub(crate) fn run(workspace: &Workspace) -> Result<Outcome> {
    for (name, step) in STEPS {
        eprintln!("\n=== {name}");
        let began = Instant::now();
        // The suite ends with its own summary, and that is to stay the last line.
        let outcome = step(workspace)?;
        if outcome == Outcome::Failed {
            eprintln!("=== {name} failed");
            return Ok(outcome);
        }
        if name != "tests" {
            eprintln!("=== {name} passed in {} s", began.elapsed().as_secs());
        }
    }
    Ok(Outcome::Passed)
}

fn format(workspace: &Workspace) -> Result<Outcome> {
    process::run(&mut workspace.cargo(&["fmt", "--all", "--check"]))
}

fn lints(workspace: &Workspace) -> Result<Outcome> {
    process::run(&mut workspace.cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))
}

fn documentation(workspace: &Workspace) -> Result<Outcome> {
    let mut command = workspace.cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
    process::run(command.env("RUSTDOCFLAGS", "-Dwarnings"))
}

fn tests(workspace: &Workspace) -> Result<Outcome> {
    suite::run(workspace, &suite::Options::default())
}
