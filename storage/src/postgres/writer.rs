//! The commit: a batch as one transaction, and what is known about it after a failure. It keeps nothing of the database
//! in memory, so a failed batch leaves nothing to forget; and it never acknowledges a commit that the server has not
//! confirmed.
//!
//! **Proof.** A request without an answer is clarified on a new connection, after that was compared with the memory of
//! the store. Messages are sent again. Any other batch leaves a random number in the writer's own row: only its own
//! transaction can have written that, and as long as that transaction is open no other can read the row for an update.
//! The number of a transaction would prove nothing: after a crash the server gives it to another one.
//!
//! The write breaker (`outage.rs`) stands before every exchange with the server. While it is open, a batch is refused
//! at once, and a batch whose outcome is in doubt waits for it, until its deadline.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    batch::{self, Answers, Mark},
    connections::{Connector, Kept},
    failure::{Failure, Known, Uncommitted},
    held::{self, Held},
    messages, outage,
    past::{self, Answered, Life, Node},
    plan::Plan,
    row::get,
    session::Session,
};
use crate::{
    error::{CommitError, Refused},
    fate::Doom,
    snapshot::Snapshot,
    types::{ConversationId, Position},
    write::{Outcome, Rules, Write, Writer},
};
use pool::shared_breaker::{Cause, SharedBreaker};

/// How often a batch is tried that lost against another transaction, or whose connection was lost before it was sent.
const ATTEMPTS_MAX: u32 = 4;
/// The pause before the second attempt, at most; doubled for each one after it …
const BACK_OFF_FIRST: Duration = Duration::from_millis(5);
/// … up to this.
const BACK_OFF_LONGEST: Duration = Duration::from_millis(100);
/// The pause between two attempts to find out the outcome of a commit.
const RESOLVE_PAUSE: Duration = Duration::from_millis(20);
/// The events of a batch fit into the lowest bits of a position: four for each write.
const WRITES_MAX: usize = 1 << (Snapshot::COMMIT_BITS - 2);

pub(super) struct PostgresWriter {
    kept: Kept,
    node: Arc<Node>,
    /// The id of its row.
    id: i64,
    gate: Arc<SharedBreaker>,
    rules: Rules,
    deadline: Duration,
    /// The newest position that this writer assigned.
    newest: Position,
    held: Held,
}

/// Why an attempt gave no answers.
enum Trouble {
    /// Nothing of it is stored.
    Nothing(Failure),
    /// The batch of messages was sent; repeating it finds out.
    Sent(Failure),
    /// The COMMIT of the batch with this mark was sent. These are the answers if it succeeded.
    Committing(Failure, Mark, Answers),
    /// It is stored here, and perhaps nowhere else.
    Unreplicated,
}

/// Why a batch was not committed.
enum Failed {
    /// Nothing of it is stored: another transaction held a lock for too long.
    Held(Failure),
    Otherwise(CommitError),
}

impl Failed {
    fn into_error(self) -> CommitError {
        match self {
            Self::Held(failure) => failure.not_applied(),
            Self::Otherwise(error) => error,
        }
    }
}

impl From<CommitError> for Failed {
    fn from(error: CommitError) -> Self {
        Self::Otherwise(error)
    }
}

impl Writer for PostgresWriter {
    fn commit(&mut self, writes: &[Write]) -> Result<Answers, CommitError> {
        if let Some(doom) = self.node.fate.reason() {
            return Err(CommitError::Fatal(doom.clone().into()));
        }
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        if writes.len() > WRITES_MAX {
            return Err(CommitError::NotApplied {
                reason: Uncommitted::TooMany(writes.len()).into(),
                full: false,
                retry_after: None,
            });
        }
        let result = self.commit_what_is_free(writes);
        match &result {
            Ok(answers) => self.newest = self.newest.max(newest_of(answers)),
            Err(CommitError::Fatal(reason)) => {
                self.node.fate.doom(Doom::of(reason));
            }
            Err(_) => {}
        }
        match self.node.fate.reason() {
            // Another connection found it out meanwhile.
            Some(doom) => Err(CommitError::Fatal(doom.clone().into())),
            None => result,
        }
    }

    fn batch_size(&self, most: usize) -> usize {
        outage::share_of(most, self.gate.share(Instant::now()))
    }
}

