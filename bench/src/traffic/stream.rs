//! What one sender has planned, sent, and knows the fate of.

use std::collections::VecDeque;

use crate::dialect::Target;

/// A message of this intended time is acknowledged.
const ACKED: u64 = u64::MAX;

/// The messages of one sender to one target, in order.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) connection: usize,
    pub(super) target: Target,
    /// Receivers that a window waits for.
    pub(super) awaited: u32,
    /// Receivers in all.
    pub(super) receivers: u32,
    /// Messages that are to be sent in all, as far as is known.
    pub(super) planned: u64,
    pub(super) sent: u64,
    /// Sent and not acknowledged.
    pub(super) unacked: usize,
    /// Whether the connection is up.
    pub(super) is_online: bool,
    /// In the list of those that may have something to send.
    pub(super) is_due: bool,
    /// Intended times of the messages from `acked_up_to` on.
    intended: VecDeque<u64>,
    acked_up_to: u64,
    /// How many awaited receivers lack each message from `complete_up_to` on.
    lacking: VecDeque<u32>,
    complete_up_to: u64,
}

impl Stream {
    pub(super) fn new(connection: usize, target: Target, receivers: u32, awaited: u32) -> Self {
        Self {
            connection,
            target,
            awaited,
            receivers,
            planned: 0,
            sent: 0,
            unacked: 0,
            is_online: true,
            is_due: false,
            intended: VecDeque::new(),
            acked_up_to: 0,
            lacking: VecDeque::new(),
            complete_up_to: 0,
        }
    }

    /// Messages that are not both acknowledged and delivered to everyone who is waited for.
    pub(super) fn outstanding(&self) -> u64 {
        let done = if self.awaited == 0 {
            self.acked_up_to
        } else {
            self.acked_up_to.min(self.complete_up_to)
        };
        self.sent - done
    }

    /// Takes the next counter, meant for `intended_ns`.
    pub(super) fn send(&mut self, intended_ns: u64) -> u64 {
        let counter = self.sent;
        self.sent += 1;
        self.unacked += 1;
        self.intended.push_back(intended_ns);
        if self.awaited > 0 {
            self.lacking.push_back(self.awaited);
        }
        counter
    }

    /// When the message was meant to be sent, if it was not acknowledged before.
    pub(super) fn ack(&mut self, counter: u64) -> Option<u64> {
        let at = usize::try_from(counter.checked_sub(self.acked_up_to)?).ok()?;
        let intended = self.intended.get_mut(at).filter(|intended| **intended != ACKED)?;
        let found = std::mem::replace(intended, ACKED);
        self.unacked = self.unacked.saturating_sub(1);
        while self.intended.front() == Some(&ACKED) {
            self.intended.pop_front();
            self.acked_up_to += 1;
        }
        Some(found)
    }

    /// One of the receivers that are waited for has it.
    pub(super) fn complete(&mut self, counter: u64) {
        let at = counter
            .checked_sub(self.complete_up_to)
            .and_then(|at| usize::try_from(at).ok());
        if let Some(lacking) = at.and_then(|at| self.lacking.get_mut(at)) {
            *lacking = lacking.saturating_sub(1);
        }
        while self.lacking.front() == Some(&0) {
            self.lacking.pop_front();
            self.complete_up_to += 1;
        }
    }

    /// What was sent and not acknowledged, oldest first: counter and intended time.
    pub(super) fn unacknowledged(&self) -> impl Iterator<Item = (u64, u64)> {
        (self.acked_up_to..)
            .zip(self.intended.iter().copied())
            .filter(|(_, intended)| *intended != ACKED)
    }
}
