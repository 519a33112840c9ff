//! The lane's thread: drain, commit, answer, push.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use protocol::{
    Command, Refusal, Reply,
    v1::{self, ErrorClass, ErrorCode, GoAwayReason},
};
use storage::{
    Appended, CommitError, DevicePolicy, NewSession, Outcome, Position, Refused, Session, SessionCreated,
    SessionId, Snapshot, User, Write, Writer,
};

use super::{
    cursors::LazyWrites,
    job::{Job, NewLogin, NewSessionMade, Then},
};
use crate::{
    clock,
    delivery::{Delivery, Outboxes, Planner, Routes},
    gateway::Established,
    reply::{Authenticated, Effect, ReplyTo},
    service::wire,
    token::{self, SessionToken},
};

/// How long a cursor waits for company before it is written.
const LAZY_DELAY: Duration = Duration::from_millis(50);

/// Everything a lane works with.
#[derive(Debug)]
pub struct LaneParts {
    /// Pushes.
    pub planner: Planner,
    /// Where pushes go.
    pub outboxes: Arc<Outboxes>,
    /// Whose connections a revocation ends.
    pub routes: Arc<Routes>,
    /// Cursors.
    pub lazy: Arc<LazyWrites>,
    /// How many sessions a user may have.
    pub policy: DevicePolicy,
    /// The store's epoch.
    pub epoch: u64,
    /// Writes in one transaction, at most.
    pub batch_max: usize,
    /// Hears why the process must end.
    pub fatal: Sender<String>,
}

enum Order {
    Job(Box<Job>),
    /// Cursors wait.
    Lazy,
}

/// The end of the lane that others hold. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LaneHandle {
    orders: Sender<Order>,
    lazy: Arc<LazyWrites>,
}

/// A job that was not taken; here it is back.
#[derive(Debug)]
pub enum SubmitError {
    /// The queue is full: try again when there is room.
    Full(Box<Job>),
    /// The lane has ended.
    Stopped(Box<Job>),
}

impl LaneHandle {
    /// Queues a job. Never blocks.
    ///
    /// # Errors
    /// Gives the job back.
    pub fn submit(&self, job: Box<Job>) -> Result<(), SubmitError> {
        self.orders.try_send(Order::Job(job)).map_err(|error| {
            let full = error.is_full();
            match (error.into_inner(), full) {
                (Order::Job(job), true) => SubmitError::Full(job),
                (Order::Job(job), false) => SubmitError::Stopped(job),
                (Order::Lazy, _) => unreachable!("a job was sent"),
            }
        })
    }

    /// What is written lazily.
    pub fn lazy(&self) -> &LazyWrites {
        &self.lazy
    }

    /// Tells the lane that something lazy waits. A full queue needs no telling: the lane looks after every
    /// batch.
    pub fn wake_lazy(&self) {
        if let Err(TrySendError::Disconnected(_)) = self.orders.try_send(Order::Lazy) {
            log::debug!("cursors came after the lane had ended");
        }
    }
}

/// The lane's thread, to be joined.
#[derive(Debug)]
pub struct Lane {
    thread: JoinHandle<()>,
}

impl Lane {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        writer: Box<dyn Writer>,
        parts: LaneParts,
        queue_max: usize,
    ) -> std::io::Result<(Self, LaneHandle)> {
        let (orders, receiver) = bounded(queue_max);
        let handle = LaneHandle {
            orders,
            lazy: Arc::clone(&parts.lazy),
        };
        let thread = std::thread::Builder::new()
            .name("lane".to_owned())
            .spawn(move || {
                let running = Running {
                    writer,
                    parts,
                    followed: Vec::new(),
                    failing_since: None,
                };
                if catch_unwind(AssertUnwindSafe(|| running.run(&receiver))).is_err() {
                    // What the store holds is unknown, and acknowledging further would be a guess.
                    log::error!("the lane panicked; ending the process");
                    std::process::abort();
                }
            })?;
        Ok((Self { thread }, handle))
    }

    /// Waits until every handle is gone, everything queued is committed and the writer is closed.
    pub fn join(self) {
        if self.thread.join().is_err() {
            log::error!("the lane's thread could not be joined");
        }
    }
}

