//! A chat server, step by step.
//!
//! # 1. A codec and a handler
//!
//! netcore asks two things of an application. A [`Codec`](crate::codec::Codec) cuts the stream of bytes into
//! frames. A [`Handler`](crate::Handler) says what they mean. For lines of text there is a codec in the box, so
//! this is a whole server; it sends every line back:
//!
//! ```
//! use netcore::codec::Delimited;
//! use netcore::{ConnCx, Flow, Handler, NoTask, Peer, Refusal, Server};
//! use std::net::SocketAddr;
//!
//! struct Echo;
//!
//! impl Handler for Echo {
//!     type Codec = Delimited;
//!     type Conn = ();
//!     type Msg = ();
//!     type Task = NoTask;
//!
//!     fn on_accept(&mut self, _peer: &Peer) -> Result<(Delimited, ()), Refusal> {
//!         Ok((Delimited::lines(1024), ()))
//!     }
//!
//!     fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, line: &[u8]) -> Flow<Self> {
//!         match cx.send(line) {
//!             Ok(_) => Flow::Continue,
//!             Err(_) => Flow::Close(1),
//!         }
//!     }
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = Server::builder::<Echo>()
//!         .listen("127.0.0.1:0".parse::<SocketAddr>()?)
//!         .start(|_loop, _remote| Echo)?;
//!     println!("listening on {}", server.local_addrs()[0]);
//!     # Ok(())
//! }
//! ```
//!
//! `start` creates one handler for each event loop, on the thread of that loop. The handler and its connections stay
//! there: no two of its callbacks ever run at the same time, so it needs no lock. It must not block, because then all
//! connections of its loop wait.
//!
//! # 2. Something to know about each connection
//!
//! `type Conn` is the application's state for each connection; it is stored with the connection itself, and
//! [`ConnCx::conn`](crate::ConnCx::conn) reaches it. Our chat keeps a name. A frame is borrowed from the read buffer,
//! so the name is copied.
//!
//! # 3. Every client gets it
//!
//! A connection joins [groups](crate::ConnCx::join), which are numbers. A frame for a group is encoded once and shared
//! by all members: on this loop by [`LoopCx::send_to_group`](crate::LoopCx::send_to_group), on all loops by
//! [`Remote::send_to_group`](crate::Remote::send_to_group), which costs one message and at most one wake for each loop,
//! however many members there are. This is the chat, complete:
//!
//! ```
//! use bytes::{Bytes, BytesMut};
//! use netcore::codec::{Codec, Delimited};
//! use netcore::{CloseHow, ConnCx, ConnId, Flow, Handler, LoopCx, NoTask, Peer, Reason, Refusal, Server};
//! use std::net::SocketAddr;
//!
//! const LINE_MAX: u32 = 1024;
//! const EVERYBODY: u64 = 0;
//!
//! struct Chat;
//!
//! #[derive(Default)]
//! struct Guest { name: String }
//!
//! fn line(text: &str) -> Bytes {
//!     let mut bytes = BytesMut::new();
//!     // The longest name and the longest line do not make too long a line together.
//!     let _ = Delimited::lines(2 * LINE_MAX).encode(text.as_bytes(), &mut bytes);
//!     bytes.freeze()
//! }
//!
//! impl Handler for Chat {
//!     type Codec = Delimited;
//!     type Conn = Guest;
//!     type Msg = ();
//!     type Task = NoTask;
//!
//!     fn on_accept(&mut self, _peer: &Peer) -> Result<(Delimited, Guest), Refusal> {
//!         Ok((Delimited::lines(LINE_MAX), Guest::default()))
//!     }
//!
//!     fn on_open(&mut self, cx: &mut ConnCx<'_, Self>) {
//!         // A connection that cannot take one line is nothing to wait for.
//!         let _ = cx.send(b"What is your name?");
//!     }
//!
//!     fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
//!         let text = String::from_utf8_lossy(frame).into_owned();
//!         let said = if cx.conn().name.is_empty() {
//!             cx.conn().name = text;
//!             cx.established();
//!             let welcome = format!("Welcome, {}", cx.conn().name);
//!             if cx.join(EVERYBODY).is_err() || cx.send(welcome.as_bytes()).is_err() {
//!                 return Flow::Close(1);
//!             }
//!             format!("{} is here", cx.conn().name)
//!         } else if text == "/quit" {
//!             cx.close(0, CloseHow::Flush);
//!             return Flow::Continue;
//!         } else {
//!             format!("{}: {text}", cx.conn().name)
//!         };
//!         let from = cx.id();
//!         // A loop that is too busy for it misses a line and does not report it: it is only a chat.
//!         let _ = cx.loop_cx().remote().send_to_group(EVERYBODY, &line(&said), Some(from));
//!         Flow::Continue
//!     }
//!
//!     fn on_close(&mut self, cx: &mut LoopCx<'_, Self>, _id: ConnId, guest: Guest, why: &Reason<Self>) {
//!         let said = line(&format!("{} is gone: {why}", guest.name));
//!         let _ = cx.remote().send_to_group(EVERYBODY, &said, None);
//!     }
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = Server::builder::<Chat>()
//!         .listen("127.0.0.1:0".parse::<SocketAddr>()?)
//!         .start(|_loop, _remote| Chat)?;
//!     # use std::io::{BufRead, BufReader, Write};
//!     # // What was posted to another loop before somebody joined may still reach them: other lines are passed over.
//!     # let hear = |reader: &mut BufReader<std::net::TcpStream>, wanted: &str| -> std::io::Result<()> {
//!     #     let mut heard = String::new();
//!     #     while heard.trim_end() != wanted {
//!     #         heard.clear();
//!     #         assert_ne!(reader.read_line(&mut heard)?, 0, "{wanted:?} was never said");
//!     #     }
//!     #     Ok(())
//!     # };
//!     # let join = |name: &str| -> std::io::Result<(BufReader<std::net::TcpStream>, std::net::TcpStream)> {
//!     #     let mut stream = std::net::TcpStream::connect(server.local_addrs()[0])?;
//!     #     let mut reader = BufReader::new(stream.try_clone()?);
//!     #     hear(&mut reader, "What is your name?")?;
//!     #     writeln!(stream, "{name}")?;
//!     #     hear(&mut reader, &format!("Welcome, {name}"))?;
//!     #     Ok((reader, stream))
//!     # };
//!     # let (mut ann, mut to_ann) = join("ann")?;
//!     # let (mut bob, mut to_bob) = join("bob")?;
//!     # hear(&mut ann, "bob is here")?;
//!     # writeln!(to_ann, "hello")?;
//!     # hear(&mut bob, "ann: hello")?;
//!     # writeln!(to_bob, "/quit")?;
//!     # hear(&mut ann, "bob is gone: closed by the application with code 0")?;
//!     Ok(())
//! }
//! ```
//!
//! # 4. Peers that do nothing, or everything
//!
//! A peer that connects and never says its name wastes a connection. A peer that sends a byte per minute does the same.
//! Deadlines end both, and heartbeats find peers whose network has gone:
//!
//! ```
//! use netcore::{Admission, Limits, Network, Timeouts};
//! use std::time::Duration;
//!
//! let timeouts = Timeouts {
//!     // Until `ConnCx::established` is called.
//!     handshake: Duration::from_secs(10),
//!     // From the first byte of a frame to its last.
//!     frame: Duration::from_secs(20),
//!     // Without any byte. Lines have no ping; a codec that has one sets `ping_after`.
//!     idle: Duration::from_secs(600),
//!     ..Timeouts::default()
//! };
//! let limits = Limits { connections: 10_000, ..Limits::default() };
//! let admission = Admission {
//!     per_source: Some(50),
//!     per_source_rate: Some(10),
//!     exempt: Network::loopback(),
//!     ..Admission::default()
//! };
//! # let _ = (timeouts, limits, admission);
//! // .timeouts(timeouts).limits(limits).admission(admission) on the builder
//! ```
//!
//! # 5. Peers that do not read
//!
//! Frames that are sent to a connection wait in its out-queue until the peer takes them. [`Outbound`](crate::Outbound)
//! has three marks. Above `high_water` the connection is not read from, because a peer that does not read answers
//! should not ask. At `limit` frames are refused with an error to the sender, or the connection is closed
//! ([`WhenFull`](crate::WhenFull)). If a frame that another thread sent, to the connection or to a group, does not fit,
//! [`on_undelivered`](crate::Handler::on_undelivered) is called. Nothing grows without a bound, and nothing is lost
//! silently.
//!
//! # 6. Work that takes long
//!
//! A query or a password hash must not run on the loop. [`Flow::Offload`](crate::Flow::Offload) gives a
//! [`Task`](crate::Task) to a [`WorkerPool`](crate::WorkerPool): tasks with the same key run one at a time, in order.
//! When the pool is full, the task is kept, and its connection is not read from until there is room. The answer comes
//! back as a message. Its place is reserved before the work begins, so that the worker never has to wait for the loop:
//!
//! ```
//! use netcore::codec::LengthPrefixed;
//! use netcore::{ConnCx, ConnId, Flow, Handler, LoopCx, Peer, Permit, Refusal, Task};
//!
//! struct Reverse { bytes: Vec<u8>, from: ConnId, answer: Permit<Answer> }
//! struct Answer { to: ConnId, bytes: Vec<u8> }
//!
//! impl Task for Reverse {
//!     /// The state of each worker thread: a database connection, say.
//!     type Worker = ();
//!
//!     fn key(&self) -> u64 {
//!         self.from.as_u64()
//!     }
//!
//!     fn run(mut self, _worker: &mut ()) {
//!         self.bytes.reverse();
//!         // The loop can only have stopped.
//!         let _ = self.answer.post(Answer { to: self.from, bytes: self.bytes });
//!     }
//! }
//!
//! struct Reverser;
//!
//! impl Handler for Reverser {
//!     type Codec = LengthPrefixed;
//!     type Conn = ();
//!     type Msg = Answer;
//!     type Task = Reverse;
//!
//!     fn on_accept(&mut self, _peer: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
//!         Ok((LengthPrefixed::new(64 * 1024), ()))
//!     }
//!
//!     fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
//!         let (from, bytes) = (cx.id(), frame.to_vec());
//!         match cx.loop_cx().remote().reserve(from.loop_id()) {
//!             Ok(answer) => Flow::Offload(Reverse { bytes, from, answer }),
//!             // Too many answers are pending: a real protocol reports this.
//!             Err(_) => Flow::Close(2),
//!         }
//!     }
//!
//!     fn on_msg(&mut self, cx: &mut LoopCx<'_, Self>, answer: Answer) {
//!         // The connection may be over by now.
//!         if let Some(mut cx) = cx.conn(answer.to) {
//!             let _ = cx.send(&answer.bytes);
//!         }
//!     }
//! }
//! ```
//!
//! # 7. Connections of our own
//!
//! [`LoopCx::connect`](crate::LoopCx::connect) makes a connection like any other: `on_open` is called when it is made,
//! `on_close` when it is over or could not be made. To connect again, call it in `on_close` with a pause:
//!
//! ```
//! use netcore::codec::Delimited;
//! use netcore::{Backoff, Connect, ConnCx, ConnId, Flow, Handler, LoopCx, NoTask, Reason};
//! use std::net::SocketAddr;
//!
//! struct Client { server: SocketAddr, backoff: Backoff }
//!
//! impl Client {
//!     fn connect(&mut self, cx: &mut LoopCx<'_, Self>, connect: Connect) {
//!         if let Err(error) = cx.connect(connect, Delimited::lines(1024), ()) {
//!             eprintln!("not connecting: {error}");
//!         }
//!     }
//! }
//!
//! impl Handler for Client {
//!     type Codec = Delimited;
//!     type Conn = ();
//!     type Msg = ();
//!     type Task = NoTask;
//!
//!     fn on_start(&mut self, cx: &mut LoopCx<'_, Self>) {
//!         self.connect(cx, Connect::to(self.server));
//!     }
//!
//!     fn on_open(&mut self, _cx: &mut ConnCx<'_, Self>) {
//!         self.backoff.reset();
//!     }
//!
//!     fn on_frame(&mut self, _cx: &mut ConnCx<'_, Self>, line: &[u8]) -> Flow<Self> {
//!         println!("{}", String::from_utf8_lossy(line));
//!         Flow::Continue
//!     }
//!
//!     fn on_close(&mut self, cx: &mut LoopCx<'_, Self>, id: ConnId, _conn: (), why: &Reason<Self>) {
//!         eprintln!("not connected: {why}");
//!         // A real program has a random number generator.
//!         let pause = self.backoff.next_pause(id.as_u64().wrapping_mul(0x9e37_79b9_7f4a_7c15));
//!         if !cx.draining() {
//!             self.connect(cx, Connect::to(self.server).after(pause));
//!         }
//!     }
//! }
//! ```
//!
//! # 8. The end
//!
//! [`Server::drain`](crate::Server::drain) closes the listeners and calls `on_drain` for every connection. The handler
//! says goodbye and closes the connection when its work is done; at the deadline the rest is aborted. With
//! [`drain_with`](crate::Server::drain_with) the goodbyes are spread over some time, so that ten thousand clients do
//! not connect elsewhere in the same second. Then [`Server::shutdown`](crate::Server::shutdown) stops the loops.
//!
//! # 9. Another protocol on the same connection
//!
//! A connection that begins in one protocol and goes on in another has a codec with a state for each, and changes it
//! with [`ConnCx::codec`](crate::ConnCx::codec) in `on_frame`: the new state decodes the bytes behind that frame,
//! received or not.
//!
//! # 10. Tests
//!
//! With the feature `testing`, `netcore::testing::Simulation` runs a handler in a loop without sockets: the test is the
//! peer and moves the clock.
//!
//! # 11. In the open
//!
//! [`Listen`](crate::Listen) adds what a public server needs: TLS with certificates that can be renewed while
//! connections go on, the PROXY protocol behind a load balancer, Unix sockets, sockets from the service manager. An
//! [`Observer`](crate::Observer) gets the length of turns, the sizes of queues, refused connections and the reasons for
//! ends; [`Counters`](crate::Counters) is an observer that adds them up.
