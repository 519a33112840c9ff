//! A Redis server of a test's own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::directory::Directory;
use crate::process::{self, Process};
use crate::{Result, ServiceError, address, programs};

/// How long one question whether it answers may take.
const ANSWER: Duration = Duration::from_secs(1);

/// How a server is to be started.
#[derive(Clone, Debug, Default)]
pub struct RedisSetup {
    /// Connections need this password.
    pub password: Option<String>,
    /// Beyond so many bytes it refuses writes.
    pub maxmemory_bytes: Option<u64>,
    /// Further arguments of `redis-server`.
    pub arguments: Vec<String>,
}

impl RedisSetup {
    /// Starts a server.
    ///
    /// # Errors
    /// The program is missing, or the server does not start.
    pub fn start(self) -> Result<Redis> {
        let mut server = Redis {
            program: programs::redis()?,
            setup: self,
            address: address::free()?,
            running: None,
            directory: Directory::new("KILL")?,
        };
        server.start_again()?;
        Ok(server)
    }
}

/// A running, stopped or killed server that stores nothing. Dropped, it is ended.
#[derive(Debug)]
pub struct Redis {
    program: PathBuf,
    setup: RedisSetup,
    address: SocketAddr,
    running: Option<Process>,
    /// Last: it vanishes after what runs in it.
    directory: Directory,
}

impl Redis {
    /// Starts a server.
    ///
    /// # Errors
    /// The program is missing, or the server does not start.
    pub fn start() -> Result<Self> {
        RedisSetup::default().start()
    }

    /// Its URL.
    pub fn url(&self) -> String {
        let password = self.setup.password.as_deref().map(|word| format!(":{word}@"));
        format!("redis://{}{}/", password.unwrap_or_default(), self.address)
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the current or last run has logged: its end.
    pub fn log(&self) -> String {
        process::last_words(&self.log_file())
    }

    // ---- life -------------------------------------------------------------------------------------

    /// Ends it in order. Everything it knew is gone.
    ///
    /// # Errors
    /// It does not end in time; then it was killed.
    pub fn stop(&mut self) -> Result<()> {
        self.end(Signal::TERM)
    }

    /// Kills it (SIGKILL).
    ///
    /// # Errors
    /// The system does not let us.
    pub fn kill(&mut self) -> Result<()> {
        self.end(Signal::KILL)
    }

    /// Forgets everything it holds (FLUSHALL).
    ///
    /// # Errors
    /// It does not run, needs a password, or refuses.
    pub fn flush(&self) -> Result<()> {
        let refused = |error: std::io::Error| ServiceError::new(format!("Redis was not flushed: {error}"));
        let mut stream = TcpStream::connect_timeout(&self.address, ANSWER).map_err(refused)?;
        stream.set_read_timeout(Some(ANSWER)).map_err(refused)?;
        stream.write_all(b"FLUSHALL\r\n").map_err(refused)?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).map_err(refused)?;
        if answer == *b"+OK\r\n" {
            Ok(())
        } else {
            Err(ServiceError::new("Redis refuses to be flushed"))
        }
    }

    /// Halts it: connections stay open, new ones are still accepted by the system, nothing is answered.
    pub fn freeze(&self) {
        self.send(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.send(Signal::CONT);
    }

    /// Starts it on the same port, empty. Nothing happens if it runs.
    ///
    /// # Errors
    /// It does not start; the text has its last words.
    pub fn start_again(&mut self) -> Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let log = self.log_file();
        let mut running = Process::start(&mut self.command(), &mut self.directory, &log)?;
        let address = self.address;
        match running.until_ready(&log, || answers(address)) {
            Ok(()) => {
                self.running = Some(running);
                Ok(())
            }
            Err(error) => {
                let _ = running.end(Signal::KILL, &mut self.directory, &log);
                Err(error)
            }
        }
    }

    fn send(&self, signal: Signal) {
        if let Some(running) = &self.running {
            running.signal(signal);
        }
    }

    fn end(&mut self, signal: Signal) -> Result<()> {
        let log = self.log_file();
        match self.running.take() {
            Some(running) => {
                // A halted one would not hear.
                running.signal(Signal::CONT);
                running.end(signal, &mut self.directory, &log).map(drop)
            }
            None => Ok(()),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["--bind", &self.address.ip().to_string()])
            .args(["--port", &self.address.port().to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"])
            .arg(self.directory.path())
            .current_dir("/");
        if let Some(password) = &self.setup.password {
            command.args(["--requirepass", password]);
        }
        if let Some(bytes) = self.setup.maxmemory_bytes {
            command.args([
                "--maxmemory",
                &bytes.to_string(),
                "--maxmemory-policy",
                "noeviction",
            ]);
        }
        command.args(&self.setup.arguments);
        command
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("server.log")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Whether it is ready for commands; that it wants a password first is an answer as well.
fn answers(address: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    ask().is_ok_and(|answer| answer == *b"+PONG" || answer == *b"-NOAU")
}
