//! The errors of calls, classified by what the caller may conclude.

use protocol::v1::{self, ErrorClass};

/// The reason why a call has no reply.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused; the class says whether that is definite.
    #[error("{}: {}", .0.code().as_str_name().trim_start_matches("ERROR_CODE_"), .0.message)]
    Refused(v1::Error),
    /// No connection could be made. This request was not sent.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// Every server of the list shows a certificate that is not trusted, or the certificates to trust cannot be read. This request was not sent, and repeating it is of no use until somebody has looked at that.
    #[error("the server is not trusted: {0}")]
    Untrusted(String),
    /// The connection ended after the request was sent: whether it was applied is unknown.
    #[error("the connection was lost: {0}")]
    ConnectionLost(String),
    /// No answer came in time: whether the request was applied is unknown.
    #[error("no answer in time")]
    Timeout,
    /// The request needs a session, and this client has none.
    #[error("not logged in")]
    NotLoggedIn,
    /// The session is over and this client will not connect again by itself.
    #[error("the session has ended: {0}")]
    Ended(Ending),
    /// The server contradicted itself. The connection was closed.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}

/// Why a session is over.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Ending {
    /// The same session connected again elsewhere.
    #[error("another program connected with this session")]
    Replaced,
    /// The device policy ended this session in favour of another one.
    #[error("another device took this session's place")]
    Displaced,
    /// Logged out, here or from another device.
    #[error("it was logged out")]
    Revoked,
    /// The server does not know the session token.
    #[error("the server does not accept the session: log in again")]
    Unauthenticated,
    /// The server speaks only other versions of the protocol.
    #[error("the server speaks protocol versions {min} to {max} only")]
    UnsupportedVersion {
        /// Its oldest version.
        min: u32,
        /// Its newest version.
        max: u32,
    },
}

/// What an attempt shows about the outcome of its request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// This attempt and every later one under the same client id will be refused.
    Definite,
    /// It may have been applied, at most once: repeating it under the same client id finds out.
    Unknown,
    /// Repeating it on this client is of no use.
    Over,
}

impl Error {
    /// What this error says about the request. Classes of a newer server count as unknown.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Refused(refusal) => match refusal.class() {
                ErrorClass::NotApplied => Outcome::Definite,
                ErrorClass::Unspecified | ErrorClass::UnknownOutcome | ErrorClass::Retry => Outcome::Unknown,
            },
            Self::Unreachable(_) | Self::ConnectionLost(_) | Self::Timeout | Self::Protocol(_) => {
                Outcome::Unknown
            }
            Self::Untrusted(_) | Self::NotLoggedIn | Self::Ended(_) | Self::Closed => Outcome::Over,
        }
    }
}
