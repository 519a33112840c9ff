//! A reactor in a scripted world, with a handler that does what the frames say and keeps a diary.

use super::super::world::{ScriptedIo, World};
use super::super::{Acceptor, Handover, ListenerInfo, Parts, Reactor, Shared};
use crate::address::{Address, Origin, Peer};
use crate::admission::Admission;
use crate::close::{CloseHow, SendError};
use crate::codec::LengthPrefixed;
use crate::config::{Budgets, Limits, Outbound, Settings, Timeouts};
use crate::context::{ConnCx, Connect, LoopCx, Spans};
use crate::handler::{Eof, Flow, Handler, Reason, Refusal};
use crate::id::{ConnId, LoopId};
use crate::mailbox::Mailbox;
use crate::network::Network;
use crate::observer::Observer;
use crate::remote::Remote;
use crate::tls::TlsServer;
use crate::worker::{Task, WorkerPool};
use bytes::Bytes;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub(super) type Diary = Rc<RefCell<Vec<String>>>;

/// Does what frames say: `say:x` sends x, `pause`, `flush`, `abort`, `close`, `panic`, `work`, `many:n` sends n
/// frames of 100 bytes, `keep` keeps writing after the end, `finish`
/// finishes sending, `join:g` and `leave:g`, `tell:g` sends "told" to the
/// group, `timer:k,ms` and `untimer:k`, `who` says who the peer is; anything else is echoed.
pub(super) struct Obedient {
    pub(super) diary: Diary,
    pub(super) codec: LengthPrefixed,
    pub(super) refuse: bool,
    pub(super) turn_ends: usize,
    say_at_turn_end: Option<(ConnId, &'static str)>,
    connecting: Option<ConnId>,
}

#[derive(Default)]
pub(super) struct State {
    keep_writing: bool,
}

/// Waits for a permission on the worker.
pub(super) struct Work(pub(super) u64);

impl Task for Work {
    type Worker = crossbeam_channel::Receiver<()>;

    fn key(&self) -> u64 {
        self.0
    }

