//! `[log]`: what is logged, how and where to.

use std::path::PathBuf;

use serde::Deserialize;

use super::section::section;

section! {
    /// to standard error, unless there is a file
    pub struct Log in [log] {
        /// error, warn, info, debug, trace
        level: Level = Level::Info, taken by SIGHUP;
        /// or json
        format: LogFormat = LogFormat::Human;
        /// as /var/log/imserver/imserver.log; rotated daily and at 64 MiB, 14 kept; empty: standard error
        file: PathBuf = PathBuf::new();
    }
}

/// How much to log.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What an operator must act on.
    Error,
    /// What may become that.
    Warn,
    /// Starts and stops.
    Info,
    /// Connections and refusals.
    Debug,
    /// Requests.
    Trace,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text.
    Human,
    /// One JSON object a line.
    Json,
}
