//! Owns the measurement of peers that connect and leave, again and again: whether the server keeps anything of
//! them. Must never leave before the server has had to do with it: every other peer waits for the server's end.

use crate::Cores;
use crate::certificate::{Certificate, client_hello};
use crate::quiet::{Latency, Quiet};
use bench_netcore::children::{self, Server};
use bench_netcore::memory::UserMemory;
use bench_netcore::poller;
use clap::ValueEnum;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::net::{Shutdown, shutdown, sockopt};
use serde::Serialize;
use std::collections::VecDeque;
use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// How long the server may take to close its side, or everything that was left.
const WITHIN: Duration = Duration::from_secs(20);

/// How often it is looked whether the server has closed everything.
const LOOK: Duration = Duration::from_millis(20);

/// What one read takes at most: the server's answer to a ClientHello.
const READ_BYTES: usize = 16 * 1024;

/// Source addresses are 127.x.y.z with so many values of y, and of z: a port of an address that was closed in good
/// order cannot be used again for a minute.
const SOURCES_PER_BYTE: u64 = 250;

/// The first four of 10 bytes that a frame says it has.
const HALF_FRAME: [u8; 8] = [0, 0, 0, 10, 1, 2, 3, 4];

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Connections of each kind, one after the other.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    cycles: u64,
    /// Connections before them, after which the server's memory is first looked at. What a server remembers for
    /// some time grows for as long: to see that it stops then, these must take longer.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    warmup: u64,
    /// Connections open at the same time.
    #[arg(long, value_name = "N", default_value_t = 500)]
    open: usize,
    /// What peers do before they leave.
    #[arg(long, value_name = "KIND,..", value_delimiter = ',', default_values_t = Kind::value_variants().to_vec())]
    kinds: Vec<Kind>,
    /// The server; `echo` beside this program otherwise.
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// The server with TLS; `tls-echo` beside this program otherwise.
    #[arg(long, value_name = "PATH")]
    tls_server: Option<PathBuf>,
}

/// What a peer does before it leaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// Nothing.
    Idle,
    /// It sends half a frame.
    HalfFrame,
    /// It sends the first flight of a TLS handshake.
    Tls,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Idle => "idle",
            Self::HalfFrame => "half-frame",
            Self::Tls => "tls",
        })
    }
}

impl Kind {
    fn sends(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Idle => Ok(Vec::new()),
            Self::HalfFrame => Ok(HALF_FRAME.to_vec()),
            Self::Tls => client_hello(),
        }
    }
}

/// What was found for each kind.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    rows: Vec<Row>,
    /// What was not measured, and why.
    skipped: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    kind: Kind,
    /// Connections, the warm-up not among them.
    cycles: u64,
    /// Those of them that left by a reset, and not in good order.
    resets: u64,
    cycles_per_second: f64,
    /// Anonymous memory of the server after the warm-up, when all connections were gone.
    warm_bytes: u64,
    /// The same at the end.
    end_bytes: u64,
    growth_percent: f64,
    /// All resident memory of the server after the warm-up.
    warm_resident_bytes: u64,
    /// The same at the end.
    end_resident_bytes: u64,
    resident_growth_percent: f64,
    /// Descriptors of the server before the first connection.
    descriptors_before: usize,
    /// The same at the end.
    descriptors_after: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "| peers | cycles | resets | cycles/s | bytes after the warm-up | bytes at the end | growth % \
             | resident after the warm-up | at the end | growth % \
             | descriptors before | after |\n|--|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        )?;
        for row in &self.rows {
            write!(
                formatter,
                "\n| {} | {} | {} | {:.0} | {} | {} | {:.2} | {} | {} | {:.2} | {} | {} |",
                row.kind,
                row.cycles,
                row.resets,
                row.cycles_per_second,
                row.warm_bytes,
                row.end_bytes,
                row.growth_percent,
                row.warm_resident_bytes,
                row.end_resident_bytes,
                row.resident_growth_percent,
                row.descriptors_before,
                row.descriptors_after,
            )?;
        }
        for reason in &self.skipped {
            write!(formatter, "\nSkipped: {reason}")?;
        }
        Ok(())
    }
}

/// The peers that are there, in the order they came in.
struct Peers {
    server: SocketAddr,
    sends: Vec<u8>,
    /// Connections so far: the source address of the next one.
    number: u64,
    resets: u64,
    present: VecDeque<OwnedFd>,
    /// Those that have finished sending and wait for the server to do so.
    leaving: VecDeque<OwnedFd>,
    /// As many may be present, and as many leaving.
    most: usize,
}

impl Peers {
    fn cycle(&mut self, cycles: u64) -> io::Result<()> {
        for _ in 0..cycles {
            let stream = poller::connect(source(self.number), self.server)?;
            if poller::send(&stream, &self.sends)? != self.sends.len() {
                return Err(io::Error::other("so little did not fit into a new connection"));
            }
            self.number += 1;
            self.present.push_back(stream);
            if self.present.len() > self.most {
                self.leave()?;
            }
        }
        while !self.present.is_empty() {
            self.leave()?;
        }
        self.leaving
            .drain(..)
            .try_for_each(|stream| wait_for_end(&stream))
    }

    /// The first one leaves: by a reset, or every other time in good order.
    fn leave(&mut self) -> io::Result<()> {
        let Some(stream) = self.present.pop_front() else {
            return Ok(());
        };
        // Its number is known by those behind it.
        if (self.number - self.present.len() as u64).is_multiple_of(2) {
            self.resets += 1;
            sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
            return Ok(());
        }
        match shutdown(&stream, Shutdown::Write) {
            // The server may have been through with it before.
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => self.leaving.push_back(stream),
            Err(error) => return Err(error.into()),
        }
        if self.leaving.len() > self.most
            && let Some(first) = self.leaving.pop_front()
        {
            wait_for_end(&first)?;
        }
        Ok(())
    }
}

