//! Owns the encryption of one connection: ciphertext in, plaintext out, and the reverse. A plain state machine
//! around rustls; must never touch a socket.

use super::{TlsClient, TlsInfo, TlsServer};
use crate::limits::TLS_UNWRITTEN_BYTES_MAX;
use rustls::{ClientConnection, Connection, ServerConnection};
use std::io::{self, IoSlice, Read, Write};

/// Why TLS cannot go on.
pub(crate) type SessionError = Box<dyn std::error::Error + Send + Sync>;

pub(crate) struct Session {
    connection: Connection,
}

impl Session {
    /// The server's side of a new connection.
    pub(crate) fn accept(server: &TlsServer) -> Result<Self, SessionError> {
        Ok(Self::new(ServerConnection::new(server.config())?.into()))
    }

    /// The client's side of a new connection, which begins the handshake.
    pub(crate) fn connect(client: &TlsClient) -> Result<Self, SessionError> {
        let connection = ClientConnection::new(client.config.clone(), client.name.clone())?;
        Ok(Self::new(connection.into()))
    }

    fn new(mut connection: Connection) -> Self {
        connection.set_buffer_limit(Some(TLS_UNWRITTEN_BYTES_MAX));
        Self { connection }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Takes some of `ciphertext`; its plaintext must be read before the next call.
    pub(crate) fn decrypt(&mut self, ciphertext: &mut &[u8]) -> Result<(), SessionError> {
        let before = ciphertext.len();
        let taken = self.connection.read_tls(ciphertext)?;
        self.connection.process_new_packets()?;
        if taken == 0 && ciphertext.len() == before {
            // Bytes behind the peer's `close_notify` do not count.
            *ciphertext = &[];
        }
        Ok(())
    }

    /// Moves decrypted bytes to `plaintext`; returns how many.
    pub(crate) fn read(&mut self, plaintext: &mut [u8]) -> usize {
        // "Would block" and an end without `close_notify` are handled elsewhere.
        self.connection.reader().read(plaintext).unwrap_or(0)
    }

    /// Whether the peer has sent its `close_notify`.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.connection
            .process_new_packets()
            .is_ok_and(|state| state.peer_has_closed())
    }

    /// Encrypts some of the slices; returns how many bytes.
    pub(crate) fn encrypt(&mut self, slices: &[IoSlice<'_>]) -> usize {
        self.connection.writer().write_vectored(slices).unwrap_or(0)
    }

    /// Whether there is ciphertext to write.
    pub(crate) fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Writes ciphertext, once.
    pub(crate) fn write_to(&mut self, socket: &mut dyn Write) -> io::Result<usize> {
        self.connection.write_tls(socket)
    }

    /// Sends `close_notify` behind everything encrypted so far.
    pub(crate) fn end(&mut self) {
        self.connection.send_close_notify();
    }

    pub(crate) fn info(&self) -> TlsInfo {
        let certificates = self.connection.peer_certificates().unwrap_or_default();
        let version = self.connection.protocol_version();
        let suite = self.connection.negotiated_cipher_suite();
        TlsInfo {
            alpn: self.connection.alpn_protocol().map(<[u8]>::to_vec),
            server_name: match &self.connection {
                Connection::Server(connection) => connection.server_name().map(str::to_owned),
                Connection::Client(_) => None,
            },
            certificates: certificates.iter().map(|der| der.to_vec()).collect(),
            parameters: match (version, suite) {
                (Some(version), Some(suite)) => format!("{version:?} {:?}", suite.suite()),
                _ => String::new(),
            },
        }
    }
}
