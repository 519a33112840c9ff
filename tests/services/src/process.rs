//! A server's process: started with its words in a log file, signalled, waited for within bounds.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::directory::Directory;
use crate::{Result, ServiceError};

/// How long a server may take to start or to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at whether it has come about. Nothing is synchronised by it.
const PAUSE: Duration = Duration::from_millis(10);

/// So much of a log is shown.
const LOG_SHOWN_BYTES: usize = 4096;

/// A running server.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts it in a process group of its own: an interrupted test ends it in order.
    pub(crate) fn start(command: &mut Command, directory: &mut Directory, log: &Path) -> Result<Self> {
        let output = File::create(log).map_err(ServiceError::because("cannot make a log file"))?;
        let errors = output
            .try_clone()
            .map_err(ServiceError::because("cannot make a log file"))?;
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(ServiceError::because(&format!("cannot start {name}")))?;
        directory.runs(child.id());
        Ok(Self(child))
    }

    /// Waits until `ready`; a server that ends instead, or takes too long, is an error with its last words.
    pub(crate) fn until_ready(&mut self, log: &Path, mut ready: impl FnMut() -> bool) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            // In this order: another server at the same place must not be taken for a dead one.
            let is_ready = ready();
            if let Some(status) = self.0.try_wait().ok().flatten() {
                return Err(ServiceError::new(format!(
                    "the server ended with {status}:\n{}",
                    last_words(log)
                )));
            }
            if is_ready {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(ServiceError::new(format!(
                    "the server did not answer within {PATIENCE:?}:\n{}",
                    last_words(log)
                )));
            }
            pause();
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Sends a signal. One to a process that has ended is none.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = rustix::process::kill_process(Pid::from_child(&self.0), signal);
    }

    /// Sends the signal that ends it and waits; one that does not end within bounds is killed, and an error.
    pub(crate) fn end(mut self, signal: Signal, directory: &mut Directory, log: &Path) -> Result<ExitStatus> {
        directory.idle();
        self.signal(signal);
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self
                .0
                .try_wait()
                .map_err(ServiceError::because("lost a server"))?
            {
                return Ok(status);
            }
            if Instant::now() > until {
                let _ = self.0.kill();
                let _ = self.0.wait();
                return Err(ServiceError::new(format!(
                    "the server did not end within {PATIENCE:?}:\n{}",
                    last_words(log)
                )));
            }
            pause();
        }
    }
}

/// Waits a moment.
pub(crate) fn pause() {
    std::thread::park_timeout(PAUSE);
}

/// Runs a program to its end; an unsuccessful one is an error with what it said.
pub(crate) fn finish(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// Runs a program to its end and returns what it wrote; an unsuccessful one is an error with what it said.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(ServiceError::because(&format!("cannot start {name}")))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let mut said = output.stdout;
    said.extend(output.stderr);
    Err(ServiceError::new(format!(
        "{name} ended with {}:\n{}",
        output.status,
        tail(&said)
    )))
}

/// The end of a log.
pub(crate) fn last_words(log: &Path) -> String {
    tail(&std::fs::read(log).unwrap_or_default())
}

fn tail(text: &[u8]) -> String {
    let from = text.len().saturating_sub(LOG_SHOWN_BYTES);
    let shown = text.get(from..).unwrap_or_default();
    String::from_utf8_lossy(shown).trim().to_owned()
}
