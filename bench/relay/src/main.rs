//! The limit of a durable chat server: a relay that does nothing a chat could do without.
//!
//! One thread, one epoll instance, one log, one flush and at most one write per connection in each round. Users
//! are numbers that everybody may claim; there are no conversations, no history, no limits but those of memory,
//! and whoever is not connected is not delivered to. Nothing may be added that a relay could do without: it is
//! there to be divided by.

mod relay;
mod server;
mod store;
mod wire;

use clap::{Parser, ValueEnum};
use server::Server;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use store::Store;

/// Relays messages between numbered users; acknowledges and delivers what has been flushed.
#[derive(Debug, Parser)]
#[command(name = "relay-limit")]
struct Arguments {
    /// Where to listen; port 0 is any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where messages are stored before they are acknowledged.
    #[arg(long, value_enum, default_value_t = Kind::File)]
    store: Kind,
    /// A directory that is there already, for what is stored.
    #[arg(long, value_name = "DIR", default_value = ".")]
    data_dir: PathBuf,
    /// Bytes of the log file, written once before the start; when it is full, it begins again.
    #[arg(long, value_name = "BYTES", default_value_t = 256 * 1024 * 1024)]
    log_bytes: u64,
}

/// What a round's messages are written to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Kind {
    /// A preallocated file, `fdatasync` once a round.
    File,
    /// A table clustered by (conversation, seq); WAL, synchronous=FULL, a transaction a round.
    Sqlite,
    /// Nothing.
    None,
}

fn serve(arguments: &Arguments) -> io::Result<()> {
    let store = match arguments.store {
        Kind::File => Store::file(&arguments.data_dir.join("relay.log"), arguments.log_bytes)?,
        Kind::Sqlite => Store::sqlite(&arguments.data_dir.join("relay.db"))?,
        Kind::None => Store::None,
    };
    let mut server = Server::start(arguments.listen, store)?;
    println!("listening on {}", server.address()?);
    server.run()
}

fn main() -> ExitCode {
    match serve(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relay-limit: {error}");
            ExitCode::FAILURE
        }
    }
}
