//! Owns the course of one simulation, and what is compared with the inside of the reactor after every turn. Must
//! never change anything in there.

use super::super::super::{Acceptor, Handover, ListenerInfo, Parts, Reactor, ServerPhase, Shared};
use super::application::{Application, Msg};
use super::checks::HELD_BYTES_MAX;
use super::random::Random;
use super::world::{Mood, Rules, SimulatedIo, World};
use crate::address::{Address, CompactPeer, Origin};
use crate::admission::Admission;
use crate::config::{Budgets, Limits, Outbound, Settings, Timeouts, WhenFull};
use crate::conn::{Pause, Phase};
use crate::context::{Spans, Stage};
use crate::id::{ConnId, LoopId};
use crate::limits::{ACCEPT_RETRY, TICK};
use crate::mailbox::{Mailbox, Signals};
use crate::network::Network;
use crate::remote::Remote;
use crate::time::{Tick, Ticks};
use crate::worker::WorkerPool;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Turns until everything must have come to rest.
const CALM_TURNS_MAX: usize = 20_000;

/// Turns without sleep and without anything happening.
const IDLE_TURNS_MAX: usize = 50;

/// Why a seed failed, and what happened until then.
pub(super) type Failure = (String, Vec<String>);

/// A course that came out right.
pub(super) struct Course {
    /// Frames that were handled.
    pub(super) handled: u64,
    /// What happened, if it was to be written down.
    pub(super) trace: Vec<String>,
}

/// The course of this seed.
pub(super) fn simulate(seed: u64, traced: bool) -> Result<Course, Failure> {
    let mut random = Random::new(seed);
    if random.percent(60) {
        Simulation::<true>::new(random, traced).run()
    } else {
        Simulation::<false>::new(random, traced).run()
    }
}

struct Simulation<const EXACT: bool> {
    reactor: Reactor<Application, SimulatedIo<EXACT>>,
    world: Rc<RefCell<World>>,
    shared: Arc<Shared>,
    pool: WorkerPool<super::application::Task>,
    admission: Admission,
    idle_turns: usize,
}

fn millis(count: usize) -> Duration {
    Duration::from_millis(count as u64)
}

fn rules(random: &mut Random) -> Rules {
    let low_water = random.pick(&[0, 100, 2000]);
    let high_water = low_water + random.pick(&[0, 200, 4000]);
    Rules {
        timeouts: Timeouts {
            connect: millis(random.between(100, 2000)),
            proxy_header: millis(random.between(100, 2000)),
            tls_handshake: Duration::from_secs(1),
            handshake: random.pick(&[Duration::MAX, Duration::MAX, millis(800)]),
            frame: millis(random.between(200, 3000)),
            idle: millis(random.between(500, 6000)),
            ping_after: random.pick(&[None, Some(millis(200)), Some(millis(1000))]),
            pong_within: millis(random.between(100, 2000)),
            write_stall: millis(random.between(300, 4000)),
            linger: millis(random.between(50, 1000)),
        },
        budgets: Budgets {
            reads: random.pick(&[1, 2, 16]),
            bytes: random.pick(&[1, 500, 256 * 1024]),
            frames: random.pick(&[1, 2, 128]),
            accepts: random.pick(&[1, 2, 64]),
            commands: random.pick(&[1, 3, 4096]),
        },
        outbound: Outbound {
            low_water,
            high_water,
            limit: high_water + random.pick(&[50, 3000, 100_000]),
            reply_reserve: random.pick(&[0, 1000, 50_000]),
            when_full: random.pick(&[
                WhenFull::Refuse,
                WhenFull::Refuse,
                WhenFull::Refuse,
                WhenFull::Close,
            ]),
        },
        connections: random.pick(&[2, 5, 100]),
        queued_bytes: random.pick(&[3000, 1 << 20, 1 << 20]),
        peers: random.between(1, 8),
        proxy_share: random.pick(&[0, 30, 100]),
        first_byte: random.percent(40),
    }
}

