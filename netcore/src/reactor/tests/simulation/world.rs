//! Owns the world of a simulation: the sockets, the clock, the events, and every trouble that a system may make.
//! Must never do what no system does: an event that is due comes, sooner or later.

use super::super::super::io::{Io, Readiness};
use super::application::Msg;
use super::checks::{Connection, Post};
use super::peers::{Habit, Peer, some_size};
use super::random::Random;
use crate::address::Address;
use crate::id::ConnId;
use crate::limits::SLEEP_MAX;
use crate::remote::Remote;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The port of the first peer; the others follow.
pub(super) const PORTS_FROM: u16 = 1000;

/// The port of the first connection that we make.
pub(super) const TICKETS_FROM: u16 = 30_000;

/// More writes to one socket in one turn than any loop needs.
const WRITES_MAX: usize = 20_000;

const EMFILE: i32 = 24;
const ECONNABORTED: i32 = 103;

/// How the world and the reactor go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mood {
    /// Everything that can happen does.
    Wild,
    /// No trouble any more, and time stands still.
    Calm,
    /// Nothing but time passes.
    Silent,
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) mood: Mood,
    pub(super) now: Instant,
    pub(super) peers: Vec<Peer>,
    pub(super) backlog: VecDeque<std::result::Result<usize, i32>>,
    pub(super) listener: Option<u64>,
    pub(super) listener_event: bool,
    pub(super) exhausted: bool,
    pub(super) spare: bool,
    /// Tokens of sockets that are gone.
    pub(super) stale: Vec<u64>,
    pub(super) woken: Arc<AtomicBool>,
    pub(super) remote: Option<Remote<Msg>>,
    pub(super) timeout: Duration,
    /// Whatever moves on counts.
    pub(super) progress: u64,
    pub(super) connections: Vec<Connection>,
    pub(super) posts: Vec<Post>,
    pub(super) rules: Rules,
    pub(super) stopping: bool,
    pub(super) draining: bool,
    pub(super) drain_deadline: Option<Instant>,
    pub(super) failure: Option<String>,
    pub(super) trace: Option<Vec<String>>,
}

/// What the checks have to know of the settings.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    pub(super) timeouts: crate::config::Timeouts,
    pub(super) budgets: crate::config::Budgets,
    pub(super) outbound: crate::config::Outbound,
    pub(super) connections: usize,
    pub(super) queued_bytes: usize,
    pub(super) peers: usize,
    pub(super) proxy_share: usize,
    /// The listener looks at the first byte before anything is opened.
    pub(super) first_byte: bool,
}

