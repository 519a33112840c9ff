//! What idle connections of HTTP and WebSockets cost in memory: counted by the allocator, over real sockets. It owns its
//! process, because everything in it is counted; so it is one test.

// In tests a failed unwrap is the failing assertion.
#![allow(clippy::unwrap_used)]

use netcore::http::{Body, Incoming, Persistence, RequestLimits, Requests, Response, Status};
use netcore::limits::TICK;
use netcore::websocket::handshake::{Request, check};
use netcore::websocket::{Message, MessageLimits, Opcode, Received, Upgradable, encode, encode_masked};
use netcore::{ConnCx, Flow, Handler, LoopCx, NoTask, Peer, Refusal, Server};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Connections at once; each takes two descriptors of this process.
const CONNECTIONS: usize = 1000;

/// Lists and tables of a loop, each of which is a block that grows.
const TABLES_MAX: usize = 30;

/// What the wheel keeps for one tick on which deadlines fell.
const TICK_BYTES: usize = 512;

const PATIENCE: Duration = Duration::from_secs(60);

const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// Sends bodies and messages back, and counts the messages posted to it.
struct Echo {
    posted: Arc<AtomicUsize>,
}

impl Handler for Echo {
    type Codec = Upgradable;
    type Conn = ();
    type Msg = ();
    type Task = NoTask;

    fn on_accept(&mut self, _: &Peer) -> Result<(Upgradable, ()), Refusal> {
        Ok((Upgradable::new(Requests::new(RequestLimits::default())), ()))
    }

    fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, received: Received) -> Flow<Self> {
        let answer = match received {
            Received::Http(Incoming::Request(request)) => match check(&request.head, &[]) {
                Ok(accepted) => {
                    cx.codec().upgrade(MessageLimits::default());
                    accepted.response(None)
                }
                Err(_) => {
                    let response = Response {
                        status: Status::OK,
                        date: None,
                        persistence: Persistence::Implied,
                        headers: &[],
                        body: Body::Full(&request.body),
                    };
                    response.to_bytes().unwrap()
                }
            },
            Received::Socket(Message::Text(text)) => encode(Opcode::Text, &text),
            other => panic!("{other:?}"),
        };
        cx.send_encoded(answer).unwrap();
        Flow::Continue
    }

    fn on_msg(&mut self, _: &mut LoopCx<'_, Self>, (): ()) {
        self.posted.fetch_add(1, Ordering::SeqCst);
    }
}

struct Running {
    server: Server<()>,
    posted: Arc<AtomicUsize>,
}

impl Running {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.local_addrs()[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Bytes and blocks in use once the loop has finished the turn that it is in.
    fn in_use(&self) -> (usize, usize) {
        for _ in 0..2 {
            let before = self.posted.load(Ordering::SeqCst);
            let remote = self.server.remote();
            remote.post(remote.loops().next().unwrap(), ()).unwrap();
            while self.posted.load(Ordering::SeqCst) == before {
                thread::yield_now();
            }
        }
        let stats = dhat::HeapStats::get();
        (stats.curr_bytes, stats.curr_blocks)
    }
}

/// The soft limit of descriptors is often 1024.
fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

/// Sends in two parts, so that the connection holds the first for a while, and reads the answer.
fn exchange(stream: &mut TcpStream, sent: &[u8], answer: &[u8]) {
    let (first, second) = sent.split_at(sent.len() / 2);
    stream.write_all(first).unwrap();
    stream.write_all(second).unwrap();
    let mut got = vec![0; answer.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(got, answer);
}

#[test]
fn idle_connections_of_http_and_websockets_own_no_memory() {
    const REQUEST: Request<'static> = Request {
        host: "a",
        target: "/",
        key: [7; 16],
        headers: &[],
    };
    let fragment = |first: u8, payload: &[u8]| {
        let mut frame = encode_masked(Opcode::Text, payload, [1, 2, 3, 4]).to_vec();
        frame[0] = first;
        frame
    };
    let hello = [fragment(0x01, b"he"), fragment(0x80, b"llo")].concat();
    let _counting = dhat::Profiler::builder().testing().build();
    allow_descriptors();
    let posted = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&posted);
    let any_port: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let server = Server::builder::<Echo>()
        .loops(1)
        .listen(any_port)
        .start(move |_, _| Echo {
            posted: Arc::clone(&counted),
        })
        .unwrap();
    let running = Running { server, posted };

    let mut streams = Vec::with_capacity(CONNECTIONS);
    let (began, empty) = (Instant::now(), running.in_use());
    for _ in 0..CONNECTIONS {
        let mut stream = running.connect();
        exchange(&mut stream, POST, ANSWER);
        streams.push(stream);
    }
    let http = running.in_use();
    let request = REQUEST.to_bytes().unwrap();
    for stream in &mut streams {
        stream.write_all(&request).unwrap();
        let mut answer = Vec::new();
        while REQUEST.check(&answer).unwrap().is_none() {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.extend(byte);
        }
        exchange(stream, &hello, &encode(Opcode::Text, b"hello"));
    }
    let sockets = running.in_use();
    let ticks = (began.elapsed().as_millis() / TICK.as_millis()) as usize + 1;
    for (name, (bytes, blocks)) in [("HTTP", http), ("WebSocket", sockets)] {
        let (bytes, blocks) = (bytes - empty.0, blocks.saturating_sub(empty.1));
        let each = bytes.saturating_sub(ticks * TICK_BYTES) / CONNECTIONS;
        println!(
            "an idle connection of {name} takes {each} bytes, {ticks} ticks besides; {blocks} blocks in all"
        );
        // The tables double, so up to twice what a connection takes is counted.
        assert!(each <= 320, "{each} bytes per idle connection of {name}");
        assert!(
            blocks <= TABLES_MAX + ticks,
            "{blocks} blocks for {CONNECTIONS} connections of {name}"
        );
    }
}
