//! Questions of one connection that wait for their turn at the workers: how much of an answer a connection and its
//! loop have room for decides when the next one is asked. Must never have answers made that nobody has taken the
//! earlier ones of, and never lose a question.
//!
//! A connection has one page on its way, or several short answers, and what the peer has not taken counts. Where a
//! loop holds as much as it may for all its peers, pages are frugal, and only those get one who have taken theirs: so
//! slow readers wait for each other, and others hardly notice them.

use std::collections::VecDeque;

use protocol::{Refusal, v1::ErrorCode};

use super::{
    answers::send_refusal,
    handler::{Cx, Gateway},
    park::Parked,
};
use crate::{
    reply::ReplyTo,
    service::{
        Ask, PageLimits, WorkerTask,
        worker::{Doing, Manner},
    },
    wire::PAGE_ENCODED_MAX,
};

/// The questions of a connection, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Asks {
    waiting: VecDeque<(u16, Ask)>,
    /// Those on their way, with the bytes that their answers may have.
    asked: Vec<(u16, usize)>,
    promised: usize,
}

impl Asks {
    /// The next question waits.
    pub(super) fn push(&mut self, seq: u16, ask: Ask) {
        self.waiting.push_back((seq, ask));
    }

    /// The one whose turn is next.
    pub(super) fn first(&self) -> Option<&Ask> {
        self.waiting.front().map(|(_, ask)| ask)
    }

    /// Whether an answer of so many bytes can be on its way, too.
    pub(super) const fn has_place(&self, bytes: usize, at_most: usize) -> bool {
        self.promised == 0 || self.promised + bytes <= at_most
    }

    /// Takes the one whose turn is next, for an answer of so many bytes.
    pub(super) fn take(&mut self, bytes: usize) -> Option<(u16, Ask)> {
        let (seq, ask) = self.waiting.pop_front()?;
        self.asked.push((seq, bytes));
        self.promised += bytes;
        Some((seq, ask))
    }

    /// A question was answered: how many bytes it was expected to have.
    pub(super) fn answered(&mut self, seq: u16) -> usize {
        let Some(index) = self.asked.iter().position(|(other, _)| *other == seq) else {
            return 0;
        };
        let (_, bytes) = self.asked.swap_remove(index);
        self.promised -= bytes;
        bytes
    }

    /// The questions that were not asked yet are not to be asked any more.
    pub(super) fn give_up(&mut self) -> Vec<u16> {
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().map(|(seq, _)| seq).collect()
    }

    /// Bytes of all answers on their way.
    pub(super) const fn promised(&self) -> usize {
        self.promised
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_empty()
    }
}

impl Gateway {
    /// A question that was admitted.
    pub(super) fn ask(&mut self, cx: &mut Cx<'_>, seq: u16, ask: Ask) {
        if ask.is_sync
            && let Some(backlog) = &mut cx.conn().backlog
        {
            backlog.sync_asked();
        }
        let conn = cx.conn();
        conn.asks.get_or_insert_default().push(seq, ask);
        if conn.session.must_wait(&self.shared.rules) {
            cx.pause_reading();
        }
        self.ask_more(cx);
    }

    /// Asks as many of the waiting questions as there is room for.
    #[inline]
    pub(super) fn ask_more(&mut self, cx: &mut Cx<'_>) {
        // Nearly always: whoever only writes has none.
        if cx.conn().asks.is_some() {
            self.ask_waiting(cx);
        }
    }

    fn ask_waiting(&mut self, cx: &mut Cx<'_>) {
        while cx.conn().asks.is_some() && !cx.is_closing() {
            let limits = &self.shared.config.limits;
            let (id, held) = (cx.id(), cx.loop_cx().queued_bytes() + self.promised);
            let conn = cx.conn();
            let encoding = conn.session.encoding();
            let (None, Some(asks)) = (&conn.parked, &conn.asks) else {
                return;
            };
            let Some(ask) = asks.first() else { return };
            let whole = PageLimits::whole(limits);
            let page = ask.size.bytes(encoding, &whole);
            let is_pressed = held + page > self.shared.answers_bytes;
            let (bytes, at_most) = if is_pressed {
                (ask.size.bytes(encoding, &PageLimits::FRUGAL), 0)
            } else {
                (page, PAGE_ENCODED_MAX)
            };
            if !asks.has_place(bytes, at_most) || cx.is_above_low_water() {
                return;
            }
            let Ok(permit) = cx.loop_cx().remote().reserve(id.loop_id()) else {
                return self.park(cx, Parked::Asks);
            };
            let key = id.as_u64();
            let group = self.group(cx);
            let conn = cx.conn();
            let starts_over = conn.starts_over;
            let Some((seq, ask)) = conn.asks.as_mut().and_then(|asks| asks.take(bytes)) else {
                return;
            };
            self.promised += bytes;
            let manner = Manner {
                is_frugal: is_pressed,
                starts_over,
            };
            let task = WorkerTask {
                key,
                group,
                doing: Doing::Ask(ask, manner),
                reply: ReplyTo::new(permit, id, seq, encoding),
            };
            self.offload(cx, task);
        }
    }

    /// A request was answered, which may have been a question.
    #[inline]
    pub(super) fn answered(&mut self, cx: &mut Cx<'_>, seq: u16) {
        let conn = cx.conn();
        conn.session.answered(seq);
        if let Some(asks) = &mut conn.asks {
            self.promised -= asks.answered(seq);
            if asks.is_empty() {
                conn.asks = None;
            }
        }
    }

    /// The server is going away: questions that were not asked yet are refused.
    pub(super) fn give_up_asking(&mut self, cx: &mut Cx<'_>) {
        let waiting = cx.conn().asks.as_mut().map(|asks| asks.give_up());
        for seq in waiting.unwrap_or_default() {
            let refusal = Refusal::new(ErrorCode::Draining, "this server is going away");
            send_refusal(cx, &refusal, seq);
            self.answered(cx, seq);
        }
    }
}

#[cfg(test)]
#[path = "asks_tests.rs"]
mod tests;
