//! A PostgreSQL server of a test's own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Instant, SystemTime};

use rustix::process::{Pid, Signal};

use crate::account::Account;
use crate::directory::Directory;
use crate::process::{self, PATIENCE, Process};
use crate::{Result, ServiceError, address, programs};

/// The superuser that tests are.
const USER: &str = "imserver";

/// The database that is always there.
const DATABASE: &str = "postgres";

/// What a server that is killed at once says when it is started while remains of it still run.
const STILL_RUNNING: &str = "shared memory block";

/// Everything that makes a commit durable is on, as the product demands; the rest is small. Nothing is put into
/// the machine's shared memory beyond what PostgreSQL insists on, so that a killed server leaves nothing there.
const SETTINGS: &str = "
fsync = on
synchronous_commit = on
full_page_writes = on
shared_buffers = 16MB
max_wal_size = 256MB
max_connections = 200
max_prepared_transactions = 0
dynamic_shared_memory_type = mmap
unix_socket_directories = ''
logging_collector = off
log_line_prefix = '%m [%p] '
";

/// How a server is to be started.
#[derive(Clone, Debug, Default)]
pub struct PostgresSetup {
    /// Connections need this password (SCRAM); without one everybody is trusted.
    pub password: Option<String>,
    /// Further lines of `postgresql.conf`.
    pub config: String,
}

impl PostgresSetup {
    /// Makes and starts a server.
    ///
    /// # Errors
    /// The programs are missing, or the server does not start.
    pub fn start(self) -> Result<Postgres> {
        Postgres::with(self)
    }
}

/// A running, stopped or killed server with a directory of its own. Dropped, it is stopped and removed.
#[derive(Debug)]
pub struct Postgres {
    programs: programs::Postgres,
    account: Option<Account>,
    setup: PostgresSetup,
    address: SocketAddr,
    running: Option<Process>,
    /// Last: it vanishes after what runs in it.
    directory: Directory,
}

impl Postgres {
    /// Makes and starts a server that trusts everybody.
    ///
    /// # Errors
    /// The programs are missing, or the server does not start.
    pub fn start() -> Result<Self> {
        Self::with(PostgresSetup::default())
    }

    fn with(setup: PostgresSetup) -> Result<Self> {
        let mut server = Self::without_data(setup)?;
        server.initialise()?;
        server.start_again()?;
        Ok(server)
    }

    fn without_data(setup: PostgresSetup) -> Result<Self> {
        let server = Self {
            programs: programs::Postgres::find()?,
            account: Account::unprivileged()?,
            setup,
            address: address::free()?,
            running: None,
            directory: Directory::new("QUIT")?,
        };
        if let Some(account) = server.account {
            account.own(server.directory.path())?;
        }
        Ok(server)
    }

    fn initialise(&self) -> Result<()> {
        let mut command = self.command("initdb");
        command
            // With checksums, as a server should be that keeps what nobody may lose.
            .args([
                "--encoding=UTF8",
                "--locale=C",
                "--data-checksums",
                "--no-sync",
                "-U",
                USER,
                "-D",
            ])
            .arg(self.data());
        match &self.setup.password {
            None => command.arg("--auth=trust"),
            Some(password) => {
                let file = self.directory.join("password");
                std::fs::write(&file, password).map_err(ServiceError::because("cannot write a file"))?;
                if let Some(account) = self.account {
                    account.own(&file)?;
                }
                command
                    .arg("--auth=scram-sha-256")
                    .arg(format!("--pwfile={}", file.display()))
            }
        };
        process::finish(&mut command)?;
        let file = self.data().join("postgresql.conf");
        let written = std::fs::read_to_string(&file)
            .and_then(|text| std::fs::write(&file, text + SETTINGS + &self.setup.config));
        written.map_err(ServiceError::because("cannot write the server's settings"))
    }

