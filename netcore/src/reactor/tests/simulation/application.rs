//! Owns the application of a simulation: it does whatever an application may do, by chance, and tells the checks.

use super::checks::{Connection, Stage};
use super::peers::{self, FRAME_BYTES_MAX, OWN, PING, PONG, POSTED, some_size};
use super::world::{Mood, PORTS_FROM, TICKETS_FROM, World};
use crate::address::Peer;
use crate::close::{CloseHow, Queued, SendError};
use crate::codec::{Beat, Codec, Decoded, FrameError, LengthPrefixed};
use crate::context::{ConnCx, Connect, LoopCx};
use crate::handler::{Eof, Flow, Handler, Reason, Refusal};
use crate::id::ConnId;
use bytes::{Bytes, BytesMut};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::Duration;

pub(super) struct Application(pub(super) Rc<RefCell<World>>);

/// What other threads tell the loop.
#[derive(Debug)]
pub(super) enum Msg {
    /// The posted frame of this number comes next, or came just now.
    Before(u32),
    After(u32),
    Resume(usize),
    Closing(usize, CloseHow),
    Act,
    CloseAll,
}

/// Work that tells when it is done.
pub(super) struct Task {
    pub(super) serial: usize,
    pub(super) number: u32,
    key: u64,
}

impl crate::worker::Task for Task {
    type Worker = Vec<Self>;

    fn key(&self) -> u64 {
        self.key
    }

    fn run(self, done: &mut Vec<Self>) {
        done.push(self);
    }
}

/// Length-prefixed frames with heartbeats.
pub(super) struct Framing(LengthPrefixed);

impl Framing {
    fn new() -> Self {
        let framing = LengthPrefixed::builder().width(2).max(FRAME_BYTES_MAX).build();
        match framing {
            Ok(framing) => Self(framing),
            Err(error) => unreachable!("{error}"),
        }
    }
}

impl Codec for Framing {
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
        match *frame {
            [PING] => Beat::Ping,
            [PONG] => Beat::Pong,
            _ => Beat::Data,
        }
    }

    fn encode_beat(&self, beat: Beat, _: Option<&&[u8]>, dst: &mut BytesMut) {
        let kind = if beat == Beat::Ping { PING } else { PONG };
        dst.extend_from_slice(&peers::wrap(&[kind]));
    }
}

impl Application {
    fn wild(&self) -> bool {
        self.0.borrow().mood == Mood::Wild
    }

    fn percent(&self, share: usize) -> bool {
        self.0.borrow_mut().random.percent(share)
    }

    /// Does something to this connection.
    fn act(&self, cx: &mut ConnCx<'_, Self>) {
        let serial = *cx.conn();
        if !self.wild() || cx.is_closing() {
            return;
        }
        let what = self.0.borrow_mut().random.below(100);
        self.0
            .borrow_mut()
            .note(|| format!("does {what} to connection {serial}"));
        let number = || self.0.borrow_mut().random.next();
        match what {
            0..45 => {
                for _ in 0..=number() % 3 {
                    self.send(cx, serial);
                }
            }
            45..49 => {
                self.0.borrow_mut().connections[serial].paused = true;
                cx.pause_reading();
            }
            49..59 => self.resume(cx, serial),
            59..67 => self.group(cx, serial),
            67..73 => {
                let (key, after) = (number() as u32 % 3, Duration::from_millis(number() % 400));
                let mut world = self.0.borrow_mut();
                let at = world.now + after;
                world.connections[serial].timers.insert(key, at);
                let set = cx.set_timer(key, after);
                world.check(set.is_ok(), || "too many timers".to_owned());
            }
            73..75 => {
                let key = number() as u32 % 3;
                let was = self.0.borrow_mut().connections[serial].timers.remove(&key);
                let cleared = cx.clear_timer(key);
                self.0.borrow_mut().check(cleared == was.is_some(), || {
                    format!("timer {key} cleared: {cleared}")
                });
            }
            75..77 => self.close(cx, serial),
            77..79 => {
                let more = number() as usize % 4000;
                let mut world = self.0.borrow_mut();
                let connection = &mut world.connections[serial];
                connection.limit += more;
                let (low, limit) = (connection.low_water, connection.limit);
                cx.set_outbound_limit(low, low + more / 2, limit);
            }
            79..83 => {
                self.0.borrow_mut().connections[serial].established = true;
                cx.established();
            }
            83..88 => self.tell_group(&mut cx.loop_cx()),
            88..90 => self.connect(&mut cx.loop_cx()),
            _ => {}
        }
    }

