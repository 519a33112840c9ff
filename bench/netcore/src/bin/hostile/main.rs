//! Measures what hostile peers cost a server, and those who behave beside them.
//!
//! Each kind of them is a subcommand that starts a server of its own. The server has one processor, all its peers
//! have another. It must never leave a server behind, and never judge a figure.

mod certificate;
mod churn;
mod fairness;
mod flood;
mod never_reads;
mod one_byte;
mod quiet;

use bench_netcore::children::{self, Core, Server};
use bench_netcore::poller;
use clap::{Parser, Subcommand};
use serde::Serialize;
use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Measures what hostile peers cost a server, and those who behave beside them.
#[derive(Debug, Parser)]
struct Arguments {
    /// The processor of the server.
    #[arg(long, value_name = "N", default_value_t = 0, global = true)]
    server_core: usize,
    /// The processor of its peers.
    #[arg(long, value_name = "N", default_value_t = 1, global = true)]
    load_core: usize,
    /// Print the report as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    peers: Peers,
}

#[derive(Debug, Subcommand)]
enum Peers {
    /// One connection sends and reads at full speed beside many quiet ones.
    Fairness(fairness::Options),
    /// Peers send frames at full speed and never read.
    NeverReads(never_reads::Options),
    /// Peers send one byte of a frame at a time.
    OneByte(one_byte::Options),
    /// Peers connect and leave, again and again.
    Churn(churn::Options),
    /// Be the connection at full speed.
    #[command(hide = true)]
    Flood(flood::Options),
}

/// Where the two sides of a measurement run.
#[derive(Clone, Copy, Debug)]
struct Cores {
    server: Core,
    load: Core,
}

impl Cores {
    fn start(self, path: Option<&PathBuf>, name: &str, more: &[&str]) -> io::Result<Server> {
        let path = path.map_or_else(|| children::beside(name), |path| Ok(path.clone()))?;
        let arguments = [&["--listen", "127.0.0.1:0"], more].concat();
        Server::start(&path, &arguments, self.server)
    }
}

fn seconds(number: f64) -> io::Result<Duration> {
    Duration::try_from_secs_f64(number).map_err(io::Error::other)
}

/// Keeps this process, the peers in it and those that it starts, off the server's processor.
fn pin(processor: usize) -> io::Result<()> {
    use rustix::thread::{CpuSet, sched_setaffinity};
    if processor >= CpuSet::MAX_CPU {
        return Err(io::Error::other(format!("there is no processor {processor}")));
    }
    let mut processors = CpuSet::new();
    processors.set(processor);
    Ok(sched_setaffinity(None, &processors)?)
}

fn print(report: &(impl Serialize + Display), json: bool) -> io::Result<()> {
    if json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        println!("{report}");
    }
    Ok(())
}

fn run(arguments: &Arguments) -> io::Result<()> {
    pin(arguments.load_core)?;
    poller::raise_descriptor_limit()?;
    let cores = Cores {
        server: Core(Some(arguments.server_core)),
        load: Core(Some(arguments.load_core)),
    };
    let json = arguments.json;
    match &arguments.peers {
        Peers::Fairness(options) => print(&fairness::measure(options, cores)?, json),
        Peers::NeverReads(options) => print(&never_reads::measure(options, cores)?, json),
        Peers::OneByte(options) => print(&one_byte::measure(options, cores)?, json),
        Peers::Churn(options) => print(&churn::measure(options, cores)?, json),
        Peers::Flood(options) => flood::run(options),
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hostile: {error}");
            ExitCode::FAILURE
        }
    }
}
