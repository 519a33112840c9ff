//! A server whose frames are commands, and a blocking client.

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use netcore::codec::{Codec, FrameError, LengthPrefixed};
use netcore::{
    Builder, CloseHow, CloseReason, ConnCx, ConnId, Eof, Flow, Handler, LoopCx, Peer, Permit, Queued, Reason,
    Refusal, Server, Task, WorkerPool,
};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const FRAME_MAX: u32 = 1024 * 1024;

/// What the server tells the test.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Event {
    Opened(ConnId),
    Closed(String),
}

/// Answers on a worker: `work:x` is answered with `done:x`, in order.
pub(crate) struct Answer {
    connection: ConnId,
    frame: Bytes,
    permit: Permit<Message>,
}

#[derive(Debug)]
pub(crate) enum Message {
    Answer(ConnId, Bytes),
    ToAll(Bytes),
}

impl Task for Answer {
    type Worker = ();

    fn key(&self) -> u64 {
        self.connection.as_u64()
    }

    fn run(self, (): &mut ()) {
        let answer = [b"done:", &self.frame[5..]].concat();
        // The server may have stopped meanwhile.
        let _ = self.permit.post(Message::Answer(self.connection, answer.into()));
    }
}

pub(crate) struct Commands {
    events: Sender<Event>,
    connections: Vec<ConnId>,
}

#[derive(Default)]
pub(crate) struct Pending {
    answers: usize,
    ended: bool,
    draining: bool,
}

impl Commands {
    fn close_when_done(cx: &mut ConnCx<'_, Self>) {
        let pending = cx.conn();
        if pending.answers == 0 && (pending.ended || pending.draining) {
            cx.close(7, CloseHow::Flush);
        }
    }
}

impl Handler for Commands {
    type Codec = LengthPrefixed;
    type Conn = Pending;
    type Msg = Message;
    type Task = Answer;

    fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, Pending), Refusal> {
        Ok((LengthPrefixed::new(FRAME_MAX), Pending::default()))
    }

    fn on_open(&mut self, cx: &mut ConnCx<'_, Self>) {
        self.connections.push(cx.id());
        let _ = self.events.send(Event::Opened(cx.id()));
    }

    fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
        if frame.starts_with(b"work:") {
            let (loop_id, connection) = (cx.id().loop_id(), cx.id());
            let Ok(permit) = cx.loop_cx().remote().reserve(loop_id) else {
                return Flow::Close(9);
            };
            cx.conn().answers += 1;
            return Flow::Offload(Answer {
                connection,
                frame: Bytes::copy_from_slice(frame),
                permit,
            });
        }
        match frame {
            b"panic" => panic!("as told"),
            b"close" => return Flow::Close(3),
            b"flood" => while let Ok(Queued::Buffered | Queued::AboveHighWater) = cx.send(&[0; 10_000]) {},
            _ => {
                cx.send(frame).unwrap();
            }
        }
        Flow::Continue
    }

    fn on_msg(&mut self, cx: &mut LoopCx<'_, Self>, message: Message) {
        match message {
            Message::Answer(id, answer) => {
                if let Some(mut cx) = cx.conn(id) {
                    cx.send(&answer).unwrap();
                    cx.conn().answers -= 1;
                    Self::close_when_done(&mut cx);
                }
            }
            Message::ToAll(frame) => {
                for id in &self.connections {
                    if let Some(mut cx) = cx.conn(*id) {
                        cx.send_encoded(frame.clone()).unwrap();
                    }
                }
            }
        }
    }

    fn on_eof(&mut self, cx: &mut ConnCx<'_, Self>) -> Eof {
        cx.conn().ended = true;
        Self::close_when_done(cx);
        Eof::KeepWriting
    }

    fn on_drain(&mut self, cx: &mut ConnCx<'_, Self>) {
        cx.send(b"goodbye").unwrap();
        cx.conn().draining = true;
        Self::close_when_done(cx);
    }

    fn on_closing(&mut self, cx: &mut ConnCx<'_, Self>, why: &Reason<Self>) {
        cx.send(format!("closing: {why}").as_bytes()).unwrap();
    }

    fn on_close(&mut self, _: &mut LoopCx<'_, Self>, id: ConnId, _: Pending, why: &CloseReason<FrameError>) {
        self.connections.retain(|other| *other != id);
        let _ = self.events.send(Event::Closed(format!("{why:?}")));
    }
}

pub(crate) struct Running {
    pub(crate) server: Server<Message>,
    pub(crate) events: Receiver<Event>,
    pub(crate) pool: WorkerPool<Answer>,
}

pub(crate) fn start(configure: impl FnOnce(Builder<Commands>) -> Builder<Commands>) -> Running {
    let pool = WorkerPool::builder().queue(8).start(|_| ()).unwrap();
    let (sender, events) = bounded(100_000);
    let any_port: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let builder = Server::builder::<Commands>()
        .loops(2)
        .listen(any_port)
        .workers(pool.clone());
    let server = configure(builder)
        .start(move |_, _| Commands {
            events: sender.clone(),
            connections: Vec::new(),
        })
        .unwrap();
    Running { server, events, pool }
}

impl Running {
    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.server.local_addrs()[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client(stream)
    }

    pub(crate) fn opened(&self) -> ConnId {
        match self.events.recv_timeout(PATIENCE).unwrap() {
            Event::Opened(id) => id,
            other => panic!("{other:?}"),
        }
    }

    /// The reason of the next connection to end.
    pub(crate) fn closed(&self) -> String {
        loop {
            if let Event::Closed(reason) = self.events.recv_timeout(PATIENCE).unwrap() {
                return reason;
            }
        }
    }
}

pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) fn send(&mut self, frames: &[&[u8]]) {
        let mut bytes = bytes::BytesMut::new();
        for frame in frames {
            LengthPrefixed::new(FRAME_MAX).encode(frame, &mut bytes).unwrap();
        }
        self.0.write_all(&bytes).unwrap();
    }

    /// The next frame; `None` at the end.
    pub(crate) fn receive(&mut self) -> Option<Vec<u8>> {
        let mut header = [0; 4];
        if self.0.read(&mut header[..1]).unwrap() == 0 {
            return None;
        }
        self.0.read_exact(&mut header[1..]).unwrap();
        let mut payload = vec![0; u32::from_be_bytes(header) as usize];
        self.0.read_exact(&mut payload).unwrap();
        Some(payload)
    }

    pub(crate) fn receive_text(&mut self) -> String {
        String::from_utf8(self.receive().unwrap()).unwrap()
    }

    pub(crate) fn finish(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }
}
