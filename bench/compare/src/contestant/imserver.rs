//! imserver with its embedded store, as it starts without a configuration.

use super::{Contestant, Found, Running, plain};
use bench_netcore::children::{self, Core, Server};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

struct Imserver {
    program: PathBuf,
}

pub(super) fn find(program: Option<&Path>) -> io::Result<Found> {
    let program = program.map_or_else(|| children::beside("imserver"), |path| Ok(path.to_path_buf()))?;
    Ok(if program.is_file() {
        Found::Here(Box::new(Imserver { program }))
    } else {
        Found::missing("imserver", "`cargo build --release -p imserver` makes it")
    })
}

impl Contestant for Imserver {
    fn name(&self) -> &'static str {
        "imserver"
    }

    fn dialect(&self) -> &'static str {
        "imserver"
    }

    fn promise(&self) -> &'static str {
        "committed to SQLite, `synchronous=FULL`; each once, in order; history and sync for who is away"
    }

    fn start(&self, directory: &Path, core: Core, users: usize) -> io::Result<Running> {
        let data = directory.join("data");
        let data = plain(&data)?;
        let mut provision = Core(None).command(&self.program);
        let count = users.to_string();
        provision.args([
            "--data-dir",
            data,
            "provision",
            "--count",
            &count,
            "--prefix",
            "b",
        ]);
        let accounts = directory.join("accounts");
        fs::write(&accounts, children::run(&mut provision)?)?;
        let arguments = ["--listen", "127.0.0.1:0", "--data-dir", data];
        Ok(Running {
            server: Server::start(&self.program, &arguments, core)?,
            accounts: Some(accounts),
        })
    }
}
