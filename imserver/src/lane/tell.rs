//! What a committed batch means: for those who asked, and for those who are to hear of it. It runs on the lane's thread
//! after the commit. It must never tell anybody of anything that is not committed.

use std::sync::Arc;

use netcore::ConnId;
use protocol::{Command, Refusal, Reply};
use storage::{Appended, Event, EventKind, Outcome, Refused, Snapshot, Timestamp};

use super::{
    job::{Aftermath, Completion, Job, Pending, other_outcome},
    run::LaneParts,
};
use crate::{
    clock,
    delivery::{FollowerHandle, Planner, follower::position},
    message::{Delivery, Entry, PlacedAnswer},
    reply::ReplyTo,
    wire,
};

/// How a lane's commits get to the loops.
#[derive(Debug)]
pub enum Deliver {
    /// By the lane itself: it is the only one, so its commits are all there are.
    Here(Box<Planner>),
    /// By the follower, which puts the commits of all lanes and nodes in order.
    Follower(FollowerHandle),
}

/// See the module.
pub(super) struct Teller {
    deliver: Deliver,
    parts: LaneParts,
}

/// What a batch means, as far as it has been gone through.
enum Told {
    /// For each loop, answers and pushes in commit order.
    Here(Vec<Delivery>, Timestamp),
    /// What the follower puts in order; the answers are given.
    Follower(Vec<Outcome>),
}

impl Told {
    /// An answer goes to its place.
    fn answer(&mut self, answer: Option<PlacedAnswer>) {
        let Some(answer) = answer else { return };
        let place = match self {
            Self::Here(deliveries, _) => deliveries.get_mut(answer.conn().loop_id().index()),
            Self::Follower(_) => None,
        };
        match place {
            Some(delivery) => delivery.entries.push(Entry::Answer(answer)),
            None => answer.post(),
        }
    }
}

impl Teller {
    pub(super) const fn new(deliver: Deliver, parts: LaneParts) -> Self {
        Self { deliver, parts }
    }

    /// To be read before a commit: whoever ends a session that this makes, ends it later.
    pub(super) fn revocations(&self) -> u64 {
        self.parts.routes.revocations()
    }

    /// Something may have been committed of which nobody is told. A follower finds it in the log.
    pub(super) fn missed(&mut self) {
        if let Deliver::Here(planner) = &mut self.deliver {
            planner.forget_all();
            self.parts.outboxes.miss_all();
        }
    }

    /// Gives the answers and the pushes of a batch; what is to be committed next.
    pub(super) fn committed(
        &mut self,
        results: Vec<Result<Outcome, Refused>>,
        thens: Vec<Completion>,
        checked_at: u64,
    ) -> Vec<Job> {
        let mut told = self.begin(&results);
        // A loop is woken once for all of it, and writes an answer and a push to the same connection together.
        let _wakes = self.parts.outboxes.hold_wakes();
        let mut next = Vec::new();
        for (result, then) in results.into_iter().zip(thens) {
            match (result, then) {
                (Ok(Outcome::Appended(appended)), Completion::Append(command, reply)) => {
                    self.appended(appended, command, reply, &mut told);
                }
                (Ok(outcome @ Outcome::Cursors(..)), _) => {
                    self.beyond(&outcome);
                    self.parts.lazy.written();
                    self.moved(outcome, &mut told);
                }
                (Ok(outcome), Completion::Write(pending)) => {
                    next.extend(self.succeeded(outcome, *pending, checked_at));
                }
                (Ok(_), Completion::Nothing) | (Err(_), Completion::Nothing) => {}
                (Ok(_), Completion::Append(_, reply)) => reply.refuse(&other_outcome()),
                // In its place: those of appends to one conversation are answered in their order.
                (Err(refused), Completion::Append(_, reply)) => {
                    told.answer(reply.placed_refusal(&wire::refused(refused)));
                }
                (Err(refused), then @ Completion::Write(_)) => then.refuse(&wire::refused(refused)),
            }
        }
        match (&mut self.deliver, told) {
            (Deliver::Here(_), Told::Here(deliveries, _)) => self.parts.outboxes.post(deliveries),
            (Deliver::Follower(follower), Told::Follower(effects)) => follower.committed(effects),
            // `begin` made it by the same distinction.
            _ => {}
        }
        next
    }

