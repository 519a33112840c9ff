//! Oracles: functions that take any bytes at all and panic when the code under them breaks a promise.
//!
//! Each is run by a libFuzzer binary of the same name in `fuzz_targets/`, and over its corpus by the ordinary
//! tests. An oracle owns what must hold for every input. It must never depend on the time an input takes, on
//! randomness, or on what was run before it.
//!
//! | oracle | what must hold |
//! |---|---|
//! | [`codec`] | frames take no more than is there, cost what arrived, and are those that a naive reader finds |
//! | [`splits`] | however a stream is cut, it gives the same frames and the same error |
//! | [`length_prefixed`] | both, for netcore's own codec in any layout |
//! | [`conn_operations`] | whatever is done to a connection in whatever order, it holds little, loses nothing and ends |
//! | [`round_trip`] | whatever decodes is the same after encoding and decoding, in both encodings |
//! | [`requests`] | what validation lets through respects every limit; what it does not is refused briefly |
//! | [`client_direction`] | a server's bytes cost a client what arrived; pages and raw pages are twins |

mod bodies;
mod client;
mod connection;
pub mod dictionary;
mod input;
mod limits;
pub mod memory;
mod prefixed;
pub mod seeds;
mod stream;

pub use bodies::{Bodies, Real, requests, requests_with, round_trip, round_trip_with};
pub use client::{client_direction, client_direction_with};
pub use connection::{Beating, Driven, conn_operations, conn_operations_with};
pub use prefixed::{length_prefixed, length_prefixed_with};
pub use stream::{Bounds, codec, codec_with, frames_with, splits, splits_with};

/// An oracle.
pub type Oracle = fn(&[u8]);

/// Every oracle, by the name of its target and its corpus.
pub const ORACLES: [(&str, Oracle); 7] = [
    ("client_direction", client_direction),
    ("codec", codec),
    ("conn_operations", conn_operations),
    ("length_prefixed", length_prefixed),
    ("requests", requests),
    ("round_trip", round_trip),
    ("splits", splits),
];
