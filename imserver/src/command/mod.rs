//! What the program does beside serving: accounts in bulk, copies, lists. Each command reads the same
//! configuration as the daemon, does one thing, and ends.

mod backup;
mod copy;
mod nodes;
mod past;
mod provision;

use std::io::Write;

use crate::{
    config::{Command, Config},
    error::DaemonError,
};

/// Runs a command; what it has to say goes to `output`.
///
/// # Errors
/// One sentence: what could not be done, and what to do.
pub fn run(command: &Command, config: &Config, output: &mut dyn Write) -> Result<(), DaemonError> {
    match command {
        Command::Provision(provision) => provision::run(provision, config, output),
        Command::Backup(backup) => backup::backup(backup, config, output),
        Command::Restore(restore) => backup::restore(restore, config, output),
        Command::Nodes => nodes::run(config, output),
        Command::Copy(copy) => copy::run(copy, config, output),
        Command::Past(past) => past::run(past, config, output),
    }
}

fn cannot_write(error: std::io::Error) -> DaemonError {
    DaemonError(format!("the output cannot be written: {error}"))
}