impl<const EXACT: bool> Simulation<EXACT> {
    fn new(mut random: Random, traced: bool) -> Self {
        let rules = rules(&mut random);
        let woken = Arc::new(AtomicBool::new(false));
        let wake = Arc::clone(&woken);
        let posts_max = random.pick(&[4, 20, 200]);
        let mailbox = Mailbox::new(posts_max, 10, move || wake.store(true, Ordering::Relaxed));
        let remote = Remote::new(vec![Arc::new(mailbox)]);
        let limits = Limits {
            connections: rules.connections,
            undecoded_bytes: random.pick(&[100, 1 << 20]),
            queued_bytes: rules.queued_bytes,
            tls_handshakes: 1,
        };
        let admission = Admission {
            per_source: random.pick(&[None, None, Some(3)]),
            rate: random.pick(&[None, None, Some(40)]),
            ..Admission::default()
        };
        let trusted = Network::new(IpAddr::from([127, 0, 0, 2]), 32);
        let listener = ListenerInfo {
            local: Address::Ip(SocketAddr::from(([127, 0, 0, 1], 1))),
            proxies: trusted.into_iter().collect(),
            proxied_always: false,
            tls: None,
            plain_too: rules.first_byte,
            own_user_only: false,
            tag: 0,
        };
        let shared = Arc::new(Shared::new(
            1,
            limits.connections,
            admission.clone(),
            vec![listener],
        ));
        let pool = WorkerPool::without_threads(random.between(1, 4), random.between(1, 3));
        let tick = random.pick(&[None, Some(millis(70))]);
        let world = Rc::new(RefCell::new(World {
            random,
            mood: Mood::Wild,
            now: Instant::now(),
            peers: Vec::new(),
            backlog: VecDeque::new(),
            listener: None,
            listener_event: false,
            exhausted: false,
            spare: false,
            stale: Vec::new(),
            woken,
            remote: Some(remote.clone()),
            timeout: Duration::ZERO,
            progress: 0,
            connections: Vec::new(),
            posts: Vec::new(),
            rules,
            stopping: false,
            draining: false,
            drain_deadline: None,
            failure: None,
            trace: traced.then(Vec::new),
        }));
        let mailbox = remote.mailbox(LoopId(0)).map(Arc::clone);
        let parts = Parts {
            loop_id: LoopId(0),
            io: SimulatedIo(Rc::clone(&world)),
            acceptor: Some(Acceptor::new(vec![((), Origin::listener(0))], false)),
            mailbox: mailbox.unwrap(),
            remote,
            shared: Arc::clone(&shared),
            handover: Arc::new(Handover::new(1)),
            observer: None,
            pool: Some(pool.clone()),
            settings: Settings::new(&rules.timeouts, rules.outbound),
            spans: Spans::new(&rules.timeouts),
            limits,
            budgets: rules.budgets,
            tick,
        };
        let application = Application(Rc::clone(&world));
        Self {
            reactor: Reactor::new(parts, application).unwrap(),
            world,
            shared,
            pool,
            admission,
            idle_turns: 0,
        }
    }

    fn run(mut self) -> Result<Course, Failure> {
        let course = catch_unwind(AssertUnwindSafe(|| self.go()));
        let stopped = course.is_ok();
        let Self { reactor, world, .. } = self;
        drop(reactor);
        let mut world = world.borrow_mut();
        world.check(stopped, || "a panic".to_owned());
        let leaked = world.peers.iter().any(|peer| peer.is_held());
        world.check(!leaked, || "a socket is left".to_owned());
        let handled = world
            .connections
            .iter()
            .map(|connection| u64::from(connection.next_in));
        let handled = handled.sum();
        let trace = world.trace.take().unwrap_or_default();
        match world.failure.take() {
            None => Ok(Course { handled, trace }),
            Some(why) => Err((why, trace)),
        }
    }

