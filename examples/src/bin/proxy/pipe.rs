//! Owns one direction of a connection through the proxy: what has been received and not yet passed on, and when it
//! may go. A plain state machine in the time it is told; must never hold much more than its limit.

use crate::faults::Faults;
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// Bytes held in one direction before no more are read. One read more can come on top.
pub(crate) const HELD_BYTES_MAX: usize = 256 * 1024;

/// Reads held in one direction before there are no more: small ones cost more than their bytes.
pub(crate) const HELD_READS_MAX: usize = 1024;

/// Bytes passed on at once.
pub(crate) const PIECE_BYTES_MAX: usize = 64 * 1024;

/// What a throttled direction may catch up on after a silence, and pass on at once.
const BURST: Duration = Duration::from_millis(100);

/// What can be done with a direction now.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// These bytes may go, see [`Pipe::passed`].
    Piece(Bytes),
    /// Everything has gone, and so may the end.
    End,
    /// The connection is to be cut.
    Cut,
    /// Nothing before this much time has passed.
    Wait(Duration),
    /// Nothing before something else happens.
    Idle,
}

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    /// With the times of their arrival.
    held: VecDeque<(Instant, Bytes)>,
    held_bytes: usize,
    /// When the end arrived.
    ended: Option<Instant>,
    /// When a throttled direction is free for the next piece.
    free_at: Option<Instant>,
    passed_bytes: u64,
}

impl Pipe {
    /// Bytes have arrived.
    pub(crate) fn push(&mut self, now: Instant, bytes: Bytes) {
        self.held_bytes += bytes.len();
        self.held.push_back((now, bytes));
    }

    /// The end has arrived.
    pub(crate) fn end(&mut self, now: Instant) {
        self.ended.get_or_insert(now);
    }

    pub(crate) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// No more should be read for now.
    pub(crate) fn is_full(&self) -> bool {
        self.held_bytes >= HELD_BYTES_MAX || self.held.len() >= HELD_READS_MAX
    }

    /// What may go now.
    pub(crate) fn next(&self, now: Instant, faults: &Faults) -> Next {
        if faults.black_hole {
            return Next::Idle;
        }
        let left = faults
            .cut_after
            .map_or(u64::MAX, |bytes| bytes.saturating_sub(self.passed_bytes));
        if left == 0 {
            return Next::Cut;
        }
        let head = self.held.front();
        let Some(arrived) = head.map(|(arrived, _)| *arrived).or(self.ended) else {
            return Next::Idle;
        };
        let age = now.saturating_duration_since(arrived);
        if age < faults.delay {
            return Next::Wait(faults.delay - age);
        }
        let Some((_, bytes)) = head else {
            return Next::End;
        };
        let mut length = bytes.len().min(PIECE_BYTES_MAX);
        if let Some(rate) = faults.throttle {
            if let Some(wait) = self.free_at.and_then(|at| at.checked_duration_since(now))
                && !wait.is_zero()
            {
                return Next::Wait(wait);
            }
            length = length.min(in_a_burst(rate));
        }
        length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        Next::Piece(bytes.slice(..length))
    }

    /// So many bytes of the piece that [`next`](Self::next) gave have gone.
    pub(crate) fn passed(&mut self, length: usize, now: Instant, faults: &Faults) {
        let Some((_, bytes)) = self.held.front_mut() else {
            return;
        };
        let length = length.min(bytes.len());
        bytes.advance(length);
        if bytes.is_empty() {
            self.held.pop_front();
        }
        self.held_bytes -= length;
        self.passed_bytes += length as u64;
        self.free_at = faults.throttle.map(|rate| {
            let began = self
                .free_at
                .map_or(now, |at| at.max(now.checked_sub(BURST).unwrap_or(now)));
            began + Duration::from_secs_f64(length as f64 / rate.get() as f64)
        });
    }
}

/// Bytes that this rate allows in the time of a burst, but at least one.
fn in_a_burst(rate: NonZeroU64) -> usize {
    let bytes = u128::from(rate.get()) * BURST.as_millis() / 1000;
    usize::try_from(bytes).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
#[path = "pipe_tests.rs"]
mod tests;