    /// Panics now and then, without the words that a panic usually has.
    fn panic_by_chance(&self, serial: usize) {
        let mut world = self.0.borrow_mut();
        if world.mood != Mood::Wild || !world.connections[serial].is_open() || !world.random.permille(3) {
            return;
        }
        world.note(|| format!("a panic for connection {serial}"));
        world.connections[serial].panicked = true;
        drop(world);
        resume_unwind(Box::new("by chance"));
    }

    fn send(&self, cx: &mut ConnCx<'_, Self>, serial: usize) {
        let (number, fill, way) = {
            let mut world = self.0.borrow_mut();
            let fill = some_size(&mut world.random);
            (world.connections[serial].next_out, fill, world.random.below(3))
        };
        let frame = peers::frame(OWN, number, fill);
        let short = way < 2 && self.is_short(cx, serial);
        let sent = match way {
            0 => cx.send(&frame[2..]),
            1 => cx.send_encoded(frame),
            _ => cx.send_reply(frame),
        };
        let queued = cx.queued_bytes();
        let mut world = self.0.borrow_mut();
        world.check(!short || sent.is_err(), || {
            format!("connection {serial} queues more, and the loop has no memory left for that")
        });
        let connection = &mut world.connections[serial];
        match sent {
            Ok(how) => {
                connection.wants_writable |= how == Queued::AboveHighWater;
                connection.next_out += 1;
                connection.queued.push_back(number);
            }
            Err(SendError::Full) => world.note_full(serial, queued),
            Err(SendError::Closing) => {
                let open = connection.is_open() || connection.told_closing;
                world.check(!open, || {
                    format!("connection {serial} may send and says that it is closing")
                });
            }
            Err(error) => world.fail(error.to_string()),
        }
    }

    /// The loop holds as much for its peers as it may, and this one has its share of it.
    fn is_short(&self, cx: &mut ConnCx<'_, Self>, serial: usize) -> bool {
        let own = cx.queued_bytes();
        let ids: Vec<ConnId> = {
            let world = self.0.borrow();
            let open = world
                .connections
                .iter()
                .filter(|connection| connection.stage == Stage::Open);
            open.filter_map(|connection| connection.id).collect()
        };
        let mut cx = cx.loop_cx();
        let all: usize = ids
            .into_iter()
            .filter_map(|id| cx.conn(id).map(|cx| cx.queued_bytes()))
            .sum();
        let world = self.0.borrow();
        all >= world.rules.queued_bytes && own >= world.connections[serial].low_water
    }

    fn resume(&self, cx: &mut ConnCx<'_, Self>, serial: usize) {
        self.0.borrow_mut().connections[serial].paused = false;
        cx.resume_reading();
    }

    fn close(&self, cx: &mut ConnCx<'_, Self>, serial: usize) {
        let how = if self.percent(70) {
            CloseHow::Flush
        } else {
            CloseHow::Abort
        };
        self.0.borrow_mut().note_closing(serial, how);
        cx.close(1, how);
    }

