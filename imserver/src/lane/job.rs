//! What a lane gets: a write, and what to do once it is durable. A lane carries it out without knowing which command it
//! was.

use protocol::{AppendCommand, Refusal, Reply, v1::ErrorCode};
use storage::{DevicePolicy, Outcome, Write, cached::ReadCache};

use crate::{
    cluster::ClusterHandle,
    delivery::Routes,
    message::{Authenticated, Effect},
    reply::ReplyTo,
};

/// A write and its completion.
#[derive(Debug)]
pub(crate) struct Job {
    /// What to commit.
    pub write: Write,
    /// What to do after the commit.
    pub then: Completion,
}

/// What happens after a commit.
#[derive(Debug)]
pub(crate) enum Completion {
    /// An event was appended: the answer is this command's.
    Append(AppendCommand, ReplyTo),
    /// Something else was written.
    Write(Box<Pending>),
    /// No requester waits.
    Nothing,
}

/// The requester of a write that is not an append, and what follows from the write.
pub(crate) struct Pending {
    /// Where the answer goes.
    pub reply: ReplyTo,
    /// The answer, or the next write.
    pub after: After,
    /// Whether a refusal leaves the connection without a session.
    pub is_opening: bool,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Pending")
            .field("reply", &self.reply)
            .finish_non_exhaustive()
    }
}

/// What follows from a write's outcome. It runs on the lane's thread and must not block.
pub(crate) type After = Box<dyn FnOnce(Outcome, &Aftermath<'_>) -> Result<Done, Refusal> + Send>;

/// What follows from a committed write.
pub(crate) enum Done {
    /// Send this answer, with its effect on the session.
    Answer(Reply, Effect),
    /// A session was created: the loop answers once the session has a route.
    Authenticated(Box<Authenticated>),
    /// Commit another write before the answer.
    Write(Write, After),
}

impl std::fmt::Debug for Done {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // An answer may contain what a user wrote.
        formatter.write_str(match self {
            Self::Answer(..) => "Answer(…)",
            Self::Authenticated(_) => "Authenticated(…)",
            Self::Write(..) => "Write(…)",
        })
    }
}

/// What a completion may have to inform of a committed write.
#[derive(Debug)]
pub(crate) struct Aftermath<'a> {
    /// A revocation ends connections here.
    pub routes: &'a Routes,
    /// Forgets changed entries, before the change is answered or pushed.
    pub cache: &'a ReadCache,
    /// Tells other nodes to drop cached sessions.
    pub cluster: &'a ClusterHandle,
    /// The limit on a user's sessions.
    pub policy: DevicePolicy,
    /// The count of revocations before the commit, if other lanes or nodes may have revoked a session since.
    pub checked_before: Option<u64>,
}

impl Aftermath<'_> {
    /// The count of revocations that a session created by the write is checked against. With a single lane every
    /// revocation comes from its thread, so none can fall between the commit and now. Other lanes and nodes may have
    /// revoked one in between; then the session is looked up again.
    pub(crate) fn checked_at(&self) -> u64 {
        self.checked_before.unwrap_or_else(|| self.routes.revocations())
    }
}

/// Logs that the store answered a write with the outcome of another. Neither is printed, because an outcome may contain
/// what a user wrote.
pub(crate) fn other_outcome() -> Refusal {
    log::error!("the store answered a write with another one's outcome");
    Refusal::new(ErrorCode::Internal, "the server failed on this request")
}

impl Completion {
    /// Drops the completion of a write that was not begun, because its requester is gone.
    pub(crate) fn forget(self) {
        match self {
            Self::Append(_, reply) => reply.forget(),
            Self::Write(pending) => pending.reply.forget(),
            Self::Nothing => {}
        }
    }

    /// Answers that nothing was written.
    pub(crate) fn refuse(self, refusal: &Refusal) {
        match self {
            Self::Append(_, reply) => reply.refuse(refusal),
            Self::Write(pending) => pending.refuse(refusal),
            Self::Nothing => {}
        }
    }
}

impl Pending {
    /// Carries out what follows from the outcome. Returns a follow-up write to be committed next.
    pub(super) fn succeeded(self, outcome: Outcome, aftermath: &Aftermath<'_>) -> Option<Job> {
        let Self {
            reply,
            after,
            is_opening,
        } = self;
        match after(outcome, aftermath) {
            Ok(Done::Answer(answer, effect)) => reply.ok_and(&answer, effect),
            Ok(Done::Authenticated(authenticated)) => reply.authenticated(authenticated),
            Ok(Done::Write(write, after)) => {
                let pending = Self {
                    reply,
                    after,
                    is_opening,
                };
                return Some(Job {
                    write,
                    then: Completion::Write(Box::new(pending)),
                });
            }
            Err(refusal) => refuse(reply, is_opening, &refusal),
        }
        None
    }

    fn refuse(self, refusal: &Refusal) {
        refuse(self.reply, self.is_opening, refusal);
    }
}

fn refuse(reply: ReplyTo, is_opening: bool, refusal: &Refusal) {
    let effect = if is_opening {
        Effect::NotAuthenticated
    } else {
        Effect::None
    };
    reply.refuse_and(refusal, effect);
}
