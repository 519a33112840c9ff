//! Everything a change must pass, in the order in which it fails soonest.

use crate::process::{self, Outcome, Result, Workspace};
use crate::{dependencies, models, suite};
use std::time::Instant;

type Step = fn(&Workspace) -> Result<Outcome>;

const CHECKS: [(&str, Step); 5] = [
    ("format", format),
    ("dependencies", dependencies::run),
    ("lints", lints),
    ("documentation", documentation),
    ("models", models::bounded),
];

/// Runs the checks and then the suite, and stops at the first that fails. The suite ends with its own summary,
/// which stays the last thing printed.
pub(crate) fn run(workspace: &Workspace) -> Result<Outcome> {
    for (name, check) in CHECKS {
        eprintln!("\n=== {name}");
        let began = Instant::now();
        let outcome = check(workspace)?;
        let seconds = began.elapsed().as_secs();
        if outcome == Outcome::Failed {
            eprintln!("=== {name} failed after {seconds} s");
            return Ok(outcome);
        }
        eprintln!("=== {name} passed after {seconds} s");
    }
    eprintln!("\n=== tests");
    suite::run(workspace, &suite::Options::default())
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
