//! Owns what must hold: of every connection, what has happened to it so far and what may still happen. Must never
//! ask the reactor what it thinks, only compare.

use super::application::{Msg, Task};
use super::peers::{self, FRAME_BYTES_MAX, OWN, PING, PONG, POSTED, Peer};
use super::world::{Mood, World};
use crate::close::{CloseHow, CloseReason, Initiator};
use crate::codec::FrameError;
use crate::config::WhenFull;
use crate::id::{ConnId, LoopId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// Where a connection is, as its callbacks have it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// Accepted, or being made.
    Begun,
    Open,
    Over,
}

/// One connection as the application knows it.
pub(super) struct Connection {
    pub(super) socket: Option<usize>,
    pub(super) id: Option<ConnId>,
    pub(super) ours: bool,
    /// The name of one that we make, and that is not made yet.
    pub(super) making: Option<ConnId>,
    pub(super) stage: Stage,
    pub(super) began: Instant,
    pub(super) opened: Instant,
    /// The number of the frame that comes next.
    pub(super) next_in: u32,
    pub(super) eof: bool,
    pub(super) told_closing: bool,
    pub(super) told_drain: bool,
    pub(super) paused: bool,
    pub(super) established: bool,
    pub(super) panicked: bool,
    /// Since when it is closing, as far as the application can know.
    pub(super) closing: Option<Instant>,
    pub(super) may_abort: bool,
    /// Another thread has asked for the end, which comes now or a little later.
    pub(super) close_posted: bool,
    pub(super) next_out: u32,
    /// Numbers of frames that were queued and have not arrived.
    pub(super) queued: VecDeque<u32>,
    pub(super) posted_last: Option<u32>,
    pub(super) posted_seen: BTreeSet<u32>,
    pub(super) posted_due: BTreeSet<u32>,
    pub(super) undelivered: BTreeSet<u32>,
    pub(super) wants_writable: bool,
    /// Since when it is in which groups, counted in events.
    pub(super) groups: BTreeMap<u64, u64>,
    pub(super) groups_ever: BTreeSet<u64>,
    pub(super) timers: BTreeMap<u32, Instant>,
    pub(super) limit: usize,
    pub(super) low_water: usize,
    pub(super) tasks_made: u32,
    pub(super) tasks_done: u32,
}

/// A frame that another thread sent.
pub(super) struct Post {
    to: To,
    pub(super) began: Option<u64>,
    pub(super) taken: bool,
}

enum To {
    Some(Vec<ConnId>),
    Group(u64, Option<ConnId>),
}

impl Connection {
    pub(super) fn new(socket: Option<usize>, now: Instant, limit: usize, low_water: usize) -> Self {
        Self {
            socket,
            id: None,
            ours: socket.is_none(),
            making: None,
            stage: Stage::Begun,
            began: now,
            opened: now,
            next_in: 0,
            eof: false,
            told_closing: false,
            told_drain: false,
            paused: false,
            established: false,
            panicked: false,
            closing: None,
            may_abort: false,
            close_posted: false,
            next_out: 0,
            queued: VecDeque::new(),
            posted_last: None,
            posted_seen: BTreeSet::new(),
            posted_due: BTreeSet::new(),
            undelivered: BTreeSet::new(),
            wants_writable: false,
            groups: BTreeMap::new(),
            groups_ever: BTreeSet::new(),
            timers: BTreeMap::new(),
            limit,
            low_water,
            tasks_made: 0,
            tasks_done: 0,
        }
    }

    /// Another thread closes it: the next command does it, if it is still there.
    pub(super) fn close_is_near(&mut self, how: CloseHow, now: Instant) {
        self.close_posted = true;
        self.closing.get_or_insert(now);
        self.may_abort |= how == CloseHow::Abort;
    }

    /// As far as the application can know, frames go both ways.
    pub(super) fn is_open(&self) -> bool {
        self.stage == Stage::Open && self.closing.is_none() && !self.told_closing
    }
}

impl World {
    /// A callback of a connection that is open began.
    pub(super) fn called(&mut self, serial: usize, name: &str) {
        self.progress += 1;
        self.note(|| format!("{name} of connection {serial}"));
        let connection = &self.connections[serial];
        let near = connection.close_posted && connection.stage == Stage::Open && !connection.told_closing;
        let panicked = connection.panicked && name != "on_closing";
        let open = (connection.is_open() || near) && !panicked;
        self.check(open, || {
            format!("{name} of connection {serial}, which is not open")
        });
    }

