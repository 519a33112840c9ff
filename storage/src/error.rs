//! What can go wrong, split by what it says about the data.

use std::time::Duration;

/// A write that the rules do not allow. It was not applied and changed nothing; the rest of its batch was
/// not touched by it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Refused {
    /// The conversation, the user or the target does not exist, or not for this user: the two look alike.
    #[error("not found")]
    NotFound,
    /// The user may not do this.
    #[error("not allowed")]
    Forbidden,
    /// The client id was used for something else before.
    #[error("this client id was used for another request")]
    Conflict,
    /// The state asked for is the state there is.
    #[error("nothing to change")]
    NothingToDo,
    /// The group is disbanded, or the message was recalled or has expired.
    #[error("gone")]
    Gone,
    /// What is to take a message's place cannot be a message of that kind.
    #[error("a message of this kind cannot have this content")]
    Unfit,
    /// A group, a user's list of groups, or what a message may have of edits or reactions is full.
    #[error("limit reached")]
    LimitReached,
    /// The account name belongs to someone.
    #[error("name taken")]
    NameTaken,
    /// Another transaction holds the conversation for longer than a batch may wait. No rule speaks against the write:
    /// the same one may be tried again. It says nothing about an earlier attempt.
    #[error("somebody else keeps this conversation busy")]
    Busy,
}

/// What lies behind an error: an error of the store's own, which has its source in turn.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A whole batch that did not commit.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing of the batch is stored or will be. Repeating it is safe.
    #[error("not applied: {reason}")]
    NotApplied {
        /// What was in the way.
        #[source]
        reason: Cause,
        /// The disk is full: refuse writes with "resource exhausted" until it is not.
        full: bool,
        /// Repeating it earlier is of no use; `None` where that is not known. Never zero.
        retry_after: Option<Duration>,
    },
    /// Whether the batch is stored is not known. Repeating the appends under their client ids finds out.
    #[error("outcome unknown: {0}")]
    Unknown(#[source] Cause),
    /// The store cannot be trusted any more: stop acknowledging, end the process, let a restart recover.
    #[error("fatal: {0}")]
    Fatal(#[source] Cause),
}

/// A question that could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store did not answer. It says nothing about the data; the same question may be answered later.
    #[error("read failed: {reason}")]
    Failed {
        /// What was in the way.
        #[source]
        reason: Cause,
        /// Asking earlier is of no use; `None` where that is not known. Never zero.
        retry_after: Option<Duration>,
    },
    /// What the store keeps cannot be trusted, or the past that this process lives in is over: asking again is of no
    /// use. The store's [`Fate`](crate::Fate) has the reason by the time this is returned.
    #[error("read failed for good: {0}")]
    Fatal(#[source] Cause),
}

impl ReadError {
    /// A failure of which it is not known how long it lasts.
    pub fn failed(reason: impl Into<Cause>) -> Self {
        Self::Failed {
            reason: reason.into(),
            retry_after: None,
        }
    }
}

/// The store cannot be opened; the text says what to do about it, in one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(pub String);
