//! Owns how other threads reach the loops. Must never block its caller.

use crate::close::CloseHow;
use crate::id::{ConnId, LoopId};
use crate::limits::CLOSES_MAX;
use crate::mailbox::{Mailbox, Refused};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// A command of another thread for a loop.
pub(crate) enum Command<M> {
    Message(M),
    Send(ConnId, Bytes),
    SendMany(Box<[ConnId]>, Bytes),
    SendToGroup {
        group: u64,
        except: Option<ConnId>,
        frame: Bytes,
    },
    Close(ConnId, u16, CloseHow),
}

/// Sends messages to the loops of a server, from any thread. Clones are handles to the same loops.
///
/// Messages that one thread posts to one loop arrive in that order, by whatever method. A frame that does not fit into
/// the out-queue of its connection is given to [`on_undelivered`](crate::Handler::on_undelivered); a frame for a
/// connection that is over is dropped.
///
/// ```
/// use bytes::Bytes;
/// use netcore::{ConnId, PostError, Remote};
///
/// /// From any thread: sends the same bytes to many connections; returns those whose loops were busy.
/// fn announce<M>(remote: &Remote<M>, to: &[ConnId], frame: &Bytes) -> Vec<ConnId> {
///     remote.send_many(to, frame).err().unwrap_or_default()
/// }
///
/// /// Nothing is lost silently: a refused message comes back.
/// fn tell<M>(remote: &Remote<M>, to: ConnId, message: M) -> Option<M> {
///     match remote.post(to.loop_id(), message) {
///         Ok(()) => None,
///         Err(PostError::Full(message)) => Some(message),
///         Err(PostError::Stopped(_)) => None,
///     }
/// }
/// ```
pub struct Remote<M> {
    mailboxes: Arc<[Arc<Mailbox<Command<M>>>]>,
}

/// Why a message was not taken; gives it back.
///
/// ```
/// use netcore::{PostError, Server};
/// # use std::sync::mpsc;
/// # use netcore::codec::LengthPrefixed;
/// # use netcore::{ConnCx, Flow, Handler, LoopCx, NoTask, Peer, Refusal};
/// # struct Collector(mpsc::SyncSender<u32>);
/// # impl Handler for Collector {
/// #     type Codec = LengthPrefixed;
/// #     type Conn = ();
/// #     type Msg = u32;
/// #     type Task = NoTask;
/// #     fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
/// #         Ok((LengthPrefixed::new(1024), ()))
/// #     }
/// #     fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
/// #         cx.send(frame).map_or(Flow::Close(1), |_| Flow::Continue)
/// #     }
/// #     fn on_msg(&mut self, _: &mut LoopCx<'_, Self>, number: u32) {
/// #         let _ = self.0.send(number);
/// #     }
/// # }
/// # let (to, told) = mpsc::sync_channel(10);
/// # let server = Server::builder::<Collector>()
/// #     .loops(2)
/// #     .start(move |_loop, _remote| Collector(to.clone()))?;
/// # let _ = told;
///
/// let remote = server.remote().clone();
/// server.shutdown();
/// for loop_id in remote.loops() {
///     match remote.post(loop_id, 7) {
///         Ok(()) => {}
///         // Too many messages wait: try later, or give up.
///         Err(PostError::Full(_)) => log::warn!("a loop does not keep up"),
///         Err(stopped) => assert_eq!(stopped.into_message(), 7),
///     }
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Eq, PartialEq, thiserror::Error)]
pub enum PostError<M> {
    /// The mailbox of the loop is full.
    #[error("the mailbox is full")]
    Full(M),
    /// The loop has stopped, or does not exist.
    #[error("the loop has stopped")]
    Stopped(M),
}

impl<M> PostError<M> {
    /// The message.
    pub fn into_message(self) -> M {
        match self {
            Self::Full(message) | Self::Stopped(message) => message,
        }
    }
}

impl<M> fmt::Debug for PostError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full",
            Self::Stopped(_) => "Stopped",
        })
    }
}

