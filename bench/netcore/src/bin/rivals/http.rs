//! Owns the comparison with nginx and hyper under wrk. Must never let one server answer more bytes than another
//! by way of configuration: the body has 13 bytes everywhere, and nothing is logged.

use crate::Arguments;
use crate::table::{Contestant, installed, print_heading, print_test, sample, start_own};
use bench_netcore::children::{self, Core, Server};
use std::fs;
use std::io;
use std::path::Path;
use tempfile::TempDir;

/// Makes wrk send several requests at once.
const PIPELINE_SCRIPT: &str = include_str!("pipeline.lua");

/// Prints a table with and without pipelining.
pub(crate) fn compare(arguments: &Arguments) -> io::Result<()> {
    println!(
        "## HTTP/1.1, {} connections, wrk with one thread\n",
        arguments.connections
    );
    let Some(wrk) = installed("wrk") else {
        return Ok(());
    };
    let directory = TempDir::new()?;
    let script = directory.path().join("pipeline.lua");
    fs::write(&script, PIPELINE_SCRIPT)?;
    let core = Core(Some(arguments.server_core));
    let mut contestants = Vec::new();
    if let Some(program) = installed("nginx") {
        contestants.push(start_nginx(&program, directory.path(), core)?);
    }
    contestants.extend(start_own(None, "http-hyper", core)?);
    contestants.extend(start_own(arguments.http.as_deref(), "http", core)?);
    print_heading("pipeline");
    for pipeline in [1, arguments.pipeline.max(1)] {
        print_test(&pipeline.to_string(), &contestants, arguments.rounds, |server| {
            sample(server, || run(arguments, &wrk, &script, server, pipeline))
        })?;
    }
    println!();
    Ok(())
}

/// One process, which is the worker: a master would live on the same processor and do nothing.
fn start_nginx(program: &Path, directory: &Path, core: Core) -> io::Result<Contestant> {
    let address = children::free_address()?;
    let configuration = directory.join("nginx.conf");
    fs::write(
        &configuration,
        nginx_configuration(&address.to_string(), directory),
    )?;
    let mut command = core.command(program);
    command.arg("-p").arg(directory).arg("-c").arg(configuration);
    Ok(Contestant {
        name: "nginx",
        server: Server::start_silent(command, address)?,
    })
}

fn nginx_configuration(address: &str, directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "daemon off;
master_process off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen {address};
        location / {{
            default_type text/plain;
            return 200 \"Hello, world!\";
        }}
    }}
}}
"
    )
}

/// Loads a server for a while; returns how many requests it answered and how many per second.
fn run(
    arguments: &Arguments,
    wrk: &Path,
    script: &Path,
    server: &Server,
    pipeline: usize,
) -> io::Result<(f64, f64)> {
    let mut command = Core(Some(arguments.load_core)).command(wrk);
    command.args(["-t", "1", "-c", &arguments.connections.to_string()]);
    command.args(["-d", &format!("{}s", arguments.seconds.max(1))]);
    if pipeline > 1 {
        command.arg("-s").arg(script);
    }
    command.arg(format!("http://{}/", server.address()));
    if pipeline > 1 {
        command.args(["--", &pipeline.to_string()]);
    }
    let text = children::run(&mut command)?;
    parse(&text).map_err(|what| io::Error::other(format!("wrk: {what} in {text:?}")))
}

/// The requests and the requests per second in what wrk printed.
fn parse(text: &str) -> Result<(f64, f64), &'static str> {
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err("not every request was answered well");
    }
    let requests = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok())
        .ok_or("no requests")?;
    let per_second = text
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:")?.trim().parse().ok())
        .ok_or("no requests per second")?;
    Ok((requests, per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "Running 2s test @ http://127.0.0.1:80/
  1 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   374.11us  120.00us   5.00ms   90.00%
  265000 requests in 2.10s, 40.00MB read
Requests/sec: 126190.48
Transfer/sec:     19.05MB
";

    #[test]
    fn both_numbers_are_found() {
        assert_eq!(parse(OUTPUT), Ok((265_000.0, 126_190.48)));
        assert!(parse("").is_err());
    }

    #[test]
    fn wrong_answers_are_no_result() {
        let refused = format!("{OUTPUT}  Non-2xx or 3xx responses: 7\n");
        assert!(parse(&refused).is_err());
    }
}
