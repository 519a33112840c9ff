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

/// How transactions begin.
const BEGIN: &[u8] = b"BEGIN";
/// How a batch begins that takes several statements.
const BEGIN_BATCH: &[u8] = b"BEGIN; LOCK";
/// How pages are read: such a COMMIT takes nothing to the disk.
const BEGIN_READING: &[u8] = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

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
    /// The connection whose answer will be kept.
    silenced: Option<u64>,
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
                silenced: None,
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
        state.silenced = None;
        state.held = false;
    }

    /// What it waits for, for whoever waits for it.
    pub(super) fn describe(&self) -> String {
        let state = self.shared.state.lock().unwrap();
        format!(
            "hold {:?}, chosen {:?}, silenced {:?} of {}, held {}, connections {}",
            state.hold,
            state.chosen,
            state.silenced,
            state.count,
            state.held,
            state.connections.len() / 2
        )
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
        state.silenced = None;
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
        let mut asked = Asked::default();
        loop {
            let message = read_message(client, 1)?;
            match self.consider(number, asked.meaning(&message)) {
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
                state.silenced = Some(number);
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

    /// A connection has ended, perhaps the chosen one before its COMMIT, or the silenced one before the answer.
    fn give_up(&self, number: u64) {
        let mut state = self.state.lock().unwrap();
        if state.held {
            return;
        }
        if state.chosen == Some(number) {
            state.chosen = None;
            self.changed.notify_all();
        }
        if state.silenced == Some(number) {
            state.silenced = None;
            state.hold = Some(Hold::Answer);
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

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Meaning {
    /// Of a transaction of several statements that writes.
    Begin,
    /// Of a transaction that may have written.
    Commit,
    Rollback,
    /// A statement that commits by itself.
    Append,
    Other,
}

/// What a connection has asked for so far, as far as the next message means something else by it.
#[derive(Default)]
struct Asked {
    /// The names of the statements that append.
    appends: HashSet<Vec<u8>>,
    open: Open,
}

/// The transaction of a connection.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
enum Open {
    #[default]
    Nothing,
    Reading,
    Writing,
}

impl Asked {
    fn meaning(&mut self, message: &[u8]) -> Meaning {
        let body = message.get(5..).unwrap_or_default();
        let mut texts = body.split(|byte| *byte == 0);
        let (first, second) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
        match (message.first(), first) {
            (Some(b'Q'), text) if text.starts_with(BEGIN) => {
                let reading = text.starts_with(BEGIN_READING);
                self.open = if reading { Open::Reading } else { Open::Writing };
                if text.starts_with(BEGIN_BATCH) {
                    Meaning::Begin
                } else {
                    Meaning::Other
                }
            }
            (Some(b'Q'), b"COMMIT") => match std::mem::take(&mut self.open) {
                Open::Writing => Meaning::Commit,
                Open::Nothing | Open::Reading => Meaning::Other,
            },
            (Some(b'Q'), b"ROLLBACK") => {
                self.open = Open::Nothing;
                Meaning::Rollback
            }
            // The statement's name, its text.
            (Some(b'P'), name) => {
                if second.windows(APPEND.len()).any(|word| word == APPEND) {
                    self.appends.insert(name.to_vec());
                }
                Meaning::Other
            }
            // The portal's name, the statement's. Within a transaction it commits nothing.
            (Some(b'B'), _) if self.open == Open::Nothing && self.appends.contains(second) => Meaning::Append,
            _ => Meaning::Other,
        }
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

#[cfg(test)]
mod tests {
    use super::{Asked, Meaning};

    fn said(asked: &mut Asked, kind: u8, texts: &[&str]) -> Meaning {
        let body = texts.concat();
        let mut message = vec![kind];
        message.extend((body.len() as u32 + 4).to_be_bytes());
        message.extend(body.bytes());
        asked.meaning(&message)
    }

    #[test]
    fn an_append_within_a_transaction_commits_nothing() {
        let mut asked = Asked::default();
        said(&mut asked, b'P', &["s1\0", "SELECT append_in_order($1)\0"]);
        assert_eq!(said(&mut asked, b'B', &["\0", "s1\0"]), Meaning::Append);
        assert_eq!(said(&mut asked, b'B', &["\0", "s2\0"]), Meaning::Other);
        let begin = "BEGIN; LOCK TABLE events IN ROW EXCLUSIVE MODE\0";
        for (end, meaning) in [("COMMIT\0", Meaning::Commit), ("ROLLBACK\0", Meaning::Rollback)] {
            assert_eq!(said(&mut asked, b'Q', &[begin]), Meaning::Begin);
            assert_eq!(said(&mut asked, b'B', &["\0", "s1\0"]), Meaning::Other);
            assert_eq!(said(&mut asked, b'Q', &[end]), meaning);
            assert_eq!(said(&mut asked, b'B', &["\0", "s1\0"]), Meaning::Append);
        }
    }

    #[test]
    fn who_reads_commits_nothing() {
        let mut asked = Asked::default();
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY\0";
        assert_eq!(said(&mut asked, b'Q', &[begin]), Meaning::Other);
        assert_eq!(said(&mut asked, b'Q', &["COMMIT\0"]), Meaning::Other);
        assert_eq!(said(&mut asked, b'Q', &["BEGIN\0"]), Meaning::Other);
        assert_eq!(said(&mut asked, b'Q', &["COMMIT\0"]), Meaning::Commit);
    }
}
