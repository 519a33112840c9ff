//! Runs the whole suite: starts the servers that tests share, builds everything once, tells the tests where these
//! and the binaries are, runs them, then the documentation's examples, and ends with the runner's summary.
//!
//! It needs a Rust toolchain, a C compiler, PostgreSQL and Redis, of which it installs the last two where it may.
//! It uses cargo-nextest where it is installed.

mod build;
mod long;
mod summary;

pub(crate) use summary::failures;

use crate::process::{self, Outcome, Result, Stream, Workspace};
use crate::services::Services;
use build::Binaries;
use std::process::Command;
use summary::Totals;

/// What the user may choose.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Build and test with optimisation.
    #[arg(long)]
    release: bool,
    /// Also what takes hours: every disaster in full, the soak, ten thousand histories, and the seeded faults.
    #[arg(long)]
    all: bool,
    /// Build and test only this package, without the binaries that end-to-end tests start.
    #[arg(long, conflicts_with = "all")]
    package: Option<String>,
    /// Run only the tests whose names contain this, and no documentation examples.
    filter: Option<String>,
}

impl Options {
    /// What cargo is to work on.
    fn packages(&self) -> Vec<&str> {
        match &self.package {
            Some(package) => vec!["--package", package],
            None => vec!["--workspace"],
        }
    }
}

/// Runs the suite. Its summary is the last thing printed.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<Outcome> {
    if options.all {
        long::run(workspace, options)
    } else {
        once(workspace, options, &Tier::EVERY)
    }
}

/// How one run of the suite differs from another.
struct Tier {
    /// The profile of nextest.
    profile: &'static str,
    /// What tests are told, to be longer than usual.
    settings: &'static [(&'static str, &'static str)],
    /// Parts of the names of the tests that it runs; none: all of them, and the documentation's examples.
    filters: &'static [&'static str],
}

impl Tier {
    /// What every change runs.
    const EVERY: Self = Self {
        profile: "default",
        settings: &[],
        filters: &[],
    };
}

fn once(workspace: &Workspace, options: &Options, tier: &Tier) -> Result<Outcome> {
    let profile: &[&str] = if options.release { &["--release"] } else { &[] };
    // First of all: what is missing is to be said before minutes of building.
    let services = Services::start(workspace)?;
    let mut binaries = match options.package {
        Some(_) => Binaries::default(),
        None => build::all(workspace, profile)?,
    };
    binaries.add(services.variables());
    let settings = tier.settings.iter();
    binaries.add(
        settings
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
    );
    let filters: Vec<&str> = match &options.filter {
        Some(filter) => vec![filter],
        None => tier.filters.to_vec(),
    };
    let tested = match Runner::find(workspace) {
        Runner::Nextest => nextest(workspace, options, tier, profile, &filters, &binaries)?,
        Runner::Cargo => plain(workspace, options, profile, &filters, &binaries)?,
    };
    drop(services);
    let mut outcome = tested.outcome;
    if filters.is_empty() && options.package.is_none() {
        let documentation = documentation(workspace, profile)?;
        outcome = outcome.and(documentation.outcome);
        eprintln!("\n{}", documentation.summary);
    }
    eprintln!("{}", tested.summary);
    Ok(outcome)
}

/// How one run of a test runner ended.
struct Report {
    outcome: Outcome,
    summary: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runner {
    Nextest,
    Cargo,
}

impl Runner {
    fn find(workspace: &Workspace) -> Self {
        match process::answer(&mut workspace.cargo(&["nextest", "--version"])) {
            Some(_) => Self::Nextest,
            None => Self::Cargo,
        }
    }
}

/// Nextest gives every test a process of its own and kills those that hang.
fn nextest(
    workspace: &Workspace,
    options: &Options,
    tier: &Tier,
    profile: &[&str],
    filters: &[&str],
    binaries: &Binaries,
) -> Result<Report> {
    let configuration = workspace.root().join("xtask/nextest.toml");
    let mut command = workspace.cargo(&["nextest", "run", "--locked"]);
    command
        .args(options.packages())
        .args(profile)
        .arg("--config-file")
        .arg(configuration)
        .args(["--profile", tier.profile])
        .args(filters);
    let mut summary = None;
    let outcome = process::watch(binaries.announce_to(&mut command), Stream::Error, |line| {
        if let Some(found) = summary::nextest(line) {
            summary = Some(found.to_owned());
        }
    })?;
    let summary = summary.unwrap_or_else(|| "the test runner ended without a summary".to_owned());
    Ok(Report { outcome, summary })
}

/// What every toolchain has. The documentation's examples follow separately, hence the list of targets.
fn plain(
    workspace: &Workspace,
    options: &Options,
    profile: &[&str],
    filters: &[&str],
    binaries: &Binaries,
) -> Result<Report> {
    let mut command = workspace.cargo(&["test", "--locked", "--no-fail-fast"]);
    command
        .args(options.packages())
        .args(build::TARGETS)
        .args(profile);
    if !filters.is_empty() {
        command.arg("--").args(filters);
    }
    counted("Tests", binaries.announce_to(&mut command))
}

fn documentation(workspace: &Workspace, profile: &[&str]) -> Result<Report> {
    let mut command = workspace.cargo(&["test", "--workspace", "--locked", "--no-fail-fast", "--doc"]);
    counted("Documentation examples", command.args(profile))
}

fn counted(title: &str, command: &mut Command) -> Result<Report> {
    let mut totals = Totals::default();
    let outcome = process::watch(command, Stream::Output, |line| totals.note(line))?;
    Ok(Report {
        outcome,
        summary: format!("{title}: {totals}"),
    })
}