    pub(super) fn called_with_frame(&mut self, serial: usize, payload: &[u8]) {
        self.called(serial, "on_frame");
        let connection = &mut self.connections[serial];
        let expected = Some((peers::DATA, connection.next_in));
        connection.next_in += 1;
        let (paused, eof) = (connection.paused, connection.eof);
        let found = peers::unwrap(payload);
        self.check(found == expected, || {
            format!("connection {serial}: {found:?} came for {expected:?}")
        });
        self.check(!paused && !eof, || {
            format!("a frame of connection {serial}, which is paused or at its end")
        });
    }

    pub(super) fn called_at_end(&mut self, serial: usize) {
        self.called(serial, "on_eof");
        let before = std::mem::replace(&mut self.connections[serial].eof, true);
        let paused = self.connections[serial].paused;
        self.check(!before && !paused, || {
            format!("on_eof, twice: {before}, paused: {paused}")
        });
        self.check_all_handled(serial);
    }

    /// Every frame that the peer sent wholly has been handled.
    fn check_all_handled(&mut self, serial: usize) {
        let connection = &self.connections[serial];
        let Some(socket) = connection.socket else { return };
        let (handled, whole) = (connection.next_in, self.peers[socket].whole);
        self.check(handled == whole, || {
            format!("connection {serial}: {handled} of {whole} frames were handled")
        });
    }

    pub(super) fn note_closing(&mut self, serial: usize, how: CloseHow) {
        let now = self.now;
        let connection = &mut self.connections[serial];
        connection.closing.get_or_insert(now);
        connection.may_abort |= how == CloseHow::Abort;
    }

    /// The out-queue has refused a frame.
    pub(super) fn note_full(&mut self, serial: usize, queued: usize) {
        self.connections[serial].wants_writable |= queued > self.connections[serial].low_water;
        if self.rules.outbound.when_full == WhenFull::Close {
            self.note_closing(serial, CloseHow::Abort);
        }
    }

    /// The peer gets bytes.
    pub(super) fn receive(&mut self, socket: usize, bytes: &[u8]) {
        let mut partial = std::mem::take(&mut self.peers[socket].partial);
        partial.extend_from_slice(bytes);
        let mut rest = &partial[..];
        while let Some((len, tail)) = rest.split_first_chunk::<2>()
            && let Some((payload, tail)) = tail.split_at_checked(usize::from(u16::from_be_bytes(*len)))
        {
            self.receive_frame(socket, payload);
            rest = tail;
        }
        self.peers[socket].partial = rest.to_vec();
    }

    fn receive_frame(&mut self, socket: usize, payload: &[u8]) {
        let Some(serial) = self.peers[socket].serial else {
            return self.fail("something was written before the connection was open");
        };
        let peer = &mut self.peers[socket];
        match payload {
            [PING] => {
                if self.mood == Mood::Calm || self.random.percent(60) && !peer.ended {
                    peer.say(&peers::wrap(&[PONG]));
                }
                return;
            }
            [PONG] => return,
            _ => {}
        }
        let connection = &mut self.connections[serial];
        match peers::unwrap(payload) {
            Some((OWN, number)) => {
                let due = connection.queued.pop_front();
                self.check(due == Some(number), || {
                    format!("socket {socket} got the frame {number} for {due:?}")
                });
            }
            Some((POSTED, number)) => {
                let last = connection.posted_last.replace(number);
                connection.posted_seen.insert(number);
                let dropped = connection.undelivered.contains(&number);
                let post = &self.posts[number as usize];
                let addressed = match &post.to {
                    To::Some(ids) => connection.id.is_some_and(|id| ids.contains(&id)),
                    To::Group(group, except) => {
                        connection.groups_ever.contains(group) && *except != connection.id
                    }
                };
                let fine = post.taken && addressed && !dropped && last.is_none_or(|last| last < number);
                self.check(fine, || {
                    format!(
                        "socket {socket} got the posted frame {number} behind {last:?}, addressed: \
                         {addressed}, dropped: {dropped}"
                    )
                });
            }
            other => self.fail(format!("socket {socket} got a broken frame: {other:?}")),
        }
    }

    /// Everything that was queued for this peer has arrived.
    pub(super) fn check_complete(&mut self, socket: usize, when: &str) {
        let Some(serial) = self.peers[socket].serial else {
            return;
        };
        let partial = self.peers[socket].partial.len();
        let connection = &self.connections[serial];
        let missing = connection.posted_due.difference(&connection.posted_seen).next();
        let (queued, missing) = (connection.queued.len(), missing.copied());
        self.check(partial == 0 && queued == 0 && missing.is_none(), || {
            format!(
                "{when} with {queued} frames of connection {serial} missing, a posted one: {missing:?}, \
                 {partial} bytes of one there"
            )
        });
    }

