//! Runs other programs: where the workspace is, how cargo is called, how output is watched while it passes
//! through. It must never decide what a result means.

use std::fmt;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// How the variables begin by which cargo tells this program about its own package. Build scripts of dependencies look at
/// some of them: passed on, they would have a build differ from one that the user begins, and each make the other's again.
const OF_THIS_PACKAGE: [&str; 2] = ["CARGO_MANIFEST_", "CARGO_PKG_"];

/// Whether what was asked for holds. A `Failed` has already been reported to the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything held.
    Passed,
    /// Something did not, and was printed.
    Failed,
}

impl Outcome {
    /// Passed when `good`.
    pub(crate) fn from_bool(good: bool) -> Self {
        if good { Self::Passed } else { Self::Failed }
    }

    /// Passed only when both are.
    pub(crate) fn and(self, other: Self) -> Self {
        Self::from_bool(self == Self::Passed && other == Self::Passed)
    }
}

/// Why a command could not do its work, as a sentence for the user.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// A failure with this explanation.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The result of everything that can fail here.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// The checkout that is worked on.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Finds the workspace that this run of xtask belongs to. Cargo names the package's directory at run time;
    /// the one from compile time would be wrong where clones share a target directory.
    pub(crate) fn locate() -> Result<Self> {
        let package = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        match package.parent() {
            Some(root) if root.join("Cargo.toml").is_file() => Ok(Self {
                root: root.to_path_buf(),
            }),
            _ => Err(Failure::new(format!("no workspace above {}", package.display()))),
        }
    }

    /// The top directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where build products and tools go: cargo's target directory.
    pub(crate) fn target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| self.root.join("target"), |path| self.root.join(path))
    }

    /// A cargo command in the workspace, with the toolchain that runs this program.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = self.command(program);
        command.args(arguments);
        command
    }

    /// Any other program in the workspace.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if OF_THIS_PACKAGE.iter().any(|prefix| name_text.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        // Watched output goes through a pipe; the user still sees a terminal.
        if io::stderr().is_terminal() && std::env::var_os("CARGO_TERM_COLOR").is_none() {
            command.env("CARGO_TERM_COLOR", "always");
        }
        command
    }
}

/// Which of a program's streams is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Its results.
    Output,
    /// Its progress and complaints.
    Error,
}

/// Runs a program with its output passing straight through.
pub(crate) fn run(command: &mut Command) -> Result<Outcome> {
    announce(command);
    let status = command.status().map_err(|error| not_started(command, &error))?;
    Ok(Outcome::from_bool(status.success()))
}

/// Runs a program quietly and returns what it printed, or `None` if it failed or does not exist.
pub(crate) fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program and returns what it printed; its complaints pass through. An unsuccessful exit is a failure.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    announce(command);
    let mut child = start(command.stdout(Stdio::piped()))?;
    let mut text = String::new();
    if let Some(mut output) = child.stdout.take() {
        output
            .read_to_string(&mut text)
            .map_err(|error| lost(command, &error))?;
    }
    if finish(command, &mut child)?.success() {
        Ok(text)
    } else {
        Err(Failure::new(format!("`{}` failed", show(command))))
    }
}

/// Runs a program whose `stream` is shown to the user and, line by line, to `watch`.
pub(crate) fn watch(command: &mut Command, stream: Stream, mut watch: impl FnMut(&str)) -> Result<Outcome> {
    announce(command);
    match stream {
        Stream::Output => command.stdout(Stdio::piped()),
        Stream::Error => command.stderr(Stdio::piped()),
    };
    let mut child = start(command)?;
    let piped: Option<Box<dyn Read>> = match stream {
        Stream::Output => child.stdout.take().map(|pipe| Box::new(pipe) as _),
        Stream::Error => child.stderr.take().map(|pipe| Box::new(pipe) as _),
    };
    if let Some(pipe) = piped {
        let result = each_line(BufReader::new(pipe), |line| {
            show_line(stream, line);
            watch(&String::from_utf8_lossy(line));
        });
        result.map_err(|error| lost(command, &error))?;
    }
    Ok(Outcome::from_bool(finish(command, &mut child)?.success()))
}

/// Calls `each` with every line, its end included. Test output is not always UTF-8.
fn each_line(mut reader: impl BufRead, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        each(&line);
        line.clear();
    }
    Ok(())
}

/// A closed terminal is no reason to stop the work.
fn show_line(stream: Stream, line: &[u8]) {
    let _ = match stream {
        Stream::Output => io::stdout().write_all(line),
        Stream::Error => io::stderr().write_all(line),
    };
}

fn start(command: &mut Command) -> Result<Child> {
    command.spawn().map_err(|error| not_started(command, &error))
}

fn finish(command: &Command, child: &mut Child) -> Result<ExitStatus> {
    child.wait().map_err(|error| lost(command, &error))
}

fn not_started(command: &Command, error: &io::Error) -> Failure {
    Failure::new(format!("cannot start `{}`: {error}", show(command)))
}

fn lost(command: &Command, error: &io::Error) -> Failure {
    Failure::new(format!("lost `{}`: {error}", show(command)))
}

fn announce(command: &Command) {
    eprintln!("$ {}", show(command));
}

/// The command as one would type it.
fn show(command: &Command) -> String {
    let name = Path::new(command.get_program())
        .file_name()
        .unwrap_or_else(|| command.get_program());
    let mut text = name.to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Workspace;

    #[test]
    fn programs_are_not_told_of_this_package() {
        let command = Workspace::locate().unwrap().cargo(&["build"]);
        let removed: Vec<_> = command.get_envs().filter(|(_, value)| value.is_none()).collect();
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME"] {
            assert!(std::env::var_os(name).is_some(), "cargo sets {name}");
            assert!(removed.iter().any(|(removed, _)| *removed == name), "{name}");
        }
    }
}
