//! Pairs that write to each other: in each, one connection sends and the other receives.
//!
//! Every body carries its pair, a counter and a checksum. A message counts as delivered when the receiver
//! got exactly the next counter of its pair with a good checksum. Open loop measures from the time a
//! message was meant to be sent, so a server that stalls is not spared by a sender that waits for it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};
use protocol::{Command, Encoding, Frame, MessageType, Request, direct_conversation, v1};

use crate::{
    BenchError, Chat, accounts,
    connection::{Connection, refusal},
    process,
    report::Report,
};

/// Bytes that a body carries for the checks: pair, counter, intended time, checksum.
const STAMP_BYTES: usize = 28;
/// Sends of one connection that may be unanswered; the server's own limit is 32.
const IN_FLIGHT_MAX: usize = 32;
/// Latencies beyond a minute count as a minute.
const LATENCY_MAX_NS: u64 = 60_000_000_000;
/// How long outstanding messages are waited for at the end.
const SETTLE: Duration = Duration::from_secs(20);

struct Pair {
    sender: Connection,
    receiver: Connection,
    conversation: u64,
    sent: u64,
    acked: u64,
    delivered: u64,
    next_seq: u16,
    /// Intended times of messages that are not acknowledged, by request seq.
    in_flight: Vec<(u16, u64)>,
}

#[derive(Default)]
struct Counts {
    acked: u64,
    delivered: u64,
    duplicated: u64,
    misordered: u64,
    corrupted: u64,
}

struct Run<'a> {
    chat: &'a Chat,
    pairs: Vec<Pair>,
    started: Instant,
    measuring: bool,
    counts: Counts,
    acks: Histogram<u64>,
    deliveries: Histogram<u64>,
    /// Tells this run's client ids from every other's.
    run: u64,
}

pub(crate) fn run(server: SocketAddr, pid: Option<u32>, chat: &Chat) -> Result<Report, BenchError> {
    if chat.size < STAMP_BYTES {
        return Err(BenchError::Other(format!(
            "--size must be at least {STAMP_BYTES}"
        )));
    }
    let mut poll = Poll::new()?;
    let mut run = Run {
        chat,
        pairs: connect(server, &mut poll, chat)?,
        started: Instant::now(),
        measuring: false,
        counts: Counts::default(),
        acks: histogram()?,
        deliveries: histogram()?,
        run: accounts::random()?,
    };
    let warm_up = Duration::from_secs(chat.warm_up);
    let end = warm_up + Duration::from_secs(chat.seconds);
    run.drive(&mut poll, warm_up)?;
    run.measuring = true;
    run.counts = Counts::default();
    let (measured, cpu_before) = (Instant::now(), pid.and_then(process::cpu_seconds));
    run.drive(&mut poll, end)?;
    let (seconds, cpu_after) = (
        measured.elapsed().as_secs_f64(),
        pid.and_then(process::cpu_seconds),
    );
    run.measuring = false;
    let (acked, delivered) = (run.counts.acked, run.counts.delivered);
    run.settle(&mut poll)?;
    let mut report = run.report(seconds, acked, delivered);
    if let (Some(before), Some(after)) = (cpu_before, cpu_after) {
        report.add(
            "server_cpu_us_per_delivered",
            (after - before) * 1e6 / (delivered.max(1) as f64),
        );
        report.add("server_cpu_seconds", after - before);
    }
    Ok(report)
}

fn histogram() -> Result<Histogram<u64>, BenchError> {
    Histogram::new_with_max(LATENCY_MAX_NS, 3).map_err(|error| BenchError::Other(error.to_string()))
}

fn connect(server: SocketAddr, poll: &mut Poll, chat: &Chat) -> Result<Vec<Pair>, BenchError> {
    let accounts = accounts::read_tokens(&chat.tokens, chat.pairs * 2)?;
    let mut pairs = Vec::with_capacity(chat.pairs);
    for (index, two) in accounts.chunks_exact(2).enumerate() {
        let [(one, token), (other, other_token)] = two else {
            continue;
        };
        let mut sender = Connection::open(server, poll.registry(), Token(index * 2))?;
        sender.resume(index * 2, token)?;
        let mut receiver = Connection::open(server, poll.registry(), Token(index * 2 + 1))?;
        receiver.resume(index * 2 + 1, other_token)?;
        let conversation = direct_conversation(*one, *other)
            .ok_or_else(|| BenchError::Other("two accounts are one".to_owned()))?
            .get();
        let in_flight = Vec::with_capacity(IN_FLIGHT_MAX);
        pairs.push(Pair {
            sender,
            receiver,
            conversation,
            sent: 0,
            acked: 0,
            delivered: 0,
            next_seq: 2,
            in_flight,
        });
    }
    await_welcomes(poll, &mut pairs)?;
    Ok(pairs)
}

