//! Why a command did not do what it was asked, and the exit code of each.

use client::{Ending, Error, store::StoreError};
use protocol::v1::{ErrorClass, ErrorCode};
use serde_json::{Value, json};

/// See [`Failure::exit_code`].
#[derive(Debug)]
pub(crate) enum Failure {
    /// The call failed; which code that is depends on the error.
    Call(Error),
    /// The command line is right by itself and wrong in this place.
    Usage(String),
    /// Nothing, or not enough, arrived in time.
    Nothing(String),
    /// The profile cannot be used.
    Profile(String),
    /// Nobody reads the output any more.
    OutputClosed,
    /// A signal ends the program.
    Signal(i32),
}

impl Failure {
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Signal(_) => 130,
            Self::Call(Error::Refused(_) | Error::Ended(_)) => 1,
            Self::Usage(_) => 2,
            Self::Call(Error::NotLoggedIn) | Self::Profile(_) => 5,
            Self::Call(_) => 3,
            Self::Nothing(_) => 4,
        }
    }

    /// For people.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Call(Error::NotLoggedIn) => {
                "not logged in: `im register NAME` or `im login NAME`".to_owned()
            }
            Self::Call(Error::Refused(refusal)) => {
                let field = match refusal.field.as_str() {
                    "" => String::new(),
                    field => format!(" ({field})"),
                };
                // With these the person can do nothing, and whoever runs the server finds it in the log.
                let is_servers = [ErrorCode::Internal, ErrorCode::Unavailable].contains(&refusal.code());
                let id = if is_servers && !refusal.request_id.is_empty() {
                    format!(", request {}", refusal.request_id)
                } else {
                    String::new()
                };
                format!(
                    "refused: {}{field} [{}, {}{id}]",
                    refusal.message,
                    code(refusal.code()),
                    class(refusal.class())
                )
            }
            Self::Call(error) => error.to_string(),
            Self::Usage(message) | Self::Nothing(message) | Self::Profile(message) => message.clone(),
            Self::OutputClosed | Self::Signal(_) => String::new(),
        }
    }

    /// For scripts.
    pub(crate) fn to_json(&self) -> Value {
        let (code, class) = match self {
            Self::Call(Error::Refused(refusal)) => {
                return json!({
                    "type": "error",
                    "code": code(refusal.code()),
                    "class": class(refusal.class()),
                    "message": refusal.message,
                    "field": refusal.field,
                    "retry_after_ms": refusal.retry_after_ms,
                    "request_id": refusal.request_id,
                });
            }
            Self::Call(Error::Ended(ending)) => (ending_code(ending), "NOT_APPLIED"),
            Self::Call(Error::Unreachable(_)) => ("UNREACHABLE", "UNKNOWN_OUTCOME"),
            Self::Call(Error::Untrusted(_)) => ("UNTRUSTED", "NOT_APPLIED"),
            Self::Call(Error::NotLoggedIn) => ("NOT_LOGGED_IN", "NOT_APPLIED"),
            Self::Call(_) => ("TIMEOUT", "UNKNOWN_OUTCOME"),
            Self::Usage(_) => ("USAGE", "NOT_APPLIED"),
            Self::Nothing(_) => ("NOTHING_ARRIVED", "NOT_APPLIED"),
            Self::Profile(_) => ("PROFILE", "NOT_APPLIED"),
            Self::OutputClosed | Self::Signal(_) => ("OUTPUT_CLOSED", "NOT_APPLIED"),
        };
        json!({ "type": "error", "code": code, "class": class, "message": self.message() })
    }
}

fn code(code: ErrorCode) -> &'static str {
    code.as_str_name().trim_start_matches("ERROR_CODE_")
}

fn class(class: ErrorClass) -> &'static str {
    class.as_str_name().trim_start_matches("ERROR_CLASS_")
}

const fn ending_code(ending: &Ending) -> &'static str {
    match ending {
        Ending::Replaced => "REPLACED",
        Ending::Displaced => "DISPLACED",
        Ending::Revoked => "REVOKED",
        Ending::UnsupportedVersion { .. } => "UNSUPPORTED_VERSION",
        Ending::Unauthenticated => "UNAUTHENTICATED",
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Profile(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    /// Errors of standard output; files have a type of their own.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            Self::Profile(format!("cannot write the output: {error}"))
        }
    }
}
