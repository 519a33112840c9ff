//! Runs `http` as its users do: as a process, over a socket.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use support::{Program, expect, refusal};

const HTTP: &str = env!("CARGO_BIN_EXE_http");

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// One response with this status line: its headers without the date, and its body.
#[track_caller]
fn response(stream: &mut TcpStream, status: &str) -> (Vec<String>, String) {
    expect(stream, &format!("HTTP/1.1 {status}\r\n"));
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        head.extend(byte);
    }
    let head = String::from_utf8(head).expect("text");
    let mut lines: Vec<String> = head.trim_end().split("\r\n").map(str::to_owned).collect();
    let dates = lines.extract_if(.., |line| line.starts_with("Date: "));
    assert_eq!(dates.count(), 1, "{head}");
    let length = lines
        .iter()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    let length = length.expect("a length").parse().expect("a number");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a body");
    (lines, String::from_utf8(body).expect("text"))
}

#[track_caller]
fn hello(stream: &mut TcpStream) {
    let (lines, body) = response(stream, "200 OK");
    assert_eq!(lines, ["Content-Type: text/plain", "Content-Length: 13"]);
    assert_eq!(body, "Hello, world!");
}

#[test]
fn a_connection_serves_many_requests() {
    let http = Program::start(HTTP);
    let mut stream = http.connect();
    for _ in 0..3 {
        stream.write_all(GET.as_bytes()).expect("written");
        hello(&mut stream);
    }
    stream
        .write_all(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("written");
    assert_eq!(response(&mut stream, "404 Not Found").1, "Not found\n");
    stream.write_all(GET.as_bytes()).expect("written");
    hello(&mut stream);
}

#[test]
fn requests_sent_together_are_answered_in_order() {
    let http = Program::start(HTTP);
    let mut stream = http.connect();
    let unknown = "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n";
    let rounds = 1000;
    stream
        .write_all(format!("{GET}{unknown}").repeat(rounds).as_bytes())
        .expect("written");
    for _ in 0..rounds {
        hello(&mut stream);
        response(&mut stream, "404 Not Found");
    }
}

#[test]
fn requests_may_come_byte_by_byte() {
    let http = Program::start(HTTP);
    let mut stream = http.connect();
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    for byte in format!("{GET}{post}{GET}").bytes() {
        stream.write_all(&[byte]).expect("written");
    }
    hello(&mut stream);
    let (lines, _) = response(&mut stream, "405 Method Not Allowed");
    assert!(lines.contains(&"Allow: GET, HEAD".to_owned()), "{lines:?}");
    hello(&mut stream);
}

#[test]
fn the_answer_to_head_has_no_body() {
    let http = Program::start(HTTP);
    let answer = http.until_closed(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\r\nContent-Length: 13\r\n"), "{answer}");
    assert!(answer.ends_with("\r\nConnection: close\r\n\r\n"), "{answer}");
}

#[test]
fn a_connection_ends_when_the_client_says_so() {
    let http = Program::start(HTTP);
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        // What comes after the last request is not answered.
        let answer = http.until_closed(format!("{request}{GET}").as_bytes());
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1, "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
        assert!(answer.ends_with("Hello, world!"), "{answer}");
    }
}

#[test]
fn an_old_client_is_told_that_its_connection_is_kept() {
    let http = Program::start(HTTP);
    let mut stream = http.connect();
    for _ in 0..2 {
        stream
            .write_all(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .expect("written");
        let (lines, _) = response(&mut stream, "200 OK");
        assert!(lines.contains(&"Connection: keep-alive".to_owned()), "{lines:?}");
    }
}

#[test]
fn a_client_that_waits_before_its_body_is_told_to_go_on() {
    let http = Program::start(HTTP);
    let mut stream = http.connect();
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        .expect("written");
    expect(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").expect("written");
    response(&mut stream, "405 Method Not Allowed");
}

#[test]
fn a_request_that_is_refused_is_told_why_and_ends_its_connection() {
    let http = Program::start(HTTP);
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400 Bad Request"),
        ("\0\r\n\r\n".to_owned(), "400 Bad Request"),
        ("G".repeat(100_000), "431 Request Header Fields Too Large"),
        (
            format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100)),
            "431 Request Header Fields Too Large",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n".to_owned(),
            "413 Content Too Large",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            "501 Not Implemented",
        ),
        (
            "GET / HTTP/3.0\r\n\r\n".to_owned(),
            "505 HTTP Version Not Supported",
        ),
    ] {
        let answer = http.until_closed(request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }
}

#[test]
fn a_client_that_has_said_everything_is_still_answered() {
    let http = Program::start(HTTP);
    let mut stream = http.connect();
    stream.write_all(GET.as_bytes()).expect("written");
    stream.shutdown(Shutdown::Write).expect("shut down");
    hello(&mut stream);
    assert_eq!(stream.read(&mut [0; 1]).expect("an end"), 0);
}

#[test]
fn an_address_in_use_is_an_error_and_not_a_panic() {
    let http = Program::start(HTTP);
    let address = http.address.to_string();
    let (code, complaint) = refusal(HTTP, &["--listen", &address, "--threads", "2"]);
    assert_eq!(code, Some(1));
    assert!(
        complaint.starts_with(&format!("http: cannot listen on {address}")),
        "{complaint}"
    );
}
