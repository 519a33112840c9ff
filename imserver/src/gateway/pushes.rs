//! Pushes on their way to the connections of a loop, the backlogs of slow connections, and connections that must end.

use netcore::{CloseHow, LoopCx, SendError};
use protocol::v1::GoAwayReason;

use super::{
    answers::send_go_away,
    handler::{Cx, Gateway, close_code, code},
    http::say_close,
};
use crate::{
    delivery::{Backlog, KickTo},
    message::{Delivery, Entry, Item, Owed},
    wire::{Format, frame},
};

impl Gateway {
    pub(super) fn deliver(&mut self, cx: &mut LoopCx<'_, Self>, delivery: Delivery) {
        self.check_missed(cx);
        let mut to = delivery.to.iter();
        for entry in delivery.entries {
            match entry {
                Entry::Push(item) => {
                    for id in to.by_ref().take(item.receivers) {
                        if let Some(mut cx) = cx.conn(*id) {
                            self.push(&mut cx, &item);
                        }
                    }
                }
                Entry::Answer(answer) => self.answer(cx, answer.received()),
            }
        }
        if let Some(begun_at) = delivery.begun_at {
            self.row().deliveries.delay.record_time(begun_at.elapsed());
        }
        if let Some(complete_to) = &delivery.complete_to {
            self.complete_to = self.complete_to.union(complete_to);
        }
    }

    fn push(&mut self, cx: &mut Cx<'_>, item: &Item) {
        let owes = cx.conn().backlog.is_some();
        if !owes {
            match cx.send_encoded(item.frame.clone()) {
                Ok(_) => {
                    self.row().deliveries.pushes.add(1);
                    if cx.conn().http.is_some() {
                        Self::pushed_to_stream(cx);
                    }
                    return;
                }
                Err(SendError::Closing | SendError::Encode) => return,
                Err(SendError::Full) => {}
            }
        }
        if item.owed == Owed::Nothing {
            return;
        }
        self.row().deliveries.slow.add(u64::from(!owes));
        let token = cx.conn().token(&self.complete_to).unwrap_or_default();
        cx.conn()
            .backlog
            .get_or_insert_with(|| Box::new(Backlog::new(token)))
            .note(item.owed);
    }

    /// Sends a connection the heads and cursors of its backlog, if there is room for them now.
    pub(super) fn settle(&mut self, cx: &mut Cx<'_>) {
        let epoch = self.shared.epoch;
        if cx.conn().session.format() == Format::Stream
            && cx
                .conn()
                .backlog
                .as_ref()
                .is_some_and(|backlog| backlog.owes_resync())
        {
            // A stream cannot ask for a sync. It ends, and the client comes back for what followed its last id.
            cx.close(code::FINISHED, CloseHow::Flush);
            return;
        }
        loop {
            let conn = cx.conn();
            let Some(push) = conn.backlog.as_ref().and_then(|backlog| backlog.push(epoch)) else {
                return;
            };
            let frame = frame::push(&push, conn.session.format());
            if cx.send_encoded(frame).is_err() {
                return;
            }
            self.row().deliveries.heads.add(1);
            let conn = cx.conn();
            if conn.backlog.as_mut().is_some_and(|backlog| backlog.sent()) {
                conn.backlog = None;
            }
        }
    }

    /// Makes every session of this loop resync, if something could not be posted to the loop.
    pub(super) fn check_missed(&mut self, cx: &mut LoopCx<'_, Self>) {
        let Some(mark) = self.shared.outboxes.mark(self.loop_index) else {
            return;
        };
        if !mark.take() {
            return;
        }
        let complete_to = self.complete_to.clone();
        for id in cx.connection_ids() {
            let Some(mut cx) = cx.conn(id) else { continue };
            let conn = cx.conn();
            if conn.session.principal().is_some() && conn.takes_pushes() {
                let token = conn.token(&complete_to).unwrap_or_default();
                conn.backlog
                    .get_or_insert_with(|| Box::new(Backlog::new(token)))
                    .owe_resync();
                self.owed.push(id);
            }
        }
    }

    /// The device has something that this store does not have: tells it to sync, and answers its next sync as a
    /// restart.
    pub(super) fn start_over(&mut self, cx: &mut Cx<'_>) {
        let id = cx.id();
        let complete_to = &self.complete_to;
        let conn = cx.conn();
        // Between the answers of calls nothing may come; a caller over HTTP has read in the refusal to begin anew.
        if conn.session.principal().is_none() || !conn.takes_pushes() {
            return;
        }
        conn.starts_over = true;
        let token = conn.token(complete_to).unwrap_or_default();
        conn.backlog
            .get_or_insert_with(|| Box::new(Backlog::new(token)))
            .owe_resync();
        self.owed.push(id);
    }

    /// Ends the connections that lost their sessions, and restarts those of another past.
    pub(super) fn kick(&mut self, cx: &mut LoopCx<'_, Self>) {
        let mut kicks = std::mem::take(&mut self.kicks);
        kicks.extend(self.shared.routes.take_kicks(self.loop_index));
        for kick in kicks {
            let Some(mut cx) = cx.conn(kick.conn) else {
                continue;
            };
            let reason = match kick.what {
                KickTo::End(reason) => reason,
                KickTo::StartOver => {
                    self.start_over(&mut cx);
                    continue;
                }
            };
            let session = &mut cx.conn().session;
            if session.in_flight() > 0 {
                // The open requests are answered first, above all a logout; new ones are refused.
                session.drain();
                self.kicks.push(kick);
                continue;
            }
            let message = match reason {
                GoAwayReason::Replaced => "this session connected again",
                GoAwayReason::Displaced => "another device took this one's place",
                GoAwayReason::Unspecified
                | GoAwayReason::Draining
                | GoAwayReason::Revoked
                | GoAwayReason::Protocol
                | GoAwayReason::Idle => "this session was ended",
            };
            send_go_away(&mut cx, reason, 0, message);
            say_close(&mut cx, close_code(reason), message);
            cx.close(code::GOING_AWAY, CloseHow::Flush);
        }
    }
}
