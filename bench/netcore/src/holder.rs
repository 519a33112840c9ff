//! Owns the client that only holds connections: it answers heartbeats, and exchanges a frame on every connection
//! when it is told to. Must never let a heartbeat wait, not even while it connects.
//!
//! It is told by lines on its standard input and answers each with a line: `exchange` with `exchanged N` when a
//! frame came back on all N connections, `pings` with `pings N`. Before, it says `connected N`. At the end of
//! its input it ends.

use crate::frames::{HEADER_BYTES, first_frame};
use crate::poller::{self, Events, Poller, Ready};
use rustix::fd::OwnedFd;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// What one read takes at most.
const READ_BYTES: usize = 4096;

/// Heartbeats are answered at least after so many new connections.
const CONNECTS_AT_ONCE: usize = 256;

/// Source addresses of one client: the fewer ports of an address are taken, the sooner a free one is found.
const SOURCES: usize = 4;

/// The token of the standard input. Connections have their place in the list.
const INPUT: u64 = u64::MAX;

/// A frame of 8 bytes that names the connection.
const STAMPED_BYTES: usize = HEADER_BYTES + 8;

/// What to hold.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The server.
    pub server: SocketAddr,
    /// Connections.
    pub connections: usize,
    /// Tells clients apart: each has loopback addresses of its own to connect from.
    pub number: u8,
}

/// Holds the connections until the input ends.
///
/// # Errors
/// The server refuses, closes a connection, or sends something else back.
pub fn run(plan: &Plan) -> io::Result<()> {
    poller::raise_descriptor_limit()?;
    let mut holder = Holder {
        poller: Poller::new()?,
        held: Vec::with_capacity(plan.connections),
        buffer: [0; READ_BYTES],
        pings: 0,
        returned: 0,
    };
    let mut events = Events::new();
    for place in 0..plan.connections {
        let stream = poller::connect(source(plan.number, place), plan.server)?;
        holder.poller.add_connection(&stream, place as u64)?;
        holder.held.push(Held {
            stream,
            partial: Vec::new(),
        });
        if place % CONNECTS_AT_ONCE == 0 {
            holder.turn(&mut events, Some(Duration::ZERO))?;
        }
    }
    say("connected", plan.connections as u64)?;
    holder.poller.add_listener(io::stdin(), INPUT)?;
    while holder.turn(&mut events, None)? {}
    Ok(())
}

/// Any port of a loopback address that no other client uses.
fn source(number: u8, place: usize) -> SocketAddr {
    let address = Ipv4Addr::new(127, 1, number, 1 + (place % SOURCES) as u8);
    SocketAddr::new(IpAddr::V4(address), 0)
}

struct Held {
    stream: OwnedFd,
    /// The beginning of a frame whose end has not come.
    partial: Vec<u8>,
}

struct Holder {
    poller: Poller,
    held: Vec<Held>,
    buffer: [u8; READ_BYTES],
    pings: u64,
    /// Frames of the current exchange that have come back.
    returned: usize,
}

