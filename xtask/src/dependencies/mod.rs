//! Checks the dependency tree: which crates of ours may know which, that no asynchronous runtime and no event
//! loop gets where it must not be, licences and sources.
//!
//! The rules are pure functions over what cargo reports. Where cargo-deny is installed it runs as well, for the
//! advisories above all.

mod graph;
mod licence;
mod rules;

use crate::process::{self, Failure, Outcome, Result, Workspace};
use graph::Graph;

/// Packages that must not pull in an event loop, with the arguments that select the features meant.
const WITHOUT_EVENT_LOOP: [(&str, &[&str]); 3] = [
    ("protocol", &[]),
    ("fuzz", &[]),
    ("client", &["--no-default-features"]),
];

/// Runs all checks and prints every violation.
pub(crate) fn run(workspace: &Workspace) -> Result<Outcome> {
    let graph = load(workspace)?;
    let mut violations = rules::all(&graph);
    for (package, features) in WITHOUT_EVENT_LOOP {
        let mut command = workspace.cargo(&["tree", "--locked", "--edges", "normal", "--prefix", "none"]);
        command
            .args(["--format", "{p}", "--package", package])
            .args(features);
        violations.extend(rules::event_loop(package, &process::capture(&mut command)?));
    }
    for duplicate in graph.duplicates() {
        eprintln!("note: several versions of {duplicate}");
    }
    for violation in &violations {
        eprintln!("error: {violation}");
    }
    let own = Outcome::from_bool(violations.is_empty());
    Ok(own.and(cargo_deny(workspace)?))
}

/// The graph of the platform we build on, with every feature switched on.
fn load(workspace: &Workspace) -> Result<Graph> {
    let version = process::capture(workspace.command("rustc").args(["--version", "--verbose"]))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.ok_or_else(|| Failure::new("rustc does not say for which platform it builds"))?;
    let mut command = workspace.cargo(&["metadata", "--format-version=1", "--locked", "--all-features"]);
    Graph::parse(&process::capture(command.args(["--filter-platform", host]))?)
}

/// Runs cargo-deny if there is one. Without a way to fetch the advisories the rest is still checked.
fn cargo_deny(workspace: &Workspace) -> Result<Outcome> {
    if process::answer(&mut workspace.cargo(&["deny", "--version"])).is_none() {
        eprintln!("note: cargo-deny is not installed; advisories were not looked up");
        return Ok(Outcome::Passed);
    }
    // Duplicates were just listed.
    let mut check = workspace.cargo(&[
        "deny",
        "check",
        "--allow",
        "duplicate",
        "--allow",
        "unused-wrapper",
    ]);
    if process::answer(&mut workspace.cargo(&["deny", "fetch", "db"])).is_some() {
        check.arg("advisories");
    } else {
        eprintln!("note: the advisory database cannot be fetched; advisories were not looked up");
    }
    process::run(check.args(["bans", "licenses", "sources"]))
}
