//! Frames in both directions, between threads, and to everybody.

use crate::support::{Message, PATIENCE, start};
use bytes::{Bytes, BytesMut};
use netcore::codec::{Codec, LengthPrefixed};
use netcore::{Outbound, PostError};
use std::io::Write;
use std::thread;

#[test]
fn large_and_small_frames_come_back_in_order() {
    let running = start(|builder| builder);
    let mut client = running.connect();
    let sizes = [0, 1, 1000, 65_531, 65_532, 65_533, 200_000, 3, 900_000, 5];
    for size in sizes {
        let frame: Vec<u8> = (0..size).map(|index| index as u8).collect();
        client.send(&[&frame]);
        assert!(client.receive().unwrap() == frame, "a frame of {size} bytes");
    }
}

#[test]
fn a_frame_sent_byte_by_byte_is_one_frame() {
    let running = start(|builder| builder);
    let mut client = running.connect();
    client.0.set_nodelay(true).unwrap();
    for byte in b"\0\0\0\x05hello" {
        client.0.write_all(&[*byte]).unwrap();
    }
    assert_eq!(client.receive_text(), "hello");
}

#[test]
fn connections_are_spread_over_the_loops_and_messages_reach_all() {
    let running = start(|builder| builder);
    let mut clients: Vec<_> = (0..10).map(|_| running.connect()).collect();
    let mut per_loop = [0; 2];
    for _ in 0..clients.len() {
        per_loop[running.opened().loop_id().index()] += 1;
    }
    assert_eq!(per_loop, [5, 5]);
    assert_eq!(running.server.connections(), 10);

    let mut frame = BytesMut::new();
    LengthPrefixed::new(100)
        .encode(b"to all of you", &mut frame)
        .unwrap();
    let frame = frame.freeze();
    let remote = running.server.remote();
    assert_eq!(remote.loop_count(), 2);
    for loop_id in remote.loops() {
        remote.post(loop_id, Message::ToAll(frame.clone())).unwrap();
    }
    for client in &mut clients {
        assert_eq!(client.receive_text(), "to all of you");
    }
}

#[test]
fn answers_of_workers_keep_the_order_of_their_requests() {
    // The pool takes 8 tasks: most of these are refused at first, and reading pauses.
    let running = start(|builder| builder);
    let clients: Vec<_> = (0..4).map(|_| running.connect()).collect();
    let threads: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            thread::spawn(move || {
                let requests: Vec<_> = (0..500).map(|number| format!("work:{number}")).collect();
                let requests: Vec<_> = requests.iter().map(String::as_bytes).collect();
                client.send(&requests);
                for number in 0..500 {
                    assert_eq!(client.receive_text(), format!("done:{number}"));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(running.pool.stats().completed, 2000);
    assert!(running.pool.stats().refused > 0, "the limit was met");
}

#[test]
fn a_client_that_never_reads_costs_a_bounded_queue_and_nobody_else() {
    let outbound = Outbound {
        limit: 200_000,
        ..Outbound::default()
    };
    let running = start(|builder| builder.outbound(outbound).loops(1));
    let mut slow = running.connect();
    let mut other = running.connect();
    // Each of them queues until the limit refuses more; then reading of the slow one pauses.
    for _ in 0..20 {
        slow.send(&[b"flood"]);
    }
    for number in 0..200 {
        let frame = format!("still served {number}");
        other.send(&[frame.as_bytes()]);
        assert_eq!(other.receive_text(), frame);
    }
    drop(slow);
}

#[test]
fn a_slow_client_gets_everything_once_it_reads() {
    let running = start(|builder| builder);
    let mut client = running.connect();
    let mut writer = second_handle(&client);
    let frame = vec![7; 50_000];
    let sent = frame.clone();
    let sender = thread::spawn(move || {
        for _ in 0..200 {
            writer.send(&[&sent]);
        }
    });
    for _ in 0..200 {
        assert!(client.receive().unwrap() == frame);
    }
    sender.join().unwrap();
}

fn second_handle(client: &crate::support::Client) -> crate::support::Client {
    crate::support::Client(client.0.try_clone().unwrap())
}

#[test]
fn the_mailbox_refuses_instead_of_growing() {
    let running = start(|builder| builder.mailbox(3, 2).loops(1));
    let remote = running.server.remote().clone();
    let loop_id = remote.loops().next().unwrap();
    let permits: Vec<_> = std::iter::from_fn(|| remote.reserve(loop_id).ok())
        .take(10)
        .collect();
    assert_eq!(permits.len(), 2);
    drop(permits);
    assert!(remote.reserve(loop_id).is_ok());
    drop(running);
    let late = remote.post(loop_id, Message::ToAll(Bytes::new()));
    assert!(matches!(late, Err(PostError::Stopped(Message::ToAll(_)))));
}

#[test]
fn accepted_sockets_do_not_delay_small_writes() {
    // The server sets the option on its listeners and relies on this there.
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.set_tcp_nodelay(true).unwrap();
    listener
        .bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into())
        .unwrap();
    listener.listen(1).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let _client = std::net::TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    if cfg!(target_os = "linux") {
        assert!(
            accepted.tcp_nodelay().unwrap(),
            "accepted sockets inherit the option"
        );
    }
}
