//! Requests on their way from a connection: to the lane, to a worker, or done here; and those that wait at the door because
//! there was no room.

use std::hash::BuildHasher;

use netcore::{CloseHow, Flow, LoopCx, ReserveError};
use protocol::{
    Refusal, Reply, Request,
    v1::{self, ErrorCode},
};
use storage::{CursorMove, Revoke, Seq, SessionId, Write};

use super::{
    asks::is_question,
    connection::Established,
    handler::{Cx, Gateway, code},
    park::Parked,
};
use crate::{
    clock,
    lane::{Job, SubmitError, Then},
    reply::ReplyTo,
    service::{Question, append, question::Query},
    session::network,
};

/// Parked requests handled in one turn.
const PARKED_PER_TURN: usize = 256;

impl Gateway {
    /// Hands an admitted request on, its answer's place reserved.
    pub(super) fn start(&mut self, cx: &mut Cx<'_>, seq: u16, request: Request) -> Flow<Self> {
        if cx.conn().session.established().is_some() && is_question(&request) {
            self.ask(cx, seq, request);
            return Flow::Continue;
        }
        let id = cx.id();
        let encoding = cx.conn().session.encoding();
        let permit = match cx.loop_cx().remote().reserve(id.loop_id()) {
            Ok(permit) => permit,
            Err(ReserveError::Full) => {
                self.park(cx, Parked::Request(seq, Box::new(request)));
                return Flow::Continue;
            }
            Err(ReserveError::Stopped) => return Flow::Close(code::GOING_AWAY),
        };
        let conn = cx.conn();
        let reply = ReplyTo::new(permit, id, seq, encoding).with_event(conn.session.answer_is_event());
        if conn.session.must_wait(&self.shared.rules) {
            cx.pause_reading();
        }
        self.route(cx, request, reply)
    }

    /// To the lane, to a worker, or done here.
    fn route(&mut self, cx: &mut Cx<'_>, mut request: Request, reply: ReplyTo) -> Flow<Self> {
        let key = cx.id().as_u64();
        let conn = cx.conn();
        let Some(who) = conn.session.established() else {
            let Some(device) = conn.session.device() else {
                reply.refuse(&Refusal::new(ErrorCode::Unauthenticated, "log in first"));
                return Flow::Continue;
            };
            let device = Box::new(device.clone());
            let is_exempt = conn.session.is_exempt();
            let from = cx.peer().address.ip().filter(|_| !is_exempt);
            let query = Query::Open(device, from, request);
            return Flow::Offload(Question {
                key,
                group: self.group(cx),
                query,
                reply,
                is_frugal: false,
            });
        };
        match request {
            Request::Send(ref send) if send.quality() == v1::QualityOfService::AtMostOnce => {}
            Request::Delivered(delivered) => {
                self.delivered(who, &delivered, reply);
                return Flow::Continue;
            }
            Request::Read(read) => {
                self.read(who, &read, reply);
                return Flow::Continue;
            }
            Request::Logout(_) => {
                let write = Write::RevokeSessions(Revoke::One(who.user, who.session));
                return self.submit(
                    cx,
                    Box::new(Job {
                        write,
                        then: Then::LoggedOut(reply),
                    }),
                );
            }
            Request::LogoutOthers(_) => {
                let write = Write::RevokeSessions(Revoke::Others(who.user, who.session));
                return self.submit(
                    cx,
                    Box::new(Job {
                        write,
                        then: Then::OthersLoggedOut(who.user, reply),
                    }),
                );
            }
            Request::UpdateProfile(update) => {
                let change = storage::ProfileChange {
                    user: who.user,
                    display_name: update.display_name,
                    avatar: update.avatar,
                    status: update.status,
                };
                return self.submit(
                    cx,
                    Box::new(Job {
                        write: Write::UpdateProfile(change),
                        then: Then::Profile(reply),
                    }),
                );
            }
            ref mut other => {
                match append::from_request(who.user, other, clock::wall(), &self.shared.rules.validation) {
                    Ok(Some(append)) => {
                        let then = Then::Sent(other.command(), reply);
                        return self.submit(
                            cx,
                            Box::new(Job {
                                write: Write::Append(append),
                                then,
                            }),
                        );
                    }
                    Ok(None) => {}
                    Err(refusal) => {
                        reply.refuse(&refusal);
                        return Flow::Continue;
                    }
                }
            }
        }
        Flow::Offload(Question {
            key,
            group: self.group(cx),
            query: Query::Ask(who, request),
            reply,
            is_frugal: false,
        })
    }

