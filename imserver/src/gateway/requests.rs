//! Requests on their way from a connection: to a lane, to a worker, or done here; and parked requests.

use std::hash::BuildHasher;

use netcore::{CloseHow, Flow, LoopCx, ReserveError};
use protocol::{Refusal, Reply, Request, v1::ErrorCode};
use storage::{CursorMove, SessionId, Write};

use super::{
    answers::send_refusal,
    handler::{Cx, Gateway, code},
    park::Parked,
};
use crate::{
    clock,
    lane::{Completion, Job, Pending, SubmitError},
    principal::Principal,
    reply::ReplyTo,
    service::{
        Planning, Work, WorkerTask, plan,
        worker::{Doing, Manner},
    },
    session::network,
};

/// Parked requests tried again in one turn.
const PARKED_PER_TURN: usize = 256;

impl Gateway {
    /// Hands on an admitted request, with the place of its answer reserved.
    pub(super) fn start(&mut self, cx: &mut Cx<'_>, seq: u16, request: Request) -> Flow<Self> {
        let Some(who) = cx.conn().session.principal() else {
            return self.open(cx, seq, request);
        };
        let planning = Planning {
            at: clock::wall(),
            limits: &self.terms.rules.validation,
        };
        match plan(request, who, &planning) {
            Ok(work) => self.carry_out(cx, seq, work),
            Err(refusal) => {
                self.refused(cx, &refusal);
                send_refusal(cx, &refusal, seq);
                cx.conn().session.answered(seq);
                Flow::Continue
            }
        }
    }

    /// Carries out the work of an authenticated session, with the place of its answer reserved.
    fn carry_out(&mut self, cx: &mut Cx<'_>, seq: u16, work: Work) -> Flow<Self> {
        let work = match work {
            Work::Ask(ask) => {
                self.ask(cx, seq, ask);
                return Flow::Continue;
            }
            work @ (Work::Append(..)
            | Work::Write(_)
            | Work::Relay(_)
            | Work::Away(..)
            | Work::Receipts(..)) => work,
        };
        let reply = match self.reserve(cx, seq) {
            Ok(reply) => reply,
            Err(ReserveError::Full) => {
                self.park(cx, Parked::Work(seq, Box::new(work)));
                return Flow::Continue;
            }
            Err(ReserveError::Stopped) => return Flow::Close(code::GOING_AWAY),
        };
        match work {
            Work::Append(command, append) => {
                let job = Job {
                    write: Write::Append(append),
                    then: Completion::Append(command, reply),
                };
                self.submit(cx, Box::new(job))
            }
            Work::Write(planned) => {
                let pending = Pending {
                    reply,
                    after: planned.after,
                    is_opening: false,
                };
                let job = Job {
                    write: planned.write,
                    then: Completion::Write(Box::new(pending)),
                };
                self.submit(cx, Box::new(job))
            }
            Work::Relay(ask) => Flow::Offload(self.task(cx, Doing::Relay(ask), reply)),
            Work::Ask(ask) => Flow::Offload(self.task(cx, Doing::Ask(ask, Manner::default()), reply)),
            Work::Away(is_away, answer) => {
                let conn = cx.id();
                if let Some(Principal { user, .. }) = cx.conn().session.principal()
                    && self.shared.routes.set_away(user, conn, is_away)
                {
                    self.shared.presence.changed(user);
                }
                reply.ok(&answer);
                Flow::Continue
            }
            Work::Receipts(moves, answer) => {
                if let Some(who) = cx.conn().session.principal() {
                    self.move_cursors(who.session, moves, &answer, reply);
                }
                Flow::Continue
            }
        }
    }

    /// Carries out a request that authenticates its connection.
    fn open(&mut self, cx: &mut Cx<'_>, seq: u16, request: Request) -> Flow<Self> {
        let reply = match self.reserve(cx, seq) {
            Ok(reply) => reply,
            Err(ReserveError::Full) => {
                self.park(cx, Parked::Opening(seq, Box::new(request)));
                return Flow::Continue;
            }
            Err(ReserveError::Stopped) => return Flow::Close(code::GOING_AWAY),
        };
        let conn = cx.conn();
        let Some(device) = conn.session.device() else {
            reply.refuse(&Refusal::new(ErrorCode::Unauthenticated, "log in first"));
            return Flow::Continue;
        };
        let device = Box::new(device.clone());
        let is_exempt = conn.session.is_exempt();
        let from = (!is_exempt).then(|| Self::source(cx));
        Flow::Offload(self.task(cx, Doing::Open(device, from, Box::new(request)), reply))
    }

