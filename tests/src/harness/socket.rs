//! A client of the WebSocket, written for these tests alone: what it makes of bytes is checked by nobody's library but
//! RFC 6455. It must never answer on its own.

#![expect(
    clippy::unwrap_in_result,
    reason = "what is not as it should be fails the test; an error is what the daemon refused"
)]

use std::{
    collections::VecDeque,
    net::{SocketAddr, TcpStream},
};

use bytes::{Bytes, BytesMut};
use protocol::{Call, Command, Decode, Encoding, Frame, FrameCodec, MessageType, Push, Reply, Split, v1};
use serde_json::{Value, json};

use super::{PATIENCE, Response, Web, bytes_in::BytesIn, hello};

/// Opcodes.
pub mod opcode {
    /// Goes on with the message before.
    pub const CONTINUATION: u8 = 0;
    /// A text.
    pub const TEXT: u8 = 1;
    /// A binary message.
    pub const BINARY: u8 = 2;
    /// The end.
    pub const CLOSE: u8 = 8;
    /// A question for life.
    pub const PING: u8 = 9;
    /// Its answer.
    pub const PONG: u8 = 10;
}

/// The key of every handshake, and its answer: those of RFC 6455, 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPTED: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// What masks.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A WebSocket. Blocking; dropped, it is closed without a word.
#[derive(Debug)]
pub struct Socket {
    bytes: BytesIn,
    next_seq: u16,
    /// Pushes that came while an answer was waited for.
    kept: VecDeque<Message>,
    /// How the bodies of binary messages are written.
    pub encoding: Encoding,
}

/// A message that came.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A text: a frame as JSON.
    Text(Value),
    /// A binary message: one whole frame.
    Frame(Frame),
    /// The answer to a ping.
    Pong(Vec<u8>),
    /// The server ends it, and says why.
    Close(u16, String),
    /// The connection is closed.
    End,
}

impl Socket {
    /// Opens one.
    ///
    /// # Panics
    /// It is refused, as every method here panics when what is asked for does not come about.
    #[track_caller]
    pub fn open(address: SocketAddr) -> Self {
        match Self::try_open(address, &[]) {
            Ok(socket) => socket,
            Err(response) => panic!("refused: {response:?}"),
        }
    }

    /// Opens one with further headers.
    ///
    /// # Errors
    /// It is refused with this response.
    #[track_caller]
    pub fn try_open(address: SocketAddr, headers: &[(&str, &str)]) -> Result<Self, Box<Response>> {
        Self::upgrade(Web::to(address), headers)
    }

    /// Makes one of a connection over HTTP, with further headers.
    ///
    /// # Errors
    /// It is refused with this response.
    #[track_caller]
    pub fn upgrade(mut web: Web, headers: &[(&str, &str)]) -> Result<Self, Box<Response>> {
        let mut all = vec![
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", KEY),
        ];
        all.extend(headers);
        let bytes = web.request_bytes("GET", "/v1/socket", &all, b"");
        web.write(bytes);
        let response = web.response_to("GET");
        if response.status != 101 {
            return Err(Box::new(response));
        }
        assert_eq!(response.header("sec-websocket-accept"), Some(ACCEPTED));
        Ok(Self {
            bytes: web.into_bytes(),
            next_seq: 1,
            kept: VecDeque::new(),
            encoding: Encoding::Protobuf,
        })
    }

    /// The socket itself.
    pub const fn stream(&self) -> &TcpStream {
        self.bytes.stream()
    }

    // ---- sending ----------------------------------------------------------------------------------

