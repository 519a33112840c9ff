//! Runs what tries orders and memory accesses that an ordinary run does not meet: loom over the threaded parts of
//! netcore and over the connection pool of storage, and Miri over the parts of netcore without sockets and threads,
//! where the machine has it. It must say what it skipped, and never install anything.

use crate::process::{self, Outcome, Result, Workspace};
use crate::toolchain;
use std::process::Command;

/// What the user may choose.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Options {
    /// How often loom takes the processor away from a thread that could go on, in one run of a model.
    #[arg(long, default_value_t = PREEMPTIONS, value_name = "N")]
    preemptions: u8,
    /// Run loom alone.
    #[arg(long)]
    loom: bool,
}

const PREEMPTIONS: u8 = 3;

/// Nearly all known bugs of this kind need no more than two; it takes two seconds instead of twenty.
const PREEMPTIONS_IN_CI: u8 = 2;

/// All models have this in their names, and no other test of the library does: outside of a model loom's locks
/// cannot be used.
const LOOM_TESTS: &str = "loom_";

/// The parts without sockets and threads.
const MIRI_TESTS: [&str; 3] = ["codec::", "conn::", "wheel::"];

/// What takes too many steps: all reachable states, and models in which time passes tick by tick.
const MIRI_SKIPS: [&str; 3] = [
    "conn::tests::explore",
    "conn::tests::model",
    "wheel::tests::owners",
];

/// Random cases of each property under Miri, which takes hundreds of times as long.
const MIRI_CASES: &str = "4";

/// Both, each below the target directory on its own, because everything is built with other flags.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<Outcome> {
    let modelled = loom(workspace, options.preemptions)?;
    if options.loom || modelled == Outcome::Failed {
        return Ok(modelled);
    }
    let Some(toolchain) = toolchain::nightly_of(workspace) else {
        println!("models: loom passed; Miri skipped, there is no nightly toolchain");
        return Ok(modelled);
    };
    if process::answer(toolchain::cargo(workspace, &toolchain).args(["miri", "--version"])).is_none() {
        println!(
            "models: loom passed; Miri skipped, {toolchain} does not have it \
             (rustup component add --toolchain {toolchain} miri rust-src)"
        );
        return Ok(modelled);
    }
    let interpreted = miri(workspace, &toolchain)?;
    if interpreted == Outcome::Passed {
        println!("models: loom and Miri passed");
    }
    Ok(interpreted)
}

/// The step of `cargo xtask ci`.
pub(crate) fn bounded(workspace: &Workspace) -> Result<Outcome> {
    loom(workspace, PREEMPTIONS_IN_CI)
}

/// What has models, and the condition under which it is built for them. That of the pool is its own, because other
/// libraries know `loom` too: database drivers below it would be built for models they do not bring.
const MODELLED: [(&str, &str); 2] = [("netcore", "loom"), ("pool", "pool_models")];

fn loom(workspace: &Workspace, preemptions: u8) -> Result<Outcome> {
    for (package, condition) in MODELLED {
        let mut command = workspace.cargo(&["test", "--package", package, "--lib", "--locked", LOOM_TESTS]);
        command
            .env("RUSTFLAGS", format!("--cfg {condition}"))
            .env("LOOM_MAX_PREEMPTIONS", preemptions.to_string())
            .env(
                "CARGO_TARGET_DIR",
                workspace.target().join("loom").join(condition),
            );
        if process::run(&mut command)? == Outcome::Failed {
            return Ok(Outcome::Failed);
        }
    }
    Ok(Outcome::Passed)
}

fn miri(workspace: &Workspace, toolchain: &str) -> Result<Outcome> {
    let mut command: Command = toolchain::cargo(workspace, toolchain);
    command
        .args(["miri", "test", "--package", "netcore", "--no-default-features"])
        .args(["--lib", "--locked", "--"])
        .args(MIRI_TESTS)
        .args(MIRI_SKIPS.map(|name| ["--skip", name]).as_flattened())
        // The number of cases comes from the environment, which an isolated program does not see.
        .env("MIRIFLAGS", "-Zmiri-disable-isolation")
        .env("PROPTEST_CASES", MIRI_CASES)
        .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true")
        .env("CARGO_TARGET_DIR", workspace.target().join("miri"));
    process::run(&mut command)
}
