//! Questions of one connection that wait for their turn at the workers: how much of an answer a connection and its
//! loop have room for decides when the next one is asked. Must never have answers made that nobody has taken the
//! earlier ones of, and never lose a question.
//!
//! A connection has one page on its way, or several short answers, and what the peer has not taken counts. Where a
//! loop holds as much as it may for all its peers, pages are frugal, and only those get one who have taken theirs: so
//! slow readers wait for each other, and others hardly notice them.

use std::collections::VecDeque;

use protocol::{Encoding, Refusal, Request, v1::ErrorCode};

use super::{
    answers::send_refusal,
    handler::{Cx, Gateway},
    park::Parked,
};
use crate::{
    reply::ReplyTo,
    service::{
        Question,
        question::{PageLimits, Query},
        wire::PAGE_ENCODED_MAX,
    },
    token::Presented,
};

/// Bytes of an answer that is no list.
const SHORT_ANSWER_BYTES: usize = 4 * 1024;
/// Bytes of an entry of a list, roughly: a conversation, a member, a profile.
const ENTRY_BYTES: usize = 400;
/// Bytes of what surrounds an event's body.
const EVENT_BYTES: usize = 100;
/// How much longer JSON is, and what it adds to each entry.
const JSON_TIMES: usize = 2;
const JSON_ENTRY_BYTES: usize = 250;

/// Whether a worker answers this, and changes nothing for anybody else.
pub(super) const fn is_question(request: &Request) -> bool {
    matches!(
        request,
        Request::ListDevices(_)
            | Request::GetUsers(_)
            | Request::FindUser(_)
            | Request::History(_)
            | Request::Sync(_)
            | Request::ListConversations(_)
            | Request::GetConversation(_)
            | Request::GetConversations(_)
            | Request::ListMembers(_)
    )
}

/// The bytes that the answer has at most, about.
pub(super) fn answer_bytes(request: &Request, encoding: Encoding, page: &PageLimits) -> usize {
    let count = |asked: u32, most: usize| (asked as usize).min(most);
    let (entries, bytes) = match request {
        Request::History(history) => {
            let events = count(history.limit, page.events);
            (events, (page.bytes + events * EVENT_BYTES).min(PAGE_ENCODED_MAX))
        }
        Request::Sync(sync) => {
            let changes = count(sync.limit, page.entries);
            (changes, changes * ENTRY_BYTES + page.bytes)
        }
        Request::ListConversations(list) => (0, count(list.limit, page.entries) * ENTRY_BYTES),
        Request::GetConversations(get) => (0, get.conversation_ids.len() * ENTRY_BYTES),
        Request::ListMembers(list) => (0, count(list.limit, page.entries) * ENTRY_BYTES),
        Request::GetUsers(get) => (get.user_ids.len(), get.user_ids.len() * ENTRY_BYTES),
        _ => (0, 0),
    };
    SHORT_ANSWER_BYTES
        + match encoding {
            Encoding::Protobuf => bytes,
            Encoding::Json => bytes * JSON_TIMES + entries * JSON_ENTRY_BYTES,
        }
}

/// The questions of a connection, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Asks {
    waiting: VecDeque<(u16, Request)>,
    /// Those on their way, with the bytes that their answers may have.
    asked: Vec<(u16, usize)>,
    promised: usize,
}

impl Asks {
    /// The next question waits.
    pub(super) fn push(&mut self, seq: u16, request: Request) {
        self.waiting.push_back((seq, request));
    }

    /// The one whose turn is next.
    pub(super) fn first(&self) -> Option<&Request> {
        self.waiting.front().map(|(_, request)| request)
    }

    /// Whether an answer of so many bytes can be on its way, too.
    pub(super) const fn has_place(&self, bytes: usize, at_most: usize) -> bool {
        self.promised == 0 || self.promised + bytes <= at_most
    }

    /// Takes the one whose turn is next, for an answer of so many bytes.
    pub(super) fn take(&mut self, bytes: usize) -> Option<(u16, Request)> {
        let (seq, request) = self.waiting.pop_front()?;
        self.asked.push((seq, bytes));
        self.promised += bytes;
        Some((seq, request))
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
    pub(super) fn ask(&mut self, cx: &mut Cx<'_>, seq: u16, request: Request) {
        if let Request::Sync(_) = request
            && let Some(behind) = &mut cx.conn().behind
        {
            behind.sync_asked();
        }
        let conn = cx.conn();
        conn.asks.get_or_insert_default().push(seq, request);
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
            let (None, Some(who), Some(asks)) = (&conn.parked, conn.session.established(), &conn.asks) else {
                return;
            };
            let Some(request) = asks.first() else { return };
            let whole = PageLimits::whole(limits);
            let page = answer_bytes(request, encoding, &whole);
            let is_pressed = held + page > self.shared.answers_bytes;
            let (bytes, at_most) = if is_pressed {
                (answer_bytes(request, encoding, &PageLimits::FRUGAL), 0)
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
            let Some((seq, request)) = cx.conn().asks.as_mut().and_then(|asks| asks.take(bytes)) else {
                return;
            };
            self.promised += bytes;
            let query = match request {
                // What is no token is refused as such, and starts nothing over.
                Request::Sync(sync) if cx.conn().starts_over && self.is_token(&sync.token) => {
                    cx.conn().starts_over = false;
                    if sync.token.is_empty() {
                        Query::Ask(who, Request::Sync(sync))
                    } else {
                        Query::StartOver(who, sync.limit)
                    }
                }
                request => Query::Ask(who, request),
            };
            let question = Question {
                key,
                group,
                query,
                reply: ReplyTo::new(permit, id, seq, encoding),
                is_frugal: is_pressed,
            };
            self.offload(cx, question);
        }
    }

    /// Nothing, or something that some store has signed.
    fn is_token(&self, bytes: &[u8]) -> bool {
        bytes.is_empty() || self.shared.tokens.presented(bytes) != Presented::Invalid
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
