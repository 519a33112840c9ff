#![cfg_attr(feature = "reactor", doc = include_str!("../README.md"))]
//!
//! # Rules of the house
//!
//! - **Threads.** A handler value and its connections belong to one loop and are never shared; other threads
//!   reach them by messages, through [`Remote`]. Callbacks must not block: blocking work goes to a
//!   [`WorkerPool`].
//! - **Names.** A [`ConnId`] is never used for a second connection. Asking for a connection that is over gives
//!   `None`.
//! - **Memory.** Connections read into one buffer per loop and own memory only while a frame is incomplete or bytes are
//!   unwritten. A frame may lie in that buffer, so a handler copies what it keeps. Every queue has a limit, and a
//!   caller who meets it gets an error.
//! - **Writing.** Sends are queued and written in one system call per connection, at the end of the turn; long answers
//!   (1 KiB) as soon as the frames of their connection have been handled.
//! - **Backpressure.** A peer that does not read is not read from; a full worker pool stops reading from the
//!   connections that feed it. While *we* do not read, the deadlines that wait for the peer stand still.
//!
//! Without the feature `reactor` (on by default) only the parts without sockets and threads are built: [`codec`], and
//! for fuzzing the connection core, the PROXY parser and the timer wheel, which are no part of the interface.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic))]
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

pub mod codec;
#[doc(hidden)]
pub mod conn;
#[cfg(feature = "http")]
pub mod http;
pub mod limits;
#[doc(hidden)]
pub mod proxy;
#[doc(hidden)]
pub mod time;
#[cfg(feature = "http")]
pub mod websocket;
#[doc(hidden)]
pub mod wheel;

mod backoff;
mod close;
mod config;
mod network;

pub use backoff::Backoff;
pub use close::{CloseHow, CloseReason, Initiator, Queued, SendError};
pub use config::{Accept, Budgets, Limits, Outbound, Pinning, Settings, Timeouts, WhenFull};
pub use network::{InvalidNetwork, Network};

#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "tls")]
pub use rustls;
#[cfg(all(feature = "reactor", not(feature = "tls")))]
#[path = "tls_absent.rs"]
mod tls;

#[cfg(feature = "reactor")]
mod address;
#[cfg(feature = "reactor")]
mod admission;
#[cfg(feature = "reactor")]
mod builder;
#[cfg(feature = "reactor")]
mod context;
#[cfg(feature = "reactor")]
mod factory;
#[cfg(feature = "reactor")]
pub mod guide;
#[cfg(feature = "reactor")]
mod handler;
#[cfg(feature = "reactor")]
mod id;
#[cfg(feature = "reactor")]
mod listen;
#[cfg(feature = "reactor")]
mod mailbox;
#[cfg(feature = "reactor")]
mod observer;
#[cfg(feature = "reactor")]
mod reactor;
#[cfg(feature = "reactor")]
mod remote;
#[cfg(feature = "reactor")]
mod server;
#[cfg(feature = "reactor")]
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "reactor")]
mod worker;

#[cfg(feature = "reactor")]
pub use {
    address::{Address, Peer},
    admission::{Admission, Refused},
    builder::{Builder, StartError},
    context::{ConnCx, Connect, ConnectError, Delivery, LoopCx, TooManyGroups, TooManyTimers},
    factory::FactoryResult,
    handler::{Eof, Flow, Handler, Reason, Refusal},
    id::{ConnId, LoopId},
    listen::Listen,
    observer::{Counters, Observer, Totals, Turn},
    reactor::ServerPhase,
    remote::{HeldWakes, Permit, PostError, Remote, ReserveError},
    server::{Drain, DrainReport, Server},
    worker::{NoTask, PoolBuilder, PoolError, PoolStats, SubmitError, Task, WorkerPool},
};
