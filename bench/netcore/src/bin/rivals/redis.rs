//! Owns the comparison with redis-server under redis-benchmark. Must never let redis write to a disk: the servers
//! compared keep everything in memory.

use crate::Arguments;
use crate::table::{Contestant, installed, print_heading, print_test, sample, start_own};
use bench_netcore::children::{self, Core, Server};
use std::io;
use std::path::Path;

/// The commands, as redis-benchmark calls them.
const TESTS: [&str; 4] = ["ping_mbulk", "set", "get", "incr"];

/// A run that takes longer has failed.
const SECONDS_MAX: &str = "120";

/// How many more requests a pipelined run has, to take as long.
const PIPELINED_FACTOR: u64 = 10;

/// Prints a table for each depth of pipelining.
pub(crate) fn compare(arguments: &Arguments) -> io::Result<()> {
    println!(
        "## RESP, {} connections, redis-benchmark\n",
        arguments.connections
    );
    let Some(benchmark) = installed("redis-benchmark") else {
        return Ok(());
    };
    let core = Core(Some(arguments.server_core));
    let mut contestants = Vec::new();
    if let Some(program) = installed("redis-server") {
        contestants.push(start_redis(&program, core)?);
    }
    contestants.extend(start_own(arguments.resp.as_deref(), "resp", core)?);
    print_heading("command, pipeline");
    for pipeline in [1, arguments.pipeline.max(1)] {
        for test in TESTS {
            let name = format!("{test}, {pipeline}");
            print_test(&name, &contestants, arguments.rounds, |server| {
                sample(server, || run(arguments, &benchmark, server, test, pipeline))
            })?;
        }
    }
    println!();
    Ok(())
}

fn start_redis(program: &Path, core: Core) -> io::Result<Contestant> {
    let address = children::free_address()?;
    let mut command = core.command(program);
    command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
    command.args(["--save", "", "--appendonly", "no"]);
    Ok(Contestant {
        name: "redis-server",
        server: Server::start_silent(command, address)?,
    })
}

/// Runs one command many times; returns how often and how often per second.
fn run(
    arguments: &Arguments,
    benchmark: &Path,
    server: &Server,
    test: &str,
    pipeline: usize,
) -> io::Result<(f64, f64)> {
    let requests = if pipeline > 1 {
        arguments.requests.saturating_mul(PIPELINED_FACTOR)
    } else {
        arguments.requests
    };
    let mut command = Core(Some(arguments.load_core)).command("timeout");
    command.arg(SECONDS_MAX).arg(benchmark);
    let address = server.address();
    let flags = [
        ("-h", address.ip().to_string()),
        ("-p", address.port().to_string()),
        ("-c", arguments.connections.to_string()),
        ("-n", requests.to_string()),
        ("-P", pipeline.to_string()),
        ("-t", test.to_owned()),
    ];
    for (flag, value) in flags {
        command.args([flag, &value]);
    }
    let text = children::run(command.arg("--csv"))?;
    let per_second =
        parse(&text).ok_or_else(|| io::Error::other(format!("redis-benchmark said {text:?}")))?;
    Ok((requests as f64, per_second))
}

/// The requests per second in what `redis-benchmark --csv` printed for one test: a name and then numbers, all in
/// quotes, behind a heading in newer versions.
fn parse(text: &str) -> Option<f64> {
    let line = text.lines().rfind(|line| !line.trim().is_empty())?;
    line.split(',').nth(1)?.trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_column_of_the_last_line_counts() {
        let text = "\"test\",\"rps\",\"avg_latency_ms\"\n\"SET\",\"133333.33\",\"0.189\"\n";
        assert_eq!(parse(text), Some(133_333.33));
        assert_eq!(parse("\"SET\",\"1000.00\"\n\n"), Some(1000.0));
        assert_eq!(parse("\"test\",\"rps\"\n"), None);
        assert_eq!(parse(""), None);
    }
}
