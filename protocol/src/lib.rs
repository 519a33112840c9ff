//! The wire protocol of imserver: the 8-byte header and its codec, the messages of the schema, typed
//! requests over the command numbers, validation with limits, and the identities that both sides derive.
//!
//! It owns what bytes mean. It must never do I/O, read a clock, or draw randomness, and it compiles
//! without an event loop, so that clients and fuzzers stay small.
//!
//! A frame comes off the wire through [`FrameCodec`]; [`Request::decode`] turns its body into a typed and
//! [validated](validate) request; [`Reply`] and [`Push`] turn answers into frames again. The published
//! document of all this is `docs/PROTOCOL.md`. What a server's port takes besides frames is told apart by `door`, with the
//! feature `doors`.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod call;
mod command;
#[cfg(feature = "doors")]
pub mod door;
pub mod entries;
mod error;
mod frame;
mod identity;
mod json;
pub mod limits;
mod message;
pub mod names;
pub mod openapi;
mod redact;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
mod table;
pub mod text;
pub mod validate;

pub use call::{AppendCommand, Call};
pub use command::{Access, Command, Domain, Kind, UnknownCommand};
pub use error::{Blame, ERROR_MESSAGE_BYTES_MAX, Refusal};
pub use frame::{Frame, FrameCodec, FrameError, HEADER_BYTES, MessageType, Split};
pub use identity::{
    ClientMessageId, ConversationClass, ConversationId, USER_ID_MAX, direct_conversation, self_conversation,
};
pub use message::{Decode, Encoding, Push, RawEvent, RawPage, Reply, Request, encode_error, protobuf_frame};

/// The messages of the schema, as compiled from `proto/`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::use_self,
    clippy::or_fun_call,
    unreachable_pub,
    unused_qualifications,
    elided_lifetimes_in_paths
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/im.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/im.v1.serde.rs"));
}

/// The protocol version this crate speaks.
pub const VERSION: u32 = 1;

/// The first field of a `Hello`: the letters `IMS1`.
pub const MAGIC: u32 = 0x494D_5331;

/// A bit of [`v1::Hello::capabilities`] and [`v1::Welcome::capabilities`]: the answer to the sending of a message stands
/// for the message's event. The event is not pushed on this connection besides, and the answer comes in its place: after
/// what was pushed of earlier events of its conversation.
pub const CAPABILITY_ANSWER_IS_EVENT: u64 = 1;
