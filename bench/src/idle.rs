//! Connections that are logged in and only send heartbeats: what one costs in memory.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use mio::{Events, Poll, Token};
use protocol::{MessageType, Request, v1};

use crate::{
    BenchError, accounts,
    connection::{Connection, refusal},
    process,
    report::Report,
};

const HEARTBEAT: Duration = Duration::from_secs(15);
/// Connections logged in before their answers are awaited.
const AT_ONCE: usize = 64;

pub(crate) fn run(
    server: SocketAddr,
    pid: Option<u32>,
    count: usize,
    tokens: &Path,
    seconds: u64,
) -> Result<Report, BenchError> {
    let accounts = accounts::read_tokens(tokens, count)?;
    let mut poll = Poll::new()?;
    let before = pid.and_then(process::anonymous_bytes);
    let mut connections: Vec<Connection> = Vec::with_capacity(count);
    let mut events = Events::with_capacity(1024);
    let started = Instant::now();
    let mut welcomed = 0;
    for (index, (_, token)) in accounts.iter().enumerate() {
        let mut connection = Connection::open(server, poll.registry(), Token(index))?;
        connection.resume(0, token)?;
        connections.push(connection);
        while connections.len() - welcomed >= AT_ONCE || (connections.len() == count && welcomed < count) {
            poll.poll(&mut events, Some(Duration::from_secs(5)))?;
            for event in &events {
                let Some(connection) = connections.get_mut(event.token().0) else {
                    continue;
                };
                connection.flush()?;
                connection.frames(|_, frame| {
                    if frame.kind == MessageType::ERROR {
                        return Err(refusal(&frame));
                    }
                    welcomed += usize::from(frame.seq == 1);
                    Ok(())
                })?;
            }
        }
    }
    let connected = started.elapsed();
    let cpu_before = pid.and_then(process::cpu_seconds);
    let (pings, pongs) = stay(&mut poll, &mut connections, seconds)?;
    let mut report = Report::default();
    report.add("connections", count);
    report.add("connect_seconds", connected.as_secs_f64());
    report.add("pings", pings);
    report.add("pongs", pongs);
    if let (Some(before), Some(after)) = (before, pid.and_then(process::anonymous_bytes)) {
        report.add(
            "server_bytes_per_connection",
            after.saturating_sub(before) / (count.max(1) as u64),
        );
        report.add("server_bytes", after);
    }
    if let (Some(before), Some(after)) = (cpu_before, pid.and_then(process::cpu_seconds)) {
        report.add(
            "server_cpu_us_per_ping",
            (after - before) * 1e6 / (pings.max(1) as f64),
        );
    }
    Ok(report)
}

/// Heartbeats, evenly spread; returns how many pings went out and pongs came back.
fn stay(poll: &mut Poll, connections: &mut [Connection], seconds: u64) -> Result<(u64, u64), BenchError> {
    let mut events = Events::with_capacity(1024);
    let started = Instant::now();
    let (mut pings, mut pongs) = (0_u64, 0_u64);
    let every = HEARTBEAT / u32::try_from(connections.len().max(1)).unwrap_or(u32::MAX);
    while started.elapsed() < Duration::from_secs(seconds) || pongs < pings {
        let due = started.elapsed().as_nanos() / every.as_nanos().max(1);
        while u128::from(pings) < due && started.elapsed() < Duration::from_secs(seconds) {
            let index = usize::try_from(pings).unwrap_or(0) % connections.len();
            if let Some(connection) = connections.get_mut(index) {
                connection.request(&Request::Ping(v1::Ping {}), 2)?;
            }
            pings += 1;
        }
        poll.poll(&mut events, Some(every.max(Duration::from_millis(1))))?;
        for event in &events {
            let Some(connection) = connections.get_mut(event.token().0) else {
                continue;
            };
            connection.flush()?;
            connection.frames(|_, frame| {
                pongs += u64::from(frame.seq == 2);
                Ok(())
            })?;
        }
        if started.elapsed() > Duration::from_secs(seconds + 30) {
            return Err(BenchError::Other(format!("{} pongs are missing", pings - pongs)));
        }
    }
    Ok((pings, pongs))
}
