//! A server that speaks TLS, a blocking client, and authorities that sign certificates for both.

use bytes::{Bytes, BytesMut};
use crossbeam_channel::{Receiver, Sender, bounded};
use netcore::codec::{Codec, LengthPrefixed};
use netcore::rustls::pki_types::ServerName;
use netcore::rustls::{ClientConfig, ClientConnection, StreamOwned};
use netcore::tls::{ClientCertificates, TlsClient, TlsServer};
use netcore::{
    Builder, ConnCx, ConnId, Connect, Eof, Flow, Handler, Listen, LoopCx, NoTask, Peer, Reason, Refusal,
    Server,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::io::{Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const FRAME_MAX: u32 = 1024 * 1024;

/// What the server tells the test.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Event {
    Opened,
    Noted(String),
    Closed(String),
}

/// Has the server make a connection.
#[derive(Debug)]
pub(crate) struct Call(pub(crate) Connect);

/// Does what frames say: `alpn`, `name`, `certificates`, `encrypted`, `tag` and `who` are answered with what the server
/// knows of the client, `finish` with "last" and our end, `close` closes, `note:x` is told the test, `flood:n` is answered with n
/// frames of 1000 bytes. Anything else comes back. On a connection that it made it says hello, and notes the answer.
pub(crate) struct Commands {
    events: Sender<Event>,
}

impl Handler for Commands {
    type Codec = LengthPrefixed;
    /// The connection is one we made.
    type Conn = bool;
    type Msg = Call;
    type Task = NoTask;

    fn on_accept(&mut self, _: &Peer) -> std::result::Result<(LengthPrefixed, bool), Refusal> {
        Ok((LengthPrefixed::new(FRAME_MAX), false))
    }

    fn on_open(&mut self, cx: &mut ConnCx<'_, Self>) {
        let _ = self.events.send(Event::Opened);
        if *cx.conn() {
            cx.send(b"hello").unwrap();
        }
    }

    fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
        let text = String::from_utf8_lossy(frame);
        if *cx.conn() {
            let _ = self.events.send(Event::Noted(text.into_owned()));
            return Flow::Close(1);
        }
        let info = cx.tls().cloned().unwrap_or_default();
        let answer = match text.split_once(':').unwrap_or((&text, "")) {
            ("alpn", _) => info.alpn.unwrap_or_default(),
            ("name", _) => info.server_name.unwrap_or_default().into_bytes(),
            ("encrypted", _) => cx.is_encrypted().to_string().into_bytes(),
            ("tag", _) => cx.peer().tag.to_string().into_bytes(),
            ("certificates", _) => info.certificates.len().to_string().into_bytes(),
            ("who", _) => cx.peer().address.to_string().into_bytes(),
            ("finish", _) => {
                cx.send(b"last").unwrap();
                cx.finish_sending();
                return Flow::Continue;
            }
            ("close", _) => return Flow::Close(3),
            ("note", note) => {
                let _ = self.events.send(Event::Noted(note.to_owned()));
                return Flow::Continue;
            }
            ("flood", count) => {
                for number in 0..count.parse::<u32>().unwrap() {
                    cx.send(&[number as u8; 1000]).unwrap();
                }
                return Flow::Continue;
            }
            _ => frame.to_vec(),
        };
        cx.send(&answer).unwrap();
        Flow::Continue
    }

    fn on_msg(&mut self, cx: &mut LoopCx<'_, Self>, call: Call) {
        cx.connect(call.0, LengthPrefixed::new(FRAME_MAX), true).unwrap();
    }

    fn on_eof(&mut self, cx: &mut ConnCx<'_, Self>) -> Eof {
        // Refused if our side has ended before.
        let _ = cx.send(b"goodbye");
        Eof::Close
    }

    fn on_close(&mut self, _: &mut LoopCx<'_, Self>, _: ConnId, _: bool, why: &Reason<Self>) {
        let _ = self.events.send(Event::Closed(why.to_string()));
    }
}

/// An authority of the test's own.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key, in PEM.
pub(crate) struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    pub(crate) fn issue(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        Identity {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// The server's side, with a new certificate.
    pub(crate) fn server(&self, clients: ClientCertificates<'_>, protocols: &[&[u8]]) -> TlsServer {
        let Identity { certificate, key } = self.issue("localhost");
        TlsServer::from_pem(certificate.as_bytes(), key.as_bytes(), clients, protocols).unwrap()
    }

    /// The client's side.
    pub(crate) fn client(&self, own: Option<&Identity>, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        let own = own.map(|own| (own.certificate.as_bytes(), own.key.as_bytes()));
        TlsClient::config_from_pem(self.pem.as_bytes(), own, protocols).unwrap()
    }
}

pub(crate) struct Running {
    pub(crate) server: Server<Call>,
    pub(crate) events: Receiver<Event>,
}

pub(crate) fn any_port() -> Listen {
    SocketAddr::from(([127, 0, 0, 1], 0)).into()
}

/// A server with one loop that listens with TLS.
pub(crate) fn start(
    tls: TlsServer,
    configure: impl FnOnce(Builder<Commands>) -> Builder<Commands>,
) -> Running {
    start_on(any_port().tls(tls), configure)
}

pub(crate) fn start_on(
    listen: Listen,
    configure: impl FnOnce(Builder<Commands>) -> Builder<Commands>,
) -> Running {
    let (sender, events) = bounded(100_000);
    let builder = Server::builder::<Commands>().loops(1).listen(listen);
    let server = configure(builder)
        .start(move |_, _| Commands {
            events: sender.clone(),
        })
        .unwrap();
    Running { server, events }
}

impl Running {
    /// A plain connection to the listener of this number.
    pub(crate) fn stream(&self, listener: usize) -> TcpStream {
        let stream = TcpStream::connect(self.server.local_addrs()[listener]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    pub(crate) fn connect(&self, config: Arc<ClientConfig>) -> Client<Tls> {
        Client(Tls::new(client_connection(config), self.stream(0)))
    }

    pub(crate) fn next(&self) -> Event {
        self.events.recv_timeout(PATIENCE).unwrap()
    }

    /// The reason of the next connection to end.
    pub(crate) fn closed(&self) -> String {
        loop {
            if let Event::Closed(reason) = self.next() {
                return reason;
            }
        }
    }
}

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

pub(crate) fn client_connection(config: Arc<ClientConfig>) -> ClientConnection {
    ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap()
}

pub(crate) fn encode(frame: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    LengthPrefixed::new(FRAME_MAX).encode(frame, &mut bytes).unwrap();
    bytes.freeze()
}

/// Frames over any stream.
pub(crate) struct Client<S>(pub(crate) S);

impl<S: Read + Write> Client<S> {
    pub(crate) fn send(&mut self, frame: &[u8]) -> Result<()> {
        self.0.write_all(&encode(frame))?;
        self.0.flush()
    }

    /// The next frame.
    pub(crate) fn receive(&mut self) -> Result<Vec<u8>> {
        let mut header = [0; 4];
        self.0.read_exact(&mut header)?;
        let mut payload = vec![0; u32::from_be_bytes(header) as usize];
        self.0.read_exact(&mut payload)?;
        Ok(payload)
    }

    pub(crate) fn ask(&mut self, frame: &str) -> Result<String> {
        self.send(frame.as_bytes())?;
        Ok(String::from_utf8_lossy(&self.receive()?).into_owned())
    }

    /// The end, in good order: over TLS with a farewell.
    pub(crate) fn expect_end(&mut self) {
        assert_eq!(self.0.read(&mut [0; 1]).unwrap(), 0);
    }
}
