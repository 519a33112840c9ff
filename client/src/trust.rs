//! The verification of servers' certificates: by the authorities of the system, by authorities of one's own, or by a
//! key that is known beforehand. It must never accept a certificate that the settings do not trust.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use sha2::{Digest, Sha256};

/// What is spoken, as ALPN has it (RFC 7301).
const ALPN: &[u8] = b"imserver/1";

/// What a server's certificate must be.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Trust {
    /// For the server's name, and signed by an authority that the system knows.
    #[default]
    System,
    /// For the server's name, and signed by an authority of this PEM file, or itself in it.
    Authorities(PathBuf),
    /// Of this key, whatever it says: for servers that sign their own.
    Pin(Pin),
}

/// The SHA-256 of a public key as certificates have it (the DER of its SubjectPublicKeyInfo): it stays the same when the
/// certificate is renewed with the same key. Written as 64 hexadecimal digits.
///
/// ```
/// use client::Pin;
///
/// let pin: Pin = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff".parse()?;
/// assert!(pin.to_string().starts_with("0011"));
/// # Ok::<_, &str>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pin([u8; 32]);

impl FromStr for Pin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "a pin is the SHA-256 of the server's public key: 64 hexadecimal digits";
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(wrong);
        }
        let mut pin = [0; 32];
        for (byte, pair) in pin.iter_mut().zip(digits.chunks(2)) {
            let value = |digit: u8| char::from(digit).to_digit(16).ok_or(wrong);
            let &[high, low] = pair else { return Err(wrong) };
            *byte = (value(high)? << 4 | value(low)?) as u8;
        }
        Ok(Self(pin))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl Trust {
    /// The client's side of TLS 1.2 and 1.3 that believes as told.
    ///
    /// # Errors
    /// What cannot be used, in a sentence.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let mut config = match self {
            Self::System => builder
                .with_root_certificates(system_roots()?)
                .with_no_client_auth(),
            Self::Authorities(path) => {
                let roots = roots_of(path).map_err(|why| format!("{}: {why}", path.display()))?;
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            Self::Pin(pin) => {
                let verifier = Arc::new(Pinned { pin: *pin, provider });
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(verifier)
                    .with_no_client_auth()
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Arc::new(config))
    }
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems have some that no library reads.
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(
            "this system has no list of authorities: name a file of them, or the server's key".to_owned(),
        );
    }
    Ok(roots)
}

fn roots_of(path: &std::path::Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    Ok(roots)
}

/// Believes the owner of one key.
#[derive(Debug)]
struct Pinned {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        let shown = Pin(Sha256::digest(&*key).into());
        if shown == self.pin {
            return Ok(ServerCertVerified::assertion());
        }
        let why = format!("the server's key is another one: its SHA-256 is {shown}");
        Err(CertificateError::Other(rustls::OtherError(Arc::new(Mismatch(why)))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// The key that came is not the one that is known.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Mismatch(String);