    fn group(&self, cx: &mut ConnCx<'_, Self>, serial: usize) {
        let mut world = self.0.borrow_mut();
        let group = world.random.below(3) as u64;
        let events = world.progress;
        let connection = &mut world.connections[serial];
        if connection.groups.contains_key(&group) && events.is_multiple_of(3) {
            connection.groups.remove(&group);
            let left = cx.leave(group);
            world.check(left, || "it was not in the group".to_owned());
        } else {
            connection.groups.entry(group).or_insert(events);
            connection.groups_ever.insert(group);
            let joined = cx.join(group);
            world.check(joined.is_ok(), || "too many groups".to_owned());
        }
        // A change of the group after this counts as a later one.
        world.progress += 1;
    }

    /// Sends a frame to a group of this loop; who got it shows in the queues.
    fn tell_group(&self, cx: &mut LoopCx<'_, Self>) {
        let group = self.0.borrow_mut().random.below(3) as u64;
        let members: Vec<ConnId> = cx.group_members(group).to_vec();
        let expected: Vec<ConnId> = {
            let world = self.0.borrow();
            let inside = |connection: &&Connection| {
                connection.stage == Stage::Open && connection.groups.contains_key(&group)
            };
            world
                .connections
                .iter()
                .filter(inside)
                .filter_map(|connection| connection.id)
                .collect()
        };
        let same = members.len() == expected.len() && members.iter().all(|id| expected.contains(id));
        self.0.borrow_mut().check(same, || {
            format!("the group {group} has {members:?} and not {expected:?}")
        });
        // The numbers differ between members, so each gets a frame of its own in place of a shared one.
        for id in members {
            let Some(mut member) = cx.conn(id) else { continue };
            let serial = *member.conn();
            let number = self.0.borrow().connections[serial].next_out;
            let frame = peers::frame(OWN, number, 5);
            let delivery = cx.send_to([id], &frame);
            let queued = cx.conn(id).map_or(0, |member| member.queued_bytes());
            let mut world = self.0.borrow_mut();
            if delivery.queued == 1 {
                let connection = &mut world.connections[serial];
                connection.next_out += 1;
                connection.queued.push_back(number);
            } else if delivery.full == 1 {
                world.note_full(serial, queued);
            }
        }
    }

    fn connect(&self, cx: &mut LoopCx<'_, Self>) {
        let mut world = self.0.borrow_mut();
        let serial = world.connections.len();
        if serial > 20 {
            return;
        }
        let (now, outbound) = (world.now, world.rules.outbound);
        let pause = Duration::from_millis(world.random.below(3) as u64 * 100);
        let address = SocketAddr::from(([192, 0, 2, 9], TICKETS_FROM + serial as u16));
        let connect = Connect::to(address).after(pause);
        match cx.connect(connect, Framing::new(), serial) {
            Ok(id) => {
                let mut connection = Connection::new(None, now, outbound.limit, outbound.low_water);
                connection.making = Some(id);
                world.connections.push(connection);
                world.note(|| format!("connection {serial} is being made as {id}"));
            }
            Err(error) => world.note(|| format!("not connecting: {error}")),
        }
    }

    /// Gives up a connection that is being made, if there is one.
    fn cancel(&self, cx: &mut LoopCx<'_, Self>) {
        let mut world = self.0.borrow_mut();
        let making = |connection: &Connection| connection.making.filter(|_| connection.stage == Stage::Begun);
        let found = world.connections.iter().enumerate().rev();
        let mut found = found.filter_map(|(serial, connection)| Some((serial, making(connection)?)));
        let Some((serial, id)) = found.next() else { return };
        world.note_closing(serial, CloseHow::Abort);
        let cancelled = cx.cancel_connect(id, 3);
        world.check(cancelled, || "nothing to cancel".to_owned());
    }

    fn act_on_any(&self, cx: &mut LoopCx<'_, Self>) {
        if self.percent(10) {
            return self.cancel(cx);
        }
        let id = {
            let mut world = self.0.borrow_mut();
            let ids: Vec<ConnId> = world
                .connections
                .iter()
                .filter_map(|connection| connection.id)
                .collect();
            if ids.is_empty() {
                return;
            }
            world.random.pick(&ids)
        };
        if let Some(mut cx) = cx.conn(id) {
            let serial = *cx.conn();
            let right = self.0.borrow().connections[serial].id == Some(id);
            self.0
                .borrow_mut()
                .check(right, || "a name of another connection".to_owned());
            self.act(&mut cx);
        }
    }
}

