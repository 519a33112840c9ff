//! Failures inside the store, and what they prove about a batch or a query. It must never call a batch "not applied"
//! when the server might have kept it.

use std::{sync::Arc, time::Duration};

use postgres::error::{Severity, SqlState};

use crate::{
    error::{CommitError, OpenError, ReadError},
    rules,
};

/// A statement failed, or a row holds values that no version of this program writes.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{}", told(.0))]
    Sql(#[source] Arc<postgres::Error>),
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// There is no usable connection; nothing was sent.
    #[error("{0}")]
    Unreachable(String),
    /// The same, because the breaker is open; the value is the time that it stays open.
    #[error("PostgreSQL does not answer; it is tried now and then")]
    LeftAlone(Duration),
    /// Nothing was sent, and another attempt does not mend it: an operator must change a password or a server's
    /// settings.
    #[error("{0}")]
    Misconfigured(String),
    /// The database at the address is another one than before.
    #[error("{0}")]
    Replaced(String),
    /// An answer from a generation that is not the present one: it must not be used.
    #[error("the PostgreSQL server was started anew, or is another one")]
    Outdated,
    /// It was committed, but perhaps only on a server that may be lost: a wait for its standbys was ended.
    #[error("PostgreSQL has committed, but did not wait for its synchronous standbys")]
    Unreplicated,
    /// The writer's row is missing: without it nothing proves a batch.
    #[error("the row of this writer is gone")]
    NoRow,
    /// Another transaction with a later number moved the same cursors.
    #[error("another transaction moved the same cursors")]
    Overtaken,
}

/// Why a batch was not committed, beyond a single failure.
#[derive(Debug, thiserror::Error)]
pub(super) enum Uncommitted {
    /// It has more writes than a transaction has places.
    #[error("{0} writes do not fit into one commit")]
    TooMany(usize),
    /// It failed, and then its outcome could not be found out.
    #[error("{first}; and then: {then}")]
    Undecided {
        first: Failure,
        #[source]
        then: Failure,
    },
}

/// An error with the server's text: the driver's own text is "db error".
fn told(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(answer) => format!("{} ({})", answer.message(), answer.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

/// What a failed statement proves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Known {
    /// The server did nothing.
    Nothing,
    /// It lost against another transaction; a repetition may succeed at once.
    Again,
    /// The connection is lost, or about to be: it is unknown whether the statement was executed.
    Lost,
    /// The server's data is damaged.
    Damage,
}

/// What an error of the server proves, by its severity and code.
fn judge(severity: Option<Severity>, code: &SqlState) -> Known {
    if *code == SqlState::DATA_CORRUPTED || *code == SqlState::INDEX_CORRUPTED {
        return Known::Damage;
    }
    // A backend that ends may have finished its commit before: only ERROR proves that nothing was done.
    if severity != Some(Severity::Error) {
        return Known::Lost;
    }
    if *code == SqlState::T_R_DEADLOCK_DETECTED
        || *code == SqlState::T_R_SERIALIZATION_FAILURE
        || code.code() == OTHER_GENERATION
        || is_stale(code)
    {
        return Known::Again;
    }
    Known::Nothing
}

/// The error that the schema's `offset_in` raises.
pub(super) const OTHER_GENERATION: &str = "IM001";

/// A prepared statement that the server has dropped, or whose tables have changed.
fn is_stale(code: &SqlState) -> bool {
    *code == SqlState::INVALID_SQL_STATEMENT_NAME || *code == SqlState::FEATURE_NOT_SUPPORTED
}

impl Failure {
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }

    pub(super) fn known(&self) -> Known {
        match self {
            Self::Damaged(_) | Self::Replaced(_) => Known::Damage,
            Self::Unreachable(_) | Self::LeftAlone(_) | Self::Misconfigured(_) => Known::Nothing,
            Self::Outdated | Self::Overtaken | Self::NoRow => Known::Again,
            Self::Unreplicated => Known::Lost,
            Self::Sql(error) => match error.as_db_error() {
                Some(answer) => judge(answer.parsed_severity(), answer.code()),
                // The driver could not convert a value to a column or back.
                None if is_conversion(error) => Known::Damage,
                None => Known::Lost,
            },
        }
    }

    /// Whether the connection's prepared statements are unusable now.
    pub(super) fn is_stale(&self) -> bool {
        let Self::Sql(error) = self else { return false };
        error.code().is_some_and(is_stale)
    }

    /// Whether the connection was compared with a generation that is not the present one.
    pub(super) fn is_outdated(&self) -> bool {
        match self {
            Self::Outdated => true,
            Self::Sql(error) => error.code().is_some_and(|code| code.code() == OTHER_GENERATION),
            Self::Damaged(_)
            | Self::Unreachable(_)
            | Self::LeftAlone(_)
            | Self::Misconfigured(_)
            | Self::Replaced(_)
            | Self::Unreplicated
            | Self::NoRow
            | Self::Overtaken => false,
        }
    }

    /// Why a connection was not made, in the words of the server or the driver.
    pub(super) fn unconnected(error: postgres::Error) -> Self {
        let somebody_must_act = error.code().is_some_and(needs_somebody);
        let reason = format!("no connection: {}", Self::from(error));
        if somebody_must_act {
            Self::Misconfigured(reason)
        } else {
            Self::Unreachable(reason)
        }
    }

    /// Whether another connection changes nothing until an operator acts.
    pub(super) fn is_permanent(&self) -> bool {
        matches!(self, Self::Misconfigured(_)) || self.known() == Known::Damage
    }

    /// Whether another transaction held a lock for longer than this one may wait.
    pub(super) fn is_held(&self) -> bool {
        let Self::Sql(error) = self else { return false };
        error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
    }

    /// Whether the server has no room.
    pub(super) fn is_full(&self) -> bool {
        let Self::Sql(error) = self else { return false };
        error.code() == Some(&SqlState::DISK_FULL)
    }

    /// Whether a new connection is better than this one: it is lost, or its server takes no writes any more.
    pub(super) fn spoils_connection(&self) -> bool {
        if self.known() == Known::Lost || self.is_outdated() {
            return true;
        }
        let error = match self {
            Self::Sql(error) => error,
            Self::LeftAlone(_) | Self::Overtaken | Self::NoRow => return false,
            Self::Damaged(_)
            | Self::Unreachable(_)
            | Self::Misconfigured(_)
            | Self::Replaced(_)
            | Self::Outdated
            | Self::Unreplicated => return true,
        };
        error
            .code()
            .is_none_or(|code| *code == SqlState::READ_ONLY_SQL_TRANSACTION || code.code().starts_with("57P"))
    }

    /// Whether the failure shows the server to be writable; `None` if it proves nothing either way. A lost connection
    /// may have been lost alone, unless it was `proven` just before.
    pub(super) fn reached(&self, proven: bool) -> Option<bool> {
        if matches!(self, Self::LeftAlone(_)) {
            None
        } else if self.is_outdated() {
            // The server answers; only the connection must be made anew.
            Some(true)
        } else if self.known() == Known::Lost {
            proven.then_some(false)
        } else {
            Some(!self.spoils_connection())
        }
    }

    /// The time before which another attempt is of no use, if it is known.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        if let Self::LeftAlone(wait) = self {
            Some(*wait)
        } else {
            None
        }
    }

    /// For failures after which nothing can have been stored.
    pub(super) fn not_applied(self) -> CommitError {
        if self.known() == Known::Damage {
            return CommitError::Fatal(self.into());
        }
        CommitError::NotApplied {
            full: self.is_full(),
            retry_after: self.retry_after(),
            reason: self.into(),
        }
    }
}

