//! `imserver where`.

use std::io::Write;

use super::{CommandError, cannot_write, status::asked};
use crate::{
    config::{Config, Where},
    control::Request,
    error::DaemonError,
    status,
};

/// Prints where users are connected, as the running daemon knows it.
pub(super) fn run(find: &Where, config: &Config, output: &mut dyn Write) -> Result<(), CommandError> {
    let request = Request::Where {
        users: find.users.clone(),
    };
    let answer = asked(config, &request)?;
    let unreadable = DaemonError::because::<serde_json::Error>("the daemon's answer is unreadable");
    let found: status::Whereabouts = serde_json::from_value(answer).map_err(&unreadable)?;
    let text = if find.json {
        serde_json::to_string_pretty(&found).map_err(&unreadable)? + "\n"
    } else {
        found.text()
    };
    output.write_all(text.as_bytes()).map_err(cannot_write)?;
    if !found.complete {
        let why = "other nodes are missing: Redis does not answer";
        return Err(DaemonError::refused(why).into());
    }
    Ok(())
}
