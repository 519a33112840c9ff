//! The daemon's end of the control socket: a small server with a loop and a thread for what takes longer.

use std::{convert::Infallible, path::Path, sync::Arc, time::Duration};

use netcore::{
    CloseHow, ConnCx, ConnId, Flow, Handler, Limits, Listen, LoopCx, Outbound, Peer, Permit, Refusal, Server,
    Task, Timeouts, WorkerPool, codec::Delimited,
};

use super::{LINE_BYTES_MAX, answer_line};
use crate::{error::DaemonError, observed::Observed};

/// Bytes of a request, at most.
const REQUEST_BYTES_MAX: u32 = 64 * 1024;
/// Connections at a time.
const CONNECTIONS_MAX: usize = 16;
/// Requests that wait.
const QUEUE_MAX: usize = 64;
/// Whoever says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(30);
/// Close code: there is no room for the answer.
const NO_ROOM: u16 = 1;

/// The control socket of a running daemon.
#[derive(Debug)]
pub(crate) struct Control {
    server: Server<Answer>,
    workers: WorkerPool<Asked>,
}

impl Control {
    /// Listens on a socket, made for this user alone, until the end.
    ///
    /// # Errors
    /// The socket cannot be made there.
    pub(crate) fn start(path: &Path, observed: &Arc<Observed>) -> Result<Self, DaemonError> {
        let cannot = format!("the control socket {} cannot be made", path.display());
        let observed = Arc::clone(observed);
        let workers = WorkerPool::<Asked>::builder()
            .threads(1)
            .queue(QUEUE_MAX)
            .name("control")
            .start(move |_| Ok::<_, Infallible>(Arc::clone(&observed)))
            .map_err(DaemonError::because(&cannot))?;
        let server = Server::builder::<Door>()
            .loops(1)
            .listen(Listen::unix(path, Some(0o600)).own_user_only())
            .limits(Limits {
                connections: CONNECTIONS_MAX,
                ..Limits::default()
            })
            .timeouts(Timeouts {
                idle: IDLE,
                ping_after: None,
                ..Timeouts::default()
            })
            .outbound(Outbound {
                limit: LINE_BYTES_MAX as usize,
                ..Outbound::default()
            })
            .workers(workers.clone())
            .start(|_, _| Door)
            .map_err(DaemonError::because(&cannot))?;
        Ok(Self { server, workers })
    }

    /// Closes the socket; what is under way is finished, and nothing of the daemon is held any more.
    pub(crate) fn end(self) {
        self.server.stop_accepting();
        self.server.shutdown();
        self.workers.abandon();
        self.workers.shutdown();
    }
}

#[derive(Debug)]
struct Door;

/// A line that asks.
#[derive(Debug)]
struct Asked {
    line: Vec<u8>,
    from: ConnId,
    place: Permit<Answer>,
}

/// A line that answers.
#[derive(Debug)]
struct Answer {
    line: Vec<u8>,
    to: ConnId,
}

impl Task for Asked {
    type Worker = Arc<Observed>;

    fn key(&self) -> u64 {
        self.from.as_u64()
    }

    fn run(self, observed: &mut Arc<Observed>) {
        let line = answer_line(&self.line, observed);
        // The loop can only have stopped.
        let _ = self.place.post(Answer { line, to: self.from });
    }
}

impl Handler for Door {
    type Codec = Delimited;
    type Conn = ();
    type Msg = Answer;
    type Task = Asked;

    fn on_accept(&mut self, _: &Peer) -> Result<(Delimited, ()), Refusal> {
        Ok((Delimited::lines(REQUEST_BYTES_MAX), ()))
    }

    fn on_open(&mut self, cx: &mut ConnCx<'_, Self>) {
        cx.established();
    }

    fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, line: &[u8]) -> Flow<Self> {
        let (from, line) = (cx.id(), line.to_vec());
        match cx.loop_cx().remote().reserve(from.loop_id()) {
            Ok(place) => Flow::Offload(Asked { line, from, place }),
            Err(_) => Flow::Close(NO_ROOM),
        }
    }

    fn on_msg(&mut self, cx: &mut LoopCx<'_, Self>, answer: Answer) {
        // The connection may be over by now.
        let Some(mut cx) = cx.conn(answer.to) else {
            return;
        };
        // Not through the codec, whose limit is that of a request.
        let mut line = answer.line;
        line.push(b'\n');
        if cx.send_encoded(line.into()).is_err() {
            log::error!("an answer is too long for the control socket");
            cx.close(NO_ROOM, CloseHow::Abort);
        }
    }
}
