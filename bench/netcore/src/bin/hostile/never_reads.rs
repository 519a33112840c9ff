//! Owns the measurement of peers that send at full speed and never read: what the server keeps for them, and
//! whether it still answers who behaves. Must never read a byte from it on their behalf.

use crate::Cores;
use crate::flood::{batch, stand_back};
use crate::quiet::{Latency, Quiet};
use bench_netcore::frames::{HEADER_BYTES, PAYLOAD_BYTES_MAX};
use bench_netcore::memory::UserMemory;
use bench_netcore::poller::{self, Events, Poller};
use netcore::limits::READ_BUFFER_BYTES;
use rustix::fd::OwnedFd;
use serde::Serialize;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// From one look at the server's memory to the next.
const LOOK: Duration = Duration::from_millis(250);

/// From one frame of the connection that behaves to its next.
const EVERY: Duration = Duration::from_millis(5);

/// How often the peers look whether they are to end.
const WAIT: Duration = Duration::from_millis(50);

/// What netcore's `echo` may keep for a peer by its own settings: an out-queue of one read and the longest frame,
/// and as much undecoded as one read brings.
const BOUND_BYTES: u64 = (2 * READ_BUFFER_BYTES + HEADER_BYTES + PAYLOAD_BYTES_MAX) as u64;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Peers that never read.
    #[arg(long, value_name = "N", default_value_t = 100)]
    peers: usize,
    /// Bytes of their frames.
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    size: usize,
    /// Looks, four a second, at a server that takes nothing more and does not grow before it has levelled off.
    #[arg(long, value_name = "N", default_value_t = 8)]
    looks: u32,
    /// Looks after which that is given up.
    #[arg(long, value_name = "N", default_value_t = 240)]
    looks_max: u32,
    /// The server; `echo` beside this program otherwise.
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    peers: usize,
    /// Bytes of a frame.
    size: usize,
    levelled_off: bool,
    seconds: f64,
    /// Peers whose connection the server ended.
    ended: u64,
    /// Bytes that the server and the kernels' buffers took from a peer.
    taken_per_peer: f64,
    /// Anonymous memory that the server grew by, for each peer.
    server_bytes_per_peer: f64,
    /// What `echo` may keep for a peer by its settings.
    bound_bytes_per_peer: u64,
    /// Frames that the connection which behaves had back meanwhile; none was missing.
    quiet_frames: u64,
    quiet_us_p50: f64,
    quiet_us_p99: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "| peers | frame bytes | levelled off | seconds | ended | bytes taken per peer \
             | server bytes per peer | bound | frames back meanwhile | p50 us | p99 us |\n\
             |--:|--:|--|--:|--:|--:|--:|--:|--:|--:|--:|\n\
             | {} | {} | {} | {:.1} | {} | {:.0} | {:.0} | {} | {} | {:.0} | {:.0} |",
            self.peers,
            self.size,
            if self.levelled_off { "yes" } else { "no" },
            self.seconds,
            self.ended,
            self.taken_per_peer,
            self.server_bytes_per_peer,
            self.bound_bytes_per_peer,
            self.quiet_frames,
            self.quiet_us_p50,
            self.quiet_us_p99,
        )
    }
}

/// What the peers tell, and are told.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    taken: AtomicU64,
    ended: AtomicU64,
}

/// The peers on a thread of their own, which ends with this.
struct Senders {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Senders {
    fn start(server: SocketAddr, peers: usize, size: usize) -> io::Result<Self> {
        let (poller, mut streams) = (Poller::new()?, Vec::with_capacity(peers));
        for place in 0..peers {
            let stream = poller::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), server)?;
            poller.add_connection(&stream, place as u64)?;
            streams.push(Some((stream, 0)));
        }
        let (shared, batch) = (Arc::new(Shared::default()), batch(size)?);
        let told = Arc::clone(&shared);
        let thread = thread::spawn(move || send(&poller, &mut streams, &batch, &told));
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    fn taken(&self) -> u64 {
        self.shared.taken.load(Ordering::Relaxed)
    }

    fn stop(mut self) -> io::Result<()> {
        self.shared.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => Err(io::Error::other("the peers have panicked")),
            Some(Ok(result)) => result,
            None => Ok(()),
        }
    }
}

impl Drop for Senders {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

/// Sends batches, from where each connection stands in its batch.
fn send(
    poller: &Poller,
    streams: &mut [Option<(OwnedFd, usize)>],
    batch: &[u8],
    shared: &Shared,
) -> io::Result<()> {
    stand_back()?;
    let mut events = Events::new();
    while !shared.stop.load(Ordering::Relaxed) {
        poller.wait(&mut events, Some(WAIT))?;
        for ready in events.iter() {
            let Some(place) = streams.get_mut(ready.token as usize) else {
                continue;
            };
            while let Some((stream, at)) = place {
                match poller::send(&*stream, &batch[*at..]) {
                    Ok(0) => break,
                    Ok(sent) => {
                        *at = (*at + sent) % batch.len();
                        shared.taken.fetch_add(sent as u64, Ordering::Relaxed);
                    }
                    Err(_) => {
                        *place = None;
                        shared.ended.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Whether what was looked at several times has stopped to change.
#[derive(Debug, Default)]
struct Level {
    last: Option<(u64, u64)>,
    still: u32,
}

impl Level {
    /// Notes one look; returns at how many in a row nothing more was taken and memory grew by less than 1 %.
    fn look(&mut self, taken: u64, memory: u64) -> u32 {
        let still = self
            .last
            .is_some_and(|(before, least)| taken == before && memory <= least + least / 100);
        if still {
            self.still += 1;
        } else {
            self.still = 0;
            self.last = Some((taken, memory));
        }
        self.still
    }
}

pub(crate) fn measure(options: &Options, cores: Cores) -> io::Result<Report> {
    let server = cores.start(options.server.as_ref(), "echo", &[])?;
    let anonymous = || Ok::<_, io::Error>(UserMemory::of(server.pid())?.anonymous);
    let mut quiet = Quiet::connect(server.address(), 1)?;
    quiet.run(EVERY, LOOK, &mut Latency::new()?)?;

    let (before, start) = (anonymous()?, Instant::now());
    let senders = Senders::start(server.address(), options.peers, options.size)?;
    let (mut latency, mut level, mut levelled_off) = (Latency::new()?, Level::default(), false);
    for _ in 0..options.looks_max {
        quiet.run(EVERY, LOOK, &mut latency)?;
        if level.look(senders.taken(), anonymous()?) >= options.looks {
            levelled_off = true;
            break;
        }
    }
    let peers = options.peers.max(1) as f64;
    let report = Report {
        peers: options.peers,
        size: options.size,
        levelled_off,
        seconds: start.elapsed().as_secs_f64(),
        ended: senders.shared.ended.load(Ordering::Relaxed),
        taken_per_peer: senders.taken() as f64 / peers,
        server_bytes_per_peer: (anonymous()? as f64 - before as f64) / peers,
        bound_bytes_per_peer: BOUND_BYTES,
        quiet_frames: latency.frames(),
        quiet_us_p50: latency.microseconds(0.50),
        quiet_us_p99: latency.microseconds(0.99),
    };
    senders.stop()?;
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_still_grows_has_not_levelled_off() {
        let mut level = Level::default();
        assert_eq!(level.look(10, 1000), 0);
        assert_eq!(level.look(10, 1009), 1);
        assert_eq!(level.look(10, 1010), 2);
        // Slow growth adds up.
        assert_eq!(level.look(10, 1011), 0);
        assert_eq!(level.look(10, 1011), 1);
        assert_eq!(level.look(11, 1011), 0);
    }
}
