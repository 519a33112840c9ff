//! Who is compared: how each server is found, set up in an empty directory and started, and what it promises at
//! that setting. Must never start one with anything but the durability it is named with in the table.

mod ejabberd;
mod imserver;
mod jetstream;
mod mosquitto;
mod relay;

use bench_netcore::children::{Core, Server};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a server says last, at most this much of it, when it does not do what it should.
const LAST_WORDS_BYTES: usize = 600;

/// The file in its directory that a server logs to.
const LOG: &str = "server.log";

/// Everybody, as the table and `--only` call them.
pub(crate) const NAMES: [&str; 6] = [
    "relay-file",
    "relay-sqlite",
    "imserver",
    "mosquitto",
    "jetstream",
    "ejabberd",
];

/// A server that can be started.
pub(crate) trait Contestant {
    /// One of [`NAMES`].
    fn name(&self) -> &'static str;

    /// What the load is to speak with it.
    fn dialect(&self) -> &'static str;

    /// What an acknowledgement of it means, and what it delivers.
    fn promise(&self) -> &'static str;

    /// Starts it with everything that it stores in `directory`, ready for `users` users.
    fn start(&self, directory: &Path, core: Core, users: usize) -> io::Result<Running>;
}

/// A server that runs; it is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) server: Server,
    /// The accounts that the load uses, where it cannot make its own.
    pub(crate) accounts: Option<PathBuf>,
}

impl Running {
    /// One whose users need no accounts.
    pub(crate) const fn open(server: Server) -> Self {
        Self {
            server,
            accounts: None,
        }
    }
}

/// Whether a server is installed.
pub(crate) enum Found {
    Here(Box<dyn Contestant>),
    Missing {
        /// One of [`NAMES`].
        name: &'static str,
        /// A sentence that says how to install it.
        note: String,
    },
}

impl Found {
    fn missing(name: &'static str, what: &str) -> Self {
        let note = format!("{name} was left out: {what}");
        Self::Missing { name, note }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Here(contestant) => contestant.name(),
            Self::Missing { name, .. } => name,
        }
    }
}

/// Everybody, in the order of the table.
pub(crate) fn all(imserver: Option<&Path>, nats: Option<&Path>) -> io::Result<Vec<Found>> {
    Ok(vec![
        relay::find(relay::Store::File)?,
        relay::find(relay::Store::Sqlite)?,
        imserver::find(imserver)?,
        mosquitto::find(),
        jetstream::find(nats),
        ejabberd::find(),
    ])
}

/// An error with the end of the server's log, where it has one.
pub(crate) fn with_last_words(error: io::Error, directory: &Path) -> io::Error {
    let Ok(log) = fs::read(directory.join(LOG)) else {
        return error;
    };
    let end = log
        .get(log.len().saturating_sub(LAST_WORDS_BYTES)..)
        .unwrap_or_default();
    let end = String::from_utf8_lossy(end);
    if end.trim().is_empty() {
        return error;
    }
    let words = end.split_whitespace().collect::<Vec<_>>().join(" ");
    io::Error::new(error.kind(), format!("{error} (its log ends with: {words})"))
}

/// A path as a configuration file can hold it.
fn plain(path: &Path) -> io::Result<&str> {
    let text = path.to_str().filter(|text| !text.contains(['"', '\\', '\n']));
    text.ok_or_else(|| io::Error::other(format!("{} cannot be written into a file", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_brings_the_end_of_the_log() {
        let directory = tempfile::tempdir().expect("a directory");
        let error = || io::Error::other("gone");
        assert_eq!(with_last_words(error(), directory.path()).to_string(), "gone");
        fs::write(
            directory.path().join(LOG),
            format!("{}\nno  port\n", "x".repeat(900)),
        )
        .expect("a log");
        let text = with_last_words(error(), directory.path()).to_string();
        assert!(
            text.starts_with("gone (its log ends with: xxx") && text.ends_with("x no port)"),
            "{text}"
        );
        assert!(text.len() < 700);
    }

    #[test]
    fn everybody_is_found_by_their_name_or_missed_by_it() {
        let nowhere = Path::new("/nowhere");
        let names = all(Some(nowhere), Some(nowhere)).expect("a place of this program");
        assert_eq!(names.iter().map(Found::name).collect::<Vec<_>>(), NAMES);
    }

    #[test]
    fn paths_that_would_break_a_configuration_are_refused() {
        assert!(plain(Path::new("/a b/c")).is_ok());
        assert!(plain(Path::new("/a\"b")).is_err());
    }
}
