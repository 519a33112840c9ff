//! What a request comes to, as a value. Gateway, lanes and workers carry it out without knowing which command it was;
//! a test carries it out with a store in memory.

use std::sync::Arc;

use protocol::{AppendCommand, Encoding, Push, RawPage, Refusal, Reply, v1::ErrorCode};
use storage::{Append, CursorMove, Outcome, ReadError, Reader, Timestamp, UserId, Write};

use super::Context;
use crate::{
    config::Limits,
    lane::{After, Aftermath, Done},
    message::Effect,
    metrics::Asked,
    presence::Watching,
    wire::PAGE_ENCODED_MAX,
};

/// What an admitted request of an authenticated session comes to.
#[derive(Debug)]
pub(crate) enum Work {
    /// An event is appended. The answer is this command's.
    Append(AppendCommand, Append),
    /// Something else is written.
    Write(Box<Planned>),
    /// A worker answers from the store. It changes nothing for anybody else.
    Ask(Ask),
    /// A worker reads who is to be told something that is not stored, and tells them.
    Relay(Ask),
    /// Nobody is at the device of this connection, or somebody is again.
    Away(bool, Reply),
    /// Cursors move. They are written lazily, and the answer does not wait for that.
    Receipts(Vec<CursorMove>, Reply),
}

impl Work {
    pub(super) fn ask(
        size: Size,
        question: impl FnOnce(&mut Asking<'_>) -> Result<Answer, Failure> + Send + 'static,
    ) -> Self {
        Self::Ask(Ask {
            size,
            is_sync: false,
            asked: Asked::default(),
            question: Box::new(question),
        })
    }

    pub(super) fn relay(
        question: impl FnOnce(&mut Asking<'_>) -> Result<Answer, Failure> + Send + 'static,
    ) -> Self {
        Self::Relay(Ask {
            size: Size::Short,
            is_sync: false,
            asked: Asked::default(),
            question: Box::new(question),
        })
    }

    pub(super) fn write(
        write: Write,
        after: impl FnOnce(Outcome, &Aftermath<'_>) -> Result<Done, Refusal> + Send + 'static,
    ) -> Self {
        Self::Write(Box::new(Planned {
            write,
            after: Box::new(after),
        }))
    }
}

/// A write, and what follows from its commit.
pub(crate) struct Planned {
    /// What to commit.
    pub write: Write,
    /// What then.
    pub after: After,
}

impl std::fmt::Debug for Planned {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Planned")
            .field("write", &self.write)
            .finish_non_exhaustive()
    }
}

/// A question for a worker.
pub(crate) struct Ask {
    /// How much its answer may have.
    pub size: Size,
    /// Whether it brings the device in step.
    pub is_sync: bool,
    /// The request that it answers, for counting.
    pub asked: Asked,
    /// Reads and answers.
    pub question: Question,
}

/// Reads the store and makes the answer.
pub(crate) type Question = Box<dyn FnOnce(&mut Asking<'_>) -> Result<Answer, Failure> + Send>;

impl std::fmt::Debug for Ask {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Ask")
            .field("size", &self.size)
            .field("is_sync", &self.is_sync)
            .finish_non_exhaustive()
    }
}

/// What a question is answered with.
pub(crate) struct Asking<'a> {
    /// The store.
    pub reader: &'a mut dyn Reader,
    /// What this node knows beside it.
    pub context: &'a Context,
    /// How much the answer may have.
    pub page: PageLimits,
    /// The time.
    pub now: Timestamp,
    /// The device has what the store does not have: a sync starts over.
    pub starts_over: bool,
}

impl std::fmt::Debug for Asking<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Asking")
            .field("page", &self.page)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// The answer to a question.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What it says.
    pub body: Body,
    /// What it does to the session.
    pub effect: Effect,
    /// What others are told.
    pub relay: Option<Relay>,
}

/// What an answer says.
#[derive(Debug)]
pub(crate) enum Body {
    /// This.
    Reply(Reply),
    /// A page of history, whose bodies are as they were stored.
    History(RawPage),
    /// What the thread of presence makes of this.
    Watching(Box<Watching>),
}

