//! The workers: they read the store for questions and for logins, in order per connection, and carry out what the
//! services answer. A service decides; everything that waits, tells or is told is here.

use std::{net::IpAddr, sync::Arc};

use netcore::{ConnId, Task};
use protocol::{
    Refusal, Request,
    v1::{Device, ErrorClass, ErrorCode},
};
use storage::{ReadError, Reader, Store, TokenHash};

use super::{
    Context,
    hashing::{HashJob, HasherHandle},
    login::{self, Opening},
    work::{Answer, Ask, Asking, Body, Failure, PageLimits, Relay},
};
use crate::{
    clock,
    delivery::{Outboxes, planner},
    lane::{self, Completion, Job, LaneHandle, Pending, SubmitError},
    log_throttle::LogThrottle,
    message::Effect,
    metrics::Metrics,
    reply::ReplyTo,
};

/// While a store is down, every question fails.
pub(crate) static UNANSWERED: LogThrottle = LogThrottle::new("the store did not answer");

/// A store that prints nothing of itself.
pub(crate) struct SharedStore(pub Arc<dyn Store>);

impl std::ops::Deref for SharedStore {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl std::fmt::Debug for SharedStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SharedStore(…)")
    }
}

/// What every worker shares.
#[derive(Debug)]
pub(crate) struct WorkerContext {
    /// What services know beside the store.
    pub service: Context,
    /// The store itself, for what ends its past.
    pub store: SharedStore,
    /// The way to the loops for what is not stored.
    pub outboxes: Arc<Outboxes>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The way to the writer.
    pub lane: LaneHandle,
    /// Passwords.
    pub hasher: HasherHandle,
}

/// One worker's own state.
pub(crate) struct Worker {
    /// Shared.
    pub context: Arc<WorkerContext>,
    /// Its end of the store.
    pub reader: Box<dyn Reader>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Worker").finish_non_exhaustive()
    }
}

/// What is to be done, and for whom.
#[derive(Debug)]
pub(crate) enum Doing {
    /// A device that said hello wants to be authenticated, from this address unless that is exempt from rates.
    Open(Box<Device>, Option<IpAddr>, Box<Request>),
    /// A session was checked, but some session was revoked meanwhile: the token's hash and, after a register
    /// or login, the token to tell.
    Recheck(TokenHash, Option<String>),
    /// An authenticated session asks.
    Ask(Ask, Manner),
    /// An authenticated session tells others something that is not stored.
    Relay(Ask),
}

/// How a question is to be answered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// Memory is short: the answer is to be.
    pub is_frugal: bool,
    /// The device has what the store does not have.
    pub starts_over: bool,
}

/// A task of the workers.
#[derive(Debug)]
pub(crate) struct WorkerTask {
    /// Tasks of one key are done in order.
    pub key: u64,
    /// Those of one group share the workers.
    pub group: u64,
    /// What.
    pub doing: Doing,
    /// Whom to answer.
    pub reply: ReplyTo,
}

impl Task for WorkerTask {
    type Worker = Worker;

    fn key(&self) -> u64 {
        self.key
    }

    fn group(&self) -> u64 {
        self.group
    }

    fn is_forgettable(&self) -> bool {
        match &self.doing {
            Doing::Ask(..) | Doing::Recheck(..) => true,
            Doing::Relay(_) => false,
            Doing::Open(_, _, request) => matches!(**request, Request::Hello(_)),
        }
    }

    fn run(self, worker: &mut Worker) {
        match self.doing {
            Doing::Open(device, from, request) => {
                let opening = login::open(&mut asking(worker, Manner::default()), *device, from, *request);
                open(&worker.context, opening, self.reply);
            }
            Doing::Recheck(token_hash, token) => {
                let opening = login::resume(&mut asking(worker, Manner::default()), token_hash, token);
                open(&worker.context, opening, self.reply);
            }
            Doing::Ask(ask, manner) => answer(worker, ask, manner, self.reply),
            Doing::Relay(ask) => answer(worker, ask, Manner::default(), self.reply),
        }
    }
}

fn asking(worker: &mut Worker, manner: Manner) -> Asking<'_> {
    let context = &worker.context.service;
    let page = PageLimits::whole(&context.config.limits);
    Asking {
        reader: &mut *worker.reader,
        context,
        page: if manner.is_frugal { page.frugal() } else { page },
        now: clock::wall(),
        starts_over: manner.starts_over,
    }
}

