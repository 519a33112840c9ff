//! What the program does beside serving: accounts in bulk, copies, lists. Each command reads the same
//! configuration as the daemon, does one thing, and ends.

mod backup;
mod copy;
mod nodes;
mod past;
mod provision;
mod status;
mod whereabouts;

use std::{io::Write, path::PathBuf};

use crate::{
    config::{Command, Config},
    error::DaemonError,
};

/// Why a command did not do what it was asked, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It needs a running daemon, and nobody listens on this control socket.
    #[error("no daemon is running: nobody listens on {}", .0.display())]
    NotRunning(PathBuf),
    /// Anything else.
    #[error(transparent)]
    Failed(#[from] DaemonError),
}

impl CommandError {
    /// The exit code of the process.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            // As the init scripts of Linux (LSB) have it for a service that does not run.
            Self::NotRunning(_) => 3,
        }
    }
}

/// Runs a command; what it has to say goes to `output`.
///
/// # Errors
/// One sentence: what could not be done, and what to do.
pub fn run(command: &Command, config: &Config, output: &mut dyn Write) -> Result<(), CommandError> {
    match command {
        Command::Status(show) => return status::run(show, config, output),
        Command::Where(find) => return whereabouts::run(find, config, output),
        Command::Provision(provision) => provision::run(provision, config, output),
        Command::Backup(backup) => backup::backup(backup, config, output),
        Command::Restore(restore) => backup::restore(restore, config, output),
        Command::Nodes => nodes::run(config, output),
        Command::Copy(copy) => copy::run(copy, config, output),
        Command::Past(past) => past::run(past, config, output),
    }
    .map_err(CommandError::from)
}

fn cannot_write(error: std::io::Error) -> DaemonError {
    DaemonError::because("the output cannot be written")(error)
}
