//! The obligation to answer one request, wherever it is being worked on.
//!
//! It holds the answer's place in the loop's mailbox, so that giving the answer never fails for want of
//! room; if it is dropped unanswered (a panic, a queue that went down) the client is told so.

use bytes::Bytes;
use netcore::{ConnId, Permit};
use protocol::{Encoding, Refusal, Reply, v1::ErrorCode};
use storage::{Snapshot, Timestamp, TokenHash, User};

use crate::{
    delivery::encode,
    gateway::{Established, ToLoop},
};

/// See the module.
#[must_use = "a request must be answered"]
pub struct ReplyTo {
    permit: Option<Permit<ToLoop>>,
    conn: ConnId,
    seq: u16,
    encoding: Encoding,
    is_event: bool,
}

/// An answer that has its place among pushes, with the place in the mailbox that was kept for it.
#[derive(Debug)]
pub struct PlacedAnswer {
    answer: Answer,
    permit: Permit<ToLoop>,
}

impl PlacedAnswer {
    /// Whose.
    pub const fn conn(&self) -> ConnId {
        self.answer.conn
    }

    /// Its loop has it: the place in the mailbox is free again.
    pub fn received(self) -> Answer {
        self.answer
    }

    /// What it had its place among was not posted: it goes alone.
    pub fn post(self) {
        // A loop that has stopped has no connection left to answer.
        let _ = self.permit.post(ToLoop::Answer(self.answer));
    }
}

/// An answer on its way to its loop.
#[derive(Debug)]
pub struct Answer {
    /// Whose.
    pub conn: ConnId,
    /// The request.
    pub seq: u16,
    /// Header and body; empty when the effect brings the frame.
    pub frame: Bytes,
    /// What it does to the session.
    pub effect: Effect,
}

/// What an answer does to the session it goes to.
#[derive(Debug)]
pub enum Effect {
    /// Nothing.
    None,
    /// It is authenticated now. The route must be made before anything else is read.
    Authenticated(Box<Authenticated>),
    /// It is not: it may try again.
    NotAuthenticated,
    /// The device is in step up to here.
    Synced(Snapshot),
    /// The device has what the store does not have: it must start over.
    StartOver,
    /// The session has ended; the connection closes after the answer.
    LoggedOut,
}

/// A session that was checked.
#[derive(Debug)]
pub struct Authenticated {
    /// Who and which session.
    pub established: Established,
    /// As the profile was then.
    pub user: User,
    /// Of the token, for checking again.
    pub token_hash: TokenHash,
    /// The revocations when the check began.
    pub checked_at: u64,
    /// Shown once, after register and login.
    pub token: Option<String>,
    /// When the session was connected, as far as that is stored.
    pub seen_at: Timestamp,
}

impl std::fmt::Debug for ReplyTo {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ReplyTo")
            .field("conn", &self.conn)
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}

impl ReplyTo {
    /// The obligation for request `seq` of a connection.
    pub const fn new(permit: Permit<ToLoop>, conn: ConnId, seq: u16, encoding: Encoding) -> Self {
        Self {
            permit: Some(permit),
            conn,
            seq,
            encoding,
            is_event: false,
        }
    }

    /// Says whether the answer to the sending of a message stands for the event on this connection.
    pub const fn with_event(mut self, is_event: bool) -> Self {
        self.is_event = is_event;
        self
    }

    /// Whether the answer to the sending of a message stands for the event on this connection.
    pub const fn is_event(&self) -> bool {
        self.is_event
    }

    /// The connection that asks.
    pub const fn conn(&self) -> ConnId {
        self.conn
    }

    /// Answers.
    pub fn ok(self, reply: &Reply) {
        self.ok_and(reply, Effect::None);
    }

    /// Answers, with a consequence.
    pub fn ok_and(mut self, reply: &Reply, effect: Effect) {
        let frame = encode::reply(reply, self.encoding, self.seq);
        self.send(frame, effect);
    }

    /// Answers with a frame that is encoded already.
    pub fn frame(mut self, frame: Bytes) {
        self.send(frame, Effect::None);
    }

    /// The session was checked; the loop writes the answer once the route is made.
    pub fn authenticated(mut self, authenticated: Authenticated) {
        self.send(Bytes::new(), Effect::Authenticated(Box::new(authenticated)));
    }

    /// Answers in a place among pushes; `None` where there is nobody to answer.
    pub fn placed(mut self, reply: &Reply) -> Option<PlacedAnswer> {
        let frame = encode::reply(reply, self.encoding, self.seq);
        self.place(frame)
    }

    /// Refuses in a place among pushes.
    pub fn placed_refusal(mut self, refusal: &Refusal) -> Option<PlacedAnswer> {
        let frame = encode::refusal(refusal, self.encoding, self.seq);
        self.place(frame)
    }

    /// Refuses.
    pub fn refuse(self, refusal: &Refusal) {
        self.refuse_and(refusal, Effect::None);
    }

    /// Refuses, with a consequence.
    pub fn refuse_and(mut self, refusal: &Refusal, effect: Effect) {
        let frame = encode::refusal(refusal, self.encoding, self.seq);
        self.send(frame, effect);
    }

    /// How the client reads.
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Which request this answers.
    pub const fn seq(&self) -> u16 {
        self.seq
    }

    /// Gives the obligation up because the request goes back to its loop, which is on this thread.
    pub fn forget(mut self) {
        self.permit = None;
    }

    fn place(&mut self, frame: Bytes) -> Option<PlacedAnswer> {
        Some(PlacedAnswer {
            permit: self.permit.take()?,
            answer: Answer {
                conn: self.conn,
                seq: self.seq,
                frame,
                effect: Effect::None,
            },
        })
    }

    fn send(&mut self, frame: Bytes, effect: Effect) {
        if let Some(permit) = self.permit.take() {
            // A loop that has stopped has no connection left to answer.
            let _ = permit.post(ToLoop::Answer(Answer {
                conn: self.conn,
                seq: self.seq,
                frame,
                effect,
            }));
        }
    }
}

impl Drop for ReplyTo {
    fn drop(&mut self) {
        if self.permit.is_some() {
            log::error!("a request was dropped without an answer");
            let refusal = Refusal::new(ErrorCode::Internal, "the server failed on this request");
            let frame = encode::refusal(&refusal, self.encoding, self.seq);
            self.send(frame, Effect::NotAuthenticated);
        }
    }
}
