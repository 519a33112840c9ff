//! `imserver status`.

use std::io::Write;

use super::{CommandError, cannot_write};
use crate::{
    config::{Config, ShowStatus},
    control::{AskError, Request, ask},
    error::DaemonError,
    status,
};

/// What the running daemon answers.
pub(super) fn asked(config: &Config, request: &Request) -> Result<serde_json::Value, CommandError> {
    let Some(socket) = config.control_socket() else {
        let advice = "over PostgreSQL there is a control socket only if control.socket names one";
        return Err(DaemonError::refused(advice).into());
    };
    ask(&socket, request).map_err(|error| match error {
        AskError::NotRunning => CommandError::NotRunning(socket),
        error @ (AskError::NoAnswer(_) | AskError::Refused(_)) => {
            DaemonError::failed(error.to_string(), error).into()
        }
    })
}

/// Prints how the running daemon is, or what it has counted.
pub(super) fn run(show: &ShowStatus, config: &Config, output: &mut dyn Write) -> Result<(), CommandError> {
    let request = if show.metrics {
        Request::Metrics
    } else {
        Request::Status
    };
    let answer = asked(config, &request)?;
    let unreadable = DaemonError::because::<serde_json::Error>("the daemon's answer is unreadable");
    let text = match answer.as_str() {
        Some(metrics) => metrics.to_owned(),
        None if show.json => serde_json::to_string_pretty(&answer).map_err(&unreadable)? + "\n",
        None => serde_json::from_value::<status::Status>(answer)
            .map_err(&unreadable)?
            .text(),
    };
    output.write_all(text.as_bytes()).map_err(cannot_write)?;
    Ok(())
}
