//! The daemon as a process: started, killed, told to end, started again.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Connection, PATIENCE, User};

/// Set, tests that do not say where to store do so in PostgreSQL.
const ON_POSTGRES: &str = "IMSERVER_TEST_ON_POSTGRES";

/// How a daemon is to be started.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Lines of its configuration file.
    pub config: String,
    /// The test makes it log errors; otherwise one fails the test.
    pub errors_allowed: bool,
    /// A program and its arguments that start the daemon, as in `unshare -m`; the daemon's own follow.
    pub wrapper: Vec<OsString>,
    /// Where it stores, if not in a directory of its own.
    pub data_dir: Option<PathBuf>,
    /// The URL of its store, if that is not the embedded one.
    pub store: Option<String>,
    /// The URL of its Redis, if it has one.
    pub redis: Option<String>,
    /// Its configuration says where it listens, and not the harness.
    pub listens_itself: bool,
    /// Its name among the nodes.
    pub node: Option<String>,
    /// Variables of its environment beyond the test's own.
    pub environment: Vec<(String, OsString)>,
}

impl Setup {
    /// With these lines of configuration.
    pub fn config(config: &str) -> Self {
        Self {
            config: config.to_owned(),
            ..Self::default()
        }
    }

    /// Errors in its log are part of the test.
    #[must_use]
    pub fn allow_errors(self) -> Self {
        Self {
            errors_allowed: true,
            ..self
        }
    }

    /// Starts a daemon of its own data directory.
    pub fn start(self) -> Daemon {
        Daemon::with(self)
    }

    /// Starts a daemon that may end instead, and says how it did.
    ///
    /// # Errors
    /// It ended before it listened.
    pub fn try_start(self) -> Result<Daemon, Ended> {
        let mut daemon = Daemon::new(self);
        daemon.try_start_again().map(|()| daemon)
    }
}

/// A process that ended by itself.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// And to standard error.
    pub stderr: String,
}

/// A running daemon with a directory of its own. Dropped, it is killed, and if it logged an error that the test
/// did not allow, the test fails.
#[derive(Debug)]
pub struct Daemon {
    setup: Setup,
    directory: TempDir,
    address: SocketAddr,
    running: Option<Running>,
    /// Of all runs.
    log: Arc<Mutex<Vec<String>>>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    stderr: JoinHandle<()>,
    /// Held open, so that it can say the rest; that is a few lines at most and fits the pipe unread.
    _stdout: BufReader<ChildStdout>,
}

impl Daemon {
    /// One with the default configuration.
    ///
    /// # Panics
    /// It does not start, as every method here panics when what is asked for does not come about.
    pub fn start() -> Self {
        Self::with(Setup::default())
    }

    fn with(setup: Setup) -> Self {
        let mut daemon = Self::new(setup);
        daemon.start_again();
        daemon
    }

