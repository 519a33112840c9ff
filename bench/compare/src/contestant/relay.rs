//! The bare relay: what is divided by.

use super::{Contestant, Found, Running, plain};
use bench_netcore::children::{self, Core, Server};
use std::io;
use std::path::{Path, PathBuf};

/// What the relay writes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Store {
    File,
    Sqlite,
}

struct Relay {
    program: PathBuf,
    store: Store,
}

impl Store {
    const fn name(self) -> &'static str {
        match self {
            Self::File => "relay-file",
            Self::Sqlite => "relay-sqlite",
        }
    }
}

pub(super) fn find(store: Store) -> io::Result<Found> {
    let program = children::beside("relay-limit")?;
    Ok(if program.is_file() {
        Found::Here(Box::new(Relay { program, store }))
    } else {
        Found::missing(store.name(), "`cargo build --release -p bench-relay` makes it")
    })
}

impl Contestant for Relay {
    fn name(&self) -> &'static str {
        self.store.name()
    }

    fn dialect(&self) -> &'static str {
        "relay"
    }

    fn promise(&self) -> &'static str {
        match self.store {
            Store::File => {
                "appended to a preallocated file and flushed, once per epoll round; nothing for who is away"
            }
            Store::Sqlite => {
                "committed to one clustered SQLite table, `synchronous=FULL`, once per epoll round; nothing for \
                 who is away"
            }
        }
    }

    fn start(&self, directory: &Path, core: Core, _users: usize) -> io::Result<Running> {
        let store = match self.store {
            Store::File => "file",
            Store::Sqlite => "sqlite",
        };
        let arguments = ["--store", store, "--data-dir", plain(directory)?];
        Ok(Running::open(Server::start(&self.program, &arguments, core)?))
    }
}
