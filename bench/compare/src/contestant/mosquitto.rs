//! mosquitto, an MQTT broker, as its package has it but for limits that would drop messages.

use super::{Contestant, Found, LOG, Running, plain};
use bench_netcore::children::{self, Core, Server};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

struct Mosquitto {
    program: PathBuf,
}

pub(super) fn find() -> Found {
    children::installed("mosquitto").map_or_else(
        || {
            Found::missing(
                "mosquitto",
                "its package has this name (`apt-get install mosquitto`)",
            )
        },
        |program| Found::Here(Box::new(Mosquitto { program })),
    )
}

fn configuration(address: SocketAddr, directory: &str) -> String {
    let (host, port) = (address.ip(), address.port());
    // It keeps writing in its own directory when an administrator starts it.
    format!(
        "listener {port} {host}\nuser root\nallow_anonymous true\n\
         persistence true\npersistence_location {directory}/\n\
         max_inflight_messages 0\nmax_queued_messages 0\nset_tcp_nodelay true\n\
         log_dest file {directory}/{LOG}\nlog_type error\nlog_type warning\n"
    )
}

impl Contestant for Mosquitto {
    fn name(&self) -> &'static str {
        "mosquitto"
    }

    fn dialect(&self) -> &'static str {
        "mqtt"
    }

    fn promise(&self) -> &'static str {
        "taken into memory (QoS 1, persistent sessions); written to the disk every 30 minutes and at its end, \
         not flushed; at least once"
    }

    fn start(&self, directory: &Path, core: Core, _users: usize) -> io::Result<Running> {
        let address = children::free_address()?;
        let file = directory.join("mosquitto.conf");
        fs::write(&file, configuration(address, plain(directory)?))?;
        let mut command = core.command(&self.program);
        command.arg("-c").arg(&file);
        Ok(Running::open(Server::start_silent(command, address)?))
    }
}