/// Reads until the server has closed its side.
fn wait_for_end(stream: &OwnedFd) -> io::Result<()> {
    let timeout = Timespec::try_from(WITHIN).map_err(io::Error::other)?;
    loop {
        match poller::receive(stream, &mut [0; READ_BYTES]) {
            Ok(Some(0)) | Err(_) => return Ok(()),
            Ok(Some(_)) => {}
            Ok(None) => {
                if poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&timeout))? == 0 {
                    return Err(io::Error::other(
                        "the server does not close a connection that is over",
                    ));
                }
            }
        }
    }
}

fn source(number: u64) -> SocketAddr {
    let z = 1 + number % SOURCES_PER_BYTE;
    let y = number / SOURCES_PER_BYTE % SOURCES_PER_BYTE;
    let x = 2 + number / SOURCES_PER_BYTE / SOURCES_PER_BYTE % SOURCES_PER_BYTE;
    SocketAddr::from((Ipv4Addr::new(127, x as u8, y as u8, z as u8), 0))
}

fn percent(now: u64, before: u64) -> f64 {
    (now as f64 - before as f64) * 100.0 / before.max(1) as f64
}

fn descriptors(server: &Server) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{}/fd", server.pid()))?.count())
}

/// Waits until the server has no more descriptors than `before`, and returns how many it has then, or at the last.
fn settle(server: &Server, before: usize) -> io::Result<usize> {
    let start = Instant::now();
    loop {
        let now = descriptors(server)?;
        if now <= before || start.elapsed() > WITHIN {
            return Ok(now);
        }
        thread::sleep(LOOK);
    }
}

fn start(options: &Options, cores: Cores, kind: Kind) -> io::Result<Server> {
    if kind != Kind::Tls {
        return cores.start(options.server.as_ref(), "echo", &[]);
    }
    // The server has read them when it listens.
    let files = Certificate::new()?;
    let (certificate, key) = (files.certificate.to_string_lossy(), files.key.to_string_lossy());
    let flags = ["--certificate", &*certificate, "--key", &*key];
    cores.start(options.tls_server.as_ref(), "tls-echo", &flags)
}

fn measure_kind(options: &Options, cores: Cores, kind: Kind) -> io::Result<Row> {
    let server = start(options, cores, kind)?;
    let before = descriptors(&server)?;
    let mut peers = Peers {
        server: server.address(),
        sends: kind.sends()?,
        number: 0,
        resets: 0,
        present: VecDeque::new(),
        leaving: VecDeque::new(),
        most: (options.open / 2).max(1),
    };
    peers.cycle(options.warmup)?;
    settle(&server, before)?;
    let resets = peers.resets;
    let (warm, start) = (UserMemory::of(server.pid())?, Instant::now());
    peers.cycle(options.cycles)?;
    let elapsed = start.elapsed();
    let after = settle(&server, before)?;
    let end = UserMemory::of(server.pid())?;
    if kind != Kind::Tls {
        let mut latency = Latency::new()?;
        Quiet::connect(server.address(), 1)?.run(LOOK, LOOK, &mut latency)?;
    }
    Ok(Row {
        kind,
        cycles: options.cycles,
        resets: peers.resets - resets,
        cycles_per_second: options.cycles as f64 / elapsed.as_secs_f64(),
        warm_bytes: warm.anonymous,
        end_bytes: end.anonymous,
        growth_percent: percent(end.anonymous, warm.anonymous),
        warm_resident_bytes: warm.resident,
        end_resident_bytes: end.resident,
        resident_growth_percent: percent(end.resident, warm.resident),
        descriptors_before: before,
        descriptors_after: after,
    })
}

pub(crate) fn measure(options: &Options, cores: Cores) -> io::Result<Report> {
    let tls_server = options
        .tls_server
        .clone()
        .map_or_else(|| children::beside("tls-echo"), Ok)?;
    let mut report = Report::default();
    for &kind in &options.kinds {
        if kind == Kind::Tls && !tls_server.is_file() {
            report
                .skipped
                .push(format!("tls, there is no {}", tls_server.display()));
        } else {
            report.rows.push(measure_kind(options, cores, kind)?);
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench_netcore::frames::{first_frame, whole_frames};

    #[test]
    fn addresses_come_back_only_after_millions() {
        assert_eq!(source(0).to_string(), "127.2.0.1:0");
        assert_eq!(source(249).to_string(), "127.2.0.250:0");
        assert_eq!(source(250).to_string(), "127.2.1.1:0");
        assert_eq!(source(62_500).to_string(), "127.3.0.1:0");
        assert_eq!(source(62_500 * 250 - 1).to_string(), "127.251.249.250:0");
        assert_eq!(source(62_500 * 250), source(0));
    }

    #[test]
    fn growth_is_a_share_of_what_there_was() {
        assert!((percent(102, 100) - 2.0).abs() < 1e-9);
        assert!((percent(50, 100) + 50.0).abs() < 1e-9);
    }

    #[test]
    fn half_a_frame_is_none() {
        assert_eq!(whole_frames(&HALF_FRAME), Ok(0));
        assert!(first_frame(&HALF_FRAME).is_ok_and(|frame| frame > Some(HALF_FRAME.len())));
    }
}
