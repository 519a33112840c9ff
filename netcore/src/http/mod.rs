//! HTTP/1.1 without sockets: what decides, as functions of bytes.
//!
//! - [`Requests`] is a [codec](crate::codec::Codec) that hands out whole requests, [`Pieces`] one that hands out bodies
//!   as they come. They are strict: a request that two readers could understand in two ways is [refused](Refused), with
//!   the status to answer.
//! - [`Response`] is a value that is encoded in one allocation; [`Chunks`] writes a body of unknown length.
//! - [`events`] are server-sent events, [`field`] and [`forwarded`] understand values of headers,
//!   [`websocket`](crate::websocket) begins where a handshake ends.

mod chunk;
mod date;
mod error;
pub mod events;
pub mod field;
pub mod forwarded;
mod head;
mod limits;
mod pieces;
mod requests;
mod response;
mod scan;
mod status;

pub use date::Date;
pub use error::Refused;
pub(crate) use error::plain;
pub use head::{BodyLength, Head, Persistence, Version};
pub use limits::{
    CHUNK_FRAMING_BYTES_MAX, CHUNK_LINE_BYTES_MAX, HEADERS_MAX, RequestLimits, TRAILER_BYTES_MAX,
};
pub use pieces::{Piece, Pieces};
pub use requests::{Incoming, Request, Requests};
pub(crate) use response::get;
pub use response::{Body, CONTINUE, Chunks, InvalidHeader, Response};
pub use status::Status;
