//! A key-value server that Redis clients can use: strings, lists, sets, sorted sets and hashes in memory, with expiry.
//!
//! `resp --listen 127.0.0.1:7600` prints `listening on ADDRESS` and serves until it is ended. All data belongs to
//! the one event loop, so no command ever waits for a lock; nothing is written to a disk. A command goes this
//! way: `codec` cuts it out of the stream, `commands` runs it on the `store`, and its `reply` is encoded straight
//! into the out-queue of the connection.

mod codec;
mod command;
mod commands;
mod reply;
mod store;

use clap::Parser;
use codec::{Answer, Failed, Resp};
use command::Command;
use commands::{Context, Failure};
use netcore::{
    CloseReason, ConnCx, Flow, Handler, LoopCx, NoTask, Outbound, Peer, Reason, Refusal, SendError, Server,
    Timeouts,
};
use reply::{REPLY_BYTES_MAX, Reply, Version};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use store::Store;

/// What all keys and values together may count for. Above it commands that could add something are refused.
const DATA_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Keys removed at one tick because they are due; whoever asks for one that is left does not see it.
const SWEEP_KEYS_MAX: usize = 1000;

/// A peer that does not read is not read from once so many bytes are queued for it.
const HIGH_WATER_BYTES: usize = 256 * 1024;

/// The code with which a connection is closed that said `QUIT`.
const QUIT: u16 = 0;

/// The code with which a connection is closed that a reply does not fit into.
const REPLY_REFUSED: u16 = 1;

/// A key-value server that Redis clients can use. Everything is in memory only.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 is any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7600")]
    listen: SocketAddr,
    /// Event loops. There is exactly one: the data is its own.
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
}

/// The server on its loop.
struct KeyValue {
    store: Store,
}

impl Handler for KeyValue {
    type Codec = Resp;
    type Conn = Version;
    type Msg = ();
    type Task = NoTask;

    fn on_accept(&mut self, _peer: &Peer) -> Result<(Resp, Version), Refusal> {
        Ok((Resp::default(), Version::Two))
    }

    fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, command: Command<'_>) -> Flow<Self> {
        if command.len() == 0 {
            // An empty line or array is no command and has no reply.
            return Flow::Continue;
        }
        let mut context = Context {
            store: &mut self.store,
            now: cx.now(),
        };
        let reply = commands::run(&mut context, &command);
        if let Reply::Hello(version) = reply {
            *cx.conn() = version;
        }
        let version = *cx.conn();
        let leaves = matches!(reply, Reply::Goodbye);
        let sent = match cx.send(&Answer { reply, version }) {
            // Nothing of it was queued.
            Err(SendError::Encode) => {
                let reply = Reply::Failure(Failure::ReplyTooLong);
                cx.send(&Answer { reply, version })
            }
            sent => sent,
        };
        match sent {
            Err(_) => Flow::Close(REPLY_REFUSED),
            Ok(_) if leaves => Flow::Close(QUIT),
            Ok(_) => Flow::Continue,
        }
    }

    fn on_tick(&mut self, cx: &mut LoopCx<'_, Self>) {
        self.store.sweep(cx.now(), SWEEP_KEYS_MAX);
    }

    fn on_closing(&mut self, cx: &mut ConnCx<'_, Self>, why: &Reason<Self>) {
        if let CloseReason::Protocol(Failed::Protocol(error)) = why {
            // It may not fit any more; the connection ends either way.
            let reply = Reply::ProtocolError(error.to_string());
            let version = *cx.conn();
            let _ = cx.send(&Answer { reply, version });
        }
    }
}

/// A connection is not read from above high water, and from there one more reply must always fit.
fn outbound() -> Outbound {
    Outbound {
        low_water: HIGH_WATER_BYTES / 2,
        high_water: HIGH_WATER_BYTES,
        limit: HIGH_WATER_BYTES + REPLY_BYTES_MAX,
        ..Outbound::default()
    }
}

/// Clients keep connections that they do not use.
fn timeouts() -> Timeouts {
    Timeouts {
        idle: Duration::MAX,
        ..Timeouts::default()
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.threads != 1 {
        eprintln!(
            "resp: --threads {}: the data belongs to one event loop, which is why nothing is locked; \
             for more cores run more servers and divide the keys among them",
            arguments.threads
        );
        return ExitCode::FAILURE;
    }
    let server = Server::builder::<KeyValue>()
        .loops(1)
        .listen(arguments.listen)
        .outbound(outbound())
        .timeouts(timeouts())
        .start(|_loop, _remote| KeyValue {
            store: Store::new(DATA_BYTES_MAX),
        });
    let server = match server {
        Ok(server) => server,
        Err(error) => {
            eprintln!("resp: {error}");
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