    /// Writes bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        self.bytes.write(bytes).expect("the daemon reads");
    }

    /// Writes bytes, if the other side is still there.
    ///
    /// # Errors
    /// It is not.
    pub fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.bytes.write(bytes)
    }

    /// Writes one frame of the WebSocket.
    pub fn send(&mut self, is_last: bool, opcode: u8, payload: &[u8]) {
        self.write(&masked(is_last, opcode, payload));
    }

    /// Writes a text.
    pub fn text(&mut self, text: &str) {
        self.send(true, opcode::TEXT, text.as_bytes());
    }

    /// Writes a request as a binary message, and returns its seq.
    pub fn submit(&mut self, call: impl Call) -> u16 {
        let seq = self.take_seq();
        let mut bytes = BytesMut::new();
        let frame = call.into_request().to_frame(self.encoding, seq);
        frame.encode(&mut bytes).expect("a frame");
        self.send(true, opcode::BINARY, &bytes);
        seq
    }

    /// Writes a request as a text, and returns its seq.
    pub fn submit_text(&mut self, call: impl Call) -> u16 {
        let seq = self.take_seq();
        let request = call.into_request();
        let body = request.to_frame(Encoding::Json, seq).body;
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        self.text(&json!({"type": request.command().name(), "seq": seq, "body": body}).to_string());
        seq
    }

    const fn take_seq(&mut self) -> u16 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }

    // ---- receiving --------------------------------------------------------------------------------

    /// The next message.
    #[track_caller]
    pub fn message(&mut self) -> Message {
        match self.kept.pop_front() {
            Some(message) => message,
            None => self.received(),
        }
    }

    /// The next message that is no push; pushes before it are kept.
    #[track_caller]
    fn no_push(&mut self) -> Message {
        loop {
            let message = self.received();
            let is_push = match &message {
                Message::Text(text) => text.get("seq").is_none() && text["type"] != "error",
                Message::Frame(frame) => frame.seq == 0 && frame.kind != MessageType::ERROR,
                Message::Pong(_) | Message::Close(..) | Message::End => false,
            };
            if !is_push {
                return message;
            }
            self.kept.push_back(message);
        }
    }

    #[track_caller]
    fn received(&mut self) -> Message {
        loop {
            if let Some((opcode, payload)) = self.frame() {
                return taken(opcode, payload);
            }
            if self.bytes.has_ended() {
                assert!(self.bytes.unread().is_empty(), "it ended within a frame");
                return Message::End;
            }
            let came = self.bytes.more(PATIENCE);
            assert!(came || self.bytes.has_ended(), "nothing came within {PATIENCE:?}");
        }
    }

    /// A whole frame. A server masks nothing, and sends each message as one frame.
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let unread = self.bytes.unread();
        let (first, second) = (*unread.first()?, *unread.get(1)?);
        assert_eq!(
            first & 0xf0,
            0x80,
            "the last frame of a message, without extensions"
        );
        assert_eq!(second & 0x80, 0, "a server masks nothing");
        let (head, length) = match second {
            126 => (
                4,
                usize::from(u16::from_be_bytes(*unread.get(2..)?.first_chunk()?)),
            ),
            127 => {
                let length = u64::from_be_bytes(*unread.get(2..)?.first_chunk()?);
                (10, usize::try_from(length).expect("a length"))
            }
            length => (2, usize::from(length)),
        };
        if unread.len() < head + length {
            return None;
        }
        let mut frame = self.bytes.take(head + length);
        Some((first & 0x0f, frame.split_off(head)))
    }

    /// The next message, which is a text.
    #[track_caller]
    pub fn next_text(&mut self) -> Value {
        match self.message() {
            Message::Text(text) => text,
            other => panic!("a text was expected, not {other:?}"),
        }
    }

    /// The next message, which closes; then the connection is closed.
    #[track_caller]
    pub fn closed(&mut self) -> (u16, String) {
        match self.message() {
            Message::Close(code, reason) => {
                assert_eq!(self.message(), Message::End);
                (code, reason)
            }
            other => panic!("a close was expected, not {other:?}"),
        }
    }

    /// The next message, which is the answer to the binary request `seq` of this type.
    ///
    /// # Errors
    /// The refusal.
    #[track_caller]
    pub fn answer<C: Call>(&mut self, seq: u16) -> Result<C::Response, v1::Error> {
        match self.no_push() {
            Message::Frame(frame) => {
                assert_eq!(frame.seq, seq, "{frame:?}");
                if frame.kind == MessageType::ERROR {
                    return Err(self.encoding.decode(frame.body).expect("an error"));
                }
                let reply = Reply::decode(C::COMMAND, self.encoding, frame.body).expect("its reply");
                Ok(C::response(reply).unwrap_or_else(|other| panic!("answered with {other:?}")))
            }
            other => panic!("an answer was expected, not {other:?}"),
        }
    }

    /// Asks in a binary message; pushes that come before the answer are kept.
    ///
    /// # Errors
    /// The refusal.
    #[track_caller]
    pub fn ask<C: Call>(&mut self, call: C) -> Result<C::Response, v1::Error> {
        let seq = self.submit(call);
        self.answer::<C>(seq)
    }

    /// Asks in a text; pushes that come before the answer are kept.
    ///
    /// # Errors
    /// The refusal.
    #[track_caller]
    pub fn ask_text<C: Call>(&mut self, call: C) -> Result<C::Response, v1::Error> {
        let seq = self.submit_text(call);
        let text = match self.no_push() {
            Message::Text(text) => text,
            other => panic!("a text was expected, not {other:?}"),
        };
        assert_eq!(text["seq"], seq, "{text}");
        if text["type"] == "error" {
            return Err(decoded(&text["error"]));
        }
        assert_eq!(
            (&text["type"], &text["answer"]),
            (&C::COMMAND.name().into(), &true.into())
        );
        let body = text["body"].to_string().into();
        let reply = Reply::decode(C::COMMAND, Encoding::Json, body).expect("its reply");
        Ok(C::response(reply).unwrap_or_else(|other| panic!("answered with {other:?}")))
    }

    /// The next message, which is a push in whichever way.
    #[track_caller]
    pub fn push(&mut self) -> Push {
        let (name, encoding, body): (Command, Encoding, Bytes) = match self.message() {
            Message::Frame(frame) => {
                assert!(frame.seq == 0 && !frame.kind.is_response(), "{frame:?}");
                let command = Command::from_number(frame.kind.command()).expect("a command");
                (command, self.encoding, frame.body)
            }
            Message::Text(text) => {
                assert_eq!(text.get("seq"), None, "{text}");
                let name = text["type"].as_str().expect("a name");
                let command = Command::from_name(name).expect("a command");
                (command, Encoding::Json, text["body"].to_string().into())
            }
            other => panic!("a push was expected, not {other:?}"),
        };
        Push::decode(name, encoding, body).expect("a push of its command")
    }

    /// The next message, which is one event of a conversation.
    #[track_caller]
    pub fn pushed(&mut self) -> v1::Event {
        match self.push() {
            Push::EventsPush(mut page) => {
                assert_eq!(page.events.len(), 1, "{page:?}");
                page.events.remove(0)
            }
            other => panic!("an event was expected, not {other:?}"),
        }
    }

    /// Resumes a session in binary messages whose bodies are written so.
    #[track_caller]
    pub fn resume(address: SocketAddr, encoding: Encoding, token: &str) -> Self {
        let mut socket = Self::open(address);
        socket.encoding = encoding;
        socket.ask(hello_of(token)).expect("welcome back");
        socket
    }

    /// Resumes a session in texts.
    #[track_caller]
    pub fn resume_text(address: SocketAddr, token: &str) -> Self {
        let mut socket = Self::open(address);
        socket.ask_text(hello_of(token)).expect("welcome back");
        socket
    }
}