    /// The end of a connection must have a cause in the world, when it begins.
    pub(super) fn check_cause(&mut self, serial: usize, why: &CloseReason<FrameError>) {
        let (now, times) = (self.now, self.rules.timeouts);
        let since = |at: Option<Instant>| at.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
        let connection = &self.connections[serial];
        let begun = connection.stage == Stage::Begun;
        let opened = Some(connection.opened);
        let peer = connection.socket.map(|socket| &self.peers[socket]);
        let is = |what: fn(&Peer) -> bool| peer.is_some_and(what);
        let (ended, clean) = (is(|peer| peer.ended), is(Peer::is_between_frames));
        let read = peer.and_then(|peer| peer.read_at).max(opened);
        let written = peer.and_then(|peer| peer.written_at).max(opened);
        let connecting = connection.ours && begun;
        // Nothing has come of it, so it is not open.
        let silent = !connection.ours && begun && self.rules.first_byte;
        let caused = match why {
            CloseReason::ConnectFailed(_) => connecting,
            CloseReason::ConnectTimeout => connecting && since(Some(connection.began)) >= times.connect,
            CloseReason::Drained => self.draining,
            CloseReason::Eof => ended && clean && (connection.eof || silent),
            CloseReason::TruncatedFrame { .. } => ended && !clean,
            CloseReason::FrameTimeout => since(opened) >= times.frame,
            CloseReason::HandshakeTimeout if silent => since(Some(connection.began)) >= times.tls_handshake,
            CloseReason::HandshakeTimeout => !connection.established && since(opened) >= times.handshake,
            CloseReason::HandlerPanicked => connection.panicked,
            CloseReason::IdleTimeout => since(read) >= times.idle,
            CloseReason::PongTimeout => since(read) >= times.pong_within,
            CloseReason::WriteStalled => since(written) >= times.write_stall,
            CloseReason::OutboundFull { .. } => self.rules.outbound.when_full == WhenFull::Close,
            CloseReason::Protocol(_) => is(|peer| peer.broken),
            CloseReason::Reset => is(|peer| peer.reset),
            // The system could not watch it.
            CloseReason::Io(_) => begun,
            CloseReason::Local(_) => connection.closing.is_some(),
            CloseReason::Stopped => self.stopping,
            _ => false,
        };
        self.check(caused, || {
            format!("connection {serial} ended for no reason: {why:?}")
        });
        if matches!(why, CloseReason::TruncatedFrame { .. } | CloseReason::Eof) {
            self.check_all_handled(serial);
        }
    }

    /// A connection must not be over before what was promised to it is done.
    pub(super) fn check_end(&mut self, serial: usize, why: &CloseReason<FrameError>) {
        self.progress += 1;
        self.note(|| format!("on_close of connection {serial}: {why}"));
        if !self.connections[serial].told_closing {
            self.check_cause(serial, why);
        }
        let (now, times) = (self.now, self.rules.timeouts);
        let since = |at: Option<Instant>| at.map(|at| now.saturating_duration_since(at));
        let connection = &mut self.connections[serial];
        let stage = std::mem::replace(&mut connection.stage, Stage::Over);
        connection.groups.clear();
        let connection = &self.connections[serial];
        let peer = connection.socket.map(|socket| &self.peers[socket]);
        let held = peer.is_some_and(Peer::is_held);
        let gone = peer.is_some_and(|peer| peer.reset);
        let ended = peer.is_some_and(|peer| peer.ended);
        let written = peer.and_then(|peer| peer.written_at).max(Some(connection.opened));
        let drained = self.drain_deadline.is_some_and(|deadline| deadline <= now);
        let dead = matches!(
            why,
            CloseReason::Reset | CloseReason::WriteStalled | CloseReason::OutboundFull { .. }
        );
        let aborted =
            connection.may_abort || gone || self.stopping || drained || dead || stage == Stage::Begun;
        let shut_down = peer.and_then(|peer| peer.shut_down);
        let closing = since(connection.closing);
        let patient = match shut_down {
            Some(at) => ended || since(Some(at)) >= Some(times.linger) || closing >= Some(times.linger),
            None if why.initiator() == Initiator::Library => closing >= Some(times.linger),
            None => closing.is_some() && since(written) >= Some(times.write_stall),
        };
        let socket = connection.socket.filter(|_| shut_down.is_some());
        self.check(stage != Stage::Over, || "on_close twice".to_owned());
        self.check(!held, || {
            format!("connection {serial} is over, and its socket is not closed")
        });
        self.check(aborted || patient, || {
            format!("connection {serial} ended too early after {closing:?}: {why:?}")
        });
        if let Some(socket) = socket {
            self.check_complete(socket, "closed");
        }
    }

