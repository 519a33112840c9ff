//! The server that holds many connections: it echoes frames and pings who is silent. It must never keep anything
//! for a connection beyond what netcore keeps.
//!
//! A frame is a big-endian length of 4 bytes and that many bytes. The empty frame is the heartbeat: from the
//! server it is a ping, from a client its answer.

use bench_netcore::frames::PAYLOAD_BYTES_MAX;
use bench_netcore::poller;
use bytes::BytesMut;
use clap::Parser;
use netcore::codec::{Beat, Codec, Decoded, FrameError, LengthPrefixed};
use netcore::{ConnCx, Flow, Handler, Limits, NoTask, Peer, Refusal, Server, Timeouts};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// The code with which a connection is closed that an answer does not fit into.
const ANSWER_REFUSED: u16 = 1;

/// The length of the empty frame.
const HEARTBEAT: [u8; 4] = [0; 4];

/// Echoes frames and pings who is silent.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 is any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Silence after which a connection is pinged, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 15_000)]
    ping_after_ms: u64,
    /// What the peer has to answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 25_000)]
    pong_within_ms: u64,
    /// What a frame may take from its first byte to its last, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    frame_deadline_ms: u64,
}

struct WithHeartbeat(LengthPrefixed);

impl Codec for WithHeartbeat {
    type In<'a> = &'a [u8];
    type Out = [u8];
    type Error = FrameError;

    fn decode<'a>(&mut self, src: &'a [u8]) -> Result<Decoded<&'a [u8]>, FrameError> {
        self.0.decode(src)
    }

    fn encode(&self, out: &[u8], dst: &mut BytesMut) -> Result<(), FrameError> {
        self.0.encode(out, dst)
    }

    fn beat(&self, frame: &&[u8]) -> Beat {
        if frame.is_empty() { Beat::Pong } else { Beat::Data }
    }

    fn encode_beat(&self, beat: Beat, _answer_to: Option<&&[u8]>, dst: &mut BytesMut) {
        // Clients never ask, so there is nothing to answer.
        if beat == Beat::Ping {
            dst.extend_from_slice(&HEARTBEAT);
        }
    }
}

struct Echo;

impl Handler for Echo {
    type Codec = WithHeartbeat;
    type Conn = ();
    type Msg = ();
    type Task = NoTask;

    fn on_accept(&mut self, _peer: &Peer) -> Result<(WithHeartbeat, ()), Refusal> {
        Ok((WithHeartbeat(LengthPrefixed::new(PAYLOAD_BYTES_MAX as u32)), ()))
    }

    fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
        match cx.send(frame) {
            Ok(_) => Flow::Continue,
            Err(_) => Flow::Close(ANSWER_REFUSED),
        }
    }
}

fn serve(arguments: &Arguments) -> Result<Server<()>, Box<dyn std::error::Error>> {
    let connections = poller::raise_descriptor_limit()?;
    let server = Server::builder::<Echo>()
        .loops(1)
        .listen(arguments.listen)
        .limits(Limits {
            connections,
            ..Limits::default()
        })
        .timeouts(Timeouts {
            ping_after: Some(Duration::from_millis(arguments.ping_after_ms)),
            pong_within: Duration::from_millis(arguments.pong_within_ms),
            frame: Duration::from_millis(arguments.frame_deadline_ms),
            idle: Duration::MAX,
            ..Timeouts::default()
        })
        .start(|_loop, _remote| Echo)?;
    Ok(server)
}

fn main() -> ExitCode {
    let server = match serve(&Arguments::parse()) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("heartbeat-server: {error}");
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