    fn new(mut setup: Setup) -> Self {
        if setup.store.is_none() && setup.data_dir.is_none() && std::env::var_os(ON_POSTGRES).is_some() {
            setup.store = Some(services::fresh_database().expect("a database"));
        }
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join("imserver.toml"), &setup.config).expect("a configuration");
        Self {
            setup,
            directory,
            address: own_loopback(),
            running: None,
            log: Arc::default(),
        }
    }

    /// The binary under test.
    pub fn binary() -> PathBuf {
        binary("IMSERVER_BIN", "imserver")
    }

    /// Runs a daemon that is expected to end by itself.
    pub fn run_to_end(arguments: &[OsString]) -> Ended {
        ended(
            Command::new(Self::binary())
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the daemon's binary"),
        )
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it stores.
    pub fn data_dir(&self) -> PathBuf {
        let own = || self.directory.path().join("data");
        self.setup.data_dir.clone().unwrap_or_else(own)
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.data_dir().join("imserver.db")
    }

    /// Its configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.directory.path().join("imserver.toml")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("it runs").child.id()
    }

    /// What it has logged so far, over all of its runs.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes of memory in use, where the system tells.
    pub fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    }

    /// A new connection.
    pub fn connect(&self) -> Connection {
        Connection::to(self.address)
    }

    /// A new account, connected on its first device.
    pub fn register(&self, name: &str) -> User {
        User::register(self.address, name)
    }

    /// Further accounts at once.
    pub fn register_all<const N: usize>(&self, names: [&str; N]) -> [User; N] {
        names.map(|name| self.register(name))
    }

    /// Another device of an account.
    pub fn login(&self, name: &str, device: &str) -> User {
        User::login(self.address, name, device)
    }

    // ---- life -------------------------------------------------------------------------------------

    /// Kills it at once (SIGKILL).
    pub fn kill(&mut self) {
        let mut running = self.running.take().expect("it runs");
        running.child.kill().expect("killed");
        running.child.wait().expect("reaped");
        running.stderr.join().expect("its log");
    }

    /// Asks it to end (SIGTERM).
    pub fn ask_to_end(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks it to log how everything is (SIGUSR1).
    pub fn ask_for_status(&self) {
        self.signal(Signal::USR1);
    }

    /// Asks it to read its configuration again (SIGHUP).
    pub fn ask_to_reload(&self) {
        self.signal(Signal::HUP);
    }

    /// By the system call: the program `kill` is not installed everywhere.
    fn signal(&self, signal: Signal) {
        let running = self.running.as_ref().expect("it runs");
        kill_process(Pid::from_child(&running.child), signal).expect("the signal was sent");
    }

    /// How it has ended by itself, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        let running = self.running.as_mut()?;
        let status = running.child.try_wait().expect("its status")?;
        if let Some(running) = self.running.take() {
            running.stderr.join().expect("its log");
        }
        Some(status)
    }

    /// Waits until it has ended, and says how.
    pub fn ended(&mut self) -> ExitStatus {
        let mut running = self.running.take().expect("it runs");
        let status = wait(&mut running.child);
        running.stderr.join().expect("its log");
        status
    }

    /// The environment of its next start.
    pub fn set_environment(&mut self, environment: Vec<(String, OsString)>) {
        self.setup.environment = environment;
    }

    /// Starts it again, with the same port and data.
    pub fn start_again(&mut self) {
        if let Err(ended) = self.try_start_again() {
            panic!(
                "the daemon ended with {} and said {:?}; log: {:#?}",
                ended.status,
                ended.stdout,
                self.log()
            );
        }
    }

    /// As [`Self::start_again`], where it may end instead.
    ///
    /// # Errors
    /// It ended before it listened.
    pub fn try_start_again(&mut self) -> Result<(), Ended> {
        assert!(self.running.is_none(), "it was ended first");
        self.run()
    }

    /// Kills it and starts it again.
    pub fn restart(&mut self) {
        self.kill();
        self.start_again();
    }

    fn command(&self) -> Command {
        let mut words = self.setup.wrapper.iter().cloned();
        let binary = Self::binary().into_os_string();
        let mut command = match words.next() {
            Some(program) => {
                let mut command = Command::new(program);
                command.args(words).arg(binary);
                command
            }
            None => Command::new(binary),
        };
        command.arg("--config").arg(self.config_file());
        if !self.setup.listens_itself {
            command.args(["--listen", &self.address.to_string()]);
        }
        match &self.setup.store {
            // Nothing is to be written to: its directory is one it could not make.
            Some(store) => command.args(["--store", store, "--data-dir", "/proc/imserver"]),
            None => command.arg("--data-dir").arg(self.data_dir()),
        };
        for (flag, value) in [("--redis", &self.setup.redis), ("--node", &self.setup.node)] {
            if let Some(value) = value {
                command.args([flag, value]);
            }
        }
        command
    }

    fn run(&mut self) -> Result<(), Ended> {
        let logged = self.log().len();
        let (mut running, line) = self.spawn();
        if let Some(address) = line.trim().strip_prefix("listening on ") {
            // Behind it stands whether it encrypts. A Unix socket is none of ours.
            let address = address.split_whitespace().next().unwrap_or_default();
            self.address = address.parse().unwrap_or(self.address);
            self.running = Some(running);
            return Ok(());
        }
        let status = wait(&mut running.child);
        joined(running.stderr);
        Err(Ended {
            status,
            stdout: line,
            stderr: self.log()[logged..].join("\n"),
        })
    }

    /// The process, and the first line that it says.
    fn spawn(&self) -> (Running, String) {
        let mut child = self
            .command()
            .envs(self.setup.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon's binary");
        let stderr = child.stderr.take().expect("its standard error");
        let log = Arc::clone(&self.log);
        let stderr = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("its standard output"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("its first line");
        let running = Running {
            child,
            stderr,
            _stdout: stdout,
        };
        (running, line)
    }
}

fn joined(thread: JoinHandle<()>) {
    thread.join().expect("its log");
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.child.kill();
            let _ = running.child.wait();
            let _ = running.stderr.join();
        }
        let log = self.log();
        let errors: Vec<&String> = log.iter().filter(|line| is_error(line)).collect();
        if std::thread::panicking() {
            let from = log.len().saturating_sub(20);
            eprintln!("the daemon's last lines: {:#?}", &log[from..]);
        } else if !self.setup.errors_allowed {
            assert!(errors.is_empty(), "the daemon logged errors: {errors:#?}");
        }
        let panics = log.iter().any(|line| line.contains("panicked at"));
        assert!(
            !panics || std::thread::panicking(),
            "the daemon panicked: {log:#?}"
        );
    }
}

fn is_error(line: &str) -> bool {
    line.split_whitespace().any(|word| word == "ERROR")
}

/// The path of a binary: from the environment, or where cargo puts it beside the running test.
pub(crate) fn binary(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    let test = std::env::current_exe().expect("the test's own path");
    let directory = test
        .parent()
        .and_then(Path::parent)
        .expect("the target directory");
    let path = directory.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{} is missing: build it first (cargo xtask test does), or set {variable}",
        path.display()
    );
    path
}

/// An address of the loopback network that no other daemon of this machine's tests has, with any free port.
///
/// Two reasons not to take 127.0.0.1: while a daemon is down, another test's connection could be given its port,
/// and a client that connects to a free port of its own address can meet itself.
fn own_loopback() -> SocketAddr {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    if !cfg!(target_os = "linux") {
        return SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    }
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let number = TAKEN.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    // The second byte is at least 1, the last neither 0 nor 255.
    let address = [
        127,
        1 + (high ^ middle) % 250,
        low ^ number[0],
        1 + number[1] % 254,
    ];
    SocketAddr::from((address, 0))
}

/// Waits for a process that is expected to end.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("its status") {
            return status;
        }
        if Instant::now() > until {
            let _ = child.kill();
            panic!("the process did not end within {PATIENCE:?}");
        }
        // The standard library has no waiting with a deadline; nothing is synchronised by this.
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Waits for a process that is expected to end, and takes what it wrote.
pub(crate) fn ended(mut child: Child) -> Ended {
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let status = wait(&mut child);
    Ended {
        status,
        stdout: stdout.join().expect("its output"),
        stderr: stderr.join().expect("its errors"),
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_string(&mut text).expect("text");
        }
        text
    })
}
