//! Which sync tokens are known, and which may be stored already.

use std::collections::BTreeMap;

use bytes::Bytes;

/// What is missing: conversations that are not settled, with the seq up to which they are known to go.
pub(super) type Behind = BTreeMap<u64, u64>;

/// The tokens of a device. A token covers what was heard before it; `waiting` is stored when everything
/// that was still missing at its arrival has been applied, `next` takes its turn after that.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// Stored, or being stored.
    pub(super) stored: Option<Bytes>,
    /// The newest one: what the next sync starts from. What it covers is known to the machine.
    pub(super) known: Option<Bytes>,
    waiting: Option<Waiting>,
    next: Option<Bytes>,
}

#[derive(Debug)]
struct Waiting {
    token: Bytes,
    behind: Behind,
}

impl Tokens {
    pub(super) fn resumed(token: Option<Bytes>) -> Self {
        Self {
            known: token.clone(),
            stored: token,
            ..Self::default()
        }
    }

    /// A token that covers everything heard so far.
    pub(super) fn arrived(&mut self, token: Bytes, behind: impl FnOnce() -> Behind) {
        self.known = Some(token.clone());
        if self.waiting.is_some() {
            self.next = Some(token);
        } else {
            self.waiting = Some(Waiting {
                token,
                behind: behind(),
            });
        }
    }

    /// A conversation was applied up to `cursor`; `settled` when nothing of it is missing at all.
    pub(super) fn applied(&mut self, conversation: u64, cursor: u64, settled: bool) {
        let Some(waiting) = &mut self.waiting else { return };
        let target = waiting.behind.get(&conversation);
        if target.is_some_and(|target| settled || cursor >= *target) {
            waiting.behind.remove(&conversation);
        }
    }

    /// The token that may be stored now. The next one starts to wait for what is missing now rather than
    /// for what was missing at its arrival: that can only be more.
    pub(super) fn take_storable(&mut self, behind: impl FnOnce() -> Behind) -> Option<Bytes> {
        if !self.waiting.as_ref()?.behind.is_empty() {
            return None;
        }
        let token = self.waiting.take()?.token;
        if let Some(next) = self.next.take() {
            self.waiting = Some(Waiting {
                token: next,
                behind: behind(),
            });
        }
        if self.stored.as_ref() == Some(&token) {
            return None;
        }
        self.stored = Some(token.clone());
        Some(token)
    }
}
