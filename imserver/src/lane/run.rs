//! A lane's thread: drain, commit, answer, push.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use protocol::{
    Command, Refusal, Reply,
    v1::{self, ErrorClass, ErrorCode, GoAwayReason},
};
use storage::{
    Appended, CommitError, DevicePolicy, NewSession, Outcome, Refused, Revoke, Session, SessionCreated,
    SessionId, Snapshot, User, Write, Writer, cached::ReadCache, ephemeral::Ended,
};

use super::{
    cursors::LazyWrites,
    job::{Job, NewLogin, NewSessionMade, Then},
};
use crate::{
    clock,
    cluster::ClusterHandle,
    delivery::{FollowerHandle, Outboxes, Planner, Routes, follower::position},
    gateway::Established,
    reply::{Authenticated, Effect, ReplyTo},
    service::wire,
    token::{self, SessionToken},
};

/// How long a cursor waits for company before it is written.
const LAZY_DELAY: Duration = Duration::from_millis(50);
/// How long after a failed batch lazy writes are tried again, at first and at most; it doubles.
const LAZY_RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Jobs of one turn that are handed over before it ends, so that a long turn does not keep an idle lane waiting.
const COLLECTED_MAX: usize = 64;

/// How a lane's commits get to the loops.
#[derive(Debug)]
pub enum Deliver {
    /// By the lane itself: it is the only one, so its commits are all there are.
    Here(Box<Planner>),
    /// By the follower, which puts the commits of all lanes and nodes in order.
    Follower(FollowerHandle),
}

/// What all lanes work with.
#[derive(Clone, Debug)]
pub struct LaneParts {
    /// Whose connections a revocation ends.
    pub routes: Arc<Routes>,
    /// Forgets what was changed, before anybody is told so.
    pub cache: Arc<ReadCache>,
    /// Cursors.
    pub lazy: Arc<LazyWrites>,
    /// Other nodes, and what they cache of sessions.
    pub cluster: ClusterHandle,
    /// The loops.
    pub outboxes: Arc<Outboxes>,
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
    /// Each has a place of the lane's queue.
    Jobs(Vec<Job>),
    /// Cursors wait.
    Lazy,
}

/// One lane's queue, as those see it who fill it.
#[derive(Debug)]
struct Queue {
    orders: Sender<Order>,
    places: Arc<Places>,
}

/// Counts the jobs that wait for a lane.
#[derive(Debug)]
struct Places {
    taken: AtomicUsize,
    max: usize,
}

impl Places {
    fn take(&self) -> bool {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        if taken >= self.max {
            self.give_back(1);
        }
        taken < self.max
    }

    fn give_back(&self, count: usize) {
        self.taken.fetch_sub(count, Ordering::Relaxed);
    }
}

/// The end of the lanes that others hold. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LaneHandle {
    /// Never empty.
    lanes: Arc<[Queue]>,
    lazy: Arc<LazyWrites>,
}

/// Jobs of one turn of a loop: a lane that sleeps is woken once for all of them, and commits them together.
#[derive(Debug, Default)]
pub struct Collected {
    /// By lane.
    jobs: Vec<Vec<Job>>,
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
    /// Queues a job, with its conversation's or its user's lane: what concerns one of them is committed in
    /// the order it was submitted. Never blocks.
    ///
    /// # Errors
    /// Gives the job back.
    pub fn submit(&self, job: Box<Job>) -> Result<(), SubmitError> {
        let Some(lane) = self.lanes.get(lane_of(&job.write, self.lanes.len())) else {
            return Err(SubmitError::Stopped(job));
        };
        if !lane.places.take() {
            return Err(SubmitError::Full(job));
        }
        lane.send(vec![*job]);
        Ok(())
    }

    /// Like [`submit`](Self::submit), but the lane hears of it when the jobs are [handed over](Self::hand_over).
    ///
    /// # Errors
    /// Gives the job back.
    pub fn collect(&self, job: Box<Job>, collected: &mut Collected) -> Result<(), SubmitError> {
        let index = lane_of(&job.write, self.lanes.len());
        let Some(lane) = self.lanes.get(index) else {
            return Err(SubmitError::Stopped(job));
        };
        if !lane.places.take() {
            return Err(SubmitError::Full(job));
        }
        if collected.jobs.len() <= index {
            collected.jobs.resize_with(self.lanes.len(), Vec::new);
        }
        if let Some(jobs) = collected.jobs.get_mut(index) {
            jobs.push(*job);
            if jobs.len() >= COLLECTED_MAX {
                lane.send(std::mem::take(jobs));
            }
        }
        Ok(())
    }