impl World {
    pub(super) fn note(&mut self, entry: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(entry());
        }
    }

    pub(super) fn fail(&mut self, why: impl Into<String>) {
        let why = why.into();
        self.note(|| format!("FAILURE: {why}"));
        self.failure.get_or_insert(why);
    }

    pub(super) fn check(&mut self, holds: bool, why: impl FnOnce() -> String) {
        if !holds {
            self.fail(why());
        }
    }

    /// A peer connects and waits to be accepted.
    fn arrive(&mut self) {
        self.add_peer();
        self.backlog.push_back(Ok(self.peers.len() - 1));
        self.listener_event = true;
        if self.random.percent(10) {
            self.backlog.push_back(Err(ECONNABORTED));
        }
    }

    /// A peer connects, and another loop accepts it and chooses this one for it.
    pub(super) fn arrive_elsewhere(&mut self, share: usize) -> Option<(Stream, Address)> {
        let wanted = self.mood == Mood::Wild && self.peers.len() < self.rules.peers;
        if !wanted || !self.random.percent(share) {
            return None;
        }
        self.add_peer();
        let socket = self.peers.len() - 1;
        self.note(|| format!("socket {socket} is handed over"));
        Some((self.hold(socket), self.address(socket)))
    }

    fn address(&self, socket: usize) -> Address {
        let host = if self.peers[socket].header.is_some() { 2 } else { 1 };
        Address::Ip(SocketAddr::from(([127, 0, 0, host], PORTS_FROM + socket as u16)))
    }

    fn add_peer(&mut self) {
        let mut peer = Peer::new(&mut self.random);
        if self.random.percent(self.rules.proxy_share) {
            let socket = self.peers.len();
            let sound = !self.random.percent(10);
            peer.header = Some(sound);
            peer.proxied = sound && self.random.percent(70);
            let header = super::proxy_header(&mut self.random, socket, sound, peer.proxied);
            peer.say(&header);
        }
        self.peers.push(peer);
    }

    /// Everything that is not the reactor does something.
    pub(super) fn live(&mut self) {
        if self.mood == Mood::Silent {
            return;
        }
        let wild = self.mood == Mood::Wild;
        if wild && self.peers.len() < self.rules.peers && self.random.percent(20) {
            self.arrive();
        }
        if self.exhausted {
            self.exhausted = wild && !self.random.percent(20);
        } else if wild {
            self.exhausted = self.random.permille(8);
        }
        for socket in 0..self.peers.len() {
            if wild {
                self.live_wildly(socket);
            } else {
                let peer = &mut self.peers[socket];
                peer.writable_event |= std::mem::take(&mut peer.unconnected);
                peer.feed(usize::MAX);
                peer.make_room(1 << 20);
            }
            let peer = &mut self.peers[socket];
            if peer.shut_down.is_some() && (!wild || self.random.percent(10)) {
                peer.end();
            }
        }
    }

    fn live_wildly(&mut self, socket: usize) {
        let random = &mut self.random;
        let peer = &mut self.peers[socket];
        if peer.taken && !peer.is_held() {
            return;
        }
        if peer.unconnected {
            match random.below(20) {
                0 => peer.abort(),
                1..=4 => {
                    peer.unconnected = false;
                    peer.writable_event = true;
                }
                // Nothing has happened, but an event says so.
                5 => peer.writable_event = true,
                _ => {}
            }
            return;
        }
        if !peer.ended && random.percent(30) {
            for _ in 0..random.between(1, 4) {
                if random.percent(5) {
                    peer.say(&super::peers::wrap(&[super::peers::PING]));
                }
                peer.say_frame(some_size(random));
            }
        }
        if random.percent(60) {
            let bytes = match random.below(4) {
                0 => usize::MAX,
                1 => random.below(2000),
                _ => random.below(20),
            };
            peer.feed(bytes);
        }
        if peer.habit != Habit::Stuck && random.percent(30) {
            let bytes = if peer.habit == Habit::Slow {
                random.below(300)
            } else {
                1 << 20
            };
            peer.make_room(bytes);
        }
        if random.permille(12) {
            if random.percent(70) {
                peer.feed(usize::MAX);
            }
            peer.end();
        }
        if random.permille(3) {
            peer.abort();
        }
        if random.permille(2) && !peer.ended {
            // A frame that is longer than any may be.
            peer.broken = true;
            peer.say(&[0xff, 0xff, 0]);
        }
    }

    /// Events for the reactor, each once.
    fn collect(&mut self, ready: &mut Vec<Readiness>) {
        let wild = self.mood == Mood::Wild;
        let first = ready.len();
        for peer in &mut self.peers {
            let Some(token) = peer.token.filter(|_| peer.is_held()) else {
                continue;
            };
            let due = peer.readable_event || peer.writable_event;
            if !due || (wild && self.random.percent(30)) {
                continue;
            }
            let end = peer.ended || peer.reset;
            ready.push(Readiness {
                token,
                readable: peer.readable_event,
                writable: peer.writable_event,
                end,
                broken: false,
            });
            peer.readable_event = false;
            peer.writable_event = false;
            peer.end_announced |= end;
            self.progress += 1;
        }
        if let Some(token) = self.listener
            && self.listener_event
            && !(wild && self.random.percent(30))
        {
            self.listener_event = false;
            self.progress += 1;
            ready.push(Readiness {
                token,
                readable: true,
                writable: false,
                end: false,
                broken: false,
            });
        }
        if wild {
            self.mislead(ready, first);
        }
    }

    /// Events without a meaning: doubles, and events for no connection or for one that is gone.
    fn mislead(&mut self, ready: &mut Vec<Readiness>, first: usize) {
        if ready.len() > first && self.random.percent(10) {
            let double = ready[self.random.between(first, ready.len() - 1)];
            ready.push(double);
        }
        if self.random.percent(10) && !self.stale.is_empty() {
            let token = self.stale[self.random.below(self.stale.len())];
            ready.push(Readiness {
                token,
                readable: true,
                writable: true,
                end: true,
                broken: false,
            });
        }
        if self.random.percent(10) && !self.peers.is_empty() {
            let socket = self.random.below(self.peers.len());
            let peer = &self.peers[socket];
            if let Some(token) = peer.token.filter(|_| peer.is_held()) {
                let (readable, writable) = (self.random.percent(50), self.random.percent(50));
                ready.push(Readiness {
                    token,
                    readable,
                    writable,
                    end: false,
                    broken: false,
                });
            }
        }
        self.random.shuffle(&mut ready[first..]);
    }

    /// An event is due and has not come yet.
    pub(super) fn has_events(&self) -> bool {
        let due = |peer: &Peer| {
            (peer.readable_event || peer.writable_event) && peer.token.is_some() && peer.is_held()
        };
        self.peers.iter().any(due) || (self.listener_event && self.listener.is_some())
    }

    fn pass(&mut self, timeout: Duration, found: bool) {
        let now = self.now;
        match self.mood {
            Mood::Calm => {
                // Only what waits for the time alone: accepting again.
                let accepts = !self.backlog.is_empty() && self.listener.is_some();
                if !found && accepts {
                    self.now += timeout.min(Duration::from_secs(1));
                }
            }
            Mood::Silent => {
                if !found {
                    self.now += timeout;
                }
            }
            Mood::Wild => {
                let step = Duration::from_millis(self.random.below(30) as u64);
                self.now += step.min(timeout);
                if self.random.permille(4) {
                    self.now += Duration::from_millis(self.random.below(8000) as u64);
                }
            }
        }
        if self.now != now {
            let by = self.now - now;
            self.note(|| format!("{by:?} pass"));
            self.progress += u64::from(!timeout.is_zero());
        }
    }
}

