//! One connection, spoken byte by byte or in typed requests. It must never do on its own what a test did not ask
//! for: no pings, no reconnecting, no repeating.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use protocol::{
    Call, Command, Decode, Encoding, Frame, FrameCodec, MessageType, Push, Reply, Split,
    limits::FRAME_BYTES_MAX, v1,
};

use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};

use super::PATIENCE;

/// What came in.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// The answer to a request.
    Reply(u16, Box<Reply>),
    /// The refusal of one; seq 0: of the connection.
    Refused(u16, v1::Error),
    /// What the server began.
    Push(Push),
    /// The server closed. A killed one, or one that gave up on a peer who did not read, may have done so within
    /// a frame.
    End,
}

/// A connection to a daemon. Blocking; dropped, it is closed.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Over it, if it is encrypted.
    tls: Option<Box<ClientConnection>>,
    /// How bodies are written; a JSON hello sets it.
    pub encoding: Encoding,
    next_seq: u16,
    unread: BytesMut,
    ended: bool,
    /// Came in while an answer was waited for.
    kept: VecDeque<Incoming>,
}

impl Connection {
    /// Connects.
    ///
    /// # Panics
    /// Nobody listens there, as every method here panics when what is asked for does not come about.
    pub fn to(address: SocketAddr) -> Self {
        Self::try_to(address).expect("the daemon accepts connections")
    }

    /// Connects, if somebody listens there.
    ///
    /// # Errors
    /// Nobody does.
    pub fn try_to(address: SocketAddr) -> std::io::Result<Self> {
        Self::on(TcpStream::connect(address)?)
    }

