//! Owns the reasons for which a caller got no connection, or a pool was not built.

use super::{SettingsError, Status};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why a caller got no connection. `E` is the manager's error.
pub enum GetError<E> {
    /// The deadline passed.
    Timeout {
        /// How long the caller waited.
        waited: Duration,
        /// The pool at that moment. If all connections are leased, the pool is too small or a caller does not give them
        /// back. If none is open, the database cannot be reached, and `last` tells the reason.
        at: Status,
        /// The error of the last attempt to connect, unless one has succeeded since.
        last: Option<Arc<E>>,
    },
    /// The maximum of callers wait already.
    Overloaded {
        /// The pool at that moment.
        at: Status,
    },
    /// Connecting failed for a reason that another attempt does not mend.
    Connect(Arc<E>),
    /// The pool was closed.
    Closed,
}

impl<E> Clone for GetError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Timeout { waited, at, last } => Self::Timeout {
                waited: *waited,
                at: *at,
                last: last.clone(),
            },
            Self::Overloaded { at } => Self::Overloaded { at: *at },
            Self::Connect(error) => Self::Connect(Arc::clone(error)),
            Self::Closed => Self::Closed,
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for GetError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout { waited, at, last } => f
                .debug_struct("Timeout")
                .field("waited", waited)
                .field("at", at)
                .field("last", last)
                .finish(),
            Self::Overloaded { at } => f.debug_struct("Overloaded").field("at", at).finish(),
            Self::Connect(error) => f.debug_tuple("Connect").field(error).finish(),
            Self::Closed => f.write_str("Closed"),
        }
    }
}

impl<E: fmt::Display> fmt::Display for GetError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout { waited, at, last } => {
                write!(f, "no connection within {waited:?} ({at})")?;
                last.as_ref()
                    .map_or(Ok(()), |error| write!(f, "; connecting failed: {error}"))
            }
            Self::Overloaded { at } => write!(f, "too many callers wait for a connection ({at})"),
            Self::Connect(error) => write!(f, "connecting failed: {error}"),
            Self::Closed => f.write_str("the pool is closed"),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for GetError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Timeout {
                last: Some(error), ..
            }
            | Self::Connect(error) => Some(error.as_ref()),
            Self::Timeout { last: None, .. } | Self::Overloaded { .. } | Self::Closed => None,
        }
    }
}

/// Why a pool was not built. `E` is the manager's error.
#[derive(Debug, thiserror::Error)]
pub enum BuildError<E: std::error::Error + 'static> {
    /// A setting cannot be used.
    #[error("the pool's settings: {0}")]
    Settings(#[from] SettingsError),
    /// The operating system refused a thread.
    #[error("a thread of the pool could not be started: {0}")]
    Thread(#[source] std::io::Error),
    /// The connections that [`Init`](super::Init) asks for were not there in time.
    #[error("the pool's first connections: {0}")]
    Connect(#[source] GetError<E>),
}