pub(super) struct SimulatedIo<const EXACT: bool>(pub(super) Rc<RefCell<World>>);

/// The reactor's end of a socket, known to be there as long as it is.
pub(super) struct Stream {
    socket: usize,
    _held: Arc<()>,
}

impl World {
    fn hold(&mut self, socket: usize) -> Stream {
        let held = Arc::new(());
        self.peers[socket].stream = Arc::downgrade(&held);
        self.peers[socket].taken = true;
        self.progress += 1;
        Stream { socket, _held: held }
    }

    /// The system is asked for something that it may refuse, or say no to for the moment.
    fn interrupts(&mut self) -> Result<()> {
        if self.mood == Mood::Wild && self.random.percent(3) {
            return Err(ErrorKind::Interrupted.into());
        }
        Ok(())
    }
}

impl<const EXACT: bool> Io for SimulatedIo<EXACT> {
    type Stream = Stream;
    type Listener = ();

    const SHORT_TRANSFER_MEANS_BLOCKED: bool = EXACT;

    fn now(&mut self) -> Instant {
        self.0.borrow().now
    }

    fn wait(&mut self, timeout: Duration, ready: &mut Vec<Readiness>) -> Result<()> {
        let mut world = self.0.borrow_mut();
        world.timeout = timeout;
        world.check(timeout <= SLEEP_MAX, || format!("a sleep of {timeout:?}"));
        world.woken.store(false, Ordering::Relaxed);
        if world.mood == Mood::Wild && world.random.percent(10) && world.post() {
            let woken = world.woken.load(Ordering::Relaxed);
            world.check(woken || timeout.is_zero(), || {
                format!("a post did not wake the loop, which sleeps {timeout:?}")
            });
        }
        let before = ready.len();
        world.collect(ready);
        let found = ready.len() > before || world.woken.load(Ordering::Relaxed);
        for event in &ready[before..] {
            world.note(|| format!("event {event:?} of {}", ConnId::from_bits(event.token)));
        }
        let held = world.has_events();
        world.pass(
            if held {
                timeout.min(Duration::from_millis(20))
            } else {
                timeout
            },
            found,
        );
        for peer in &mut world.peers {
            peer.reads_in_turn = 0;
            peer.writes_in_turn = 0;
        }
        Ok(())
    }

