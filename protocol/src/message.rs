//! Typed requests, replies and pushes over frames: which message a command's body holds, in either
//! encoding.

use bytes::Bytes;
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    command::Command,
    error::Refusal,
    frame::{self, Frame, HEADER_BYTES, MessageType},
    json,
    table::table,
    v1::{self, ErrorCode},
};

/// How bodies are written on a connection; the hello decides.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Encoding {
    /// Protocol buffers.
    #[default]
    Protobuf,
    /// JSON of the same messages, 64-bit numbers as strings.
    Json,
}

impl Encoding {
    /// What a hello's first byte says.
    pub fn of_hello(body: &[u8]) -> Self {
        if body.first() == Some(&b'{') {
            Self::Json
        } else {
            Self::Protobuf
        }
    }

    /// Writes a message.
    pub fn encode<M: Message + Serialize>(self, message: &M) -> Bytes {
        match self {
            Self::Protobuf => message.encode_to_vec().into(),
            // Strings, numbers and maps with string keys, and enumerations are open: nothing here can fail.
            Self::Json => serde_json::to_vec(message).unwrap_or_default().into(),
        }
    }

    /// Writes a whole frame, header and body.
    pub fn encode_frame<M: Message + Serialize>(self, kind: MessageType, seq: u16, message: &M) -> Bytes {
        match self {
            Self::Protobuf => protobuf_frame(kind, seq, message),
            Self::Json => frame::in_one_piece(kind, seq, &self.encode(message)),
        }
    }

    /// Reads a message. An empty JSON body is an empty message, as it is in protobuf.
    ///
    /// # Errors
    /// [`ErrorCode::Invalid`] when the bytes are not such a message.
    pub fn decode<M: Message + DeserializeOwned + Default>(self, body: Bytes) -> Result<M, Refusal> {
        match self {
            Self::Protobuf => {
                M::decode(body).map_err(|error| Refusal::new(ErrorCode::Invalid, error.to_string()))
            }
            Self::Json if body.is_empty() => Ok(M::default()),
            Self::Json => serde_json::from_slice(&body)
                .map_err(|error| Refusal::invalid(&json::field_to_blame::<M>(&body), error.to_string())),
        }
    }
}

/// A whole frame with a protobuf body: one allocation, and no copy of the body. For [`RawPage`] and its like, which
/// have no JSON.
pub fn protobuf_frame(kind: MessageType, seq: u16, message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    // A vector and not `BytesMut`, which takes several times as long for each byte that is put.
    let mut bytes = Vec::with_capacity(HEADER_BYTES.saturating_add(length));
    frame::put_header(&mut bytes, length, kind, seq);
    message.encode_raw(&mut bytes);
    bytes.into()
}

/// Decoding with a type chosen by the command.
pub trait Decode: Sized {
    /// Reads the body of a frame of `command`.
    ///
    /// # Errors
    /// A refusal to send back, or to report: the body is no such message, or the command has none here.
    fn decode(command: Command, encoding: Encoding, body: Bytes) -> Result<Self, Refusal>;
}

