//! Queries of one connection that wait for their turn at the workers. The next one is asked when the connection and its
//! loop have room for its answer. Must never have answers made while the peer has not taken the earlier ones, and never
//! lose a query.
//!
//! A connection has one page on its way, or several short answers; bytes that the peer has not taken count. When a loop
//! holds as much as it may for all its peers, pages are frugal, and only connections without untaken answers get one:
//! so slow readers wait for each other, and others hardly notice them.

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

/// The queries of a connection, in the order of arrival.
#[derive(Debug, Default)]
pub(super) struct Asks {
    waiting: VecDeque<(u16, Ask)>,
    /// Queries at the workers, with the largest size of each answer.
    asked: Vec<(u16, usize)>,
    promised: usize,
}

impl Asks {
    /// Adds a query that waits.
    pub(super) fn push(&mut self, seq: u16, ask: Ask) {
        self.waiting.push_back((seq, ask));
    }

    /// The query whose turn is next.
    pub(super) fn first(&self) -> Option<&Ask> {
        self.waiting.front().map(|(_, ask)| ask)
    }

    /// Whether there is room for an answer of this many bytes.
    pub(super) const fn has_place(&self, bytes: usize, at_most: usize) -> bool {
        self.promised == 0 || self.promised + bytes <= at_most
    }

    /// Takes the query whose turn is next, and counts this many bytes for its answer.
    pub(super) fn take(&mut self, bytes: usize) -> Option<(u16, Ask)> {
        let (seq, ask) = self.waiting.pop_front()?;
        self.asked.push((seq, bytes));
        self.promised += bytes;
        Some((seq, ask))
    }

    /// A query was answered: returns the bytes that were counted for its answer.
    pub(super) fn answered(&mut self, seq: u16) -> usize {
        let Some(index) = self.asked.iter().position(|(other, _)| *other == seq) else {
            return 0;
        };
        let (_, bytes) = self.asked.swap_remove(index);
        self.promised -= bytes;
        bytes
    }

    /// Drops all waiting queries; returns their sequence numbers.
    pub(super) fn give_up(&mut self) -> Vec<u16> {
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().map(|(seq, _)| seq).collect()
    }

    /// Bytes counted for all answers on their way.
    pub(super) const fn promised(&self) -> usize {
        self.promised
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_empty()
    }
}

impl Gateway {
    /// Queues an admitted query.
    pub(super) fn ask(&mut self, cx: &mut Cx<'_>, seq: u16, mut ask: Ask) {
        ask.asked = cx.conn().asked;
        if ask.is_sync
            && let Some(backlog) = &mut cx.conn().backlog
        {
            backlog.sync_asked();
        }
        let conn = cx.conn();
        conn.asks.get_or_insert_default().push(seq, ask);
        if conn.session.must_wait(&self.terms.rules) {
            cx.pause_reading();
        }
        self.ask_more(cx);
    }

    /// Asks as many of the waiting queries as there is room for.
    #[inline]
    pub(super) fn ask_more(&mut self, cx: &mut Cx<'_>) {
        // Usually `None`: a connection that only writes has no queries.
        if cx.conn().asks.is_some() {
            self.ask_waiting(cx);
        }
    }

    fn ask_waiting(&mut self, cx: &mut Cx<'_>) {
        while cx.conn().asks.is_some() && !cx.is_closing() {
            let limits = &self.shared.config.limits;
            let (id, held) = (cx.id(), cx.loop_cx().queued_bytes() + self.promised);
            let conn = cx.conn();
            let format = conn.session.format();
            let encoding = format.encoding();
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
                reply: ReplyTo::new(permit, id, seq, format, ask.asked),
                doing: Doing::Ask(ask, manner),
            };
            self.offload(cx, task);
        }
    }

    /// A request was answered; it may have been a query.
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

    /// The server drains: waiting queries are refused.
    pub(super) fn give_up_asking(&mut self, cx: &mut Cx<'_>) {
        let waiting = cx.conn().asks.as_mut().map(|asks| asks.give_up());
        for seq in waiting.unwrap_or_default() {
            let refusal = Refusal::new(ErrorCode::Draining, "this server is going away");
            self.refused(cx, &refusal);
            send_refusal(cx, &refusal, seq);
            self.answered(cx, seq);
        }
    }
}

#[cfg(test)]
#[path = "asks_tests.rs"]
mod tests;