impl PostgresWriter {
    pub(super) fn new(
        connector: Arc<Connector>,
        gate: Arc<SharedBreaker>,
        rules: Rules,
        deadline: Duration,
    ) -> Result<Self, Failure> {
        Ok(Self {
            node: Arc::clone(connector.node()),
            kept: Kept::new(connector),
            id: past::random()?,
            gate,
            rules,
            deadline,
            newest: Position(0),
            held: Held::default(),
        })
    }

    /// Makes the first connection and the row, so that a new writer has had both.
    pub(super) fn connect(&mut self) -> Result<(), Failure> {
        let id = self.id;
        self.kept.get(0).and_then(|session| make_row(session, id))
    }

    /// Uses the connection, if the breaker allows it, and reports the result. `again`: not the first attempt of this
    /// batch.
    fn ask<T>(
        &mut self,
        again: bool,
        exchange: impl FnOnce(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let pass = self.gate.enter(Instant::now()).map_err(Failure::LeftAlone)?;
        let result = self.kept.get(pass.openings()).and_then(exchange);
        let failure = result.as_ref().err();
        let reached = failure.map_or(Some(true), |failure| failure.reached(again || pass.is_probe()));
        let why = failure.map(|failure| Cause::Silence(failure));
        self.gate.leave(pass, Instant::now(), reached, why);
        result
    }

    /// Commits a batch; if other transactions hold some of its conversations, commits the rest of it.
    fn commit_what_is_free(&mut self, writes: &[Write]) -> Result<Answers, CommitError> {
        let suspected = self.held.among(writes);
        if suspected.is_empty() {
            match self.commit_batch(writes) {
                Err(Failed::Held(failure)) => {
                    self.look_for_held(&held::appended_to(writes));
                    if !writes.iter().any(|write| self.held.knows(write)) {
                        return Err(failure.not_applied());
                    }
                }
                other => return other.map_err(Failed::into_error),
            }
        } else {
            self.look_for_held(&suspected);
        }
        let busy: Vec<bool> = writes.iter().map(|write| self.held.knows(write)).collect();
        let free = writes.iter().zip(&busy).filter(|(_, busy)| !**busy);
        let free: Vec<Write> = free.map(|(write, _)| write.clone()).collect();
        let mut answers = if free.is_empty() {
            Vec::new()
        } else {
            self.commit_batch(&free).map_err(Failed::into_error)?
        }
        .into_iter();
        let answer = |busy: &bool| {
            if *busy {
                return Some(Err(Refused::Busy));
            }
            answers.next()
        };
        Ok(busy.iter().filter_map(answer).collect())
    }

    /// Finds out which of these conversations are held. If that query fails, the batch will find out.
    fn look_for_held(&mut self, among: &[ConversationId]) {
        match self.ask(true, |session| held::find(session, among)) {
            Ok(held) => {
                if !held.is_empty() {
                    log::warn!(
                        "{} conversations are locked by other PostgreSQL transactions; what is sent there is refused \
                         meanwhile",
                        held.len()
                    );
                }
                self.held.note(among, held);
            }
            Err(failure) => {
                self.kept.recover(&failure);
                self.held.note(among, Vec::new());
            }
        }
    }

    fn commit_batch(&mut self, writes: &[Write]) -> Result<Answers, Failed> {
        let plan = Plan::of(writes);
        let until = Instant::now() + self.deadline;
        let mut attempt = 1;
        loop {
            let trouble = match self.attempt(writes, &plan, attempt > 1) {
                Ok(answers) => return Ok(answers),
                Err(trouble) => trouble,
            };
            match trouble {
                Trouble::Nothing(failure) => {
                    self.kept.recover(&failure);
                    if failure.is_held() {
                        return Err(Failed::Held(failure));
                    }
                    let again = matches!(failure.known(), Known::Again | Known::Lost);
                    if !again || attempt >= ATTEMPTS_MAX || Instant::now() >= until {
                        return Err(failure.not_applied().into());
                    }
                    back_off(attempt);
                    attempt += 1;
                }
                Trouble::Sent(failure) => {
                    self.kept.recover(&failure);
                    return Ok(self.repeat(writes, &plan, failure, until)?);
                }
                Trouble::Committing(failure, mark, answers) => {
                    self.kept.recover(&failure);
                    return Ok(self.inquire(mark, answers, failure, until)?);
                }
                Trouble::Unreplicated => {
                    self.kept.recover(&Failure::Unreplicated);
                    return Err(CommitError::Unknown(Failure::Unreplicated.into()).into());
                }
            }
        }
    }

    fn attempt(&mut self, writes: &[Write], plan: &Plan, again: bool) -> Result<Answers, Trouble> {
        if plan.others.is_empty() {
            self.attempt_messages(writes, plan, again)
        } else {
            self.attempt_batch(writes, plan, again)
        }
    }

    fn attempt_messages(&mut self, writes: &[Write], plan: &Plan, again: bool) -> Result<Answers, Trouble> {
        let answered = self.ask(again, |session| {
            let answers = messages::append(session, writes, plan)?;
            Ok((in_order(answers), session.life()))
        });
        if self.kept.is_unreplicated() {
            return Err(Trouble::Unreplicated);
        }
        match answered {
            Ok((answers, life)) if self.note(life, &answers, None) => Ok(answers),
            Ok(_) => Err(Trouble::Sent(Failure::Outdated)),
            Err(failure) if failure.known() == Known::Lost => Err(Trouble::Sent(failure)),
            Err(failure) => Err(Trouble::Nothing(failure)),
        }
    }

    fn attempt_batch(&mut self, writes: &[Write], plan: &Plan, again: bool) -> Result<Answers, Trouble> {
        let (rules, id) = (self.rules, self.id);
        let batch = past::random().map_err(Trouble::Nothing)?;
        let mark = Mark { writer: id, batch };
        self.node.commits(id, batch);
        // The result once the COMMIT is sent; if its answer is lost, it is asked for.
        let mut sent = None;
        let committed = self.ask(again, |session| {
            make_row(session, id)?;
            let answers = batch::run(session, rules, writes, plan, mark).inspect_err(|failure| {
                session.has_row &= !matches!(failure, Failure::NoRow);
            })?;
            if answers.iter().all(wrote_nothing) {
                // Nothing was written, so nothing can be missed.
                session.roll_back()?;
                return Ok((Some(answers), session.life()));
            }
            sent = Some(answers);
            session.commit()?;
            Ok((None, session.life()))
        });
        if sent.is_some() && self.kept.is_unreplicated() {
            return Err(Trouble::Unreplicated);
        }
        match (committed, sent) {
            (Ok((_, life)), Some(answers)) => {
                if self.note(life, &answers, Some(batch)) {
                    Ok(answers)
                } else {
                    Err(Trouble::Committing(Failure::Outdated, mark, answers))
                }
            }
            (Err(failure), Some(answers)) if failure.known() == Known::Lost => {
                Err(Trouble::Committing(failure, mark, answers))
            }
            (Ok((refused, _)), None) => {
                self.node.gave_up(id, batch);
                refused.ok_or_else(|| Trouble::Nothing(Failure::damaged("a batch has no answers")))
            }
            (Err(failure), _) => {
                self.node.gave_up(id, batch);
                Err(Trouble::Nothing(failure))
            }
        }
    }

    /// Remembers an answer of the server. False: that server may be replaced.
    fn note(&self, life: Life, answers: &Answers, batch: Option<i64>) -> bool {
        let answered = Answered {
            newest: newest_of(answers),
            event: answers
                .iter()
                .flatten()
                .flat_map(Outcome::new_events)
                .map(|event| event.position)
                .fold(Position(0), Ord::max),
            batch,
        };
        self.node.committed(life, self.id, answered)
    }

    /// Sends the same messages again, until there is an answer: if the first attempt was stored, or will be, the second
    /// waits for its locks and meets its client ids.
    fn repeat(
        &mut self,
        writes: &[Write],
        plan: &Plan,
        mut first: Failure,
        until: Instant,
    ) -> Result<Answers, CommitError> {
        loop {
            let answered = self.ask(true, |session| {
                let answers = messages::append(session, writes, plan)?;
                Ok((answers, session.life()))
            });
            if self.kept.is_unreplicated() {
                self.kept.recover(&Failure::Unreplicated);
                return Err(CommitError::Unknown(Failure::Unreplicated.into()));
            }
            let failure = match answered {
                Ok((answers, life)) => {
                    let answers = in_order(self.as_new(answers));
                    if self.note(life, &answers, None) {
                        return Ok(answers);
                    }
                    Failure::Outdated
                }
                Err(failure) => failure,
            };
            self.kept.recover(&failure);
            first = self.pause_or_give_up(first, failure, until)?;
        }
    }

    /// A repetition finds messages that the lost attempt stored as duplicates, which were not published yet. Those that
    /// may come from it are called new: to publish an event twice does no harm, to publish it never does.
    fn as_new(&self, mut answers: Vec<messages::Answered>) -> Vec<messages::Answered> {
        for (_, answer) in &mut answers {
            if let Ok(Outcome::Appended(appended)) = answer {
                appended.duplicate &= appended.event.position <= self.newest;
            }
        }
        answers
    }

    /// Asks whether the batch with this mark is stored: on a new connection, which was compared with the memory.
    fn inquire(
        &mut self,
        mark: Mark,
        answers: Answers,
        mut first: Failure,
        until: Instant,
    ) -> Result<Answers, CommitError> {
        loop {
            let answered = self.ask(true, |session| Ok((batch_of(session, mark)?, session.life())));
            if self.kept.is_unreplicated() {
                self.kept.recover(&Failure::Unreplicated);
                return Err(CommitError::Unknown(first.into()));
            }
            let failure = match answered {
                // Even the row that was made before is missing.
                Ok((None, _)) => return Err(CommitError::Unknown(first.into())),
                Ok((Some(false), _)) => {
                    self.node.gave_up(mark.writer, mark.batch);
                    return Err(CommitError::NotApplied {
                        reason: first.into(),
                        full: false,
                        retry_after: None,
                    });
                }
                Ok((Some(true), life)) => {
                    if self.note(life, &answers, Some(mark.batch)) {
                        return Ok(answers);
                    }
                    Failure::Outdated
                }
                Err(failure) => failure,
            };
            self.kept.recover(&failure);
            first = self.pause_or_give_up(first, failure, until)?;
        }
    }

    /// After a failed attempt to find out the outcome of a batch: the first failure again, to go on with.
    fn pause_or_give_up(
        &self,
        first: Failure,
        then: Failure,
        until: Instant,
    ) -> Result<Failure, CommitError> {
        if then.known() == Known::Damage {
            return Err(CommitError::Fatal(then.into()));
        }
        if Instant::now() + RESOLVE_PAUSE >= until {
            return Err(CommitError::Unknown(
                Uncommitted::Undecided { first, then }.into(),
            ));
        }
        thread::sleep(RESOLVE_PAUSE);
        Ok(first)
    }
}

/// Makes the row of a writer in a transaction of its own, so that it is there before any batch is in doubt: no
/// transaction waits for a row that only an open transaction has made. Never called while a batch is in doubt.
fn make_row(session: &mut Session, id: i64) -> Result<(), Failure> {
    if session.has_row {
        return Ok(());
    }
    session.execute(
        "INSERT INTO writers (id, batch, used_at) VALUES ($1, 0, now()) ON CONFLICT DO NOTHING",
        &[&id],
    )?;
    session.execute(
        "DELETE FROM writers WHERE id <> $1 AND used_at < now() - interval '7 days'",
        &[&id],
    )?;
    session.has_row = true;
    Ok(())
}

/// Whether the newest batch of a writer is this one; `None` if its row is missing. Waits as long as the transaction
/// that wrote the row is open. A positive answer is committed, so that it waits for the same standbys.
fn batch_of(session: &mut Session, mark: Mark) -> Result<Option<bool>, Failure> {
    session.begin("BEGIN")?;
    let row = session.first(
        "SELECT batch FROM writers WHERE id = $1 FOR UPDATE",
        &[&mark.writer],
    )?;
    let is_it = row
        .map(|row| Ok::<bool, Failure>(get::<i64>(&row, 0)? == mark.batch))
        .transpose()?;
    if is_it == Some(true) {
        session.commit()?;
    } else {
        session.roll_back()?;
    }
    Ok(is_it)
}

fn in_order(answers: Vec<messages::Answered>) -> Answers {
    // One for each write, and in their order: the plan has no other.
    answers.into_iter().map(|(_, answer)| answer).collect()
}

const fn wrote_nothing(answer: &Result<Outcome, Refused>) -> bool {
    matches!(answer, Err(_) | Ok(Outcome::Erased(false)))
}

/// The newest position in the answers to a batch.
fn newest_of(answers: &Answers) -> Position {
    answers
        .iter()
        .flatten()
        .map(Outcome::position)
        .fold(Position(0), Ord::max)
}

/// A random part of a limit that doubles, so that two transactions that collided do not collide again.
fn back_off(attempt: u32) {
    let most = BACK_OFF_FIRST
        .saturating_mul(1 << attempt.min(8))
        .min(BACK_OFF_LONGEST);
    let share = getrandom::u32().unwrap_or(u32::MAX / 2);
    thread::sleep(most.mul_f64(f64::from(share) / f64::from(u32::MAX)));
}
