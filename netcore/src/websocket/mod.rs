//! WebSocket (RFC 6455) without sockets: what decides, as functions of bytes.
//!
//! A server answers the request of a client by [`handshake::check`], and from then on reads the connection with
//! [`Messages`], a [codec](crate::codec::Codec); [`Upgradable`] is one for both. What it sends to many it frames once, with [`encode`]: a frame of a
//! server is not masked, so it is the same for all. A client uses [`handshake::Request`], [`Decoder`] and
//! [`encode_masked`].
//!
//! Extensions are declined, `permessage-deflate` among them: it costs memory for each connection, and the time of the
//! server for each message.

mod close;
mod decoder;
mod encode;
mod frame;
pub mod handshake;
mod messages;
mod upgradable;

pub use close::{Close, CloseCode};
pub use decoder::{Decoder, Error, Message, MessageLimits};
pub use encode::{encode, encode_close, encode_masked, frame_header};
pub use frame::{CONTROL_BYTES_MAX, FrameHeader, HEADER_BYTES_MAX, Opcode};
pub use messages::Messages;
pub use upgradable::{Received, Unreadable, Upgradable};
