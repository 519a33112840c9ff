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
    /// What was heard since the stored one.
    ahead: Ahead,
    waiting: Option<Waiting>,
    next: Option<Next>,
}

/// Conversations that more was heard of than a token covers, with the seq up to which it covers them.
pub(super) type Ahead = BTreeMap<u64, u64>;

#[derive(Debug)]
struct Waiting {
    token: Bytes,
    behind: Behind,
    ahead: Ahead,
}

#[derive(Debug)]
struct Next {
    token: Bytes,
    ahead: Ahead,
}

impl Tokens {
    pub(super) fn resumed(token: Option<Bytes>, ahead: Ahead) -> Self {
        Self {
            known: token.clone(),
            stored: token,
            ahead,
            ..Self::default()
        }
    }

    /// Of a device that has nothing and is told everything. It is to be stored as such.
    pub(super) fn from_the_beginning() -> Self {
        Self::resumed(Some(Bytes::new()), Ahead::new())
    }

    /// Goes on from the stored token. What was heard beyond it.
    pub(super) fn begin_again(&mut self) -> Ahead {
        self.known.clone_from(&self.stored);
        self.waiting = None;
        self.next = None;
        self.ahead.clone()
    }

    /// What was heard beyond the stored token: to be stored with it.
    pub(super) const fn ahead(&self) -> &Ahead {
        &self.ahead
    }

    /// More was heard of a conversation than `before`.
    pub(super) fn heard(&mut self, conversation: u64, before: u64) {
        let waiting = self.waiting.as_mut().map(|waiting| &mut waiting.ahead);
        let next = self.next.as_mut().map(|next| &mut next.ahead);
        for ahead in [Some(&mut self.ahead), waiting, next].into_iter().flatten() {
            ahead.entry(conversation).or_insert(before);
        }
    }

    /// The stored token, and so every later one, covers a conversation up to `seq`.
    pub(super) fn confirmed(&mut self, conversation: u64, seq: u64) {
        let waiting = self.waiting.as_mut().map(|waiting| &mut waiting.ahead);
        let next = self.next.as_mut().map(|next| &mut next.ahead);
        for ahead in [Some(&mut self.ahead), waiting, next].into_iter().flatten() {
            if let Some(covered) = ahead.get_mut(&conversation) {
                *covered = seq.max(*covered);
            }
        }
    }

    /// A token that covers everything heard so far but for what is in `ahead`.
    pub(super) fn arrived(&mut self, token: Bytes, ahead: Ahead, behind: impl FnOnce() -> Behind) {
        self.known = Some(token.clone());
        if self.waiting.is_some() {
            self.next = Some(Next { token, ahead });
        } else {
            self.waiting = Some(Waiting {
                token,
                behind: behind(),
                ahead,
            });
        }
    }

    /// The newest token again: it covers everything heard so far, which was applied.
    pub(super) fn arrived_again(&mut self) {
        match (&mut self.next, &mut self.waiting) {
            (Some(next), _) => next.ahead.clear(),
            (None, Some(waiting)) => waiting.ahead.clear(),
            (None, None) => self.ahead.clear(),
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
        let Waiting { token, ahead, .. } = self.waiting.take()?;
        if let Some(Next { token, ahead }) = self.next.take() {
            self.waiting = Some(Waiting {
                token,
                behind: behind(),
                ahead,
            });
        }
        self.ahead = ahead;
        if self.stored.as_ref() == Some(&token) {
            return None;
        }
        self.stored = Some(token.clone());
        Some(token)
    }
}
