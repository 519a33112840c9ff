//! A pooler: the nodes' sessions outlive the server behind them. When they are given another one, sessions that are
//! between two transactions get a session there, with the statements that they had prepared; the others end.
//!
//! It speaks to servers that trust everybody, and knows no more of the protocol than it needs for that.

use std::{
    io::{Error, ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
};

use super::wire::{SSL_REQUEST, read_message};

/// Ends a series of messages: the server answers and is ready for the next one.
const SYNC: [u8; 5] = [b'S', 0, 0, 0, 4];

/// See the module. It ends with the process.
pub(super) struct Pooler {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// No server: who comes now is sent away.
    paused: bool,
    sessions: Vec<Arc<Session>>,
}

/// One of a node's sessions.
struct Session {
    client: TcpStream,
    startup: Vec<u8>,
    inner: Mutex<Inner>,
    resumed: Condvar,
}

struct Inner {
    server: TcpStream,
    /// Counts the servers that it has had.
    turn: u64,
    paused: bool,
    /// What prepared a statement.
    prepared: Vec<Vec<u8>>,
    /// Series of messages that are not answered yet.
    unanswered: u64,
    in_transaction: bool,
}

impl Pooler {
    /// In front of whoever listens there.
    pub(super) fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            server,
            state: Mutex::default(),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&of_thread);
                thread::spawn(move || {
                    let _ = shared.serve(&client);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        Self { address, shared }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Keeps the sessions that are between two transactions, while there is no server.
    pub(super) fn pause(&self) {
        let mut state = self.shared.state.lock().unwrap();
        state.paused = true;
        state.sessions.retain(|session| {
            let mut inner = session.inner.lock().unwrap();
            inner.paused = inner.unanswered == 0 && !inner.in_transaction;
            if !inner.paused {
                let _ = session.client.shutdown(Shutdown::Both);
            }
            inner.paused
        });
    }

    /// Gives each of them a session on the server that is there now. How many they are.
    pub(super) fn resume(&self) -> usize {
        let mut state = self.shared.state.lock().unwrap();
        for session in &state.sessions {
            session.move_to(self.shared.server).unwrap();
        }
        state.paused = false;
        state.sessions.len()
    }
}

impl Shared {
    /// Passes the requests of one session on, as long as there is one.
    fn serve(&self, mut client: &TcpStream) -> std::io::Result<()> {
        client.set_nodelay(true)?;
        let startup = loop {
            let startup = read_message(client, 0)?;
            if startup.get(4..8) != Some(&SSL_REQUEST) {
                break startup;
            }
            // Not encrypted.
            client.write_all(b"N")?;
        };
        let Some(session) = self.admit(client, startup)? else {
            return Ok(());
        };
        loop {
            session.pass_on(&read_message(client, 1)?)?;
        }
    }

    fn admit(&self, client: &TcpStream, startup: Vec<u8>) -> std::io::Result<Option<Arc<Session>>> {
        let mut server = TcpStream::connect(self.server)?;
        server.set_nodelay(true)?;
        server.write_all(&startup)?;
        let session = Arc::new(Session {
            client: client.try_clone()?,
            startup,
            inner: Mutex::new(Inner {
                server: server.try_clone()?,
                turn: 0,
                paused: false,
                prepared: Vec::new(),
                // The greeting.
                unanswered: 1,
                in_transaction: false,
            }),
            resumed: Condvar::new(),
        });
        if !self.keep(&session) {
            return Ok(None);
        }
        session.answer_from(server, 0);
        Ok(Some(session))
    }

    fn keep(&self, session: &Arc<Session>) -> bool {
        let mut state = self.state.lock().unwrap();
        if !state.paused {
            state.sessions.push(Arc::clone(session));
        }
        !state.paused
    }
}

impl Session {
    fn pass_on(&self, message: &[u8]) -> std::io::Result<()> {
        let mut inner = self.when_there_is_a_server();
        match message.first() {
            Some(b'P') => inner.prepared.push(message.to_vec()),
            Some(b'Q' | b'S') => inner.unanswered += 1,
            _ => {}
        }
        inner.server.write_all(message)
    }

    fn when_there_is_a_server(&self) -> std::sync::MutexGuard<'_, Inner> {
        let inner = self.inner.lock().unwrap();
        self.resumed.wait_while(inner, |inner| inner.paused).unwrap()
    }

    /// Passes a server's answers on, on a thread of its own, as long as it is this session's.
    fn answer_from(self: &Arc<Self>, server: TcpStream, turn: u64) {
        let session = Arc::clone(self);
        thread::spawn(move || {
            while let Ok(message) = read_message(&server, 1) {
                if message.first() == Some(&b'Z') {
                    let mut inner = session.inner.lock().unwrap();
                    inner.unanswered = inner.unanswered.saturating_sub(1);
                    inner.in_transaction = message.get(5) != Some(&b'I');
                }
                if (&session.client).write_all(&message).is_err() {
                    break;
                }
            }
            let inner = session.inner.lock().unwrap();
            if !inner.paused && inner.turn == turn {
                let _ = session.client.shutdown(Shutdown::Both);
            }
        });
    }

    fn move_to(self: &Arc<Self>, address: SocketAddr) -> std::io::Result<()> {
        let mut server = TcpStream::connect(address)?;
        server.set_nodelay(true)?;
        server.write_all(&self.startup)?;
        until_ready(&server)?;
        let turn = self.prepare_on(&mut server)?;
        self.answer_from(server, turn);
        Ok(())
    }

    /// Prepares on the new server what was prepared, and makes it the session's.
    fn prepare_on(&self, server: &mut TcpStream) -> std::io::Result<u64> {
        let ours = server.try_clone()?;
        let prepared = self.prepared();
        for message in &prepared {
            server.write_all(message)?;
        }
        server.write_all(&SYNC)?;
        until_ready(server)?;
        Ok(self.take(ours))
    }

    fn prepared(&self) -> Vec<Vec<u8>> {
        self.inner.lock().unwrap().prepared.clone()
    }

    fn take(&self, server: TcpStream) -> u64 {
        let mut inner = self.inner.lock().unwrap();
        let _ = inner.server.shutdown(Shutdown::Both);
        inner.server = server;
        inner.turn += 1;
        inner.paused = false;
        self.resumed.notify_all();
        inner.turn
    }
}

/// Reads what a server says until it is ready for the next series.
fn until_ready(server: &TcpStream) -> std::io::Result<()> {
    let mut server = server;
    loop {
        let message = read_message(server, 1)?;
        match message.first() {
            Some(b'Z') => return Ok(()),
            Some(b'E') => {
                let _ = server.read(&mut []);
                let text = String::from_utf8_lossy(&message).into_owned();
                return Err(Error::new(ErrorKind::InvalidData, text));
            }
            _ => {}
        }
    }
}
