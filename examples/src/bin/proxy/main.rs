//! A TCP proxy that makes the network as bad as it is told to: for tests of programs that have to bear that.
//!
//! `proxy --listen 127.0.0.1:7505 --to 127.0.0.1:7500` prints `listening on ADDRESS` and passes every connection on,
//! both ways, the ends included. `--delay`, `--throttle`, `--cut-after` and `--black-hole` make it worse, and so do
//! lines on standard input while it runs: `delay MS`, `throttle BYTES_PER_S`, `cut-after BYTES`, `black-hole on|off`,
//! `cut` (ends all connections), `clear` (ends all faults), `status`. Every line is answered with one, when it is in
//! force: `ok: 1 connections, 0 bytes held`, or `error: …`.

mod faults;
mod pipe;
mod raw;
mod relay;

use clap::Parser;
use faults::{Command, Faults};
use netcore::{Remote, Server, Timeouts};
use relay::{Order, Relay, Status};
use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::process::ExitCode;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// Passes TCP connections on, over a network as bad as you like.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 is any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7505")]
    listen: SocketAddr,
    /// Where connections are passed on to.
    #[arg(long, value_name = "ADDR")]
    to: SocketAddr,
    /// Event loops, one thread each.
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Everything arrives so many milliseconds later.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay: u64,
    /// Bytes per second, each way of each connection.
    #[arg(long, value_name = "BYTES_PER_S")]
    throttle: Option<NonZeroU64>,
    /// A connection is cut when so many bytes have gone one way.
    #[arg(long, value_name = "BYTES")]
    cut_after: Option<u64>,
    /// Connections are accepted, and nothing arrives.
    #[arg(long)]
    black_hole: bool,
}

impl Arguments {
    const fn faults(&self) -> Faults {
        Faults {
            delay: Duration::from_millis(self.delay),
            throttle: self.throttle,
            cut_after: self.cut_after,
            black_hole: self.black_hole,
        }
    }
}

/// The network fails when it is told to, and not because somebody is slow.
fn timeouts() -> Timeouts {
    Timeouts {
        idle: Duration::MAX,
        write_stall: Duration::MAX,
        ..Timeouts::default()
    }
}

/// Has every loop carry the command out, and waits for it.
fn carry_out(remote: &Remote<Order>, command: Command) -> Result<Status, String> {
    let (done, reports) = sync_channel(remote.loop_count());
    remote
        .post_all(&Order { command, done })
        .map_err(|_| "a loop does not keep up".to_owned())?;
    Ok(reports.iter().fold(Status::default(), |sum, status| Status {
        connections: sum.connections + status.connections,
        held_bytes: sum.held_bytes + status.held_bytes,
    }))
}

/// Does what the lines say, until there are no more.
fn obey(remote: &Remote<Order>, mut now: Faults) -> std::io::Result<()> {
    for line in std::io::stdin().lock().lines() {
        let outcome = Command::parse(&line?, now)
            .map_err(|error| error.to_string())
            .and_then(|command| {
                if let Command::Faults(changed) = command {
                    now = changed;
                }
                carry_out(remote, command)
            });
        let mut output = std::io::stdout();
        match outcome {
            Ok(status) => writeln!(
                output,
                "ok: {} connections, {} bytes held",
                status.connections, status.held_bytes
            )?,
            Err(error) => writeln!(output, "error: {error}")?,
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (to, faults) = (arguments.to, arguments.faults());
    let server = Server::builder::<Relay>()
        .loops(arguments.threads)
        .listen(arguments.listen)
        .timeouts(timeouts())
        .start(move |_loop, _remote| Relay { to, faults });
    let server = match server {
        Ok(server) => server,
        Err(error) => {
            eprintln!("proxy: {error}");
            return ExitCode::FAILURE;
        }
    };
    for address in server.local_addrs() {
        println!("listening on {address}");
    }
    if let Err(error) = obey(server.remote(), faults) {
        eprintln!("proxy: no more commands: {error}");
    }
    loop {
        std::thread::park();
    }
}
