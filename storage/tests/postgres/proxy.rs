//! A way to the server that can be cut between a request and its answer, or led to another server.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
};

/// Everything passes.
const PASS: u8 = 0;
/// The next answer does not, and the connection ends.
const CUT_NEXT: u8 = 1;
/// The answer to the next COMMIT does not.
const CUT_COMMIT: u8 = 2;
/// The next COMMIT does not get to the server, …
const HOLD_COMMIT: u8 = 3;
/// … and this one did not.
const HELD: u8 = 4;

pub(crate) struct Proxy {
    address: SocketAddr,
    server: Arc<Mutex<SocketAddr>>,
    mode: Arc<AtomicU8>,
    clients: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    pub(crate) fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mode = Arc::new(AtomicU8::new(PASS));
        let shared = Arc::clone(&mode);
        let server = Arc::new(Mutex::new(server));
        let present = Arc::clone(&server);
        let clients = Arc::<Mutex<Vec<TcpStream>>>::default();
        let known = Arc::clone(&clients);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = *present.lock().unwrap();
                let Ok(server) = TcpStream::connect(server) else {
                    continue;
                };
                known.lock().unwrap().push(client.try_clone().unwrap());
                let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let mode = Arc::clone(&shared);
                std::thread::spawn(move || requests(from_client, to_server, &mode));
                let mode = Arc::clone(&shared);
                std::thread::spawn(move || answers(server, client, &mode));
            }
        });
        Self {
            address,
            server,
            mode,
            clients,
        }
    }

    /// Ends all connections, on both sides.
    pub(crate) fn cut_all(&self) {
        for client in self.clients.lock().unwrap().drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
    }

    /// The URL by which a server's database is reached through it.
    pub(crate) fn url(&self, url: &str) -> String {
        let server = self.server.lock().unwrap().to_string();
        url.replace(&server, &self.address.to_string())
    }

    /// New connections go there.
    pub(crate) fn lead_to(&self, server: SocketAddr) {
        *self.server.lock().unwrap() = server;
    }

    /// The next COMMIT waits here for ever: whoever sent it hears of it only when the server ends.
    pub(crate) fn hold_commit(&self) {
        self.mode.store(HOLD_COMMIT, Ordering::SeqCst);
    }

    pub(crate) fn holds(&self) -> bool {
        self.mode.load(Ordering::SeqCst) == HELD
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn cut_next(&self) {
        self.mode.store(CUT_NEXT, Ordering::SeqCst);
    }

    pub(crate) fn cut_commit(&self) {
        self.mode.store(CUT_COMMIT, Ordering::SeqCst);
    }

    /// It has done what it was told.
    pub(crate) fn has_cut(&self) -> bool {
        self.mode.load(Ordering::SeqCst) == PASS
    }
}

fn requests(mut client: TcpStream, mut server: TcpStream, mode: &AtomicU8) {
    let mut buffer = [0; 1 << 16];
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        let request = &buffer[..length];
        if request.windows(6).any(|word| word == b"COMMIT") {
            let _ = mode.compare_exchange(CUT_COMMIT, CUT_NEXT, Ordering::SeqCst, Ordering::SeqCst);
            let hold = mode.compare_exchange(HOLD_COMMIT, HELD, Ordering::SeqCst, Ordering::SeqCst);
            if hold.is_ok() {
                continue;
            }
        }
        if server.write_all(request).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}

fn answers(mut server: TcpStream, mut client: TcpStream, mode: &AtomicU8) {
    let mut buffer = [0; 1 << 16];
    while let Ok(length @ 1..) = server.read(&mut buffer) {
        let cut = mode.compare_exchange(CUT_NEXT, PASS, Ordering::SeqCst, Ordering::SeqCst);
        if cut.is_ok() || client.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}