fn await_welcomes(poll: &mut Poll, pairs: &mut [Pair]) -> Result<(), BenchError> {
    let mut events = Events::with_capacity(1024);
    let mut missing = pairs.len() * 2;
    while missing > 0 {
        poll.poll(&mut events, Some(Duration::from_secs(10)))?;
        if events.is_empty() {
            return Err(BenchError::Other(format!(
                "{missing} connections were not welcomed"
            )));
        }
        for event in &events {
            let Some(pair) = pairs.get_mut(event.token().0 / 2) else {
                continue;
            };
            let connection = if event.token().0.is_multiple_of(2) {
                &mut pair.sender
            } else {
                &mut pair.receiver
            };
            connection.flush()?;
            connection.frames(|_, frame| {
                if frame.kind == MessageType::ERROR {
                    return Err(refusal(&frame));
                }
                missing -= usize::from(frame.seq == 1);
                Ok(())
            })?;
        }
    }
    Ok(())
}

impl Run<'_> {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Loads the server until `until` after the start.
    fn drive(&mut self, poll: &mut Poll, until: Duration) -> Result<(), BenchError> {
        let mut events = Events::with_capacity(1024);
        while self.started.elapsed() < until {
            let wait = self.send_due()?;
            poll.poll(&mut events, Some(wait))?;
            self.handle(&events)?;
        }
        Ok(())
    }

    /// Waits for what is outstanding, sending nothing more.
    fn settle(&mut self, poll: &mut Poll) -> Result<(), BenchError> {
        let mut events = Events::with_capacity(1024);
        let started = Instant::now();
        let outstanding = |run: &Self| {
            run.pairs
                .iter()
                .any(|pair| pair.acked < pair.sent || pair.delivered < pair.sent)
        };
        while outstanding(self) && started.elapsed() < SETTLE {
            poll.poll(&mut events, Some(Duration::from_millis(50)))?;
            self.handle(&events)?;
        }
        Ok(())
    }

    /// Sends whatever is due and says how long nothing will be.
    fn send_due(&mut self) -> Result<Duration, BenchError> {
        let now = self.now_ns();
        match self.chat.rate {
            None => {
                for index in 0..self.pairs.len() {
                    while let Some(pair) = self.pairs.get(index)
                        && usize::try_from(pair.sent - pair.acked.min(pair.delivered)).unwrap_or(usize::MAX)
                            < self.chat.window
                        && pair.in_flight.len() < IN_FLIGHT_MAX
                    {
                        self.send(index, now)?;
                    }
                }
                Ok(Duration::from_millis(100))
            }
            Some(rate) => {
                let pairs = self.pairs.len() as u64;
                let every = 1_000_000_000 * pairs / rate.max(1);
                let mut next = u64::MAX;
                for index in 0..self.pairs.len() {
                    let offset = every * index as u64 / pairs.max(1);
                    while let Some(pair) = self.pairs.get(index) {
                        let intended = offset + pair.sent * every;
                        if intended > now || pair.in_flight.len() >= IN_FLIGHT_MAX {
                            next = next.min(intended.max(now + 100_000));
                            break;
                        }
                        self.send(index, intended)?;
                    }
                }
                Ok(Duration::from_nanos(next.saturating_sub(self.now_ns())).min(Duration::from_millis(100)))
            }
        }
    }

    fn send(&mut self, index: usize, intended: u64) -> Result<(), BenchError> {
        let (run, size) = (self.run, self.chat.size);
        let Some(pair) = self.pairs.get_mut(index) else {
            return Ok(());
        };
        let body = stamp(index as u64, pair.sent, intended, size);
        let mut client_id = [0; 16];
        client_id[..8].copy_from_slice(&(pair.sent << 16 | index as u64).to_be_bytes());
        client_id[8..].copy_from_slice(&run.to_be_bytes());
        let request = Request::Send(v1::SendRequest {
            conversation_id: pair.conversation,
            client_msg_id: Bytes::copy_from_slice(&client_id),
            kind: v1::EventKind::Text.into(),
            content: Some(v1::Content {
                body,
                ..v1::Content::default()
            }),
            ..v1::SendRequest::default()
        });
        pair.in_flight.push((pair.next_seq, intended));
        pair.sender.request(&request, pair.next_seq)?;
        pair.sent += 1;
        pair.next_seq = if pair.next_seq == u16::MAX {
            2
        } else {
            pair.next_seq + 1
        };
        Ok(())
    }

    fn handle(&mut self, events: &Events) -> Result<(), BenchError> {
        for event in events {
            let (now, index) = (self.now_ns(), event.token().0);
            let Some(pair) = self.pairs.get_mut(index / 2) else {
                continue;
            };
            let Pair {
                sender,
                receiver,
                acked,
                delivered,
                in_flight,
                ..
            } = pair;
            let (counts, measuring) = (&mut self.counts, self.measuring);
            if index.is_multiple_of(2) {
                let acks = &mut self.acks;
                sender.flush()?;
                sender.frames(|_, frame| {
                    if frame.kind == MessageType::ERROR {
                        return Err(refusal(&frame));
                    }
                    if let Some(at) = in_flight.iter().position(|(seq, _)| *seq == frame.seq) {
                        let (_, intended) = in_flight.swap_remove(at);
                        *acked += 1;
                        counts.acked += 1;
                        record(acks, measuring, now, intended);
                    }
                    Ok(())
                })?;
            } else {
                let deliveries = &mut self.deliveries;
                receiver.flush()?;
                receiver.frames(|_, frame| {
                    for (pair, counter, intended) in messages(&frame, counts) {
                        if pair != (index / 2) as u64 || counter > *delivered {
                            counts.misordered += 1;
                        } else if counter < *delivered {
                            counts.duplicated += 1;
                        } else {
                            *delivered += 1;
                            counts.delivered += 1;
                            record(deliveries, measuring, now, intended);
                        }
                    }
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn report(&self, seconds: f64, acked: u64, delivered: u64) -> Report {
        let lost: u64 = self
            .pairs
            .iter()
            .map(|pair| pair.sent - pair.delivered.min(pair.sent))
            .sum();
        let mut report = Report::default();
        report.add("sent", self.pairs.iter().map(|pair| pair.sent).sum::<u64>());
        report.add("acked", acked);
        report.add("delivered", delivered);
        report.add_violations("lost", lost);
        report.add_violations("duplicated", self.counts.duplicated);
        report.add_violations("misordered", self.counts.misordered);
        report.add_violations("corrupted", self.counts.corrupted);
        report.add("seconds", seconds);
        report.add("acked_per_s", (acked as f64 / seconds).round());
        report.add("delivered_per_s", (delivered as f64 / seconds).round());
        report.add_latency("ack", &self.acks);
        report.add_latency("deliver", &self.deliveries);
        report
    }
}

fn record(histogram: &mut Histogram<u64>, measuring: bool, now: u64, intended: u64) {
    if measuring {
        histogram.saturating_record(now.saturating_sub(intended));
    }
}

fn stamp(pair: u64, counter: u64, intended: u64, size: usize) -> Bytes {
    let mut body = BytesMut::zeroed(size);
    let numbers = [pair.to_be_bytes(), counter.to_be_bytes(), intended.to_be_bytes()].concat();
    let sum = checksum(&numbers);
    body[..24].copy_from_slice(&numbers);
    body[24..STAMP_BYTES].copy_from_slice(&sum.to_be_bytes());
    body.freeze()
}

/// FNV-1a over the stamp.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811C_9DC5, |sum, byte| {
        (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// Pair, counter and intended time of every message in a push.
fn messages(frame: &Frame, counts: &mut Counts) -> Vec<(u64, u64, u64)> {
    if frame.kind != MessageType::request(Command::EventsPush.number()) {
        return Vec::new();
    }
    let Ok(page) = Encoding::Protobuf.decode::<v1::Page>(frame.body.clone()) else {
        counts.corrupted += 1;
        return Vec::new();
    };
    let bodies = page.events.into_iter().filter_map(|event| event.body?.content);
    let mut found = Vec::new();
    for content in bodies {
        match read_stamp(&content.body) {
            Some(stamp) => found.push(stamp),
            None => counts.corrupted += 1,
        }
    }
    found
}

fn read_stamp(body: &[u8]) -> Option<(u64, u64, u64)> {
    let numbers = body.get(..24)?;
    let sum = u32::from_be_bytes(body.get(24..STAMP_BYTES)?.try_into().ok()?);
    let number = |at: usize| numbers.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
    (checksum(numbers) == sum).then_some(())?;
    Some((number(0)?, number(8)?, number(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_and_damage_is_seen() {
        let body = stamp(3, 4, 5, 64);
        assert_eq!(read_stamp(&body), Some((3, 4, 5)));
        let mut damaged = body.to_vec();
        damaged[9] ^= 1;
        assert_eq!(read_stamp(&damaged), None);
        assert_eq!(read_stamp(&body[..27]), None);
    }
}
