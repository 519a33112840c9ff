//! Refusals: the error codes with the class, and the hint when to come back, that belong to each.

use crate::{
    v1::{Error, ErrorClass, ErrorCode},
    validate::is_control,
};

/// Bytes of an error's message, at most: some repeat a piece of what was refused, which may be long.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 256;

/// The side that a refusal blames; logs and metrics are grouped by it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Blame {
    /// The request could never succeed as it stands.
    Client,
    /// The server or something behind it.
    Server,
}

/// A refusal on its way to the client.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}: {}", .0.code().as_str_name(), .0.message)]
pub struct Refusal(pub Error);

impl Refusal {
    /// A refusal with the class and the retry-after that the code usually has. A message of more than
    /// [`ERROR_MESSAGE_BYTES_MAX`] is cut, and control characters in it are replaced: a message may repeat a piece of what
    /// was refused, and goes to screens and logs.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let mut message = shown(message.into());
        message.truncate(message.floor_char_boundary(ERROR_MESSAGE_BYTES_MAX));
        Self(Error {
            code: code.into(),
            class: usual_class(code).into(),
            retry_after_ms: usual_retry_after_ms(code),
            message,
            ..Error::default()
        })
    }

    /// A refused field of a request.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Invalid, message).with_field(field)
    }

    /// Names the field to blame.
    #[must_use]
    pub fn with_field(mut self, field: &str) -> Self {
        self.0.field = shown(field.to_owned());
        self
    }

    /// Replaces the class.
    #[must_use]
    pub fn with_class(mut self, class: ErrorClass) -> Self {
        self.0.class = class.into();
        self
    }

    /// Replaces the earliest useful repetition, in milliseconds.
    #[must_use]
    pub const fn with_retry_after_ms(mut self, retry_after_ms: u32) -> Self {
        self.0.retry_after_ms = retry_after_ms;
        self
    }

    /// The code.
    pub fn code(&self) -> ErrorCode {
        self.0.code()
    }

    /// The side that the code blames.
    pub fn blame(&self) -> Blame {
        match self.code() {
            ErrorCode::Unspecified
            | ErrorCode::Internal
            | ErrorCode::Unavailable
            | ErrorCode::Overloaded
            | ErrorCode::Draining
            | ErrorCode::ResourceExhausted => Blame::Server,
            ErrorCode::Protocol
            | ErrorCode::UnknownCommand
            | ErrorCode::Invalid
            | ErrorCode::FrameTooLarge
            | ErrorCode::UnsupportedVersion
            | ErrorCode::Unauthenticated
            | ErrorCode::BadCredentials
            | ErrorCode::NameTaken
            | ErrorCode::RegistrationClosed
            | ErrorCode::Forbidden
            | ErrorCode::NotFound
            | ErrorCode::Conflict
            | ErrorCode::OutOfRange
            | ErrorCode::TooMany
            | ErrorCode::Gone
            | ErrorCode::EpochMismatch
            | ErrorCode::LimitReached
            | ErrorCode::RateLimited
            | ErrorCode::Timeout => Blame::Client,
        }
    }
}

/// A text without characters that could change a screen.
fn shown(text: String) -> String {
    if text.contains(is_control) {
        text.replace(is_control, "\u{FFFD}")
    } else {
        text
    }
}

const fn usual_class(code: ErrorCode) -> ErrorClass {
    match code {
        ErrorCode::Unspecified | ErrorCode::Internal => ErrorClass::UnknownOutcome,
        // All of these are said before the client id is looked up, so an earlier attempt may be stored.
        ErrorCode::Unavailable
        | ErrorCode::Overloaded
        | ErrorCode::RateLimited
        | ErrorCode::Draining
        | ErrorCode::ResourceExhausted => ErrorClass::Retry,
        ErrorCode::Protocol
        | ErrorCode::UnknownCommand
        | ErrorCode::Invalid
        | ErrorCode::FrameTooLarge
        | ErrorCode::UnsupportedVersion
        | ErrorCode::Unauthenticated
        | ErrorCode::BadCredentials
        | ErrorCode::NameTaken
        | ErrorCode::RegistrationClosed
        | ErrorCode::Forbidden
        | ErrorCode::NotFound
        | ErrorCode::Conflict
        | ErrorCode::OutOfRange
        | ErrorCode::TooMany
        | ErrorCode::Gone
        | ErrorCode::EpochMismatch
        | ErrorCode::LimitReached
        | ErrorCode::Timeout => ErrorClass::NotApplied,
    }
}

const fn usual_retry_after_ms(code: ErrorCode) -> u32 {
    match code {
        ErrorCode::Unavailable | ErrorCode::Overloaded | ErrorCode::Internal => 500,
        ErrorCode::RateLimited | ErrorCode::Draining => 1_000,
        ErrorCode::ResourceExhausted => 5_000,
        ErrorCode::Unspecified
        | ErrorCode::Protocol
        | ErrorCode::UnknownCommand
        | ErrorCode::Invalid
        | ErrorCode::FrameTooLarge
        | ErrorCode::UnsupportedVersion
        | ErrorCode::Unauthenticated
        | ErrorCode::BadCredentials
        | ErrorCode::NameTaken
        | ErrorCode::RegistrationClosed
        | ErrorCode::Forbidden
        | ErrorCode::NotFound
        | ErrorCode::Conflict
        | ErrorCode::OutOfRange
        | ErrorCode::TooMany
        | ErrorCode::Gone
        | ErrorCode::EpochMismatch
        | ErrorCode::LimitReached
        | ErrorCode::Timeout => 0,
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
