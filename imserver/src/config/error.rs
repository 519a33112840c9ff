//! What can be wrong with a configuration.

use std::{io, ops::RangeInclusive, path::PathBuf, string::FromUtf8Error};

use super::FILE_BYTES_MAX;

/// What is wrong with a configuration, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file has too many bytes.
    #[error("cannot read configuration {}: it is larger than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is not UTF-8.
    #[error("cannot read configuration {}: it is not UTF-8 text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// Where it is not.
        source: FromUtf8Error,
    },
    /// It is not TOML, or a key is unknown or of the wrong type. It has no source: that would repeat the line, which
    /// may hold a password.
    #[error("line {line}: {}{message}", key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default())]
    Line {
        /// The line, from 1.
        line: usize,
        /// `section.key`, if the line sets one.
        key: Option<String>,
        /// What is wrong, in one line.
        message: String,
    },
    /// Something is wrong within a file.
    #[error("{}: {source}", path.display())]
    Within {
        /// The file.
        path: PathBuf,
        /// What.
        source: Box<Self>,
    },
    /// A number is out of its range.
    #[error("{key} is {value}, but must be {} to {}", range.start(), range.end())]
    OutOfRange {
        /// `section.key`.
        key: &'static str,
        /// What it is set to.
        value: u64,
        /// What it may be.
        range: RangeInclusive<u64>,
    },
    /// A value is not what its key takes, or values do not go together. The sentence names them.
    #[error("{0}")]
    Refused(String),
}
