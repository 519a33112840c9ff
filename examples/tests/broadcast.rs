//! Runs `broadcast` as its users do: as a process, over sockets.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use support::{Program, expect, refusal};

const BROADCAST: &str = env!("CARGO_BIN_EXE_broadcast");

/// A connection that is in.
fn join(program: &Program) -> TcpStream {
    let mut stream = program.connect();
    expect(&mut stream, "welcome\r\n");
    stream
}

#[test]
fn a_line_goes_to_all_others_on_all_loops_and_not_to_its_sender() {
    let program = Program::start_with(BROADCAST, &["--threads", "2"]);
    let mut peers: Vec<TcpStream> = (0..6).map(|_| join(&program)).collect();
    // Each says two lines, and the others have both, in order, before the next one speaks.
    for speaker in 0..peers.len() {
        let said = format!("{speaker} says this\r\n{speaker} says that\r\n");
        peers[speaker].write_all(said.as_bytes()).expect("written");
        for (listener, peer) in peers.iter_mut().enumerate() {
            if listener != speaker {
                // The next thing it gets, so nothing of its own came between.
                expect(peer, &said);
            }
        }
    }
}

#[test]
fn who_has_left_is_missed_by_nobody() {
    let program = Program::start_with(BROADCAST, &["--threads", "2"]);
    let (mut first, mut second) = (join(&program), join(&program));
    let third = join(&program);
    drop(third);
    first.write_all(b"still here?\n").expect("written");
    expect(&mut second, "still here?\r\n");
}

#[test]
fn lines_of_several_speakers_arrive_whole() {
    let program = Program::start_with(BROADCAST, &["--threads", "2"]);
    let listener = join(&program);
    let lines = 200;
    let speakers: Vec<_> = ["a", "b", "c"]
        .map(|letter| {
            let mut stream = join(&program);
            let mut ignored = stream.try_clone().expect("a second handle");
            std::thread::spawn(move || {
                let reader = std::thread::spawn(move || std::io::copy(&mut ignored, &mut std::io::sink()));
                for number in 0..lines {
                    writeln!(stream, "{letter}{number} {}", letter.repeat(500)).expect("written");
                }
                stream.shutdown(std::net::Shutdown::Write).expect("shut down");
                reader.join().expect("no panic").expect("read to the end");
            })
        })
        .into();
    let mut next = [0; 3];
    let mut reader = BufReader::new(listener);
    for _ in 0..3 * lines {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        let who = usize::from(line.as_bytes()[0] - b'a');
        let letter = &line[..1];
        assert_eq!(line, format!("{letter}{} {}\r\n", next[who], letter.repeat(500)));
        next[who] += 1;
    }
    assert_eq!(next, [lines; 3]);
    for speaker in speakers {
        speaker.join().expect("everything written");
    }
}

#[test]
fn a_line_that_is_too_long_ends_its_connection_only() {
    let program = Program::start(BROADCAST);
    let (mut bad, mut good, mut other) = (join(&program), join(&program), join(&program));
    bad.write_all(&[b'x'; 20_000]).expect("written");
    let mut rest = Vec::new();
    // What was not read may turn the end into a reset.
    let _ = bad.read_to_end(&mut rest);
    assert_eq!(rest, b"");
    good.write_all(b"hello\n").expect("written");
    expect(&mut other, "hello\r\n");
}

#[test]
fn an_address_in_use_is_an_error_and_not_a_panic() {
    let program = Program::start(BROADCAST);
    let address = program.address.to_string();
    let (code, complaint) = refusal(BROADCAST, &["--listen", &address]);
    assert_eq!(code, Some(1));
    assert!(
        complaint.starts_with(&format!("broadcast: cannot listen on {address}")),
        "{complaint}"
    );
}