    /// With whom a connection shares the workers: the user's other connections, or before that is known, others from
    /// the same address. Behind an address without rates there may be anybody.
    pub(super) fn group(&self, cx: &mut Cx<'_>) -> u64 {
        let conn = cx.conn();
        let who = conn.session.established().map(|who| who.user);
        let is_exempt = conn.session.is_exempt();
        let groups = &self.shared.groups;
        match (who, cx.peer().address.ip().filter(|_| !is_exempt)) {
            (Some(user), _) => groups.hash_one(("user", user)),
            (None, Some(address)) => groups.hash_one(("address", network(address))),
            (None, None) => groups.hash_one(("connection", cx.id().as_u64())),
        }
    }

    fn submit(&mut self, cx: &mut Cx<'_>, job: Box<Job>) -> Flow<Self> {
        match self.shared.lane.collect(job, &mut self.collected) {
            Ok(()) => Flow::Continue,
            Err(SubmitError::Full(job)) => {
                self.park(cx, Parked::Job(job));
                Flow::Continue
            }
            // The reply in the job says so.
            Err(SubmitError::Stopped(_)) => Flow::Continue,
        }
    }

    fn delivered(&self, who: Established, delivered: &v1::DeliveredRequest, reply: ReplyTo) {
        let moves = delivered.up_to.iter().map(|head| CursorMove {
            conversation: storage::ConversationId(head.conversation_id),
            user: who.user,
            delivered: Seq(head.seq),
            read: Seq(0),
        });
        self.move_cursors(who.session, moves, &Reply::Delivered(v1::Empty {}), reply);
    }

    fn read(&self, who: Established, read: &v1::ReadRequest, reply: ReplyTo) {
        let moved = CursorMove {
            conversation: storage::ConversationId(read.conversation_id),
            user: who.user,
            delivered: Seq(read.seq),
            read: Seq(read.seq),
        };
        self.move_cursors(
            who.session,
            std::iter::once(moved),
            &Reply::Read(v1::Empty {}),
            reply,
        );
    }

    fn move_cursors(
        &self,
        session: SessionId,
        moves: impl Iterator<Item = CursorMove>,
        answer: &Reply,
        reply: ReplyTo,
    ) {
        let lane = &self.shared.lane;
        for moved in moves {
            // Who is no member of a group is found out by the store; of others the id says it.
            if !moved.conversation.may_have(moved.user) {
                continue;
            }
            match lane.lazy().move_cursor(moved, session) {
                Ok(true) => lane.wake_lazy(),
                Ok(false) => {}
                Err(_) => {
                    return reply.refuse(&Refusal::new(ErrorCode::Overloaded, "too many receipts wait"));
                }
            }
        }
        reply.ok(answer);
    }

    // ---- parked requests --------------------------------------------------------------------------

    pub(super) fn park(&mut self, cx: &mut Cx<'_>, parked: Parked) {
        cx.conn().parked = Some(Box::new(parked));
        cx.pause_reading();
        self.waiting.push(cx.id());
    }

    pub(super) fn retry_parked(&mut self, cx: &mut LoopCx<'_, Self>) {
        for _ in 0..PARKED_PER_TURN {
            let Some(id) = self.waiting.pop() else { return };
            let Some(mut cx) = cx.conn(id) else { continue };
            let Some(parked) = cx.conn().parked.take() else {
                continue;
            };
            match *parked {
                Parked::Asks => {}
                Parked::Question(question) => self.offload(&mut cx, *question),
                Parked::Job(job) => match self.shared.lane.submit(job) {
                    Err(SubmitError::Full(job)) => {
                        cx.conn().parked = Some(Box::new(Parked::Job(job)));
                        self.waiting.push_front(id);
                        return;
                    }
                    Ok(()) | Err(SubmitError::Stopped(_)) => {}
                },
                Parked::Request(seq, request) => {
                    let flow = self.start(&mut cx, seq, *request);
                    if cx.conn().parked.is_some() {
                        // No place yet; it stands at the end of the line again.
                        return;
                    }
                    match flow {
                        Flow::Continue => {}
                        Flow::Offload(question) => self.offload(&mut cx, question),
                        Flow::Close(code) => cx.close(code, CloseHow::Flush),
                    }
                }
            }
            self.ask_more(&mut cx);
            self.resume_if_possible(&mut cx);
        }
    }

    /// What the loop itself does for a frame that is not parked.
    pub(super) fn offload(&mut self, cx: &mut Cx<'_>, question: Question) {
        match self.shared.workers.try_submit(question) {
            Ok(()) => {}
            Err(refused) => self.park(cx, Parked::Question(Box::new(refused.into_task()))),
        }
    }

    pub(super) fn resume_if_possible(&self, cx: &mut Cx<'_>) {
        let rules = &self.shared.rules;
        let conn = cx.conn();
        if conn.parked.is_none() && !conn.session.must_wait(rules) {
            cx.resume_reading();
        }
    }
}
