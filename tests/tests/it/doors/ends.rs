//! The server goes away, or has no room: whoever is connected is told in the words of the door they came through, or in
//! none; what runs is finished; whoever asks whether the server is ready hears that it is not.

use std::net::{SocketAddr, TcpStream};

use protocol::{
    Push,
    v1::{self, ErrorCode, GoAwayReason},
};
use tests::harness::{Connection, Daemon, Events, PATIENCE, Setup, Web, hello, socket::Socket, text};

use super::history;
use crate::{
    cluster::until,
    metrics::{admin_of, get},
};

/// A connection that can be sent little before it reads.
fn narrow(address: SocketAddr) -> TcpStream {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 4_096).unwrap();
    rustix::net::connect(&socket, &address).unwrap();
    TcpStream::from(socket)
}

#[test]
fn each_is_told_of_the_end_in_its_own_words_or_in_none() {
    let mut daemon = Setup::config("[server]\nloops = 1\n").start();
    let address = daemon.address();
    let silent = Web::to(address);
    let mut native = daemon.connect();
    native.write(&[0]);
    let mut idle = Web::to(address);
    assert_eq!(idle.get("/healthz").status, 200);
    let mut called = Web::to(address);
    let ada = called.register("ada");
    let partial: Vec<(Web, &str)> = [
        "P",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
        "POST /v1/call/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{\"name\":",
        "POST /v1/call/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"na",
    ]
    .into_iter()
    .map(|begun| {
        let mut web = Web::to(address);
        web.write(begun);
        (web, begun)
    })
    .collect();
    // One that was answered before begins another request.
    let mut again = Web::to(address);
    again.get("/healthz");
    again.write("GET /hea");
    let mut socket = Socket::open(address);
    let mut events = Events::open(address, &ada.token);
    events.synced();
    // The one loop has read what was written before this is answered.
    assert_eq!(idle.get("/healthz").status, 200);
    daemon.ask_to_end();
    for mut quiet in [silent, idle, called] {
        quiet.end();
    }
    for (mut web, begun) in partial.into_iter().chain([(again, "a second one")]) {
        let response = web.response();
        response.is_refused(503, ErrorCode::Draining);
        assert_eq!(response.header("connection"), Some("close"), "{begun}");
        assert!(response.header("retry-after").is_some(), "{begun}");
        web.end();
    }
    assert_eq!(native.go_away().reason(), GoAwayReason::Draining);
    native.end();
    assert!(matches!(socket.push(), Push::GoAway(go_away) if go_away.reason() == GoAwayReason::Draining));
    assert_eq!(socket.closed().0, 1001);
    assert!(matches!(events.push(), Push::GoAway(go_away) if go_away.reason() == GoAwayReason::Draining));
    events.end();
    assert!(daemon.ended().success());
}

