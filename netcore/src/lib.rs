#![cfg_attr(feature = "reactor", doc = include_str!("../README.md"))]
//! # Rules of the house
//!
//! - **Threads.** A handler value and its connections belong to one loop and are never shared; other threads
//!   reach them by messages, through [`Remote`]. Callbacks must not block: blocking work goes to a
//!   [`WorkerPool`].
//! - **Names.** A [`ConnId`] is never used for a second connection. Asking for a connection that is over gives
//!   `None`.
//! - **Memory.** Connections read into one buffer per loop and own memory only while a frame is incomplete or
//!   something is unwritten. Whatever is queued anywhere has a limit, and whoever meets it is told.
//! - **Writing.** Sends are queued and written once, at the end of a turn, in one system call per connection.
//! - **Backpressure.** A peer that does not read is not read from; a full worker pool stops the reading of
//!   those who feed it. While *we* do not read, the deadlines that wait for the peer stand still.
//!
//! Without the feature `reactor` (on by default) only the parts without sockets and threads are built:
//! [`codec`], [`conn`], [`wheel`] and what they need.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic))]

pub mod codec;
pub mod conn;
pub mod limits;
pub mod time;
pub mod wheel;

mod close;
mod config;

pub use close::{CloseHow, CloseReason, Initiator, Queued, SendError};
pub use config::{Budgets, Limits, Outbound, Settings, Timeouts};

#[cfg(feature = "reactor")]
mod builder;
#[cfg(feature = "reactor")]
mod context;
#[cfg(feature = "reactor")]
mod handler;
#[cfg(feature = "reactor")]
mod id;
#[cfg(feature = "reactor")]
mod mailbox;
#[cfg(feature = "reactor")]
mod reactor;
#[cfg(feature = "reactor")]
mod remote;
#[cfg(feature = "reactor")]
mod server;
#[cfg(feature = "reactor")]
mod worker;

#[cfg(feature = "reactor")]
pub use {
    builder::{Builder, Listen, StartError},
    context::{ConnCx, LoopCx},
    handler::{Eof, Flow, Handler, Peer, Reason, Refusal},
    id::{ConnId, LoopId},
    remote::{Permit, PostError, Remote, ReserveError},
    server::{DrainReport, Server},
    worker::{NoTask, PoolBuilder, PoolError, PoolStats, SubmitError, Task, WorkerPool},
};
