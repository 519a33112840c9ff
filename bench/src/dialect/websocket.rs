//! A dialect over WebSocket: what the dialect within writes goes as one binary message for each of its frames, and what
//! comes is handed to it without the dress. It must never know what is in a frame beyond its length.

use bytes::{Buf, BytesMut};
use netcore::{
    codec::Decoded,
    websocket::{self, Decoder, Message, MessageLimits, Opcode, handshake},
};
use protocol::HEADER_BYTES;

use super::{Dialect, Event, Target};
use crate::BenchError;

/// Where imserver's WebSockets begin.
const TARGET: &str = "/v1/socket";
/// A key of the handshake and a mask need no randomness here: nobody is on the way.
const KEY: [u8; 16] = [7; 16];
const MASK: [u8; 4] = [0x5A, 0x17, 0xC3, 0x88];

/// See the module.
pub(crate) struct WebSocket {
    within: Box<dyn Dialect>,
    /// `Host` of the handshake.
    host: String,
    decoder: Decoder,
    /// The server has agreed.
    is_open: bool,
    /// What the dialect within wrote, before it is dressed.
    written: BytesMut,
    /// What came for it, undressed.
    came: BytesMut,
}

impl WebSocket {
    /// Dresses `within` for a server that is known as `host`.
    pub(crate) fn new(within: Box<dyn Dialect>, host: String) -> Self {
        Self {
            within,
            host,
            decoder: Decoder::client(MessageLimits::default()),
            is_open: false,
            written: BytesMut::new(),
            came: BytesMut::new(),
        }
    }

    fn request(&self) -> handshake::Request<'_> {
        handshake::Request {
            host: &self.host,
            target: TARGET,
            key: KEY,
            headers: &[],
        }
    }

    /// Dresses what was written, if the server has agreed.
    fn dress(&mut self, out: &mut BytesMut) {
        while self.is_open
            && let Some(bytes) = frame_bytes(&self.written)
        {
            let frame = self.written.split_to(bytes);
            out.extend_from_slice(&websocket::encode_masked(Opcode::Binary, &frame, MASK));
        }
        if self.written.is_empty() {
            // An idle connection keeps no buffer.
            self.written = BytesMut::new();
        }
    }
}

