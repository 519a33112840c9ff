//! Runs `tls-echo` as its users do: as a process, over sockets, with rustls as the client.

mod support;

use netcore::rustls::pki_types::{CertificateDer, ServerName};
use netcore::rustls::{ClientConnection, StreamOwned};
use netcore::tls::TlsClient;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use support::{Program, refusal};
use tempfile::TempDir;

const TLS_ECHO: &str = env!("CARGO_BIN_EXE_tls-echo");

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A certificate and its key, in PEM.
struct Identity {
    certificate: String,
    key: String,
}

/// An authority of the test's own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    fn issue(&self, name: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        Identity {
            certificate: params.signed_by(&key, &self.issuer).expect("a certificate").pem(),
            key: key.serialize_pem(),
        }
    }
}

/// A directory with the server's files.
fn files(authority: &Authority, identity: &Identity) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    write(directory.path(), identity);
    std::fs::write(directory.path().join("authorities.pem"), &authority.certificate).expect("written");
    directory
}

fn write(directory: &Path, identity: &Identity) {
    std::fs::write(directory.join("chain.pem"), &identity.certificate).expect("written");
    std::fs::write(directory.join("key.pem"), &identity.key).expect("written");
}

fn start(directory: &Path, with_clients: bool) -> Program {
    let file = |name| directory.join(name).into_os_string().into_string().expect("text");
    let (certificate, key, authorities) = (file("chain.pem"), file("key.pem"), file("authorities.pem"));
    let mut arguments = vec!["--threads", "2", "--certificate", &certificate, "--key", &key];
    if with_clients {
        arguments.extend(["--client-authorities", &authorities]);
    }
    Program::start_with(TLS_ECHO, &arguments)
}

fn connect(program: &Program, authority: &Authority, own: Option<&Identity>) -> Tls {
    let own = own.map(|own| (own.certificate.as_bytes(), own.key.as_bytes()));
    let config = TlsClient::config_from_pem(authority.certificate.as_bytes(), own, &[]).expect("usable");
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(config, name).expect("a connection");
    StreamOwned::new(connection, program.connect())
}

fn exchange(tls: &mut Tls, body: &[u8]) -> std::io::Result<()> {
    let frame = [&(body.len() as u32).to_be_bytes(), body].concat();
    let mut answer = vec![0; frame.len()];
    tls.write_all(&frame)?;
    tls.read_exact(&mut answer)?;
    assert!(answer == frame, "the frame came back changed");
    Ok(())
}

fn shown(tls: &Tls) -> Vec<CertificateDer<'static>> {
    tls.conn.peer_certificates().expect("certificates").to_vec()
}

#[test]
fn frames_come_back_encrypted() {
    let authority = Authority::new();
    let directory = files(&authority, &authority.issue("localhost"));
    let program = start(directory.path(), false);
    let mut tls = connect(&program, &authority, None);
    let long: Vec<u8> = (0..300_000_u32).map(|index| index as u8).collect();
    for body in [&b"hello"[..], b"", &long] {
        exchange(&mut tls, body).expect("an answer");
    }
    tls.conn.send_close_notify();
    assert_eq!(tls.read(&mut [0; 1]).expect("a farewell"), 0);
}

#[test]
fn plaintext_is_answered_with_an_end() {
    let authority = Authority::new();
    let directory = files(&authority, &authority.issue("localhost"));
    let program = start(directory.path(), false);
    let mut stream = program.connect();
    stream.write_all(b"\0\0\0\x05hello").expect("written");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an end");
    assert!(!answer.ends_with(b"hello"), "{answer:?}");
}

#[test]
fn only_clients_with_a_certificate_get_in_if_that_is_asked_for() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let directory = files(&authority, &authority.issue("localhost"));
    let program = start(directory.path(), true);
    let mut welcome = connect(&program, &authority, Some(&authority.issue("client")));
    exchange(&mut welcome, b"hello").expect("an answer");
    exchange(&mut connect(&program, &authority, None), b"hello").expect_err("no certificate");
    let other = stranger.issue("client");
    exchange(&mut connect(&program, &authority, Some(&other)), b"hello").expect_err("another authority");
    exchange(&mut welcome, b"hello again").expect("an answer");
}

#[cfg(unix)]
#[test]
fn a_renewed_certificate_is_shown_to_new_connections_and_drops_none() {
    use rustix::process::{Pid, Signal, kill_process};

    let authority = Authority::new();
    let directory = files(&authority, &authority.issue("localhost"));
    let mut program = start(directory.path(), false);
    let pid = Pid::from_child(&program.process);
    let mut before = connect(&program, &authority, None);
    exchange(&mut before, b"before").expect("an answer");

    write(directory.path(), &authority.issue("localhost"));
    kill_process(pid, Signal::HUP).expect("signalled");
    assert_eq!(program.line(), "read the certificate again");
    let mut after = connect(&program, &authority, None);
    exchange(&mut after, b"after").expect("an answer");
    assert_ne!(shown(&before), shown(&after));
    exchange(&mut before, b"and still").expect("an answer");

    std::fs::write(directory.path().join("key.pem"), "nonsense").expect("written");
    kill_process(pid, Signal::HUP).expect("signalled");
    let said = program.line();
    assert!(said.starts_with("kept the old certificate: "), "{said}");
    let mut kept = connect(&program, &authority, None);
    exchange(&mut kept, b"kept").expect("an answer");
    assert_eq!(shown(&after), shown(&kept));
}

#[test]
fn files_that_cannot_be_used_are_an_error_and_not_a_panic() {
    let authority = Authority::new();
    let directory = files(&authority, &authority.issue("localhost"));
    let file = |name| {
        directory
            .path()
            .join(name)
            .into_os_string()
            .into_string()
            .expect("text")
    };
    let (code, complaint) = refusal(
        TLS_ECHO,
        &["--certificate", &file("missing.pem"), "--key", &file("key.pem")],
    );
    assert_eq!(code, Some(1));
    assert!(complaint.starts_with("tls-echo: cannot read "), "{complaint}");
    // The key of another certificate.
    std::fs::write(directory.path().join("key.pem"), authority.issue("localhost").key).expect("written");
    let (code, complaint) = refusal(
        TLS_ECHO,
        &[
            "--listen",
            "127.0.0.1:0",
            "--certificate",
            &file("chain.pem"),
            "--key",
            &file("key.pem"),
        ],
    );
    assert_eq!(code, Some(1));
    assert!(
        complaint.starts_with("tls-echo: the certificate or its key cannot be used"),
        "{complaint}"
    );
}
