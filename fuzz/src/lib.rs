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
//! | [`http`] | however a stream is cut, it gives the same requests, whole and in pieces, and those that hyper reads |
//! | [`websocket`] | however a stream is cut, it gives the same messages, and those that tungstenite reads |
//! | [`doors`] | the first byte alone chooses the door, and however a stream is cut, the same comes through it |
//! | [`events`] | events arrive as they were sent, and however a stream is cut, it gives the same ones |
//! | [`round_trip`] | whatever decodes is the same after encoding and decoding, in both encodings |
//! | [`requests`] | what validation lets through respects every limit; what it does not is refused briefly |
//! | [`client_direction`] | a server's bytes cost a client what arrived; pages and raw pages are twins |

mod bodies;
mod client;
mod connection;
pub mod dictionary;
mod doors;
mod events;
mod http;
mod hyper;
mod input;
mod limits;
pub mod memory;
mod prefixed;
pub mod seeds;
mod stream;
mod websocket;

pub use bodies::{Bodies, Real, requests, requests_with, round_trip, round_trip_with};
pub use client::{client_direction, client_direction_with};
pub use connection::{Beating, Driven, conn_operations, conn_operations_with};
pub use doors::{doors, doors_with};
pub use events::{Written, events, events_with};
pub use http::{http, http_with};
pub use prefixed::{length_prefixed, length_prefixed_with};
pub use stream::{Bounds, codec, codec_with, frames_with, splits, splits_with};
pub use websocket::{websocket, websocket_with};

/// An oracle.
pub type Oracle = fn(&[u8]);

/// Every oracle, by the name of its target and its corpus.
pub const ORACLES: [(&str, Oracle); 11] = [
    ("client_direction", client_direction),
    ("codec", codec),
    ("conn_operations", conn_operations),
    ("doors", doors),
    ("events", events),
    ("http", http),
    ("length_prefixed", length_prefixed),
    ("requests", requests),
    ("round_trip", round_trip),
    ("splits", splits),
    ("websocket", websocket),
];
