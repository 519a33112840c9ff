//! End-to-end tests: the real binaries through real sockets, and the rules of the repository.
//!
//! It owns what drives a daemon from outside and what judges the outcome. It must never link the daemon or the
//! store: what a test learns, any client could have learnt.

pub mod checker;
pub mod harness;
pub mod past;
pub mod random;
pub mod tidy;
