//! Compares servers on netcore with the servers that everybody knows, under the loads that everybody uses:
//! `redis-benchmark` against redis-server, `wrk` against nginx and hyper.
//!
//! Servers have one processor, the load another. In every test the servers are loaded in turn, round by round;
//! medians are reported, and the extremes behind them. Requests per second are what users of these tools
//! compare, but with one processor for the load they often measure the load: CPU time of the server per request
//! is the figure to go by. It must never install anything: what is missing is skipped and said.

mod http;
mod redis;
mod table;

use clap::Parser;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compares RESP and HTTP servers with redis-server, nginx and hyper.
#[derive(Debug, Parser)]
struct Arguments {
    /// A RESP server on netcore; `resp` beside this program otherwise. It takes `--listen ADDR` and says
    /// `listening on ADDR`.
    #[arg(long, value_name = "PATH")]
    resp: Option<PathBuf>,
    /// An HTTP server on netcore, likewise; `http` beside this program otherwise.
    #[arg(long, value_name = "PATH")]
    http: Option<PathBuf>,
    /// Rounds of each test.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// Connections.
    #[arg(long, value_name = "N", default_value_t = 50)]
    connections: usize,
    /// Requests under way on a connection in the pipelined tests.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pipeline: usize,
    /// Requests of a RESP run without pipelining; ten times as many with it.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    requests: u64,
    /// Seconds of an HTTP run.
    #[arg(long, value_name = "S", default_value_t = 2)]
    seconds: u64,
    /// The processor of the servers.
    #[arg(long, value_name = "N", default_value_t = 0)]
    server_core: usize,
    /// The processor of the load.
    #[arg(long, value_name = "N", default_value_t = 1)]
    load_core: usize,
    /// Leave HTTP out.
    #[arg(long)]
    only_resp: bool,
    /// Leave RESP out.
    #[arg(long)]
    only_http: bool,
}

fn run(arguments: &Arguments) -> io::Result<()> {
    if !arguments.only_http {
        redis::compare(arguments)?;
    }
    if !arguments.only_resp {
        http::compare(arguments)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rivals: {error}");
            ExitCode::FAILURE
        }
    }
}