struct Running {
    writer: Box<dyn Writer>,
    parts: LaneParts,
    /// Jobs that came out of the last batch; they go into the next one.
    followed: Vec<Job>,
    failing_since: Option<Instant>,
}

impl Running {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut lazy_due: Option<Instant> = None;
        loop {
            let mut jobs = std::mem::take(&mut self.followed);
            if jobs.is_empty() {
                match next(orders, lazy_due) {
                    Next::Order(Order::Job(job)) => jobs.push(*job),
                    Next::Order(Order::Lazy) => {}
                    Next::LazyDue => {}
                    Next::Ended => break,
                }
            }
            while jobs.len() < self.parts.batch_max
                && let Ok(order) = orders.try_recv()
            {
                if let Order::Job(job) = order {
                    jobs.push(*job);
                }
            }
            if lazy_due.is_none() && !self.parts.lazy.is_empty() {
                lazy_due = Some(Instant::now() + LAZY_DELAY);
            }
            if lazy_due.is_some_and(|due| due <= Instant::now()) {
                self.take_lazy(&mut jobs);
                lazy_due = (!self.parts.lazy.is_empty()).then(Instant::now);
            }
            if !jobs.is_empty() && !self.batch(jobs) {
                return;
            }
        }
        self.flush();
    }

    /// Everything lazy, at the end.
    fn flush(&mut self) {
        while !self.parts.lazy.is_empty() {
            let mut jobs = Vec::new();
            self.take_lazy(&mut jobs);
            if !self.batch(jobs) {
                return;
            }
        }
    }

    fn take_lazy(&self, jobs: &mut Vec<Job>) {
        jobs.extend(self.parts.lazy.take().into_iter().map(|write| Job {
            write,
            then: Then::Nothing,
        }));
    }

    /// Commits a batch. False when the lane must end.
    fn batch(&mut self, jobs: Vec<Job>) -> bool {
        let (writes, thens): (Vec<Write>, Vec<Then>) =
            jobs.into_iter().map(|job| (job.write, job.then)).unzip();
        match self.writer.commit(&writes) {
            Ok(results) => {
                self.recovered();
                self.committed(results, thens);
                true
            }
            Err(CommitError::NotApplied { reason, full }) => {
                self.failing(&reason);
                // Nothing is known of earlier attempts under the same client ids, hence RETRY.
                let refusal = if full {
                    Refusal::new(ErrorCode::ResourceExhausted, "the store is full")
                } else {
                    Refusal::new(ErrorCode::Unavailable, "the store did not take it")
                };
                refuse_all(thens, &refusal.with_class(ErrorClass::Retry));
                true
            }
            Err(CommitError::Unknown(reason)) => {
                self.failing(&reason);
                let refusal = Refusal::new(ErrorCode::Unavailable, "the store did not answer")
                    .with_class(ErrorClass::UnknownOutcome);
                refuse_all(thens, &refusal);
                true
            }
            Err(CommitError::Fatal(reason)) => {
                log::error!("the store failed: {reason}");
                let refusal = Refusal::new(ErrorCode::Unavailable, "the store failed")
                    .with_class(ErrorClass::UnknownOutcome);
                refuse_all(thens, &refusal);
                let _ = self.parts.fatal.try_send(reason);
                false
            }
        }
    }

    fn failing(&mut self, reason: &str) {
        if self.failing_since.is_none() {
            self.failing_since = Some(Instant::now());
            log::error!("a batch was not committed: {reason}");
        }
    }

    fn recovered(&mut self) {
        if let Some(since) = self.failing_since.take() {
            log::warn!(
                "the store takes writes again after {} ms",
                since.elapsed().as_millis()
            );
        }
    }

    /// Answers first, pushes second; both only after the commit.
    fn committed(&mut self, results: Vec<Result<Outcome, Refused>>, thens: Vec<Then>) {
        let mut effects = Vec::new();
        for (result, then) in results.into_iter().zip(thens) {
            match result {
                Ok(outcome) => self.succeeded(outcome, then, &mut effects),
                Err(refused) => refuse(then, &wire::refused(refused)),
            }
        }
        self.push(effects);
    }

    fn succeeded(&mut self, outcome: Outcome, then: Then, effects: &mut Vec<Outcome>) {
        match (outcome, then) {
            (Outcome::Appended(appended), Then::Sent(command, reply)) => {
                reply.ok(&sent(command, &appended, self.parts.epoch));
                if !appended.duplicate {
                    effects.push(Outcome::Appended(appended));
                }
            }
            (outcome @ Outcome::Cursors(..), _) => effects.push(outcome),
            (Outcome::User(user), Then::Profile(reply)) => {
                reply.ok(&Reply::UpdateProfile(v1::UpdateProfileResponse {
                    user: Some(wire::user(&user)),
                }));
            }
            (Outcome::User(user), Then::Registered(login)) => self.follow_with_session(*login, user),
            (Outcome::Session(created), Then::LoggedIn(made)) => self.logged_in(*made, &created),
            (Outcome::Revoked(_), Then::LoggedOut(reply)) => {
                // The loop itself ends the connection, after this answer.
                self.parts.routes.note_revocation();
                reply.ok_and(&Reply::Logout(v1::Empty {}), Effect::LoggedOut);
            }
            (Outcome::Revoked(sessions), Then::OthersLoggedOut(user, reply)) => {
                self.parts.routes.revoke(user, &sessions, GoAwayReason::Revoked);
                let count = u32::try_from(sessions.len()).unwrap_or(u32::MAX);
                reply.ok(&Reply::LogoutOthers(v1::LogoutOthersResponse { sessions: count }));
            }
            (_, Then::Nothing) => {}
            // The reply in `then` tells its client that the server failed. Neither is printed: an outcome may
            // hold what someone wrote.
            _ => log::error!("the store answered a write with another one's outcome"),
        }
    }

    fn follow_with_session(&mut self, login: NewLogin, user: User) {
        match new_session_job(login, user, self.parts.policy) {
            Ok(job) => self.followed.push(job),
            Err((reply, refusal)) => reply.refuse_and(&refusal, Effect::NotAuthenticated),
        }
    }

    fn logged_in(&self, made: NewSessionMade, created: &SessionCreated) {
        let replaced: Vec<SessionId> = created.replaced.into_iter().collect();
        self.parts
            .routes
            .revoke(made.user.id, &replaced, GoAwayReason::Replaced);
        self.parts
            .routes
            .revoke(made.user.id, &created.displaced, GoAwayReason::Displaced);
        let token_hash = made.token.hash();
        made.reply.authenticated(Authenticated {
            established: Established {
                user: made.user.id,
                session: made.session,
            },
            user: made.user,
            token_hash,
            // Every revocation comes from this thread: none can fall between the commit and here.
            checked_at: self.parts.routes.revocations(),
            token: Some(made.token.into_text()),
        });
    }

    fn push(&mut self, effects: Vec<Outcome>) {
        let positions = effects.iter().map(position).filter(|position| position.0 > 0);
        let Some(last) = positions.max() else { return };
        let mut deliveries = self.parts.planner.empty(Some(&Snapshot::at(last)));
        let now = clock::wall();
        for effect in &effects {
            if let Err(error) = self.plan(effect, now, &mut deliveries) {
                log::error!("members could not be read, sessions will pull: {error}");
                self.parts.outboxes.miss_all();
            }
        }
        self.parts.outboxes.post(deliveries);
    }

    fn plan(
        &mut self,
        effect: &Outcome,
        now: storage::Timestamp,
        deliveries: &mut [Delivery],
    ) -> Result<(), storage::ReadError> {
        match effect {
            Outcome::Appended(appended) => self.parts.planner.event(&appended.event, now, deliveries),
            Outcome::Cursors(moves, _) => self.parts.planner.cursors(moves, deliveries),
            _ => Ok(()),
        }
    }
}

