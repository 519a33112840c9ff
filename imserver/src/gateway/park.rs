//! A request that found no room, waiting on its loop while its connection is not read from.

use netcore::ConnId;
use protocol::Request;

use crate::{
    lane::Job,
    service::{Work, WorkerTask},
};

/// What is tried again.
#[derive(Debug)]
pub(super) enum Parked {
    /// The place of a question's answer could not be reserved yet; the question waits with the others.
    Asks,
    /// The answer's place could not be reserved yet.
    Work(u16, Box<Work>),
    /// The same of a request that authenticates.
    Opening(u16, Box<Request>),
    /// The workers were busy.
    Task(Box<WorkerTask>),
    /// The lane was full.
    Job(Box<Job>),
}

impl Parked {
    /// Its connection is gone, and with it everybody who waits.
    pub(super) fn forget(self) {
        match self {
            Self::Asks | Self::Work(..) | Self::Opening(..) => {}
            Self::Task(task) => task.reply.forget(),
            Self::Job(job) => job.then.forget(),
        }
    }
}

/// The connections of one loop that have something parked, first come first served.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    connections: std::collections::VecDeque<ConnId>,
}

impl Waiting {
    /// Adds one; a connection has at most one thing parked, so this is bounded by the connections.
    pub(super) fn push(&mut self, conn: ConnId) {
        self.connections.push_back(conn);
    }

    /// Back to the front: it is still its turn.
    pub(super) fn push_front(&mut self, conn: ConnId) {
        self.connections.push_front(conn);
    }

    /// Whose turn it is.
    pub(super) fn pop(&mut self) -> Option<ConnId> {
        self.connections.pop_front()
    }
}