/// Why no place was reserved.
///
/// ```
/// use netcore::{ReserveError, Server};
/// # use netcore::codec::LengthPrefixed;
/// # use netcore::{ConnCx, Flow, Handler, NoTask, Peer, Refusal};
/// # struct Echo;
/// # impl Handler for Echo {
/// #     type Codec = LengthPrefixed;
/// #     type Conn = ();
/// #     type Msg = ();
/// #     type Task = NoTask;
/// #     fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
/// #         Ok((LengthPrefixed::new(1024), ()))
/// #     }
/// #     fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
/// #         cx.send(frame).map_or(Flow::Close(1), |_| Flow::Continue)
/// #     }
/// # }
///
/// let server = Server::builder::<Echo>()
///     .loops(1)
///     .mailbox(10, 1)
///     .start(|_loop, _remote| Echo)?;
/// for loop_id in server.remote().loops() {
///     let permit = server.remote().reserve(loop_id)?;
///     assert_eq!(server.remote().reserve(loop_id).err(), Some(ReserveError::Full));
///     drop(permit);
///     assert!(server.remote().reserve(loop_id).is_ok());
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReserveError {
    /// All places of the loop are taken.
    #[error("all places are taken")]
    Full,
    /// The loop has stopped, or does not exist.
    #[error("the loop has stopped")]
    Stopped,
}

impl<M> Clone for Remote<M> {
    fn clone(&self) -> Self {
        Self {
            mailboxes: Arc::clone(&self.mailboxes),
        }
    }
}

impl<M> fmt::Debug for Remote<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("loops", &self.mailboxes.len())
            .finish()
    }
}

impl<M> Remote<M> {
    pub(crate) fn new(mailboxes: Vec<Arc<Mailbox<Command<M>>>>) -> Self {
        Self {
            mailboxes: mailboxes.into(),
        }
    }

    pub(crate) fn mailbox(&self, of: LoopId) -> Option<&Arc<Mailbox<Command<M>>>> {
        self.mailboxes.get(of.index())
    }

    pub(crate) fn mailboxes(&self) -> &[Arc<Mailbox<Command<M>>>] {
        &self.mailboxes
    }

