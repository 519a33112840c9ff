//! How a frame is dressed for the way it takes: natively as it is, as a message of a WebSocket, as an event of a stream.
//! A push is dressed once for all receivers of a format.

use bytes::{BufMut, Bytes, BytesMut};
use netcore::{
    http::events::Block,
    websocket::{Opcode, frame_header},
};
use protocol::{Command, Encoding, HEADER_BYTES, MessageType, text};

/// Encoding and dress of everything that is sent on a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    /// Native frames, protobuf bodies.
    Protobuf,
    /// Native frames, JSON bodies.
    Json,
    /// A binary message of a WebSocket is a frame with a protobuf body.
    SocketProtobuf,
    /// A binary message of a WebSocket is a frame with a JSON body.
    SocketJson,
    /// A text message of a WebSocket is a frame as a text.
    SocketText,
    /// Server-sent events.
    Stream,
    /// Answers to calls over HTTP: frames with JSON bodies, which the gateway makes responses of. Nothing is pushed.
    Call,
}

/// Bytes that an event of a stream has beside its data, roughly.
const EVENT_AROUND_BYTES: usize = 48;

impl Format {
    /// Those in which frames are pushed.
    pub(crate) const PUSHED: [Self; 6] = [
        Self::Protobuf,
        Self::Json,
        Self::SocketProtobuf,
        Self::SocketJson,
        Self::SocketText,
        Self::Stream,
    ];

    /// The place among [`Format::PUSHED`]; `None` if nothing is pushed in this format.
    pub(crate) const fn pushed_index(self) -> Option<usize> {
        match self {
            Self::Protobuf => Some(0),
            Self::Json => Some(1),
            Self::SocketProtobuf => Some(2),
            Self::SocketJson => Some(3),
            Self::SocketText => Some(4),
            Self::Stream => Some(5),
            Self::Call => None,
        }
    }

    /// How bodies are written.
    pub(crate) const fn encoding(self) -> Encoding {
        match self {
            Self::Protobuf | Self::SocketProtobuf => Encoding::Protobuf,
            Self::Json | Self::SocketJson | Self::SocketText | Self::Stream | Self::Call => Encoding::Json,
        }
    }

    /// The format of a connection that said hello with this body. A text is JSON in any case.
    pub(crate) fn greeted(self, hello: &[u8]) -> Self {
        match (self, Encoding::of_hello(hello)) {
            (Self::Protobuf | Self::Json, Encoding::Protobuf) => Self::Protobuf,
            (Self::Protobuf | Self::Json, Encoding::Json) => Self::Json,
            (Self::SocketProtobuf | Self::SocketJson, Encoding::Protobuf) => Self::SocketProtobuf,
            (Self::SocketProtobuf | Self::SocketJson, Encoding::Json) => Self::SocketJson,
            (other @ (Self::SocketText | Self::Stream | Self::Call), _) => other,
        }
    }

    /// Whether frames are messages of a WebSocket.
    pub(crate) const fn is_socket(self) -> bool {
        matches!(self, Self::SocketProtobuf | Self::SocketJson | Self::SocketText)
    }

    /// Dresses a whole frame whose body is written in this format's encoding.
    #[inline]
    pub(crate) fn dress(self, frame: Bytes) -> Bytes {
        match self {
            Self::Protobuf | Self::Json | Self::Call => frame,
            Self::SocketProtobuf | Self::SocketJson => message(Opcode::Binary, &frame),
            Self::SocketText => as_text(&frame),
            Self::Stream => as_event(&frame),
        }
    }
}

/// One frame of a WebSocket that is a whole message.
fn message(opcode: Opcode, payload: &[u8]) -> Bytes {
    let header = frame_header(opcode, payload.len());
    let header = header.as_bytes();
    let mut bytes = Vec::with_capacity(header.len() + payload.len());
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(payload);
    bytes.into()
}

fn as_text(frame: &[u8]) -> Bytes {
    let mut text = Vec::new();
    // What is sent was made here: it is a frame.
    let _ = text::put_text(frame, &mut text);
    message(Opcode::Text, &text)
}

/// An event named after the frame's command, with the body as its data.
fn as_event(frame: &[u8]) -> Bytes {
    let (kind, body) =
        text::parts(frame).map_or((MessageType::ERROR, &b"{}"[..]), |(kind, _, body)| (kind, body));
    let event = if kind == MessageType::ERROR {
        "error"
    } else {
        Command::from_number(kind.command()).map_or("error", Command::name)
    };
    let mut bytes = BytesMut::with_capacity(frame.len() + EVENT_AROUND_BYTES - HEADER_BYTES);
    let block = Block {
        event: Some(event),
        data: Some(std::str::from_utf8(body).unwrap_or_default()),
        ..Block::default()
    };
    // Names of commands have no line ends.
    if block.encode(&mut bytes).is_err() {
        bytes.put_slice(b"\n");
    }
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use netcore::{
        codec::Decoded,
        http::events,
        websocket::{Decoder, Message, MessageLimits},
    };
    use protocol::{Push, v1};

    use super::{Encoding, Format};

    #[test]
    fn every_format_is_pushed_in_its_place() {
        for (index, format) in Format::PUSHED.into_iter().enumerate() {
            assert_eq!(format.pushed_index(), Some(index));
        }
        assert_eq!(Format::Call.pushed_index(), None);
    }

    #[test]
    fn a_frame_is_dressed_for_its_way() {
        let push = Push::GoAway(v1::GoAway {
            message: "bye\nbye".to_owned(),
            ..v1::GoAway::default()
        });
        let dressed = |format: Format| format.dress(push.to_bytes(format.encoding()));
        for format in [Format::Protobuf, Format::Json, Format::Call] {
            assert_eq!(dressed(format), push.to_bytes(format.encoding()));
        }
        let message = |format| {
            let mut client = Decoder::client(MessageLimits::default());
            match client.decode(&dressed(format)) {
                Ok(Decoded::Frame { frame, .. }) => frame,
                other => panic!("no message: {other:?}"),
            }
        };
        for format in [Format::SocketProtobuf, Format::SocketJson] {
            assert_eq!(message(format), Message::Binary(push.to_bytes(format.encoding())));
        }
        let text = r#"{"type":"go_away","body":{"message":"bye\nbye"}}"#;
        assert_eq!(message(Format::SocketText), Message::Text(text.into()));
        let mut seen = Vec::new();
        events::Decoder::new(1_000)
            .feed(&dressed(Format::Stream), |event| {
                seen.push((event.event, event.data))
            })
            .expect("short");
        assert_eq!(
            seen,
            [("go_away".to_owned(), r#"{"message":"bye\nbye"}"#.to_owned())]
        );
    }

    #[test]
    fn a_hello_decides_the_encoding_and_not_the_way() {
        for (before, binary, json) in [
            (Format::Protobuf, Format::Protobuf, Format::Json),
            (Format::SocketProtobuf, Format::SocketProtobuf, Format::SocketJson),
            (Format::SocketText, Format::SocketText, Format::SocketText),
        ] {
            assert_eq!(before.greeted(b"\x0d1SMI"), binary);
            assert_eq!(before.greeted(b"{}"), json);
            assert_eq!(before.greeted(b"{}").encoding(), Encoding::Json);
        }
    }
}
