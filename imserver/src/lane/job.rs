//! What is handed to a lane: a write, and what to do once it is durable. A lane carries it out without knowing which
//! command it was.

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
    /// What then.
    pub then: Completion,
}

/// What happens after a commit.
#[derive(Debug)]
pub(crate) enum Completion {
    /// An event was appended: the answer is this command's.
    Append(AppendCommand, ReplyTo),
    /// Something else was written.
    Write(Box<Pending>),
    /// Nobody waits.
    Nothing,
}

/// Who waits for a write that is no append, and what follows from it.
pub(crate) struct Pending {
    /// Whom to answer.
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

/// What a committed write comes to.
pub(crate) enum Done {
    /// This answer, and what it does to the session.
    Answer(Reply, Effect),
    /// A session was made: the loop answers once its route is there.
    Authenticated(Box<Authenticated>),
    /// Something is to be written before the answer.
    Write(Write, After),
}

impl std::fmt::Debug for Done {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // An answer may hold what someone wrote.
        formatter.write_str(match self {
            Self::Answer(..) => "Answer(…)",
            Self::Authenticated(_) => "Authenticated(…)",
            Self::Write(..) => "Write(…)",
        })
    }
}

/// What a committed write may have to be told to.
#[derive(Debug)]
pub(crate) struct Aftermath<'a> {
    /// Whose connections a revocation ends.
    pub routes: &'a Routes,
    /// Forgets what was changed, before anybody is told so.
    pub cache: &'a ReadCache,
    /// What other nodes cache of sessions.
    pub cluster: &'a ClusterHandle,
    /// How many sessions a user may have.
    pub policy: DevicePolicy,
    /// The revocations before the commit, where other lanes or nodes may have revoked something since.
    pub checked_before: Option<u64>,
}

impl Aftermath<'_> {
    /// What a session that the write made was checked against. With a single lane every revocation comes from its
    /// thread, so none can fall between the commit and now. Other lanes and nodes may have been quicker; then the
    /// session is looked up again.
    pub(crate) fn checked_at(&self) -> u64 {
        self.checked_before.unwrap_or_else(|| self.routes.revocations())
    }
}

/// The store answered a write with another one's outcome. Neither is printed: an outcome may hold what someone wrote.
pub(crate) fn other_outcome() -> Refusal {
    log::error!("the store answered a write with another one's outcome");
    Refusal::new(ErrorCode::Internal, "the server failed on this request")
}

impl Completion {
    /// Nobody waits any more for what was not begun.
    pub(crate) fn forget(self) {
        match self {
            Self::Append(_, reply) => reply.forget(),
            Self::Write(pending) => pending.reply.forget(),
            Self::Nothing => {}
        }
    }

    /// Nothing was written.
    pub(crate) fn refuse(self, refusal: &Refusal) {
        match self {
            Self::Append(_, reply) => reply.refuse(refusal),
            Self::Write(pending) => pending.refuse(refusal),
            Self::Nothing => {}
        }
    }
}

impl Pending {
    /// Carries out what follows from the outcome; what is to be committed next.
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
