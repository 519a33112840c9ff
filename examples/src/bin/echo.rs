//! A server that sends every frame back: the smallest complete program on netcore.
//!
//! A frame is a length of 4 bytes, big-endian, and that many bytes. `echo --listen 127.0.0.1:7500 --threads 2`
//! prints `listening on ADDRESS` and serves until it is ended. Sockets that a service manager passes are served
//! instead of the address.

use clap::Parser;
use netcore::codec::LengthPrefixed;
use netcore::{ConnCx, Flow, Handler, Listen, NoTask, Outbound, Peer, Refusal, Server};
use std::net::SocketAddr;
use std::process::ExitCode;

/// The longest frame, without its length.
const FRAME_BYTES_MAX: u32 = 1024 * 1024;

/// The code with which a connection is closed that an answer does not fit into.
const ANSWER_REFUSED: u16 = 1;

/// Sends every frame back.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 is any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7500")]
    listen: SocketAddr,
    /// Event loops, one thread each.
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
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

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let given = match Listen::activated() {
        Ok(given) => given,
        Err(error) => {
            eprintln!("echo: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut builder = Server::builder::<Echo>()
        .loops(arguments.threads)
        .outbound(Outbound::for_frames_of(4 + FRAME_BYTES_MAX as usize));
    if given.is_empty() {
        builder = builder.listen(arguments.listen);
    }
    for listen in given {
        builder = builder.listen(listen);
    }
    let server = builder.start(|_loop, _remote| Echo);
    let server = match server {
        Ok(server) => server,
        Err(error) => {
            eprintln!("echo: {error}");
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
