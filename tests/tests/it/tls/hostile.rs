//! What the hostile send where TLS is spoken, and who is still served.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
};

use protocol::v1::{self, ErrorCode};
use tests::harness::{Connection, Daemon, PASSWORD, PATIENCE, Setup, User, hello, refused};

use super::{Pki, header, through};

/// A first message of a TLS client that asks for a server of this name, in as many records as it takes.
fn client_hello(name: &[u8]) -> Vec<u8> {
    let u16s = |value: usize| u16::try_from(value).unwrap().to_be_bytes();
    let server_name = [&[0][..], &u16s(name.len()), name].concat();
    let list = [&u16s(server_name.len())[..], &server_name].concat();
    let extension = [&[0, 0][..], &u16s(list.len()), &list].concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0],
        &[0, 2, 0xc0, 0x2f],
        &[1, 0],
        &u16s(extension.len()),
        &extension,
    ]
    .concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let handshake = [&[1][..], &length[1..], &body].concat();
    let record = |part: &[u8]| [&[0x16, 3, 1][..], &u16s(part.len()), part].concat();
    handshake.chunks(16 * 1024).flat_map(record).collect()
}

/// Everything until the daemon closes.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut rest);
    rest
}

fn is_alert(answer: &[u8]) -> bool {
    answer.len() <= 7 && answer.first().is_none_or(|first| *first == 21)
}

/// Two who chat, one of them encrypted, and who notice nothing.
struct Pair {
    sealed: User,
    plain: User,
    sent: u64,
}

impl Pair {
    fn on(pki: &Pki, daemon: &Daemon) -> Self {
        let mut conn = pki.connect(daemon);
        conn.ask(hello("first")).unwrap();
        let request = v1::RegisterRequest {
            name: "sealed".to_owned(),
            password: PASSWORD.to_owned(),
            display_name: String::new(),
        };
        let session = conn.ask(request).unwrap();
        Self {
            sealed: User::of(daemon.address(), conn, "first", session),
            plain: daemon.register("plain"),
            sent: 0,
        }
    }

    #[track_caller]
    fn still_chats(&mut self) {
        let conversation = self.sealed.direct(self.plain.id);
        self.sealed.text(conversation, "undisturbed");
        self.plain.text(conversation, "so am I");
        self.sent += 2;
        for seq in [self.sent - 1, self.sent] {
            assert_eq!([self.sealed.pushed().seq, self.plain.pushed().seq], [seq; 2]);
        }
    }
}

#[test]
fn nonsense_in_the_place_of_a_handshake_ends_its_connection_only() {
    let pki = Pki::new();
    let daemon = pki.daemon();
    let mut pair = Pair::on(&pki, &daemon);
    let garbage = [&[0x16][..], &[0xa5; 4_096]].concat();
    let records = [0x16, 3, 3, 0xff, 0xff].repeat(3_000);
    let zeroes = [&[0x16, 3, 1, 0, 0][..], &[0; 64]].concat();
    for bytes in [
        garbage,
        records,
        zeroes,
        client_hello(&[b'a'; 10 * 1024]),
        client_hello(&[0xff; 60 * 1024]),
        client_hello(b""),
    ] {
        let mut stream = TcpStream::connect(daemon.address()).unwrap();
        // It may have closed by the end of it.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let answer = rest(stream);
        assert!(
            is_alert(&answer),
            "{:?} got {answer:?}",
            &bytes[..16.min(bytes.len())]
        );
        pair.still_chats();
    }
}

#[test]
fn half_a_handshake_and_silence_end_when_their_time_is_over() {
    let pki = Pki::new();
    let config = format!("{}[timeouts]\nhandshake_ms = 1000\n", pki.section());
    let daemon = Setup::config(&config).start();
    let mut pair = Pair::on(&pki, &daemon);
    let whole = client_hello(b"localhost");
    for part in [&whole[..0], &whole[..1], &whole[..whole.len() / 2]] {
        let mut stream = TcpStream::connect(daemon.address()).unwrap();
        stream.write_all(part).unwrap();
        assert!(is_alert(&rest(stream)));
        pair.still_chats();
    }
}

