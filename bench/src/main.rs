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
mod spread;
mod stamp;
mod timer;
mod traffic;
mod watch;
mod work;

use std::{io::Write, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use clap::Parser;
use rustls::ClientConfig;

use crate::{
    dialect::Account,
    load::{Door, Load, Part, Run, Spoken},
    report::Report,
    spread::Reporting,
    watch::Local,
    work::Work,
};

/// Load for imserver, with checks: every message carries its sender, a counter and a checksum.
///
/// Exit status: 0 if everything arrived once, in order and whole; 1 if not; 2 if the run could not be carried
/// through.
#[derive(Debug, Parser)]
#[command(name = "imbench", version, next_help_heading = "For every workload")]
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
    /// Processes that share the load; as many as the limit of descriptors demands otherwise. Where they are
    /// several, a rate is that of all of them.
    #[arg(long, global = true, value_name = "N")]
    processes: Option<usize>,
    /// What the server speaks. Only imserver has accounts of its own; elsewhere they are numbers.
    #[arg(long, global = true, value_enum, default_value_t)]
    dialect: Spoken,
    /// The way to the server.
    #[arg(long, global = true, value_enum, default_value_t)]
    door: Door,
    /// With `--door tls`: the authorities that sign the server's certificate, which is for its address (PEM).
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long, global = true)]
    json: bool,
    /// Which of several processes this is; for their parent alone.
    #[arg(long, global = true, hide = true, value_parser = spread::parse_part)]
    part: Option<Part>,
    #[command(subcommand)]
    work: Work,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.part {
        Some(part) => run_part(&arguments, part).map(|()| None),
        None => run(&arguments).map(Some),
    };
    match done {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(report)) => {
            let text = if arguments.json {
                report.json()
            } else {
                report.text()
            };
            let _ = writeln!(std::io::stdout(), "{text}");
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

/// What cannot be measured together.
fn check(arguments: &Arguments) -> Result<(), BenchError> {
    let wrong = |message: &str| Err(BenchError::Other(message.to_owned()));
    if matches!(arguments.door, Door::Websocket | Door::Http) && arguments.dialect != Spoken::Imserver {
        return wrong("only imserver's protocol is spoken over that door");
    }
    if arguments.door == Door::Http && !arguments.work.has_one_sender() {
        return wrong("over HTTP a connection sends or receives: chat, fanout, or group with one sender");
    }
    if arguments.door == Door::Http && arguments.accounts.is_none() {
        return wrong("over HTTP --accounts is needed: who registers here gets no token");
    }
    Ok(())
}

/// The load as a whole: in this process, or over as many as it takes.
fn run(arguments: &Arguments) -> Result<Report, BenchError> {
    check(arguments)?;
    let (accounts, needs) = (obtain(arguments)?, arguments.work.needs());
    let units = accounts.len() / needs.accounts.max(1);
    let processes = processes(arguments, units, needs.accounts)?;
    let mut local = Local::new(arguments.server_pid.clone(), !arguments.json);
    let mut outcome = if processes == 1 {
        let mut load = Load {
            server: arguments.server,
            spoken: arguments.dialect,
            door: arguments.door,
            trust: trust(arguments)?,
            part: Part::WHOLE,
            run: Run::new()?,
            accounts,
            watch: &mut local,
        };
        arguments.work.run(&mut load)?
    } else {
        let shares = (0..processes).map(|index| {
            let part = Part { index, of: processes };
            let first = part.offset(units) * needs.accounts;
            let last = first + part.share(units) * needs.accounts;
            accounts.get(first..last).unwrap_or_default()
        });
        spread::run(&shares.collect::<Vec<_>>(), &mut local)?
    };
    local.usage.add_to(&mut outcome);
    Ok(arguments.work.report(&outcome))
}

/// A part of a load that another process watches.
fn run_part(arguments: &Arguments, part: Part) -> Result<(), BenchError> {
    process::connections_max();
    let mut reporting = Reporting::new();
    let mut load = Load {
        server: arguments.server,
        spoken: arguments.dialect,
        door: arguments.door,
        trust: trust(arguments)?,
        part,
        run: Run::new()?,
        accounts: Reporting::accounts(),
        watch: &mut reporting,
    };
    let outcome = arguments.work.run(&mut load)?;
    reporting.finish(outcome)
}

fn trust(arguments: &Arguments) -> Result<Option<Arc<ClientConfig>>, BenchError> {
    arguments.ca.as_deref().map(dialect::tls::config).transpose()
}

fn obtain(arguments: &Arguments) -> Result<Vec<Account>, BenchError> {
    let needs = arguments.work.needs();
    let count = needs.units.map(|units| units.saturating_mul(needs.accounts));
    if arguments.dialect != Spoken::Imserver {
        let numbered = count.map(|count| accounts::numbered(arguments.skip_accounts, count));
        return numbered.ok_or_else(|| BenchError::Other("only imserver's accounts are in files".to_owned()));
    }
    match (&arguments.accounts, count) {
        (Some(file), Some(count)) => accounts::read(file, arguments.skip_accounts, count),
        (Some(file), None) => accounts::read_all(file),
        (None, Some(count)) if !matches!(arguments.work, Work::Verify(_)) => {
            accounts::register(arguments.server, count)
        }
        (None, _) => Err(BenchError::Other(
            "--accounts says whose history to read".to_owned(),
        )),
    }
}

/// How many processes: as many as were asked for, or as descriptors demand.
fn processes(arguments: &Arguments, units: usize, connections: usize) -> Result<usize, BenchError> {
    let allowed = process::connections_max();
    if connections > allowed {
        return Err(BenchError::Other(format!(
            "a group of {connections} connections does not fit a process, which may have {allowed} (ulimit -n)"
        )));
    }
    let per_process = (allowed / connections.max(1)).max(1);
    let demanded = units.div_ceil(per_process).max(1);
    Ok(arguments
        .processes
        .unwrap_or(demanded)
        .max(demanded)
        .clamp(1, units.max(1)))
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
