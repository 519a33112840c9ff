//! The commit: a batch as one transaction, and what is known about it when something goes wrong.
//! It keeps nothing of the database in memory, so that a failed batch leaves nothing to forget; and it never
//! acknowledges what the server has not said it keeps.
//!
//! Before every exchange with the server stands the gate of all writers (`outage.rs`): while that is shut a batch is
//! refused at once, and one whose outcome is in doubt waits for it to open, until its deadline.

use std::{
    fmt::Display,
    mem,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    batch::{self, Answers, Done},
    connections::{Connector, Kept},
    failure::{Failure, Known},
    messages, outage,
    plan::Plan,
    row::get,
    session::Session,
};
use crate::{
    error::CommitError,
    gate::Gate,
    snapshot::Snapshot,
    types::Position,
    write::{Outcome, Rules, Write, Writer},
};

/// How often a batch is tried that lost against another transaction, or whose connection was gone before it was sent.
const ATTEMPTS_MAX: u32 = 4;
/// The pause before the second attempt, at most; doubled for each one after it …
const BACK_OFF_FIRST: Duration = Duration::from_millis(5);
/// … up to this.
const BACK_OFF_LONGEST: Duration = Duration::from_millis(100);
/// Between two attempts to find out what became of a commit.
const RESOLVE_PAUSE: Duration = Duration::from_millis(20);
/// A batch's places fit into the lowest bits of a position.
const WRITES_MAX: usize = 1 << Snapshot::COMMIT_BITS;

pub(super) struct PostgresWriter {
    kept: Kept,
    gate: Arc<Gate>,
    rules: Rules,
    deadline: Duration,
    /// Why nothing can be committed any more.
    broken: Option<String>,
    /// The newest position that this writer gave.
    newest: Position,
}

/// Why an attempt did not end in answers.
enum Trouble {
    /// Nothing of it is stored.
    Nothing(Failure),
    /// The batch of messages was sent; repeating it finds out.
    Sent(Failure),
    /// The COMMIT of this transaction was sent.
    Committing(Failure, Done),
}

impl Writer for PostgresWriter {
    fn commit(&mut self, writes: &[Write]) -> Result<Answers, CommitError> {
        if let Some(reason) = &self.broken {
            return Err(CommitError::Fatal(reason.clone()));
        }
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        if writes.len() > WRITES_MAX {
            return Err(CommitError::NotApplied {
                reason: format!("{} writes do not fit into one commit", writes.len()),
                full: false,
                retry_after: None,
            });
        }
        let result = self.commit_batch(writes);
        match &result {
            Ok(answers) => {
                self.newest = answers
                    .iter()
                    .flatten()
                    .map(position_of)
                    .fold(self.newest, Ord::max)
            }
            Err(CommitError::Fatal(reason)) => self.broken = Some(reason.clone()),
            Err(_) => {}
        }
        result
    }

    fn batch_size(&self, most: usize) -> usize {
        outage::share_of(most, self.gate.share(Instant::now()))
    }
}

impl PostgresWriter {
    pub(super) const fn new(
        connector: Arc<Connector>,
        gate: Arc<Gate>,
        rules: Rules,
        deadline: Duration,
    ) -> Self {
        Self {
            kept: Kept::new(connector),
            gate,
            rules,
            deadline,
            broken: None,
            newest: Position(0),
        }
    }

    /// Makes the first connection, so that a writer that is handed out has had one.
    pub(super) fn connect(&mut self) -> Result<(), Failure> {
        self.kept.get(0).map(|_| ())
    }