    /// Posts a message to a loop, where `on_msg` gets it. Never blocks.
    ///
    /// # Errors
    /// The message: the mailbox of the loop is full, or the loop has stopped.
    ///
    /// ```
    /// use netcore::Server;
    /// use std::sync::mpsc;
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::{ConnCx, Flow, Handler, LoopCx, NoTask, Peer, Refusal};
    /// # struct Collector(mpsc::SyncSender<u32>);
    /// # impl Handler for Collector {
    /// #     type Codec = LengthPrefixed;
    /// #     type Conn = ();
    /// #     type Msg = u32;
    /// #     type Task = NoTask;
    /// #     fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
    /// #         Ok((LengthPrefixed::new(1024), ()))
    /// #     }
    /// #     fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
    /// #         cx.send(frame).map_or(Flow::Close(1), |_| Flow::Continue)
    /// #     }
    /// #     fn on_msg(&mut self, _: &mut LoopCx<'_, Self>, number: u32) {
    /// #         let _ = self.0.send(number);
    /// #     }
    /// # }
    ///
    /// // The `on_msg` of `Collector` passes its messages on.
    /// let (to, told) = mpsc::sync_channel(10);
    /// let server = Server::builder::<Collector>()
    ///     .loops(2)
    ///     .start(move |_loop, _remote| Collector(to.clone()))?;
    /// let remote = server.remote().clone();
    /// let poster = std::thread::spawn(move || remote.loops().try_for_each(|to| remote.post(to, 7)));
    /// assert!(poster.join().is_ok_and(|posted| posted.is_ok()));
    /// assert_eq!((told.recv()?, told.recv()?), (7, 7));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn post(&self, to: LoopId, message: M) -> Result<(), PostError<M>> {
        let Some(mailbox) = self.mailbox(to) else {
            return Err(PostError::Stopped(message));
        };
        mailbox
            .post(Command::Message(message))
            .map_err(|(refused, command)| match (refused, command) {
                (Refused::Full, Command::Message(message)) => PostError::Full(message),
                (Refused::Stopped, Command::Message(message)) => PostError::Stopped(message),
                _ => unreachable!("the mailbox gives back what it was given"),
            })
    }

    /// Posts a copy of a message to every loop. Never blocks.
    ///
    /// # Errors
    /// The loops that did not take it; the others did.
    ///
    /// ```
    /// # use netcore::{LoopId, Remote};
    /// #[derive(Clone)]
    /// enum News { Reload, Banned(u64) }
    ///
    /// /// Every loop must know, so busy loops are told later.
    /// fn ban(remote: &Remote<News>, account: u64) -> Vec<LoopId> {
    ///     remote.post_all(&News::Banned(account)).err().unwrap_or_default()
    /// }
    /// ```
    pub fn post_all(&self, message: &M) -> Result<(), Vec<LoopId>>
    where
        M: Clone,
    {
        self.to_all(|| Command::Message(message.clone()))
    }

    /// Queues an encoded frame for a connection of any loop. Never blocks.
    ///
    /// # Errors
    /// The frame: the mailbox of the loop is full, or the loop has stopped.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use netcore::{ConnId, PostError, Remote};
    /// /// Sends an encoded frame from any thread; returns a frame that must wait.
    /// fn push<M>(remote: &Remote<M>, to: ConnId, frame: Bytes) -> Option<Bytes> {
    ///     match remote.send(to, frame) {
    ///         Err(PostError::Full(frame)) => Some(frame),
    ///         // Queued, or the connection is over.
    ///         Ok(()) | Err(PostError::Stopped(_)) => None,
    ///     }
    /// }
    /// ```
    pub fn send(&self, to: ConnId, frame: Bytes) -> Result<(), PostError<Bytes>> {
        let Some(mailbox) = self.mailbox(to.loop_id()) else {
            return Err(PostError::Stopped(frame));
        };
        mailbox
            .post(Command::Send(to, frame))
            .map_err(|(refused, command)| match (refused, command) {
                (Refused::Full, Command::Send(_, frame)) => PostError::Full(frame),
                (Refused::Stopped, Command::Send(_, frame)) => PostError::Stopped(frame),
                _ => unreachable!("the mailbox gives back what it was given"),
            })
    }

    /// Queues an encoded frame for many connections: one post, and at most one wake, for each loop that has any
    /// of them. The bytes are shared. Never blocks.
    ///
    /// # Errors
    /// The connections of loops whose mailboxes did not take the post; it went to all others.
    pub fn send_many(&self, to: &[ConnId], frame: &Bytes) -> Result<(), Vec<ConnId>> {
        let mut refused = Vec::new();
        let mut counts = vec![0_usize; self.loop_count()];
        for id in to {
            if let Some(count) = counts.get_mut(id.loop_id().index()) {
                *count += 1;
            }
        }
        let mut per_loop: Vec<Vec<ConnId>> = counts.into_iter().map(Vec::with_capacity).collect();
        for id in to {
            match per_loop.get_mut(id.loop_id().index()) {
                Some(ids) => ids.push(*id),
                None => refused.push(*id),
            }
        }
        for (mailbox, ids) in self.mailboxes.iter().zip(per_loop) {
            if ids.is_empty() {
                continue;
            }
            let posted = mailbox.post(Command::SendMany(ids.into_boxed_slice(), frame.clone()));
            if let Err((_, Command::SendMany(ids, _))) = posted {
                refused.extend(ids);
            }
        }
        if refused.is_empty() { Ok(()) } else { Err(refused) }
    }

    /// Queues an encoded frame for the members of a group on all loops, except one if that is given: one post for
    /// each loop, however many members there are. Never blocks.
    ///
    /// # Errors
    /// The loops whose mailboxes did not take the post; it went to all others.
    ///
    /// ```
    /// # use bytes::Bytes;
    /// # use netcore::{ConnId, Remote};
    /// /// Says something in a room, on all loops. Returns how many loops were too busy and miss it.
    /// fn say<M>(remote: &Remote<M>, room: u64, word: &Bytes, from: ConnId) -> usize {
    ///     remote.send_to_group(room, word, Some(from)).map_or_else(|busy| busy.len(), |()| 0)
    /// }
    /// ```
    pub fn send_to_group(
        &self,
        group: u64,
        frame: &Bytes,
        except: Option<ConnId>,
    ) -> Result<(), Vec<LoopId>> {
        self.to_all(|| Command::SendToGroup {
            group,
            except,
            frame: frame.clone(),
        })
    }

    /// Closes a connection with a code of the application. Never blocks. There are [`CLOSES_MAX`] places for closing
    /// beyond those for other posts.
    ///
    /// # Errors
    /// The mailbox of the loop is full even so, or the loop has stopped.
    ///
    /// ```
    /// # use netcore::{CloseHow, ConnId, PostError, Remote};
    /// const REVOKED: u16 = 5;
    ///
    /// /// Ends the connections of a revoked session. Returns those whose loops could not be told.
    /// fn revoke<M>(remote: &Remote<M>, connections: &[ConnId]) -> Vec<ConnId> {
    ///     let end = |id| remote.close(id, REVOKED, CloseHow::Flush);
    ///     connections.iter().filter_map(|id| end(*id).err()).map(PostError::into_message).collect()
    /// }
    /// ```
    pub fn close(&self, id: ConnId, code: u16, how: CloseHow) -> Result<(), PostError<ConnId>> {
        let Some(mailbox) = self.mailbox(id.loop_id()) else {
            return Err(PostError::Stopped(id));
        };
        mailbox
            .post_beyond(CLOSES_MAX, Command::Close(id, code, how))
            .map_err(|(refused, _)| match refused {
                Refused::Full => PostError::Full(id),
                Refused::Stopped => PostError::Stopped(id),
            })
    }

    fn to_all(&self, command: impl Fn() -> Command<M>) -> Result<(), Vec<LoopId>> {
        let refused: Vec<LoopId> = self
            .loops()
            .zip(self.mailboxes.iter())
            .filter_map(|(loop_id, mailbox)| mailbox.post(command()).is_err().then_some(loop_id))
            .collect();
        if refused.is_empty() { Ok(()) } else { Err(refused) }
    }

    /// Reserves a place for one message, so that posting it later cannot fail for want of room. Reservations
    /// have a limit of their own, which posts do not use up. Never blocks.
    ///
    /// # Errors
    /// No place is free, or the loop has stopped.
    ///
    /// ```
    /// use netcore::Server;
    /// # use std::sync::mpsc;
    /// # use netcore::codec::LengthPrefixed;
    /// # use netcore::{ConnCx, Flow, Handler, LoopCx, NoTask, Peer, Refusal};
    /// # struct Collector(mpsc::SyncSender<u32>);
    /// # impl Handler for Collector {
    /// #     type Codec = LengthPrefixed;
    /// #     type Conn = ();
    /// #     type Msg = u32;
    /// #     type Task = NoTask;
    /// #     fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
    /// #         Ok((LengthPrefixed::new(1024), ()))
    /// #     }
    /// #     fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
    /// #         cx.send(frame).map_or(Flow::Close(1), |_| Flow::Continue)
    /// #     }
    /// #     fn on_msg(&mut self, _: &mut LoopCx<'_, Self>, number: u32) {
    /// #         let _ = self.0.send(number);
    /// #     }
    /// # }
    /// # let (to, told) = mpsc::sync_channel(10);
    /// # let server = Server::builder::<Collector>()
    /// #     .loops(2)
    /// #     .start(move |_loop, _remote| Collector(to.clone()))?;
    ///
    /// for loop_id in server.remote().loops() {
    ///     // First the place, then the work: its result cannot be refused any more.
    ///     let place = server.remote().reserve(loop_id)?;
    ///     std::thread::spawn(move || place.post(6 * 7));
    ///     assert_eq!(told.recv()?, 42);
    /// }
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn reserve(&self, to: LoopId) -> Result<Permit<M>, ReserveError> {
        let mailbox = self.mailbox(to).ok_or(ReserveError::Stopped)?;
        mailbox.reserve().map_err(|refused| match refused {
            Refused::Full => ReserveError::Full,
            Refused::Stopped => ReserveError::Stopped,
        })?;
        Ok(Permit {
            mailbox: Some(Arc::clone(mailbox)),
            loop_id: to,
        })
    }

    /// Holds wakes back while many messages are posted. As long as the value lives, no message wakes a sleeping loop;
    /// when it is dropped, each loop with messages is woken once. This concerns the messages of all threads, so hold it
    /// for nothing else than posting. Never blocks.
    ///
    /// ```
    /// use netcore::{Permit, Remote};
    ///
    /// /// Gives many answers at once, and wakes each loop for all of them together.
    /// fn answer_all<M>(remote: &Remote<M>, answers: Vec<(Permit<M>, M)>) {
    ///     let _wakes = remote.hold_wakes();
    ///     for (permit, message) in answers {
    ///         // A loop that has stopped has no connections left to answer.
    ///         let _ = permit.post(message);
    ///     }
    /// }
    /// ```
    pub fn hold_wakes(&self) -> HeldWakes<M> {
        for mailbox in self.mailboxes.iter() {
            mailbox.hold_wakes();
        }
        HeldWakes {
            mailboxes: Arc::clone(&self.mailboxes),
        }
    }

    /// All loops.
    pub fn loops(&self) -> impl Iterator<Item = LoopId> + use<M> {
        (0..self.mailboxes.len()).map(|index| LoopId(index as u8))
    }

    /// The number of loops.
    #[must_use]
    pub fn loop_count(&self) -> usize {
        self.mailboxes.len()
    }
}