    /// Reserves the place of an answer. Pauses reading if no more requests may be in flight.
    fn reserve(&self, cx: &mut Cx<'_>, seq: u16) -> Result<ReplyTo, ReserveError> {
        let id = cx.id();
        let permit = cx.loop_cx().remote().reserve(id.loop_id())?;
        let conn = cx.conn();
        let reply = ReplyTo::new(permit, id, seq, conn.session.format(), conn.asked)
            .with_event(conn.session.answer_is_event());
        if conn.session.must_wait(&self.terms.rules) {
            cx.pause_reading();
        }
        Ok(reply)
    }

    fn task(&self, cx: &mut Cx<'_>, doing: Doing, reply: ReplyTo) -> WorkerTask {
        WorkerTask {
            key: cx.id().as_u64(),
            group: self.group(cx),
            doing,
            reply,
        }
    }

    /// The group in which a connection shares the workers: all connections of the user, or, before the user is known,
    /// of the address. An exempt address may have any number of users, so a connection from it is a group of its own.
    pub(super) fn group(&self, cx: &mut Cx<'_>) -> u64 {
        let conn = cx.conn();
        let who = conn.session.principal().map(|who| who.user);
        let is_exempt = conn.session.is_exempt();
        let groups = &self.shared.groups;
        match (who, (!is_exempt).then(|| Self::source(cx))) {
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
            // Dropping the job refuses the request.
            Err(SubmitError::Stopped(_)) => Flow::Continue,
        }
    }

    fn move_cursors(&self, session: SessionId, moves: Vec<CursorMove>, answer: &Reply, reply: ReplyTo) {
        let lane = &self.shared.lane;
        for moved in moves {
            // The store checks membership in a group; in other conversations the id shows it.
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
                Parked::Task(task) => self.offload(&mut cx, *task),
                Parked::Job(job) => match self.shared.lane.submit(job) {
                    Err(SubmitError::Full(job)) => {
                        cx.conn().parked = Some(Box::new(Parked::Job(job)));
                        self.waiting.push_front(id);
                        return;
                    }
                    Ok(()) | Err(SubmitError::Stopped(_)) => {}
                },
                Parked::Work(seq, work) => {
                    let flow = self.carry_out(&mut cx, seq, *work);
                    if !self.went_on(&mut cx, flow) {
                        return;
                    }
                }
                Parked::Opening(seq, request) => {
                    let flow = self.open(&mut cx, seq, *request);
                    if !self.went_on(&mut cx, flow) {
                        return;
                    }
                }
            }
            self.ask_more(&mut cx);
            self.resume_if_possible(&mut cx);
        }
    }

    /// Carries out a flow as netcore would for a frame that was not parked. False if the request is parked again.
    pub(super) fn went_on(&mut self, cx: &mut Cx<'_>, flow: Flow<Self>) -> bool {
        if cx.conn().parked.is_some() {
            // It is at the end of the queue again.
            return false;
        }
        match flow {
            Flow::Continue => {}
            Flow::Offload(task) => self.offload(cx, task),
            Flow::Close(code) => cx.close(code, CloseHow::Flush),
        }
        true
    }

    /// Submits a query to the workers, or parks it if their queue is full.
    pub(super) fn offload(&mut self, cx: &mut Cx<'_>, task: WorkerTask) {
        match self.shared.workers.try_submit(task) {
            Ok(()) => {}
            Err(refused) => self.park(cx, Parked::Task(Box::new(refused.into_task()))),
        }
    }

    pub(super) fn resume_if_possible(&self, cx: &mut Cx<'_>) {
        let rules = &self.terms.rules;
        let conn = cx.conn();
        let is_busy = conn.session.must_wait(rules) || conn.is_stream_or_calls();
        if conn.parked.is_none() && !is_busy {
            cx.resume_reading();
        }
    }
}
