//! Owns what a TLS server needs to be measured: a certificate of its own signing, and the first flight of a client.
//! Must never be trusted by anyone.

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

const NAME: &str = "localhost";

/// A certificate and its key in files that are removed with this.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    _directory: TempDir,
}

impl Certificate {
    pub(crate) fn new() -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(io::Error::other)?;
        let (certificate, key) = (
            directory.path().join("certificate.pem"),
            directory.path().join("key.pem"),
        );
        fs::write(&certificate, made.cert.pem())?;
        fs::write(&key, made.signing_key.serialize_pem())?;
        Ok(Self {
            certificate,
            key,
            _directory: directory,
        })
    }
}

/// What a client sends first, and all that the peers ever send: they never look at a certificate.
pub(crate) fn client_hello() -> io::Result<Vec<u8>> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    let mut client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut flight = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut flight)?;
    }
    Ok(flight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::server::Acceptor;

    #[test]
    fn a_server_takes_the_first_flight_for_one() {
        let flight = client_hello().expect("a flight");
        let mut acceptor = Acceptor::default();
        let mut unread = flight.as_slice();
        acceptor.read_tls(&mut unread).expect("read");
        let accepted = acceptor.accept().expect("no alert").expect("a whole ClientHello");
        assert_eq!(accepted.client_hello().server_name(), Some(NAME));
        assert!(unread.is_empty());
    }

    #[test]
    fn the_files_are_what_they_are_called_and_go_away() {
        let made = Certificate::new().expect("a certificate");
        let read = |path| fs::read_to_string(path).expect("a file");
        assert!(read(&made.certificate).starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(read(&made.key).starts_with("-----BEGIN PRIVATE KEY-----"));
        let path = made.certificate.clone();
        drop(made);
        assert!(!path.exists());
    }
}
