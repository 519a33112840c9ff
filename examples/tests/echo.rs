//! Runs `echo` as its users do: as a process, over a socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running `echo`; ended when the test is over.
struct Echo {
    process: Child,
    address: SocketAddr,
}

impl Echo {
    fn start(threads: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_echo"))
            .args(["--listen", "127.0.0.1:0", "--threads", threads])
            .stdout(Stdio::piped())
            .spawn()
            .expect("echo starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("a line");
        let address = line
            .trim_end()
            .strip_prefix("listening on ")
            .expect("the announcement");
        Self {
            address: address.parse().expect("an address"),
            process,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        // A test that would hang is to fail; nothing depends on how long.
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a timeout");
        stream
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has noticed then.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn frame(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a short body");
    [&length.to_be_bytes(), body].concat()
}

fn receive(stream: &mut impl Read) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("a length");
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut body).expect("a body");
    body
}

#[test]
fn frames_come_back_however_they_are_cut() {
    let echo = Echo::start("2");
    let mut stream = echo.connect();
    let long: Vec<u8> = (0..300_000_u32).map(|index| index as u8).collect();
    let bodies: [&[u8]; 3] = [b"hello", b"", &long];
    for part in bodies.map(frame).concat().chunks(1021) {
        stream.write_all(part).expect("written");
    }
    for body in bodies {
        assert!(
            receive(&mut stream) == body,
            "a frame of {} bytes came back changed",
            body.len()
        );
    }
}

#[test]
fn every_connection_gets_its_own_answers() {
    let echo = Echo::start("2");
    let mut streams: Vec<TcpStream> = (0..20).map(|_| echo.connect()).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        stream
            .write_all(&frame(number.to_string().as_bytes()))
            .expect("written");
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        assert_eq!(receive(stream), number.to_string().as_bytes());
    }
}

#[test]
fn more_than_any_buffer_holds_comes_back_in_order() {
    let echo = Echo::start("1");
    let stream = echo.connect();
    let mut sender = stream.try_clone().expect("a second handle");
    let frames = 40_000_u32;
    let writer = std::thread::spawn(move || {
        for number in 0..frames {
            sender
                .write_all(&frame(&[&number.to_be_bytes()[..], &[7; 1000]].concat()))
                .expect("written");
        }
        sender.shutdown(Shutdown::Write).expect("shut down");
    });
    let mut reader = BufReader::new(stream);
    for number in 0..frames {
        assert_eq!(receive(&mut reader)[..4], number.to_be_bytes());
    }
    writer.join().expect("everything written");
    // Having sent everything, it closes as well.
    assert_eq!(reader.read(&mut [0; 1]).expect("an end"), 0);
}

#[test]
fn a_frame_that_is_too_long_ends_its_connection_only() {
    let echo = Echo::start("1");
    let (mut bad, mut good) = (echo.connect(), echo.connect());
    bad.write_all(&u32::MAX.to_be_bytes()).expect("written");
    assert_eq!(bad.read(&mut [0; 1]).expect("an end"), 0);
    good.write_all(&frame(b"still here")).expect("written");
    assert_eq!(receive(&mut good), b"still here");
}

#[test]
fn an_address_in_use_is_an_error_and_not_a_panic() {
    let echo = Echo::start("1");
    let output = Command::new(env!("CARGO_BIN_EXE_echo"))
        .args(["--listen", &echo.address.to_string()])
        .output()
        .expect("echo starts");
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        complaint.starts_with(&format!("echo: cannot listen on {}", echo.address)),
        "{complaint}"
    );
}