    /// The URL of a database that is always there.
    pub fn url(&self) -> String {
        let password = self.setup.password.as_deref().map(|word| format!(":{word}"));
        let password = password.unwrap_or_default();
        format!("postgres://{USER}{password}@{}/{DATABASE}", self.address)
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes a new, empty database and returns its URL. It stays until the server is dropped.
    ///
    /// # Errors
    /// The server does not run, or refuses.
    pub fn database(&self) -> Result<String> {
        database_on(&self.programs, &self.url())
    }

    /// What the current or last run has logged: its end.
    pub fn log(&self) -> String {
        process::last_words(&self.log_file())
    }

    // ---- its data elsewhere ---------------------------------------------------------------------

    /// Makes and starts a streaming standby of this server, which runs, with an address and a directory of its own.
    ///
    /// # Errors
    /// The server cannot be copied, or the standby does not start.
    pub fn standby(&self) -> Result<Self> {
        let mut standby = Self::without_data(self.setup.clone())?;
        let mut command = standby.command("pg_basebackup");
        command
            .args(["--checkpoint=fast", "--no-sync", "--write-recovery-conf", "-d"])
            .arg(self.url())
            .arg("-D")
            .arg(standby.data());
        process::finish(&mut command)?;
        standby.start_again()?;
        Ok(standby)
    }

    /// Makes a standby the primary of a new timeline, and waits until it is.
    ///
    /// # Errors
    /// It is no standby, does not run or takes too long.
    pub fn promote(&self) -> Result<()> {
        let mut command = self.command("pg_ctl");
        command.args(["promote", "-w", "-s", "-D"]).arg(self.data());
        process::finish(&mut command)
    }

    /// From its next start on it listens there.
    pub const fn listen_at(&mut self, address: SocketAddr) {
        self.address = address;
    }

    /// Copies the data of this server, which does not run.
    ///
    /// # Errors
    /// It runs, or a file cannot be copied.
    pub fn copy_data(&self) -> Result<DataCopy> {
        if self.running.is_some() {
            return Err(ServiceError::new("a running server's files cannot be copied"));
        }
        let directory = tempfile::Builder::new()
            .prefix("imserver-test-")
            .tempdir()
            .map_err(ServiceError::because("cannot make a directory"))?;
        copy_files(&self.data(), &directory.path().join("data"), None)?;
        Ok(DataCopy { directory })
    }

    /// Puts a copy in the place of this server's data, as whoever restores a directory does. A server that runs is
    /// ended at once before.
    ///
    /// # Errors
    /// It does not end, or a file cannot be copied.
    pub fn put_back(&mut self, copy: &DataCopy) -> Result<()> {
        self.stop_immediate()?;
        std::fs::remove_dir_all(self.data()).map_err(ServiceError::because("cannot remove the data"))?;
        copy_files(&copy.directory.path().join("data"), &self.data(), self.account)
    }

    // ---- life -------------------------------------------------------------------------------------

    /// Ends it in order: open transactions are rolled back, a checkpoint is written.
    ///
    /// # Errors
    /// It does not end in time; then it was killed.
    pub fn stop(&mut self) -> Result<()> {
        self.end(Signal::INT)
    }

    /// Ends it without a checkpoint: the next start recovers from the log.
    ///
    /// # Errors
    /// It does not end in time; then it was killed.
    pub fn stop_immediate(&mut self) -> Result<()> {
        self.end(Signal::QUIT)
    }

    /// Kills the server with all of its processes (SIGKILL).
    ///
    /// # Errors
    /// The system does not let us.
    pub fn kill(&mut self) -> Result<()> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        // Halted first, it can neither make new children nor tidy up after those that die.
        running.signal(Signal::STOP);
        let children = children(running.pid());
        let log = self.log_file();
        let ended = running.end(Signal::KILL, &mut self.directory, &log);
        for pid in children {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        ended.map(drop)
    }

    /// Starts it with the same port and data. Nothing happens if it runs.
    ///
    /// # Errors
    /// It does not start; the text has its last words.
    pub fn start_again(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.running.is_none() {
            match self.try_start() {
                Ok(running) => self.running = Some(running),
                Err(error) if error.to_string().contains(STILL_RUNNING) && Instant::now() < until => {
                    process::pause();
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends it without a checkpoint and starts it.
    ///
    /// # Errors
    /// It does not end or start in time.
    pub fn restart_immediate(&mut self) -> Result<()> {
        self.stop_immediate()?;
        self.start_again()
    }

    fn try_start(&mut self) -> Result<Process> {
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .arg("-c")
            .arg(format!("listen_addresses={}", self.address.ip()))
            .arg("-p")
            .arg(self.address.port().to_string());
        let log = self.log_file();
        let mut running = Process::start(&mut command, &mut self.directory, &log)?;
        let programs = &self.programs;
        let (host, port) = (self.address.ip().to_string(), self.address.port().to_string());
        let ready = running.until_ready(&log, || {
            let mut ask = programs.command("pg_isready");
            ask.args([
                "--timeout=1",
                "-d",
                DATABASE,
                "-U",
                USER,
                "-h",
                &host,
                "-p",
                &port,
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
            ask.status().is_ok_and(|status| status.success())
        });
        match ready {
            Ok(()) => Ok(running),
            Err(error) => {
                let _ = running.end(Signal::QUIT, &mut self.directory, &log);
                Err(error)
            }
        }
    }

    fn end(&mut self, signal: Signal) -> Result<()> {
        let log = self.log_file();
        match self.running.take() {
            Some(running) => running.end(signal, &mut self.directory, &log).map(drop),
            None => Ok(()),
        }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = self.programs.command(name);
        if let Some(account) = self.account {
            account.run(&mut command);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("server.log")
    }

    /// A killed server cannot give back the few bytes of the machine's shared memory by which PostgreSQL sees
    /// that a directory is in use; its number is the last of the seventh line of this file.
    fn release_shared_memory(&self) {
        let Ok(text) = std::fs::read_to_string(self.data().join("postmaster.pid")) else {
            return;
        };
        let number = text
            .lines()
            .nth(6)
            .and_then(|line| line.split_whitespace().nth(1));
        if let Some(number) = number {
            let mut command = Command::new("ipcrm");
            command.args(["-m", number]);
            let _ = process::finish(&mut command);
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Nobody will use the data again.
        let _ = self.stop_immediate();
        self.release_shared_memory();
    }
}

/// A server's data at one moment. Gone when it is dropped.
#[derive(Debug)]
pub struct DataCopy {
    directory: tempfile::TempDir,
}

fn copy_files(from: &Path, to: &Path, owner: Option<Account>) -> Result<()> {
    let fail = || ServiceError::because("cannot copy a server's data");
    std::fs::create_dir(to).map_err(fail())?;
    let permissions = std::fs::metadata(from).map_err(fail())?.permissions();
    std::fs::set_permissions(to, permissions).map_err(fail())?;
    for entry in std::fs::read_dir(from).map_err(fail())? {
        let entry = entry.map_err(fail())?;
        let name = entry.file_name();
        // It says that a server runs there.
        if name == "postmaster.pid" {
            continue;
        }
        let (source, target) = (entry.path(), to.join(&name));
        if entry.file_type().map_err(fail())?.is_dir() {
            copy_files(&source, &target, owner)?;
        } else {
            std::fs::copy(&source, &target).map_err(fail())?;
            owner.map_or(Ok(()), |owner| owner.own(&target))?;
        }
    }
    owner.map_or(Ok(()), |owner| owner.own(to))
}

/// Dumps the database of this URL, as the SQL that `pg_dump` makes with these further arguments.
///
/// # Errors
/// The server does not run, or refuses.
pub fn dump_database(url: &str, arguments: &[&str]) -> Result<Vec<u8>> {
    let mut command = programs::Postgres::find()?.command("pg_dump");
    command.args(arguments).arg("-d").arg(url);
    process::output(&mut command)
}

/// Has the database of this URL read SQL, up to the first error.
///
/// # Errors
/// The server does not run, or refuses some of it.
pub fn load_database(url: &str, sql: &[u8]) -> Result<()> {
    let mut file = tempfile::NamedTempFile::new().map_err(ServiceError::because("cannot make a file"))?;
    std::io::Write::write_all(&mut file, sql).map_err(ServiceError::because("cannot write a file"))?;
    let mut command = programs::Postgres::find()?.command("psql");
    command
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-f"])
        .arg(file.path());
    process::finish(&mut command)
}

/// Makes a new database on the server of this URL and returns the new one's.
pub(crate) fn database_on(programs: &programs::Postgres, url: &str) -> Result<String> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    // Unique over all processes that share a server: process numbers are used again.
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let name = format!(
        "test_{}_{:x}_{}",
        std::process::id(),
        since.as_micros(),
        MADE.fetch_add(1, Ordering::Relaxed)
    );
    let mut command = programs.command("psql");
    command
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c"])
        .arg(format!("CREATE DATABASE {name}"));
    process::finish(&mut command)?;
    with_database(url, &name)
        .ok_or_else(|| ServiceError::new("the server's URL is not like postgres://host/database"))
}

/// The URL with another database's name.
fn with_database(url: &str, name: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
    let server = place.split_once('/').map_or(place, |(server, _)| server);
    let mark = if options.is_empty() { "" } else { "?" };
    Some(format!("{scheme}://{server}/{name}{mark}{options}"))
}

/// The processes that this one has made, where the system tells.
fn children(parent: u32) -> Vec<Pid> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // The name, in brackets, may contain anything; after it come the state and the parent.
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let of = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        if of == Some(parent) {
            found.extend(Pid::from_raw(pid));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn a_database_is_put_into_any_url() {
        let table = [
            ("postgres://h/a", "postgres://h/n"),
            (
                "postgres://u:p@h:5/a?sslmode=disable",
                "postgres://u:p@h:5/n?sslmode=disable",
            ),
            ("postgresql://h", "postgresql://h/n"),
        ];
        for (url, wanted) in table {
            assert_eq!(with_database(url, "n").as_deref(), Some(wanted));
        }
        assert_eq!(with_database("host=h", "n"), None);
    }
}