/// Whether the server's error means that it will refuse every connection until an operator acts.
fn needs_somebody(code: &SqlState) -> bool {
    [
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        SqlState::INVALID_CATALOG_NAME,
        SqlState::INSUFFICIENT_PRIVILEGE,
    ]
    .contains(code)
}

fn is_conversion(error: &postgres::Error) -> bool {
    // The driver does not publish the kinds of its own failures.
    let text = error.to_string();
    text.starts_with("error deserializing") || text.starts_with("error serializing")
}

impl From<postgres::Error> for Failure {
    fn from(error: postgres::Error) -> Self {
        Self::Sql(Arc::new(error))
    }
}

impl From<Failure> for ReadError {
    fn from(failure: Failure) -> Self {
        Self::Failed {
            retry_after: failure.retry_after(),
            reason: failure.into(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_what_is_known() {
        let error = Some(Severity::Error);
        let cases = [
            (error, "53100", Known::Nothing),
            (error, "55P03", Known::Nothing),
            (error, "57014", Known::Nothing),
            (error, "25006", Known::Nothing),
            (error, "23505", Known::Nothing),
            (error, "40P01", Known::Again),
            (error, "40001", Known::Again),
            (error, "26000", Known::Again),
            (error, "0A000", Known::Again),
            (error, "IM001", Known::Again),
            (error, "XX001", Known::Damage),
            (error, "XX002", Known::Damage),
            (Some(Severity::Fatal), "57P01", Known::Lost),
            (Some(Severity::Panic), "53100", Known::Lost),
            (Some(Severity::Fatal), "XX001", Known::Damage),
            (None, "57P02", Known::Lost),
        ];
        for (severity, code, known) in cases {
            assert_eq!(judge(severity, &SqlState::from_code(code)), known, "{code}");
        }
    }

    #[test]
    fn a_wrong_password_does_not_mend_itself() {
        for code in ["28P01", "28000", "3D000", "42501"] {
            assert!(needs_somebody(&SqlState::from_code(code)), "{code}");
        }
        // Starting, full, shutting down.
        for code in ["57P03", "53300", "57P01"] {
            assert!(!needs_somebody(&SqlState::from_code(code)), "{code}");
        }
        assert!(Failure::Misconfigured(String::new()).is_permanent());
        assert!(Failure::Replaced(String::new()).is_permanent());
        assert!(!Failure::Unreachable(String::new()).is_permanent());
    }

    #[test]
    fn what_was_not_sent_was_not_applied() {
        let failure = Failure::Unreachable("nobody there".to_owned());
        assert_eq!(failure.known(), Known::Nothing);
        assert!(matches!(
            failure.not_applied(),
            CommitError::NotApplied { full: false, .. }
        ));
        let failure = Failure::Replaced("another database".to_owned());
        assert!(matches!(failure.not_applied(), CommitError::Fatal(_)));
    }

    #[test]
    fn a_lost_connection_says_something_of_the_server_only_where_it_was_proven() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let url = format!("postgresql://nobody@{address}/none");
        let lost: Failure = postgres::Client::connect(&url, postgres::NoTls)
            .err()
            .unwrap()
            .into();
        assert_eq!(lost.known(), Known::Lost);
        assert_eq!((lost.reached(false), lost.reached(true)), (None, Some(false)));
        let none = Failure::Unreachable(String::new());
        assert_eq!(
            (none.reached(false), none.reached(true)),
            (Some(false), Some(false))
        );
        // No query was sent to it.
        let wait = Duration::from_millis(7);
        let left_alone = Failure::LeftAlone(wait);
        assert_eq!(
            (left_alone.reached(false), left_alone.reached(true)),
            (None, None)
        );
        assert!(!left_alone.spoils_connection());
        assert!(matches!(
            left_alone.not_applied(),
            CommitError::NotApplied { full: false, retry_after: Some(said), .. } if said == wait
        ));
    }
}
