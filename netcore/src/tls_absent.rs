//! Stands in for TLS when the feature `tls` is off: no value of these types exists, so the compiler removes all code
//! that uses one.

use std::convert::Infallible;
use std::io::{self, IoSlice, Write};

pub(crate) type SessionError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Debug)]
pub(crate) struct TlsServer(Infallible);

#[derive(Clone, Debug)]
pub(crate) struct TlsClient(Infallible);

#[derive(Debug)]
pub(crate) struct TlsInfo(Infallible);

pub(crate) struct Session(Infallible);

impl Session {
    pub(crate) const fn accept(server: &TlsServer) -> Result<Self, SessionError> {
        match server.0 {}
    }

    pub(crate) const fn connect(client: &TlsClient) -> Result<Self, SessionError> {
        match client.0 {}
    }

    pub(crate) const fn is_handshaking(&self) -> bool {
        match self.0 {}
    }

    pub(crate) const fn decrypt(&mut self, _: &mut &[u8]) -> Result<(), SessionError> {
        match self.0 {}
    }

    pub(crate) const fn read(&mut self, _: &mut [u8]) -> usize {
        match self.0 {}
    }

    pub(crate) const fn has_ended(&mut self) -> bool {
        match self.0 {}
    }

    pub(crate) const fn encrypt(&mut self, _: &[IoSlice<'_>]) -> usize {
        match self.0 {}
    }

    pub(crate) const fn wants_write(&self) -> bool {
        match self.0 {}
    }

    pub(crate) const fn write_to(&mut self, _: &mut dyn Write) -> io::Result<usize> {
        match self.0 {}
    }

    pub(crate) const fn end(&mut self) {
        match self.0 {}
    }

    pub(crate) const fn info(&self) -> TlsInfo {
        match self.0 {}
    }
}
