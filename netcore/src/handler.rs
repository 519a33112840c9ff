//! Owns the interface of an application: the callbacks of one event loop. Must never be called from two threads: each
//! loop has a handler value of its own.

use crate::address::Peer;
use crate::close::CloseReason;
use crate::codec::Codec;
use crate::context::{ConnCx, LoopCx};
use crate::id::ConnId;
use crate::worker::Task;
use bytes::Bytes;
use std::fmt;

/// The application does not want a connection; it is closed before anything is allocated for it.
///
/// ```
/// use netcore::{Network, Peer, Refusal};
///
/// /// To be called in `on_accept`.
/// fn check(peer: &Peer, banned: &[Network]) -> Result<(), Refusal> {
///     match peer.address.ip() {
///         Some(ip) if banned.iter().any(|network| network.contains(ip)) => Err(Refusal),
///         _ => Ok(()),
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Refusal;

/// What happens to a connection after the peer has finished sending and all its frames were handled.
///
/// ```
/// use netcore::{ConnCx, Eof, Handler};
///
/// struct Session { answers_due: usize }
///
/// /// `on_eof` of a protocol whose clients send all of their requests, end their side, and read the answers.
/// fn on_eof<H: Handler<Conn = Session>>(cx: &mut ConnCx<'_, H>) -> Eof {
///     if cx.conn().answers_due > 0 { Eof::KeepWriting } else { Eof::Close }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Eof {
    /// It is closed as soon as what is queued has been written.
    #[default]
    Close,
    /// It stays open for writing until the application closes it; answers are still under way. The idle and
    /// write-stall deadlines go on.
    KeepWriting,
}

/// How to go on after a frame.
///
/// ```
/// use netcore::{Flow, Handler, Task};
///
/// struct Query(Vec<u8>);
/// # impl Task for Query {
/// #     type Worker = ();
/// #     fn key(&self) -> u64 { 0 }
/// #     fn run(self, (): &mut ()) {}
/// # }
///
/// fn on_frame<H: Handler<Task = Query>>(frame: &[u8]) -> Flow<H> {
///     match frame.split_first() {
///         Some((b'?', query)) => Flow::Offload(Query(query.to_vec())),
///         Some(_) => Flow::Continue,
///         None => Flow::Close(1),
///     }
/// }
/// ```
pub enum Flow<H: Handler> {
    /// With the next frame.
    Continue,
    /// This task goes to the worker pool. If the pool refuses it, it is kept and reading of the connection
    /// pauses until the pool has room; tasks and frames keep their order.
    Offload(H::Task),
    /// The connection is flushed and closed with this code of the application.
    Close(u16),
}

impl<H: Handler> fmt::Debug for Flow<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Continue => f.write_str("Continue"),
            Self::Offload(_) => f.write_str("Offload"),
            Self::Close(code) => f.debug_tuple("Close").field(code).finish(),
        }
    }
}

/// The end of a connection of the handler `H`.
///
/// ```
/// use netcore::{CloseReason, Handler, Reason};
///
/// /// To be called in `on_close`: logs the ends that clients cause.
/// fn note<H: Handler>(why: &Reason<H>) {
///     match why {
///         CloseReason::Protocol(error) => log::warn!("a client that speaks differently: {error}"),
///         other => log::debug!("{}", other.name()),
///     }
/// }
/// ```
pub type Reason<H> = CloseReason<<<H as Handler>::Codec as Codec>::Error>;

