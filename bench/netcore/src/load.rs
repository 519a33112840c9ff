//! Owns the load on an echo server: a closed loop over many connections on one thread, which checks what comes
//! back and counts it. Must never have more than a window of frames under way on a connection.
//!
//! A window is sent with one write, and the next one when all of it has come back, so that a server sees as many
//! frames per read as the window has.

use crate::cpu::CpuTime;
use crate::frames::{HEADER_BYTES, first_frame};
use crate::poller::{self, Events, Poller, Ready};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What one read takes beyond a frame that is incomplete.
const READ_BYTES: usize = 256 * 1024;

/// Number of the connection and number of the frame, at the beginning of every payload.
const STAMP_BYTES: usize = 8;

/// Without any answer for so long, the server is given up.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How often the end of a phase is looked for while nothing comes back.
const WAIT: Duration = Duration::from_millis(50);

/// Descriptors besides those of connections.
const DESCRIPTORS_BESIDES: usize = 32;

/// The longest latency that is told apart, in nanoseconds.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// What to send, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The echo server.
    pub server: SocketAddr,
    /// Its process, whose CPU time is measured.
    pub server_pid: u32,
    /// Connections, all of them opened before the first frame.
    pub connections: usize,
    /// Bytes of a payload, at least [`Plan::SIZE_MIN`].
    pub size: usize,
    /// Frames under way on each connection.
    pub window: usize,
    /// When to stop.
    pub until: Until,
}

impl Plan {
    /// The shortest payload: it names the connection and the frame.
    pub const SIZE_MIN: usize = STAMP_BYTES;
}

/// The end of a load.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Until {
    /// A warm-up that is not counted, then the time that is.
    Time {
        /// The warm-up.
        warmup: Duration,
        /// The time that is counted.
        measured: Duration,
    },
    /// Every connection has had so many windows back.
    Windows(u32),
}

/// What a load found.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Report {
    /// Frames that came back.
    pub messages: u64,
    /// In this time.
    pub seconds: f64,
    /// Frames per second.
    pub messages_per_second: f64,
    /// CPU time of the server for one frame, in nanoseconds, by the scheduler's account.
    pub cpu_ns_per_message: f64,
    /// The same by ticks, user time only.
    pub user_ns_per_message_by_ticks: f64,
    /// The same by ticks, system time only.
    pub system_ns_per_message_by_ticks: f64,
    /// Share of the time that the server was on its processor.
    pub server_busy: f64,
    /// From the write of a window to the arrival of a frame of it, in microseconds: the median.
    pub latency_us_p50: f64,
    /// The same: what 99 of 100 frames keep.
    pub latency_us_p99: f64,
}

/// Opens the connections, sends, and reports.
///
/// # Errors
/// There are too few descriptors; the server refuses, falls silent, closes, or sends something else back.
pub fn run(plan: &Plan) -> io::Result<Report> {
    let allowed = poller::raise_descriptor_limit()?;
    if plan.connections + DESCRIPTORS_BESIDES > allowed {
        return Err(io::Error::other(format!(
            "{} connections do not go into {allowed} descriptors",
            plan.connections
        )));
    }
    if plan.connections == 0 || plan.window == 0 || plan.size < Plan::SIZE_MIN {
        return Err(io::Error::other(
            "a load needs connections, a window, and payloads of 8 bytes",
        ));
    }
    let mut load = Load::connect(plan)?;
    match plan.until {
        Until::Time { warmup, measured } => load.run_for(warmup, measured),
        Until::Windows(windows) => load.run_windows(windows),
    }
}

struct Client {
    stream: TcpStream,
    /// The beginning of a frame whose end has not come.
    partial: Vec<u8>,
    /// The number of the next frame to come back.
    expected: u32,
    /// Frames of this window that have come back.
    returned: usize,
    /// Bytes of this window that the kernel has taken.
    sent: usize,
    sent_at: Instant,
    windows: u32,
}