impl Holder {
    /// Handles what is ready; `false` when the input has ended.
    fn turn(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<bool> {
        self.poller.wait(events, timeout)?;
        for ready in events.iter() {
            if ready.token != INPUT {
                self.receive(ready)?;
            } else if !self.obey()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads a line; whoever asks waits for the answer, so there is never more than one.
    fn obey(&mut self) -> io::Result<bool> {
        let count = rustix::io::read(io::stdin(), &mut self.buffer[..])?;
        match self.buffer[..count].trim_ascii_end() {
            [] => return Ok(count > 0),
            b"exchange" => {
                self.returned = 0;
                for (place, held) in self.held.iter().enumerate() {
                    send_whole(&held.stream, &stamped(place))?;
                }
            }
            b"pings" => say("pings", self.pings)?,
            other => {
                let question = String::from_utf8_lossy(other);
                return Err(io::Error::other(format!("nobody knows what `{question}` asks")));
            }
        }
        Ok(true)
    }

    fn receive(&mut self, ready: Ready) -> io::Result<()> {
        let place = ready.token as usize;
        if !ready.readable {
            return Ok(());
        }
        loop {
            let Some(held) = self.held.get_mut(place) else {
                return Ok(());
            };
            let before = held.partial.len();
            self.buffer[..before].copy_from_slice(&held.partial);
            let Some(count) = poller::receive(&held.stream, &mut self.buffer[before..])? else {
                return Ok(());
            };
            if count == 0 {
                return Err(io::Error::other("the server has closed a connection"));
            }
            let received = before + count;
            let taken = take(&self.buffer[..received], &stamped(place))?;
            held.partial.clear();
            held.partial
                .extend_from_slice(&self.buffer[taken.bytes..received]);
            if taken.pings > 0 {
                self.pings += taken.pings as u64;
                send_whole(&held.stream, &[0; HEADER_BYTES].repeat(taken.pings))?;
            }
            if taken.returned > 0 {
                self.returned += taken.returned;
                if self.returned == self.held.len() {
                    say("exchanged", self.returned as u64)?;
                }
            }
            if received < self.buffer.len() && !ready.ended {
                return Ok(());
            }
        }
    }
}

/// What some bytes held.
#[derive(Debug, Default, Eq, PartialEq)]
struct Taken {
    bytes: usize,
    pings: usize,
    returned: usize,
}

/// Counts pings and frames like `sent` among the whole frames of `input`.
fn take(input: &[u8], sent: &[u8]) -> io::Result<Taken> {
    let mut taken = Taken::default();
    loop {
        let rest = &input[taken.bytes..];
        match first_frame(rest) {
            Ok(Some(HEADER_BYTES)) => {
                taken.pings += 1;
                taken.bytes += HEADER_BYTES;
            }
            Ok(Some(length)) if length == sent.len() => {
                match rest.get(..length) {
                    Some(frame) if frame == sent => {}
                    Some(_) => return Err(io::Error::other("the server changed a frame")),
                    None => return Ok(taken),
                }
                taken.returned += 1;
                taken.bytes += length;
            }
            Ok(None) => return Ok(taken),
            Ok(Some(_)) | Err(_) => return Err(io::Error::other("the server changed a length")),
        }
    }
}

fn stamped(place: usize) -> [u8; STAMPED_BYTES] {
    let mut frame = [0; STAMPED_BYTES];
    frame[HEADER_BYTES - 1] = 8;
    frame[HEADER_BYTES..].copy_from_slice(&(place as u64).to_be_bytes());
    frame
}

/// So little always fits into a socket whose peer reads.
fn send_whole(stream: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    if poller::send(stream, bytes)? == bytes.len() {
        Ok(())
    } else {
        Err(io::Error::other("the server does not read"))
    }
}

fn say(name: &str, number: u64) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{name} {number}")?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_and_answers_are_told_apart_however_they_are_cut() {
        let sent = stamped(5);
        let stream = [&[0; HEADER_BYTES][..], &sent, &[0; HEADER_BYTES]].concat();
        for cut in 0..=stream.len() {
            let first = take(&stream[..cut], &sent).expect("what was sent");
            let second = take(&stream[first.bytes..], &sent).expect("what was sent");
            assert_eq!(first.bytes + second.bytes, stream.len(), "cut at {cut}");
            assert_eq!(first.pings + second.pings, 2, "cut at {cut}");
            assert_eq!(first.returned + second.returned, 1, "cut at {cut}");
        }
    }

    #[test]
    fn the_answer_of_another_connection_is_noticed() {
        assert!(take(&stamped(5), &stamped(6)).is_err());
        assert!(take(&[0, 0, 0, 1], &stamped(6)).is_err());
    }

    #[test]
    fn clients_do_not_share_source_addresses() {
        let addresses: std::collections::HashSet<SocketAddr> = (0..3)
            .flat_map(|number| (0..SOURCES).map(move |place| source(number, place)))
            .collect();
        assert_eq!(addresses.len(), 3 * SOURCES);
        assert!(addresses.iter().all(|address| address.ip().is_loopback()));
    }
}