    fn run(self, permissions: &mut Self::Worker) {
        // An error means that the test is over.
        let _ = permissions.recv();
    }
}

#[derive(Debug)]
pub(super) enum Message {
    Note(&'static str),
    Resume(ConnId),
    Say(ConnId, &'static str),
    SayAtTurnEnd(ConnId, &'static str),
    Close(ConnId),
    Panic,
    Connect(Connect),
    CancelConnect,
}

impl Obedient {
    fn note(&self, entry: impl Into<String>) {
        self.diary.borrow_mut().push(entry.into());
    }
}

impl Handler for Obedient {
    type Codec = LengthPrefixed;
    type Conn = State;
    type Msg = Message;
    type Task = Work;

    fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, State), Refusal> {
        if self.refuse {
            return Err(Refusal);
        }
        Ok((self.codec, State::default()))
    }

    fn on_open(&mut self, cx: &mut ConnCx<'_, Self>) {
        self.note(format!("open {}", cx.id().index()));
    }

    fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
        let text = String::from_utf8(frame.to_vec()).unwrap();
        self.note(format!("{}: {text}", cx.id().index()));
        match text.split_once(':').unwrap_or((&text, "")) {
            ("say", words) => {
                cx.send(words.as_bytes()).unwrap();
            }
            ("pause", _) => cx.pause_reading(),
            ("flush", _) => cx.close(1, CloseHow::Flush),
            ("abort", _) => cx.close(2, CloseHow::Abort),
            ("close", _) => return Flow::Close(3),
            ("panic", _) => panic!("as told"),
            ("offload", count) => {
                let id = cx.id().as_u64();
                for _ in 0..count.parse().unwrap() {
                    if cx.offload(Work(id)).is_err() {
                        self.note("not taken");
                    }
                }
            }
            ("work", _) => return Flow::Offload(Work(cx.id().as_u64())),
            ("finish", _) => cx.finish_sending(),
            ("keep", _) => cx.conn().keep_writing = true,
            ("join", group) => cx.join(group.parse().unwrap()).unwrap(),
            ("leave", group) => {
                let left = cx.leave(group.parse().unwrap());
                self.note(format!("left: {left}"));
            }
            ("tell", group) => {
                let (group, id) = (group.parse().unwrap(), cx.id());
                let told = Bytes::from_static(b"\x04told");
                let delivery = cx.loop_cx().send_to_group(group, &told, Some(id));
                self.note(format!("{delivery:?}"));
            }
            ("timer", timer) => {
                let (key, millis) = timer.split_once(',').unwrap();
                let after = Duration::from_millis(millis.parse().unwrap());
                cx.set_timer(key.parse().unwrap(), after).unwrap();
            }
            ("untimer", key) => {
                let was = cx.clear_timer(key.parse().unwrap());
                self.note(format!("cleared: {was}"));
            }
            ("who", _) => {
                let Peer {
                    address,
                    local,
                    proxied,
                    ..
                } = cx.peer();
                self.note(format!("{address} at {local}, proxied: {proxied}"));
            }
            ("many", count) => {
                for _ in 0..count.parse().unwrap() {
                    if cx.send_encoded(Bytes::from(vec![b'm'; 100])) == Err(SendError::Full) {
                        self.note("full");
                    }
                }
            }
            _ => {
                cx.send(frame).unwrap();
            }
        }
        Flow::Continue
    }

    fn on_writable(&mut self, cx: &mut ConnCx<'_, Self>) {
        self.note(format!("{}: writable", cx.id().index()));
    }

    fn on_msg(&mut self, cx: &mut LoopCx<'_, Self>, message: Message) {
        match message {
            Message::Note(text) => self.note(text),
            Message::Resume(id) => cx.conn(id).unwrap().resume_reading(),
            Message::Say(id, words) => match cx.conn(id) {
                Some(mut cx) => {
                    cx.send(words.as_bytes()).unwrap();
                }
                None => self.note("nobody"),
            },
            Message::SayAtTurnEnd(id, words) => self.say_at_turn_end = Some((id, words)),
            Message::Close(id) => cx.conn(id).unwrap().close(4, CloseHow::Flush),
            Message::Panic => panic!("as told"),
            Message::Connect(connect) => match cx.connect(connect, self.codec, State::default()) {
                Ok(id) => self.connecting = Some(id),
                Err(error) => self.note(format!("not connecting: {error}")),
            },
            Message::CancelConnect => {
                let cancelled = self.connecting.is_some_and(|id| cx.cancel_connect(id, 8));
                self.note(format!("cancelled: {cancelled}"));
            }
        }
    }

    fn on_start(&mut self, _: &mut LoopCx<'_, Self>) {
        self.note("start");
    }

    fn on_timer(&mut self, cx: &mut ConnCx<'_, Self>, key: u32) {
        self.note(format!("{}: timer {key}", cx.id().index()));
    }

    fn on_undelivered(&mut self, cx: &mut ConnCx<'_, Self>, frame: &Bytes) {
        self.note(format!("{}: undelivered {}", cx.id().index(), frame.len()));
    }

    fn on_turn_end(&mut self, cx: &mut LoopCx<'_, Self>) {
        self.turn_ends += 1;
        if let Some((id, words)) = self.say_at_turn_end.take()
            && let Some(mut cx) = cx.conn(id)
        {
            cx.send(words.as_bytes()).unwrap();
        }
    }

    fn on_tick(&mut self, _: &mut LoopCx<'_, Self>) {
        self.note("tick");
    }

    fn on_drain(&mut self, cx: &mut ConnCx<'_, Self>) {
        cx.send(b"drain").unwrap();
    }

    fn on_eof(&mut self, cx: &mut ConnCx<'_, Self>) -> Eof {
        self.note(format!("{}: eof", cx.id().index()));
        if cx.conn().keep_writing {
            Eof::KeepWriting
        } else {
            Eof::Close
        }
    }

    fn on_truncated(&mut self, cx: &mut ConnCx<'_, Self>, have: usize) -> Eof {
        if !cx.conn().keep_writing {
            return Eof::Close;
        }
        self.note(format!("{}: truncated {have}", cx.id().index()));
        Eof::KeepWriting
    }

    fn on_closing(&mut self, cx: &mut ConnCx<'_, Self>, why: &Reason<Self>) {
        self.note(format!("{}: closing {why:?}", cx.id().index()));
        cx.send(b"bye").unwrap();
    }

    fn on_close(&mut self, _: &mut LoopCx<'_, Self>, id: ConnId, _: State, why: &Reason<Self>) {
        self.note(format!("{}: closed {why:?}", id.index()));
    }
}

/// What can be changed before the loop starts.
pub(super) struct Options {
    pub(super) limits: Limits,
    pub(super) budgets: Budgets,
    pub(super) timeouts: Timeouts,
    pub(super) outbound: Outbound,
    pub(super) pool: Option<WorkerPool<Work>>,
    pub(super) refuse: bool,
    pub(super) loops: usize,
    pub(super) tick: Option<Duration>,
    pub(super) admission: Admission,
    pub(super) proxies: Vec<Network>,
    pub(super) observer: Option<Arc<dyn Observer>>,
    pub(super) tls: Option<TlsServer>,
    pub(super) plain_too: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            budgets: Budgets::default(),
            timeouts: Timeouts::default(),
            outbound: Outbound::default(),
            pool: None,
            refuse: false,
            loops: 1,
            tick: None,
            admission: Admission::default(),
            proxies: Vec::new(),
            observer: None,
            tls: None,
            plain_too: false,
        }
    }
}