struct Load {
    server_pid: u32,
    poller: Poller,
    clients: Vec<Client>,
    window: usize,
    frame_bytes: usize,
    /// A window of frames, stamped anew for every write.
    batch: Vec<u8>,
    buffer: Vec<u8>,
    windows_max: u32,
    finished: usize,
    messages: u64,
    latency: Histogram<u64>,
}

impl Load {
    fn connect(plan: &Plan) -> io::Result<Self> {
        let poller = Poller::new()?;
        let mut clients = Vec::with_capacity(plan.connections);
        for place in 0..plan.connections {
            let stream = TcpStream::connect(plan.server)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            poller.add_connection(&stream, place as u64)?;
            clients.push(Client {
                stream,
                partial: Vec::new(),
                expected: 0,
                returned: 0,
                sent: 0,
                sent_at: Instant::now(),
                windows: 0,
            });
        }
        let frame_bytes = HEADER_BYTES + plan.size;
        Ok(Self {
            server_pid: plan.server_pid,
            poller,
            clients,
            window: plan.window,
            frame_bytes,
            batch: template(plan.size).repeat(plan.window),
            buffer: vec![0; READ_BYTES + frame_bytes],
            windows_max: u32::MAX,
            finished: 0,
            messages: 0,
            latency: Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).map_err(io::Error::other)?,
        })
    }

    fn run_for(&mut self, warmup: Duration, measured: Duration) -> io::Result<Report> {
        self.begin()?;
        self.exchange(Some(Instant::now() + warmup))?;
        self.messages = 0;
        self.latency.reset();
        self.measure(|load| {
            let until = Instant::now() + measured;
            load.exchange(Some(until))
        })
    }

    fn run_windows(&mut self, windows: u32) -> io::Result<Report> {
        self.windows_max = windows;
        self.measure(|load| {
            load.begin()?;
            load.exchange(None)
        })
    }

    fn measure(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<Report> {
        let (cpu, start) = (CpuTime::of(self.server_pid)?, Instant::now());
        work(self)?;
        let (cpu, elapsed) = (CpuTime::of(self.server_pid)?.since(cpu), start.elapsed());
        let messages = self.messages as f64;
        let per_message = |time: Duration| time.as_nanos() as f64 / messages.max(1.0);
        Ok(Report {
            messages: self.messages,
            seconds: elapsed.as_secs_f64(),
            messages_per_second: messages / elapsed.as_secs_f64(),
            cpu_ns_per_message: per_message(cpu.exact),
            user_ns_per_message_by_ticks: per_message(cpu.user_ticks),
            system_ns_per_message_by_ticks: per_message(cpu.system_ticks),
            server_busy: cpu.exact.as_secs_f64() / elapsed.as_secs_f64(),
            latency_us_p50: self.latency.value_at_quantile(0.50) as f64 / 1e3,
            latency_us_p99: self.latency.value_at_quantile(0.99) as f64 / 1e3,
        })
    }

    /// Sends the first window of every connection.
    fn begin(&mut self) -> io::Result<()> {
        for place in 0..self.clients.len() {
            self.send(place)?;
        }
        Ok(())
    }

    /// Keeps the windows going until the time has come or all have finished.
    fn exchange(&mut self, until: Option<Instant>) -> io::Result<()> {
        let mut events = Events::new();
        let (mut heard, mut messages) = (Instant::now(), self.messages);
        while self.finished < self.clients.len() {
            self.poller.wait(&mut events, Some(WAIT))?;
            for ready in events.iter() {
                self.handle(ready)?;
            }
            let now = Instant::now();
            if until.is_some_and(|until| now >= until) {
                return Ok(());
            }
            if self.messages > messages {
                (heard, messages) = (now, self.messages);
            } else if now - heard > SILENCE_MAX {
                return Err(io::Error::other("the server has fallen silent"));
            }
        }
        Ok(())
    }

    fn handle(&mut self, ready: Ready) -> io::Result<()> {
        let place = ready.token as usize;
        let Some(client) = self.clients.get(place) else {
            return Ok(());
        };
        if client.windows < self.windows_max && client.sent < self.batch.len() {
            self.send(place)?;
        }
        if !ready.readable {
            return Ok(());
        }
        loop {
            let client = &mut self.clients[place];
            let held = client.partial.len();
            self.buffer[..held].copy_from_slice(&client.partial);
            let Some(count) = poller::receive(&client.stream, &mut self.buffer[held..])? else {
                return Ok(());
            };
            if count == 0 {
                return Err(io::Error::other("the server has closed a connection"));
            }
            let received = held + count;
            let used = self.check(place, received)?;
            let client = &mut self.clients[place];
            client.partial.clear();
            client.partial.extend_from_slice(&self.buffer[used..received]);
            if client.returned == self.window {
                self.next_window(place)?;
            }
            // A short read has emptied the socket, unless the end is there.
            if received < self.buffer.len() && !ready.ended {
                return Ok(());
            }
        }
    }

    /// Checks the whole frames among the first `received` bytes of the buffer; returns how many bytes they are.
    fn check(&mut self, place: usize, received: usize) -> io::Result<usize> {
        let client = &mut self.clients[place];
        let latency = u64::try_from(client.sent_at.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let (mut used, mut frames) = (0, 0);
        loop {
            let rest = &self.buffer[used..received];
            let Some(length) = first_frame(rest).map_err(|_| wrong("a length"))? else {
                break;
            };
            if length != self.frame_bytes {
                return Err(wrong("a length"));
            }
            let Some(frame) = rest.get(..length) else { break };
            let (stamp, filling) = frame[HEADER_BYTES..].split_at(STAMP_BYTES);
            if stamp != stamp_of(place, client.expected) {
                return Err(wrong("a frame or its order"));
            }
            // Comparing all of every payload would make the load slower than the server.
            let expected = &self.batch[HEADER_BYTES + STAMP_BYTES..length];
            if client.windows == 0 && filling != expected || filling.last() != expected.last() {
                return Err(wrong("a payload"));
            }
            client.expected = client.expected.wrapping_add(1);
            client.returned += 1;
            if client.returned > self.window {
                return Err(wrong("the number of frames"));
            }
            frames += 1;
            used += length;
        }
        self.messages += frames;
        // Longer ones than the histogram has room for count as the longest.
        self.latency.saturating_record_n(latency, frames);
        Ok(used)
    }

    fn next_window(&mut self, place: usize) -> io::Result<()> {
        let client = &mut self.clients[place];
        client.windows = client.windows.saturating_add(1);
        client.returned = 0;
        if client.windows >= self.windows_max {
            self.finished += 1;
            return Ok(());
        }
        client.sent = 0;
        self.send(place)
    }

    /// Sends what is unsent of the window of a connection, as far as the kernel takes it.
    fn send(&mut self, place: usize) -> io::Result<()> {
        let client = &mut self.clients[place];
        if client.sent == 0 {
            client.sent_at = Instant::now();
        }
        let mut number = client.expected.wrapping_sub(client.returned as u32);
        for frame in self.batch.chunks_exact_mut(self.frame_bytes) {
            frame[HEADER_BYTES..HEADER_BYTES + STAMP_BYTES].copy_from_slice(&stamp_of(place, number));
            number = number.wrapping_add(1);
        }
        client.sent += poller::send(&client.stream, &self.batch[client.sent..])?;
        Ok(())
    }
}

/// A frame whose payload has `size` bytes and is not yet stamped.
fn template(size: usize) -> Vec<u8> {
    let mut frame = (size as u32).to_be_bytes().to_vec();
    frame.extend((0..size).map(|index| (index % 251) as u8));
    frame
}

fn stamp_of(place: usize, number: u32) -> [u8; STAMP_BYTES] {
    ((place as u64) << 32 | u64::from(number)).to_be_bytes()
}

fn wrong(what: &str) -> io::Error {
    io::Error::other(format!("the server changed {what}"))
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
