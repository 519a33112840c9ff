//! A [`Handler`] in a loop without sockets, threads or a clock: the test is the peer, and moves time.
//!
//! The loop is the one that serves real sockets; only the operating system is replaced. So a test sees the deadlines,
//! limits and the order of callbacks of production, at once and every time the same.
//!
//! ```
//! use netcore::codec::LengthPrefixed;
//! use netcore::testing::Simulation;
//! use netcore::{ConnCx, Flow, Handler, NoTask, Peer, Refusal, Server};
//! use std::time::Duration;
//!
//! struct Echo;
//!
//! impl Handler for Echo {
//!     type Codec = LengthPrefixed;
//!     type Conn = ();
//!     type Msg = ();
//!     type Task = NoTask;
//!
//!     fn on_accept(&mut self, _peer: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
//!         Ok((LengthPrefixed::new(1024), ()))
//!     }
//!
//!     fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
//!         cx.send(frame).map_or(Flow::Close(1), |_| Flow::Continue)
//!     }
//! }
//!
//! let mut echo = Simulation::start(Server::builder(), |_loop, _remote| Echo)?;
//! let client = echo.connect();
//! echo.send(client, b"\0\0\0\x02hi");
//! assert_eq!(echo.received(client), b"\0\0\0\x02hi");
//!
//! // An hour of silence costs no time, and exceeds the idle limit.
//! echo.pass(Duration::from_secs(60 * 60));
//! assert!(echo.is_closed(client));
//! # Ok::<_, netcore::StartError>(())
//! ```

#![expect(clippy::panic, reason = "a test that cannot go on has failed")]

use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::address::{Address, Origin};
use crate::builder::{Builder, StartError};
use crate::factory::FactoryResult;
use crate::handler::Handler;
use crate::id::LoopId;
use crate::mailbox::{Mailbox, Signals};
use crate::reactor::world::{ScriptedIo, World};
use crate::reactor::{Acceptor, Handover, ListenerInfo, Reactor, Shared};
use crate::remote::Remote;

/// Turns of the loop that one call of the test may take; a loop that never rests is a mistake of the handler.
const TURNS_MAX: usize = 100_000;

/// The other end of a simulated connection.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SimulatedPeer(usize);

/// One event loop with a handler, driven by a test. Every method lets the loop turn until it has nothing more to do.
///
/// Of the builder's options, those of a single loop count: limits, timeouts, water marks, budgets, admission, tick,
/// observer and workers. Listeners and the number of loops do not. A worker pool has threads of its own, which are not
/// part of the simulation; [`Simulation::settle`] lets the loop take in their messages.
///
/// # Panics
/// All methods panic if the loop does not come to rest, and those with a peer if it belongs to another simulation.
pub struct Simulation<H: Handler> {
    reactor: Reactor<H, ScriptedIo>,
    world: Rc<RefCell<World>>,
    remote: Remote<H::Msg>,
    shared: Arc<Shared>,
    connects_seen: usize,
}

impl<H: Handler> fmt::Debug for Simulation<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

impl<H: Handler> Simulation<H> {
    /// Creates the handler and runs the first turn of its loop, with `on_start`.
    ///
    /// # Errors
    /// The factory could not create the handler.
    pub fn start<F, R>(builder: Builder<H>, make_handler: F) -> Result<Self, StartError>
    where
        F: FnOnce(LoopId, &Remote<H::Msg>) -> R,
        R: FactoryResult<H>,
    {
        let loop_id = LoopId(0);
        let world = World::new();
        let listener = ListenerInfo {
            local: Address::Ip(SocketAddr::from(([127, 0, 0, 1], 1))),
            proxies: Vec::new(),
            proxied_always: false,
            tls: None,
            plain_too: false,
            own_user_only: false,
            tag: 0,
        };
        let mut builder = builder.loops(1);
        let shared = Arc::new(builder.shared(vec![listener]));
        let mailbox = Arc::new(Mailbox::new(builder.posts, builder.reservations, || {}));
        let remote = Remote::new(vec![Arc::clone(&mailbox)]);
        let handler = make_handler(loop_id, &remote)
            .into_result()
            .map_err(|source| StartError::Handler { loop_id, source })?;
        let parts = builder.parts(
            loop_id,
            ScriptedIo(Rc::clone(&world)),
            Some(Acceptor::new(vec![((), Origin::listener(0))], false)),
            mailbox,
            remote.clone(),
            Arc::clone(&shared),
            Arc::new(Handover::new(1)),
        );
        let reactor = Reactor::new(parts, handler).map_err(|source| StartError::Loop { loop_id, source })?;
        let mut simulation = Self {
            reactor,
            world,
            remote,
            shared,
            connects_seen: 0,
        };
        simulation.settle();
        Ok(simulation)
    }

