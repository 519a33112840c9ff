//! The bounded queue between a subscription and its receiver.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

/// An entry of the queue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Hint {
    /// A hint.
    Bytes(Bytes),
    /// Hints may have been lost here: read what is new from the store.
    Lost,
}

/// The sending end. It stops when its receiver is dropped.
#[derive(Clone, Debug)]
pub(super) struct HintSender(Arc<Queue>);

/// The receiving end. Dropping it ends the subscription.
#[derive(Debug)]
pub struct HintReceiver(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    hints_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    hints: VecDeque<Hint>,
    bytes: usize,
    closed: bool,
}

/// A queue for this many hints with this many bytes together, and one mark.
pub(super) fn queue(hints_max: usize, bytes_max: usize) -> (HintSender, HintReceiver) {
    let queue = Arc::new(Queue {
        state: Mutex::default(),
        filled: Condvar::new(),
        hints_max,
        bytes_max,
    });
    (HintSender(Arc::clone(&queue)), HintReceiver(queue))
}

impl HintSender {
    /// Adds a hint; if there is no room, the mark that one is missing.
    pub(super) fn send(&self, bytes: Bytes) {
        let mut state = self.0.state.lock();
        if state.hints.len() >= self.0.hints_max || state.bytes + bytes.len() > self.0.bytes_max {
            state.mark_lost();
        } else {
            state.bytes += bytes.len();
            state.hints.push_back(Hint::Bytes(bytes));
        }
        drop(state);
        self.0.filled.notify_one();
    }

    /// Adds the mark that hints may be missing. Several marks in a row count as one.
    pub(super) fn lose(&self) {
        self.0.state.lock().mark_lost();
        self.0.filled.notify_one();
    }

    /// The receiver is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.0.state.lock().closed
    }

    /// Waits until the receiver is gone, but no longer than this.
    pub(super) fn wait_closed(&self, within: Duration) -> bool {
        let mut state = self.0.state.lock();
        self.0
            .filled
            .wait_while_for(&mut state, |state| !state.closed, within);
        state.closed
    }
}

impl State {
    fn mark_lost(&mut self) {
        if self.hints.back() != Some(&Hint::Lost) {
            self.hints.push_back(Hint::Lost);
        }
    }

    fn take(&mut self) -> Option<Hint> {
        let hint = self.hints.pop_front()?;
        if let Hint::Bytes(bytes) = &hint {
            self.bytes -= bytes.len();
        }
        Some(hint)
    }
}

impl HintReceiver {
    /// The next hint, waiting for it no longer than this.
    pub fn receive(&self, within: Duration) -> Option<Hint> {
        let mut state = self.0.state.lock();
        self.0
            .filled
            .wait_while_for(&mut state, |state| state.hints.is_empty(), within);
        state.take()
    }
}

impl Drop for HintReceiver {
    fn drop(&mut self) {
        self.0.state.lock().closed = true;
        self.0.filled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Hint {
        Hint::Bytes(Bytes::from_static(text.as_bytes()))
    }

    fn all(receiver: &HintReceiver) -> Vec<Hint> {
        std::iter::from_fn(|| receiver.receive(Duration::ZERO)).collect()
    }

    #[test]
    fn what_does_not_fit_leaves_one_mark_in_its_place() {
        let (sender, receiver) = queue(2, 10);
        for text in ["a", "b", "c", "d"] {
            sender.send(Bytes::from_static(text.as_bytes()));
        }
        assert_eq!(receiver.receive(Duration::ZERO), Some(bytes("a")));
        sender.send(Bytes::from_static(b"too late"));
        assert_eq!(receiver.receive(Duration::ZERO), Some(bytes("b")));
        sender.send(Bytes::from_static(b"e"));
        sender.send(Bytes::from_static(b"ten bytes!"));
        assert_eq!(all(&receiver), [Hint::Lost, bytes("e"), Hint::Lost]);
        sender.send(Bytes::from_static(b"ten bytes!"));
        assert_eq!(all(&receiver), [bytes("ten bytes!")]);
    }

    #[test]
    fn the_sender_learns_that_nobody_listens() {
        let (sender, receiver) = queue(1, 1);
        assert!(!sender.wait_closed(Duration::ZERO));
        drop(receiver);
        assert!(sender.wait_closed(Duration::from_secs(60)));
        assert!(sender.is_closed());
    }
}
