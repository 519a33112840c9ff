//! Unix sockets: the file of one, and connections over it.

use crate::support::{Commands, PATIENCE, Running, start};
use netcore::{Address, Listen, Server, StartError};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

fn start_at(path: &Path, mode: Option<u32>) -> Running {
    start(|builder| builder.listen(Listen::unix(path, mode)))
}

/// Why a server does not start at this path.
fn refused(path: &Path) -> StartError {
    Server::builder::<Commands>()
        .listen(Listen::unix(path, None))
        .start(|_, _| Err::<Commands, _>("not reached"))
        .unwrap_err()
}

fn echo(path: &Path) {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"\0\0\0\x05hello").unwrap();
    let mut reply = [0; 9];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"\0\0\0\x05hello");
}

#[test]
fn a_server_listens_at_a_path_with_the_mode_it_is_given_and_removes_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let running = start_at(&path, Some(0o640));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(
        running.server.addresses()[1],
        Address::Unix(Some(path.as_path().into()))
    );
    echo(&path);
    running.server.shutdown();
    assert!(!path.exists());
}

#[test]
fn a_file_that_a_dead_server_left_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    drop(UnixListener::bind(&path).unwrap());
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    let _running = start_at(&path, None);
    echo(&path);
}

#[test]
fn the_file_of_a_living_server_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let _running = start_at(&path, None);
    assert!(matches!(refused(&path), StartError::Bind { on, .. } if on == path.display().to_string()));
    echo(&path);
}

#[test]
fn what_is_no_socket_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    fs::write(&path, "precious").unwrap();
    assert!(matches!(refused(&path), StartError::Bind { .. }));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

/// A server that drains has closed its listener, so its successor takes the path over.
#[test]
fn the_file_of_a_successor_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let old = start_at(&path, None);
    old.server.stop_accepting();
    while UnixStream::connect(&path).is_ok() {
        thread::yield_now();
    }
    let _new = start_at(&path, None);
    old.server.shutdown();
    echo(&path);
}

#[test]
fn a_path_that_is_reserved_is_taken_and_whoever_connects_waits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let reserved = Listen::reserve_unix(&path, Some(0o600)).unwrap();
    assert!(Listen::reserve_unix(&path, None).is_err());
    let mut early = UnixStream::connect(&path).unwrap();
    early.write_all(b"\0\0\0\x02hi").unwrap();
    let running = start(|builder| builder.listen(reserved));
    let mut reply = [0; 6];
    early.set_read_timeout(Some(PATIENCE)).unwrap();
    early.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"\0\0\0\x02hi");
    running.server.shutdown();
    assert!(!path.exists());
    drop(Listen::reserve_unix(&path, None).unwrap());
    assert!(!path.exists(), "what is not started leaves nothing");
}

/// Only root can ask as another user; whoever runs the tests as somebody else sees that the own user is served.
#[cfg(target_os = "linux")]
#[test]
fn a_private_socket_serves_its_own_user_and_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = directory.path().join("socket");
    let running = start(|builder| builder.listen(Listen::unix(&path, Some(0o666)).own_user_only()));
    echo(&path);
    if rustix::process::geteuid().is_root() {
        let ended = as_nobody(&path);
        // The connection is made, and closed without an answer.
        assert_eq!(ended, Some(0), "an answer came");
    }
    echo(&path);
    running.server.shutdown();
}

/// Sends a frame as another user; the number of bytes that came back, `None` if it cannot be tried.
#[cfg(target_os = "linux")]
fn as_nobody(path: &Path) -> Option<usize> {
    use std::os::unix::process::CommandExt;

    const NOBODY: u32 = 65_534;
    let script = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                  try:\n s.sendall(b'\\0\\0\\0\\5hello')\n n = len(s.recv(64))\nexcept OSError:\n n = 0\nsys.exit(n)";
    let status = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(path)
        .uid(NOBODY)
        .status()
        .unwrap();
    status.code().and_then(|code| usize::try_from(code).ok())
}
