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
    /// netcore's echo server against a plain epoll loop and tokio.
    Netcore {
        /// Passed on to `compare`; `--help` lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<OsString>,
    },
}

/// The packages with the load and with the servers.
const BUILD: [&str; 6] = ["build", "--release", "-p", "bench-netcore", "-p", "examples"];

/// Builds and measures.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<Outcome> {
    let Subject::Netcore { arguments } = &options.subject;
    if process::run(&mut workspace.cargo(&BUILD))? == Outcome::Failed {
        return Ok(Outcome::Failed);
    }
    let program = workspace.target().join("release").join("compare");
    process::run(workspace.command(program).args(arguments))
}