    /// A client connects. [`Simulation::is_closed`] tells whether the handler accepted it.
    pub fn connect(&mut self) -> SimulatedPeer {
        let socket = self.world.borrow_mut().connect();
        self.settle();
        SimulatedPeer(socket)
    }

    /// The peer sends bytes.
    pub fn send(&mut self, peer: SimulatedPeer, bytes: &[u8]) {
        self.world.borrow_mut().feed(peer.0, bytes);
        self.settle();
    }

    /// The bytes written to the peer since the last call.
    pub fn received(&mut self, peer: SimulatedPeer) -> Vec<u8> {
        std::mem::take(&mut self.world.borrow_mut().sockets[peer.0].written)
    }

    /// The peer takes this many bytes more, until the next call: 0 is a peer that does not read. `usize::MAX`, the
    /// initial value, is a peer that takes everything.
    pub fn take_at_most(&mut self, peer: SimulatedPeer, bytes: usize) {
        self.world.borrow_mut().make_room(peer.0, bytes);
        self.settle();
    }

    /// The peer finishes sending, and still reads.
    pub fn finish(&mut self, peer: SimulatedPeer) {
        self.world.borrow_mut().end(peer.0);
        self.settle();
    }

    /// The peer resets the connection, or refuses one that the handler makes.
    pub fn reset(&mut self, peer: SimulatedPeer) {
        self.world.borrow_mut().break_off(peer.0);
        self.settle();
    }

    /// The next connection that the handler began to make, with its destination. It is pending until
    /// [`Simulation::establish`] or [`Simulation::reset`].
    pub fn next_connect(&mut self) -> Option<(Address, SimulatedPeer)> {
        let next = self.world.borrow().connect_of(self.connects_seen)?;
        self.connects_seen += 1;
        Some((next.0, SimulatedPeer(next.1)))
    }

    /// Completes a connection that the handler makes.
    pub fn establish(&mut self, peer: SimulatedPeer) {
        let mut world = self.world.borrow_mut();
        world.sockets[peer.0].unconnected = false;
        world.announce(peer.0, false, true, false);
        drop(world);
        self.settle();
    }

    /// Whether the server has closed its end.
    #[must_use]
    pub fn is_closed(&self, peer: SimulatedPeer) -> bool {
        self.world.borrow().is_closed(peer.0)
    }

    /// Whether the server has finished sending, or closed its end.
    #[must_use]
    pub fn is_finished(&self, peer: SimulatedPeer) -> bool {
        let world = self.world.borrow();
        world.sockets[peer.0].shut_down || world.is_closed(peer.0)
    }

    /// Lets time pass; everything that becomes due happens in order.
    pub fn pass(&mut self, span: Duration) {
        let mut left = span;
        while !left.is_zero() {
            // Only as far as the loop would sleep, so that nothing happens too late.
            let asleep = self.world.borrow().sleep().unwrap_or(left);
            let step = asleep.clamp(Duration::from_millis(1), Duration::MAX).min(left);
            self.world.borrow_mut().pass(step);
            left -= step;
            self.settle();
        }
    }

    /// Lets the loop turn until it would sleep. Needed after a post through [`Simulation::remote`].
    pub fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            let quiet = self.world.borrow().events.is_empty();
            let goes_on = self.reactor.turn();
            assert!(
                matches!(goes_on, Ok(true)),
                "the simulated loop cannot be told to stop"
            );
            let slept = self.world.borrow().sleep().is_some_and(|span| !span.is_zero());
            if quiet && slept {
                return;
            }
        }
        panic!("the loop did not come to rest in {TURNS_MAX} turns");
    }

    /// The server begins to drain; connections that are left after `within` are aborted.
    pub fn drain(&mut self, within: Duration) {
        let deadline = self.world.borrow().now + within;
        self.shared.begin_drain(deadline, Duration::ZERO);
        for mailbox in self.remote.mailboxes() {
            mailbox.signal(Signals::DRAIN);
        }
        self.settle();
    }

    /// Posts to the loop, as other threads do; [`Simulation::settle`] then lets it take the messages.
    #[must_use]
    pub const fn remote(&self) -> &Remote<H::Msg> {
        &self.remote
    }

    /// The handler.
    pub const fn handler(&mut self) -> &mut H {
        self.reactor.handler()
    }

    /// The number of connections, including those that are closing.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections()
    }
}
