//! Owns the example program that a test runs, as a process of its own. Must never leave one behind.

#![allow(dead_code, reason = "not every test needs all of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A running program; ended when the test is over.
pub(crate) struct Program {
    pub(crate) process: Child,
    pub(crate) address: SocketAddr,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// Starts the program at `path` on a free port and waits until it says where it listens.
    pub(crate) fn start(path: &str) -> Self {
        Self::start_with(path, &[])
    }

    /// The same with further arguments.
    pub(crate) fn start_with(path: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(path)
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let input = process.stdin.take().expect("piped");
        let mut output = BufReader::new(process.stdout.take().expect("piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        let address = line
            .trim_end()
            .strip_prefix("listening on ")
            .expect("the announcement");
        Self {
            address: address.parse().expect("an address"),
            process,
            input,
            output,
        }
    }

    /// The next line the program prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// Gives the program a line, and returns the one it answers with.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").expect("written");
        self.line()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_nodelay(true).expect("an option");
        // A test that would hang is to fail; nothing depends on how long.
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a timeout");
        stream
    }

    /// Everything the program sends in answer to `sent` until it closes the connection, which is its own doing:
    /// our side stays open.
    pub(crate) fn until_closed(&self, sent: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(sent).expect("written");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an end");
        String::from_utf8(answer).expect("text")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has noticed then.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a program that should not start says, and its exit code.
#[track_caller]
pub(crate) fn refusal(path: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut process = Command::new(path)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("a line or none");
    if !line.is_empty() {
        // It runs, and would for ever.
        process.kill().expect("it is ended");
    }
    let output = process.wait_with_output().expect("an end");
    assert_eq!(line, "", "it started");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), complaint)
}

/// Checks that `expected` is what comes next.
#[track_caller]
pub(crate) fn expect(stream: &mut TcpStream, expected: &str) {
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(String::from_utf8_lossy(&answer), expected);
}
