//! Owns the measurement of peers that send a frame one byte at a time: when the server is through with them. Must
//! never finish a frame.

use crate::Cores;
use crate::quiet::Schedule;
use bench_netcore::frames::{HEADER_BYTES, PAYLOAD_BYTES_MAX};
use bench_netcore::memory::UserMemory;
use bench_netcore::poller::{self, Events, Poller, Ready};
use bench_netcore::statistics::{Summary, show};
use rustix::fd::OwnedFd;
use serde::Serialize;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What one read takes at most: pings that nobody answers.
const READ_BYTES: usize = 4096;

/// The server gets twice the deadline and so much more.
const GRACE: Duration = Duration::from_secs(10);

/// The longest wait for an event.
const WAIT: Duration = Duration::from_millis(50);

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Connections.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    connections: usize,
    /// From one byte of a connection to its next, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    every_ms: u64,
    /// What the server gives a frame from its first byte to its last, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    frame_deadline_ms: u64,
    /// The server; `heartbeat-server` beside this program otherwise.
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    connections: usize,
    frame_deadline_seconds: f64,
    /// Connections that the server closed before it was given up.
    closed: usize,
    /// From the first byte to the end, as the peer sees it.
    seconds: Option<Summary>,
    /// Anonymous memory of the server for each connection, when all had sent two bytes.
    server_bytes_per_connection: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "| connections | deadline s | closed | seconds to the end | server bytes per connection |\n\
             |--:|--:|--:|--:|--:|\n\
             | {} | {:.1} | {} | {} | {:.0} |",
            self.connections,
            self.frame_deadline_seconds,
            self.closed,
            show(self.seconds, 2),
            self.server_bytes_per_connection,
        )
    }
}

struct Peer {
    /// `None` once the server has closed it.
    stream: Option<OwnedFd>,
    first_byte: Option<Instant>,
    sent: usize,
    lived: Option<Duration>,
}

impl Peer {
    fn send(&mut self) {
        let Some(stream) = &self.stream else { return };
        self.first_byte.get_or_insert_with(Instant::now);
        match poller::send(stream, &[byte(self.sent)]) {
            Ok(sent) => self.sent += sent,
            Err(_) => self.end(),
        }
    }

    fn receive(&mut self, ready: Ready) {
        while let Some(stream) = self.stream.as_ref().filter(|_| ready.readable) {
            match poller::receive(stream, &mut [0; READ_BYTES]) {
                Ok(None) => return,
                Ok(Some(0)) | Err(_) => self.end(),
                Ok(Some(_)) => {}
            }
        }
    }

    fn end(&mut self) {
        self.stream = None;
        self.lived = self.first_byte.map(|first_byte| first_byte.elapsed());
    }
}

/// A byte of the longest frame.
fn byte(place: usize) -> u8 {
    let header = (PAYLOAD_BYTES_MAX as u32).to_be_bytes();
    header.get(place).copied().unwrap_or(0)
}

pub(crate) fn measure(options: &Options, cores: Cores) -> io::Result<Report> {
    let deadline = options.frame_deadline_ms.to_string();
    let flags = ["--frame-deadline-ms", &deadline];
    let server = cores.start(options.server.as_ref(), "heartbeat-server", &flags)?;
    let anonymous = || Ok::<_, io::Error>(UserMemory::of(server.pid())?.anonymous as f64);
    let before = anonymous()?;
    let frame_deadline = Duration::from_millis(options.frame_deadline_ms);
    let schedule = Schedule {
        connections: options.connections.max(1),
        every: Duration::from_millis(options.every_ms.max(1)),
        lasting: frame_deadline * 2 + GRACE,
    };
    let bytes_max = schedule.frames() / schedule.connections as u64;
    if bytes_max >= (HEADER_BYTES + PAYLOAD_BYTES_MAX) as u64 {
        return Err(io::Error::other("a frame would be finished"));
    }
    let mut peers = connect(server.address(), schedule.connections)?;
    let with_two_bytes = 2 * schedule.connections as u64;
    let (mut grown, mut next, start) = (0.0, 0, Instant::now());
    let mut events = Events::new();
    while start.elapsed() < schedule.lasting && peers.1.iter().any(|peer| peer.stream.is_some()) {
        while next < schedule.frames() && schedule.due(next) <= start.elapsed() {
            let place = (next % schedule.connections as u64) as usize;
            peers.1[place].send();
            next += 1;
            if next == with_two_bytes {
                grown = anonymous()? - before;
            }
        }
        let until_next = schedule.due(next).saturating_sub(start.elapsed());
        peers.0.wait(&mut events, Some(until_next.min(WAIT)))?;
        for ready in events.iter() {
            if let Some(peer) = peers.1.get_mut(ready.token as usize) {
                peer.receive(ready);
            }
        }
    }
    let lived: Vec<f64> = peers
        .1
        .iter()
        .filter_map(|peer| Some(peer.lived?.as_secs_f64()))
        .collect();
    Ok(Report {
        connections: schedule.connections,
        frame_deadline_seconds: frame_deadline.as_secs_f64(),
        closed: lived.len(),
        seconds: Summary::of(&lived),
        server_bytes_per_connection: grown / schedule.connections as f64,
    })
}

fn connect(server: SocketAddr, connections: usize) -> io::Result<(Poller, Vec<Peer>)> {
    let (poller, mut peers) = (Poller::new()?, Vec::with_capacity(connections));
    for place in 0..connections {
        let stream = poller::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), server)?;
        poller.add_connection(&stream, place as u64)?;
        peers.push(Peer {
            stream: Some(stream),
            first_byte: None,
            sent: 0,
            lived: None,
        });
    }
    Ok((poller, peers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench_netcore::frames::first_frame;

    #[test]
    fn the_frame_is_as_long_as_can_be() {
        let header: Vec<u8> = (0..HEADER_BYTES + 1).map(byte).collect();
        assert_eq!(first_frame(&header), Ok(Some(HEADER_BYTES + PAYLOAD_BYTES_MAX)));
    }
}