    /// Hands the collected jobs to their lanes.
    pub fn hand_over(&self, collected: &mut Collected) {
        for (lane, jobs) in self.lanes.iter().zip(&mut collected.jobs) {
            if !jobs.is_empty() {
                lane.send(std::mem::take(jobs));
            }
        }
    }

    /// What is written lazily.
    pub fn lazy(&self) -> &LazyWrites {
        &self.lazy
    }

    /// Tells the first lane that something lazy waits. A full queue needs no telling: the lane looks after
    /// every batch.
    pub fn wake_lazy(&self) {
        let first = self.lanes.first().map(|lane| lane.orders.try_send(Order::Lazy));
        if let Some(Err(TrySendError::Disconnected(_))) = first {
            log::debug!("cursors came after the lane had ended");
        }
    }
}

impl Queue {
    /// Jobs that have places. Each is in at most one order, so there is room for it. Of a lane that has ended the
    /// replies in the jobs say so.
    fn send(&self, jobs: Vec<Job>) {
        let count = jobs.len();
        match self.orders.try_send(Order::Jobs(jobs)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                log::error!("a lane's queue has fewer places than it gave out");
                self.places.give_back(count);
            }
            Err(TrySendError::Disconnected(_)) => self.places.give_back(count),
        }
    }
}

/// The lane that a write belongs to.
fn lane_of(write: &Write, lanes: usize) -> usize {
    let key = match write {
        Write::Append(append) => append.conversation.0,
        Write::UpdateProfile(change) => change.user.0,
        Write::CreateSession(new) => new.session.user.0,
        Write::RevokeSessions(Revoke::One(user, _) | Revoke::Others(user, _)) => user.0,
        Write::Cursors(_) | Write::CreateUser(_) | Write::TouchSessions(_) => 0,
    };
    // Ids of 1:1 conversations differ in high and in low bits.
    let mixed = (key ^ key >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    (mixed % lanes.max(1) as u64) as usize
}

/// The lanes' threads, to be joined.
#[derive(Debug)]
pub struct Lanes {
    threads: Vec<JoinHandle<()>>,
}

impl Lanes {
    /// Starts one lane for each writer; each has a queue for `queue_max` jobs.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        lanes: Vec<(Box<dyn Writer>, Deliver)>,
        parts: &LaneParts,
        queue_max: usize,
    ) -> std::io::Result<(Self, LaneHandle)> {
        let mut senders = Vec::new();
        let mut threads = Vec::new();
        for (index, (writer, deliver)) in lanes.into_iter().enumerate() {
            // One more for word of lazy writes.
            let (sender, orders) = bounded(queue_max.saturating_add(1));
            let places = Arc::new(Places {
                taken: AtomicUsize::new(0),
                max: queue_max,
            });
            senders.push(Queue {
                orders: sender,
                places: Arc::clone(&places),
            });
            let running = Running {
                writer,
                deliver,
                lazy: (index == 0).then(|| Arc::clone(&parts.lazy)),
                parts: parts.clone(),
                places,
                waiting: VecDeque::new(),
                failing_since: None,
                lazy_retry: LAZY_RETRY.0,
            };
            let thread = std::thread::Builder::new()
                .name(format!("lane-{index}"))
                .spawn(move || {
                    if catch_unwind(AssertUnwindSafe(|| running.run(&orders))).is_err() {
                        // What the store holds is unknown, and acknowledging further would be a guess.
                        log::error!("a lane panicked; ending the process");
                        std::process::abort();
                    }
                })?;
            threads.push(thread);
        }
        let handle = LaneHandle {
            lanes: senders.into(),
            lazy: Arc::clone(&parts.lazy),
        };
        Ok((Self { threads }, handle))
    }

    /// Waits until every handle is gone, everything queued is committed and the writers are closed.
    pub fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                log::error!("a lane's thread could not be joined");
            }
        }
    }
}

struct Running {
    writer: Box<dyn Writer>,
    deliver: Deliver,
    parts: LaneParts,
    /// One lane writes what is lazy.
    lazy: Option<Arc<LazyWrites>>,
    lazy_retry: Duration,
    places: Arc<Places>,
    /// Taken out of the queue, or come out of the last batch: they go into the next one.
    waiting: VecDeque<Job>,
    failing_since: Option<Instant>,
}

