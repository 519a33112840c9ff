//! Measures many connections: how long they take to be made, what each of them costs in memory, and what their
//! heartbeats cost in CPU time.
//!
//! A process can have only so many descriptors, so servers and clients come in pairs of processes, each client
//! with loopback addresses of its own. It must never report a number of connections that are not all alive: a
//! client fails as soon as one of its connections ends, and so does the measurement.

use bench_netcore::children::{self, Answerer, Core, Server};
use bench_netcore::cpu::CpuTime;
use bench_netcore::holder::{self, Plan};
use bench_netcore::memory::{KernelMemory, UserMemory};
use bench_netcore::poller;
use clap::Parser;
use serde::Serialize;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// Descriptors of a process besides those of its connections.
const DESCRIPTORS_BESIDES: usize = 100;

/// Pairs of processes: a client's number is a part of its addresses.
const PAIRS_MAX: usize = 200;

/// How long all the connections, or an exchange on all of them, may take.
const WITHIN: Duration = Duration::from_secs(300);

/// How often it is looked whether everything was accepted.
const LOOK: Duration = Duration::from_millis(20);

/// Opens many connections and measures their cost.
#[derive(Debug, Parser)]
struct Arguments {
    /// Connections in all.
    #[arg(long, value_name = "N", default_value_t = 19_900)]
    connections: usize,
    /// Connections of one pair of processes at most; as many as there are descriptors otherwise.
    #[arg(long, value_name = "N")]
    per_process: Option<usize>,
    /// Seconds for which heartbeats are measured. The exchange before makes all pings wait, so less than twice
    /// `--ping-after-ms` says little.
    #[arg(long, value_name = "S", default_value_t = 30.0)]
    seconds: f64,
    /// Silence after which a connection is pinged, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 15_000)]
    ping_after_ms: u64,
    /// What a client has to answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 25_000)]
    pong_within_ms: u64,
    /// The server; `heartbeat-server` beside this program otherwise.
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// The processor of the servers.
    #[arg(long, value_name = "N", default_value_t = 0)]
    server_core: usize,
    /// The processor of the clients.
    #[arg(long, value_name = "N", default_value_t = 1)]
    client_core: usize,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Be the client with this number instead, for the server at `--to`.
    #[arg(long, value_name = "N", requires = "to", hide = true)]
    client: Option<u8>,
    /// The server of this client.
    #[arg(long, value_name = "ADDR", hide = true)]
    to: Option<SocketAddr>,
}

/// What many connections cost. Memory is in bytes per connection.
#[derive(Debug, Serialize)]
struct Report {
    connections: usize,
    pairs_of_processes: usize,
    /// Until the last one was accepted.
    seconds_to_connect: f64,
    /// Anonymous memory of the servers when nothing had been sent.
    user_bytes_fresh: f64,
    /// The same after a frame had gone each way on every connection.
    user_bytes_used: f64,
    /// Proportional memory, files included, at the end.
    user_pss_bytes: f64,
    /// Kernel objects of both ends.
    kernel_slab_bytes: f64,
    /// Data in socket buffers of both ends.
    kernel_tcp_buffer_bytes: f64,
    /// All memory that is not available any more: of servers, clients and kernel, and whoever else there is.
    all_bytes: f64,
    /// For so long heartbeats were measured.
    heartbeat_seconds: f64,
    /// Pings that were answered in this time.
    pings: u64,
    /// Share of one processor that the servers used in this time.
    servers_busy: f64,
    /// CPU time of the servers for one ping and its answer.
    cpu_us_per_ping: f64,
}

/// The running processes. Clients complain about servers that end before them, so they come first.
struct Swarm {
    clients: Vec<Answerer>,
    servers: Vec<Server>,
}

impl Swarm {
    fn user_memory(&self) -> io::Result<UserMemory> {
        UserMemory::sum(self.servers.iter().map(Server::pid))
    }

    fn cpu(&self) -> io::Result<Duration> {
        self.servers.iter().try_fold(Duration::ZERO, |sum, server| {
            Ok(sum + CpuTime::of(server.pid())?.exact)
        })
    }

    fn descriptors(&self) -> io::Result<usize> {
        self.servers.iter().try_fold(0, |sum, server| {
            Ok(sum + fs::read_dir(format!("/proc/{}/fd", server.pid()))?.count())
        })
    }

    /// The sum of what the clients answer.
    fn ask(&mut self, question: &str, name: &str) -> io::Result<u64> {
        for client in &mut self.clients {
            client.ask(question)?;
        }
        self.answers(name)
    }

    fn answers(&mut self, name: &str) -> io::Result<u64> {
        self.clients
            .iter_mut()
            .try_fold(0, |sum, client| Ok(sum + client.answer(name, WITHIN)?))
    }

