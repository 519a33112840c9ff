//! A wire between the daemon and its database that can lose what comes back.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
};

use tests::harness::PATIENCE;

/// See the module. It ends with the process.
pub(super) struct Wire {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    swallowed: Condvar,
}

#[derive(Default)]
struct State {
    swallowing: bool,
    swallowed: bool,
    connections: Vec<TcpStream>,
}

impl Wire {
    pub(super) fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(server)) else {
                    continue;
                };
                of_thread.connect(client, server);
            }
        });
        Self { address, shared }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on nothing comes back.
    pub(super) fn swallow_answers(&self) {
        let mut state = self.shared.state.lock().unwrap();
        state.swallowing = true;
        state.swallowed = false;
    }

    /// Waits until something did not come back.
    pub(super) fn wait_swallowed(&self) {
        let state = self.shared.state.lock().unwrap();
        let (state, _) = self
            .shared
            .swallowed
            .wait_timeout_while(state, PATIENCE, |state| !state.swallowed)
            .unwrap();
        assert!(state.swallowed, "nothing was answered");
    }

    /// Ends every connection, and lets answers through on new ones.
    pub(super) fn cut(&self) {
        let mut state = self.shared.state.lock().unwrap();
        state.swallowing = false;
        for connection in state.connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let ends = [&client, &server].map(|stream| stream.try_clone().unwrap());
        self.state.lock().unwrap().connections.extend(ends);
        let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || pump(from_client, to_server, |_| true));
        let shared = Arc::clone(self);
        thread::spawn(move || pump(server, client, |_| shared.lets_through()));
    }

    fn lets_through(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        if state.swallowing {
            state.swallowed = true;
            self.swallowed.notify_all();
        }
        !state.swallowing
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, lets_through: impl Fn(&[u8]) -> bool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if lets_through(&buffer[..count]) && to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
