//! The server on real sockets of the loopback interface.

// The allowance for tests does not reach helpers outside of test functions.
#![allow(clippy::unwrap_used)]

mod descriptors;
mod ends;
mod exchange;
mod support;