macro_rules! bodies {
    ($(#[$doc:meta])* $enum:ident { $($command:ident($type:ident),)* } not { $($other:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        // A body lives on the stack between a frame and its handler: a box would cost more than it saves.
        #[allow(missing_docs, clippy::large_enum_variant)]
        pub enum $enum { $($command(v1::$type),)* }

        impl $enum {
            /// The command whose body this is.
            pub const fn command(&self) -> Command {
                match self { $(Self::$command(_) => Command::$command,)* }
            }

            /// The body in bytes.
            pub fn encode(&self, encoding: Encoding) -> Bytes {
                match self { $(Self::$command(message) => encoding.encode(message),)* }
            }

            fn encode_frame(&self, encoding: Encoding, kind: MessageType, seq: u16) -> Bytes {
                match self { $(Self::$command(message) => encoding.encode_frame(kind, seq, message),)* }
            }
        }

        impl Decode for $enum {
            fn decode(command: Command, encoding: Encoding, body: Bytes) -> Result<Self, Refusal> {
                match command {
                    $(Command::$command => Ok(Self::$command(encoding.decode(body)?)),)*
                    $(Command::$other => Err(wrong_direction(command)),)*
                }
            }
        }
    };
}

macro_rules! bodies_of_the_table {
    ($(
        $(#[$domain_doc:meta])* $domain:ident = $first:literal {
            requests { $(
                $(#[$doc:meta])* $name:ident = $number:literal, $text:literal:
                $request:ident => $response:ident, $kind:ident, $access:ident;
            )* }
            pushes { $($(#[$push_doc:meta])* $push:ident = $push_number:literal, $push_text:literal: $message:ident;)* }
        }
    )*) => {
        bodies! {
            /// A request, typed.
            Request { $($($name($request),)*)* } not { $($($push,)*)* }
        }

        bodies! {
            /// The answer to a request that was not refused, typed.
            Reply { $($($name($response),)*)* } not { $($($push,)*)* }
        }

        bodies! {
            /// What the server starts by itself, typed.
            Push { $($($push($message),)*)* } not { $($($name,)*)* }
        }
    };
}

table!(bodies_of_the_table);

fn wrong_direction(command: Command) -> Refusal {
    Refusal::new(
        ErrorCode::Protocol,
        format!("{} is not for this direction", command.name()),
    )
}

impl Request {
    /// The frame of this request.
    pub fn to_frame(&self, encoding: Encoding, seq: u16) -> Frame {
        Frame {
            kind: MessageType::request(self.command().number()),
            seq,
            body: self.encode(encoding),
        }
    }

    /// The bytes of that frame.
    pub fn to_bytes(&self, encoding: Encoding, seq: u16) -> Bytes {
        self.encode_frame(encoding, MessageType::request(self.command().number()), seq)
    }
}

impl Reply {
    /// The frame that answers request `seq`.
    pub fn to_frame(&self, encoding: Encoding, seq: u16) -> Frame {
        Frame {
            kind: MessageType::response(self.command().number()),
            seq,
            body: self.encode(encoding),
        }
    }

    /// The bytes of that frame.
    pub fn to_bytes(&self, encoding: Encoding, seq: u16) -> Bytes {
        self.encode_frame(encoding, MessageType::response(self.command().number()), seq)
    }
}

impl Push {
    /// The frame of this push; its `seq` is 0.
    pub fn to_frame(&self, encoding: Encoding) -> Frame {
        Frame {
            kind: MessageType::request(self.command().number()),
            seq: 0,
            body: self.encode(encoding),
        }
    }

    /// The bytes of that frame.
    pub fn to_bytes(&self, encoding: Encoding) -> Bytes {
        self.encode_frame(encoding, MessageType::request(self.command().number()), 0)
    }
}

/// The frame that refuses request `seq`; `seq` 0 says why the server is about to close.
pub fn encode_error(refusal: &Refusal, encoding: Encoding, seq: u16) -> Frame {
    Frame {
        kind: MessageType::ERROR,
        seq,
        body: encoding.encode(&refusal.0),
    }
}

/// [`v1::Event`] with its body still encoded: the same bytes on the wire, without taking the stored body
/// apart. Tags are those of the schema; a test compares the two.
#[derive(Clone, PartialEq, Message)]
pub struct RawEvent {
    /// See [`v1::Event`], as for every field here.
    #[prost(uint64, tag = "1")]
    pub conversation_id: u64,
    /// Position in the conversation.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// Displayable messages up to here.
    #[prost(uint64, tag = "3")]
    pub ordinal: u64,
    /// Newest membership event.
    #[prost(uint64, tag = "4")]
    pub roster: u64,
    /// Who.
    #[prost(uint64, tag = "5")]
    pub sender_id: u64,
    /// When, by the server's clock.
    #[prost(uint64, tag = "6")]
    pub sent_at_ms: u64,
    /// [`v1::EventKind`] as a number.
    #[prost(int32, tag = "7")]
    pub kind: i32,
    /// The event this one is about.
    #[prost(uint64, tag = "8")]
    pub target_seq: u64,
    /// The request that made it.
    #[prost(bytes = "vec", tag = "9")]
    pub client_msg_id: Vec<u8>,
    /// An encoded [`v1::EventBody`]; absent when it was erased.
    #[prost(bytes = "bytes", optional, tag = "10")]
    pub body: Option<Bytes>,
    /// Erased by a recall.
    #[prost(bool, tag = "11")]
    pub recalled: bool,
    /// Past its time.
    #[prost(bool, tag = "12")]
    pub expired: bool,
    /// Newest edit.
    #[prost(message, optional, tag = "13")]
    pub revision: Option<v1::Revision>,
    /// Reactions to it.
    #[prost(message, repeated, tag = "14")]
    pub reactions: Vec<v1::ReactionState>,
    /// How many there are in all.
    #[prost(uint32, tag = "15")]
    pub reactions_total: u32,
}

/// [`v1::Page`] of [`RawEvent`]s.
#[derive(Clone, PartialEq, Message)]
pub struct RawPage {
    /// See [`v1::Page`], as for every field here.
    #[prost(uint64, tag = "1")]
    pub conversation_id: u64,
    /// Epoch of the seqs.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// First seq this page speaks for.
    #[prost(uint64, tag = "3")]
    pub from_seq: u64,
    /// Last seq this page speaks for.
    #[prost(uint64, tag = "4")]
    pub to_seq: u64,
    /// The visible events in between.
    #[prost(message, repeated, tag = "5")]
    pub events: Vec<RawEvent>,
    /// Last visible seq.
    #[prost(uint64, tag = "6")]
    pub head_seq: u64,
}

impl RawPage {
    /// The same page with its bodies taken apart. A stored body that does not decode becomes an absent
    /// one: it was written by this crate, so that is damage, and the rest of the event is still good.
    pub fn to_page(&self) -> v1::Page {
        v1::Page {
            conversation_id: self.conversation_id,
            epoch: self.epoch,
            from_seq: self.from_seq,
            to_seq: self.to_seq,
            events: self.events.iter().map(RawEvent::to_event).collect(),
            head_seq: self.head_seq,
        }
    }
}

impl RawEvent {
    fn to_event(&self) -> v1::Event {
        v1::Event {
            conversation_id: self.conversation_id,
            seq: self.seq,
            ordinal: self.ordinal,
            roster: self.roster,
            sender_id: self.sender_id,
            sent_at_ms: self.sent_at_ms,
            kind: self.kind,
            target_seq: self.target_seq,
            client_msg_id: self.client_msg_id.clone().into(),
            body: self
                .body
                .clone()
                .and_then(|body| v1::EventBody::decode(body).ok()),
            recalled: self.recalled,
            expired: self.expired,
            revision: self.revision.clone(),
            reactions: self.reactions.clone(),
            reactions_total: self.reactions_total,
        }
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
