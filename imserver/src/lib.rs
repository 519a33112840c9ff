//! The daemon: sessions over the protocol, services over the store, delivery in between.
//!
//! The way of one message, in the order of the files: `gateway` takes a frame off a loop and asks the
//! `session` whether it may pass; `service` makes a write of it; the `lane` commits what has
//! queued up, answers, and has the `delivery` planner turn the new events into one frame for everybody,
//! which the loops write, or note as a head for whoever is behind.
//!
//! Invariants: nothing is acknowledged before its commit; loops, lane, workers and hashers never wait for
//! each other; every queue has a limit, and a full one refuses or pauses reading, in the open.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod admin;
pub mod certificates;
mod clock;
mod cluster;
pub mod command;
pub mod config;
mod control;
pub mod daemon;
mod delivery;
mod ending;
pub mod error;
mod gateway;
mod lane;
mod log_throttle;
pub mod logging;
pub mod memory;
mod message;
mod metrics;
mod observed;
mod presence;
mod principal;
mod publish;
mod reply;
mod request_id;
mod service;
mod session;
pub mod status;
pub mod stores;
pub mod systemd;
pub mod terminal;
mod token;
mod wire;
