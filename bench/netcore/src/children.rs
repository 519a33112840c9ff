//! Owns the programs that a measurement starts: where they run, how they say where they listen, and that they
//! are gone with their starter. Must never wait for one without a limit.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// How long a server may take to say where it listens.
const ANNOUNCEMENT_SECONDS: i64 = 20;

/// What a server prints in front of its address.
const ANNOUNCEMENT: &str = "listening on ";

/// The processors that parts of a measurement run on; `None` leaves it to the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Core(pub Option<usize>);

impl Core {
    /// A command for `program` on this processor. Where the tools for it are there, the kernel ends it when
    /// the thread that started it ends, however that comes about.
    #[must_use]
    pub fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        if let Self(Some(core)) = self {
            command.args(["taskset", "-c", &core.to_string()]);
        }
        command.arg(program);
        command
    }
}

/// A running server; it is ended when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    /// Kept open: a server that prints more must not fail.
    _output: Option<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts a server that says `listening on ADDRESS` once it does.
    ///
    /// # Errors
    /// It cannot be started, ends, or says nothing in time.
    pub fn start(program: &Path, arguments: &[&str], core: Core) -> io::Result<Self> {
        let mut command = core.command(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut started = Ended(Some(command.spawn()?));
        let announced = started.0.as_mut().and_then(|child| child.stdout.take());
        let mut output = BufReader::new(announced.ok_or_else(|| failed(program, "has no output"))?);
        let mut line = String::new();
        wait_for_output(output.get_ref()).map_err(|error| failed(program, &error.to_string()))?;
        output.read_line(&mut line)?;
        let address = parse_announcement(&line)
            .ok_or_else(|| failed(program, &format!("said {line:?} instead of where it listens")))?;
        let child = started.0.take().ok_or_else(|| failed(program, "is gone"))?;
        Ok(Self {
            child,
            address,
            _output: Some(output),
        })
    }

    /// Starts a server that says nothing; it listens at `address` once a connection to it succeeds.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_silent(mut command: Command, address: SocketAddr) -> io::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            child,
            address,
            _output: None,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Ends what was started but did not become a server.
struct Ended(Option<Child>);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            end(child);
        }
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// It cannot be started or fails; the error holds its complaints.
pub fn run(command: &mut Command) -> io::Result<String> {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output()?;
    if status.success() {
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    } else {
        let complaint = String::from_utf8_lossy(&stderr);
        Err(io::Error::other(format!(
            "{:?} failed ({status}): {}",
            command.get_args().collect::<Vec<_>>(),
            complaint.trim_end()
        )))
    }
}

/// The program called `name` in the directory of the running one.
///
/// # Errors
/// The running program cannot be found.
pub fn beside(name: &str) -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

fn wait_for_output(output: &ChildStdout) -> io::Result<()> {
    let timeout = Timespec {
        tv_sec: ANNOUNCEMENT_SECONDS,
        tv_nsec: 0,
    };
    match poll(&mut [PollFd::new(output, PollFlags::IN)], Some(&timeout))? {
        0 => Err(io::Error::other("did not say in time where it listens")),
        _ => Ok(()),
    }
}

fn parse_announcement(line: &str) -> Option<SocketAddr> {
    line.trim_end().strip_prefix(ANNOUNCEMENT)?.parse().ok()
}

fn failed(program: &Path, what: &str) -> io::Error {
    io::Error::other(format!("{}: {what}", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_is_an_address_and_nothing_else() {
        let address = "127.0.0.1:7500".parse().expect("an address");
        assert_eq!(parse_announcement("listening on 127.0.0.1:7500\n"), Some(address));
        assert_eq!(parse_announcement("listening on port 7500\n"), None);
        assert_eq!(parse_announcement(""), None);
    }

    #[test]
    fn a_program_that_ends_at_once_is_no_server() {
        let error = Server::start(Path::new("true"), &[], Core::default()).expect_err("no server");
        assert_eq!(error.to_string(), "true: said \"\" instead of where it listens");
    }

    #[test]
    fn a_failure_carries_the_complaint() {
        let error = run(Core::default().command("sh").args(["-c", "echo no >&2; exit 3"]))
            .expect_err("a failure");
        assert!(error.to_string().ends_with("(exit status: 3): no"), "{error}");
    }
}
