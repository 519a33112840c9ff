//! Finds what fuzzing needs: a nightly toolchain, a C++ compiler, and cargo-fuzz, which it installs into the
//! target directory if the machine has none.

use crate::process::{self, Failure, Outcome, Result, Workspace};
use crate::toolchain;
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
        let toolchain = toolchain::nightly_of(workspace).ok_or_else(|| {
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
        let mut command = toolchain::cargo(workspace, &self.toolchain);
        command
            .arg("fuzz")
            .env("PATH", &self.path)
            .env("CXX", &self.compiler);
        command
    }
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
