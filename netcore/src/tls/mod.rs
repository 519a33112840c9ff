//! Owns TLS, by rustls: our certificates, the authorities that we trust, and the encryption of one connection. Must
//! never touch a socket, and must cost plain connections nothing.
//!
//! A peer whose TCP connection ends without the `close_notify` of TLS has ended
//! ([`CloseReason::Eof`](crate::CloseReason::Eof)) if that is between two frames, and in the middle of a frame
//! otherwise: the frames tell whether a stream is whole.
//!
//! A [`TlsServer`] or [`TlsClient`] is a handle: its configuration can be replaced while connections go on, and those
//! keep the configuration they were made with. For anything that the two constructors here do not cover, bring a
//! configuration of your own, see [`TlsServer::new`].

mod session;

pub(crate) use session::Session;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;

/// Why a TLS configuration cannot be used.
///
/// ```
/// use netcore::tls::{ClientCertificates, TlsConfigError, TlsServer};
///
/// /// A description for the operator who must repair it.
/// fn check(chain: &[u8], key: &[u8]) -> Result<(), TlsConfigError> {
///     TlsServer::from_pem(chain, key, ClientCertificates::Unwanted, &[]).map(drop)
/// }
/// assert!(matches!(check(b"", b""), Err(TlsConfigError::NoCertificate)));
/// # let made = rcgen::generate_simple_self_signed(["chat.example.org".to_owned()])?;
/// # let (chain, key) = (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes());
/// assert!(matches!(check(&chain, b"a key of another kind"), Err(TlsConfigError::Pem(_))));
/// assert!(check(&chain, &key).is_ok());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A certificate or key cannot be read from its PEM text.
    #[error("not a usable PEM text: {0}")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// There is no certificate in the text.
    #[error("there is no certificate in the text")]
    NoCertificate,
    /// Certificate and key do not fit each other, or are of a kind that is not supported.
    #[error("the certificate or its key cannot be used: {0}")]
    Tls(#[source] rustls::Error),
    /// The certificates of the authorities that sign the clients' cannot be used.
    #[error("the clients' authorities cannot be used: {0}")]
    Authorities(#[source] rustls::server::VerifierBuilderError),
}

/// The certificates that a server asks its clients for.
///
/// ```
/// use netcore::tls::{ClientCertificates, TlsServer};
/// # use netcore::tls::TlsConfigError;
///
/// /// Between our own servers: both sides show a certificate of the same authority.
/// fn internal(chain: &[u8], key: &[u8], authority: &[u8]) -> Result<TlsServer, TlsConfigError> {
///     TlsServer::from_pem(chain, key, ClientCertificates::Required(authority), &[])
/// }
/// # let made = rcgen::generate_simple_self_signed(["chat.example.org".to_owned()])?;
/// # let (chain, key) = (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes());
/// # internal(&chain, &key, &chain)?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ClientCertificates<'a> {
    /// None.
    #[default]
    Unwanted,
    /// Those signed by these authorities, in PEM; a client without one is welcome, too.
    Optional(&'a [u8]),
    /// Those signed by these authorities, in PEM; other clients are refused.
    Required(&'a [u8]),
}

/// The TLS side of a listener. Clones are handles to the same configuration; can be used from any thread.
///
/// ```no_run
/// use netcore::Listen;
/// use netcore::tls::{ClientCertificates, TlsServer};
/// use std::net::SocketAddr;
///
/// fn load() -> Result<TlsServer, Box<dyn std::error::Error>> {
///     let (chain, key) = (std::fs::read("chain.pem")?, std::fs::read("key.pem")?);
///     Ok(TlsServer::from_pem(&chain, &key, ClientCertificates::Unwanted, &[b"chat/1"])?)
/// }
///
/// let tls = load()?;
/// let listen = Listen::from("0.0.0.0:7443".parse::<SocketAddr>()?).tls(tls.clone());
/// // When the certificate was renewed:
/// tls.replace_by(&load()?);
/// # let _ = listen;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TlsServer(Arc<RwLock<Arc<ServerConfig>>>);

impl TlsServer {
    /// A configuration made with rustls, which this crate re-exports.
    ///
    /// ```
    /// use netcore::rustls::ServerConfig;
    /// use netcore::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    /// use netcore::tls::TlsServer;
    /// use std::sync::Arc;
    /// # let made = rcgen::generate_simple_self_signed(["chat.example.org".to_owned()])?;
    /// # let (chain, key) = (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes());
    ///
    /// let certificate = CertificateDer::from_pem_slice(&chain)?;
    /// let mut config = ServerConfig::builder()
    ///     .with_no_client_auth()
    ///     .with_single_cert(vec![certificate], PrivateKeyDer::from_pem_slice(&key)?)?;
    /// // Our order of the cipher suites, not the client's.
    /// config.ignore_client_order = true;
    /// let tls = TlsServer::new(Arc::new(config));
    /// # let _ = tls;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(Arc::new(RwLock::new(config)))
    }

    /// TLS 1.2 and 1.3 with this certificate chain, the server's own first, and its key, both in PEM. `protocols`
    /// are offered by ALPN (RFC 7301) in this order; with none, ALPN is not used.
    ///
    /// # Errors
    /// The part that cannot be used; see [`TlsConfigError`].
    pub fn from_pem(
        certificates: &[u8],
        key: &[u8],
        clients: ClientCertificates<'_>,
        protocols: &[&[u8]],
    ) -> Result<Self, TlsConfigError> {
        server_config(certificates, key, clients, protocols).map(|config| Self::new(Arc::new(config)))
    }

    /// Replaces the configuration for connections that come from now on: a certificate is renewed without dropping a
    /// connection.
    ///
    /// ```
    /// # use netcore::tls::TlsServer;
    /// use netcore::rustls::ServerConfig;
    /// use std::sync::Arc;
    ///
    /// /// From now on without an obsolete protocol; connections that are open keep it.
    /// fn retire(tls: &TlsServer, mut config: ServerConfig, retired: &[u8]) {
    ///     config.alpn_protocols.retain(|protocol| protocol != retired);
    ///     tls.replace(Arc::new(config));
    /// }
    /// ```
    pub fn replace(&self, config: Arc<ServerConfig>) {
        *self.0.write() = config;
    }

    /// Replaces the configuration by that of another handle.
    pub fn replace_by(&self, other: &Self) {
        let config = other.config();
        self.replace(config);
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read())
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer").finish_non_exhaustive()
    }
}

