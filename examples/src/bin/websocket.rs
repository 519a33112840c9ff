//! A server of WebSockets that sends every message back.
//!
//! `websocket --listen 127.0.0.1:7600` prints `listening on ADDRESS` and serves until it is ended.

use clap::Parser;
use netcore::http::{Incoming, RequestLimits, Requests};
use netcore::websocket::{self, CloseCode, Message, MessageLimits, Opcode, Received, Upgradable};
use netcore::{CloseReason, ConnCx, Flow, Handler, NoTask, Outbound, Peer, Reason, Refusal, Server};
use std::net::SocketAddr;

/// More than most servers need: the conformance suite sends messages of 16 MiB, and some in fragments of 64 bytes.
const MESSAGE_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// Sends every message back.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 is any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7600")]
    listen: SocketAddr,
}

struct Echo;

impl Handler for Echo {
    type Codec = Upgradable;
    type Conn = ();
    type Msg = ();
    type Task = NoTask;

    fn on_accept(&mut self, _peer: &Peer) -> Result<(Upgradable, ()), Refusal> {
        Ok((Upgradable::new(Requests::new(RequestLimits::default())), ()))
    }

    fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, received: Received) -> Flow<Self> {
        let (answer, last) = match received {
            Received::Http(Incoming::Request(request)) => {
                match websocket::handshake::check(&request.head, &[]) {
                    Ok(accepted) => {
                        let (message_bytes, fragments) = (MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX / 64);
                        cx.codec().upgrade(MessageLimits {
                            message_bytes,
                            fragments,
                        });
                        (accepted.response(None), false)
                    }
                    Err(refused) => (refused.response(None), true),
                }
            }
            Received::Socket(Message::Text(text)) => (websocket::encode(Opcode::Text, &text), false),
            Received::Socket(Message::Binary(bytes)) => (websocket::encode(Opcode::Binary, &bytes), false),
            Received::Socket(Message::Close(close)) => (
                websocket::encode_close(close.code.unwrap_or(CloseCode::NORMAL), ""),
                true,
            ),
            // The library takes care of these.
            Received::Http(Incoming::Expectation) | Received::Socket(_) => return Flow::Continue,
        };
        match cx.send_encoded(answer) {
            Ok(_) if !last => Flow::Continue,
            Ok(_) | Err(_) => Flow::Close(0),
        }
    }

    fn on_closing(&mut self, cx: &mut ConnCx<'_, Self>, why: &Reason<Self>) {
        if let CloseReason::Protocol(unreadable) = why {
            // It may not fit any more; the connection ends either way.
            let _ = cx.send_encoded(unreadable.answer(None));
        }
    }
}

fn main() -> Result<(), netcore::StartError> {
    let server = Server::builder::<Echo>()
        .listen(Arguments::parse().listen)
        .outbound(Outbound::for_frames_of(
            MESSAGE_BYTES_MAX as usize + websocket::HEADER_BYTES_MAX,
        ))
        .start(|_loop, _remote| Echo)?;
    println!("listening on {}", server.local_addrs()[0]);
    loop {
        std::thread::park();
    }
}