    fn listen(&mut self, (): &mut (), token: u64) -> Result<()> {
        self.0.borrow_mut().listener = Some(token);
        Ok(())
    }

    fn unlisten(&mut self, (): ()) {
        self.0.borrow_mut().listener = None;
    }

    fn accept(&mut self, (): &mut ()) -> Result<(Stream, Address)> {
        let mut world = self.0.borrow_mut();
        let Some(next) = world.backlog.front().copied() else {
            return Err(ErrorKind::WouldBlock.into());
        };
        world.interrupts()?;
        if world.exhausted && world.spare {
            world.note(|| "no descriptor for accept".to_owned());
            return Err(Error::from_raw_os_error(EMFILE));
        }
        world.backlog.pop_front();
        let socket = next.map_err(Error::from_raw_os_error)?;
        world.note(|| format!("accept socket {socket}"));
        let address = world.address(socket);
        Ok((world.hold(socket), address))
    }

    fn release_spare(&mut self) {
        self.0.borrow_mut().spare = false;
    }

    fn take_spare(&mut self) {
        let mut world = self.0.borrow_mut();
        world.spare = true;
    }

    fn connect(&mut self, to: &Address) -> Result<Stream> {
        let mut world = self.0.borrow_mut();
        let ticket = to
            .socket_addr()
            .map_or(0, |address| address.port() - TICKETS_FROM);
        if world.random.percent(10) {
            world.note(|| format!("connecting {ticket} fails at once"));
            return Err(ErrorKind::AddrNotAvailable.into());
        }
        let mut peer = Peer::new(&mut world.random);
        peer.unconnected = true;
        let serial = usize::from(ticket);
        peer.serial = Some(serial);
        let socket = world.peers.len();
        world.peers.push(peer);
        world.note(|| format!("connecting {ticket} is socket {socket}"));
        let now = world.now;
        world.connections[serial].socket = Some(socket);
        world.connections[serial].began = now;
        Ok(world.hold(socket))
    }