    /// Goes on with a socket.
    ///
    /// # Errors
    /// It takes no options.
    pub fn on(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            tls: None,
            encoding: Encoding::Protobuf,
            next_seq: 1,
            unread: BytesMut::new(),
            ended: false,
            kept: VecDeque::new(),
        })
    }

    /// The same, encrypted from here on, to a server called `localhost`.
    ///
    /// # Errors
    /// The handshake fails.
    pub fn encrypted(mut self, config: &Arc<ClientConfig>) -> std::io::Result<Self> {
        let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
        let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(std::io::Error::other)?;
        self.stream.set_read_timeout(Some(PATIENCE))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut self.stream)?;
        }
        self.tls = Some(Box::new(tls));
        Ok(self)
    }

    /// The certificate that the server has shown, in DER.
    pub fn certificate(&self) -> Option<Vec<u8>> {
        let certificates = self.tls.as_ref()?.peer_certificates()?;
        Some(certificates.first()?.to_vec())
    }

    /// The socket itself.
    pub const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Says that nothing more will be sent.
    pub fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).expect("half-closed");
    }

    // ---- sending ----------------------------------------------------------------------------------

    /// Writes bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).expect("the daemon reads");
    }

    /// Writes bytes, if the other side is still there.
    ///
    /// # Errors
    /// It is not.
    pub fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.tls {
            Some(tls) => {
                let mut stream = rustls::Stream::new(tls.as_mut(), &mut self.stream);
                stream.write_all(bytes).and_then(|()| stream.flush())
            }
            None => self.stream.write_all(bytes),
        }
    }

    /// Writes a request under the next seq, and returns that.
    pub fn submit(&mut self, call: impl Call) -> u16 {
        let (seq, bytes) = self.frame(call);
        self.write(&bytes);
        seq
    }

    /// The bytes of a request under the next seq, not written yet.
    pub fn frame(&mut self, call: impl Call) -> (u16, Bytes) {
        let seq = self.take_seq();
        (seq, encoded(&call.into_request().to_frame(self.encoding, seq)))
    }

    /// The next seq, taken.
    pub const fn take_seq(&mut self) -> u16 {
        let seq = self.next_seq;
        self.next_seq = if seq == u16::MAX { 1 } else { seq + 1 };
        seq
    }

    /// Writes a frame of any type and body.
    pub fn write_frame(&mut self, kind: MessageType, seq: u16, body: impl Into<Bytes>) {
        let bytes = encoded(&Frame {
            kind,
            seq,
            body: body.into(),
        });
        self.write(&bytes);
    }

    // ---- receiving --------------------------------------------------------------------------------

    /// Asks and waits for the answer; what else comes in meanwhile is kept for [`Connection::next`].
    ///
    /// # Errors
    /// The refusal.
    pub fn ask<C: Call>(&mut self, call: C) -> Result<C::Response, v1::Error> {
        let seq = self.submit(call);
        self.answer::<C>(seq)
    }

    /// Asks a daemon that may refuse, or end meanwhile; then there is no answer.
    pub fn try_ask<C: Call>(&mut self, call: C) -> Option<C::Response> {
        let (seq, bytes) = self.frame(call);
        self.try_write(&bytes).ok()?;
        loop {
            match self.read_frame(PATIENCE)? {
                Incoming::End => return None,
                incoming if answers(&incoming, seq) => match incoming {
                    Incoming::Reply(_, reply) => return C::response(*reply).ok(),
                    _ => return None,
                },
                other => self.kept.push_back(other),
            }
        }
    }

    /// Waits for the answer to a request of this type that was submitted as `seq`.
    ///
    /// # Errors
    /// The refusal.
    pub fn answer<C: Call>(&mut self, seq: u16) -> Result<C::Response, v1::Error> {
        self.answer_any(seq)
            .map(|reply| C::response(*reply).unwrap_or_else(|other| panic!("answered with {other:?}")))
    }

    /// Waits for the answer to the request that was submitted as `seq`.
    ///
    /// # Errors
    /// The refusal.
    pub fn answer_any(&mut self, seq: u16) -> Result<Box<Reply>, v1::Error> {
        let kept = self.kept.iter().position(|incoming| answers(incoming, seq));
        let incoming = match kept.and_then(|index| self.kept.remove(index)) {
            Some(incoming) => incoming,
            None => loop {
                let incoming = self.receive();
                if answers(&incoming, seq) {
                    break incoming;
                }
                assert!(
                    incoming != Incoming::End,
                    "the connection ended before request {seq} was answered; the last that came was {:?}",
                    self.kept.back()
                );
                self.kept.push_back(incoming);
            },
        };
        match incoming {
            Incoming::Reply(_, reply) => Ok(reply),
            Incoming::Refused(_, refusal) => Err(refusal),
            Incoming::Push(_) | Incoming::End => unreachable!("these answer nothing"),
        }
    }

    /// Whatever came in first of what was not taken yet.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would end; this one waits"
    )]
    pub fn next(&mut self) -> Incoming {
        match self.kept.pop_front() {
            Some(incoming) => incoming,
            None => self.receive(),
        }
    }

    /// The next push. Anything else fails the test.
    pub fn push(&mut self) -> Push {
        match self.next() {
            Incoming::Push(push) => push,
            other => panic!("a push was expected, not {other:?}"),
        }
    }

    /// The next refusal, which is not of a request.
    pub fn refusal(&mut self) -> v1::Error {
        match self.next() {
            Incoming::Refused(_, refusal) => refusal,
            other => panic!("a refusal was expected, not {other:?}"),
        }
    }

    /// The refusal of the request that was submitted as `seq`, or with 0 of the connection.
    pub fn refusal_of(&mut self, seq: u16) -> v1::Error {
        match self.answer_any(seq) {
            Err(refusal) => refusal,
            Ok(reply) => panic!("a refusal was expected, not {reply:?}"),
        }
    }

    /// The next frame is a `GoAway`.
    pub fn go_away(&mut self) -> v1::GoAway {
        match self.next() {
            Incoming::Push(Push::GoAway(go_away)) => go_away,
            other => panic!("a go-away was expected, not {other:?}"),
        }
    }

    /// Nothing more comes, not even a part of a frame, and the server closes.
    pub fn end(&mut self) {
        let incoming = self.next();
        assert_eq!(incoming, Incoming::End, "the end was expected");
        assert!(self.unread.is_empty(), "the server closed within a frame");
    }

    /// Everything until the server closes.
    pub fn rest(&mut self) -> Vec<Incoming> {
        let mut all = Vec::new();
        loop {
            match self.next() {
                Incoming::End => return all,
                incoming => all.push(incoming),
            }
        }
    }

    /// What comes in within `wait`, if anything.
    pub fn poll(&mut self, wait: Duration) -> Option<Incoming> {
        match self.kept.pop_front() {
            Some(incoming) => Some(incoming),
            None => self.read_frame(wait),
        }
    }

    /// Whether something came in while an answer was waited for.
    pub fn has_kept(&self) -> bool {
        !self.kept.is_empty()
    }

    fn receive(&mut self) -> Incoming {
        self.read_frame(PATIENCE)
            .unwrap_or_else(|| panic!("nothing came within {PATIENCE:?}"))
    }

    fn read_frame(&mut self, wait: Duration) -> Option<Incoming> {
        let until = Instant::now() + wait;
        loop {
            if let Some(frame) = self.split() {
                return Some(self.decode(&frame));
            }
            if self.ended {
                return Some(Incoming::End);
            }
            // A timeout of zero would mean none.
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() && !wait.is_zero() {
                return None;
            }
            let left = left.max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left)).expect("a read timeout");
            let mut buffer = [0; 64 * 1024];
            let read = match &mut self.tls {
                Some(tls) => rustls::Stream::new(tls.as_mut(), &mut self.stream).read(&mut buffer),
                None => self.stream.read(&mut buffer),
            };
            match read {
                Ok(0) => self.ended = true,
                Ok(count) => self.unread.extend_from_slice(&buffer[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return None,
                    ErrorKind::Interrupted => {}
                    // The process was killed, or closed with our bytes unread.
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
                        self.unread.clear();
                        self.ended = true;
                    }
                    _ => panic!("reading failed: {error}"),
                },
            }
        }
    }

    fn split(&mut self) -> Option<Frame> {
        match FrameCodec::new(FRAME_BYTES_MAX).split(&self.unread) {
            Ok(Split::Frame(frame)) => {
                let used = protocol::HEADER_BYTES + frame.body.len();
                let _ = self.unread.split_to(used);
                Some(frame)
            }
            Ok(Split::Need(_)) => None,
            Err(error) => panic!("the server sent what is no frame: {error}"),
        }
    }

    fn decode(&self, frame: &Frame) -> Incoming {
        let body = frame.body.clone();
        if frame.kind == MessageType::ERROR {
            let error = self.encoding.decode(body).expect("an error message");
            return Incoming::Refused(frame.seq, error);
        }
        let command = Command::from_number(frame.kind.command()).expect("a command of this version");
        if frame.kind.is_response() {
            let reply = Reply::decode(command, self.encoding, body).expect("a reply of its command");
            Incoming::Reply(frame.seq, Box::new(reply))
        } else {
            assert_eq!(frame.seq, 0, "what the server begins has no seq");
            Incoming::Push(Push::decode(command, self.encoding, body).expect("a push of its command"))
        }
    }
}

fn answers(incoming: &Incoming, to: u16) -> bool {
    match incoming {
        Incoming::Reply(seq, _) | Incoming::Refused(seq, _) => *seq == to,
        Incoming::Push(_) | Incoming::End => false,
    }
}

/// A frame's bytes.
fn encoded(frame: &Frame) -> Bytes {
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes).expect("a body that a header can count");
    bytes.freeze()
}
