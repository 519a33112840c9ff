//! The server of the admin listener: a loop, and a thread that makes the answers.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use netcore::{
    CloseHow, CloseReason, ConnCx, ConnId, Flow, Handler, Limits, Listen, LoopCx, Outbound, Peer, Permit,
    Reason, Refusal, Server, Task, Timeouts, WorkerPool,
    http::{Body, Date, Head, Incoming, Persistence, RequestLimits, Requests, Response, Status},
};
use storage::{OpenError, Reader};

use super::answer::{Answer, Source, answer};
use crate::{error::DaemonError, metrics::Format, observed::Observed, status::Phase};

/// Connections at a time.
const CONNECTIONS_MAX: usize = 64;
/// Requests that wait.
const QUEUE_MAX: usize = 256;
/// A request has no body.
const BODY_BYTES_MAX: u32 = 0;
/// Bytes of answers that a connection may leave untaken.
const ANSWERS_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A connection without a request is kept for so long: Prometheus asks every 15 to 60 s.
const IDLE: Duration = Duration::from_secs(120);
/// For a request to become whole.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);
/// Close codes: what was last said was the last word; there was no room for more.
const DONE: u16 = 0;
const NO_ROOM: u16 = 1;

/// The admin listener of a running daemon.
#[derive(Debug)]
pub(crate) struct Admin {
    server: Server<Ready>,
    workers: WorkerPool<Asked>,
}

impl Admin {
    /// Serves on an address that was reserved, until the end. Metrics and status are for whoever has the token, if
    /// there is one.
    ///
    /// # Errors
    /// The system gives no threads, or does not listen.
    pub(crate) fn start(
        listener: Listen,
        token: Option<String>,
        observed: &Arc<Observed>,
    ) -> Result<Self, DaemonError> {
        let (observed, token) = (Arc::clone(observed), token.map(Arc::<str>::from));
        let workers = WorkerPool::<Asked>::builder()
            .threads(1)
            .queue(QUEUE_MAX)
            .name("admin")
            .start(move |_| {
                Ok::<_, OpenError>(Worker {
                    reader: observed.store.reader()?,
                    observed: Arc::clone(&observed),
                    token: token.clone(),
                })
            })
            .map_err(DaemonError::because("the admin listener"))?;
        let server = Server::builder::<Web>()
            .loops(1)
            .listen(listener)
            .limits(Limits {
                connections: CONNECTIONS_MAX,
                ..Limits::default()
            })
            .timeouts(Timeouts {
                frame: REQUEST_WITHIN,
                idle: IDLE,
                ping_after: None,
                ..Timeouts::default()
            })
            .outbound(Outbound {
                limit: ANSWERS_BYTES_MAX,
                ..Outbound::default()
            })
            .workers(workers.clone())
            .start(|_, _| Web)
            .map_err(DaemonError::because("the admin listener"))?;
        Ok(Self { server, workers })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.server.local_addrs().first().copied()
    }

    /// Stops; nothing of the daemon is held any more.
    pub(crate) fn end(self) {
        self.server.stop_accepting();
        self.server.shutdown();
        self.workers.abandon();
        self.workers.shutdown();
    }
}

/// Makes answers, with a reader of its own to ask whether the store answers.
struct Worker {
    observed: Arc<Observed>,
    token: Option<Arc<str>>,
    reader: Box<dyn Reader>,
}

impl Source for Worker {
    fn metrics(&mut self, format: Format) -> String {
        self.observed.metrics().write(format)
    }

    fn status(&mut self) -> String {
        // It has no map whose keys are no strings, so this does not fail.
        serde_json::to_string(&self.observed.status()).unwrap_or_default()
    }

    fn readiness(&mut self) -> Result<(), String> {
        match self.observed.phase() {
            Phase::Serving => {}
            Phase::Draining => return Err("draining".to_owned()),
            Phase::Failed => return Err("the store failed".to_owned()),
        }
        match self.reader.snapshot() {
            Ok(_) => Ok(()),
            Err(error) => {
                log::debug!("not ready: {error}");
                Err("the store does not answer".to_owned())
            }
        }
    }
}

#[derive(Debug)]
struct Web;

/// A request on its way to the worker.
#[derive(Debug)]
struct Asked {
    head: Head,
    from: ConnId,
    place: Permit<Ready>,
}

/// A response on its way to its connection.
#[derive(Debug)]
struct Ready {
    response: Bytes,
    is_last: bool,
    to: ConnId,
}

impl Task for Asked {
    type Worker = Worker;

    /// The requests of a connection are answered in their order.
    fn key(&self) -> u64 {
        self.from.as_u64()
    }

    fn run(self, worker: &mut Worker) {
        let token = worker.token.clone();
        let answer = answer(&self.head, token.as_deref(), worker);
        let ready = Ready {
            response: encoded(&answer, self.head.method() == "HEAD", self.head.persistence()),
            is_last: self.head.persistence() == Persistence::Close,
            to: self.from,
        };
        // The loop can only have stopped.
        let _ = self.place.post(ready);
    }
}

fn encoded(answer: &Answer, is_head: bool, persistence: Persistence) -> Bytes {
    let body = answer.body.as_bytes();
    let mut headers = vec![
        ("Content-Type", answer.content_type),
        ("Cache-Control", "no-store"),
    ];
    match answer.status {
        Status::UNAUTHORIZED => headers.push(("WWW-Authenticate", "Bearer")),
        Status::METHOD_NOT_ALLOWED => headers.push(("Allow", "GET, HEAD")),
        _ => {}
    }
    let response = Response {
        status: answer.status,
        date: Some(Date::new(std::time::SystemTime::now())),
        persistence,
        headers: &headers,
        body: if is_head {
            Body::Omitted(body.len() as u64)
        } else {
            Body::Full(body)
        },
    };
    // All headers are ours.
    response.to_bytes().unwrap_or_default()
}

impl Handler for Web {
    type Codec = Requests;
    type Conn = ();
    type Msg = Ready;
    type Task = Asked;

    fn on_accept(&mut self, _: &Peer) -> Result<(Requests, ()), Refusal> {
        let limits = RequestLimits {
            body_bytes: BODY_BYTES_MAX,
            ..RequestLimits::default()
        };
        Ok((Requests::new(limits), ()))
    }

    fn on_open(&mut self, cx: &mut ConnCx<'_, Self>) {
        cx.established();
    }

    fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, incoming: Incoming) -> Flow<Self> {
        let Incoming::Request(request) = incoming else {
            return Flow::Continue;
        };
        let (from, head) = (cx.id(), request.head);
        match cx.loop_cx().remote().reserve(from.loop_id()) {
            Ok(place) => Flow::Offload(Asked { head, from, place }),
            Err(_) => Flow::Close(NO_ROOM),
        }
    }

    fn on_msg(&mut self, cx: &mut LoopCx<'_, Self>, ready: Ready) {
        // The connection may be over by now.
        if let Some(mut cx) = cx.conn(ready.to) {
            let sent = cx.send_encoded(ready.response);
            if ready.is_last || sent.is_err() {
                cx.close(DONE, CloseHow::Flush);
            }
        }
    }

    fn on_closing(&mut self, cx: &mut ConnCx<'_, Self>, why: &Reason<Self>) {
        if let CloseReason::Protocol(refused) = why {
            let answer = Answer {
                status: refused.status(),
                content_type: "text/plain; charset=utf-8",
                body: format!("{refused}\n"),
            };
            let _ = cx.send_encoded(encoded(&answer, false, Persistence::Close));
        }
    }
}
