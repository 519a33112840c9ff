//! Owns received bytes that are not yet decoded, for as long as there are any. Must never grow ahead of the bytes that
//! really arrived by more than a constant.

use crate::limits::INBOX_RESERVE_BYTES_MAX;
use crate::time::Tick;

/// The undecoded bytes of one connection: the beginning of a frame, or whole frames that had to wait.
///
/// ```text
///   buffer:  | decoded already | undecoded ...   |
///            0                 head              len
/// ```
#[derive(Debug)]
pub(super) struct Inbox {
    buffer: Vec<u8>,
    head: usize,
    need: usize,
    partial_since: Option<Tick>,
}

impl Inbox {
    pub(super) const fn new() -> Self {
        Self {
            buffer: Vec::new(),
            head: 0,
            need: 0,
            partial_since: None,
        }
    }

    /// The undecoded bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.head..).unwrap_or_default()
    }

    /// How many bytes are undecoded.
    pub(super) const fn len(&self) -> usize {
        self.buffer.len() - self.head
    }

    /// Bytes of memory held.
    pub(super) const fn held(&self) -> usize {
        self.buffer.capacity()
    }

    /// The codec has seen all these bytes and asked for more.
    pub(super) const fn is_partial(&self) -> bool {
        self.len() < self.need
    }

    /// When the codec first asked for the rest of the frame at the head.
    pub(super) const fn partial_since(&self) -> Option<Tick> {
        self.partial_since
    }

    /// Moves the beginning of the partial frame later, by the time its connection was paused.
    pub(super) fn shift(&mut self, paused: crate::time::Ticks) {
        self.partial_since = self.partial_since.map(|since| since.after(paused));
    }

    /// The codec asked for `total` bytes. A hint that asks for nothing new is taken as "one more".
    pub(super) fn need(&mut self, total: usize, now: Tick) {
        self.need = total.max(self.len() + 1);
        self.partial_since.get_or_insert(now);
    }

    /// Appends the rest of `input`.
    pub(super) fn append(&mut self, input: &mut &[u8]) {
        let all = input.len();
        self.take(all, input);
    }

    /// Appends as much of `input` as the frame at the head asked for. A codec that asks for one byte at a time, because
    /// it looks for a delimiter, gets twice as much each time instead; otherwise it would look at the same bytes again
    /// for each byte.
    pub(super) fn fill(&mut self, input: &mut &[u8]) {
        let missing = self.need.saturating_sub(self.len());
        let wanted = if missing <= 1 { self.len().max(64) } else { missing };
        self.take(wanted.min(input.len()), input);
    }

    /// Drops the first `used` bytes, which were a frame.
    pub(super) fn consume(&mut self, used: usize) {
        self.head += used.min(self.len());
        self.need = 0;
        self.partial_since = None;
    }

    fn take(&mut self, count: usize, input: &mut &[u8]) {
        let (taken, rest) = input.split_at(count.min(input.len()));
        if self.head > 0 && self.head >= self.buffer.len() / 2 {
            self.buffer.drain(..self.head);
            self.head = 0;
        }
        let missing = self.need.saturating_sub(self.len());
        let ahead = missing.min(self.len().max(INBOX_RESERVE_BYTES_MAX));
        let wanted = ahead.max(taken.len());
        if self.buffer.capacity() - self.buffer.len() < wanted {
            self.buffer.reserve_exact(wanted.max(self.buffer.len() / 2));
        }
        self.buffer.extend_from_slice(taken);
        *input = rest;
    }
}
