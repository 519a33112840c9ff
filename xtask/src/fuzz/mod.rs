//! Drives the libFuzzer targets: finds the tools, runs every target for a while, reports what it did.
//!
//! The committed corpus seeds each run and is never written to: what a run discovers stays in the target
//! directory, where the next run picks it up. Findings are left in `fuzz/artifacts`.

mod progress;
mod tools;

use crate::process::{self, Failure, Outcome, Result, Stream, Workspace};
use progress::Progress;
use std::path::Path;
use tools::Tools;

/// What the user may choose.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How long each target runs.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Only this target; may be repeated. All of `fuzz/fuzz_targets` otherwise.
    #[arg(long = "target", value_name = "T")]
    targets: Vec<String>,
}

/// The limits of every run: an input of 128 KiB covers two frames of the default size; one that takes 5 seconds,
/// 1 GiB in total or 64 MiB at once is a finding.
const LIMITS: [&str; 6] = [
    "-max_len=131072",
    "-timeout=5",
    "-rss_limit_mb=1024",
    "-malloc_limit_mb=64",
    "-use_value_profile=1",
    "-print_final_stats=1",
];

/// Runs the targets one after the other, all of them even if one finds something.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<Outcome> {
    let known = targets(&workspace.root().join("fuzz/fuzz_targets"))?;
    let chosen = choose(&known, &options.targets)?;
    let tools = Tools::find(workspace)?;
    let mut lines = Vec::new();
    let mut outcome = Outcome::Passed;
    for target in chosen {
        let (ended, progress) = one(workspace, &tools, target, options.seconds)?;
        let result = if ended == Outcome::Passed {
            "ok"
        } else {
            "FINDING, see fuzz/artifacts"
        };
        lines.push(format!("{target:24} {progress} {result}"));
        outcome = outcome.and(ended);
    }
    println!("\n{:24} {} result", "target", Progress::HEADING);
    for line in lines {
        println!("{line}");
    }
    Ok(outcome)
}

fn one(workspace: &Workspace, tools: &Tools, target: &str, seconds: u32) -> Result<(Outcome, Progress)> {
    let discovered = workspace.target().join("fuzz-corpus").join(target);
    std::fs::create_dir_all(&discovered)
        .map_err(|error| Failure::new(format!("cannot create {}: {error}", discovered.display())))?;
    let mut command = tools.cargo_fuzz(workspace);
    command.args([
        "run",
        "--fuzz-dir",
        "fuzz",
        "--features",
        "libfuzzer",
        "--target-dir",
    ]);
    command.arg(workspace.target().join("fuzz")).arg(target);
    // libFuzzer writes what it discovers to the first directory and only reads the others.
    command.arg(discovered);
    let seeds = workspace.root().join("fuzz/corpus").join(target);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    command
        .arg("--")
        .args(LIMITS)
        .arg(format!("-max_total_time={seconds}"));
    let dictionary = workspace.root().join("fuzz/protocol.dict");
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    let mut progress = Progress::default();
    let ended = process::watch(&mut command, Stream::Error, |line| progress.note(line))?;
    if ended == Outcome::Failed && !progress.started() {
        return Err(Failure::new(format!(
            "fuzz target {target} could not be built or started"
        )));
    }
    Ok((ended, progress))
}

/// The names of the targets: one file each.
fn targets(directory: &Path) -> Result<Vec<String>> {
    let unreadable =
        |error: std::io::Error| Failure::new(format!("cannot read {}: {error}", directory.display()));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

fn choose<'a>(known: &'a [String], wanted: &[String]) -> Result<Vec<&'a str>> {
    if known.is_empty() {
        return Err(Failure::new("there are no targets in fuzz/fuzz_targets"));
    }
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
        return Err(Failure::new(format!(
            "no fuzz target {unknown}; there are {}",
            known.join(", ")
        )));
    }
    let chosen = known
        .iter()
        .filter(|name| wanted.is_empty() || wanted.contains(name));
    Ok(chosen.map(String::as_str).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn all_targets_run_unless_some_are_named() {
        let known = names(&["frame", "hello"]);
        assert_eq!(choose(&known, &[]).expect("some"), ["frame", "hello"]);
        assert_eq!(choose(&known, &names(&["hello"])).expect("one"), ["hello"]);
    }

    #[test]
    fn a_run_that_would_test_nothing_is_refused() {
        assert!(choose(&[], &[]).is_err());
        let refusal = choose(&names(&["frame", "hello"]), &names(&["helo"])).expect_err("a misspelling");
        assert_eq!(refusal.to_string(), "no fuzz target helo; there are frame, hello");
    }
}
