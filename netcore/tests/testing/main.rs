//! What an embedder's tests can do with a simulated loop.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use netcore::codec::{Codec, Decoded, Delimited, LengthPrefixed};
use netcore::testing::{SimulatedPeer, Simulation};
use netcore::{
    Address, CloseHow, ConnCx, ConnId, Connect, Flow, Handler, LoopCx, NoTask, Outbound, Peer, Reason,
    Refusal, Server, StartError, Task, Timeouts, WorkerPool,
};

const SECOND: Duration = Duration::from_secs(1);

/// Greets, forwards `t…` to a worker, sets a timer for `a`, connects for `c`, and sends anything else back.
#[derive(Default)]
struct Subject {
    refuse: bool,
    closed: Vec<&'static str>,
    told: Vec<u32>,
}

/// Posted by the worker.
struct Length(ConnId, u32, netcore::Remote<u32>);

impl Task for Length {
    type Worker = ();

    fn key(&self) -> u64 {
        self.0.as_u64()
    }

    fn run(self, (): &mut ()) {
        // An error means that the test is over.
        let _ = self.2.post(self.0.loop_id(), self.1);
    }
}

impl Handler for Subject {
    type Codec = LengthPrefixed;
    type Conn = ();
    type Msg = u32;
    type Task = Length;

    fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
        if self.refuse {
            return Err(Refusal);
        }
        Ok((codec(), ()))
    }

    fn on_open(&mut self, cx: &mut ConnCx<'_, Self>) {
        cx.send(b"hello").unwrap();
    }

    fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
        match frame.first() {
            Some(b't') => {
                let remote = cx.loop_cx().remote().clone();
                return Flow::Offload(Length(cx.id(), frame.len() as u32, remote));
            }
            Some(b'a') => cx.set_timer(1, 5 * SECOND).unwrap(),
            Some(b'c') => {
                let to = Connect::to(SocketAddr::from(([192, 0, 2, 1], 80)));
                cx.loop_cx().connect(to, codec(), ()).unwrap();
            }
            _ => {
                if cx.send(frame).is_err() {
                    return Flow::Close(1);
                }
            }
        }
        Flow::Continue
    }

    fn on_timer(&mut self, cx: &mut ConnCx<'_, Self>, _: u32) {
        cx.send(b"due").unwrap();
    }

    fn on_msg(&mut self, _: &mut LoopCx<'_, Self>, message: u32) {
        self.told.push(message);
    }

    fn on_drain(&mut self, cx: &mut ConnCx<'_, Self>) {
        cx.send(b"bye").unwrap();
        cx.close(0, CloseHow::Flush);
    }

    fn on_close(&mut self, _: &mut LoopCx<'_, Self>, _: ConnId, (): (), why: &Reason<Self>) {
        self.closed.push(why.name());
    }
}

fn codec() -> LengthPrefixed {
    LengthPrefixed::builder().width(1).max(200).build().unwrap()
}

fn frame(text: &str) -> Vec<u8> {
    [&[text.len() as u8], text.as_bytes()].concat()
}

fn start() -> Simulation<Subject> {
    let timeouts = Timeouts {
        idle: 60 * SECOND,
        ..Timeouts::default()
    };
    Simulation::start(Server::builder().timeouts(timeouts), |_, _| Subject::default()).unwrap()
}

fn greeted(simulation: &mut Simulation<Subject>) -> SimulatedPeer {
    let peer = simulation.connect();
    assert_eq!(simulation.received(peer), frame("hello"));
    peer
}

#[test]
fn frames_go_back_and_forth() {
    let mut simulation = start();
    let one = greeted(&mut simulation);
    let other = greeted(&mut simulation);
    simulation.send(one, &frame("x")[..1]);
    assert_eq!(simulation.received(one), b"");
    simulation.send(one, &frame("x")[1..]);
    simulation.send(other, &frame("y"));
    assert_eq!(simulation.received(one), frame("x"));
    assert_eq!(simulation.received(other), frame("y"));
    assert_eq!(simulation.connections(), 2);
}

#[test]
fn time_passes_when_the_test_says_so() {
    let mut simulation = start();
    let peer = greeted(&mut simulation);
    simulation.send(peer, &frame("a"));
    simulation.pass(4 * SECOND);
    assert_eq!(simulation.received(peer), b"");
    simulation.pass(2 * SECOND);
    assert_eq!(simulation.received(peer), frame("due"));
    simulation.pass(50 * SECOND);
    assert!(!simulation.is_closed(peer));
    simulation.pass(10 * SECOND);
    assert!(simulation.is_closed(peer));
    assert_eq!(simulation.handler().closed, ["idle_timeout"]);
}

#[test]
fn a_peer_that_does_not_read_is_cut_off() {
    let outbound = Outbound {
        low_water: 10,
        high_water: 20,
        limit: 300,
        ..Outbound::default()
    };
    let mut simulation =
        Simulation::start(Server::builder().outbound(outbound), |_, _| Subject::default()).unwrap();
    let peer = greeted(&mut simulation);
    simulation.take_at_most(peer, 0);
    simulation.send(peer, &frame(&"z".repeat(100)));
    assert_eq!(simulation.received(peer), b"");
    simulation.take_at_most(peer, usize::MAX);
    assert_eq!(simulation.received(peer), frame(&"z".repeat(100)));
    simulation.take_at_most(peer, 0);
    simulation.send(peer, &frame(&"z".repeat(100)));
    simulation.pass(3600 * SECOND);
    assert!(simulation.is_closed(peer));
}

