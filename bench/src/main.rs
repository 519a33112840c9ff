//! `imbench`: puts load on a running imserver over its real protocol, and checks while it does that nothing
//! is lost, duplicated or out of order. It must never report a figure for work that was not checked.
#![forbid(unsafe_code)]

mod accounts;
mod chat;
mod connection;
#[expect(dead_code, reason = "the loads move onto it next")]
mod dialect;
mod idle;
mod process;
mod report;

use std::{io::Write, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

/// Load for imserver, with checks.
#[derive(Debug, Parser)]
#[command(name = "imbench", version)]
struct Command {
    /// The server.
    #[arg(long, global = true, default_value = "127.0.0.1:7400")]
    server: SocketAddr,
    /// The server's process: its CPU time and memory are reported too.
    #[arg(long, global = true)]
    server_pid: Option<u32>,
    /// One JSON object instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Pairs that write to each other: one sends, the other receives.
    Chat(Chat),
    /// Connections that are logged in and only send heartbeats.
    Idle {
        /// How many.
        #[arg(long)]
        connections: usize,
        /// What `imserver provision` printed.
        #[arg(long)]
        tokens: PathBuf,
        /// How long they stay.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
}

/// What `chat` does.
#[derive(Clone, Debug, Args)]
struct Chat {
    /// How many pairs.
    #[arg(long)]
    pairs: usize,
    /// Bytes of a message's body, at least 28.
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// How long to measure.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How long to load before that.
    #[arg(long, default_value_t = 2)]
    warm_up: u64,
    /// What `imserver provision` printed; two lines for a pair.
    #[arg(long)]
    tokens: PathBuf,
    /// Closed loop: messages of a pair not yet both acknowledged and delivered.
    #[arg(long, conflicts_with = "rate", default_value_t = 1)]
    window: usize,
    /// Open loop: messages a second over all pairs, each at its intended time.
    #[arg(long)]
    rate: Option<u64>,
}

fn main() -> ExitCode {
    let command = Command::parse();
    let outcome = match &command.work {
        Work::Chat(chat) => chat::run(command.server, command.server_pid, chat),
        Work::Idle {
            connections,
            tokens,
            seconds,
        } => idle::run(command.server, command.server_pid, *connections, tokens, *seconds),
    };
    let mut out = std::io::stdout().lock();
    match outcome {
        Ok(report) => {
            let text = if command.json {
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
