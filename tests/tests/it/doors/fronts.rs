//! A real nginx and a real haproxy in front of the HTTP door, as their manuals say: what they tell of their clients counts,
//! whatever those say themselves, and neither a WebSocket nor a stream notices that they are there.

use std::{net::SocketAddr, path::Path, time::Instant};

use protocol::v1::{self, ErrorCode};
use serde_json::json;
use tempfile::TempDir;
use tests::harness::{
    Daemon, Events, PASSWORD, PATIENCE, Response, Setup, Web, body, hello, login, socket::Socket, text,
};

use super::{direct, sent};
use crate::tls::{Running, free, from, program};

/// The proxy connects from here, its clients from elsewhere.
const LIMITS: &str = "[server]\ntrusted_proxies = [\"127.0.0.1\"]\n\
                      [limits]\nexempt = [\"127.0.0.0/8\"]\nconnections_per_address = 3\npasswords_per_address = 5\n\
                      passwords_per_account = 0\n";
/// A proxy, and how it tells who its client is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Kind {
    program: &'static str,
    /// The header, as the daemon's configuration names it.
    told_by: &'static str,
    /// The line of the proxy's configuration.
    tells: &'static str,
}

/// nginx goes on with the line that the client wrote; haproxy writes one of its own behind it.
const KINDS: [Kind; 4] = [
    Kind {
        program: "nginx",
        told_by: "x-forwarded-for",
        tells: "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
    },
    Kind {
        program: "nginx",
        told_by: "forwarded",
        tells: "proxy_set_header Forwarded \"${before}for=$remote_addr;proto=$scheme\";",
    },
    Kind {
        program: "haproxy",
        told_by: "x-forwarded-for",
        tells: "option forwardfor",
    },
    Kind {
        program: "haproxy",
        told_by: "forwarded",
        tells: "http-request add-header Forwarded for=%[src];proto=http",
    },
];

struct Front {
    address: SocketAddr,
    _running: Running,
    _directory: TempDir,
}

impl Front {
    /// One that tells the addresses of its clients so. Nothing else is set that a WebSocket does not need: nginx buffers, as
    /// it does by itself.
    fn before(daemon: &Daemon, kind: Kind) -> Self {
        let (directory, address) = (TempDir::new().unwrap(), free());
        let path = directory.path();
        let text = match kind.program {
            "nginx" => nginx(path, address, daemon, kind.tells),
            _ => haproxy(address, daemon, kind.tells),
        };
        let (config, log) = (path.join("config"), path.join("error.log"));
        std::fs::write(&config, text).unwrap();
        let mut command = program(kind.program);
        if kind.program == "nginx" {
            command.arg("-p").arg(path).arg("-e").arg(&log).arg("-c");
        } else {
            command.arg("-f");
        }
        let running = Running::start(command.arg(&config), address, &log);
        Self {
            address,
            _running: running,
            _directory: directory,
        }
    }

    /// A connection of a client with this last number in its address.
    fn web(&self, last: u8) -> Web {
        Web::on(from([127, 7, 7, last], self.address))
    }

    /// A wrong password.
    fn guess(&self, last: u8, headers: &[(&str, &str)]) -> Response {
        guess(&mut self.web(last), headers)
    }
}

fn nginx(place: &Path, address: SocketAddr, daemon: &Daemon, tells: &str) -> String {
    let path = place.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {path}/{name};\n"))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid {path}/pid;\nerror_log {path}/error.log;\nevents {{}}\n\
         http {{\naccess_log off;\n{temporary}\
         map $http_upgrade $upgrading {{ default upgrade; '' close; }}\n\
         map $http_forwarded $before {{ default \"$http_forwarded, \"; '' ''; }}\n\
         server {{ listen {address}; location / {{\nproxy_pass http://{};\nproxy_http_version 1.1;\n\
         chunked_transfer_encoding off;\nproxy_set_header Host $http_host;\n\
         proxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection $upgrading;\n{tells}\n}} }} }}\n",
        daemon.address()
    )
}

fn haproxy(address: SocketAddr, daemon: &Daemon, tells: &str) -> String {
    format!(
        "defaults\n  mode http\n  timeout connect 10s\n  timeout client 60s\n  timeout server 60s\n\
         listen chat\n  bind {address}\n  {tells}\n  server daemon {}\n",
        daemon.address()
    )
}

fn guess(web: &mut Web, headers: &[(&str, &str)]) -> Response {
    let body = json!({"name": "ann", "password": "a guess"}).to_string();
    web.call_with("", "login", headers, &body)
}

fn with_ann(kind: Kind) -> (Daemon, Front) {
    let daemon = Setup::config(&format!("{LIMITS}[http]\ntold_by = \"{}\"\n", kind.told_by)).start();
    let front = Front::before(&daemon, kind);
    let body = json!({"name": "ann", "password": PASSWORD}).to_string();
    let response = front.web(99).call("", "register", &body);
    assert_eq!(response.status, 200, "{}", response.text());
    (daemon, front)
}

/// What a client may write to look like somebody else.
fn forged(address: &str) -> Vec<(&'static str, String)> {
    vec![
        ("X-Forwarded-For", address.to_owned()),
        ("X-Forwarded-For", format!("{address}, 127.0.0.1")),
        ("X-Real-IP", address.to_owned()),
        ("Forwarded", format!("for={address}")),
        ("Forwarded", format!("for={address}, for=127.0.0.1")),
        ("Forwarded", "for=unknown".to_owned()),
    ]
}