#[test]
fn peers_end_in_their_ways() {
    let mut simulation = start();
    let polite = greeted(&mut simulation);
    simulation.send(polite, &frame("x"));
    simulation.finish(polite);
    assert_eq!(simulation.received(polite), frame("x"));
    assert!(simulation.is_finished(polite));
    let rude = greeted(&mut simulation);
    simulation.reset(rude);
    assert!(simulation.is_closed(rude));
    assert_eq!(simulation.handler().closed, ["eof", "reset"]);
    simulation.handler().refuse = true;
    let unwanted = simulation.connect();
    assert!(simulation.is_closed(unwanted));
    assert_eq!(simulation.connections(), 0);
}

#[test]
fn the_handler_connects_to_others() {
    let mut simulation = start();
    let peer = greeted(&mut simulation);
    assert_eq!(simulation.next_connect(), None);
    simulation.send(peer, &frame("c"));
    let (to, made) = simulation.next_connect().unwrap();
    assert_eq!(to, Address::Ip(SocketAddr::from(([192, 0, 2, 1], 80))));
    assert_eq!(simulation.received(made), b"");
    simulation.establish(made);
    assert_eq!(simulation.received(made), frame("hello"));
    simulation.send(peer, &frame("c"));
    let (_, refused) = simulation.next_connect().unwrap();
    simulation.reset(refused);
    assert_eq!(simulation.handler().closed.len(), 1);
}

#[test]
fn a_drain_says_goodbye() {
    let mut simulation = start();
    let peer = greeted(&mut simulation);
    simulation.drain(10 * SECOND);
    assert_eq!(simulation.received(peer), frame("bye"));
    simulation.finish(peer);
    assert_eq!(simulation.connections(), 0);
}

#[test]
fn workers_are_real_and_their_messages_are_taken_when_the_loop_turns() {
    let pool = WorkerPool::builder().threads(1).start(|_| ()).unwrap();
    let builder = Server::builder().workers(pool.clone());
    let mut simulation = Simulation::start(builder, |_, _| Subject::default()).unwrap();
    let peer = greeted(&mut simulation);
    simulation.send(peer, &frame("task"));
    // It returns when everything that was accepted has run.
    pool.shutdown();
    simulation.settle();
    assert_eq!(simulation.handler().told, [4]);
}

#[test]
fn a_handler_that_cannot_be_made_is_an_error() {
    let made = Simulation::<Subject>::start(Server::builder(), |_, _| Err::<Subject, _>("no"));
    assert!(matches!(made, Err(StartError::Handler { .. })));
}

/// Lines, until `UPGRADE`; then frames with a length.
#[derive(Clone, Copy)]
enum Upgrading {
    Lines(Delimited),
    Frames(LengthPrefixed),
}

#[derive(Debug, thiserror::Error)]
#[error("not in this protocol")]
struct Wrong;

impl Codec for Upgrading {
    type In<'a> = &'a [u8];
    type Out = [u8];
    type Error = Wrong;

    fn decode<'a>(&mut self, src: &'a [u8]) -> Result<Decoded<&'a [u8]>, Wrong> {
        match self {
            Self::Lines(codec) => codec.decode(src).map_err(|_| Wrong),
            Self::Frames(codec) => codec.decode(src).map_err(|_| Wrong),
        }
    }

    fn encode(&self, out: &[u8], dst: &mut BytesMut) -> Result<(), Wrong> {
        match self {
            Self::Lines(codec) => codec.encode(out, dst).map_err(|_| Wrong),
            Self::Frames(codec) => codec.encode(out, dst).map_err(|_| Wrong),
        }
    }
}

struct Upgrade;

impl Handler for Upgrade {
    type Codec = Upgrading;
    type Conn = ();
    type Msg = ();
    type Task = NoTask;

    fn on_accept(&mut self, _: &Peer) -> Result<(Upgrading, ()), Refusal> {
        Ok((Upgrading::Lines(Delimited::lines(100)), ()))
    }

    fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
        cx.send(frame).unwrap();
        if frame == b"UPGRADE" {
            *cx.codec() = Upgrading::Frames(codec());
        }
        Flow::Continue
    }
}

#[test]
fn a_codec_changes_on_a_connection_that_is_under_way() {
    let all = [
        b"one\r\nUPGRADE\r\n".as_slice(),
        &frame("two\nlines"),
        &frame("x"),
    ]
    .concat();
    // However the bytes arrive.
    for split in 0..=all.len() {
        let mut simulation = Simulation::start(Server::builder(), |_, _| Upgrade).unwrap();
        let peer = simulation.connect();
        simulation.send(peer, &all[..split]);
        simulation.send(peer, &all[split..]);
        assert_eq!(simulation.received(peer), all, "split at {split}");
    }
}