fn answer(worker: &mut Worker, ask: Ask, manner: Manner, reply: ReplyTo) {
    let answered = (ask.question)(&mut asking(worker, manner));
    let Answer { body, effect, relay } = match answered {
        Ok(answer) => answer,
        Err(failure) => return refuse(&worker.context, failure, reply, None),
    };
    let asker = reply.conn();
    match body {
        Body::Reply(answer) => reply.ok_and(&answer, effect),
        Body::History(page) => reply.history(page),
        Body::Watching(watching) => worker.context.service.presence.watch(watching, reply),
    }
    // After the answer, whose time would tell how many are online.
    if let Some(relay) = relay {
        pass_on(&worker.context, &relay, asker);
    }
}

/// Tells those who are online what is not stored, but for the connection that it is from.
fn pass_on(context: &WorkerContext, relay: &Relay, asker: ConnId) {
    let service = &context.service;
    service.cluster.transient(&relay.members, &relay.push);
    let members = relay.members.iter().copied();
    let loops = context.outboxes.loops();
    let deliveries = planner::transient(&service.routes, loops, members, Some(asker), &relay.push);
    context.outboxes.post_transient(deliveries);
}

/// Carries out what a device that wants to be authenticated comes to.
fn open(context: &Arc<WorkerContext>, opening: Result<Opening, Failure>, reply: ReplyTo) {
    match opening {
        Ok(Opening::Resumed(authenticated)) => reply.authenticated(authenticated),
        Ok(Opening::Hash(hashing)) => {
            let lane = context.lane.clone();
            let then = hashing.then;
            context.hasher.submit(HashJob {
                password: hashing.password,
                what: hashing.what,
                source: hashing.source,
                until: hashing.until,
                then: Box::new(move |hashed| match then(hashed) {
                    Ok(planned) => {
                        let pending = Pending {
                            reply,
                            after: planned.after,
                            is_opening: true,
                        };
                        let then = Completion::Write(Box::new(pending));
                        submit(
                            &lane,
                            Job {
                                write: planned.write,
                                then,
                            },
                        );
                    }
                    Err(refusal) => reply.refuse_and(&refusal, Effect::NotAuthenticated),
                }),
            });
        }
        Err(failure) => refuse(context, failure, reply, Some(Effect::NotAuthenticated)),
    }
}

fn submit(lane: &LaneHandle, job: Job) {
    if let Err(SubmitError::Full(job) | SubmitError::Stopped(job)) = lane.submit(Box::new(job)) {
        let refusal = Refusal::new(ErrorCode::Overloaded, "too many writes wait");
        job.then.refuse(&refusal);
    }
}

/// Tells the client of a failure. What that does to its session is `instead`, or else what the failure says.
fn refuse(context: &WorkerContext, failure: Failure, reply: ReplyTo, instead: Option<Effect>) {
    let (refusal, effect) = match failure {
        Failure::Refused(refusal) => (refusal, Effect::None),
        Failure::RefusedAnd(refusal, effect) => (refusal, *effect),
        Failure::Store(error) => {
            context.metrics.tasks.questions_failed.add_shared(1);
            let effect = instead.unwrap_or(Effect::None);
            return reply.refuse_saying(&unavailable(&error), effect, |id| {
                UNANSWERED.failed(&format_args!("{error} (request {id})"));
            });
        }
        Failure::LostTail => {
            let why = "a device was told of commits that the store does not have";
            if let Err(error) = context.store.begin_past(why) {
                log::error!("a new epoch could not be begun: {error}");
            }
            let refusal = Refusal::new(ErrorCode::Unavailable, "the server starts over");
            (refusal.with_class(ErrorClass::Retry), Effect::None)
        }
    };
    reply.refuse_and(&refusal, instead.unwrap_or(effect));
}

/// The store did not answer. Where it never will, the refusal says nothing of later: the process ends, and the next one
/// says what is the matter.
fn unavailable(error: &ReadError) -> Refusal {
    match error {
        ReadError::Failed { retry_after, .. } => {
            let refusal = Refusal::new(ErrorCode::Unavailable, "the store did not answer");
            lane::not_before(refusal, *retry_after)
        }
        ReadError::Fatal(_) => Refusal::new(ErrorCode::Internal, "the store cannot be relied upon any more"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_asks_a_store_that_is_away_is_told_when_to_come_back() {
        let away = |retry_after| ReadError::Failed {
            reason: storage::Cause::text("nobody there"),
            retry_after,
        };
        let usual = unavailable(&away(None)).0.retry_after_ms;
        for (wait_ms, told_ms) in [(700, 700), (1, 100)] {
            let refusal = unavailable(&away(Some(Duration::from_millis(wait_ms))));
            assert_eq!(refusal.code(), ErrorCode::Unavailable);
            assert_eq!(refusal.0.retry_after_ms, told_ms);
            assert_ne!(told_ms, usual);
        }
        let over = unavailable(&ReadError::Fatal(storage::Cause::text("damaged")));
        assert_eq!(over.code(), ErrorCode::Internal);
    }
}