/// Makes the session of a login whose password was right or whose account is new.
///
/// # Errors
/// The system has no randomness; here is whom to tell.
pub fn new_session_job(login: NewLogin, user: User, policy: DevicePolicy) -> Result<Job, (ReplyTo, Refusal)> {
    let (token, id) =
        match SessionToken::generate().and_then(|token| Ok((token, token::random_session_id()?))) {
            Ok(made) => made,
            Err(error) => {
                log::error!("{error}");
                return Err((login.reply, Refusal::new(ErrorCode::Unavailable, "no randomness")));
            }
        };
    let at = clock::wall();
    let session = Session {
        id,
        user: user.id,
        device_id: login.device.device_id.clone(),
        class: wire::device_class(login.device.class()),
        device_name: login.device.name.clone(),
        created_at: at,
        last_seen_at: at,
    };
    let write = Write::CreateSession(NewSession {
        session,
        token_hash: token.hash(),
        policy,
    });
    let made = NewSessionMade {
        reply: login.reply,
        user,
        session: id,
        token,
    };
    Ok(Job {
        write,
        then: Then::LoggedIn(Box::new(made)),
    })
}

enum Next {
    Order(Order),
    LazyDue,
    Ended,
}

fn next(orders: &Receiver<Order>, lazy_due: Option<Instant>) -> Next {
    match lazy_due {
        None => orders.recv().map_or(Next::Ended, Next::Order),
        Some(due) => match orders.recv_deadline(due) {
            Ok(order) => Next::Order(order),
            Err(RecvTimeoutError::Timeout) => Next::LazyDue,
            Err(RecvTimeoutError::Disconnected) => Next::Ended,
        },
    }
}

