//! What must hold for netcore's reading of WebSockets.

use bytes::Bytes;
use netcore::codec::Decoded;
use netcore::websocket::{Decoder, Error, Message, MessageLimits};
use std::io::{self, Read, Write};
use tungstenite::protocol::{Role, WebSocketConfig};

use crate::input::Input;
use crate::memory;
use crate::stream::{cuts, pieces};

const LIMITS: [MessageLimits; 3] = [
    MessageLimits {
        message_bytes: 1024 * 1024,
        fragments: 1024,
    },
    MessageLimits {
        message_bytes: 16,
        fragments: 3,
    },
    // Little enough that tungstenite, which reserves what a header declares, costs no more than the machine has.
    MessageLimits {
        message_bytes: 64 * 1024,
        fragments: u32::MAX,
    },
];

/// In use at once, per byte of the stream, of which the messages are let go as they come: the fragments of one, twice
/// while they grow, and what they grow ahead.
const COST: usize = 4;

/// The first byte chooses limits and whose frames are read, the next ones cuts, the rest is a stream:
/// [`websocket_with`] for netcore's decoder.
///
/// # Panics
/// A promise is broken.
pub fn websocket(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.byte();
    let limits = LIMITS.get(usize::from(flags >> 1) % LIMITS.len()).copied();
    let limits = limits.unwrap_or_default();
    let role = if flags & 1 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let sizes = cuts(&mut input);
    let make = || {
        let mut decoder = match role {
            Role::Server => Decoder::server(limits),
            Role::Client => Decoder::client(limits),
        };
        move |bytes: &[u8]| decoder.decode(bytes)
    };
    websocket_with(make, role, limits, &sizes, input.rest());
}

/// Reads a stream at once, byte by byte, in pieces of the given sizes, and by tungstenite.
///
/// # Panics
/// The messages or the error are not the same, tungstenite reads a message that was neither read nor refused or waits
/// for one that was read, or the stream costs more memory than it has bytes.
pub fn websocket_with<D>(
    make: impl Fn() -> D,
    role: Role,
    limits: MessageLimits,
    sizes: &[usize],
    stream: &[u8],
) where
    D: FnMut(&[u8]) -> Result<Decoded<Message>, Error>,
{
    memory::within(stream.len(), COST, || let_go(make(), stream));
    let whole = read(make(), std::iter::once(stream));
    assert_eq!(read(make(), stream.chunks(1)), whole, "byte by byte");
    if !sizes.is_empty() {
        assert_eq!(
            read(make(), pieces(stream, sizes)),
            whole,
            "in pieces of {sizes:?}"
        );
    }
    let (theirs, waits) = tungstenite(role, limits, stream);
    let ours: Vec<_> = whole
        .0
        .iter()
        .filter(|message| **message != Message::Fragment)
        .collect();
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(*ours, theirs, "tungstenite reads another message");
    }
    if theirs.len() > ours.len() {
        assert!(
            whole.1.is_some(),
            "tungstenite reads a message that is waited for"
        );
    }
    if theirs.len() < ours.len() {
        assert!(!waits, "tungstenite waits for a message that was read");
    }
}

/// The messages up to the one that ends the connection, and why nothing more can be read.
fn read<'a>(
    mut decode: impl FnMut(&[u8]) -> Result<Decoded<Message>, Error>,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Message>, Option<Error>) {
    let (mut messages, mut held, mut taken) = (Vec::new(), Vec::new(), 0);
    for piece in pieces {
        held.extend_from_slice(piece);
        while taken < held.len() {
            match decode(held.get(taken..).unwrap_or_default()) {
                Ok(Decoded::Frame { frame, used }) => {
                    taken += used.get();
                    assert!(taken <= held.len(), "more taken than is there");
                    let last = matches!(frame, Message::Close(_));
                    messages.push(frame);
                    if last {
                        return (messages, None);
                    }
                }
                Ok(Decoded::Need { total }) => {
                    assert!(total.get() > held.len() - taken, "waits for what is there");
                    break;
                }
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

/// Reads a stream and keeps none of its messages.
fn let_go(mut decode: impl FnMut(&[u8]) -> Result<Decoded<Message>, Error>, stream: &[u8]) {
    let mut rest = stream;
    while let Ok(Decoded::Frame { used, .. }) = decode(rest) {
        rest = rest.get(used.get()..).unwrap_or_default();
    }
}

/// What tungstenite reads, and whether it waits for more.
fn tungstenite(role: Role, limits: MessageLimits, stream: &[u8]) -> (Vec<Message>, bool) {
    let bytes_max = Some(limits.message_bytes as usize);
    let config = WebSocketConfig::default()
        .max_message_size(bytes_max)
        .max_frame_size(bytes_max.map(|bytes| bytes.max(netcore::websocket::CONTROL_BYTES_MAX)))
        .read_buffer_size(4096);
    let mut socket = tungstenite::WebSocket::from_raw_socket(Memory(stream), role, Some(config));
    let mut messages = Vec::new();
    loop {
        match socket.read() {
            Ok(message) => {
                let last = message.is_close();
                messages.extend(understood(message));
                if last {
                    return (messages, false);
                }
            }
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (messages, true);
            }
            Err(_) => return (messages, false),
        }
    }
}

fn understood(message: tungstenite::Message) -> Option<Message> {
    Some(match message {
        tungstenite::Message::Text(text) => Message::Text(text.into()),
        tungstenite::Message::Binary(bytes) => Message::Binary(bytes),
        tungstenite::Message::Ping(bytes) => Message::Ping(bytes),
        tungstenite::Message::Pong(bytes) => Message::Pong(bytes),
        tungstenite::Message::Close(close) => Message::Close(netcore::websocket::Close {
            code: close
                .as_ref()
                .and_then(|close| netcore::websocket::CloseCode::new(close.code.into())),
            reason: close.map_or_else(Bytes::new, |close| close.reason.into()),
        }),
        tungstenite::Message::Frame(_) => return None,
    })
}

/// A stream of which no more has come, and that takes whatever is written.
struct Memory<'a>(&'a [u8]);

impl Read for Memory<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.read(buffer)
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
