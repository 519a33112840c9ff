//! Owns the connection that sends frames and reads its echoes as fast as it can, as a process of its own that
//! answers `bytes` with `bytes N`, what has come back. Must never take the processor from the quiet peers beside
//! it: what is measured there is the server.

use crate::Cores;
use bench_netcore::children::Answerer;
use bench_netcore::poller::{self, Events, Poller};
use std::io::{self, BufRead, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// What is written at once, and read at once.
const BATCH_BYTES: usize = 256 * 1024;

/// How long the process may take to start, or to answer.
const WITHIN: Duration = Duration::from_secs(20);

/// How often it is looked whether echoes come.
const LOOK: Duration = Duration::from_millis(5);

/// Looks before a flood that gets nothing back is given up.
const LOOKS_MAX: usize = 2000;

/// The kernel's lowest priority.
const NICE_MAX: i32 = 19;

/// What to send, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The server.
    #[arg(long, value_name = "ADDR")]
    to: SocketAddr,
    /// Bytes of a frame without its length.
    #[arg(long, value_name = "BYTES")]
    size: usize,
}

/// A running flood; it ends when this is dropped.
pub(crate) struct Flood(Answerer);

impl Flood {
    /// Starts it and waits until echoes come back.
    pub(crate) fn start(cores: Cores, to: SocketAddr, size: usize) -> io::Result<Self> {
        let mut command = cores.load.command(std::env::current_exe()?);
        if let Some(core) = cores.load.0 {
            command.args(["--load-core", &core.to_string()]);
        }
        command.args(["flood", "--to", &to.to_string(), "--size", &size.to_string()]);
        let mut flood = Self(Answerer::start(command)?);
        for _ in 0..LOOKS_MAX {
            if flood.bytes()? > 0 {
                return Ok(flood);
            }
            thread::sleep(LOOK);
        }
        Err(io::Error::other("nothing comes back to who sends at full speed"))
    }

    /// Bytes that have come back.
    pub(crate) fn bytes(&mut self) -> io::Result<u64> {
        self.0.ask("bytes")?;
        self.0.answer("bytes", WITHIN)
    }
}

/// Many frames with zeros in them, one behind the other.
pub(crate) fn batch(size: usize) -> io::Result<Vec<u8>> {
    let length = u32::try_from(size).map_err(io::Error::other)?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.resize(frame.len() + size, 0);
    Ok(frame.repeat((BATCH_BYTES / frame.len()).max(1)))
}

/// Floods until the input ends.
pub(crate) fn run(options: &Options) -> io::Result<()> {
    let returned = Arc::new(AtomicU64::new(0));
    let (to, batch, counter) = (options.to, batch(options.size)?, Arc::clone(&returned));
    let flood = thread::spawn(move || flood(to, &batch, &counter));
    for _question in io::stdin().lock().lines() {
        if flood.is_finished() {
            break;
        }
        let mut output = io::stdout().lock();
        writeln!(output, "bytes {}", returned.load(Ordering::Relaxed))?;
        output.flush()?;
    }
    if flood.is_finished() {
        flood
            .join()
            .map_err(|_| io::Error::other("the flood has panicked"))?
    } else {
        Ok(())
    }
}

/// Gives this thread, and no other, the lowest priority: it shares a processor with peers whose latency is measured.
pub(crate) fn stand_back() -> io::Result<()> {
    Ok(rustix::process::setpriority_process(None, NICE_MAX)?)
}

fn flood(to: SocketAddr, batch: &[u8], returned: &AtomicU64) -> io::Result<()> {
    stand_back()?;
    let stream = poller::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), to)?;
    let poller = Poller::new()?;
    poller.add_connection(&stream, 0)?;
    let (mut events, mut buffer, mut at) = (Events::new(), vec![0; BATCH_BYTES], 0);
    loop {
        let sent = poller::send(&stream, &batch[at..])?;
        at = (at + sent) % batch.len();
        let received = poller::receive(&stream, &mut buffer)?;
        if received == Some(0) {
            return Err(io::Error::other(
                "the server has closed the connection at full speed",
            ));
        }
        returned.fetch_add(received.unwrap_or(0) as u64, Ordering::Relaxed);
        if sent == 0 && received.is_none() {
            poller.wait(&mut events, None)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bench_netcore::frames::whole_frames;

    #[test]
    fn a_batch_is_whole_frames_whatever_their_size() {
        for size in [0, 16, 1024, 65_536, 2 * BATCH_BYTES] {
            let batch = batch(size).expect("a batch");
            assert_eq!(whole_frames(&batch), Ok(batch.len()), "{size}");
            assert!(
                batch.len() >= size + 4 && batch.len() <= (size + 4).max(BATCH_BYTES),
                "{size}"
            );
        }
    }
}
