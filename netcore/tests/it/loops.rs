//! How loops get their connections, and where they run.

use crate::support::{Commands, start};
use netcore::{Accept, Admission};
#[cfg(target_os = "linux")]
use netcore::{Pinning, Server, StartError};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

#[cfg(unix)]
#[test]
fn with_reuse_port_every_loop_gets_some_connections_and_serves_them() {
    let running = start(|builder| builder.loops(4).accept(Accept::ReusePort));
    let mut per_loop = [0; 4];
    // By a hash of the addresses: that one loop of four gets none of 200 has a probability of 1e-24.
    let mut clients: Vec<_> = (0..200).map(|_| running.connect()).collect();
    for client in &mut clients {
        client.send(&[b"hello"]);
        assert_eq!(client.receive_text(), "hello");
        per_loop[running.opened().loop_id().index()] += 1;
    }
    assert!(per_loop.iter().all(|count| *count > 0), "{per_loop:?}");
}

#[test]
fn dispatching_gives_every_loop_the_same_number() {
    let running = start(|builder| builder.loops(4));
    let mut per_loop = [0; 4];
    let mut clients: Vec<_> = (0..40).map(|_| running.connect()).collect();
    for client in &mut clients {
        client.send(&[b"hello"]);
        assert_eq!(client.receive_text(), "hello");
        per_loop[running.opened().loop_id().index()] += 1;
    }
    assert_eq!(per_loop, [10; 4]);
}

/// The processors that the calling thread may run on.
#[cfg(target_os = "linux")]
fn allowed() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.unwrap().trim().to_owned()
}

#[cfg(target_os = "linux")]
#[test]
fn a_pinned_loop_runs_on_its_processor_only() {
    let all = allowed();
    // The last one: a loop that is not pinned may run on others, too, unless there is but one.
    let last = all.rsplit([',', '-']).next().unwrap().to_owned();
    let processor = last.parse().unwrap();
    let error = Server::builder::<Commands>()
        .loops(1)
        .pinning(Pinning::Processors(vec![processor]))
        // The factory runs on the thread of the loop.
        .start(|_, _| Err::<Commands, _>(format!("allowed: {}", allowed())))
        .unwrap_err();
    assert!(
        error.to_string().ends_with(&format!("allowed: {last}")),
        "{error}"
    );
    assert_eq!(allowed(), all, "other threads stay where they were");
}

#[cfg(target_os = "linux")]
#[test]
fn a_processor_that_does_not_exist_fails_the_start() {
    for missing in [1023, 1_000_000] {
        let error = Server::builder::<Commands>()
            .loops(2)
            .pinning(Pinning::Processors(vec![missing]))
            .start(|_, _| Err::<Commands, _>("not reached"))
            .unwrap_err();
        assert!(
            matches!(error, StartError::Pinning { processor, .. } if processor == missing),
            "{error}"
        );
    }
}

/// A connection from this address, and whether it is served.
#[cfg(target_os = "linux")]
fn serve_from(source: [u8; 4], to: SocketAddr) -> Option<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    // One that is turned away may be reset at any moment.
    let mut reply = [0; 5];
    let served = stream
        .write_all(b"\0\0\0\x01a")
        .and_then(|()| stream.read_exact(&mut reply));
    served.ok().map(|()| stream)
}

// Elsewhere 127.0.0.1 is the only address of its network.
#[cfg(target_os = "linux")]
#[test]
fn a_source_gets_so_many_connections_and_others_are_not_concerned() {
    let admission = Admission {
        per_source: Some(2),
        exempt: vec!["127.0.0.9".parse().unwrap()],
        ..Admission::default()
    };
    let running = start(|builder| builder.admission(admission));
    let to = running.server.local_addrs()[0];
    let (greedy, other, exempt) = ([127, 0, 0, 2], [127, 0, 0, 3], [127, 0, 0, 9]);
    let first = serve_from(greedy, to).unwrap();
    let _second = serve_from(greedy, to).unwrap();
    assert!(serve_from(greedy, to).is_none());
    let _other = serve_from(other, to).unwrap();
    let _exempt: Vec<_> = (0..5).map(|_| serve_from(exempt, to).unwrap()).collect();
    drop(first);
    // As soon as the server has noticed.
    while serve_from(greedy, to).is_none() {}
}
