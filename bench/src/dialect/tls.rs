//! A dialect over TLS: what the dialect within writes is encrypted, and what comes is handed to it in the clear. It must
//! never believe a certificate that the authorities it was given did not sign.

use std::{
    io::{Read, Write},
    net::IpAddr,
    path::Path,
    sync::Arc,
};

use bytes::{BufMut, BytesMut};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use super::{Dialect, Event, Target};
use crate::BenchError;

/// As ALPN has imserver's protocol.
const ALPN: &[u8] = b"imserver/1";
/// Decrypted at once.
const READ_BYTES: usize = 16 * 1024;

/// What servers are believed: those whose certificate is for their address, and signed by an authority of this file.
pub(crate) fn config(authorities: &Path) -> Result<Arc<ClientConfig>, BenchError> {
    let failed = |error: &dyn std::fmt::Display| {
        BenchError::Other(format!("{} cannot be used: {error}", authorities.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authorities).map_err(|error| failed(&error))? {
        let certificate = certificate.map_err(|error| failed(&error))?;
        roots.add(certificate).map_err(|error| failed(&error))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// See the module.
pub(crate) struct Tls {
    within: Box<dyn Dialect>,
    config: Arc<ClientConfig>,
    server: IpAddr,
    connection: Option<Box<ClientConnection>>,
    /// What the dialect within wrote, before it is encrypted.
    written: BytesMut,
    /// What came for it, in the clear.
    came: BytesMut,
}

impl Tls {
    /// Encrypts `within` for the server at this address.
    pub(crate) fn new(within: Box<dyn Dialect>, config: Arc<ClientConfig>, server: IpAddr) -> Self {
        Self {
            within,
            config,
            server,
            connection: None,
            written: BytesMut::new(),
            came: BytesMut::new(),
        }
    }

    /// Encrypts what was written. Before the handshake is done it waits in the connection.
    fn seal(&mut self, out: &mut BytesMut) -> Result<(), BenchError> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        connection.writer().write_all(&self.written)?;
        self.written = BytesMut::new();
        while connection.wants_write() {
            connection.write_tls(&mut out.writer())?;
        }
        Ok(())
    }

    fn open(&mut self, mut incoming: &[u8]) -> Result<(), BenchError> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        while !incoming.is_empty() {
            connection.read_tls(&mut incoming)?;
            let state = connection
                .process_new_packets()
                .map_err(|error| BenchError::Other(format!("TLS: {error}")))?;
            let mut left = state.plaintext_bytes_to_read();
            let mut buffer = [0; READ_BYTES];
            while left > 0 {
                let read = connection.reader().read(&mut buffer)?;
                self.came
                    .extend_from_slice(buffer.get(..read).unwrap_or_default());
                left = left.saturating_sub(read.max(1));
            }
        }
        Ok(())
    }
}

impl Dialect for Tls {
    fn login(&mut self, out: &mut BytesMut) {
        (self.written, self.came) = (BytesMut::new(), BytesMut::new());
        let name = ServerName::IpAddress(self.server.into());
        // A configuration that was built makes connections to any address.
        self.connection = ClientConnection::new(Arc::clone(&self.config), name)
            .ok()
            .map(|mut connection| {
                connection.set_buffer_limit(None);
                Box::new(connection)
            });
        self.within.login(&mut self.written);
        // Writing to memory does not fail.
        let _ = self.seal(out);
    }

    fn send(&mut self, target: &Target, id: u64, body: &[u8], out: &mut BytesMut) {
        self.within.send(target, id, body, &mut self.written);
        let _ = self.seal(out);
    }

    fn ping(&mut self, out: &mut BytesMut) {
        self.within.ping(&mut self.written);
        let _ = self.seal(out);
    }

    fn receive(
        &mut self,
        incoming: &mut BytesMut,
        out: &mut BytesMut,
        event: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), BenchError> {
        let encrypted = incoming.split();
        let opened = self.open(&encrypted);
        if opened.is_ok() {
            self.within.receive(&mut self.came, &mut self.written, event)?;
        }
        if self.came.is_empty() {
            // An idle connection keeps no buffer.
            self.came = BytesMut::new();
        }
        // If it failed, the alert that says why.
        self.seal(out)?;
        opened
    }

    fn in_flight_max(&self) -> usize {
        self.within.in_flight_max()
    }
}

#[cfg(test)]
mod tests {
    use rustls::{ServerConfig, ServerConnection, pki_types::PrivatePkcs8KeyDer};

    use super::*;

    /// A dialect that says a line and hears lines.
    struct Lines;

    impl Dialect for Lines {
        fn login(&mut self, out: &mut BytesMut) {
            out.extend_from_slice(b"login\n");
        }

        fn send(&mut self, _: &Target, _: u64, body: &[u8], out: &mut BytesMut) {
            out.extend_from_slice(body);
        }

        fn ping(&mut self, out: &mut BytesMut) {
            out.extend_from_slice(b"ping\n");
        }

        fn receive(
            &mut self,
            incoming: &mut BytesMut,
            out: &mut BytesMut,
            event: &mut dyn FnMut(Event<'_>),
        ) -> Result<(), BenchError> {
            while let Some(at) = incoming.iter().position(|byte| *byte == b'\n') {
                event(Event::Delivered(&incoming.split_to(at + 1)));
                out.extend_from_slice(b"heard\n");
            }
            Ok(())
        }
    }

    struct Server(ServerConnection);

    impl Server {
        /// A server, and what believes it.
        fn new(name: &str) -> (Self, Arc<ClientConfig>) {
            let own = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
            let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let mut config = ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_no_client_auth()
                .with_single_cert(vec![own.cert.der().clone()], key.into())
                .expect("a pair");
            config.alpn_protocols = vec![ALPN.to_vec()];
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), own.cert.pem()).expect("written");
            let trust = super::config(file.path()).expect("an authority");
            (
                Self(ServerConnection::new(Arc::new(config)).expect("a server")),
                trust,
            )
        }

        /// What the server reads of this; what it says goes behind `answer`.
        fn hear(&mut self, mut bytes: &[u8], say: &[u8], answer: &mut Vec<u8>) -> Vec<u8> {
            let mut heard = Vec::new();
            while !bytes.is_empty() {
                self.0.read_tls(&mut bytes).expect("room");
                self.0.process_new_packets().expect("sense");
            }
            let _ = self.0.reader().read_to_end(&mut heard);
            self.0.writer().write_all(say).expect("room");
            while self.0.wants_write() {
                self.0.write_tls(answer).expect("memory");
            }
            heard
        }
    }

    #[test]
    fn both_sides_understand_each_other_however_it_is_cut() {
        for cut in [1, 2, 7, 100, 100_000] {
            let (mut server, trust) = Server::new("127.0.0.1");
            let mut tls = Tls::new(Box::new(Lines), trust, IpAddr::from([127, 0, 0, 1]));
            let (mut out, mut incoming) = (BytesMut::new(), BytesMut::new());
            tls.login(&mut out);
            let (mut asked, mut heard, mut rounds) = (Vec::new(), Vec::new(), 0);
            let long = vec![b'x'; 17_000];
            while !out.is_empty() {
                rounds += 1;
                let mut answer = Vec::new();
                let say = [&long[..], b"\n"].concat();
                let say = if rounds == 2 { &say[..] } else { b"" };
                asked.extend(server.hear(&out.split(), say, &mut answer));
                for part in answer.chunks(cut) {
                    incoming.extend_from_slice(part);
                    let mut event = |event: Event<'_>| match event {
                        Event::Delivered(line) => heard.push(line.len()),
                        other => panic!("{other:?}"),
                    };
                    tls.receive(&mut incoming, &mut out, &mut event).expect("sense");
                    assert!(incoming.is_empty());
                }
            }
            assert_eq!(asked, b"login\nheard\n");
            assert_eq!(heard, [long.len() + 1], "in parts of {cut}");
            assert_eq!(server.0.alpn_protocol(), Some(ALPN));
        }
    }

    #[test]
    fn a_certificate_for_another_name_ends_the_run() {
        let (mut server, trust) = Server::new("127.0.0.2");
        let mut tls = Tls::new(Box::new(Lines), trust, IpAddr::from([127, 0, 0, 1]));
        let mut out = BytesMut::new();
        tls.login(&mut out);
        let mut answer = Vec::new();
        server.hear(&out.split(), b"", &mut answer);
        let mut incoming = BytesMut::from(&answer[..]);
        assert!(tls.receive(&mut incoming, &mut out, &mut |_| {}).is_err());
        assert!(!out.is_empty(), "it says why");
    }
}
