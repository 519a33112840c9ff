//! The limit that netcore is measured against: an echo server that does only what no server can leave out.
//!
//! One thread, one epoll instance, one read buffer for all connections, one read and one write per readiness;
//! whole frames go back out of the very buffer they were read into. Events are edge-triggered: level-triggered
//! ones make the kernel look once more at every connection it has reported, which measures slower. There are
//! no deadlines, no limits of connections and no callbacks, and nothing may be added that a server could do
//! without.

use bench_netcore::frames::{HEADER_BYTES, PAYLOAD_BYTES_MAX, whole_frames};
use bench_netcore::poller::{self, Events, Poller};
use clap::Parser;
use rustix::fd::OwnedFd;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

/// What one read takes at most, and the longest frame behind it.
const BUFFER_BYTES: usize = 64 * 1024 + HEADER_BYTES + PAYLOAD_BYTES_MAX;

/// The token of the listening socket. Connections have their place in the list.
const LISTENER: u64 = u64::MAX;

/// Sends every frame back.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen; port 0 is any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

struct Connection {
    stream: OwnedFd,
    /// There may be something to read: edge-triggered events come once.
    readable: bool,
    /// The beginning of a frame whose end has not come.
    partial: Vec<u8>,
    /// What the kernel did not take. Nothing is read while there is something.
    unsent: Vec<u8>,
}

/// A connection that is over, whatever the reason.
struct Over;

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Connection {
    fn handle(&mut self, ready: poller::Ready, buffer: &mut [u8]) -> Result<(), Over> {
        self.readable |= ready.readable;
        if !self.unsent.is_empty() {
            let sent = poller::send(&self.stream, &self.unsent)?;
            self.unsent.drain(..sent);
        }
        while self.readable && self.unsent.is_empty() {
            let held = self.partial.len();
            buffer[..held].copy_from_slice(&self.partial);
            let Some(count) = poller::receive(&self.stream, &mut buffer[held..])? else {
                self.readable = false;
                break;
            };
            if count == 0 {
                return Err(Over);
            }
            let received = held + count;
            // A short read has emptied the socket, unless the end is there, which is announced only once.
            self.readable = ready.ended || received == buffer.len();
            let whole = whole_frames(&buffer[..received]).map_err(|_| Over)?;
            if whole > 0 {
                let sent = poller::send(&self.stream, &buffer[..whole])?;
                self.unsent.extend_from_slice(&buffer[sent..whole]);
            }
            self.partial.clear();
            self.partial.extend_from_slice(&buffer[whole..received]);
        }
        Ok(())
    }
}

struct Server {
    poller: Poller,
    listener: OwnedFd,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
}

impl Server {
    fn start(address: SocketAddr) -> io::Result<Self> {
        let poller = Poller::new()?;
        let listener = poller::listen(address)?;
        poller.add_listener(&listener, LISTENER)?;
        Ok(Self {
            poller,
            listener,
            connections: Vec::new(),
            free: Vec::new(),
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::new();
        loop {
            self.poller.wait(&mut events, None)?;
            for ready in events.iter() {
                if ready.token == LISTENER {
                    self.accept()?;
                    continue;
                }
                // An event names each connection once, so its place cannot have a new owner yet.
                let place = ready.token as usize;
                if let Some(Some(connection)) = self.connections.get_mut(place)
                    && connection.handle(ready, &mut self.buffer).is_err()
                {
                    self.connections[place] = None;
                    self.free.push(place);
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Some(stream) = poller::accept(&self.listener)? {
            let place = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            self.poller.add_connection(&stream, place as u64)?;
            self.connections[place] = Some(Connection {
                stream,
                readable: false,
                partial: Vec::new(),
                unsent: Vec::new(),
            });
        }
        Ok(())
    }
}

fn serve(address: SocketAddr) -> io::Result<()> {
    let mut server = Server::start(address)?;
    println!("listening on {}", poller::local_address(&server.listener)?);
    server.run()
}

fn main() -> ExitCode {
    match serve(Arguments::parse().listen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo-limit: {error}");
            ExitCode::FAILURE
        }
    }
}
