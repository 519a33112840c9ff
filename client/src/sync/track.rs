//! One conversation: how far it was applied, how far it has arrived, how far it is known to go.

use std::collections::BTreeMap;

use protocol::v1;

use super::{RequestId, mark::Mark, past::Doubt};

/// `cursor <= received`; what lies between waits in the machine's ready queue.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// The program has applied everything up to here.
    pub(super) cursor: u64,
    /// The last event among that.
    pub(super) mark: Option<Mark>,
    /// Whether that is of the server's past is not known: until it is, nothing more is applied.
    pub(super) doubt: Option<Doubt>,
    /// Everything up to here has arrived without a gap.
    pub(super) received: u64,
    /// The log is said to go up to here.
    pub(super) head: u64,
    /// The pull in flight; never more than one.
    pub(super) pull: Option<Pull>,
    /// Listed in the machine's queue of gaps.
    pub(super) queued: bool,
    /// A pull failed; nothing is asked before the machine is told to retry.
    pub(super) postponed: bool,
    /// Pages that came before what precedes them, by their first seq.
    pub(super) held: BTreeMap<u64, v1::Page>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Pull {
    pub(super) id: RequestId,
    pub(super) from: u64,
    /// The highest head heard of since it was sent: its answer may not know it yet.
    pub(super) head_since: u64,
}

impl Track {
    /// A conversation that was applied up to `cursor`, and what was applied last.
    pub(super) fn at(cursor: u64, mark: Option<Mark>) -> Self {
        Self {
            cursor,
            mark,
            received: cursor,
            head: cursor,
            ..Self::default()
        }
    }

    /// A conversation whose events up to now are history to this device.
    pub(super) fn listed(conversation: &v1::Conversation) -> Self {
        let mark = Mark {
            sent_at_ms: conversation.last_at_ms,
            ..Mark::unknown(conversation.head_seq)
        };
        Self::at(conversation.head_seq, (mark.seq > 0).then_some(mark))
    }

    /// The log is known to go up to here at least.
    pub(super) fn heard(&self) -> u64 {
        self.head.max(self.received)
    }

    pub(super) fn note_head(&mut self, head: u64) {
        self.head = self.head.max(head);
        if let Some(pull) = &mut self.pull {
            pull.head_since = pull.head_since.max(head);
        }
    }

    /// A pull's answer says that nothing visible lies beyond `head`: forget what was claimed before it
    /// was asked, keep what was heard since.
    pub(super) fn settle_head(&mut self, head: u64, heard_since: u64) {
        self.head = self.received.max(head).max(heard_since);
    }

    /// From where on to ask, if something is missing: of a conversation in doubt, what stands at its mark.
    pub(super) fn gap(&self) -> Option<u64> {
        match self.undecided() {
            Some(doubt) => self.inquiry(doubt),
            None => (self.received < self.head).then(|| self.received.saturating_add(1)),
        }
    }

    /// Nothing is missing and nothing waits to be applied.
    pub(super) const fn is_settled(&self) -> bool {
        self.doubt.is_none() && self.received >= self.head && self.cursor >= self.received
    }

    /// Whether a page that begins here can be applied behind what has arrived.
    pub(super) fn continues(&self, from_seq: u64) -> bool {
        self.undecided().is_none() && from_seq <= self.received.saturating_add(1)
    }

    pub(super) fn held_events(&self) -> usize {
        self.held.values().map(weight).sum()
    }
}

/// What a held page counts against the limit; an empty one still takes a place.
pub(super) fn weight(page: &v1::Page) -> usize {
    page.events.len().max(1)
}
