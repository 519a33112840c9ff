//! A web server with one page: HTTP/1.1 with persistent connections and pipelining.
//!
//! `http --listen 127.0.0.1:7700 --threads 2` prints `listening on ADDRESS` and serves until it is ended. A
//! request goes this way: `codec` cuts it out of the stream, `request` understands its head, and the `response`
//! is encoded straight into the out-queue of the connection.

mod clock;
mod codec;
mod request;
mod response;

use bytes::Bytes;
use clap::Parser;
use clock::Clock;
use codec::{Event, Http};
use netcore::{CloseReason, ConnCx, Flow, Handler, NoTask, Peer, Reason, Refusal, Server, Timeouts};
use request::{Method, Persistence, Refused, Request, Target};
use response::{CONTINUE, Page, Response};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// How long a connection is kept without a request.
const IDLE_MAX: Duration = Duration::from_secs(75);

/// How long the head of a request may take.
const HEAD_WITHIN: Duration = Duration::from_secs(20);

/// The code with which a connection is closed that was to have one more answer.
const LAST_ANSWER: u16 = 0;

/// The code with which a connection is closed that an answer does not fit into.
const ANSWER_REFUSED: u16 = 1;

/// Says hello over HTTP.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 is any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7700")]
    listen: SocketAddr,
    /// Event loops, one thread each.
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
}

/// The server on one of its loops.
#[derive(Default)]
struct Web {
    clock: Clock,
}

impl Handler for Web {
    type Codec = Http;
    type Conn = ();
    type Msg = ();
    type Task = NoTask;

    fn on_accept(&mut self, _peer: &Peer) -> Result<(Http, ()), Refusal> {
        Ok((Http::default(), ()))
    }

    fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, event: Event) -> Flow<Self> {
        let (sent, last) = match event {
            Event::Dropped => return Flow::Continue,
            Event::Expectation => (cx.send_encoded(Bytes::from_static(CONTINUE)), false),
            Event::Request(request) => {
                let response = Response {
                    page: page(&request),
                    date: self.clock.date(cx.now()),
                    persistence: request.persistence,
                    without_body: request.method == Method::Head,
                };
                (cx.send(&response), request.persistence == Persistence::Close)
            }
        };
        match sent {
            Err(_) => Flow::Close(ANSWER_REFUSED),
            Ok(_) if last => Flow::Close(LAST_ANSWER),
            Ok(_) => Flow::Continue,
        }
    }

    fn on_closing(&mut self, cx: &mut ConnCx<'_, Self>, why: &Reason<Self>) {
        let page = match why {
            CloseReason::FrameTimeout => &response::TOO_SLOW,
            CloseReason::Protocol(refused) => match refused {
                Refused::Malformed => &response::MALFORMED,
                Refused::HeadTooLarge => &response::HEAD_TOO_LARGE,
                Refused::BodyTooLarge => &response::BODY_TOO_LARGE,
                Refused::TransferCoding => &response::NO_TRANSFER_CODING,
                Refused::Version => &response::UNKNOWN_VERSION,
            },
            _ => return,
        };
        let response = Response {
            page,
            date: self.clock.date(cx.now()),
            persistence: Persistence::Close,
            without_body: false,
        };
        // It may not fit any more; the connection ends either way.
        let _ = cx.send(&response);
    }
}

fn page(request: &Request) -> &'static Page {
    match (request.target, request.method) {
        (Target::Unknown, _) => &response::NOT_FOUND,
        (Target::Root, Method::Get | Method::Head) => &response::HELLO,
        (Target::Root, Method::Other) => &response::NOT_ALLOWED,
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let timeouts = Timeouts {
        idle: IDLE_MAX,
        frame: HEAD_WITHIN,
        ..Timeouts::default()
    };
    let server = Server::builder::<Web>()
        .loops(arguments.threads)
        .listen(arguments.listen)
        .timeouts(timeouts)
        .tick(None)
        .start(|_loop, _remote| Web::default());
    let server = match server {
        Ok(server) => server,
        Err(error) => {
            eprintln!("http: {error}");
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
