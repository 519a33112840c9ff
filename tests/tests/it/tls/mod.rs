//! TLS, and proxies in front: with programs that others wrote.

mod certificates;
mod clients;
mod hostile;
mod programs;
mod proxies;

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tempfile::TempDir;
use tests::harness::{Connection, Daemon, PATIENCE, Setup};

/// A header of a proxy that stands for this client.
fn header(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 192.0.2.254 4000 7400\r\n").into_bytes()
}

/// An authority, and the certificate of a daemon in files.
struct Pki {
    directory: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // The certificates that it signs have another name.
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(
            directory.path().join("ca.pem"),
            params.self_signed(&key).unwrap().pem(),
        )
        .unwrap();
        let pki = Self {
            directory,
            issuer: Issuer::new(params, key),
        };
        pki.renew();
        pki
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn authorities(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Another certificate and key in the same files; each appears whole.
    fn renew(&self) {
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned()];
        let certificate = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &self.issuer);
        for (name, text) in [
            ("cert.pem", certificate.unwrap().pem()),
            ("key.pem", key.serialize_pem()),
        ] {
            let new = self.path("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, self.path(name)).unwrap();
        }
    }

    /// The daemon's section.
    fn section(&self) -> String {
        format!(
            "[tls]\ncertificate = {:?}\nkey = {:?}\n",
            self.path("cert.pem"),
            self.path("key.pem")
        )
    }

    /// A daemon that encrypts for whoever wants it.
    fn daemon(&self) -> Daemon {
        Setup::config(&self.section()).start()
    }

    /// One that a client finds by the name in the certificate.
    fn at_localhost(&self) -> Daemon {
        let setup = Setup::config(&format!(
            "{}[[listen]]\naddress = \"127.0.0.1:0\"\n",
            self.section()
        ));
        Setup {
            listens_itself: true,
            ..setup
        }
        .start()
    }

    /// One whose connections all come through a proxy.
    fn proxied(&self, config: &str) -> Daemon {
        let setup = Setup::config(&format!(
            "{config}\n{}[[listen]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = [\"127.0.0.0/8\"]\n",
            self.section()
        ));
        Setup {
            listens_itself: true,
            ..setup
        }
        .start()
    }

    /// The client's side.
    fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(self.authorities()).unwrap();
        roots.add(authority).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }

    /// An encrypted connection.
    fn connect(&self, daemon: &Daemon) -> Connection {
        daemon.connect().encrypted(&self.client()).unwrap()
    }
}

/// A connection that a proxy made for this client, not encrypted yet.
fn through(daemon: &Daemon, client: &str) -> Connection {
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    std::io::Write::write_all(&mut stream, &header(client)).unwrap();
    Connection::on(stream).unwrap()
}

/// An address that is free now.
pub(crate) fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Connects to a proxy from one of this machine's own addresses.
pub(crate) fn from(source: [u8; 4], proxy: SocketAddr) -> TcpStream {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    rustix::net::bind(&socket, &SocketAddr::from((source, 0))).unwrap();
    rustix::net::connect(&socket, &proxy).unwrap();
    TcpStream::from(socket)
}

/// A program of somebody else's; `xtask test` installs it where it may.
pub(crate) fn program(name: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = places.find_map(|place| Some(place.join(name)).filter(|path| path.is_file()));
    let Some(program) = found else {
        panic!("{name} is not installed: install the package of that name");
    };
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A program that runs until it is dropped.
pub(crate) struct Running(std::process::Child);

impl Running {
    /// Waits until somebody listens there.
    pub(crate) fn start(command: &mut Command, address: SocketAddr, log: &Path) -> Self {
        let mut running = Self(command.spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let ended = running.0.try_wait().unwrap();
            let said = || std::fs::read_to_string(log).unwrap_or_default();
            assert!(ended.is_none(), "it ended with {ended:?}: {}", said());
            assert!(
                Instant::now() < deadline,
                "nobody listens on {address}: {}",
                said()
            );
            std::thread::park_timeout(Duration::from_millis(10));
        }
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