    /// The whole course; ends at the first failure.
    fn go(&mut self) -> Option<()> {
        let (turns, drain_at, stop_at) = {
            let random = &mut self.world.borrow_mut().random;
            let turns = random.between(20, 150);
            let at = |random: &mut Random, share| random.percent(share).then(|| random.below(turns));
            (turns, at(random, 12), at(random, 6))
        };
        for turn in 0..turns {
            if drain_at == Some(turn) {
                self.drain();
            }
            if stop_at == Some(turn) {
                return self.stop();
            }
            self.turn()?;
        }
        if self.world.borrow_mut().random.percent(25) {
            // Those who do not read now never will.
            return self.wait_for_none();
        }
        self.calm_down()?;
        self.world.borrow_mut().check_calm();
        let end = self.world.borrow_mut().random.below(4);
        match end {
            0 => {
                // Every peer goes.
                for peer in &mut self.world.borrow_mut().peers {
                    peer.end();
                }
                self.calm_down()?;
                self.post(Msg::CloseAll);
                self.calm_down()?;
            }
            1 => self.drain(),
            2 => return self.stop(),
            _ => {}
        }
        self.wait_for_none()
    }

    fn post(&self, msg: Msg) {
        let remote = self.world.borrow().remote.clone();
        let posted = remote.unwrap().post(LoopId(0), msg).is_ok();
        self.world
            .borrow_mut()
            .check(posted, || "the mailbox of a quiet loop is full".to_owned());
    }

    fn drain(&mut self) {
        let mut world = self.world.borrow_mut();
        let deadline = world.now + millis(world.random.below(3000));
        let spread = millis(world.random.pick(&[0, 500]));
        world.note(|| "drain".to_owned());
        self.shared.begin_drain(deadline, spread);
        world.draining = true;
        world.drain_deadline = Some(
            world
                .drain_deadline
                .map_or(deadline, |earlier| earlier.min(deadline)),
        );
        self.reactor.mailbox.signal(Signals::DRAIN);
    }

    /// Everybody finishes, and all comes to rest.
    fn calm_down(&mut self) -> Option<()> {
        {
            let mut world = self.world.borrow_mut();
            world.mood = Mood::Calm;
            world.exhausted = false;
            world.note(|| "calm".to_owned());
        }
        for _ in 0..100 {
            let paused = self.paused();
            let none_paused = paused.is_empty();
            self.rest()?;
            for serial in paused {
                self.post(Msg::Resume(serial));
            }
            if none_paused && self.pool.stats().queued == 0 {
                return Some(());
            }
        }
        self.world.borrow_mut().fail("a connection stays paused");
        None
    }

    /// Some connections that the application has paused.
    fn paused(&self) -> Vec<usize> {
        let world = self.world.borrow();
        let paused = world.connections.iter().enumerate();
        paused
            .filter(|(_, connection)| connection.paused && connection.is_open())
            .map(|(serial, _)| serial)
            .take(3)
            .collect()
    }

    /// Turns until nothing is left to do.
    fn rest(&mut self) -> Option<()> {
        for _ in 0..CALM_TURNS_MAX {
            let busy = {
                let world = self.world.borrow();
                let saying = world
                    .peers
                    .iter()
                    .any(|peer| peer.is_held() && !peer.to_send.is_empty() && !peer.ended && !peer.reset);
                let waiting = !world.backlog.is_empty() && world.listener.is_some();
                saying || waiting || world.has_events() || self.pool.stats().queued > 0
            };
            let progress = self.world.borrow().progress;
            self.turn()?;
            let world = self.world.borrow();
            if !busy && !world.timeout.is_zero() && world.progress == progress {
                return Some(());
            }
        }
        self.world.borrow_mut().fail("the loop comes to no rest");
        None
    }