#[test]
fn a_server_that_goes_is_alive_and_not_ready_and_finishes_what_runs() {
    let mut daemon = Setup::config(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[timeouts]\ndrain_ms = 60000\n[limits]\npage_bytes = 524288\n",
    )
    .start();
    let (address, admin) = (daemon.address(), admin_of(&daemon));
    let mut ada = daemon.register("ada");
    let own = ada.own();
    let long = "x".repeat(4_000);
    let mut open = std::collections::VecDeque::new();
    for _ in 0..120 {
        if open.len() == 32 {
            ada.conn
                .answer::<v1::SendRequest>(open.pop_front().unwrap())
                .unwrap();
        }
        open.push_back(ada.conn.submit(text(own, &long)));
    }
    for seq in open {
        ada.conn.answer::<v1::SendRequest>(seq).unwrap();
    }
    let whole = Web::to(address).granted(&ada.token, history(own));
    // Answers that are not taken while the server goes: of a call, and natively.
    let body = format!("{{\"conversation_id\":\"{own}\",\"from_seq\":\"1\",\"limit\":100}}");
    let mut call = Web::on(narrow(address));
    let bytes = call.call_bytes(&ada.token, "history", &[], &body);
    call.write(bytes);
    let mut natively = Connection::on(narrow(address)).unwrap();
    natively.ask(ada.hello_again()).unwrap();
    let asked = natively.submit(history(own));
    // Each is under way once its first bytes are there.
    for stream in [call.stream(), natively.stream()] {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(stream.peek(&mut [0; 1]).unwrap(), 1);
    }
    assert_eq!(get(admin, "/readyz", "").0, 200);
    assert_eq!(Web::to(address).get("/readyz").status, 200);
    daemon.ask_to_end();
    until("it is not ready", || get(admin, "/readyz", "").0 == 503);
    let (status, said) = get(admin, "/readyz", "");
    assert!(status == 503 && said.contains("draining"), "{said}");
    assert_eq!(get(admin, "/healthz", "").0, 200);
    // Nobody new comes in.
    until("nobody listens", || TcpStream::connect(address).is_err());
    let response = call.response();
    assert_eq!(response.status, 200);
    assert_eq!(
        response.json()["page"]["events"].as_array().map(Vec::len),
        Some(whole.page.as_ref().unwrap().events.len())
    );
    call.end();
    let answer = natively.answer::<v1::HistoryRequest>(asked).unwrap();
    assert_eq!(answer.page, whole.page);
    assert_eq!(natively.go_away().reason(), GoAwayReason::Draining);
    natively.end();
    assert!(daemon.ended().success());
    assert!(TcpStream::connect(admin).is_err());
}

/// A full server has no room for a request that is not whole either, and says so in HTTP.
#[test]
fn whoever_begins_a_request_at_a_full_server_is_told_in_http() {
    let daemon = Setup::config("[limits]\nconnections = 32\n").start();
    let mut others: Vec<_> = (0..32).map(|_| daemon.connect()).collect();
    for conn in &mut others {
        conn.ask(hello("stranger")).unwrap();
    }
    let mut webs: Vec<Web> = (0..3).map(|_| Web::to(daemon.address())).collect();
    for (web, begun) in webs
        .iter_mut()
        .zip(["", "G", "GET /healthz HTTP/1.1\r\nHost: a\r\n"])
    {
        web.write(begun);
    }
    webs[0].end();
    for web in &mut webs[1..] {
        web.response().is_refused(503, ErrorCode::Overloaded);
        web.end();
    }
}

// ---- doors ----------------------------------------------------------------------------------------------

fn with_doors(doors: &str) -> Daemon {
    let config =
        format!("[timeouts]\nhandshake_ms = 500\n[[listen]]\naddress = \"127.0.0.1:0\"\ndoors = {doors}\n");
    Setup {
        listens_itself: true,
        ..Setup::config(&config)
    }
    .start()
}

#[test]
fn where_frames_alone_are_spoken_http_is_told_in_a_frame_and_closed() {
    let daemon = with_doors("[\"native\"]");
    daemon.register("ada");
    for request in [
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /v1/call/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
        "GET /v1/socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut conn = daemon.connect();
        conn.write(request.as_bytes());
        assert_eq!(conn.refusal().code(), ErrorCode::FrameTooLarge, "{request}");
        conn.end();
    }
    daemon.register("bob");
}

#[test]
fn where_http_alone_is_spoken_a_frame_is_told_in_http_and_closed() {
    let daemon = with_doors("[\"http\"]");
    let mut web = Web::to(daemon.address());
    let ada = web.register("ada");
    let mut conn = daemon.connect();
    let (_, frame) = conn.frame(hello("first"));
    let mut native = Web::to(daemon.address());
    native.write(&frame);
    native.response().is_refused(400, ErrorCode::Protocol);
    native.end();
    // Whoever says nothing is told so: there is one door.
    let mut silent = Web::to(daemon.address());
    silent.response().is_refused(408, ErrorCode::Timeout);
    silent.end();
    // From there a WebSocket is open as ever.
    let mut socket = Socket::resume_text(daemon.address(), &ada.token);
    socket.ask_text(v1::ListDevicesRequest {}).unwrap();
    assert_eq!(web.get("/healthz").status, 200);
}
