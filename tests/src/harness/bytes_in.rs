//! Bytes as they come in, with a deadline. It must never look into them.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use super::PATIENCE;

/// A socket and what was read of it.
#[derive(Debug)]
pub(super) struct BytesIn {
    stream: TcpStream,
    unread: Vec<u8>,
    ended: bool,
}

impl BytesIn {
    pub(super) fn to(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).expect("the daemon accepts connections"))
    }

    pub(super) fn on(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("an option");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        Self {
            stream,
            unread: Vec::new(),
            ended: false,
        }
    }

    pub(super) const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// What came in and was not taken.
    pub(super) fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Takes so many bytes of what came in.
    pub(super) fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.unread.split_off(count);
        std::mem::replace(&mut self.unread, rest)
    }

    /// Takes what comes before `mark`, with the mark; `None` if it has not come.
    pub(super) fn take_through(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        let at = self.unread.windows(mark.len()).position(|part| part == mark)?;
        Some(self.take(at + mark.len()))
    }

    /// Waits until more has come, at most this long: whether it has. False at the end, too.
    pub(super) fn more(&mut self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        while !self.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.stream.set_read_timeout(Some(left)).expect("a read timeout");
            let mut buffer = [0; 64 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.unread.extend_from_slice(&buffer[..count]);
                    return true;
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => self.ended = true,
                    _ => panic!("reading failed: {error}"),
                },
            }
        }
        false
    }

    /// Waits for more. The end fails the test, and so does too long a wait.
    #[track_caller]
    pub(super) fn must_have_more(&mut self) {
        assert!(
            self.more(PATIENCE),
            "nothing more came ({}); unread: {:?}",
            if self.ended { "the end" } else { "too long" },
            String::from_utf8_lossy(&self.unread)
        );
    }

    /// Everything until the other side closes.
    #[track_caller]
    pub(super) fn rest(&mut self) -> Vec<u8> {
        while self.more(PATIENCE) {}
        assert!(self.ended, "the daemon did not close within {PATIENCE:?}");
        std::mem::take(&mut self.unread)
    }

    /// Whether the other side has closed.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }
}