    /// Nothing happens but deadlines, until every connection is gone.
    fn wait_for_none(&mut self) -> Option<()> {
        let end = {
            let mut world = self.world.borrow_mut();
            world.mood = Mood::Silent;
            world.backlog.clear();
            world.note(|| "silence".to_owned());
            world.now + Duration::from_secs(120)
        };
        while self.reactor.state.slots.len() > 0 {
            for serial in self.paused() {
                let remote = self.world.borrow().remote.clone();
                // If there is no room, then in the next turn.
                let _ = remote.map(|remote| remote.post(LoopId(0), Msg::Resume(serial)));
            }
            self.turn()?;
            let mut world = self.world.borrow_mut();
            let late = world.now > end;
            world.check(!late, || "a connection outlives all deadlines".to_owned());
        }
        self.turn()?;
        self.check_nothing_left();
        Some(())
    }

    fn stop(&mut self) -> Option<()> {
        self.hand_over(50);
        self.world.borrow_mut().stopping = true;
        self.world.borrow_mut().note(|| "stop".to_owned());
        self.reactor.mailbox.signal(Signals::STOP);
        let goes_on = self.reactor.turn().unwrap();
        let late = self
            .world
            .borrow()
            .connections
            .iter()
            .any(|connection| connection.stage != super::checks::Stage::Over);
        self.world.borrow_mut().check(!goes_on && !late, || {
            "a connection was not told that the loop stops".to_owned()
        });
        self.check_nothing_left();
        Some(())
    }

    fn check_nothing_left(&mut self) {
        let reactor = &self.reactor;
        let mut left = vec![
            ("connections", self.shared.connections()),
            ("slots", reactor.state.slots.len()),
            ("undecoded bytes", reactor.held_bytes),
            ("queued bytes", reactor.state.queued_bytes),
            ("handshakes", reactor.handshakes),
            ("links", reactor.links.iter().flatten().count()),
        ];
        left.extend((0..3).map(|group| ("group", reactor.state.groups.members(group).len())));
        let mut world = self.world.borrow_mut();
        left.push((
            "connections without an end",
            world
                .connections
                .iter()
                .filter(|connection| connection.stage != super::checks::Stage::Over)
                .count(),
        ));
        for (what, count) in left {
            world.check(count == 0, || format!("{count} {what} are left"));
        }
        if let Some(max) = self.admission.per_source {
            let source = IpAddr::from([127, 0, 0, 1]);
            let entered = (0..=max).filter(|_| self.shared.enter_source(source, world.now).is_ok());
            let entered = entered.count();
            world.check(entered == max, || {
                format!("the source has {} places left and not {max}", entered)
            });
        }
    }

    /// One turn of everything; `None` after a failure.
    fn turn(&mut self) -> Option<()> {
        self.world.borrow_mut().live();
        self.hand_over(4);
        self.run_tasks();
        let unserved = self.unserved();
        let before = self.world.borrow().now;
        let due = self.next_due();
        let deaf = {
            let world = self.world.borrow();
            !world.backlog.is_empty() && world.listener.is_some() && !world.listener_event
        };
        let (progress, posted) = {
            let mut world = self.world.borrow_mut();
            let wild = world.mood == Mood::Wild;
            let posts = wild && world.random.percent(15);
            (world.progress, posts && world.post())
        };
        let goes_on = self.reactor.turn().unwrap();
        let mut world = self.world.borrow_mut();
        world.check(goes_on, || "the loop has stopped".to_owned());
        let timeout = world.timeout;
        world.check(timeout.is_zero() || !posted, || {
            "it sleeps on a message".to_owned()
        });
        let late = due.is_some_and(|due| before + timeout > due.max(before) + 2 * TICK);
        world.check(!late, || format!("it sleeps {timeout:?} beyond a deadline"));
        if let (Some(why), false) = (unserved, timeout.is_zero()) {
            world.fail(format!("it sleeps {timeout:?}, but {why}"));
        }
        world.check(!deaf || timeout <= ACCEPT_RETRY, || {
            "nobody accepts any more".to_owned()
        });
        if timeout.is_zero() && world.progress == progress {
            self.idle_turns += 1;
        } else {
            self.idle_turns = 0;
        }
        let spins = self.idle_turns > IDLE_TURNS_MAX;
        world.check(!spins, || "it spins".to_owned());
        drop(world);
        self.check_inside();
        self.world.borrow().failure.is_none().then_some(())
    }

