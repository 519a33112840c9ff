//! `echo` over TLS: every frame comes back encrypted, and the certificate can be renewed while it serves.
//!
//! A frame is a length of 4 bytes, big-endian, and that many bytes. `tls-echo --certificate chain.pem --key key.pem`
//! prints `listening on ADDRESS` and serves until it is ended. With `--client-authorities FILE` only clients with a
//! certificate of one of these authorities get in. SIGHUP reads all files again: connections go on with what they
//! were made with, new ones get the new certificate. What it read, or why it kept the old, is one line.

use clap::Parser;
use netcore::codec::LengthPrefixed;
use netcore::limits::READ_BUFFER_BYTES;
use netcore::tls::{ClientCertificates, TlsServer};
use netcore::{ConnCx, Flow, Handler, Listen, NoTask, Outbound, Peer, Refusal, Server};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The longest frame, without its length.
const FRAME_BYTES_MAX: u32 = 1024 * 1024;

/// The code with which a connection is closed that an answer does not fit into.
const ANSWER_REFUSED: u16 = 1;

/// Sends every frame back, over TLS.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 is any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7504")]
    listen: SocketAddr,
    /// Event loops, one thread each.
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// The server's certificate and those between it and its authority, in PEM.
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// The key of the certificate, in PEM.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The authorities one of which must have signed a client's certificate, in PEM.
    #[arg(long, value_name = "FILE")]
    client_authorities: Option<PathBuf>,
}

impl Arguments {
    fn load(&self) -> Result<TlsServer, String> {
        let authorities = self.client_authorities.as_deref().map(read).transpose()?;
        let clients = match &authorities {
            Some(authorities) => ClientCertificates::Required(authorities),
            None => ClientCertificates::Unwanted,
        };
        TlsServer::from_pem(&read(&self.certificate)?, &read(&self.key)?, clients, &[])
            .map_err(|error| error.to_string())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

struct Echo;

impl Handler for Echo {
    type Codec = LengthPrefixed;
    type Conn = ();
    type Msg = ();
    type Task = NoTask;

    fn on_accept(&mut self, _peer: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
        Ok((LengthPrefixed::new(FRAME_BYTES_MAX), ()))
    }

    fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
        match cx.send(frame) {
            Ok(_) => Flow::Continue,
            Err(_) => Flow::Close(ANSWER_REFUSED),
        }
    }
}

/// A peer that does not read is not read from once it has `high_water` bytes to come. From there one more frame
/// must always fit.
fn outbound() -> Outbound {
    let high_water = READ_BUFFER_BYTES;
    Outbound {
        low_water: high_water / 2,
        high_water,
        limit: high_water + 4 + FRAME_BYTES_MAX as usize,
        ..Outbound::default()
    }
}

/// Reads the files again whenever the process is told to.
#[cfg(unix)]
fn reload_on_signal(arguments: Arguments, tls: TlsServer) -> std::io::Result<()> {
    use signal_hook::consts::SIGHUP;
    use signal_hook::iterator::Signals;
    use std::io::Write;

    let mut signals = Signals::new([SIGHUP])?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for _ in signals.forever() {
                let outcome = match arguments.load() {
                    Ok(new) => {
                        tls.replace_by(&new);
                        "read the certificate again".to_owned()
                    }
                    Err(error) => format!("kept the old certificate: {error}"),
                };
                // Whether somebody reads it or not.
                let _ = writeln!(std::io::stdout(), "{outcome}");
            }
        })?;
    Ok(())
}

/// Where there is no such signal, the certificate stays.
#[cfg(not(unix))]
fn reload_on_signal(_: Arguments, _: TlsServer) -> std::io::Result<()> {
    Ok(())
}

fn start(arguments: Arguments) -> Result<Server<()>, String> {
    let tls = arguments.load()?;
    let server = Server::builder::<Echo>()
        .loops(arguments.threads)
        .listen(Listen::from(arguments.listen).tls(tls.clone()))
        .outbound(outbound())
        .start(|_loop, _remote| Echo)
        .map_err(|error| error.to_string())?;
    // Before anybody is told that it serves: the signal would end it.
    reload_on_signal(arguments, tls).map_err(|error| format!("cannot wait for signals: {error}"))?;
    Ok(server)
}

fn main() -> ExitCode {
    let server = match start(Arguments::parse()) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("tls-echo: {error}");
            return ExitCode::FAILURE;
        }
    };
    for address in server.local_addrs() {
        println!("listening on {address}");
    }
    loop {
        std::thread::park();
    }
}
