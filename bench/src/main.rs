//! `imbench`: puts load on a running server over its real protocol, and checks while it does that nothing is
//! lost, duplicated, out of order or damaged. It must never report a figure for work that was not checked.
#![forbid(unsafe_code)]

mod accounts;
mod chart;
mod check;
mod client;
mod connection;
mod dialect;
mod driver;
mod load;
mod outcome;
mod pace;
mod process;
mod report;
mod stamp;
mod timer;
mod traffic;
mod watch;
mod work;

use std::{io::Write, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;

use crate::{
    load::{Load, Part, Run, Spoken},
    report::Report,
    watch::Local,
    work::Work,
};

/// Load for imserver, with checks: every message carries its sender, a counter and a checksum.
///
/// Exit status: 0 if everything arrived once, in order and whole; 1 if not; 2 if the run could not be carried
/// through.
#[derive(Debug, Parser)]
#[command(name = "imbench", version)]
struct Arguments {
    /// The server.
    #[arg(long, global = true, value_name = "ADDRESS", default_value = "127.0.0.1:7400")]
    server: SocketAddr,
    /// The server's process: its CPU time and memory are reported too. May be given several times.
    #[arg(long, global = true, value_name = "PID")]
    server_pid: Vec<u32>,
    /// What `imserver provision` printed. Without it accounts are registered before anything is measured,
    /// which costs the server a password hash each.
    #[arg(long, global = true, value_name = "FILE", alias = "tokens")]
    accounts: Option<PathBuf>,
    /// Passes over so many accounts of the file, so that several loads can share it.
    #[arg(long, global = true, value_name = "N", default_value_t = 0)]
    skip_accounts: usize,
    /// One JSON object instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    work: Work,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    match run(&arguments) {
        Ok(report) => {
            let text = if arguments.json {
                report.json()
            } else {
                report.text()
            };
            let _ = writeln!(out, "{text}");
            if report.is_clean() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "imbench: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<Report, BenchError> {
    let needs = arguments.work.needs();
    let count = needs.units * needs.accounts;
    process::connections_max();
    let accounts = match &arguments.accounts {
        Some(file) => accounts::read(file, arguments.skip_accounts, count)?,
        None => accounts::register(arguments.server, count)?,
    };
    let mut local = Local::new(arguments.server_pid.clone(), !arguments.json);
    let mut load = Load {
        server: arguments.server,
        spoken: Spoken::default(),
        part: Part::WHOLE,
        run: Run::new()?,
        accounts,
        watch: &mut local,
    };
    let mut outcome = arguments.work.run(&mut load)?;
    local.usage.add_to(&mut outcome);
    Ok(arguments.work.report(&outcome))
}

/// What stopped a run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// A socket or file.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The server or the arguments.
    #[error("{0}")]
    Other(String),
}
