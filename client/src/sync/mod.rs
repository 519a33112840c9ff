//! Keeping a device in step with the log: a state machine that is fed whatever arrives and says what to
//! apply, what to ask for and what to store.
//!
//! It owns the cursors. It must never do I/O, read a clock, or let an event pass twice, out of order or
//! not at all.
//!
//! The rules it follows are those of the protocol document: an event is applied when it is the next one of
//! its conversation, dropped when it is an old one, and pulled for otherwise; a page speaks for a whole
//! interval of seqs, so the cursor moves to its end even where nothing in it is visible; a token is stored
//! only after everything it covers has been applied.
//!
//! Feed it with the `handle_*` methods and take [`Machine::next_action`] until it is `None` after each.
//! **Asking for the next action says that the one before it is done**: [`Machine::snapshot`] taken between
//! two calls covers exactly what the program has applied, so a program that stores it then neither loses
//! nor repeats an event.

mod actions;
mod machine;
mod mark;
mod page;
mod past;
mod token;
mod track;

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;
use protocol::v1;

pub use machine::Machine;
pub use mark::{Author, Mark};

/// Conversations a device can follow.
pub const CONVERSATIONS_MAX: usize = 100_000;
/// Events that have arrived in order and were not yet taken by the program.
pub const READY_MAX: usize = 4_096;
/// Events held back because something before them is missing, over all conversations.
pub const HELD_MAX: usize = 1_024;
/// Pulls unanswered at once.
pub const PULLS_MAX: usize = 8;
/// Events asked for by one pull, where the server does not say how many a page may have.
pub const PULL_EVENTS_DEFAULT: u32 = 100;
/// No log is as long: a larger seq is a mistake, or an attempt to make sums overflow.
pub const SEQ_MAX: u64 = i64::MAX as u64;
/// Conversations asked for by one page of the list or of a sync.
pub const CONVERSATIONS_PER_PAGE: u32 = 100;
/// Conversations acknowledged by one request.
pub const ACKNOWLEDGE_MAX: usize = 500;
/// Events applied before an acknowledgement is due even though more are waiting.
pub const ACKNOWLEDGE_EVERY: usize = 64;

/// Where a device begins that never had anything. One that had, and whose past is over, never skips what the new one
/// has: it goes on from what both have in common, or from the beginning.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Start {
    /// At the heads: what was said before is history, read when it is opened. For a device that joins
    /// an account.
    Heads,
    /// At the beginning: every visible event is applied. For a new account, or a device that mirrors
    /// everything.
    Beginning,
}

/// What a device keeps between runs. Cursors and token belong together: store both at once, and
/// together with the effects of the events they cover where those are stored as well.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Snapshot {
    /// Of the store the cursors are about; 0 when none is known.
    pub epoch: u64,
    /// The last token whose events have all been applied; `None` before the first.
    pub token: Option<Bytes>,
    /// Last applied seq by conversation.
    pub cursors: BTreeMap<u64, u64>,
    /// Last applied event by conversation. One of a conversation without a cursor was applied in an epoch that is
    /// over, and is still to be compared with the log.
    pub marks: BTreeMap<u64, Mark>,
    /// Conversations that more was heard of than the token covers, with the seq up to which it covers them. What was
    /// applied beyond is compared with the log on the next connection.
    pub ahead: BTreeMap<u64, u64>,
}

impl Snapshot {
    /// One more event was applied, without a newer token. The cursor follows it back as well, after a rewind.
    pub(crate) fn note(&mut self, conversation: u64, mark: Mark) {
        let cursor = self.cursors.entry(conversation).or_default();
        self.ahead.entry(conversation).or_insert(*cursor);
        *cursor = mark.seq;
        self.marks.insert(conversation, mark);
    }
}

/// Names a request, so that an answer that comes too late is told from the one that is waited for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub(crate) u64);

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Ask for a page of conversations, and give the answer to [`Machine::handle_list`].
    List {
        /// To be given back with the answer.
        id: RequestId,
        /// The request.
        request: v1::ListConversationsRequest,
    },
    /// Ask what changed, and give the answer to [`Machine::handle_sync`].
    Sync {
        /// To be given back with the answer.
        id: RequestId,
        /// The request.
        request: v1::SyncRequest,
    },
    /// Ask for missing events, and give the answer to [`Machine::handle_history`].
    Pull {
        /// To be given back with the answer.
        id: RequestId,
        /// The request.
        request: v1::HistoryRequest,
    },
    /// Apply this event: exactly once, in the order of its conversation.
    Apply(Box<v1::Event>),
    /// Store this token with the cursors of [`Machine::snapshot`]: everything it covers was applied.
    StoreToken(Bytes),
    /// Tell the server how far this device has got.
    Acknowledge(v1::DeliveredRequest),
    /// The server's store has another past: it was put back, or is another one. What was applied may not be in it. For
    /// every conversation of which something was applied a [`Rewind`](Self::Rewind) follows, at the latest when the
    /// device has caught up. Store the snapshot.
    Restart,
    /// The log has up to `to` what was applied of this conversation, and nothing beyond it is certain: drop what was
    /// applied beyond. What the log has instead follows, with what is applied again where less stands than could.
    Rewind {
        /// Which.
        conversation: u64,
        /// Last seq that still stands; 0 for none.
        to: u64,
    },
}

/// Why a request brought no answer to feed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// The connection, or a refusal that says to try again: [`Machine::retry`] repeats it.
    Later,
    /// The server says that the positions asked about are of an abandoned past.
    Epoch,
    /// There is nothing to be had any more.
    Gone,
}

/// Something arrived that no server following the protocol sends. Nothing of it was taken; give up the
/// connection and start a new one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// Events outside the page's interval, out of order, or of another conversation.
    #[error("a page whose events do not fit its interval")]
    Page,
    /// A seq beyond [`SEQ_MAX`].
    #[error("a number beyond what a log can have")]
    Number,
    /// An answer that does not answer what was asked.
    #[error("a page that brings nothing of what was asked for")]
    NoProgress,
    /// More conversations than [`CONVERSATIONS_MAX`].
    #[error("more conversations than a device can follow")]
    TooManyConversations,
}
