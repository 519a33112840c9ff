//! A server that passes every line on to everybody else: groups, and sending across the loops, in little.
//!
//! `broadcast --listen 127.0.0.1:7503 --threads 2` prints `listening on ADDRESS` and serves until it is ended. Who
//! connects is greeted with the line `welcome`, and gets every line that others send from then on.

use bytes::BytesMut;
use clap::Parser;
use netcore::codec::{Codec, Delimited};
use netcore::{ConnCx, Flow, Handler, NoTask, Outbound, Peer, Refusal, Server, WhenFull};
use std::net::SocketAddr;
use std::process::ExitCode;

/// The longest line, without its end.
const LINE_BYTES_MAX: u32 = 16 * 1024;

/// Bytes that wait for a peer at most. One that falls further behind is closed: the others do not wait for it, and
/// it would miss lines without knowing.
const QUEUED_BYTES_MAX: usize = 1024 * 1024;

/// The group that everybody is in.
const EVERYBODY: u64 = 0;

/// The code with which a connection is closed whose line could not be passed on to all.
const LINE_REFUSED: u16 = 1;

/// Passes every line on to everybody else.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 is any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7503")]
    listen: SocketAddr,
    /// Event loops, one thread each.
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
}

struct Broadcast;

impl Handler for Broadcast {
    type Codec = Delimited;
    type Conn = ();
    type Msg = ();
    type Task = NoTask;

    fn on_accept(&mut self, _peer: &Peer) -> Result<(Delimited, ()), Refusal> {
        Ok((Delimited::lines(LINE_BYTES_MAX), ()))
    }

    fn on_open(&mut self, cx: &mut ConnCx<'_, Self>) {
        // In the group first: whoever has read the greeting misses nothing.
        if cx.join(EVERYBODY).is_err() || cx.send(b"welcome").is_err() {
            cx.close(LINE_REFUSED, netcore::CloseHow::Abort);
        }
    }

    fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, line: &[u8]) -> Flow<Self> {
        let from = cx.id();
        // Encoded once, whoever gets it.
        let mut encoded = BytesMut::new();
        if cx.codec().encode(line, &mut encoded).is_err() {
            return Flow::Close(LINE_REFUSED);
        }
        let remote = cx.loop_cx().remote().clone();
        match remote.send_to_group(EVERYBODY, &encoded.freeze(), Some(from)) {
            Ok(()) => Flow::Continue,
            // A loop is so far behind that its mailbox is full: the sender hears that its line is lost there.
            Err(_) => Flow::Close(LINE_REFUSED),
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let server = Server::builder::<Broadcast>()
        .loops(arguments.threads)
        .listen(arguments.listen)
        .outbound(Outbound {
            limit: QUEUED_BYTES_MAX,
            when_full: WhenFull::Close,
            ..Outbound::default()
        })
        .start(|_loop, _remote| Broadcast);
    let server = match server {
        Ok(server) => server,
        Err(error) => {
            eprintln!("broadcast: {error}");
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
