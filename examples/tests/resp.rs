//! Runs `resp` as its users do: as a process, over a socket.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use support::{Program, expect, refusal};

const RESP: &str = env!("CARGO_BIN_EXE_resp");

fn array(words: &[&str]) -> String {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text += &format!("${}\r\n{word}\r\n", word.len());
    }
    text
}

fn ask(stream: &mut TcpStream, words: &[&str], reply: &str) {
    stream.write_all(array(words).as_bytes()).expect("written");
    expect(stream, reply);
}

#[test]
fn commands_sent_together_are_answered_in_order() {
    let resp = Program::start(RESP);
    let mut stream = resp.connect();
    let commands = 5000;
    let mut sent = String::new();
    let mut replies = String::new();
    for number in 1..=commands {
        sent += &array(&["INCR", "n"]);
        replies += &format!(":{number}\r\n");
    }
    sent += "PING\r\n";
    replies += "+PONG\r\n";
    stream.write_all(sent.as_bytes()).expect("written");
    expect(&mut stream, &replies);
}

#[test]
fn commands_may_come_byte_by_byte() {
    let resp = Program::start(RESP);
    let mut stream = resp.connect();
    let sent = array(&["SET", "key", "a\r\nb"]) + "\r\nECHO hello\r\n" + &array(&["GET", "key"]);
    for byte in sent.as_bytes() {
        stream.write_all(&[*byte]).expect("written");
    }
    expect(&mut stream, "+OK\r\n$5\r\nhello\r\n$4\r\na\r\nb\r\n");
}

#[test]
fn connections_share_the_keys() {
    let resp = Program::start(RESP);
    let (mut one, mut other) = (resp.connect(), resp.connect());
    ask(&mut one, &["RPUSH", "list", "a", "b"], ":2\r\n");
    ask(
        &mut other,
        &["LRANGE", "list", "0", "-1"],
        "*2\r\n$1\r\na\r\n$1\r\nb\r\n",
    );
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
    ask(&mut other, &["GET", "list"], wrong);
    ask(
        &mut other,
        &["GET"],
        "-ERR wrong number of arguments for 'get' command\r\n",
    );
}

#[test]
fn a_key_expires() {
    let resp = Program::start(RESP);
    let mut stream = resp.connect();
    ask(&mut stream, &["SET", "short", "v", "PX", "1"], "+OK\r\n");
    ask(&mut stream, &["SET", "long", "v", "EX", "1000"], "+OK\r\n");
    // Nobody asks for the key itself: the server has to remove it on its own.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        stream
            .write_all(&array(&["DBSIZE"]).into_bytes())
            .expect("written");
        let mut reply = [0; 4];
        stream.read_exact(&mut reply).expect("a reply");
        if &reply == b":1\r\n" {
            break;
        }
        assert_eq!(&reply, b":2\r\n");
        assert!(Instant::now() < deadline, "the key is still there");
    }
    ask(&mut stream, &["GET", "short"], "$-1\r\n");
    ask(&mut stream, &["GET", "long"], "$1\r\nv\r\n");
}

#[test]
fn what_is_not_resp_gets_a_last_word() {
    let resp = Program::start(RESP);
    for (sent, error) in [
        ("*1\r\n:1\r\n", "expected '$', got ':'"),
        ("*1000000\r\n", "invalid multibulk length"),
        ("*1\r\n$1000000000\r\n", "invalid bulk length"),
        (&"x".repeat(100_000), "too big inline request"),
    ] {
        let sent = format!("PING\r\n{sent}");
        let answer = resp.until_closed(sent.as_bytes());
        assert_eq!(answer, format!("+PONG\r\n-ERR Protocol error: {error}\r\n"));
    }
}

#[test]
fn who_quits_is_answered_first_and_nothing_after() {
    let resp = Program::start(RESP);
    assert_eq!(resp.until_closed(b"PING\r\nQUIT\r\nPING\r\n"), "+PONG\r\n+OK\r\n");
}

#[test]
fn large_values_come_back_whole() {
    let resp = Program::start(RESP);
    let mut stream = resp.connect();
    let value: String = (0..3_000_000)
        .map(|index| char::from(b'a' + (index % 26) as u8))
        .collect();
    ask(&mut stream, &["SET", "key", &value], "+OK\r\n");
    ask(
        &mut stream,
        &["GET", "key"],
        &format!("${}\r\n{value}\r\n", value.len()),
    );
}

#[test]
fn a_client_that_does_not_read_loses_nothing() {
    let resp = Program::start(RESP);
    let mut stream = resp.connect();
    let value = "v".repeat(10_000);
    ask(&mut stream, &["SET", "key", &value], "+OK\r\n");
    // More replies than the marks of the out-queue and the sockets' buffers hold.
    let replies = 3000;
    let sent = array(&["GET", "key"]).repeat(replies);
    stream.write_all(sent.as_bytes()).expect("written");
    let reply = format!("${}\r\n{value}\r\n", value.len());
    for _ in 0..replies {
        expect(&mut stream, &reply);
    }
}

#[test]
fn more_than_one_loop_is_refused_with_the_reason() {
    let (code, complaint) = refusal(RESP, &["--listen", "127.0.0.1:0", "--threads", "2"]);
    assert_eq!(code, Some(1));
    assert!(
        complaint.starts_with("resp: --threads 2: the data belongs to one event loop"),
        "{complaint}"
    );
}

#[test]
fn an_address_in_use_is_an_error_and_not_a_panic() {
    let resp = Program::start(RESP);
    let (code, complaint) = refusal(RESP, &["--listen", &resp.address.to_string()]);
    assert_eq!(code, Some(1));
    let expected = format!("resp: cannot listen on {}", resp.address);
    assert!(complaint.starts_with(&expected), "{complaint}");
}