    /// Members that the plan needs are read here, while no loop's wake is held back.
    fn begin(&mut self, results: &[Result<Outcome, Refused>]) -> Told {
        let Deliver::Here(planner) = &mut self.deliver else {
            return Told::Follower(Vec::with_capacity(results.len()));
        };
        let outcomes = results.iter().flatten();
        planner.prepare(outcomes.clone().filter_map(new_event));
        let moves = outcomes.filter(|outcome| new_event(outcome).is_some() || is_move(outcome));
        let newest = moves.map(position).max().filter(|newest| newest.0 > 0);
        let complete_to = newest.map(Snapshot::at);
        Told::Here(planner.empty(complete_to.as_ref(), results.len()), clock::wall())
    }

    /// The answer, and the push to everybody else; to the one who sent it as well, if the answer does not say it all.
    fn appended(&mut self, appended: Appended, command: Command, reply: ReplyTo, told: &mut Told) {
        let event = Arc::clone(&appended.event);
        let says_it = reply.is_event() && matches!(event.kind, EventKind::Message(_));
        let conn = reply.conn();
        told.answer(reply.placed(&sent(command, &appended, self.parts.epoch)));
        if appended.duplicate {
            return;
        }
        match told {
            Told::Here(deliveries, now) => self.plan(&event, *now, says_it.then_some(conn), deliveries),
            Told::Follower(effects) => effects.push(Outcome::Appended(appended)),
        }
    }

    fn plan(&mut self, event: &Event, now: Timestamp, except: Option<ConnId>, deliveries: &mut [Delivery]) {
        let Deliver::Here(planner) = &mut self.deliver else {
            return;
        };
        if let Err(error) = planner.event(event, now, except, deliveries) {
            log::error!("members could not be read, sessions will pull: {error}");
            self.parts.outboxes.miss_all();
        }
    }

    /// Devices that have more than there is are of another past.
    fn beyond(&self, outcome: &Outcome) {
        if let Outcome::Cursors(_, _, beyond) = outcome
            && !beyond.is_empty()
        {
            for (user, session) in self.parts.lazy.reporters(beyond) {
                self.parts.routes.start_over(user, session);
            }
        }
    }

    fn moved(&mut self, outcome: Outcome, told: &mut Told) {
        match (&mut self.deliver, told) {
            (Deliver::Here(planner), Told::Here(deliveries, _)) => {
                if let Outcome::Cursors(moves, ..) = &outcome
                    && let Err(error) = planner.cursors(moves, deliveries)
                {
                    log::error!("members could not be read, sessions will pull: {error}");
                    self.parts.outboxes.miss_all();
                }
            }
            (_, Told::Follower(effects)) => effects.push(outcome),
            _ => {}
        }
    }

    /// Carries out what follows from what was no append; what is to be committed next.
    fn succeeded(&self, outcome: Outcome, pending: Pending, checked_at: u64) -> Option<Job> {
        let aftermath = Aftermath {
            routes: &self.parts.routes,
            cache: &self.parts.cache,
            cluster: &self.parts.cluster,
            policy: self.parts.policy,
            checked_before: match self.deliver {
                Deliver::Here(..) => None,
                Deliver::Follower(_) => Some(checked_at),
            },
        };
        pending.succeeded(outcome, &aftermath)
    }
}

/// The event that an outcome made, unless it was made before.
fn new_event(outcome: &Outcome) -> Option<&Event> {
    match outcome {
        Outcome::Appended(appended) if !appended.duplicate => Some(&appended.event),
        _ => None,
    }
}

const fn is_move(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Cursors(..))
}

fn sent(command: Command, appended: &Appended, epoch: u64) -> Reply {
    let response = wire::sent(&appended.event, appended.duplicate, epoch);
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

pub(super) fn refuse_all(thens: Vec<Completion>, refusal: &Refusal) {
    for then in thens {
        then.refuse(refusal);
    }
}
