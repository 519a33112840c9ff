//! The server on real sockets of the loopback interface.

// The allowance for tests does not reach helpers outside of test functions.
#![allow(clippy::unwrap_used)]

#[cfg(all(unix, feature = "activation"))]
mod activation;
mod descriptors;
mod drain;
mod ends;
mod exchange;
mod loops;
mod outbound;
mod support;
#[cfg(unix)]
mod unix;
