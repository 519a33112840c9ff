//! Owns the programs that a measurement starts: where they run, how they say where they listen, and that they
//! are gone with their starter. Must never wait for one without a limit.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to say where it listens.
const ANNOUNCEMENT_WITHIN: Duration = Duration::from_secs(20);

/// How often it is looked whether a silent server listens.
const LOOK: Duration = Duration::from_millis(20);

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
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut started = Ended(Some(command.spawn()?));
        let announced = started.0.as_mut().and_then(|child| child.stdout.take());
        let mut output = BufReader::new(announced.ok_or_else(|| failed(program, "has no output"))?);
        let line = read_line(&mut output, ANNOUNCEMENT_WITHIN)
            .map_err(|error| failed(program, &error.to_string()))?;
        let address = parse_announcement(&line)
            .ok_or_else(|| failed(program, &format!("said {line:?} instead of where it listens")))?;
        let child = started.0.take().ok_or_else(|| failed(program, "is gone"))?;
        Ok(Self {
            child,
            address,
            _output: Some(output),
        })
    }

    /// Starts a server that does not say where it listens, but was told to do so at `address`, and waits until
    /// it does.
    ///
    /// # Errors
    /// It cannot be started, ends, or does not listen in time.
    pub fn start_silent(mut command: Command, address: SocketAddr) -> io::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut server = Self {
            child,
            address,
            _output: None,
        };
        let start = Instant::now();
        while let Err(error) = TcpStream::connect(address) {
            if server.child.try_wait()?.is_some() || start.elapsed() > ANNOUNCEMENT_WITHIN {
                return Err(error);
            }
            thread::sleep(LOOK);
        }
        Ok(server)
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

/// A running program that answers each line with a line; it is ended when this is dropped.
#[derive(Debug)]
pub struct Answerer {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Answerer {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut started = Ended(Some(command.spawn()?));
        let pipes = started
            .0
            .as_mut()
            .and_then(|child| Some((child.stdin.take()?, child.stdout.take()?)));
        match (started.0.take(), pipes) {
            (Some(child), Some((questions, answers))) => Ok(Self {
                child,
                questions,
                answers: BufReader::new(answers),
            }),
            _ => Err(io::Error::other("a program without pipes")),
        }
    }

    /// Asks without waiting for the answer.
    ///
    /// # Errors
    /// It has ended.
    pub fn ask(&mut self, question: &str) -> io::Result<()> {
        self.questions.write_all(format!("{question}\n").as_bytes())
    }

    /// The number that follows `name` in its next line.
    ///
    /// # Errors
    /// It has ended, says nothing in time, or something else.
    pub fn answer(&mut self, name: &str, within: Duration) -> io::Result<u64> {
        let line = read_line(&mut self.answers, within)?;
        parse_answer(&line, name)
            .ok_or_else(|| io::Error::other(format!("{line:?} was answered instead of `{name} NUMBER`")))
    }
}

impl Drop for Answerer {
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

/// An address that nobody listens at, for servers that cannot choose one. Somebody else may take it meanwhile;
/// then the server does not start.
///
/// # Errors
/// There is none.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// It cannot be started or fails; the error holds its complaints.
pub fn run(command: &mut Command) -> io::Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command.stdin(Stdio::null()).output()?;
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

/// The program called `name` among those that the user can call, or the administrator.
#[must_use]
pub fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.extend(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    places
        .into_iter()
        .map(|place| place.join(name))
        .find(|program| program.is_file())
}

/// The program called `name` in the directory of the running one.
///
/// # Errors
/// The running program cannot be found.
pub fn beside(name: &str) -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

/// The next line that a program prints, or what it printed of it before it ended.
///
/// # Errors
/// Nothing comes within this time.
pub fn read_line(output: &mut BufReader<ChildStdout>, within: Duration) -> io::Result<String> {
    if output.buffer().is_empty() {
        let timeout = Timespec::try_from(within).map_err(io::Error::other)?;
        let pipe = PollFd::new(output.get_ref(), PollFlags::IN);
        if poll(&mut [pipe], Some(&timeout))? == 0 {
            return Err(io::Error::other(format!("said nothing for {within:?}")));
        }
    }
    let mut line = String::new();
    output.read_line(&mut line)?;
    Ok(line)
}

fn parse_announcement(line: &str) -> Option<SocketAddr> {
    line.trim_end().strip_prefix(ANNOUNCEMENT)?.parse().ok()
}

fn parse_answer(line: &str, name: &str) -> Option<u64> {
    line.trim_end().strip_prefix(name)?.trim_start().parse().ok()
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
    fn only_what_is_there_is_installed() {
        let shell = installed("sh").expect("a shell");
        assert!(shell.is_file());
        assert_eq!(installed("no-program-has-this-name"), None);
    }

    #[test]
    fn a_silent_server_that_ends_is_no_server() {
        let address = free_address().expect("an address");
        let command = Core::default().command("true");
        assert!(Server::start_silent(command, address).is_err());
    }

    #[test]
    fn an_answer_is_a_name_and_a_number() {
        let mut command = Core::default().command("sh");
        command.args(["-c", "while read question; do echo $question 7; done"]);
        let mut answerer = Answerer::start(command).expect("a program");
        answerer.ask("pings").expect("asked");
        let within = Duration::from_secs(30);
        assert_eq!(answerer.answer("pings", within).expect("an answer"), 7);
        answerer.ask("pings").expect("asked");
        let error = answerer.answer("connected", within).expect_err("another answer");
        assert!(error.to_string().contains("pings 7"), "{error}");
    }

    #[test]
    fn a_failure_carries_the_complaint() {
        let error =
            run(Core::default().command("sh").args(["-c", "echo no >&2; exit 3"])).expect_err("a failure");
        assert!(error.to_string().ends_with("(exit status: 3): no"), "{error}");
    }
}