    /// Another thread sends a frame, or does something else; whether something was posted.
    pub(super) fn post(&mut self) -> bool {
        let Some(remote) = self.remote.clone() else {
            return false;
        };
        let open = self
            .connections
            .iter()
            .filter(|connection| connection.id.is_some());
        let ids: Vec<ConnId> = open.filter_map(|connection| connection.id).collect();
        if self.random.percent(30) || ids.is_empty() {
            let msg = if self.random.percent(50) || self.connections.is_empty() {
                Msg::Act
            } else {
                Msg::Resume(self.random.below(self.connections.len()))
            };
            return remote.post(LoopId(0), msg).is_ok();
        }
        let one = self.random.pick(&ids);
        if self.random.percent(3) {
            let how = self.random.pick(&[CloseHow::Flush, CloseHow::Abort]);
            let serial = self
                .connections
                .iter()
                .position(|connection| connection.id == Some(one));
            // From here on the end can come at any time.
            let posted = remote
                .post(LoopId(0), Msg::Closing(serial.unwrap_or_default(), how))
                .is_ok();
            return posted && remote.close(one, 9, how).is_ok();
        }
        let number = self.posts.len() as u32;
        let fill = peers::some_size(&mut self.random);
        let frame = peers::frame(POSTED, number, fill);
        self.posts.push(Post {
            to: To::Group(u64::MAX, None),
            began: None,
            taken: false,
        });
        let mut any = remote.post(LoopId(0), Msg::Before(number)).is_ok();
        let (to, taken) = match self.random.below(3) {
            0 => (To::Some(vec![one]), remote.send(one, frame).is_ok()),
            1 => {
                let some: BTreeSet<ConnId> = (0..3).map(|_| self.random.pick(&ids)).collect();
                let some: Vec<ConnId> = some.into_iter().collect();
                let taken = remote.send_many(&some, &frame).is_ok();
                (To::Some(some), taken)
            }
            _ => {
                let group = self.random.below(3) as u64;
                let except = self.random.percent(30).then_some(one);
                let taken = remote.send_to_group(group, &frame, except).is_ok();
                (To::Group(group, except), taken)
            }
        };
        any |= taken;
        self.note(|| format!("post {number}, taken: {taken}"));
        let post = &mut self.posts[number as usize];
        (post.to, post.taken) = (to, taken);
        any |= remote.post(LoopId(0), Msg::After(number)).is_ok();
        any
    }

    /// A frame that another thread sent has been handled: its receivers have it in their queues.
    pub(super) fn note_posted(&mut self, number: u32) {
        let post = &self.posts[number as usize];
        let Some(began) = post.began.filter(|_| post.taken) else {
            return;
        };
        for connection in &mut self.connections {
            let addressed = match &post.to {
                To::Some(ids) => connection.id.is_some_and(|id| ids.contains(&id)),
                To::Group(group, except) => {
                    connection.id != *except
                        && connection.groups.get(group).is_some_and(|since| *since < began)
                }
            };
            if addressed && connection.is_open() && !connection.undelivered.contains(&number) {
                connection.posted_due.insert(number);
            }
        }
    }

    /// Puts a task on the record that was offloaded, or was run.
    pub(super) fn note_run(&mut self, task: &Task) {
        let connection = &mut self.connections[task.serial];
        let due = connection.tasks_done;
        connection.tasks_done += 1;
        self.progress += 1;
        self.check(task.number == due, || {
            format!("the task {} ran for {due}", task.number)
        });
    }

    /// All that the peers sent has been handled, and all that was queued for them has arrived.
    pub(super) fn check_calm(&mut self) {
        for serial in 0..self.connections.len() {
            let connection = &self.connections[serial];
            let (Some(socket), true) = (connection.socket, connection.is_open()) else {
                continue;
            };
            let peer = &self.peers[socket];
            if peer.reset || peer.broken || !peer.is_held() {
                continue;
            }
            let tasks = (connection.tasks_made, connection.tasks_done);
            self.check(tasks.0 == tasks.1, || {
                format!("{tasks:?} tasks of connection {serial} ran")
            });
            self.check_all_handled(serial);
            self.check_complete(socket, "quiet");
        }
    }
}

/// Memory that a connection may hold for what it has not decoded.
pub(super) const HELD_BYTES_MAX: usize = 2 * (crate::limits::READ_BUFFER_BYTES + FRAME_BYTES_MAX);
