//! `cargo xtask`: what this repository needs beyond plain cargo.
//!
//! It owns how the suite is run (`test`), what a change must pass (`ci`), what is measured (`bench`), whether seeded
//! faults are found (`faults`), how the fuzz targets are driven (`fuzz`) and how the models are checked (`models`). It must never be needed to build or run
//! the product, and it never changes files under version control.

mod bench;
mod ci;
mod dependencies;
mod faults;
mod fuzz;
mod models;
mod process;
mod services;
mod suite;
mod toolchain;

use clap::{Parser, Subcommand};
use process::{Outcome, Result, Workspace};
use std::process::ExitCode;

/// What this repository needs beyond plain cargo.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build everything, run all tests, then the documentation's examples.
    Test(suite::Options),
    /// Everything a change must pass: format, lints, documentation, dependencies, tests.
    Ci,
    /// Check the dependency tree alone: layers, runtimes, licences, sources.
    Dependencies,
    /// Measure; the results depend on the machine and on what else it does.
    Bench(bench::Options),
    /// Try the seeded faults of `tests/faults`: each must be found. Builds the workspace once for each.
    Faults(faults::Options),
    /// Run the fuzz targets; needs a nightly toolchain and a C++ compiler.
    Fuzz(fuzz::Options),
    /// Check netcore's threads with loom, and its other parts with Miri where a nightly toolchain has it.
    Models(models::Options),
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(Outcome::Passed) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Outcome> {
    let workspace = Workspace::locate()?;
    match &arguments.command {
        Command::Test(options) => suite::run(&workspace, options),
        Command::Ci => ci::run(&workspace),
        Command::Dependencies => dependencies::run(&workspace),
        Command::Bench(options) => bench::run(&workspace, options),
        Command::Faults(options) => faults::run(&workspace, options),
        Command::Fuzz(options) => fuzz::run(&workspace, options),
        Command::Models(options) => models::run(&workspace, options),
    }
}
