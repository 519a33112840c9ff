//! What reaches an event loop from other threads: answers to requests, and the pushes of what was committed. A bottom
//! module: values alone, which say nothing of who makes or who takes them.

use std::time::Instant;

use bytes::Bytes;
use netcore::{ConnId, Permit};
use storage::{ConversationId, CursorMove, Seq, Snapshot, Timestamp, TokenHash, User};

use crate::{
    metrics::{Asked, Outcome},
    principal::Principal,
};

/// What reaches a loop from other threads.
#[derive(Debug)]
pub(crate) enum ToLoop {
    /// The answer to a request.
    Answer(Answer),
    /// Pushes.
    Deliver(Delivery),
}

/// An answer that has its place among pushes, with the place in the mailbox that was kept for it.
#[derive(Debug)]
pub(crate) struct PlacedAnswer {
    answer: Answer,
    permit: Permit<ToLoop>,
}

impl PlacedAnswer {
    /// An answer and its place.
    pub(crate) const fn new(answer: Answer, permit: Permit<ToLoop>) -> Self {
        Self { answer, permit }
    }

    /// Whose.
    pub(crate) const fn conn(&self) -> ConnId {
        self.answer.conn
    }

    /// Its loop has it: the place in the mailbox is free again.
    pub(crate) fn received(self) -> Answer {
        self.answer
    }

    /// What it had its place among was not posted: it goes alone.
    pub(crate) fn post(self) {
        // A loop that has stopped has no connection left to answer.
        let _ = self.permit.post(ToLoop::Answer(self.answer));
    }
}

/// An answer on its way to its loop.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Whose.
    pub conn: ConnId,
    /// The request.
    pub seq: u16,
    /// Header and body; empty when the effect brings the frame.
    pub frame: Bytes,
    /// What it does to the session.
    pub effect: Effect,
    /// What was asked, and when.
    pub asked: Asked,
    /// What became of it.
    pub outcome: Outcome,
}

/// What an answer does to the session it goes to.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// It is authenticated now. The route must be made before anything else is read.
    Authenticated(Box<Authenticated>),
    /// It is not: it may try again.
    NotAuthenticated,
    /// A sync was answered. If it was the last page, the device is in step up to here.
    Synced {
        /// How far that brings the device.
        reached: Reached,
        /// The device was told to start over.
        started_over: bool,
    },
    /// The device has what the store does not have: it must start over.
    StartOver,
    /// The session has ended; the connection closes after the answer.
    LoggedOut,
}

/// How far a page of a sync brings a device.
#[derive(Debug)]
pub(crate) enum Reached {
    /// It has this set now: everything.
    All(Snapshot),
    /// There is more to come: the next page begins with this token.
    Part(Box<Bytes>),
}

/// A session that was checked.
#[derive(Debug)]
pub(crate) struct Authenticated {
    /// Who and which session.
    pub principal: Principal,
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

/// What a connection is owed where a frame does not fit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Owed {
    /// Nothing: the frame is of what is not stored.
    Nothing,
    /// That the conversation has events up to here.
    Head(ConversationId, Seq),
    /// Where this cursor is.
    Cursor(CursorMove),
}

/// One frame for several connections of one loop.
#[derive(Debug)]
pub(crate) struct Item {
    /// What a connection that is behind is owed instead of the frame.
    pub owed: Owed,
    /// Header and body.
    pub frame: Bytes,
    /// How many of the delivery's connections it is for, after those of the items before it.
    pub receivers: usize,
}

/// One step of a delivery.
#[derive(Debug)]
pub(crate) enum Entry {
    /// A push.
    Push(Item),
    /// The answer to a request, after the pushes of what was committed before it.
    Answer(PlacedAnswer),
}

/// What one batch of commits means for one loop.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    /// When it was begun; `None` for what is not stored.
    pub begun_at: Option<Instant>,
    /// In commit order.
    pub entries: Vec<Entry>,
    /// To whom: the receivers of all items in one list, so that an item costs no allocation of its own.
    pub to: Vec<ConnId>,
    /// All of this that concerns this loop is in this or an earlier delivery.
    pub complete_to: Option<Snapshot>,
}

impl Delivery {
    /// Nothing yet, with room for about so many events.
    pub(crate) fn new(begun_at: Instant, complete_to: Option<Snapshot>, events: usize) -> Self {
        Self {
            begun_at: Some(begun_at),
            entries: Vec::with_capacity(events.saturating_mul(2)),
            to: Vec::with_capacity(events.saturating_mul(2)),
            complete_to,
        }
    }

    /// Adds a frame after what is there.
    pub(crate) fn push(&mut self, owed: Owed, frame: Bytes, to: &[ConnId]) {
        self.to.extend_from_slice(to);
        self.entries.push(Entry::Push(Item {
            owed,
            frame,
            receivers: to.len(),
        }));
    }

    /// It changes nothing.
    pub(crate) const fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.complete_to.is_none()
    }
}