    fn wait_until_accepted(&self, descriptors: usize) -> io::Result<()> {
        let start = Instant::now();
        while self.descriptors()? < descriptors {
            if start.elapsed() > WITHIN {
                return Err(io::Error::other("a server does not accept everything"));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }
}

fn start_servers(arguments: &Arguments, pairs: usize) -> io::Result<Vec<Server>> {
    let program = arguments
        .server
        .clone()
        .map_or_else(|| children::beside("heartbeat-server"), Ok)?;
    let ping_after = arguments.ping_after_ms.to_string();
    let pong_within = arguments.pong_within_ms.to_string();
    let flags = [
        "--listen",
        "127.0.0.1:0",
        "--ping-after-ms",
        &ping_after,
        "--pong-within-ms",
        &pong_within,
    ];
    (0..pairs)
        .map(|_| Server::start(&program, &flags, Core(Some(arguments.server_core))))
        .collect()
}

fn start_client(arguments: &Arguments, number: usize, to: SocketAddr, share: usize) -> io::Result<Answerer> {
    let mut command = Core(Some(arguments.client_core)).command(std::env::current_exe()?);
    let flags = [
        ("--client", number.to_string()),
        ("--to", to.to_string()),
        ("--connections", share.to_string()),
    ];
    for (flag, value) in flags {
        command.args([flag, &value]);
    }
    Answerer::start(command)
}

/// How `connections` are divided among the fewest processes that may have `most` each.
fn shares(connections: usize, most: usize) -> Vec<usize> {
    let most = most.max(1);
    let pairs = connections.div_ceil(most);
    (0..pairs)
        .map(|pair| most.min(connections - pair * most))
        .collect()
}

fn measure(arguments: &Arguments) -> io::Result<Report> {
    let allowed = poller::raise_descriptor_limit()?.saturating_sub(DESCRIPTORS_BESIDES);
    let shares = shares(arguments.connections, arguments.per_process.unwrap_or(allowed));
    if shares.is_empty() || shares.len() > PAIRS_MAX {
        return Err(io::Error::other(format!(
            "{} connections want {} pairs of processes; 1 to {PAIRS_MAX} are possible",
            arguments.connections,
            shares.len()
        )));
    }
    let mut swarm = Swarm {
        clients: Vec::new(),
        servers: start_servers(arguments, shares.len())?,
    };
    let (kernel, user) = (KernelMemory::now()?, swarm.user_memory()?);
    let descriptors = swarm.descriptors()? + arguments.connections;

    let start = Instant::now();
    for (number, (server, share)) in swarm.servers.iter().zip(&shares).enumerate() {
        let client = start_client(arguments, number, server.address(), *share)?;
        swarm.clients.push(client);
    }
    swarm.answers("connected")?;
    swarm.wait_until_accepted(descriptors)?;
    let seconds_to_connect = start.elapsed().as_secs_f64();
    let user_fresh = swarm.user_memory()?;

    swarm.ask("exchange", "exchanged")?;
    let user_used = swarm.user_memory()?;

    let (cpu, pings, start) = (swarm.cpu()?, swarm.ask("pings", "pings")?, Instant::now());
    thread::sleep(Duration::try_from_secs_f64(arguments.seconds).map_err(io::Error::other)?);
    let pings = swarm.ask("pings", "pings")? - pings;
    let (cpu, elapsed) = (swarm.cpu()?.saturating_sub(cpu), start.elapsed());
    let (kernel_at_end, user_at_end) = (KernelMemory::now()?, swarm.user_memory()?);

    let each = |now: u64, before: u64| (now as f64 - before as f64) / arguments.connections as f64;
    Ok(Report {
        connections: arguments.connections,
        pairs_of_processes: shares.len(),
        seconds_to_connect,
        user_bytes_fresh: each(user_fresh.anonymous, user.anonymous),
        user_bytes_used: each(user_used.anonymous, user.anonymous),
        user_pss_bytes: each(user_at_end.proportional, user.proportional),
        kernel_slab_bytes: each(kernel_at_end.slab, kernel.slab),
        kernel_tcp_buffer_bytes: each(kernel_at_end.tcp_buffers, kernel.tcp_buffers),
        all_bytes: each(kernel.available, kernel_at_end.available),
        heartbeat_seconds: elapsed.as_secs_f64(),
        pings,
        servers_busy: cpu.as_secs_f64() / elapsed.as_secs_f64(),
        cpu_us_per_ping: cpu.as_secs_f64() * 1e6 / (pings as f64).max(1.0),
    })
}

fn print(report: &Report, json: bool) -> io::Result<()> {
    if json {
        println!("{}", serde_json::to_string(report)?);
        return Ok(());
    }
    println!(
        "{} connections, {} servers and as many clients, connected in {:.2} s",
        report.connections, report.pairs_of_processes, report.seconds_to_connect
    );
    println!("bytes per connection:");
    println!(
        "  servers, anonymous: {:.0} fresh, {:.0} after a frame each way; Pss with files {:.0}",
        report.user_bytes_fresh, report.user_bytes_used, report.user_pss_bytes
    );
    println!(
        "  kernel, both ends: {:.0} of objects, {:.0} of data in buffers",
        report.kernel_slab_bytes, report.kernel_tcp_buffer_bytes
    );
    println!("  everything on this machine: {:.0}", report.all_bytes);
    println!(
        "heartbeats for {:.0} s: {} pings, servers {:.2} % of a processor, {:.1} us per ping",
        report.heartbeat_seconds,
        report.pings,
        report.servers_busy * 100.0,
        report.cpu_us_per_ping
    );
    Ok(())
}

fn run(arguments: &Arguments) -> io::Result<()> {
    match (arguments.client, arguments.to) {
        (Some(number), Some(server)) => holder::run(&Plan {
            server,
            connections: arguments.connections,
            number,
        }),
        _ => print(&measure(arguments)?, arguments.json),
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("swarm: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_has_a_process_and_no_process_too_many() {
        assert_eq!(shares(50, 20), [20, 20, 10]);
        assert_eq!(shares(40, 20), [20, 20]);
        assert_eq!(shares(1, 20), [1]);
        assert!(shares(0, 20).is_empty());
    }
}
