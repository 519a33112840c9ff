//! ejabberd, an XMPP server, with its archive of messages and its own database (Mnesia), as its package has it.
//!
//! It is started without the tool that comes with it, because that one wants a user of its own, a fixed
//! directory and a second process; the tool only says where the parts are.

use super::{Contestant, Found, LOG, Running, plain};
use bench_netcore::children::{self, Core, Server};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const INSTALL: &str =
    "its package has this name (`apt-get install ejabberd`); the service it may start is not needed";

struct Ejabberd {
    erlang: PathBuf,
    libraries: PathBuf,
}

pub(super) fn find() -> Found {
    let (Some(tool), Some(erlang)) = (children::installed("ejabberdctl"), children::installed("erl")) else {
        return Found::missing("ejabberd", INSTALL);
    };
    let libraries = fs::read_to_string(tool).ok().and_then(|text| libraries(&text));
    match libraries.filter(|path| path.is_dir()) {
        Some(libraries) => Found::Here(Box::new(Ejabberd { erlang, libraries })),
        None => Found::missing(
            "ejabberd",
            "its tool `ejabberdctl` does not say where its libraries are",
        ),
    }
}

/// Where the tool has Erlang look for ejabberd.
fn libraries(tool: &str) -> Option<PathBuf> {
    let line = tool
        .lines()
        .find_map(|line| line.trim().strip_prefix("ERL_LIBS="))?;
    Some(PathBuf::from(line.trim_matches(['\'', '"'])))
}

fn configuration(address: SocketAddr) -> String {
    let (host, port) = (address.ip(), address.port());
    format!(
        "hosts: [localhost]\n\
         loglevel: warning\n\
         auth_method: [internal]\n\
         auth_password_format: plain\n\
         registration_timeout: infinity\n\
         listen:\n  - {{port: {port}, ip: \"{host}\", module: ejabberd_c2s, shaper: none, access: all, backlog: 4096}}\n\
         modules:\n\
         \x20 mod_register: {{access: all, ip_access: all}}\n\
         \x20 mod_mam: {{default: always}}\n\
         \x20 mod_offline: {{access_max_user_messages: unlimited}}\n\
         \x20 mod_stream_mgmt: {{max_ack_queue: infinity}}\n"
    )
}

impl Contestant for Ejabberd {
    fn name(&self) -> &'static str {
        "ejabberd"
    }

    fn dialect(&self) -> &'static str {
        "xmpp"
    }

    fn promise(&self) -> &'static str {
        "handed on and written to the archives of both (Mnesia), not flushed; stream management both ways: at \
         least once"
    }

    fn start(&self, directory: &Path, core: Core, _users: usize) -> io::Result<Running> {
        let address = children::free_address()?;
        let file = directory.join("ejabberd.yml");
        fs::write(&file, configuration(address))?;
        let database = format!("\"{}/db\"", plain(directory)?);
        let mut command = core.command(&self.erlang);
        command
            .env("ERL_LIBS", &self.libraries)
            .env("EJABBERD_CONFIG_PATH", &file)
            .env("EJABBERD_LOG_PATH", directory.join(LOG))
            .env("HOME", directory)
            .current_dir(directory)
            .args(["+K", "true", "+P", "250000", "-noinput", "-mnesia", "dir"])
            .arg(database)
            .args(["-s", "ejabberd"]);
        Ok(Running::open(Server::start_silent(command, address)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tool_says_where_the_libraries_are() {
        let tool = "#!/bin/sh\nERL=\"/usr/bin/erl\"\nERL_LIBS='/usr/lib/erl'\nexport ERL_LIBS\n";
        assert_eq!(libraries(tool), Some(PathBuf::from("/usr/lib/erl")));
        assert_eq!(libraries("#!/bin/sh\n"), None);
    }
}