/// A push that is not stored, for members who are connected anywhere.
#[derive(Debug)]
pub(crate) struct Relay {
    /// To whom.
    pub members: Arc<[UserId]>,
    /// What.
    pub push: Push,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self {
            body: Body::Reply(reply),
            effect: Effect::None,
            relay: None,
        }
    }
}

/// Why a question has no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A rule.
    Refused(Refusal),
    /// A rule, and what that does to the session.
    RefusedAnd(Refusal, Box<Effect>),
    /// The store did not answer.
    Store(ReadError),
    /// The device has a token of this past about something that the store does not have: its tail was lost, and nothing
    /// else noticed. Others have cursors from that tail, too, and would take what comes in its place for what they
    /// know. So the epoch ends for all of them.
    LostTail,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::Store(error)
    }
}

impl Failure {
    pub(super) fn not_found(what: &str) -> Self {
        Self::Refused(Refusal::new(ErrorCode::NotFound, what))
    }
}

/// How much one answer may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct PageLimits {
    /// Events.
    pub events: usize,
    /// Bytes of their bodies, roughly.
    pub bytes: usize,
    /// Entries of other lists.
    pub entries: usize,
}

/// Entries of a list, at most.
pub(super) const ENTRIES_MAX: usize = 500;

impl PageLimits {
    /// Where answers wait for more peers than there is memory for.
    pub(crate) const FRUGAL: Self = Self {
        events: 32,
        bytes: 8 * 1024,
        entries: 20,
    };

    /// As configured.
    pub(crate) const fn whole(limits: &Limits) -> Self {
        Self {
            events: limits.page_events as usize,
            bytes: limits.page_bytes,
            entries: ENTRIES_MAX,
        }
    }

    /// The smaller of both.
    #[must_use]
    pub(crate) fn frugal(self) -> Self {
        Self {
            events: self.events.min(Self::FRUGAL.events),
            bytes: self.bytes.min(Self::FRUGAL.bytes),
            entries: self.entries.min(Self::FRUGAL.entries),
        }
    }
}

/// Bytes of an answer that is no list.
const SHORT_ANSWER_BYTES: usize = 4 * 1024;
/// Bytes of an entry of a list, roughly: a conversation, a member, a profile.
const ENTRY_BYTES: usize = 400;
/// Bytes of what surrounds an event's body.
const EVENT_BYTES: usize = 100;
/// How much longer JSON is, and what it adds to each entry.
const JSON_TIMES: usize = 2;
const JSON_ENTRY_BYTES: usize = 250;

/// How much an answer may have, as far as the request tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Size {
    /// It is no list.
    Short,
    /// A page of so many events, if there is room for them.
    Events(u32),
    /// So many changes, if there is room for them, and events that come along.
    Changes(u32),
    /// A list of so many entries, if there is room for them.
    List(u32),
    /// An entry for each that was named.
    Named(usize),
}

impl Size {
    /// The bytes that the answer has at most, about.
    pub(crate) fn bytes(self, encoding: Encoding, page: &PageLimits) -> usize {
        let (entries, bytes) = match self {
            Self::Short => (0, 0),
            Self::Events(limit) => {
                let events = at_most(limit, page.events);
                (events, (page.bytes + events * EVENT_BYTES).min(PAGE_ENCODED_MAX))
            }
            Self::Changes(limit) => {
                let changes = at_most(limit, page.entries);
                (changes, changes * ENTRY_BYTES + page.bytes)
            }
            Self::List(limit) => (0, at_most(limit, page.entries) * ENTRY_BYTES),
            Self::Named(entries) => (entries, entries * ENTRY_BYTES),
        };
        SHORT_ANSWER_BYTES
            + match encoding {
                Encoding::Protobuf => bytes,
                Encoding::Json => bytes * JSON_TIMES + entries * JSON_ENTRY_BYTES,
            }
    }
}

/// What a request asks for, as far as it gets it.
pub(super) fn at_most(limit: u32, most: usize) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX).min(most)
}