/// Wakes held back; dropping it wakes the loops. See [`Remote::hold_wakes`]. Can be moved to any thread and dropped
/// there, which does not block.
///
/// ```
/// use netcore::{HeldWakes, Server};
/// # use std::sync::mpsc;
/// # use netcore::codec::LengthPrefixed;
/// # use netcore::{ConnCx, Flow, Handler, LoopCx, NoTask, Peer, Refusal};
/// # struct Collector(mpsc::SyncSender<u32>);
/// # impl Handler for Collector {
/// #     type Codec = LengthPrefixed;
/// #     type Conn = ();
/// #     type Msg = u32;
/// #     type Task = NoTask;
/// #     fn on_accept(&mut self, _: &Peer) -> Result<(LengthPrefixed, ()), Refusal> {
/// #         Ok((LengthPrefixed::new(1024), ()))
/// #     }
/// #     fn on_frame(&mut self, cx: &mut ConnCx<'_, Self>, frame: &[u8]) -> Flow<Self> {
/// #         cx.send(frame).map_or(Flow::Close(1), |_| Flow::Continue)
/// #     }
/// #     fn on_msg(&mut self, _: &mut LoopCx<'_, Self>, number: u32) {
/// #         let _ = self.0.send(number);
/// #     }
/// # }
/// # let (to, told) = mpsc::sync_channel(10);
/// # let server = Server::builder::<Collector>()
/// #     .loops(2)
/// #     .start(move |_loop, _remote| Collector(to.clone()))?;
///
/// let wakes: HeldWakes<u32> = server.remote().hold_wakes();
/// for number in 0..3 {
///     server.remote().post_all(&number).map_err(|_| "a loop is busy")?;
/// }
/// // One wake for each loop, and not three.
/// drop(wakes);
/// assert_eq!(told.iter().take(6).sum::<u32>(), 6);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping it wakes the loops"]
pub struct HeldWakes<M> {
    mailboxes: Arc<[Arc<Mailbox<Command<M>>>]>,
}

