//! `imserver nodes`.

use std::io::Write;

use storage::Cause;

use super::cannot_write;
use crate::{config::Config, error::DaemonError, stores};

/// Prints a line for each node that lives: name, address, and when it started (milliseconds since 1970).
pub(super) fn run(config: &Config, output: &mut dyn Write) -> Result<(), DaemonError> {
    let medium = stores::medium(config)?
        .ok_or_else(|| DaemonError::refused("nodes know of each other by Redis: name it with --redis"))?;
    let nodes = (medium.nodes)().map_err(|why| {
        let text = format!("{} names no nodes: {why}", config.redis.url);
        DaemonError::failed(text, Cause::text(why))
    })?;
    for node in nodes {
        let address = if node.address.is_empty() {
            "-"
        } else {
            &node.address
        };
        writeln!(output, "{}\t{address}\t{}", node.name, node.since.0).map_err(cannot_write)?;
    }
    Ok(())
}
