//! Running out of descriptors, for real: the test starts itself again in a shell that allows few of them.

use crate::support::{PATIENCE, start};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

const IN_CHILD: &str = "NETCORE_TEST_FEW_DESCRIPTORS";

#[test]
#[cfg(unix)]
fn accepting_survives_the_lack_of_descriptors() {
    if std::env::var_os(IN_CHILD).is_some() {
        return serve_with_few_descriptors();
    }
    let this = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
        .arg(this)
        .args([
            "--exact",
            "descriptors::accepting_survives_the_lack_of_descriptors",
            "--nocapture",
        ])
        .env(IN_CHILD, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{output:?}"
    );
}

/// Clients and server share the descriptors. Connections are opened until there are none left; then some are
/// given up, and the server must serve again, although the kernel says nothing new about its listener.
fn serve_with_few_descriptors() {
    let running = start(|builder| builder.loops(1));
    let address = running.server.local_addrs()[0];
    let mut streams = Vec::new();
    while let Ok(stream) = TcpStream::connect(address) {
        streams.push(stream);
        assert!(streams.len() < 64, "the limit is not in force");
    }
    assert!(streams.len() > 10, "{}", streams.len());
    // Some clients have no server end, or were turned away. All of them go, and until the server has noticed,
    // more can be turned away.
    drop(streams);
    let served = (0..100).any(|_| try_echo(address).is_ok());
    assert!(served);
}

fn try_echo(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"\0\0\0\x05hello")?;
    let mut reply = [0; 9];
    stream.read_exact(&mut reply)?;
    assert_eq!(&reply, b"\0\0\0\x05hello");
    Ok(())
}