/// A hello that resumes this session.
fn hello_of(token: &str) -> v1::Hello {
    v1::Hello {
        session_token: token.to_owned(),
        ..hello("first")
    }
}

fn decoded(value: &Value) -> v1::Error {
    Encoding::Json
        .decode(value.to_string().into())
        .expect("an error message")
}

fn taken(opcode: u8, payload: Vec<u8>) -> Message {
    match opcode {
        opcode::TEXT => Message::Text(serde_json::from_slice(&payload).expect("JSON")),
        opcode::BINARY => match FrameCodec::new(u32::MAX).split(&payload).expect("a frame") {
            Split::Frame(frame) => {
                assert_eq!(payload.len(), protocol::HEADER_BYTES + frame.body.len());
                Message::Frame(frame)
            }
            Split::Need(_) => panic!("a part of a frame: {payload:?}"),
        },
        opcode::PONG => Message::Pong(payload),
        opcode::CLOSE => {
            let (code, reason) = payload.split_first_chunk::<2>().expect("a code");
            let reason = String::from_utf8(reason.to_vec()).expect("UTF-8");
            Message::Close(u16::from_be_bytes(*code), reason)
        }
        other => panic!("a server sends no opcode {other}"),
    }
}

/// One masked frame.
pub fn masked(is_last: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![if is_last { 0x80 } else { 0 } | opcode];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}