impl Running {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut lazy_due: Option<Instant> = None;
        loop {
            if self.waiting.is_empty() {
                match next(orders, lazy_due) {
                    Next::Order(order) => self.take(order),
                    Next::LazyDue => {}
                    Next::Ended => break,
                }
            }
            while self.waiting.len() < self.parts.batch_max
                && let Ok(order) = orders.try_recv()
            {
                self.take(order);
            }
            let count = self.waiting.len().min(self.parts.batch_max);
            let jobs = self.waiting.drain(..count);
            let (mut writes, thens): (Vec<Write>, Vec<Then>) = jobs.map(|job| (job.write, job.then)).unzip();
            if lazy_due.is_none() && self.lazy_waits() {
                lazy_due = Some(Instant::now() + LAZY_DELAY);
            }
            if lazy_due.is_some_and(|due| due <= Instant::now()) {
                writes.extend(self.take_lazy());
                lazy_due = self.lazy_waits().then(Instant::now);
            }
            if writes.is_empty() {
                continue;
            }
            match self.batch(writes, thens) {
                Batch::Committed => self.lazy_retry = LAZY_RETRY.0,
                Batch::Failed if self.lazy_waits() => {
                    lazy_due = Some(Instant::now() + self.lazy_retry);
                    self.lazy_retry = (self.lazy_retry * 2).min(LAZY_RETRY.1);
                }
                Batch::Failed => {}
                Batch::Fatal => return,
            }
        }
        self.flush();
    }

    fn take(&mut self, order: Order) {
        if let Order::Jobs(jobs) = order {
            self.places.give_back(jobs.len());
            self.waiting.extend(jobs);
        }
    }

    /// Everything lazy, at the end; what the store does not take now is lost, and said again by its devices.
    fn flush(&mut self) {
        while self.lazy_waits() {
            let writes = self.take_lazy();
            if !matches!(self.batch(writes, Vec::new()), Batch::Committed) {
                log::warn!("cursors could not be written at the end");
                return;
            }
        }
    }

    fn lazy_waits(&self) -> bool {
        self.lazy.as_ref().is_some_and(|lazy| !lazy.is_empty())
    }

    fn take_lazy(&self) -> Vec<Write> {
        self.lazy.as_ref().map(|lazy| lazy.take()).unwrap_or_default()
    }

    /// What was lazy and is not written waits again.
    fn put_back(&self, writes: Vec<Write>) {
        if let Some(lazy) = &self.lazy {
            writes.into_iter().for_each(|write| lazy.put_back(write));
        }
    }

    /// Commits a batch, and answers the writes that somebody waits for: the first ones, one for each of `thens`.
    fn batch(&mut self, writes: Vec<Write>, mut thens: Vec<Then>) -> Batch {
        thens.resize_with(writes.len(), || Then::Nothing);
        // Read before the commit: whoever ends a session that this batch makes, ends it later.
        let checked_at = self.parts.routes.revocations();
        match self.writer.commit(&writes) {
            Ok(results) => {
                self.recovered();
                self.committed(results, thens, checked_at);
                Batch::Committed
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
                self.put_back(writes);
                Batch::Failed
            }
            Err(CommitError::Unknown(reason)) => {
                self.failing(&reason);
                let refusal = Refusal::new(ErrorCode::Unavailable, "the store did not answer")
                    .with_class(ErrorClass::UnknownOutcome);
                refuse_all(thens, &refusal);
                self.put_back(writes);
                Batch::Failed
            }
            Err(CommitError::Fatal(reason)) => {
                log::error!("the store failed: {reason}");
                let refusal = Refusal::new(ErrorCode::Unavailable, "the store failed")
                    .with_class(ErrorClass::UnknownOutcome);
                refuse_all(thens, &refusal);
                let _ = self.parts.fatal.try_send(reason);
                Batch::Fatal
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
    fn committed(&mut self, results: Vec<Result<Outcome, Refused>>, thens: Vec<Then>, checked_at: u64) {
        if let Deliver::Here(planner) = &mut self.deliver {
            planner.prepare(results.iter().flatten().filter_map(|outcome| match outcome {
                Outcome::Appended(appended) if !appended.duplicate => Some(appended.event.as_ref()),
                _ => None,
            }));
        }
        // A loop is woken once for all of it, and writes an answer and a push to the same connection together.
        let _wakes = self.parts.outboxes.hold_wakes();
        let mut effects = Vec::with_capacity(results.len());
        for (result, then) in results.into_iter().zip(thens) {
            match result {
                Ok(outcome) => self.succeeded(outcome, then, checked_at, &mut effects),
                Err(refused) => refuse(then, &wire::refused(refused)),
            }
        }
        // After the answers: a session that they ended is told nothing any more.
        match &mut self.deliver {
            Deliver::Here(planner) => push(planner, &self.parts.outboxes, &effects),
            Deliver::Follower(follower) => follower.committed(effects),
        }
    }

    fn succeeded(&mut self, outcome: Outcome, then: Then, checked_at: u64, effects: &mut Vec<Outcome>) {
        match (outcome, then) {
            (Outcome::Appended(appended), Then::Sent(command, reply)) => {
                reply.ok(&sent(command, &appended, self.parts.epoch));
                if !appended.duplicate {
                    effects.push(Outcome::Appended(appended));
                }
            }
            (outcome @ Outcome::Cursors(..), _) => effects.push(outcome),
            (Outcome::User(user), Then::Profile(reply)) => {
                self.parts.cache.profile_changed(user.id);
                self.parts.cluster.ended(Ended::User(user.id));
                reply.ok(&Reply::UpdateProfile(v1::UpdateProfileResponse {
                    user: Some(wire::user(&user)),
                }));
            }
            (Outcome::User(user), Then::Registered(login)) => {
                self.parts.cache.account_made(&user.name);
                self.follow_with_session(*login, user);
            }
            (Outcome::Session(created), Then::LoggedIn(made)) => self.logged_in(*made, &created, checked_at),
            (Outcome::Revoked(sessions), Then::LoggedOut(reply)) => {
                self.forget_sessions(&sessions);
                // The loop itself ends the connection, after this answer.
                self.parts.routes.note_revocation(&sessions);
                reply.ok_and(&Reply::Logout(v1::Empty {}), Effect::LoggedOut);
            }
            (Outcome::Revoked(sessions), Then::OthersLoggedOut(user, reply)) => {
                self.forget_sessions(&sessions);
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
            Ok(job) => self.waiting.push_front(job),
            Err((reply, refusal)) => reply.refuse_and(&refusal, Effect::NotAuthenticated),
        }
    }

    fn forget_sessions(&self, sessions: &[SessionId]) {
        for session in sessions {
            self.parts.cluster.ended(Ended::Session(*session));
        }
    }

    fn logged_in(&self, made: NewSessionMade, created: &SessionCreated, checked_at: u64) {
        let replaced: Vec<SessionId> = created.replaced.into_iter().collect();
        self.parts
            .routes
            .revoke(made.user.id, &replaced, GoAwayReason::Replaced);
        self.parts
            .routes
            .revoke(made.user.id, &created.displaced, GoAwayReason::Displaced);
        self.forget_sessions(&replaced);
        self.forget_sessions(&created.displaced);
        let token_hash = made.token.hash();
        self.parts.cluster.ended(Ended::Token(token_hash.0));
        made.reply.authenticated(Authenticated {
            established: Established {
                user: made.user.id,
                session: made.session,
            },
            user: made.user,
            token_hash,
            // With a single lane every revocation comes from this thread, so none can fall between the commit
            // and here; other lanes and nodes may have been quicker, and then the session is looked up again.
            checked_at: match self.deliver {
                Deliver::Here(..) => self.parts.routes.revocations(),
                Deliver::Follower(_) => checked_at,
            },
            token: Some(made.token.into_text()),
        });
    }
}

/// How a batch ended.
enum Batch {
    Committed,
    /// The store did not take it; it may take the next.
    Failed,
    /// The lane must end.
    Fatal,
}

fn push(planner: &mut Planner, outboxes: &Outboxes, effects: &[Outcome]) {
    let positions = effects.iter().map(position).filter(|position| position.0 > 0);
    let Some(last) = positions.max() else { return };
    let mut deliveries = planner.empty(Some(&Snapshot::at(last)), effects.len());
    let now = clock::wall();
    for effect in effects {
        let planned = match effect {
            Outcome::Appended(appended) => planner.event(&appended.event, now, &mut deliveries),
            Outcome::Cursors(moves, _) => planner.cursors(moves, &mut deliveries),
            _ => Ok(()),
        };
        if let Err(error) = planned {
            log::error!("members could not be read, sessions will pull: {error}");
            outboxes.miss_all();
        }
    }
    outboxes.post(deliveries);
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
