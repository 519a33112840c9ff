//! Why the daemon does not run, and why a running one must end. A bottom module: it uses no other.

use storage::{Cause, CommitError, Doom, OpenError, ReadError, copy::CopyError};

/// Why the daemon, or a command of it, did not do what it was told to. The text is one sentence, with the remedy where
/// there is one.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The store cannot be opened, closed, or changed by an operator.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The store did not answer.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store did not take what a command writes.
    #[error("the store did not take it: {0}")]
    Commit(#[from] CommitError),
    /// One store was not copied into another.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The system or the network failed. The same may succeed later.
    #[error("{text}")]
    Failed {
        /// What was tried, the cause, and the remedy.
        text: String,
        /// The cause.
        #[source]
        cause: Cause,
    },
    /// The configuration, a file that it names, or the order is wrong: only an operator can change that.
    #[error("{0}")]
    Refused(String),
}

impl DaemonError {
    /// What was tried, and the cause.
    pub fn failed(text: String, cause: impl Into<Cause>) -> Self {
        Self::Failed {
            text,
            cause: cause.into(),
        }
    }

    /// What was tried when the system failed: for `map_err`.
    pub fn because<E: std::error::Error + Send + Sync + 'static>(
        what: impl std::fmt::Display,
    ) -> impl Fn(E) -> Self {
        move |error| Self::failed(format!("{what}: {error}"), error)
    }

    /// Only an operator can change that.
    pub fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }
}

/// Why a running daemon must end at once: it may acknowledge nothing more, and a new process recovers what was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fatal {
    /// The store cannot be relied upon any more, or its past is over.
    #[error(transparent)]
    Store(#[from] Doom),
    /// The change feed has ended, so nothing is pushed any more.
    #[error("nobody delivers what is committed")]
    NotDelivered,
    /// The change feed panicked, so it is unknown what was pushed.
    #[error("the change feed panicked")]
    FeedPanicked,
    /// Sessions that ended elsewhere may still be served here.
    #[error("the store could not be read for so long that ended sessions may have been missed")]
    NotRead,
}

#[cfg(test)]
mod tests {
    use std::{error::Error, io, time::Duration};

    use super::*;

    #[test]
    fn the_cause_and_the_time_to_come_back_are_kept() {
        let failed = DaemonError::because("no thread")(io::Error::from(io::ErrorKind::OutOfMemory));
        assert!(failed.to_string().starts_with("no thread: "));
        let cause = failed.source().unwrap().downcast_ref::<io::Error>().unwrap();
        assert_eq!(cause.kind(), io::ErrorKind::OutOfMemory);
        let wait = Duration::from_secs(3);
        let read = DaemonError::from(ReadError::Failed {
            reason: Cause::text("nobody there"),
            retry_after: Some(wait),
        });
        let DaemonError::Read(ReadError::Failed { retry_after, .. }) = read else {
            panic!("{read}");
        };
        assert_eq!(retry_after, Some(wait));
    }

    #[test]
    fn a_store_that_fails_says_so_once() {
        let doom = Doom::of(&Cause::text("a flush"));
        let fatal = Fatal::from(Doom::of(&Cause::from(doom)));
        assert_eq!(fatal.to_string(), "the store failed: a flush");
    }
}
