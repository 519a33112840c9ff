//! The obligation to answer one request, wherever it is being worked on.
//!
//! It holds the answer's place in the loop's mailbox, so that giving the answer never fails for want of
//! room; if it is dropped unanswered (a panic, a queue that went down) the client is told so.

use bytes::Bytes;
use netcore::{ConnId, Permit};
use protocol::{RawPage, Refusal, Reply, v1::ErrorCode};

use crate::{
    message::{Answer, Authenticated, Effect, PlacedAnswer, ToLoop},
    metrics::{Asked, Outcome},
    request_id,
    wire::{Format, frame},
};

/// See the module.
#[must_use = "a request must be answered"]
pub(crate) struct ReplyTo {
    permit: Option<Permit<ToLoop>>,
    conn: ConnId,
    seq: u16,
    format: Format,
    is_event: bool,
    asked: Asked,
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
    pub(crate) const fn new(
        permit: Permit<ToLoop>,
        conn: ConnId,
        seq: u16,
        format: Format,
        asked: Asked,
    ) -> Self {
        Self {
            permit: Some(permit),
            conn,
            seq,
            format,
            is_event: false,
            asked,
        }
    }

    /// Says whether the answer to the sending of a message stands for the event on this connection.
    pub(crate) const fn with_event(mut self, is_event: bool) -> Self {
        self.is_event = is_event;
        self
    }

    /// Whether the answer to the sending of a message stands for the event on this connection.
    pub(crate) const fn is_event(&self) -> bool {
        self.is_event
    }

    /// The connection that asks.
    pub(crate) const fn conn(&self) -> ConnId {
        self.conn
    }

    /// How frames for that connection are written.
    pub(crate) const fn format(&self) -> Format {
        self.format
    }

    /// Answers.
    pub(crate) fn ok(self, reply: &Reply) {
        self.ok_and(reply, Effect::None);
    }

    /// Answers, with a consequence.
    pub(crate) fn ok_and(mut self, reply: &Reply, effect: Effect) {
        let frame = frame::reply(reply, self.format, self.seq);
        self.send(frame, effect, Outcome::OK);
    }

    /// Answers with a page of history, whose bodies go out as they are.
    pub(crate) fn history(mut self, page: RawPage) {
        let frame = frame::history(page, self.format, self.seq);
        self.send(frame, Effect::None, Outcome::OK);
    }

    /// The session was checked; the loop writes the answer once the route is made.
    pub(crate) fn authenticated(mut self, authenticated: Box<Authenticated>) {
        self.send(Bytes::new(), Effect::Authenticated(authenticated), Outcome::OK);
    }

    /// Answers in a place among pushes; `None` where there is nobody to answer.
    pub(crate) fn placed(mut self, reply: &Reply) -> Option<PlacedAnswer> {
        let frame = frame::reply(reply, self.format, self.seq);
        self.place(frame, Outcome::OK)
    }

    /// Refuses in a place among pushes.
    pub(crate) fn placed_refusal(mut self, refusal: &Refusal) -> Option<PlacedAnswer> {
        let frame = self.refusal(refusal);
        self.place(frame, Outcome::refused(refusal))
    }

    /// Refuses.
    pub(crate) fn refuse(self, refusal: &Refusal) {
        self.refuse_and(refusal, Effect::None);
    }

    /// Refuses, with a consequence.
    pub(crate) fn refuse_and(mut self, refusal: &Refusal, effect: Effect) {
        let frame = self.refusal(refusal);
        self.send(frame, effect, Outcome::refused(refusal));
    }

    /// The same; `say` is given the id of the request that the client is told, for the line of the log that tells the cause.
    pub(crate) fn refuse_saying(mut self, refusal: &Refusal, effect: Effect, say: impl FnOnce(&str)) {
        let named = self.named(refusal);
        say(&named.0.request_id);
        let frame = frame::refusal(&named, self.format, self.seq);
        self.send(frame, effect, Outcome::refused(refusal));
    }

    /// Gives the obligation up because the request goes back to its loop, which is on this thread.
    pub(crate) fn forget(mut self) {
        self.permit = None;
    }

    fn refusal(&self, refusal: &Refusal) -> Bytes {
        frame::refusal(&self.named(refusal), self.format, self.seq)
    }

    fn named(&self, refusal: &Refusal) -> Refusal {
        request_id::named(refusal, self.conn, self.seq, self.asked.command())
    }

    fn place(&mut self, frame: Bytes, outcome: Outcome) -> Option<PlacedAnswer> {
        let answer = Answer {
            conn: self.conn,
            seq: self.seq,
            frame,
            effect: Effect::None,
            asked: self.asked,
            outcome,
        };
        Some(PlacedAnswer::new(answer, self.permit.take()?))
    }

    fn send(&mut self, frame: Bytes, effect: Effect, outcome: Outcome) {
        if let Some(permit) = self.permit.take() {
            // A loop that has stopped has no connection left to answer.
            let _ = permit.post(ToLoop::Answer(Answer {
                conn: self.conn,
                seq: self.seq,
                frame,
                effect,
                asked: self.asked,
                outcome,
            }));
        }
    }
}

impl Drop for ReplyTo {
    fn drop(&mut self) {
        if self.permit.is_some() {
            log::error!("a request was dropped without an answer");
            let refusal = Refusal::new(ErrorCode::Internal, "the server failed on this request");
            let frame = self.refusal(&refusal);
            self.send(frame, Effect::NotAuthenticated, Outcome::refused(&refusal));
        }
    }
}