    /// Does what the accepting loop does with a connection for another one.
    fn hand_over(&mut self, share: usize) {
        let mut world = self.world.borrow_mut();
        let Some((stream, address)) = world.arrive_elsewhere(share) else {
            return;
        };
        let origin = Origin::listener(0);
        let listener = self.shared.listener(origin);
        let header = listener.is_some_and(|listener| listener.expects_header(&address));
        let mut peer = CompactPeer::new(&address, origin);
        if let (false, Some(ip)) = (header, address.ip()) {
            match self.shared.enter_source(ip, world.now) {
                Ok(counted) => peer.counted = counted,
                Err(_) => return,
            }
        }
        if !self.shared.enter(LoopId(0)) {
            return self.shared.leave_source(&peer, world.now);
        }
        let given = self.reactor.handover.give(LoopId(0), stream, peer);
        world.check(given.is_ok(), || "nothing can be handed over".to_owned());
        self.reactor.mailbox.signal(Signals::HANDOVER);
    }

    fn run_tasks(&mut self) {
        let world = &mut *self.world.borrow_mut();
        let count = match world.mood {
            Mood::Wild if world.random.percent(70) => 0,
            Mood::Wild => world.random.below(3),
            _ => usize::MAX,
        };
        let mut done = Vec::new();
        for _ in 0..count {
            if !self.pool.run_one(&mut done) {
                break;
            }
        }
        for task in &done {
            world.note_run(task);
        }
    }

    /// The next deadline of any connection.
    fn next_due(&mut self) -> Option<Instant> {
        let (mut from, mut first) = (0, Tick::NEVER);
        for _ in 0..self.reactor.state.slots.len() {
            let (id, _) = self.reactor.state.slots.first_from(from)?;
            from = id.index() + 1;
            let settings = &self.reactor.state.settings;
            let open = self.reactor.state.slots.get(id);
            let open = open.map(|slot| slot.next_deadline(settings));
            // What has failed is to be removed at once.
            let pending = self
                .reactor
                .state
                .slots
                .pending_mut(id)
                .map(|pending| match pending.failed {
                    Some(_) => Tick(0),
                    None => pending.deadline,
                });
            let due = open.or(pending);
            first = first.min(due.unwrap_or(Tick::NEVER));
        }
        (first != Tick::NEVER).then(|| self.reactor.start + first.to_elapsed())
    }

    /// Work that is there for the loop, for which no event will come.
    fn unserved(&mut self) -> Option<String> {
        let world = self.world.borrow();
        if !self.reactor.messages.is_empty() {
            return Some("messages wait".to_owned());
        }
        for (socket, peer) in world.peers.iter().enumerate() {
            let Some(id) = peer.token.filter(|_| peer.is_held()).map(ConnId::from_bits) else {
                continue;
            };
            let unread = !peer.incoming.is_empty() || peer.ended || peer.reset;
            if let Some(pending) = self.reactor.state.slots.pending_mut(id) {
                let waits = match pending.stage {
                    Stage::Header | Stage::FirstByte => unread && !peer.readable_event,
                    Stage::Connecting => (!peer.unconnected || peer.reset) && !peer.writable_event,
                    _ => false,
                };
                if waits {
                    return Some(format!("socket {socket} could be opened"));
                }
                continue;
            }
            let Some(slot) = self.reactor.state.slots.get(id) else {
                return Some(format!("socket {socket} belongs to nobody"));
            };
            let core = &slot.core;
            let paused = peer.serial.is_none_or(|serial| world.connections[serial].paused)
                || core.is_paused_by(Pause::Outbound)
                || core.is_paused_by(Pause::Workers);
            let reads = match core.phase() {
                Phase::Open => !paused,
                Phase::Lingering => true,
                Phase::Flushing | Phase::Closed => false,
            };
            if reads && unread && !core.end_seen() && !peer.readable_event {
                return Some(format!("socket {socket} could be read"));
            }
            if core.phase() == Phase::Open && !paused && core.has_undecoded() {
                return Some(format!("socket {socket} has frames"));
            }
            if core.wants_output() && peer.room > 0 && !peer.writable_event {
                return Some(format!("socket {socket} could be written to"));
            }
            if core.phase() == Phase::Flushing && core.queued_bytes() == 0 {
                return Some(format!("socket {socket} could be shut down"));
            }
        }
        None
    }