#[test]
fn passwords_are_guessed_on_the_account_of_the_client_that_the_proxy_names() {
    for kind in KINDS {
        let (_daemon, front) = with_ann(kind);
        for _ in 0..5 {
            front.guess(1, &[]).is_refused(401, ErrorCode::BadCredentials);
        }
        front.guess(1, &[]).is_refused(429, ErrorCode::RateLimited);
        for address in ["127.7.7.2", "127.0.0.1", "198.51.100.7"] {
            for (header, value) in forged(address) {
                front
                    .guess(1, &[(header, &value)])
                    .is_refused(429, ErrorCode::RateLimited);
            }
        }
        // A quote that does not end swallows what nginx adds to that line: then nginx itself is charged, whoever is named.
        if kind.told_by == "forwarded" {
            let own_line = kind.program == "haproxy";
            let mut statuses = Vec::new();
            for number in 0..6 {
                let value = format!("for=127.7.7.{number};by=\"");
                statuses.push(front.guess(1, &[("Forwarded", &value)]).status);
            }
            let expected = if own_line {
                [429; 6]
            } else {
                [401, 401, 401, 401, 401, 429]
            };
            assert_eq!(statuses, expected, "{kind:?}");
        }
        // Whoever was named in vain is not hurt by it.
        front.guess(2, &[]).is_refused(401, ErrorCode::BadCredentials);
    }
}

#[test]
fn past_the_proxy_a_forged_header_counts_nothing() {
    for kind in KINDS {
        let (daemon, _front) = with_ann(kind);
        // On one connection, because those that were just closed may count still.
        let mut web = Web::on(from([127, 7, 7, 9], daemon.address()));
        let mut past = |headers: &[(&str, &str)]| guess(&mut web, headers);
        for number in 0..5 {
            let address = format!("198.51.100.{number}");
            let (header, value) = &forged(&address)[number % 2 * 3];
            past(&[(header, value)]).is_refused(401, ErrorCode::BadCredentials);
        }
        for (header, value) in forged("198.51.100.9") {
            past(&[(header, &value)]).is_refused(429, ErrorCode::RateLimited);
        }
    }
}

/// All connections are the proxy's own, and each of its clients has a share of them.
#[test]
fn connections_are_counted_by_the_client_that_the_proxy_names() {
    for kind in KINDS {
        let (daemon, front) = with_ann(kind);
        let ann = front.web(1).granted("", login("ann")).token;
        let refused = |last: u8| {
            let Err(response) = Socket::upgrade(front.web(last), &[]) else {
                panic!("it is one too many");
            };
            response.is_refused(503, ErrorCode::Overloaded);
            assert!(response.header("retry-after").is_some());
        };
        let mut of_one: Vec<Socket> = (0..2)
            .map(|_| Socket::upgrade(front.web(1), &[]).unwrap())
            .collect();
        // A stream is one of them.
        let mut events = Events::over(front.web(1), &ann, "/v1/events", &[]);
        events.synced();
        refused(1);
        let mut stream = front.web(1);
        let bearer = format!("Bearer {ann}");
        stream
            .request("GET", "/v1/events", &[("Authorization", &bearer)], "")
            .is_refused(503, ErrorCode::Overloaded);
        // Calls go on, and so does everybody else: through the proxy and past it.
        front.web(1).granted(&ann, v1::ListDevicesRequest {});
        let mut others: Vec<Socket> = (2..90)
            .map(|last| Socket::upgrade(front.web(last), &[]).unwrap())
            .collect();
        for socket in of_one.iter_mut().chain(&mut others) {
            socket.ask(hello("first")).unwrap();
        }
        // The proxy may keep connections on which nobody has asked for anything.
        let idle: Vec<Web> = (0..10).map(|_| Web::to(daemon.address())).collect();
        assert_eq!(Web::to(daemon.address()).get("/healthz").status, 200);
        drop(idle);
        // What ends makes room.
        drop(of_one.pop());
        let until = Instant::now() + PATIENCE;
        while Socket::upgrade(front.web(1), &[]).is_err() {
            assert!(Instant::now() < until, "no room came free");
        }
    }
}

#[test]
fn a_chat_goes_through_the_proxy_as_if_it_were_not_there() {
    KINDS.into_iter().for_each(chats_through);
}

fn chats_through(kind: Kind) {
    let (_daemon, front) = with_ann(kind);
    let [ada, bob] = ["ada", "bob"].map(|name| front.web(1).register(name));
    let conversation = direct(ada.id, bob.id);
    let mut events = Events::over(front.web(2), &bob.token, "/v1/events", &[]);
    events.synced();
    let mut socket = Socket::upgrade(front.web(3), &[]).unwrap();
    socket
        .ask_text(v1::Hello {
            session_token: ada.token.clone(),
            ..hello("first")
        })
        .unwrap();
    for number in 1..=20_u64 {
        let line = format!("message {number}");
        if number % 2 == 0 {
            sent(front.address, &ada.token, conversation, &line);
        } else {
            socket.ask_text(text(conversation, &line)).unwrap();
        }
        // Each comes before the next is sent, so nothing waits for a buffer to be full.
        let event = events.pushed();
        assert_eq!((event.seq, body(&event)), (number, line));
    }
    let id = events.next_id();
    drop(events);
    sent(front.address, &ada.token, conversation, "meanwhile");
    let mut events = Events::over(front.web(2), &bob.token, "/v1/events", &[("Last-Event-ID", &id)]);
    assert_eq!(events.synced().conversations[0].head_seq, 21);
    // A page of the proxy's own origin is one of ours.
    let origin = format!("http://{}", front.address);
    let host = front.address.to_string();
    for (origin, opens) in [(origin.as_str(), true), ("http://evil.example", false)] {
        let headers = [("Origin", origin), ("Host", host.as_str())];
        assert_eq!(Socket::upgrade(front.web(4), &headers).is_ok(), opens, "{origin}");
    }
}