impl<M> Drop for HeldWakes<M> {
    fn drop(&mut self) {
        for mailbox in self.mailboxes.iter() {
            mailbox.wake_held();
        }
    }
}

impl<M> fmt::Debug for HeldWakes<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldWakes").finish_non_exhaustive()
    }
}

/// A place for one message in the mailbox of a loop. It is taken until the message has been received; dropping
/// the permit gives it back. Can be moved to any thread and used or dropped there, which does not block.
///
/// ```
/// use netcore::{ConnId, Permit};
///
/// struct Answer { to: ConnId, text: String }
///
/// /// Work for another thread, with the place of its answer.
/// struct Job { from: ConnId, answer: Permit<Answer> }
///
/// fn finish(job: Job, text: String) {
///     assert_eq!(job.answer.loop_id(), job.from.loop_id());
///     // If the loop has stopped, so has the connection.
///     let _ = job.answer.post(Answer { to: job.from, text });
/// }
/// ```
#[must_use = "dropping a permit gives its place back"]
pub struct Permit<M> {
    /// `None` once the place has been used.
    mailbox: Option<Arc<Mailbox<Command<M>>>>,
    loop_id: LoopId,
}

impl<M> Permit<M> {
    /// Posts the message. Never blocks and never finds the mailbox full.
    ///
    /// # Errors
    /// The message, because the loop has stopped.
    pub fn post(mut self, message: M) -> Result<(), M> {
        match self.mailbox.take() {
            Some(mailbox) => mailbox
                .redeem(Command::Message(message))
                .map_err(|command| match command {
                    Command::Message(message) => message,
                    Command::Send(..)
                    | Command::SendMany(..)
                    | Command::SendToGroup { .. }
                    | Command::Close(..) => unreachable!("the mailbox gives back what it was given"),
                }),
            None => Err(message),
        }
    }

    /// The loop in whose mailbox the place is.
    #[must_use]
    pub const fn loop_id(&self) -> LoopId {
        self.loop_id
    }
}

impl<M> Drop for Permit<M> {
    fn drop(&mut self) {
        if let Some(mailbox) = self.mailbox.take() {
            mailbox.release();
        }
    }
}

impl<M> fmt::Debug for Permit<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("loop_id", &self.loop_id)
            .finish_non_exhaustive()
    }
}