    fn is_connected(&mut self, stream: &mut Stream) -> Result<bool> {
        let world = self.0.borrow();
        let peer = &world.peers[stream.socket];
        if peer.reset {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        Ok(!peer.unconnected)
    }

    fn open(&mut self, stream: &mut Stream, token: u64) -> Result<()> {
        let mut world = self.0.borrow_mut();
        if world.mood == Mood::Wild && world.random.percent(1) {
            return Err(ErrorKind::OutOfMemory.into());
        }
        let taken = world.peers.iter().any(|peer| peer.token == Some(token));
        world.check(!taken, || "a name was used twice".to_owned());
        let starved = world.exhausted && !world.spare;
        world.check(!starved, || {
            "the spare descriptor was used for a connection".to_owned()
        });
        let peer = &mut world.peers[stream.socket];
        peer.token = Some(token);
        peer.readable_event = !peer.incoming.is_empty() || peer.ended || peer.reset;
        peer.writable_event = !peer.unconnected;
        let socket = stream.socket;
        world.note(|| format!("socket {socket} is {}", ConnId::from_bits(token)));
        Ok(())
    }

    fn close(&mut self, stream: Stream, _cut_off: bool) {
        let mut world = self.0.borrow_mut();
        let socket = stream.socket;
        world.progress += 1;
        world.note(|| format!("socket {socket} is closed"));
        let token = world.peers[socket].token;
        world.stale.extend(token);
    }

    fn read(&mut self, stream: &mut Stream, buffer: &mut [u8]) -> Result<usize> {
        let mut world = self.0.borrow_mut();
        let world = &mut *world;
        let (now, wild, socket) = (world.now, world.mood == Mood::Wild, stream.socket);
        // The look at the first byte is a read of its own.
        let reads_max = world.rules.budgets.reads.max(1) + usize::from(world.rules.first_byte);
        let peer = &mut world.peers[socket];
        peer.reads_in_turn += 1;
        let too_many = peer.header.is_none() && peer.reads_in_turn > reads_max;
        world.progress += 1;
        world.check(!too_many, || "more reads than the budget has".to_owned());
        world.interrupts()?;
        let peer = &mut world.peers[socket];
        if peer.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if peer.incoming.is_empty() {
            if !peer.ended {
                return Err(ErrorKind::WouldBlock.into());
            }
            world.note(|| format!("read the end of socket {socket}"));
            return Ok(0);
        }
        if wild && world.random.percent(5) {
            peer.readable_event = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut count = buffer.len().min(peer.incoming.len());
        if wild && world.random.percent(25) {
            count = world.random.between(1, count);
        }
        for (place, byte) in buffer.iter_mut().zip(peer.incoming.drain(..count)) {
            *place = byte;
        }
        // What was not read came a moment later, unless it was known that nothing would come any more.
        if EXACT && count < buffer.len() && !peer.incoming.is_empty() && !peer.end_announced {
            peer.readable_event = true;
        }
        peer.read_at = Some(now);
        world.note(|| format!("read {count} of socket {socket}"));
        Ok(count)
    }

    fn write(&mut self, stream: &mut Stream, slices: &[IoSlice<'_>]) -> Result<usize> {
        let mut world = self.0.borrow_mut();
        let world = &mut *world;
        let (now, wild, socket) = (world.now, world.mood == Mood::Wild, stream.socket);
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        world.progress += 1;
        world.peers[socket].writes_in_turn += 1;
        // A turn that never ends can only be left like this.
        assert!(
            world.peers[socket].writes_in_turn < WRITES_MAX,
            "it spins within a turn"
        );
        let over = world.peers[socket].shut_down.is_some() || world.peers[socket].unconnected;
        world.check(!over, || {
            format!("socket {socket} is written to, and should not be")
        });
        world.check(offered > 0, || "a write of nothing".to_owned());
        world.interrupts()?;
        let late = wild && world.random.percent(5);
        let part = wild && world.random.percent(20);
        let peer = &mut world.peers[socket];
        if peer.reset {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if peer.room == 0 || late {
            peer.blocked = peer.room == 0;
            peer.writable_event |= peer.room > 0;
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut count = offered.min(peer.room);
        if part || (wild && peer.habit == Habit::Trickling) {
            count = world.random.between(1, count.min(if part { count } else { 40 }));
        }
        peer.room -= count;
        if EXACT && count < offered {
            peer.blocked = peer.room == 0;
            peer.writable_event |= peer.room > 0;
        }
        peer.written_at = Some(now);
        let bytes: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .take(count)
            .collect();
        world.note(|| format!("write {count} of {offered} to socket {socket}"));
        world.receive(socket, &bytes);
        Ok(count)
    }

    fn shut_down(&mut self, stream: &mut Stream) -> Result<()> {
        let mut world = self.0.borrow_mut();
        let socket = stream.socket;
        world.note(|| format!("shut down socket {socket}"));
        world.progress += 1;
        let now = world.now;
        let before = world.peers[socket].shut_down.replace(now);
        world.check(before.is_none(), || "shut down twice".to_owned());
        world.check_complete(socket, "shut down");
        Ok(())
    }
}
