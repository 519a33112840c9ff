//! What connections and messages cost in memory: counted by the allocator, over real sockets. It owns its process,
//! because everything in it is counted; so it is one test, and nothing in it may allocate at a whim.

// In tests a failed unwrap is the failing assertion.
#![allow(clippy::unwrap_used)]

use netcore::codec::LengthPrefixed;
use netcore::limits::TICK;
use netcore::{ConnCx, Flow, Handler, LoopCx, NoTask, Peer, Refusal, Server};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Connections at once; each takes two descriptors of this process.
const CONNECTIONS: usize = 1000;

/// Lists and tables of a loop, each of which is a block that grows.
const TABLES_MAX: usize = 30;

const PATIENCE: Duration = Duration::from_secs(60);

/// Sends every frame back, and counts the messages posted to it.
struct Echo {
    messages: Arc<AtomicUsize>,
}

impl Handler for Echo {
    type Codec = LengthPrefixed;
    /// As much as a small session has.
    type Conn = [u64; 2];
    type Msg = ();
    type Task = NoTask;

    fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, [u64; 2]), Refusal> {
        Ok((LengthPrefixed::new(1024), [0; 2]))
    }

    fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
        cx.conn()[0] += 1;
        cx.send(frame).unwrap();
        Flow::Continue
    }

    fn on_msg(&mut self, _: &mut LoopCx<'_, Self>, (): ()) {
        self.messages.fetch_add(1, Ordering::SeqCst);
    }
}

struct Running {
    server: Server<()>,
    messages: Arc<AtomicUsize>,
}

impl Running {
    fn start() -> Self {
        let messages = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&messages);
        let any_port: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let server = Server::builder::<Echo>()
            .loops(1)
            .listen(any_port)
            .start(move |_, _| Echo {
                messages: Arc::clone(&counted),
            })
            .unwrap();
        Self { server, messages }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.server.local_addrs()[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Returns when the loop has finished the turn that it is in.
    fn settle(&self) {
        for _ in 0..2 {
            let before = self.messages.load(Ordering::SeqCst);
            let remote = self.server.remote();
            remote.post(remote.loops().next().unwrap(), ()).unwrap();
            while self.messages.load(Ordering::SeqCst) == before {
                thread::yield_now();
            }
        }
    }

    fn wait_until_empty(&self) {
        while self.server.connections() > 0 {
            thread::yield_now();
        }
        self.settle();
    }
}

/// A frame of 16 bytes, so many times.
fn burst<const TIMES: usize>() -> [[u8; 20]; TIMES] {
    [*b"\0\0\0\x100123456789abcdef"; TIMES]
}

fn echo<const TIMES: usize>(stream: &mut TcpStream) {
    let frames = burst::<TIMES>();
    stream.write_all(frames.as_flattened()).unwrap();
    let mut answer = [[0; 20]; TIMES];
    stream.read_exact(answer.as_flattened_mut()).unwrap();
    assert_eq!(answer, frames);
}

/// Bytes and blocks in use, and blocks allocated since the beginning.
#[derive(Clone, Copy, Debug)]
struct Count {
    bytes: usize,
    blocks: usize,
    allocations: u64,
}

fn count() -> Count {
    let stats = dhat::HeapStats::get();
    Count {
        bytes: stats.curr_bytes,
        blocks: stats.curr_blocks,
        allocations: stats.total_blocks,
    }
}

/// Connects all, exchanges three frames on each, and leaves them alone.
fn fill(running: &Running, streams: &mut Vec<TcpStream>) -> Count {
    for _ in 0..CONNECTIONS {
        let mut stream = running.connect();
        (0..3).for_each(|_| echo::<1>(&mut stream));
        streams.push(stream);
    }
    running.settle();
    assert_eq!(running.server.connections(), CONNECTIONS);
    count()
}

fn drain(running: &Running, streams: &mut Vec<TcpStream>) -> Count {
    streams.clear();
    running.wait_until_empty();
    count()
}

/// The soft limit of descriptors is often 1024.
fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

#[test]
fn connections_and_messages_cost_what_is_promised() {
    let _counting = dhat::Profiler::builder().testing().build();
    allow_descriptors();
    let running = Running::start();
    let mut streams = Vec::with_capacity(CONNECTIONS);
    running.settle();

    let (began, empty) = (Instant::now(), count());
    let full = fill(&running, &mut streams);
    let emptied = drain(&running, &mut streams);
    let full_again = fill(&running, &mut streams);
    let emptied_again = drain(&running, &mut streams);
    let ticks = (began.elapsed().as_millis() / TICK.as_millis()) as usize;
    idle_connections(empty, full, ticks);
    nothing_is_kept(emptied, full_again, emptied_again, ticks);
    messages(&running);
}

/// The slab, the streams and the wheel grow by doubling, so up to twice what a connection takes is counted. No
/// connection owns a block: there are the tables, and one list for each tick on which deadlines fall.
fn idle_connections(empty: Count, full: Count, ticks: usize) {
    let each = (full.bytes - empty.bytes) / CONNECTIONS;
    let blocks = full.blocks - empty.blocks;
    println!("an idle connection takes {each} bytes; {blocks} blocks for all {CONNECTIONS}");
    assert!(each <= 256, "{each} bytes per idle connection");
    assert!(
        blocks <= TABLES_MAX + ticks,
        "{blocks} blocks for {CONNECTIONS} connections"
    );
}

/// Tables stay for the next connections, nothing else does. How long the lists of a turn become depends on how many
/// connections end in one turn; in the wheel the deadlines of those that have gone stay until they come up. Both
/// are 8 bytes for each and double. Something that is lost with each connection would show as a block for each.
fn nothing_is_kept(emptied: Count, full_again: Count, emptied_again: Count, ticks: usize) {
    println!("after the first {emptied:?}, with the second {full_again:?}, without {emptied_again:?}");
    let bytes = emptied.bytes + 48 * CONNECTIONS;
    let blocks = emptied.blocks + TABLES_MAX + ticks;
    for later in [full_again, emptied_again] {
        assert!(
            later.bytes <= bytes && later.blocks <= blocks,
            "{later:?} after {emptied:?}"
        );
    }
}

/// Frames lie in the read buffer, and out-queues are made of memory that the loop keeps: a message costs no block.
fn messages(running: &Running) {
    let mut stream = running.connect();
    (0..10).for_each(|_| echo::<16>(&mut stream));
    running.settle();
    let before = count();
    (0..1000).for_each(|_| echo::<1>(&mut stream));
    running.settle();
    let single = (count().allocations - before.allocations) as f64 / 1000.0;
    let before = count();
    (0..200).for_each(|_| echo::<16>(&mut stream));
    running.settle();
    let many = (count().allocations - before.allocations) as f64 / 200.0;
    println!("{single} allocations for a message alone, {many} for a burst of 16");
    assert!(single <= 0.5, "{single} allocations per message");
    assert!(many <= 0.5, "{many} allocations for 16 messages");
    let after = count();
    let kept = after.blocks.saturating_sub(before.blocks);
    assert!(kept <= TABLES_MAX, "{kept} blocks are left of 3200 messages");
}