/// The header of a proxy from somebody who is none is a broken frame, and a proxy that sends none is cut off.
#[test]
fn a_header_counts_from_trusted_networks_alone_and_there_it_must_come() {
    let pki = Pki::new();
    let daemon = pki.daemon();
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    stream.write_all(&header("192.0.2.1")).unwrap();
    stream.write_all(b"\r\n").unwrap();
    let answer = String::from_utf8(rest(stream)).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400 "),
        "as what its first letter begins: {answer}"
    );
    daemon.register("ada");

    let trusting = pki.proxied("");
    assert!(rest_of(trusting.connect(), b"\0\0\0\0\0\x02\0\0").is_empty());
    assert!(rest_of(trusting.connect(), &client_hello(b"localhost")).is_empty());
    let mut conn = through(&trusting, "192.0.2.1").encrypted(&pki.client()).unwrap();
    conn.ask(hello("device")).unwrap();
}

fn rest_of(mut conn: Connection, bytes: &[u8]) -> Vec<u8> {
    let _ = conn.try_write(bytes);
    rest(conn.stream().try_clone().unwrap())
}

/// Passwords in the clear are refused where clients choose, with what to do; sessions go on.
#[test]
fn passwords_are_taken_over_encrypted_connections_alone() {
    let pki = Pki::new();
    let daemon = pki.proxied("");
    let register = |name: &str| v1::RegisterRequest {
        name: name.to_owned(),
        password: PASSWORD.to_owned(),
        display_name: String::new(),
    };
    let mut sealed = through(&daemon, "192.0.2.1").encrypted(&pki.client()).unwrap();
    sealed.ask(hello("first")).unwrap();
    let session = sealed.ask(register("ada")).unwrap();

    // As loopback's own, too: where proxies are trusted, it is nobody's in particular.
    for client in ["192.0.2.1", "127.0.0.1"] {
        let mut plain = through(&daemon, client);
        plain.ask(hello("second")).unwrap();
        let refusal = plain.ask(register("bob")).unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::Forbidden);
        assert!(refusal.message.contains("tls://"), "{refusal:?}");
        let login = v1::LoginRequest {
            name: "ada".to_owned(),
            password: PASSWORD.to_owned(),
        };
        assert_eq!(refused(plain.ask(login)), ErrorCode::Forbidden);
    }
    let mut plain = through(&daemon, "192.0.2.1");
    let again = v1::Hello {
        session_token: session.token.clone(),
        ..hello("first")
    };
    plain.ask(again).unwrap();
    let mut ada = User::of(daemon.address(), plain, "first", session);
    let own = ada.own();
    ada.text(own, "a session goes on");

    // An operator may allow it, for connections that come from then on.
    let config = std::fs::read_to_string(daemon.config_file()).unwrap();
    let allowed = config.replace("[tls]\n", "[tls]\ncleartext_passwords = true\n");
    std::fs::write(daemon.config_file(), allowed).unwrap();
    daemon.ask_to_reload();
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut number = 0;
    loop {
        number += 1;
        let mut plain = through(&daemon, "192.0.2.1");
        plain.ask(hello("second")).unwrap();
        match plain.ask(register(&format!("carol{number}"))) {
            Ok(_) => break,
            Err(refusal) => assert_eq!(refusal.code(), ErrorCode::Forbidden),
        }
        assert!(std::time::Instant::now() < deadline, "{:#?}", daemon.log());
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
}

/// A browser that came in the clear is sent to the same port with TLS, and a script is told to go there.
#[test]
fn pages_in_the_clear_lead_to_tls_and_calls_are_refused() {
    let pki = Pki::new();
    let daemon = pki.proxied("");
    let ask = |request: &str| {
        let conn = through(&daemon, "192.0.2.1");
        let answer = rest_of(conn, request.as_bytes());
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = ask("GET / HTTP/1.1\r\nHost: chat.example:7400\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    assert!(
        answer.contains("Location: https://chat.example:7400/\r\n"),
        "{answer}"
    );
    let body = format!("{{\"name\":\"ada\",\"password\":\"{PASSWORD}\"}}");
    let answer = ask(&format!(
        "POST /v1/call/register HTTP/1.1\r\nHost: chat.example\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    ));
    assert!(
        answer.starts_with("HTTP/1.1 403 ") && answer.contains("tls://"),
        "{answer}"
    );
    // What tells nothing is told anyway.
    let answer = ask("GET /healthz HTTP/1.1\r\nHost: chat.example\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
