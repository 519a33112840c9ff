//! The native client of imserver: a connection that keeps itself alive, sends that are applied exactly once,
//! and a device that stays in step with the log.
//!
//! It owns the client's side of the protocol, from the socket up to "apply this event". It must never
//! repeat a request of unknown outcome under another client id, and never let a cursor pass an event that
//! was not applied.
//!
//! | module | what it is | I/O |
//! |---|---|---|
//! | [`link`] | one connection over its life: greeting, requests, heartbeat, coming back | none |
//! | [`sync`] | cursors, gaps, tokens: what to apply, pull and store | none |
//! | [`unread`] | messages that were not read, by the formula of the protocol | none |
//! | [`backoff`], [`retry`] | when to try again | none |
//! | [`ServerAddress`], [`Trust`] | which servers there are, and how they prove who they are | none |
//! | [`Client`] | the above over a TCP socket, with TLS if asked for, and threads of its own | socket, threads |
//! | [`Device`] | a client and a sync machine, driven by the program's thread | through `Client` |
//! | [`store`] | a profile directory: session, cursors, cached names | files |
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

pub mod backoff;
mod client;
mod device;
mod error;
pub mod link;
mod random;
pub mod retry;
mod servers;
pub mod store;
mod stream;
pub mod sync;
mod transport;
mod trust;
pub mod unread;

pub use client::{ATTEMPT_TIMEOUT, Client, EVENTS_MAX, Events, Options};
pub use device::{Device, Update};
pub use error::{Ending, Error, Outcome};
pub use random::new_client_id;
pub use servers::{OUT_OF_REACH, ServerAddress};
pub use trust::{Pin, Trust};

/// The examples of the readme compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct ReadmeExamples;