/// The application on one event loop. All methods run on the thread of the loop, so its state needs no lock; no method
/// may block.
///
/// A connection sees, in this order: `on_accept`, `on_open`, any number of `on_frame`, `on_writable`, `on_timer`,
/// `on_undelivered` and at most one `on_drain`, at most one `on_eof`, at most one `on_closing`, and exactly one
/// `on_close`. A connection that we made begins with `on_open`. One that could not be made, or whose TLS handshake
/// failed, sees `on_close` without `on_open`. A panic in a callback of a connection closes that connection with
/// [`CloseReason::HandlerPanicked`]; a panic in another callback is logged, and the event is lost.
///
/// ```
/// # use netcore::codec::LengthPrefixed;
/// # use netcore::{ConnCx, Flow, Handler, NoTask, Peer, Refusal};
/// /// Numbers the clients of a loop and tells them. No other thread sees this value.
/// struct Usher { seats: u64 }
///
/// impl Handler for Usher {
///     type Codec = LengthPrefixed;
///     type Conn = u64;
///     type Msg = ();
///     type Task = NoTask;
///
///     fn on_accept(&mut self, _peer: &Peer) -> Result<(LengthPrefixed, u64), Refusal> {
///         self.seats += 1;
///         Ok((LengthPrefixed::new(1024), self.seats))
///     }
///
///     fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, _frame: &[u8]) -> Flow<Self> {
///         let seat = cx.conn().to_be_bytes();
///         cx.send(&seat).map_or(Flow::Close(1), |_| Flow::Continue)
///     }
/// }
/// # use std::io::{Read, Write};
/// # let server = netcore::Server::builder::<Usher>()
/// #     .loops(1)
/// #     .listen(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))
/// #     .start(|_loop, _remote| Usher { seats: 0 })?;
/// # for seat in 1..=2 {
/// #     let mut client = std::net::TcpStream::connect(server.local_addrs()[0])?;
/// #     client.write_all(&[0; 4])?;
/// #     let mut answer = [0; 12];
/// #     client.read_exact(&mut answer)?;
/// #     assert_eq!(answer, [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, seat]);
/// # }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub trait Handler: Sized + 'static {
    /// Cuts the stream into frames.
    type Codec: Codec;
    /// The application's state for each connection; stored inline with it.
    type Conn: 'static;
    /// The messages that other threads post to the loop.
    type Msg: Send + 'static;
    /// The work that the application offloads; [`NoTask`](crate::NoTask) if none.
    type Task: Task;

    /// Called once, when the loop begins: the place to make connections.
    fn on_start(&mut self, _cx: &mut LoopCx<'_, Self>) {}

    /// A connection was accepted. No byte has been read, and nothing can be sent. Behind a proxy that is trusted to
    /// report the client's address, the address is known; a TLS handshake is still to come.
    ///
    /// The default refuses it: a program that only connects to others needs no `on_accept`.
    ///
    /// # Errors
    /// The connection is refused and closed at once.
    fn on_accept(&mut self, _peer: &Peer) -> Result<(Self::Codec, Self::Conn), Refusal> {
        Err(Refusal)
    }

    /// The connection is ready: frames can be sent.
    fn on_open(&mut self, _cx: &mut ConnCx<'_, Self>) {}

    /// A frame arrived; it may borrow from the read buffer, see [`Codec`]. Not called while reading is paused: bytes
    /// that were received already are kept, and their frames come after `resume_reading`.
    fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: <Self::Codec as Codec>::In<'_>) -> Flow<Self>;

    /// The out-queue has fallen to low water after having been above high water, or after it had refused a
    /// frame.
    fn on_writable(&mut self, _cx: &mut ConnCx<'_, Self>) {}

    /// A timer of the connection is due, see [`ConnCx::set_timer`].
    ///
    /// ```
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::{ConnCx, Flow, Handler, NoTask, Peer, Refusal};
    /// # const PATIENCE: std::time::Duration = std::time::Duration::from_millis(10);
    /// const REMINDER: u32 = 1;
    ///
    /// # struct Guard;
    /// impl Handler for Guard {
    /// #     type Codec = LengthPrefixed;
    /// #     type Conn = ();
    /// #     type Msg = ();
    /// #     type Task = NoTask;
    /// #     fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
    /// #         Ok((LengthPrefixed::new(1024), ()))
    /// #     }
    /// #     fn on_frame(&mut self, _: &mut ConnCx<'_, Self>, _: &[u8]) -> Flow<Self> {
    /// #         Flow::Continue
    /// #     }
    ///     fn on_open(&mut self, cx: &mut ConnCx<'_, Self>) {
    ///         // The first timer of a connection always finds room.
    ///         let _ = cx.set_timer(REMINDER, PATIENCE);
    ///     }
    ///
    ///     fn on_timer(&mut self, cx: &mut ConnCx<'_, Self>, key: u32) {
    ///         if key == REMINDER {
    ///             let _ = cx.send(b"who are you?");
    ///         }
    ///     }
    ///     // The rest as before.
    /// }
    /// # use std::io::Read;
    /// # let server = netcore::Server::builder::<Guard>()
    /// #     .loops(1)
    /// #     .listen(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))
    /// #     .start(|_loop, _remote| Guard)?;
    /// # let mut client = std::net::TcpStream::connect(server.local_addrs()[0])?;
    /// # let mut received = [0; 16];
    /// # client.read_exact(&mut received)?;
    /// # assert_eq!(&received[4..], b"who are you?");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    fn on_timer(&mut self, _cx: &mut ConnCx<'_, Self>, _key: u32) {}

    /// A frame that another thread sent to the connection, or to a group it is in, did not fit into its
    /// out-queue, and is dropped after this call. `on_writable` follows once there is room.
    ///
    /// ```
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::{ConnCx, Flow, Handler, NoTask, Peer, Refusal};
    /// # use bytes::Bytes;
    /// # struct Feed;
    /// impl Handler for Feed {
    /// #     type Codec = LengthPrefixed;
    /// #     type Conn = u32;
    /// #     type Msg = ();
    /// #     type Task = NoTask;
    /// #     fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, u32), Refusal> {
    /// #         Ok((LengthPrefixed::new(1024), 0))
    /// #     }
    /// #     fn on_frame(&mut self, _: &mut ConnCx<'_, Self>, _: &[u8]) -> Flow<Self> {
    /// #         Flow::Continue
    /// #     }
    ///     fn on_undelivered(&mut self, cx: &mut ConnCx<'_, Self>, _frame: &Bytes) {
    ///         *cx.conn() += 1;
    ///     }
    ///
    ///     fn on_writable(&mut self, cx: &mut ConnCx<'_, Self>) {
    ///         // The client knows that it must ask for the missing frames.
    ///         let missed = std::mem::take(cx.conn());
    ///         if missed > 0 && cx.send(&missed.to_be_bytes()).is_err() {
    ///             *cx.conn() = missed;
    ///         }
    ///     }
    ///     // The rest as before.
    /// }
    /// ```
    fn on_undelivered(&mut self, _cx: &mut ConnCx<'_, Self>, _frame: &Bytes) {}

    /// A message posted to this loop.
    fn on_msg(&mut self, _cx: &mut LoopCx<'_, Self>, _msg: Self::Msg) {}

    /// Called once at the end of every turn of the loop, before queued bytes are written.
    ///
    /// ```
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::{ConnCx, Flow, Handler, LoopCx, NoTask, Peer, Refusal};
    /// # use std::sync::mpsc::TrySendError;
    /// # struct Recorder
    /// # {
    /// #     batch: Vec<Vec<u8>>,
    /// #     writer: std::sync::mpsc::SyncSender<Vec<Vec<u8>>>,
    /// # }
    /// impl Handler for Recorder {
    /// #     type Codec = LengthPrefixed;
    /// #     type Conn = ();
    /// #     type Msg = ();
    /// #     type Task = NoTask;
    /// #     fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
    /// #         Ok((LengthPrefixed::new(1024), ()))
    /// #     }
    /// #     fn on_frame(&mut self, _: &mut ConnCx<'_, Self>, _: &[u8]) -> Flow<Self> {
    /// #         Flow::Continue
    /// #     }
    ///     fn on_turn_end(&mut self, _cx: &mut LoopCx<'_, Self>) {
    ///         // What frames have added, up to a limit, goes to the writer together; next turn, if it is busy.
    ///         if !self.batch.is_empty() {
    ///             let batch = std::mem::take(&mut self.batch);
    ///             if let Err(TrySendError::Full(batch)) = self.writer.try_send(batch) {
    ///                 self.batch = batch;
    ///             }
    ///         }
    ///     }
    ///     // The rest as before.
    /// }
    /// ```
    fn on_turn_end(&mut self, _cx: &mut LoopCx<'_, Self>) {}

    /// Called at the interval of the builder's `tick`.
    ///
    /// ```
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::{ConnCx, Flow, Handler, LoopCx, NoTask, Peer, Refusal};
    /// # use bytes::Bytes;
    /// const LISTENERS: u64 = 1;
    ///
    /// # struct Clock;
    /// impl Handler for Clock {
    /// #     type Codec = LengthPrefixed;
    /// #     type Conn = ();
    /// #     type Msg = ();
    /// #     type Task = NoTask;
    /// #     fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
    /// #         Ok((LengthPrefixed::new(1024), ()))
    /// #     }
    /// #     fn on_frame(&mut self, _: &mut ConnCx<'_, Self>, _: &[u8]) -> Flow<Self> {
    /// #         Flow::Continue
    /// #     }
    ///     fn on_tick(&mut self, cx: &mut LoopCx<'_, Self>) {
    ///         let frame = Bytes::from_static(b"\0\0\0\x04tick");
    ///         cx.send_to_group(LISTENERS, &frame, None);
    ///     }
    ///     // The rest as before.
    /// }
    /// ```
    fn on_tick(&mut self, _cx: &mut LoopCx<'_, Self>) {}

    /// The server began to drain: say goodbye. The application closes the connection when its work is done;
    /// otherwise the drain deadline does.
    ///
    /// ```
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::{CloseHow, ConnCx, Flow, Handler, NoTask, Peer, Refusal};
    /// # struct Chat;
    /// impl Handler for Chat {
    /// #     type Codec = LengthPrefixed;
    /// #     type Conn = ();
    /// #     type Msg = ();
    /// #     type Task = NoTask;
    /// #     fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
    /// #         Ok((LengthPrefixed::new(1024), ()))
    /// #     }
    /// #     fn on_frame(&mut self, _: &mut ConnCx<'_, Self>, _: &[u8]) -> Flow<Self> {
    /// #         Flow::Continue
    /// #     }
    ///     fn on_drain(&mut self, cx: &mut ConnCx<'_, Self>) {
    ///         // A client that does not get this sees the end of the connection.
    ///         let _ = cx.send(b"back in a minute");
    ///         cx.close(0, CloseHow::Flush);
    ///     }
    ///     // The rest as before.
    /// }
    /// ```
    fn on_drain(&mut self, _cx: &mut ConnCx<'_, Self>) {}

    /// The peer has finished sending, and every frame it sent has been handled. While reading is paused, the call
    /// waits.
    fn on_eof(&mut self, _cx: &mut ConnCx<'_, Self>) -> Eof {
        Eof::Close
    }

    /// The peer has finished sending in the middle of a frame, of which `have` bytes had come; all frames before it
    /// were handled. By default the connection is closed with
    /// [`CloseReason::TruncatedFrame`](crate::CloseReason::TruncatedFrame). With [`Eof::KeepWriting`] the open answers
    /// can still be given, and the application closes the connection. A connection gets this call or `on_eof`, never
    /// both.
    fn on_truncated(&mut self, _cx: &mut ConnCx<'_, Self>, _have: usize) -> Eof {
        Eof::Close
    }

    /// The library is about to close the connection; a last frame can be sent, and gets the linger time.
    ///
    /// ```
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::{ConnCx, Flow, Handler, Initiator, NoTask, Peer, Reason, Refusal};
    /// # struct Strict;
    /// impl Handler for Strict {
    /// #     type Codec = LengthPrefixed;
    /// #     type Conn = ();
    /// #     type Msg = ();
    /// #     type Task = NoTask;
    /// #     fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
    /// #         Ok((LengthPrefixed::new(1024), ()))
    /// #     }
    /// #     fn on_frame(&mut self, _: &mut ConnCx<'_, Self>, _: &[u8]) -> Flow<Self> {
    /// #         Flow::Continue
    /// #     }
    ///     fn on_closing(&mut self, cx: &mut ConnCx<'_, Self>, why: &Reason<Self>) {
    ///         // A peer that has gone is not told the reason.
    ///         if why.initiator() == Initiator::Library {
    ///             let _ = cx.send(why.name().as_bytes());
    ///         }
    ///     }
    ///     // The rest as before.
    /// }
    /// # use std::io::Read;
    /// # let server = netcore::Server::builder::<Strict>()
    /// #     .loops(1)
    /// #     .listen(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))
    /// #     .timeouts(netcore::Timeouts {
    /// #         idle: std::time::Duration::from_millis(10),
    /// #         ..netcore::Timeouts::default()
    /// #     })
    /// #     .start(|_loop, _remote| Strict)?;
    /// # let mut client = std::net::TcpStream::connect(server.local_addrs()[0])?;
    /// # let mut received = [0; 16];
    /// # client.read_exact(&mut received)?;
    /// # assert_eq!(&received[4..], b"idle_timeout");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    fn on_closing(&mut self, _cx: &mut ConnCx<'_, Self>, _why: &Reason<Self>) {}

    /// The connection is over; its name is unknown from now on.
    fn on_close(&mut self, _cx: &mut LoopCx<'_, Self>, _id: ConnId, _conn: Self::Conn, _why: &Reason<Self>) {}
}
