//! Errors, classified by what they tell about the data.

use std::{error::Error, fmt, ops::Deref, sync::Arc, time::Duration};

/// A write that the rules do not allow. It was not applied and changed nothing; the rest of its batch was not affected
/// by it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Refused {
    /// The conversation, the user or the target does not exist, or this user cannot see it: the two look alike.
    #[error("not found")]
    NotFound,
    /// The user may not do this.
    #[error("not allowed")]
    Forbidden,
    /// The client id was used for another request before.
    #[error("this client id was used for another request")]
    Conflict,
    /// The requested state is the present state.
    #[error("nothing to change")]
    NothingToDo,
    /// The group is disbanded, or the message was recalled or has expired.
    #[error("gone")]
    Gone,
    /// The new body does not fit a message of that kind.
    #[error("a message of this kind cannot have this content")]
    Unfit,
    /// A limit of a group, of a user's groups, or of a message's edits or reactions is reached.
    #[error("limit reached")]
    LimitReached,
    /// The account name is taken.
    #[error("name taken")]
    NameTaken,
    /// Another transaction holds the conversation's lock for longer than a batch may wait. No rule forbids the write:
    /// the same one may be tried again. This tells nothing about an earlier attempt.
    #[error("somebody else keeps this conversation busy")]
    Busy,
}

/// The cause of an error: an error of the store's own, which has its source in turn. Clones share it, so the failure
/// that ends the trust in a store is the same one for everybody who is told of it.
#[derive(Clone)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl Cause {
    /// A cause with no error behind it.
    pub fn text(text: impl Into<String>) -> Self {
        Self(Arc::from(Box::<dyn Error + Send + Sync>::from(text.into())))
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Cause {
    fn from(error: E) -> Self {
        Self(Arc::new(error))
    }
}

impl Deref for Cause {
    type Target = dyn Error + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// A whole batch that did not commit.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing of the batch is stored or will be. Repeating it is safe.
    #[error("not applied: {reason}")]
    NotApplied {
        /// The cause.
        #[source]
        reason: Cause,
        /// The disk is full: refuse writes with "resource exhausted" until it is not.
        full: bool,
        /// Repeating it earlier is of no use; `None` if the time is not known. Never zero.
        retry_after: Option<Duration>,
    },
    /// It is unknown whether the batch is stored. Repeating the appends under their client ids finds out.
    #[error("outcome unknown: {0}")]
    Unknown(#[source] Cause),
    /// The store cannot be trusted any more: stop acknowledging, end the process, let a restart recover.
    #[error("fatal: {0}")]
    Fatal(#[source] Cause),
}

/// A query that could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store did not answer. This tells nothing about the data; the same query may be answered later.
    #[error("read failed: {reason}")]
    Failed {
        /// The cause.
        #[source]
        reason: Cause,
        /// Asking earlier is of no use; `None` if the time is not known. Never zero.
        retry_after: Option<Duration>,
    },
    /// The store's content cannot be trusted, or the past that this process lives in is over: asking again is of no
    /// use. The store's [`Fate`](crate::Fate) has the reason by the time this is returned.
    #[error("read failed for good: {0}")]
    Fatal(#[source] Cause),
}

impl ReadError {
    /// A failure of unknown duration.
    pub fn failed(reason: impl Into<Cause>) -> Self {
        Self::Failed {
            reason: reason.into(),
            retry_after: None,
        }
    }
}

/// A store cannot be opened, closed, or changed by an operator. The text names the remedy, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses the store, or is making it: stop it, or try again when it has ended.
    #[error("{0}")]
    InUse(String),
    /// There is no store there.
    #[error("{0}")]
    Missing(String),
    /// A newer version of this program wrote the store.
    #[error("{0}")]
    Newer(String),
    /// The store is damaged: restore a backup, or have an operator check it.
    #[error("{0}")]
    Damaged(String),
    /// The system, the disk or the server failed. The same may succeed later.
    #[error("{text}")]
    Failed {
        /// What was tried, the cause, and the remedy.
        text: String,
        /// The cause.
        #[source]
        cause: Cause,
    },
    /// The place, the settings or the order is wrong; only an operator can change that.
    #[error("{0}")]
    Refused(String),
}

impl OpenError {
    pub(crate) fn failed(text: String, cause: impl Into<Cause>) -> Self {
        Self::Failed {
            text,
            cause: cause.into(),
        }
    }
}
