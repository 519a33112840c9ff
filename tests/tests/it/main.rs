//! The real daemon and the real client through real sockets. Every test has a daemon of its own.

// The allowance for tests does not reach helpers outside of test functions.
#![allow(clippy::unwrap_used)]

mod bench;
mod chat;
mod cluster;
mod delivery;
mod disaster;
mod document;
mod doors;
mod errors;
mod hostile;
mod im;
mod matrix;
mod metrics;
mod openapi;
mod past;
mod pipelined;
mod restart;
mod running;
mod session;
mod starting;
mod terminal;
mod tls;
mod torture;
mod traffic;
