//! TLS on real sockets of the loopback interface, with rustls' own client at the other end.

// The allowance for tests does not reach helpers outside of test functions.
#![allow(clippy::unwrap_used, clippy::unwrap_in_result)]

mod certificates;
mod either;
mod handshakes;
mod streams;
mod support;
