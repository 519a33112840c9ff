//! The load against servers that do not do what they should.

use super::*;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

const WINDOW: usize = 4;
const FRAME_BYTES: usize = HEADER_BYTES + 32;

/// Loads a server that reads windows and answers each with what `change` makes of it, given how many went before.
fn run_against(change: fn(usize, Vec<u8>) -> Vec<u8>) -> io::Result<Report> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let server = listener.local_addr()?;
    let answering = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        for number in 0.. {
            let mut window = vec![0; WINDOW * FRAME_BYTES];
            // The load ends the connection when it has enough.
            if stream.read_exact(&mut window).is_err() || stream.write_all(&change(number, window)).is_err() {
                return;
            }
        }
    });
    let report = run(&Plan {
        server,
        server_pid: std::process::id(),
        connections: 1,
        size: FRAME_BYTES - HEADER_BYTES,
        window: WINDOW,
        until: Until::Windows(3),
    });
    // A server that panicked has closed the connection, which is an error already.
    drop(answering.join());
    report
}

#[track_caller]
fn refused(change: fn(usize, Vec<u8>) -> Vec<u8>, complaint: &str) {
    let error = run_against(change).expect_err("a wrong answer");
    assert_eq!(error.to_string(), complaint);
}

/// Changes one byte of the second window.
fn with_change_at(place: usize, number: usize, mut window: Vec<u8>) -> Vec<u8> {
    if number == 1 {
        window[place] ^= 1;
    }
    window
}

#[test]
fn right_answers_are_counted() {
    let report = run_against(|_, window| window).expect("a report");
    assert_eq!(report.messages, 3 * WINDOW as u64);
    assert!(report.latency_us_p50 > 0.0 && report.latency_us_p50 <= report.latency_us_p99);
}

#[test]
fn a_changed_length_is_noticed() {
    refused(
        |number, window| with_change_at(FRAME_BYTES + HEADER_BYTES - 1, number, window),
        "the server changed a length",
    );
    refused(
        |number, window| with_change_at(0, number, window),
        "the server changed a length",
    );
}

#[test]
fn another_number_or_order_is_noticed() {
    refused(
        |number, window| with_change_at(HEADER_BYTES + STAMP_BYTES - 1, number, window),
        "the server changed a frame or its order",
    );
    refused(
        |_, mut window| {
            window.rotate_left(FRAME_BYTES);
            window
        },
        "the server changed a frame or its order",
    );
}

#[test]
fn a_changed_payload_is_noticed() {
    refused(
        |number, window| with_change_at(FRAME_BYTES - 1, number, window),
        "the server changed a payload",
    );
    // Between its ends a payload is compared in the first window only.
    refused(
        |number, window| with_change_at(HEADER_BYTES + STAMP_BYTES + 3, number + 1, window),
        "the server changed a payload",
    );
}

#[test]
fn more_answers_than_frames_are_noticed() {
    refused(
        |_, mut window| {
            let mut extra = window[..FRAME_BYTES].to_vec();
            extra[HEADER_BYTES + STAMP_BYTES - 1] += WINDOW as u8;
            window.extend(extra);
            window
        },
        "the server changed the number of frames",
    );
}

#[test]
fn an_end_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    let server = listener.local_addr().expect("an address");
    let closing = thread::spawn(move || drop(listener.accept().expect("a connection")));
    let report = run(&Plan {
        server,
        server_pid: std::process::id(),
        connections: 1,
        size: 16,
        window: 1,
        until: Until::Windows(1),
    });
    closing.join().expect("a server that does not panic");
    assert!(report.is_err());
}
