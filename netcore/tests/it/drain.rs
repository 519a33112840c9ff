//! The phases of a drain, and telling connections of it little by little.

use crate::support::{Client, PATIENCE, Running, start};
use netcore::{Drain, ServerPhase, Timeouts};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// A server whose connections end when their clients do, with some of them.
fn start_with(count: usize) -> (Running, Vec<Client>) {
    let running = start(|builder| {
        builder.timeouts(Timeouts {
            linger: Duration::MAX,
            ..Timeouts::default()
        })
    });
    let clients: Vec<_> = (0..count).map(|_| running.connect()).collect();
    for _ in 0..count {
        running.opened();
    }
    (running, clients)
}

#[test]
fn a_drain_goes_through_its_phases() {
    let (running, mut clients) = start_with(4);
    let server = &running.server;
    assert_eq!(server.phase(), ServerPhase::Running);
    thread::scope(|scope| {
        let drain = scope.spawn(|| server.drain(Duration::MAX));
        assert_eq!(
            server.wait_for_phase(ServerPhase::Finishing, PATIENCE),
            ServerPhase::Finishing
        );
        for client in &mut clients {
            assert_eq!(client.receive_text(), "goodbye");
        }
        // Everybody has been told, and nobody has gone.
        assert_eq!(server.connections(), 4);
        clients.clear();
        let report = drain.join().unwrap();
        assert_eq!((report.drained, report.aborted), (4, 0));
    });
    assert_eq!(server.phase(), ServerPhase::Finishing);
}

#[test]
fn a_drain_that_takes_too_long_ends_with_aborts() {
    let (running, clients) = start_with(3);
    let report = running.server.drain(Duration::from_millis(100));
    assert_eq!((report.drained, report.aborted), (0, 3));
    assert_eq!(running.server.phase(), ServerPhase::Aborting);
    drop(clients);
}

#[test]
fn connections_are_told_over_the_time_of_the_spread() {
    let (running, mut clients) = start_with(4);
    let server = &running.server;
    thread::scope(|scope| {
        let slow = scope.spawn(|| {
            server.drain_with(Drain {
                within: PATIENCE,
                spread: HOUR,
            })
        });
        assert_eq!(
            server.wait_for_phase(ServerPhase::Announcing, PATIENCE),
            ServerPhase::Announcing
        );
        while TcpStream::connect(server.local_addrs()[0]).is_ok() {
            thread::yield_now();
        }
        // It is nobody's turn yet: all are served as before.
        for client in &mut clients {
            client.send(&[b"still here"]);
            assert_eq!(client.receive_text(), "still here");
        }
        assert_eq!(server.phase(), ServerPhase::Announcing);
        // Who cannot wait sets an earlier deadline.
        server.drain(Duration::ZERO);
        let report = slow.join().unwrap();
        // An attempt to connect may have been accepted just before the end of that, and has ended by itself.
        assert_eq!(report.aborted, 4);
    });
}

#[test]
fn in_the_end_of_the_spread_all_have_been_told() {
    let (running, mut clients) = start_with(6);
    let server = &running.server;
    thread::scope(|scope| {
        let drain = scope.spawn(|| {
            server.drain_with(Drain {
                within: PATIENCE,
                spread: Duration::from_millis(200),
            })
        });
        for client in &mut clients {
            assert_eq!(client.receive_text(), "goodbye");
        }
        assert_eq!(
            server.wait_for_phase(ServerPhase::Finishing, PATIENCE),
            ServerPhase::Finishing
        );
        clients.clear();
        assert_eq!(drain.join().unwrap().drained, 6);
    });
}
