//! A way to the server that can be cut between a request and its answer.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

/// Everything passes.
const PASS: u8 = 0;
/// The next answer does not, and the connection ends.
const CUT_NEXT: u8 = 1;
/// The answer to the next COMMIT does not.
const CUT_COMMIT: u8 = 2;

pub(crate) struct Proxy {
    address: SocketAddr,
    mode: Arc<AtomicU8>,
}

impl Proxy {
    pub(crate) fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mode = Arc::new(AtomicU8::new(PASS));
        let shared = Arc::clone(&mode);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(server) else {
                    continue;
                };
                let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let mode = Arc::clone(&shared);
                std::thread::spawn(move || requests(from_client, to_server, &mode));
                let mode = Arc::clone(&shared);
                std::thread::spawn(move || answers(server, client, &mode));
            }
        });
        Self { address, mode }
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
