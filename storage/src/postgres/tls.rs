//! The way to the server: in plain text, or encrypted by rustls with a certificate that proves the server's name.
//! It must never accept a certificate that it cannot trace to the roots it was given.

use std::{path::Path, sync::Arc};

use postgres::{Client, Config, NoTls};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Cause, OpenError};

pub(super) enum Tls {
    /// Without certificates to trust, no server can prove its identity.
    Plain,
    Verified(MakeRustlsConnect),
}

impl Tls {
    /// Trusts the certificates in a PEM file; without a file, none.
    pub(super) fn new(roots: Option<&Path>) -> Result<Self, OpenError> {
        let Some(path) = roots else {
            return Ok(Self::Plain);
        };
        let cannot = |error: &dyn std::fmt::Display| {
            OpenError::failed(
                format!(
                    "the root certificates in {} cannot be used: {error}",
                    path.display()
                ),
                Cause::text(error.to_string()),
            )
        };
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| cannot(&error))? {
            let certificate = certificate.map_err(|error| cannot(&error))?;
            store.add(certificate).map_err(|error| cannot(&error))?;
        }
        if store.is_empty() {
            return Err(cannot(&"there are none"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| cannot(&error))?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Self::Verified(MakeRustlsConnect::new(config)))
    }

    pub(super) const fn is_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }

    pub(super) fn connect(&self, config: &Config) -> Result<Client, postgres::Error> {
        match self {
            Self::Plain => config.connect(NoTls),
            Self::Verified(connector) => config.connect(connector.clone()),
        }
    }
}
