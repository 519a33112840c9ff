//! A PgBouncer of a test's own, before one of its servers.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::account::Account;
use crate::directory::Directory;
use crate::process::Process;
use crate::{Result, ServiceError, address, programs};

/// How long one look whether it listens may take.
const LOOK: Duration = Duration::from_secs(1);

/// A running pooler with a directory of its own. Dropped, it is ended.
#[derive(Debug)]
pub struct PgBouncer {
    address: SocketAddr,
    database: String,
    running: Option<Process>,
    /// Last: it vanishes after what runs in it.
    directory: Directory,
}

impl PgBouncer {
    /// Starts one before the database of this URL (`postgres://user@host:port/database`), with these lines of
    /// configuration. `None` if the program is not installed.
    ///
    /// # Errors
    /// It does not start, or the URL is of another form.
    pub fn start(url: &str, settings: &str) -> Result<Option<Self>> {
        let Some(program) = programs::pgbouncer() else {
            return Ok(None);
        };
        let form = || ServiceError::new("the URL is not like postgres://user@host:port/database");
        let rest = url.split_once("://").ok_or_else(form)?.1;
        let (user, rest) = rest.split_once('@').ok_or_else(form)?;
        let (server, database) = rest.split_once('/').ok_or_else(form)?;
        let database = database.split('?').next().unwrap_or(database);
        let (host, port) = server.rsplit_once(':').ok_or_else(form)?;
        let directory = Directory::new("TERM")?;
        let address = address::free()?;
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).map_err(ServiceError::because("cannot configure PgBouncer"))?;
            Ok::<PathBuf, ServiceError>(path)
        };
        let users = write("users.txt", &format!("\"{user}\" \"\"\n"))?;
        let configuration = write(
            "pgbouncer.ini",
            &format!(
                "[databases]\n{database} = host={host} port={port} user={user} dbname={database}\n\
                 [pgbouncer]\nlisten_addr = {}\nlisten_port = {}\nunix_socket_dir =\nauth_type = any\n\
                 auth_file = {}\n{settings}\n",
                address.ip(),
                address.port(),
                users.display(),
            ),
        )?;
        let mut command = Command::new(program);
        command.arg(&configuration).current_dir("/");
        // It does not run as root.
        if let Some(account) = Account::unprivileged()? {
            for path in [directory.path(), &users, &configuration] {
                account.own(path)?;
            }
            account.run(&mut command);
        }
        let mut pooler = Self {
            address,
            database: format!("postgres://{user}@{address}/{database}"),
            running: None,
            directory,
        };
        let log = pooler.directory.join("server.log");
        let mut running = Process::start(&mut command, &mut pooler.directory, &log)?;
        let listens = || TcpStream::connect_timeout(&address, LOOK).is_ok();
        match running.until_ready(&log, listens) {
            Ok(()) => {
                pooler.running = Some(running);
                Ok(Some(pooler))
            }
            Err(error) => {
                let _ = running.end(Signal::KILL, &mut pooler.directory, &log);
                Err(error)
            }
        }
    }

    /// The URL of the database behind it.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let log = self.directory.join("server.log");
        if let Some(running) = self.running.take() {
            let _ = running.end(Signal::KILL, &mut self.directory, &log);
        }
    }
}
