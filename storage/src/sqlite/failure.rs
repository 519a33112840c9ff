//! Failures inside the store, and what they prove about a batch or a query. It must never call a batch "not applied"
//! when SQLite might have kept it.

use std::{io, path::Path, sync::Arc};

use rusqlite::ErrorCode;

use crate::{
    error::{OpenError, ReadError},
    rules,
};

/// A statement failed, or a row holds values that no version of this program writes.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Sql(#[source] Arc<rusqlite::Error>),
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// A transaction found another store than this process left, or a flush failed: no process may go on with it.
    #[error("{0}")]
    Lost(String),
    /// Readers only.
    #[error("the question took so long beside writes that it has to be asked again")]
    Overtaken,
}

/// Why a batch was not committed, beyond a single failure.
#[derive(Debug, thiserror::Error)]
pub(super) enum Uncommitted {
    #[error("the witness could not be written: {0}")]
    Witness(#[source] io::Error),
    #[error("the commit failed: {0}")]
    Commit(#[source] Failure),
    #[error("{first}; and then the rollback failed: {then}")]
    Rollback {
        first: Failure,
        #[source]
        then: Failure,
    },
}

impl Failure {
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }

    pub(super) fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sql(error) => error.sqlite_error_code(),
            Self::Damaged(_) | Self::Lost(_) | Self::Overtaken => None,
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        matches!(
            self.code(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
        )
    }

    pub(super) fn is_full(&self) -> bool {
        self.code() == Some(ErrorCode::DiskFull)
    }

    pub(super) fn is_io(&self) -> bool {
        self.code() == Some(ErrorCode::SystemIoFailure)
    }

    /// Only another process or the room on the disk was in the way: nothing is lost, and the caller may try again.
    pub(super) fn passes(&self) -> bool {
        self.is_busy() || self.is_full() || self.code() == Some(ErrorCode::OperationInterrupted)
    }

    /// This process must not use the store any more. A disk that failed once may have dropped its writes, and reports
    /// it once; only a new process, which replays the write-ahead log, knows what is there.
    pub(super) fn is_final(&self) -> bool {
        self.is_damage() || self.is_io() || matches!(self, Self::Lost(_))
    }

    /// Why a store cannot be opened that could not be checked: it is damaged, or the system failed.
    pub(super) fn unusable(self, path: &Path) -> OpenError {
        let path = path.display();
        if self.is_damage() {
            return OpenError::Damaged(format!("{path} cannot be used: {self}; restore it from a backup"));
        }
        OpenError::failed(format!("{path} cannot be used: {self}"), self)
    }

    /// The file has changed: nothing read from it counts any more.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Damaged(_) => true,
            Self::Lost(_) | Self::Overtaken => false,
            Self::Sql(error) => {
                matches!(
                    **error,
                    rusqlite::Error::FromSqlConversionFailure(..)
                        | rusqlite::Error::IntegralValueOutOfRange(..)
                        | rusqlite::Error::InvalidColumnType(..)
                        // Our statements are fixed: one that does not fit the schema met another schema.
                        | rusqlite::Error::SqlInputError { .. }
                ) || matches!(
                    self.code(),
                    Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
                )
            }
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(Arc::new(error))
    }
}

/// The failure must have been [judged](super::files::Files::judge) before.
impl From<Failure> for ReadError {
    fn from(failure: Failure) -> Self {
        if failure.is_final() {
            Self::Fatal(failure.into())
        } else {
            Self::failed(failure)
        }
    }
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        if matches!(failure, Failure::Damaged(_)) {
            return Self::Damaged(failure.to_string());
        }
        Self::failed(failure.to_string(), failure)
    }
}

/// Why a single write ends early: its refusal, or the failure of the whole batch.
pub(super) type Stop = rules::Stop<Failure>;

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.into())
    }
}