/// Bytes of the whole frame at the beginning, if there is one.
fn frame_bytes(written: &[u8]) -> Option<usize> {
    let length = written.first_chunk::<4>()?;
    let bytes = HEADER_BYTES.checked_add(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    (written.len() >= bytes).then_some(bytes)
}

impl Dialect for WebSocket {
    fn login(&mut self, out: &mut BytesMut) {
        self.decoder = Decoder::client(MessageLimits::default());
        self.is_open = false;
        (self.written, self.came) = (BytesMut::new(), BytesMut::new());
        // The host is an address and can be written.
        out.extend_from_slice(&self.request().to_bytes().unwrap_or_default());
        self.within.login(&mut self.written);
    }

    fn send(&mut self, target: &Target, id: u64, body: &[u8], out: &mut BytesMut) {
        self.within.send(target, id, body, &mut self.written);
        self.dress(out);
    }

    fn ping(&mut self, out: &mut BytesMut) {
        self.within.ping(&mut self.written);
        self.dress(out);
    }

    fn receive(
        &mut self,
        incoming: &mut BytesMut,
        out: &mut BytesMut,
        event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), BenchError> {
        let failed = |error: &dyn std::fmt::Display| BenchError::Other(format!("WebSocket: {error}"));
        if !self.is_open {
            match self.request().check(incoming).map_err(|error| failed(&error))? {
                Some(bytes) => incoming.advance(bytes),
                None => return Ok(()),
            }
            self.is_open = true;
        }
        while let Decoded::Frame { frame, used } =
            self.decoder.decode(incoming).map_err(|error| failed(&error))?
        {
            incoming.advance(used.get());
            match frame {
                Message::Binary(bytes) => self.came.extend_from_slice(&bytes),
                Message::Ping(payload) => {
                    out.extend_from_slice(&websocket::encode_masked(Opcode::Pong, &payload, MASK));
                }
                Message::Close(_) | Message::Fragment | Message::Pong(_) | Message::Text(_) => {}
            }
        }
        self.within.receive(&mut self.came, &mut self.written, event)?;
        if self.came.is_empty() {
            self.came = BytesMut::new();
        }
        self.dress(out);
        Ok(())
    }

    fn in_flight_max(&self) -> usize {
        self.within.in_flight_max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dialect whose frames are numbers, and whose every frame is answered by one more.
    struct Numbers;

    fn frame(number: u8) -> [u8; HEADER_BYTES + 1] {
        [0, 0, 0, 1, 0, 0, 0, 0, number]
    }

    impl Dialect for Numbers {
        fn login(&mut self, out: &mut BytesMut) {
            out.extend_from_slice(&frame(1));
        }

        fn send(&mut self, _: &Target, id: u64, _: &[u8], out: &mut BytesMut) {
            out.extend_from_slice(&frame(u8::try_from(id).expect("a small one")));
        }

        fn ping(&mut self, out: &mut BytesMut) {
            out.extend_from_slice(&frame(2));
        }

        fn receive(
            &mut self,
            incoming: &mut BytesMut,
            out: &mut BytesMut,
            event: &mut dyn FnMut(Event<'_>),
        ) -> Result<(), BenchError> {
            while let Some(bytes) = frame_bytes(incoming) {
                let frame = incoming.split_to(bytes);
                event(Event::Acked(u64::from(frame[HEADER_BYTES])));
                out.extend_from_slice(&self::frame(frame[HEADER_BYTES] + 1));
            }
            Ok(())
        }
    }

    /// The answer to the handshake with [`KEY`].
    const AGREED: &[u8] =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: CdXSYUsvsaMthlEXWDNURGWA/1o=\r\n\r\n";

    /// What the server reads of messages that are masked.
    fn undressed(out: &mut BytesMut) -> Vec<Vec<u8>> {
        let mut server = Decoder::server(MessageLimits::default());
        let mut messages = Vec::new();
        while let Ok(Decoded::Frame { frame, used }) = server.decode(out) {
            out.advance(used.get());
            match frame {
                Message::Binary(bytes) => messages.push(bytes.to_vec()),
                Message::Pong(bytes) => messages.push([b"pong ", &bytes[..]].concat()),
                other => panic!("{other:?}"),
            }
        }
        assert!(out.is_empty());
        messages
    }

    #[test]
    fn frames_go_as_messages_once_the_server_has_agreed_however_that_comes() {
        let mut answers = AGREED.to_vec();
        answers.extend_from_slice(&websocket::encode(Opcode::Ping, b"?"));
        let two = [frame(10), frame(20)].concat();
        answers.extend_from_slice(&websocket::encode(Opcode::Binary, &two[..12]));
        answers.extend_from_slice(&websocket::encode(Opcode::Binary, &two[12..]));
        for cut in 0..answers.len() {
            let mut socket = WebSocket::new(Box::new(Numbers), "127.0.0.1:7400".to_owned());
            let (mut incoming, mut out, mut heard) = (BytesMut::new(), BytesMut::new(), Vec::new());
            socket.login(&mut out);
            assert!(out.starts_with(b"GET /v1/socket HTTP/1.1\r\nHost: 127.0.0.1:7400\r\n"));
            out.clear();
            for part in [&answers[..cut], &answers[cut..]] {
                incoming.extend_from_slice(part);
                let mut event = |event: Event<'_>| match event {
                    Event::Acked(number) => heard.push(number),
                    other => panic!("{other:?}"),
                };
                socket
                    .receive(&mut incoming, &mut out, &mut event)
                    .expect("sense");
            }
            socket.ping(&mut out);
            let mut messages = undressed(&mut out);
            messages.retain(|message| message != b"pong ?");
            assert_eq!(
                messages,
                [frame(1), frame(11), frame(21), frame(2)],
                "cut at {cut}"
            );
            assert_eq!(heard, [10, 20]);
        }
    }

    #[test]
    fn a_refused_handshake_ends_the_run() {
        let mut socket = WebSocket::new(Box::new(Numbers), "a".to_owned());
        let mut incoming = BytesMut::from(&b"HTTP/1.1 403 Forbidden\r\n\r\n"[..]);
        let refused = socket.receive(&mut incoming, &mut BytesMut::new(), &mut |_| {});
        assert!(refused.is_err());
    }
}
