//! Owns the peers that behave: each sends a small frame now and then and expects it back. The load is open: a
//! frame is due at its time whether or not others have come back, and its latency counts from then. Must never
//! report a frame that did not come back, or not unchanged.

use bench_netcore::poller::{self, Events, Poller, Ready};
use hdrhistogram::Histogram;
use rustix::fd::OwnedFd;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// A frame of 16 bytes behind its length: the number of the connection, and the number of the frame on it.
const FRAME_BYTES: usize = 20;

/// What one read takes at most.
const READ_BYTES: usize = 4096;

/// Frames that are not back after so long will not come.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// The longest latency that is told apart, in nanoseconds.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// When frames are due. They go to the connections in turn, so that these are evenly out of step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) connections: usize,
    /// From one frame of a connection to its next.
    pub(crate) every: Duration,
    pub(crate) lasting: Duration,
}

impl Schedule {
    /// Frames in all; at least one on each connection.
    pub(crate) fn frames(&self) -> u64 {
        let each = self.lasting.as_nanos() / self.every.as_nanos().max(1);
        u64::try_from(each)
            .unwrap_or(u64::MAX)
            .max(1)
            .saturating_mul(self.connections as u64)
    }

    /// When the frame with this number is due, counted from the beginning.
    pub(crate) fn due(&self, frame: u64) -> Duration {
        let nanoseconds = self.every.as_nanos() * u128::from(frame) / self.connections.max(1) as u128;
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// The number among all of the frame `number` of the connection at `place`.
    fn frame(&self, place: usize, number: u64) -> u64 {
        number * self.connections as u64 + place as u64
    }
}

/// How long frames took, in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    pub(crate) fn new() -> io::Result<Self> {
        Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)
            .map(Self)
            .map_err(io::Error::other)
    }

    fn record(&mut self, latency: Duration) {
        // Longer ones than there is room for count as the longest.
        self.0
            .saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn microseconds(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }

    pub(crate) fn frames(&self) -> u64 {
        self.0.len()
    }
}

struct Peer {
    stream: OwnedFd,
    /// The beginning of a frame whose end has not come.
    partial: Vec<u8>,
    /// The number of the next frame to come back.
    expected: u64,
}

/// Connections that are open from one run to the next.
pub(crate) struct Quiet {
    poller: Poller,
    peers: Vec<Peer>,
}

impl Quiet {
    pub(crate) fn connect(server: SocketAddr, connections: usize) -> io::Result<Self> {
        // Otherwise the kernel wakes us 50 microseconds late, which would hide as much of what the server does.
        rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?;
        let poller = Poller::new()?;
        let mut peers = Vec::with_capacity(connections);
        for place in 0..connections {
            let stream = poller::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), server)?;
            poller.add_connection(&stream, place as u64)?;
            peers.push(Peer {
                stream,
                partial: Vec::new(),
                expected: 0,
            });
        }
        Ok(Self { poller, peers })
    }

    /// Sends for so long, waits for everything to come back, and adds how long it took.
    pub(crate) fn run(
        &mut self,
        every: Duration,
        lasting: Duration,
        latency: &mut Latency,
    ) -> io::Result<()> {
        let schedule = Schedule {
            connections: self.peers.len(),
            every,
            lasting,
        };
        for peer in &mut self.peers {
            peer.expected = 0;
        }
        let (frames, mut next, mut returned) = (schedule.frames(), 0, 0);
        let (mut events, start) = (Events::new(), Instant::now());
        while returned < frames {
            let mut elapsed = start.elapsed();
            while next < frames && schedule.due(next) <= elapsed {
                self.send(next)?;
                next += 1;
                elapsed = start.elapsed();
            }
            let timeout = if next < frames {
                schedule.due(next).saturating_sub(elapsed)
            } else {
                (schedule.due(frames) + SILENCE_MAX).saturating_sub(elapsed)
            };
            if next == frames && timeout.is_zero() {
                return Err(io::Error::other(format!(
                    "only {returned} of {frames} frames came back"
                )));
            }
            // A frame that is late because of us would count as late because of the server.
            self.poller.wait_exactly(&mut events, timeout)?;
            for ready in events.iter().filter(|ready| ready.readable) {
                returned += self.receive(ready, |place, number| {
                    latency.record(
                        start
                            .elapsed()
                            .saturating_sub(schedule.due(schedule.frame(place, number))),
                    );
                })?;
            }
        }
        Ok(())
    }

    fn send(&self, frame: u64) -> io::Result<()> {
        let connections = self.peers.len() as u64;
        let place = (frame % connections) as usize;
        // So little always fits into a socket whose peer reads.
        match poller::send(&self.peers[place].stream, &stamped(place, frame / connections))? {
            FRAME_BYTES => Ok(()),
            _ => Err(io::Error::other("the server does not read from who behaves")),
        }
    }

    /// Tells of each frame of a connection that has come back, and returns how many there were.
    fn receive(&mut self, ready: Ready, mut each: impl FnMut(usize, u64)) -> io::Result<u64> {
        let place = ready.token as usize;
        let mut frames = 0;
        let mut buffer = [0; READ_BYTES];
        while let Some(peer) = self.peers.get_mut(place) {
            let held = peer.partial.len();
            buffer[..held].copy_from_slice(&peer.partial);
            let Some(count) = poller::receive(&peer.stream, &mut buffer[held..])? else {
                break;
            };
            if count == 0 {
                return Err(io::Error::other(
                    "the server has closed the connection of who behaves",
                ));
            }
            let mut whole = buffer[..held + count].chunks_exact(FRAME_BYTES);
            for frame in whole.by_ref() {
                if frame != stamped(place, peer.expected) {
                    return Err(io::Error::other("the server changed a frame or its order"));
                }
                each(place, peer.expected);
                peer.expected += 1;
                frames += 1;
            }
            peer.partial.clear();
            peer.partial.extend_from_slice(whole.remainder());
            if held + count < buffer.len() && !ready.ended {
                break;
            }
        }
        Ok(frames)
    }
}

fn stamped(place: usize, number: u64) -> [u8; FRAME_BYTES] {
    let mut frame = [0; FRAME_BYTES];
    frame[3] = 16;
    frame[4..12].copy_from_slice(&(place as u64).to_be_bytes());
    frame[12..].copy_from_slice(&number.to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule = Schedule {
        connections: 100,
        every: Duration::from_millis(10),
        lasting: Duration::from_secs(2),
    };

    #[test]
    fn every_connection_has_its_turn_within_an_interval() {
        assert_eq!(SCHEDULE.frames(), 20_000);
        assert_eq!(SCHEDULE.due(0), Duration::ZERO);
        assert_eq!(SCHEDULE.due(99), Duration::from_micros(9_900));
        assert_eq!(SCHEDULE.due(100), Duration::from_millis(10));
        // The third frame of the sixth connection.
        assert_eq!(SCHEDULE.frame(5, 2), 205);
        assert_eq!(SCHEDULE.due(205), Duration::from_micros(20_500));
    }

    #[test]
    fn a_moment_is_a_frame_on_each_connection() {
        let lasting = Duration::from_millis(1);
        assert_eq!(Schedule { lasting, ..SCHEDULE }.frames(), 100);
    }

    #[test]
    fn a_frame_says_its_length() {
        assert_eq!(
            bench_netcore::frames::whole_frames(&stamped(1, 2)),
            Ok(FRAME_BYTES)
        );
        assert_ne!(stamped(1, 2), stamped(2, 1));
    }
}