    /// Does something with the connection, if the server is asked at all, and reports how that went. `again`: not the
    /// first time for this batch.
    fn ask<T>(
        &mut self,
        again: bool,
        exchange: impl FnOnce(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let pass = self.gate.enter(Instant::now()).map_err(Failure::LeftAlone)?;
        let result = self.kept.get(pass.openings()).and_then(exchange);
        let failure = result.as_ref().err();
        let reached = failure.map_or(Some(true), |failure| failure.reached(again || pass.is_probe()));
        let why = failure.map(|failure| failure as &dyn Display);
        self.gate.leave(pass, Instant::now(), reached, why);
        result
    }

    fn commit_batch(&mut self, writes: &[Write]) -> Result<Answers, CommitError> {
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
                    let again = matches!(failure.known(), Known::Again | Known::Lost);
                    if !again || attempt >= ATTEMPTS_MAX || Instant::now() >= until {
                        return Err(failure.not_applied());
                    }
                    back_off(attempt);
                    attempt += 1;
                }
                Trouble::Sent(failure) => {
                    self.kept.recover(&failure);
                    return self.repeat(writes, &plan, failure, until);
                }
                Trouble::Committing(failure, done) => {
                    self.kept.recover(&failure);
                    return self.inquire(done, failure, until);
                }
            }
        }
    }

    fn attempt(&mut self, writes: &[Write], plan: &Plan, again: bool) -> Result<Answers, Trouble> {
        let rules = self.rules;
        if plan.others.is_empty() {
            let answers = self.ask(again, |session| messages::append(session, writes, &plan.messages));
            return match answers {
                Ok(answers) => Ok(in_order(answers)),
                Err(failure) if failure.known() == Known::Lost => Err(Trouble::Sent(failure)),
                Err(failure) => Err(Trouble::Nothing(failure)),
            };
        }
        // What is done when the COMMIT is sent; where that was lost, it is asked after.
        let mut sent = None;
        let committed = self.ask(again, |session| {
            let done = sent.insert(batch::run(session, rules, writes, plan)?);
            session.commit()?;
            Ok(mem::take(&mut done.answers))
        });
        match (committed, sent) {
            (Ok(answers), _) => Ok(answers),
            (Err(failure), Some(done)) if failure.known() == Known::Lost => {
                Err(Trouble::Committing(failure, done))
            }
            (Err(failure), _) => Err(Trouble::Nothing(failure)),
        }
    }

    /// The same messages again, until there is an answer: where the first attempt was stored, or will be, the second
    /// waits for its locks and meets its client ids.
    fn repeat(
        &mut self,
        writes: &[Write],
        plan: &Plan,
        first: Failure,
        until: Instant,
    ) -> Result<Answers, CommitError> {
        loop {
            let answered = self.ask(true, |session| messages::append(session, writes, &plan.messages));
            let failure = match answered {
                Ok(answers) => return Ok(in_order(self.as_new(answers))),
                Err(failure) => failure,
            };
            self.kept.recover(&failure);
            self.pause_or_give_up(&first, &failure, until)?;
        }
    }

    /// A repetition finds what the lost attempt stored as duplicates, which nobody has announced yet. What may be its
    /// work is called new: hearing of an event twice does no harm, never hearing of it does.
    fn as_new(&self, mut answers: Vec<messages::Answered>) -> Vec<messages::Answered> {
        for (_, answer) in &mut answers {
            if let Ok(Outcome::Appended(appended)) = answer {
                appended.duplicate &= appended.event.position <= self.newest;
            }
        }
        answers
    }

    /// Asks the server what became of a transaction.
    fn inquire(&mut self, done: Done, first: Failure, until: Instant) -> Result<Answers, CommitError> {
        loop {
            let answered = self.ask(true, |session| {
                let row = session.first(
                    "SELECT pg_xact_status($1::bigint::text::xid8)",
                    &[&done.transaction],
                )?;
                row.map_or(Ok(None), |row| get::<Option<String>>(&row, 0))
            });
            let failure = match answered {
                Ok(status) => match status.as_deref() {
                    Some("committed") => return Ok(done.answers),
                    Some("aborted") => {
                        return Err(CommitError::NotApplied {
                            reason: first.to_string(),
                            full: false,
                            retry_after: None,
                        });
                    }
                    Some("in progress") => Failure::Unreachable("the transaction is still open".to_owned()),
                    _ => return Err(CommitError::Unknown(first.to_string())),
                },
                Err(failure) => failure,
            };
            if !matches!(failure, Failure::Unreachable(_)) {
                self.kept.recover(&failure);
            }
            self.pause_or_give_up(&first, &failure, until)?;
        }
    }

    fn pause_or_give_up(
        &self,
        first: &Failure,
        failure: &Failure,
        until: Instant,
    ) -> Result<(), CommitError> {
        if failure.known() == Known::Damage {
            return Err(CommitError::Fatal(failure.to_string()));
        }
        if Instant::now() + RESOLVE_PAUSE >= until {
            return Err(CommitError::Unknown(format!("{first}; and then: {failure}")));
        }
        thread::sleep(RESOLVE_PAUSE);
        Ok(())
    }
}

fn in_order(answers: Vec<messages::Answered>) -> Answers {
    // One for each write, and in their order: the plan has no other.
    answers.into_iter().map(|(_, answer)| answer).collect()
}

fn position_of(outcome: &Outcome) -> Position {
    match outcome {
        Outcome::Appended(appended) => appended.event.position,
        Outcome::Cursors(_, position) => *position,
        _ => Position(0),
    }
}

/// So that two who met do not meet again: a random part of a limit that doubles.
fn back_off(attempt: u32) {
    let most = BACK_OFF_FIRST
        .saturating_mul(1 << attempt.min(8))
        .min(BACK_OFF_LONGEST);
    let share = getrandom::u32().unwrap_or(u32::MAX / 2);
    thread::sleep(most.mul_f64(f64::from(share) / f64::from(u32::MAX)));
}
