//! Sockets that a service manager opened, for real: the test starts itself again, and a shell puts the listening
//! sockets where a service manager does.

use crate::support::{PATIENCE, start};
use netcore::{Address, Listen};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};

const IN_CHILD: &str = "NETCORE_TEST_ACTIVATED";

/// Standard input and output are the sockets, which become the descriptors 3 and 4; what the test says goes to
/// standard error.
const SCRIPT: &str = "exec 3<&0 4>&1 0</dev/null 1>&2; LISTEN_PID=$$ LISTEN_FDS=2; export LISTEN_PID LISTEN_FDS; exec \"$0\" \"$@\"";

#[test]
fn sockets_of_the_service_manager_are_served() {
    if std::env::var_os(IN_CHILD).is_some() {
        return serve_what_was_given();
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let unix = UnixListener::bind(&path).unwrap();
    let address = tcp.local_addr().unwrap();
    let child = Command::new("sh")
        .args(["-c", SCRIPT])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "activation::sockets_of_the_service_manager_are_served",
            "--nocapture",
        ])
        .env(IN_CHILD, "1")
        .stdin(Stdio::from(OwnedFd::from(tcp)))
        .stdout(Stdio::from(OwnedFd::from(unix)))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who connects before the child serves waits in the queue of the socket, which exists already.
    let over_tcp = TcpStream::connect(address).unwrap();
    over_tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let over_unix = UnixStream::connect(&path).unwrap();
    over_unix.set_read_timeout(Some(PATIENCE)).unwrap();
    let served = [echo(over_tcp), echo(over_unix)];
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    for outcome in served {
        assert_eq!(&outcome.unwrap(), b"\0\0\0\x05hello");
    }
    assert!(path.exists(), "the file is the service manager's");
}

/// Sends a frame and tells the server that this was all.
fn echo(mut stream: impl Read + Write) -> std::io::Result<[u8; 9]> {
    stream.write_all(b"\0\0\0\x05hello")?;
    let mut reply = [0; 9];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}

/// Serves one connection of each kind.
fn serve_what_was_given() {
    let given = Listen::activated().unwrap();
    assert_eq!(given.len(), 2);
    assert!(Listen::activated().unwrap().is_empty(), "they are taken");
    let running = start(|builder| {
        given
            .into_iter()
            .fold(builder, |builder, listen| builder.listen(listen))
    });
    assert!(matches!(running.server.addresses()[1], Address::Ip(_)));
    assert!(matches!(running.server.addresses()[2], Address::Unix(Some(_))));
    running.closed();
    running.closed();
}
