//! Builds what is measured, as users build it, and runs the measurement. It must never judge a figure: what is
//! good depends on the machine.

use crate::process::{self, Outcome, Result, Workspace};
use std::ffi::OsString;

/// What the user may choose.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Subject {
    /// imserver's chat against a bare relay, mosquitto, NATS JetStream and ejabberd, as far as they are installed.
    Compare {
        /// Passed on to `compare-chat`; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<OsString>,
    },
    /// netcore's echo server against a plain epoll loop and tokio.
    Netcore {
        /// Passed on to `compare`; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<OsString>,
    },
}

/// What is built and run for a subject.
struct Measurement {
    /// The packages with the load and with the servers.
    packages: &'static [&'static str],
    /// The program that measures.
    program: &'static str,
    /// Comes before what the user passes on, and may be given again there.
    arguments: Vec<OsString>,
}

/// Builds and measures.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<Outcome> {
    let (measurement, arguments) = match &options.subject {
        Subject::Compare { arguments } => (compare(workspace), arguments),
        Subject::Netcore { arguments } => (netcore(), arguments),
    };
    let mut build = workspace.cargo(&["build", "--release"]);
    for package in measurement.packages {
        build.args(["-p", package]);
    }
    if process::run(&mut build)? == Outcome::Failed {
        return Ok(Outcome::Failed);
    }
    let program = workspace.target().join("release").join(measurement.program);
    process::run(
        workspace
            .command(program)
            .args(measurement.arguments)
            .args(arguments),
    )
}

fn compare(workspace: &Workspace) -> Measurement {
    Measurement {
        packages: &["bench", "bench-compare", "bench-relay", "imserver"],
        program: "compare-chat",
        // Not the directory for temporary files: it may be in memory, where flushing costs nothing.
        arguments: vec!["--directory".into(), workspace.target().join("compare").into()],
    }
}

const fn netcore() -> Measurement {
    Measurement {
        packages: &["bench-netcore", "examples"],
        program: "compare",
        arguments: Vec::new(),
    }
}