pub(super) struct Harness {
    pub(super) reactor: Reactor<Obedient, ScriptedIo>,
    pub(super) world: Rc<RefCell<World>>,
    pub(super) diary: Diary,
    pub(super) remote: Remote<Message>,
    pub(super) shared: Arc<Shared>,
    pub(super) handover: Arc<Handover<usize>>,
}

pub(super) fn harness(options: Options) -> Harness {
    let world = World::new();
    let diary = Diary::default();
    let mailboxes = (0..options.loops)
        .map(|_| Arc::new(Mailbox::new(100, 100, || {})))
        .collect();
    let remote = Remote::new(mailboxes);
    let listener = ListenerInfo {
        local: Address::Ip(SocketAddr::from(([127, 0, 0, 1], 1))),
        proxies: options.proxies,
        proxied_always: false,
        tls: options.tls,
        plain_too: options.plain_too,
        own_user_only: false,
        tag: 7,
    };
    let shared = Arc::new(Shared::new(
        options.loops,
        options.limits.connections,
        options.admission,
        vec![listener],
    ));
    let handover = Arc::new(Handover::new(options.loops));
    let parts = Parts {
        loop_id: LoopId(0),
        io: ScriptedIo(Rc::clone(&world)),
        acceptor: Some(Acceptor::new(vec![((), Origin::listener(0))], false)),
        mailbox: Arc::clone(remote.mailbox(LoopId(0)).unwrap()),
        remote: remote.clone(),
        shared: Arc::clone(&shared),
        handover: Arc::clone(&handover),
        observer: options.observer,
        pool: options.pool,
        settings: Settings::new(&options.timeouts, options.outbound),
        spans: Spans::new(&options.timeouts),
        limits: options.limits,
        budgets: options.budgets,
        tick: options.tick,
    };
    let codec = LengthPrefixed::builder().width(1).max(256).build().unwrap();
    let handler = Obedient {
        diary: Rc::clone(&diary),
        codec,
        refuse: options.refuse,
        turn_ends: 0,
        say_at_turn_end: None,
        connecting: None,
    };
    let mut harness = Harness {
        reactor: Reactor::new(parts, handler).unwrap(),
        world,
        diary,
        remote,
        shared,
        handover,
    };
    // The first turn begins with `on_start`.
    harness.turn();
    assert_eq!(harness.diary(), ["start"]);
    harness
}

/// One frame on the wire.
pub(super) fn frame(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

impl Harness {
    pub(super) fn connect(&mut self) -> usize {
        let socket = self.world.borrow_mut().connect();
        self.turn();
        self.turn();
        socket
    }

    pub(super) fn feed(&self, socket: usize, texts: &[&str]) {
        let bytes: Vec<u8> = texts.iter().flat_map(|text| frame(text)).collect();
        self.world.borrow_mut().feed(socket, &bytes);
    }

    pub(super) fn turn(&mut self) -> bool {
        self.reactor.turn().unwrap()
    }

    /// Turns until the loop would sleep; fails if it never would.
    pub(super) fn run(&mut self) {
        for _ in 0..1000 {
            let quiet = self.world.borrow().events.is_empty();
            self.turn();
            let slept = self
                .world
                .borrow()
                .timeouts
                .last()
                .is_some_and(|timeout| !timeout.is_zero());
            if quiet && slept {
                return;
            }
        }
        panic!("the loop spins");
    }

    pub(super) fn pass(&mut self, span: Duration) {
        self.world.borrow_mut().pass(span);
        self.run();
    }

    pub(super) fn post(&self, message: Message) {
        self.remote.post(LoopId(0), message).unwrap();
    }

    pub(super) fn id(&self, socket: usize) -> ConnId {
        ConnId::from_bits(self.world.borrow().sockets[socket].token.unwrap())
    }

    /// What has been noted since the last call.
    pub(super) fn diary(&self) -> Vec<String> {
        std::mem::take(&mut self.diary.borrow_mut())
    }

    /// The frames written to the socket since the last call.
    pub(super) fn written(&self, socket: usize) -> Vec<String> {
        let mut world = self.world.borrow_mut();
        let bytes = std::mem::take(&mut world.sockets[socket].written);
        let mut rest = &bytes[..];
        let mut frames = Vec::new();
        while let Some((len, tail)) = rest.split_first() {
            let (text, tail) = tail.split_at(usize::from(*len));
            frames.push(String::from_utf8(text.to_vec()).unwrap());
            rest = tail;
        }
        frames
    }

    pub(super) fn is_closed(&self, socket: usize) -> bool {
        self.world.borrow().sockets[socket].closed
    }
}