fn position(effect: &Outcome) -> Position {
    match effect {
        Outcome::Appended(appended) => appended.event.position,
        Outcome::Cursors(_, position) => *position,
        _ => Position(0),
    }
}

fn sent(command: Command, appended: &Appended, epoch: u64) -> Reply {
    let event = &appended.event;
    let response = v1::SendResponse {
        conversation_id: event.conversation.0,
        epoch,
        seq: event.seq.0,
        ordinal: event.ordinal,
        sent_at_ms: event.at.0,
        duplicate: appended.duplicate,
    };
    match command {
        Command::CreateGroup => Reply::CreateGroup(response),
        Command::AddMembers => Reply::AddMembers(response),
        Command::RemoveMember => Reply::RemoveMember(response),
        Command::LeaveGroup => Reply::LeaveGroup(response),
        Command::SetRole => Reply::SetRole(response),
        Command::RenameGroup => Reply::RenameGroup(response),
        Command::DisbandGroup => Reply::DisbandGroup(response),
        _ => Reply::Send(response),
    }
}

fn refuse_all(thens: Vec<Then>, refusal: &Refusal) {
    for then in thens {
        refuse(then, refusal);
    }
}

fn refuse(then: Then, refusal: &Refusal) {
    match then {
        Then::Sent(_, reply)
        | Then::Profile(reply)
        | Then::LoggedOut(reply)
        | Then::OthersLoggedOut(_, reply) => reply.refuse(refusal),
        Then::Registered(login) => login.reply.refuse_and(refusal, Effect::NotAuthenticated),
        Then::LoggedIn(made) => made.reply.refuse_and(refusal, Effect::NotAuthenticated),
        Then::Nothing => {}
    }
}