impl Handler for Application {
    type Codec = Framing;
    /// The position in the list of connections.
    type Conn = usize;
    type Msg = Msg;
    type Task = Task;

    fn on_accept(&mut self, peer: &Peer) -> Result<(Framing, usize), Refusal> {
        let mut world = self.0.borrow_mut();
        world.progress += 1;
        let port = peer.address.socket_addr().map_or(0, |address| address.port());
        let socket = usize::from(port - PORTS_FROM);
        let proxied = world.peers[socket].proxied;
        world.check(peer.proxied == proxied, || {
            format!("socket {socket} is proxied: {proxied}, says {peer:?}")
        });
        if world.mood == Mood::Wild && world.random.percent(3) {
            return Err(Refusal);
        }
        let serial = world.connections.len();
        let (now, outbound) = (world.now, world.rules.outbound);
        world.connections.push(Connection::new(
            Some(socket),
            now,
            outbound.limit,
            outbound.low_water,
        ));
        world.peers[socket].serial = Some(serial);
        world.note(|| format!("socket {socket} is connection {serial}"));
        Ok((Framing::new(), serial))
    }

    fn on_open(&mut self, cx: &mut ConnCx<'_, Self>) {
        let (serial, id) = (*cx.conn(), cx.id());
        {
            let mut world = self.0.borrow_mut();
            world.progress += 1;
            world.note(|| format!("on_open of connection {serial}, {id}"));
            let now = world.now;
            let connection = &mut world.connections[serial];
            let before = std::mem::replace(&mut connection.stage, Stage::Open);
            connection.id = Some(id);
            connection.opened = now;
            let token = connection.socket.and_then(|socket| world.peers[socket].token);
            world.check(before == Stage::Begun && token == Some(id.as_u64()), || {
                format!("connection {serial} is opened: {before:?}, {token:?}")
            });
        }
        self.panic_by_chance(serial);
        self.act(cx);
    }

    fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
        let serial = *cx.conn();
        self.0.borrow_mut().called_with_frame(serial, frame);
        let open = !cx.is_closing();
        self.0.borrow_mut().check(open, || {
            format!("a frame of connection {serial}, which is closing")
        });
        self.panic_by_chance(serial);
        self.act(cx);
        let mut world = self.0.borrow_mut();
        if world.mood != Mood::Wild || !world.connections[serial].is_open() {
            return Flow::Continue;
        }
        match world.random.below(200) {
            0 => {
                world.note_closing(serial, CloseHow::Flush);
                Flow::Close(2)
            }
            1..30 => {
                let connection = &mut world.connections[serial];
                let number = connection.tasks_made;
                connection.tasks_made += 1;
                world.note(|| format!("connection {serial} offloads {number}"));
                Flow::Offload(Task {
                    serial,
                    number,
                    key: serial as u64,
                })
            }
            _ => Flow::Continue,
        }
    }

    fn on_writable(&mut self, cx: &mut ConnCx<'_, Self>) {
        let serial = *cx.conn();
        {
            let mut world = self.0.borrow_mut();
            world.called(serial, "on_writable");
            world.connections[serial].wants_writable = false;
        }
        self.panic_by_chance(serial);
        self.act(cx);
    }

    fn on_timer(&mut self, cx: &mut ConnCx<'_, Self>, key: u32) {
        let serial = *cx.conn();
        {
            let mut world = self.0.borrow_mut();
            world.called(serial, "on_timer");
            let (now, at) = (world.now, world.connections[serial].timers.remove(&key));
            world.check(at.is_some_and(|at| at <= now), || {
                format!("the timer {key} of connection {serial} was set for {at:?}, it is {now:?}")
            });
        }
        self.panic_by_chance(serial);
        self.act(cx);
    }

    fn on_undelivered(&mut self, cx: &mut ConnCx<'_, Self>, frame: &Bytes) {
        let serial = *cx.conn();
        let mut world = self.0.borrow_mut();
        world.called(serial, "on_undelivered");
        match peers::unwrap(&frame[2..]) {
            Some((POSTED, number)) => {
                world.note_full(serial, cx.queued_bytes());
                world.connections[serial].undelivered.insert(number);
            }
            other => world.fail(format!("undelivered: {other:?}")),
        }
    }

    fn on_msg(&mut self, cx: &mut LoopCx<'_, Self>, msg: Msg) {
        self.0.borrow_mut().progress += 1;
        self.0.borrow_mut().note(|| format!("on_msg: {msg:?}"));
        match msg {
            Msg::Before(number) => {
                let mut world = self.0.borrow_mut();
                world.posts[number as usize].began = Some(world.progress);
            }
            Msg::After(number) => self.0.borrow_mut().note_posted(number),
            Msg::Closing(serial, how) => {
                let mut world = self.0.borrow_mut();
                let now = world.now;
                world.connections[serial].close_is_near(how, now);
            }
            Msg::Resume(serial) => {
                let id = self.0.borrow().connections[serial].id;
                if let Some(mut cx) = id.and_then(|id| cx.conn(id)) {
                    self.resume(&mut cx, serial);
                }
            }
            Msg::Act => self.act_on_any(cx),
            Msg::CloseAll => {
                for id in cx.connection_ids() {
                    if let Some(mut cx) = cx.conn(id) {
                        let serial = *cx.conn();
                        self.0.borrow_mut().note_closing(serial, CloseHow::Flush);
                        cx.close(7, CloseHow::Flush);
                    }
                }
            }
        }
    }

    fn on_turn_end(&mut self, cx: &mut LoopCx<'_, Self>) {
        if self.wild() && self.percent(10) {
            self.act_on_any(cx);
        }
    }

    fn on_drain(&mut self, cx: &mut ConnCx<'_, Self>) {
        let serial = *cx.conn();
        {
            let mut world = self.0.borrow_mut();
            world.called(serial, "on_drain");
            let draining = world.draining;
            let before = std::mem::replace(&mut world.connections[serial].told_drain, true);
            world.check(draining && !before, || "on_drain at the wrong time".to_owned());
        }
        if self.percent(50) {
            self.act(cx);
        } else {
            self.close(cx, serial);
        }
    }

    fn on_eof(&mut self, cx: &mut ConnCx<'_, Self>) -> Eof {
        let serial = *cx.conn();
        self.0.borrow_mut().called_at_end(serial);
        self.panic_by_chance(serial);
        self.act(cx);
        if self.percent(30) {
            return Eof::KeepWriting;
        }
        self.0.borrow_mut().note_closing(serial, CloseHow::Flush);
        Eof::Close
    }

    fn on_closing(&mut self, cx: &mut ConnCx<'_, Self>, why: &Reason<Self>) {
        let serial = *cx.conn();
        self.0.borrow_mut().called(serial, "on_closing");
        self.0
            .borrow_mut()
            .note(|| format!("connection {serial} is being closed: {why}"));
        {
            let mut world = self.0.borrow_mut();
            world.check_cause(serial, why);
            let now = world.now;
            world.connections[serial].told_closing = true;
            world.connections[serial].closing.get_or_insert(now);
        }
        self.send(cx, serial);
    }

    fn on_close(&mut self, cx: &mut LoopCx<'_, Self>, id: ConnId, serial: usize, why: &Reason<Self>) {
        let known = cx.conn(id).is_some();
        let mut world = self.0.borrow_mut();
        world.check(!known, || {
            format!("connection {serial} is over, and known by name")
        });
        world.check_end(serial, why);
    }
}
