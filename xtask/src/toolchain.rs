//! Finds another toolchain than the one that runs this program. It must never install one.

use crate::process::{self, Workspace};
use std::process::Command;

/// The nightly toolchain of this machine, if it has one.
pub(crate) fn nightly_of(workspace: &Workspace) -> Option<String> {
    let installed = process::answer(workspace.command("rustup").args(["toolchain", "list"]));
    nightly(&installed.unwrap_or_default())
}

/// Cargo of that toolchain.
pub(crate) fn cargo(workspace: &Workspace, toolchain: &str) -> Command {
    let mut command = workspace.command("rustup");
    // Cargo tells its children which toolchain they run on; here it is another.
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH"] {
        command.env_remove(name);
    }
    command.args(["run", toolchain, "cargo"]);
    command
}

/// The nightly toolchain in rustup's list: the moving one if it is there, else the newest dated one.
fn nightly(list: &str) -> Option<String> {
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    let nightlies: Vec<&str> = names.filter(|name| name.starts_with("nightly-")).collect();
    let moving = nightlies.iter().find(|name| !name.contains("nightly-20"));
    moving
        .or_else(|| nightlies.iter().max())
        .map(|&name| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moving_nightly_is_preferred_to_the_newest_dated_one() {
        let dated = "stable-x86_64 (default)\nnightly-2026-01-02-x86_64\nnightly-2026-03-01-x86_64\n";
        assert_eq!(nightly(dated).as_deref(), Some("nightly-2026-03-01-x86_64"));
        let moving = "stable-x86_64 (active, default)\nnightly-2026-01-02-x86_64\nnightly-x86_64\n";
        assert_eq!(nightly(moving).as_deref(), Some("nightly-x86_64"));
        assert_eq!(nightly("stable-x86_64 (default)\n"), None);
    }
}
