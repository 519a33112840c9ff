//! A wire between nodes and PostgreSQL that knows a commit when it sees one: it can hold one back, or pass it on and keep
//! its answer, until the connections are cut. It can lead to another server afterwards.
//!
//! The worst moment to hold a COMMIT back is when nothing of its transaction has reached the disk. A commit of another
//! session would take it there: from the BEGIN of the chosen transaction on all others wait.

use std::{
    collections::HashSet,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// In the body of a startup message: a question for encryption, not the startup itself.
pub(super) const SSL_REQUEST: [u8; 4] = 80_877_103_u32.to_be_bytes();
/// What a batch of messages is stored with; its transaction commits by itself.
const APPEND: &[u8] = b"append_in_order";

/// How a batch begins that takes several statements.
const BEGIN: &[u8] = b"BEGIN; LOCK";

/// What happens to a commit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Hold {
    /// The COMMIT of a transaction of several statements does not reach the server.
    Request,
    /// The server does it, and nobody is told.
    Answer,
}

/// See the module. It ends with the process.
pub(super) struct Wire {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    server: SocketAddr,
    /// To be done to a commit.
    hold: Option<Hold>,
    /// The connection whose COMMIT will be held back: the others wait.
    chosen: Option<u64>,
    /// Connections so far.
    count: u64,
    /// That has happened.
    held: bool,
    connections: Vec<TcpStream>,
}

impl Wire {
    pub(super) fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                server,
                hold: None,
                chosen: None,
                count: 0,
                held: false,
                connections: Vec::new(),
            }),
            changed: Condvar::new(),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                of_thread.connect(client);
            }
        });
        Self { address, shared }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections lead there.
    pub(super) fn lead_to(&self, server: SocketAddr) {
        self.shared.state.lock().unwrap().server = server;
    }

    /// The next commit is held.
    pub(super) fn hold(&self, hold: Hold) {
        let mut state = self.shared.state.lock().unwrap();
        state.hold = Some(hold);
        state.chosen = None;
        state.held = false;
    }

    /// Whether one is.
    pub(super) fn holds(&self) -> bool {
        self.shared.state.lock().unwrap().held
    }

    /// Ends every connection; nothing is held any more.
    pub(super) fn cut(&self) {
        let mut state = self.shared.state.lock().unwrap();
        state.hold = None;
        state.chosen = None;
        self.shared.changed.notify_all();
        for connection in state.connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: TcpStream) {
        let server = self.state.lock().unwrap().server;
        let Ok(server) = TcpStream::connect(server) else {
            return;
        };
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let ends = [&client, &server].map(|stream| stream.try_clone().unwrap());
        let number = {
            let mut state = self.state.lock().unwrap();
            state.connections.extend(ends);
            state.count += 1;
            state.count
        };
        let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let silent = Arc::new(AtomicBool::new(false));
        let (shared, silenced) = (Arc::clone(self), Arc::clone(&silent));
        thread::spawn(move || {
            let _ = shared.pass_requests(number, &from_client, &to_server, &silenced);
            shared.give_up(number);
            end(&from_client, &to_server);
        });
        let shared = Arc::clone(self);
        thread::spawn(move || {
            let _ = shared.pass_answers(&server, &client, &silent);
            end(&server, &client);
        });
    }

    fn pass_requests(
        &self,
        number: u64,
        mut client: &TcpStream,
        mut server: &TcpStream,
        silent: &AtomicBool,
    ) -> std::io::Result<()> {
        loop {
            let startup = read_message(client, 0)?;
            server.write_all(&startup)?;
            if startup.get(4..8) != Some(&SSL_REQUEST) {
                break;
            }
        }
        let mut appends = HashSet::new();
        loop {
            let message = read_message(client, 1)?;
            match self.consider(number, meaning(&message, &mut appends)) {
                Passage::Free => {}
                Passage::Silent => silent.store(true, Ordering::SeqCst),
                Passage::Held => {
                    self.note_held();
                    // Until the connection is cut.
                    client.read_to_end(&mut Vec::new())?;
                    return Ok(());
                }
            }
            server.write_all(&message)?;
        }
    }

    /// May wait for the chosen transaction.
    fn consider(&self, number: u64, meaning: Meaning) -> Passage {
        let mut state = self.state.lock().unwrap();
        match (state.hold, meaning) {
            (Some(Hold::Answer), Meaning::Commit | Meaning::Append) => {
                state.hold = None;
                Passage::Silent
            }
            (Some(Hold::Request), Meaning::Begin) => {
                state.chosen.get_or_insert(number);
                Passage::Free
            }
            (Some(Hold::Request), Meaning::Rollback) => {
                if state.chosen == Some(number) {
                    state.chosen = None;
                    self.changed.notify_all();
                }
                Passage::Free
            }
            (Some(Hold::Request), Meaning::Commit) if state.chosen == Some(number) => Passage::Held,
            (Some(Hold::Request), Meaning::Commit | Meaning::Append) => {
                let others = |state: &mut State| state.chosen.is_some();
                drop(self.changed.wait_while(state, others).unwrap());
                Passage::Free
            }
            _ => Passage::Free,
        }
    }

    fn pass_answers(
        &self,
        mut server: &TcpStream,
        mut client: &TcpStream,
        silent: &AtomicBool,
    ) -> std::io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let count = server.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            if silent.load(Ordering::SeqCst) {
                self.note_held();
            } else {
                client.write_all(&buffer[..count])?;
            }
        }
    }

    /// A connection has ended, perhaps the chosen one before its COMMIT.
    fn give_up(&self, number: u64) {
        let mut state = self.state.lock().unwrap();
        if state.chosen == Some(number) && !state.held {
            state.chosen = None;
            self.changed.notify_all();
        }
    }

    fn note_held(&self) {
        self.state.lock().unwrap().held = true;
        self.changed.notify_all();
    }
}

