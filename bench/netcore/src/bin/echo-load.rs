//! Loads an echo server in a closed loop and prints what a message cost it. It must never measure itself.

use bench_netcore::load::{self, Plan, Report, Until};
use clap::Parser;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// Loads an echo server in a closed loop: each connection sends a window of frames with one write, and the next
/// one when all of it has come back.
#[derive(Debug, Parser)]
struct Arguments {
    /// The server.
    #[arg(long, value_name = "ADDR")]
    server: SocketAddr,
    /// The process of the server, whose CPU time is measured.
    #[arg(long, value_name = "PID")]
    server_pid: u32,
    /// Connections.
    #[arg(long, value_name = "N", default_value_t = 100)]
    connections: usize,
    /// Bytes of a frame without its length; at least 8.
    #[arg(long, value_name = "BYTES", default_value_t = 16)]
    size: usize,
    /// Frames under way on each connection.
    #[arg(long, value_name = "W", default_value_t = 1)]
    window: usize,
    /// Seconds that are measured.
    #[arg(long, value_name = "S", default_value_t = 1.5)]
    seconds: f64,
    /// Seconds before them.
    #[arg(long, value_name = "S", default_value_t = 0.3)]
    warmup: f64,
    /// Stop when each connection has had so many windows back, instead of by time.
    #[arg(long, value_name = "N")]
    windows: Option<u32>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn plan(&self) -> Result<Plan, String> {
        let until = match self.windows {
            Some(windows) => Until::Windows(windows),
            None => Until::Time {
                warmup: duration(self.warmup)?,
                measured: duration(self.seconds)?,
            },
        };
        Ok(Plan {
            server: self.server,
            server_pid: self.server_pid,
            connections: self.connections,
            size: self.size,
            window: self.window,
            until,
        })
    }
}

fn duration(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("{seconds} seconds: {error}"))
}

fn print(report: &Report, json: bool) -> Result<(), String> {
    if json {
        let text = serde_json::to_string(report).map_err(|error| error.to_string())?;
        println!("{text}");
        return Ok(());
    }
    println!(
        "{} messages in {:.2} s: {:.0} messages/s, server {:.0} % busy",
        report.messages,
        report.seconds,
        report.messages_per_second,
        report.server_busy * 100.0
    );
    println!(
        "CPU of the server per message: {:.0} ns (by ticks: user {:.0}, system {:.0})",
        report.cpu_ns_per_message, report.user_ns_per_message_by_ticks, report.system_ns_per_message_by_ticks
    );
    println!(
        "latency: p50 {:.1} us, p99 {:.1} us",
        report.latency_us_p50, report.latency_us_p99
    );
    Ok(())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = arguments
        .plan()
        .and_then(|plan| load::run(&plan).map_err(|error| error.to_string()))
        .and_then(|report| print(&report, arguments.json));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo-load: {error}");
            ExitCode::FAILURE
        }
    }
}
