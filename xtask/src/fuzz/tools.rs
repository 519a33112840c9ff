//! Finds what fuzzing needs: a nightly toolchain, a C++ compiler, and cargo-fuzz, which it installs into the
//! target directory if the machine has none.

use crate::process::{self, Failure, Outcome, Result, Workspace};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// The version of cargo-fuzz that is installed where there is none.
const CARGO_FUZZ_VERSION: &str = "0.13.1";

/// The tools, found.
#[derive(Debug)]
pub(super) struct Tools {
    toolchain: String,
    compiler: OsString,
    /// The search path on which `cargo fuzz` is found.
    path: OsString,
}

impl Tools {
    /// Finds or installs everything, or says what is missing and how to get it.
    pub(super) fn find(workspace: &Workspace) -> Result<Self> {
        let installed = process::answer(workspace.command("rustup").args(["toolchain", "list"]));
        let toolchain = nightly(&installed.unwrap_or_default()).ok_or_else(|| {
            Failure::new(
                "fuzzing needs a nightly toolchain: rustup toolchain install nightly --profile minimal",
            )
        })?;
        let compiler = compiler(workspace).ok_or_else(|| {
            Failure::new("fuzzing needs a C++ compiler, for libFuzzer: install g++ or clang++, or set CXX")
        })?;
        let own = workspace.target().join("tools");
        let tools = Self {
            toolchain,
            compiler,
            path: search_path(own.join("bin"))?,
        };
        if process::answer(tools.cargo_fuzz(workspace).arg("--version")).is_none() {
            install(workspace, &own)?;
        }
        Ok(tools)
    }

    /// `cargo fuzz` on the nightly toolchain.
    pub(super) fn cargo_fuzz(&self, workspace: &Workspace) -> Command {
        let mut command = workspace.command("rustup");
        // Cargo tells its children which toolchain they run on; here it is another.
        for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH"] {
            command.env_remove(name);
        }
        command.env("PATH", &self.path).env("CXX", &self.compiler);
        command.args(["run", &self.toolchain, "cargo", "fuzz"]);
        command
    }
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

fn compiler(workspace: &Workspace) -> Option<OsString> {
    let candidates = std::env::var_os("CXX")
        .into_iter()
        .chain(["c++", "g++", "clang++"].map(OsString::from));
    let mut working = candidates
        .filter(|program| process::answer(workspace.command(program).args(["--version"])).is_some());
    working.next()
}

fn search_path(first: PathBuf) -> Result<OsString> {
    let present = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(first).chain(std::env::split_paths(&present));
    std::env::join_paths(all)
        .map_err(|error| Failure::new(format!("the target directory cannot be on PATH: {error}")))
}

fn install(workspace: &Workspace, root: &std::path::Path) -> Result<()> {
    let mut command = workspace.cargo(&[
        "install",
        "cargo-fuzz",
        "--locked",
        "--version",
        CARGO_FUZZ_VERSION,
    ]);
    match process::run(command.arg("--root").arg(root))? {
        Outcome::Passed => Ok(()),
        Outcome::Failed => Err(Failure::new("cargo-fuzz is missing and could not be installed")),
    }
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