enum Passage {
    Free,
    /// What the server says from now on is kept.
    Silent,
    Held,
}

enum Meaning {
    /// Of a transaction of several statements that writes.
    Begin,
    Commit,
    Rollback,
    /// A statement that commits by itself.
    Append,
    Other,
}

/// What a message asks for. Statements that append are remembered by their names.
fn meaning(message: &[u8], appends: &mut HashSet<Vec<u8>>) -> Meaning {
    let body = message.get(5..).unwrap_or_default();
    let mut texts = body.split(|byte| *byte == 0);
    let (first, second) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
    match (message.first(), first) {
        (Some(b'Q'), text) if text.starts_with(BEGIN) => Meaning::Begin,
        (Some(b'Q'), b"COMMIT") => Meaning::Commit,
        (Some(b'Q'), b"ROLLBACK") => Meaning::Rollback,
        // The statement's name, its text.
        (Some(b'P'), name) => {
            if second.windows(APPEND.len()).any(|word| word == APPEND) {
                appends.insert(name.to_vec());
            }
            Meaning::Other
        }
        // The portal's name, the statement's.
        (Some(b'B'), _) if appends.contains(second) => Meaning::Append,
        _ => Meaning::Other,
    }
}

/// One message, whose length stands after a prefix of this many bytes.
pub(super) fn read_message(mut from: &TcpStream, prefix: usize) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; prefix + 4];
    from.read_exact(&mut message)?;
    let length: [u8; 4] = message[prefix..].try_into().map_err(|_| ErrorKind::InvalidData)?;
    let length = u32::from_be_bytes(length) as usize;
    message.resize((prefix + length).max(prefix + 4), 0);
    from.read_exact(&mut message[prefix + 4..])?;
    Ok(message)
}

fn end(one: &TcpStream, other: &TcpStream) {
    let _ = one.shutdown(Shutdown::Both);
    let _ = other.shutdown(Shutdown::Both);
}