fn server_config(
    certificates: &[u8],
    key: &[u8],
    clients: ClientCertificates<'_>,
    protocols: &[&[u8]],
) -> Result<ServerConfig, TlsConfigError> {
    let chain = read_certificates(certificates)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsConfigError::Pem)?;
    let verifier = |authorities| {
        let roots = Arc::new(read_roots(authorities)?);
        Ok(WebPkiClientVerifier::builder_with_provider(roots, provider()))
    };
    let verifier = match clients {
        ClientCertificates::Unwanted => Ok(WebPkiClientVerifier::no_client_auth()),
        ClientCertificates::Optional(authorities) => verifier(authorities)?.allow_unauthenticated().build(),
        ClientCertificates::Required(authorities) => verifier(authorities)?.build(),
    };
    let verifier = verifier.map_err(TlsConfigError::Authorities)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsConfigError::Tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(TlsConfigError::Tls)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

/// The TLS side of connections we make. Clones are cheap; can be used from any thread.
///
/// ```no_run
/// use netcore::Connect;
/// use netcore::tls::TlsClient;
/// use std::net::SocketAddr;
///
/// let config = TlsClient::config_from_pem(&std::fs::read("authorities.pem")?, None, &[b"chat/1"])?;
/// let tls = TlsClient::new(config, "chat.example.org")?;
/// let connect = Connect::to("192.0.2.1:7443".parse::<SocketAddr>()?).tls(tls);
/// # let _ = connect;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsClient {
    /// A configuration made with rustls, and the name that the server's certificate must be for.
    ///
    /// # Errors
    /// `name` is neither a DNS name nor an IP address.
    pub fn new(config: Arc<ClientConfig>, name: &str) -> Result<Self, InvalidDnsNameError> {
        let name = ServerName::try_from(name.to_owned())?;
        Ok(Self { config, name })
    }

    /// TLS 1.2 and 1.3, trusting servers whose certificates these authorities signed, in PEM. `own` is the certificate
    /// chain and the key for a server that asks for one. `protocols` are offered by ALPN in this order.
    ///
    /// # Errors
    /// The part that cannot be used; see [`TlsConfigError`].
    ///
    /// ```
    /// use netcore::tls::TlsClient;
    /// # let made = rcgen::generate_simple_self_signed(["chat.example.org".to_owned()])?;
    /// # let (chain, key) = (made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes());
    /// # let (authorities, chain_and_key) = (chain.as_slice(), (chain.as_slice(), key.as_slice()));
    ///
    /// // For a server that wants to see our certificate. One configuration serves any number of connections.
    /// let config = TlsClient::config_from_pem(authorities, Some(chain_and_key), &[b"chat/2", b"chat/1"])?;
    /// for node in ["node1.example.org", "node2.example.org", "192.0.2.3"] {
    ///     let tls = TlsClient::new(config.clone(), node)?;
    /// #     let _ = tls;
    ///     // Connect::to(...).tls(tls)
    /// }
    /// assert!(TlsClient::new(config, "not a name").is_err());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn config_from_pem(
        authorities: &[u8],
        own: Option<(&[u8], &[u8])>,
        protocols: &[&[u8]],
    ) -> Result<Arc<ClientConfig>, TlsConfigError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsConfigError::Tls)?
            .with_root_certificates(read_roots(authorities)?);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some((certificates, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key).map_err(TlsConfigError::Pem)?;
                builder
                    .with_client_auth_cert(read_certificates(certificates)?, key)
                    .map_err(TlsConfigError::Tls)?
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The result of a TLS handshake.
///
/// ```
/// use netcore::tls::TlsInfo;
/// use netcore::{ConnCx, Handler};
///
/// /// To be called in `on_open`: the version of the protocol, and whether the client has shown a certificate.
/// fn agreed<H: Handler>(cx: &ConnCx<'_, H>) -> (u32, bool) {
///     let Some(TlsInfo { alpn, certificates, .. }) = cx.tls() else {
///         return (1, false);
///     };
///     let version = if alpn.as_deref() == Some(b"chat/2") { 2 } else { 1 };
///     (version, !certificates.is_empty())
/// }
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The application protocol that ALPN chose.
    pub alpn: Option<Vec<u8>>,
    /// The host name that the client asked for.
    pub server_name: Option<String>,
    /// The peer's certificates, its own first, in DER; empty if it showed none. They have been verified.
    pub certificates: Vec<Vec<u8>>,
    /// The version and cipher suite, for logs.
    pub parameters: String,
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn read_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(TlsConfigError::Pem)?;
    if certificates.is_empty() {
        return Err(TlsConfigError::NoCertificate);
    }
    Ok(certificates)
}

fn read_roots(pem: &[u8]) -> Result<RootCertStore, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(pem)? {
        roots.add(certificate).map_err(TlsConfigError::Tls)?;
    }
    Ok(roots)
}