    /// What the reactor says of its connections agrees with itself and with what happened.
    fn check_inside(&mut self) {
        let mut world = self.world.borrow_mut();
        let reactor = &mut self.reactor;
        let settings = reactor.state.settings;
        // What is due already comes up at the next tick.
        let soon = reactor.state.tick.after(Ticks(1));
        let told = self.shared.drain().phase >= ServerPhase::Finishing;
        let (mut queued, mut held, mut from) = (0, 0, 0);
        // Counted, because looking for one more takes as long as all else.
        for _ in 0..reactor.state.slots.len() {
            let Some((id, open)) = reactor.state.slots.first_from(from) else {
                break;
            };
            from = id.index() + 1;
            let timer_at = reactor.state.slots.timer(id.index());
            if !open {
                let pending = reactor.state.slots.pending_mut(id);
                let timed = pending.is_some_and(|pending| timer_at <= pending.deadline.max(soon));
                let stirred = reactor.state.stirred.contains(&id);
                let draining = reactor.state.draining;
                world.check(!draining, || format!("{id} is still to be opened"));
                world.check(timed || stirred, || format!("{id} has no deadline"));
                continue;
            }
            let Some(slot) = reactor.state.slots.get(id) else {
                continue;
            };
            let core = &slot.core;
            queued += slot.queued_bytes as usize;
            held += slot.held_bytes as usize;
            if slot.touched {
                continue;
            }
            let serial = slot.conn;
            let connection = &world.connections[serial];
            let (now, open) = (world.now, connection.is_open() && core.phase() == Phase::Open);
            let limit = connection.limit + world.rules.outbound.reply_reserve;
            let low = core.queued_bytes() <= connection.low_water;
            let overdue = connection.timers.values().any(|at| *at + 3 * TICK < now);
            let application = core.is_paused_by(Pause::Application) == connection.paused;
            let outbound = core.is_paused_by(Pause::Outbound) && low;
            let workers = core.is_paused_by(Pause::Workers) && !slot.has_task();
            let faults = [
                (
                    slot.queued_bytes as usize != core.queued_bytes(),
                    "queued bytes not counted",
                ),
                (
                    slot.held_bytes as usize != core.held_bytes(),
                    "undecoded bytes not counted",
                ),
                (open && told && !connection.told_drain, "not told of the drain"),
                (core.queued_bytes() > limit, "too much queued"),
                (core.held_bytes() > HELD_BYTES_MAX, "too much held"),
                (
                    timer_at > slot.next_deadline(&settings).max(soon),
                    "no valid timer",
                ),
                (open && connection.wants_writable && low, "no on_writable"),
                (open && overdue, "no on_timer"),
                (open && !application, "pause of the application not kept"),
                (open && (outbound || workers), "paused for no reason"),
            ];
            for (fault, what) in faults {
                world.check(!fault, || format!("connection {serial}: {what}"));
            }
        }
        let late = reactor.state.draining && world.drain_deadline.is_some_and(|at| at <= world.now);
        world.check(!late || reactor.state.slots.len() == 0, || {
            "connections outlive the drain".to_owned()
        });
        let counted = self.shared.connections();
        let slots = reactor.state.slots.len();
        let max = world.rules.connections;
        world.check(queued == reactor.state.queued_bytes, || {
            format!(
                "{queued} bytes are queued, counted {}",
                reactor.state.queued_bytes
            )
        });
        world.check(held == reactor.held_bytes, || {
            format!("{held} bytes are held, counted {}", reactor.held_bytes)
        });
        world.check(counted == slots && slots <= max, || {
            format!("{slots} connections, {counted} counted, {max} allowed")
        });
    }
}
