//! Turns a committed batch into replies for its requesters and pushes for everyone who may see the events. It runs on
//! the lane's thread after the commit; [`crate::publish`] makes the pushes.

use protocol::{AppendCommand, Refusal};
use storage::{Appended, Outcome, Refused};

use super::{
    job::{Aftermath, Completion, Job, Pending, other_outcome},
    run::LaneParts,
};
use crate::{
    publish::{Publication, Publishing},
    reply::ReplyTo,
    wire,
};

/// See the module's first lines.
pub(super) struct Completer {
    publishing: Publishing,
    parts: LaneParts,
}

impl Completer {
    pub(super) const fn new(publishing: Publishing, parts: LaneParts) -> Self {
        Self { publishing, parts }
    }

    /// Read this before the commit. A revocation of a session that the batch makes then always has a larger count.
    pub(super) fn revocations(&self) -> u64 {
        self.parts.routes.revocations()
    }

    /// The batch may be committed but will not be published.
    pub(super) fn missed(&mut self) {
        self.publishing.missed();
    }

    /// Answers a batch and publishes it. Returns follow-up writes to be committed next.
    pub(super) fn committed(
        &mut self,
        results: Vec<Result<Outcome, Refused>>,
        thens: Vec<Completion>,
        checked_at: u64,
    ) -> Vec<Job> {
        let parts = &self.parts;
        let checked_before = (!self.publishing.is_alone()).then_some(checked_at);
        let mut publication = self.publishing.begin(&results);
        // Each loop is woken once for the whole batch, and sends a connection's answers and pushes with one write.
        let _wakes = parts.outboxes.hold_wakes();
        let mut next = Vec::new();
        for (result, then) in results.into_iter().zip(thens) {
            match (result, then) {
                (Ok(Outcome::Appended(appended)), Completion::Append(command, reply)) => {
                    answer_append(appended, command, reply, parts.epoch, &mut publication);
                }
                (Ok(outcome @ Outcome::Cursors(..)), _) => {
                    beyond(parts, &outcome);
                    parts.lazy.written();
                    publication.moved(outcome);
                }
                (Ok(outcome), Completion::Write(pending)) => {
                    next.extend(succeeded(parts, outcome, *pending, checked_before));
                }
                (Ok(_) | Err(_), Completion::Nothing) => {}
                (Ok(_), Completion::Append(_, reply)) => reply.refuse(&other_outcome()),
                // A refusal keeps its place: appends to one conversation are answered in their order.
                (Err(refused), Completion::Append(_, reply)) => {
                    publication.answer(reply.placed_refusal(&wire::refused(refused)));
                }
                (Err(refused), then @ Completion::Write(_)) => then.refuse(&wire::refused(refused)),
            }
        }
        publication.finish();
        next
    }
}

/// Answers an append and pushes its event. The sender is pushed it too, unless the answer stands for the event.
fn answer_append(
    appended: Appended,
    command: AppendCommand,
    reply: ReplyTo,
    epoch: u64,
    publication: &mut Publication<'_>,
) {
    let sender = reply.is_event().then(|| reply.conn());
    let response = wire::sent(&appended.event, appended.duplicate, epoch);
    publication.answer(reply.placed(&command.reply(response)));
    publication.appended(appended, sender);
}

/// A device that has more than the store is of another past: it must start over.
fn beyond(parts: &LaneParts, outcome: &Outcome) {
    if let Outcome::Cursors(_, _, beyond) = outcome
        && !beyond.is_empty()
    {
        for (user, session) in parts.lazy.reporters(beyond) {
            parts.routes.start_over(user, session);
        }
    }
}

/// Carries out what follows from a write that is no append. Returns a follow-up write to be committed next.
fn succeeded(
    parts: &LaneParts,
    outcome: Outcome,
    pending: Pending,
    checked_before: Option<u64>,
) -> Option<Job> {
    let aftermath = Aftermath {
        routes: &parts.routes,
        cache: &parts.cache,
        cluster: &parts.cluster,
        policy: parts.policy,
        checked_before,
    };
    pending.succeeded(outcome, &aftermath)
}

pub(super) fn refuse_all(thens: Vec<Completion>, refusal: &Refusal) {
    for then in thens {
        then.refuse(refusal);
    }
}
