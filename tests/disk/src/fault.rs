//! The library that stands between a process and its disk: compiled, and told what to do.
//!
//! It owns the environment of the process that runs on it. `fault/fault.c` says what each action means.

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use tempfile::TempDir;

/// What happens at the chosen call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// It fails: input/output error.
    Error,
    /// It fails: no space left.
    NoSpace,
    /// It and all later ones fail: no space left.
    Full,
    /// Writes: it succeeds, and its pages are lost when the system writes them back.
    Drop,
    /// The process is killed before it.
    Kill,
    /// Writes: the process is killed after the first half of it.
    Half,
}

/// One fault: an action at the n-th call of some kinds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// What.
    pub action: Action,
    /// Letters of [`crate::trace::Step::kind`].
    pub kinds: &'static str,
    /// From 1.
    pub number: usize,
    /// Only on files whose names end so.
    pub suffix: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            Action::Error => "eio",
            Action::NoSpace => "enospc",
            Action::Full => "full",
            Action::Drop => "drop",
            Action::Kill => "kill",
            Action::Half => "half",
        };
        write!(formatter, "{action}:{}:{}", self.kinds, self.number)?;
        if self.suffix.is_empty() {
            return Ok(());
        }
        write!(formatter, ":{}", self.suffix)
    }
}

/// The environment of a process whose files in `directory` are on such a disk. `record` is where its calls are
/// written to.
pub fn environment(
    directory: &Path,
    record: Option<&Path>,
    fault: Option<&Fault>,
) -> Vec<(String, OsString)> {
    let mut variables = vec![
        ("LD_PRELOAD".to_owned(), library().into()),
        ("FAULT_DIR".to_owned(), directory.into()),
        // The daemon starts itself once more without it, and what it starts is not watched.
        ("GLIBC_TUNABLES".to_owned(), "".into()),
    ];
    variables.extend(record.map(|record| ("FAULT_TRACE".to_owned(), record.into())));
    variables.extend(fault.map(|fault| ("FAULT".to_owned(), fault.to_string().into())));
    variables
}

/// The library, compiled once for this process by the C compiler that the build needs anyway.
fn library() -> PathBuf {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let directory = MADE.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fault/fault.c");
        let output = Command::new(&compiler)
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(directory.path().join("fault.so"))
            .arg(source)
            .args(["-ldl", "-lpthread"])
            .output()
            .unwrap_or_else(|error| {
                panic!("the C compiler {compiler:?} that the fault library needs: {error}")
            });
        assert!(
            output.status.success(),
            "the fault library does not compile: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        directory
    });
    directory.path().join("fault.so")
}
