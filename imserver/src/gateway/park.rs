//! Requests that found no room. They wait on their loop, and their connections are not read from meanwhile.

use netcore::ConnId;
use protocol::Request;

use crate::{
    lane::Job,
    service::{Work, WorkerTask},
};

/// What to try again.
#[derive(Debug)]
pub(super) enum Parked {
    /// The place of a query's answer could not be reserved; the query waits with the others.
    Asks,
    /// The place of the answer could not be reserved.
    Work(u16, Box<Work>),
    /// The same, for a request that authenticates.
    Opening(u16, Box<Request>),
    /// The workers' queue was full.
    Task(Box<WorkerTask>),
    /// The lane's queue was full.
    Job(Box<Job>),
}

impl Parked {
    /// The connection is gone: drops the request without an answer.
    pub(super) fn forget(self) {
        match self {
            Self::Asks | Self::Work(..) | Self::Opening(..) => {}
            Self::Task(task) => task.reply.forget(),
            Self::Job(job) => job.then.forget(),
        }
    }
}

/// The connections of one loop with a parked request, first come, first served.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    connections: std::collections::VecDeque<ConnId>,
}

impl Waiting {
    /// Adds a connection. Each has at most one parked request, so the connections bound the queue.
    pub(super) fn push(&mut self, conn: ConnId) {
        self.connections.push_back(conn);
    }

    /// Puts a connection back to the front: it keeps its turn.
    pub(super) fn push_front(&mut self, conn: ConnId) {
        self.connections.push_front(conn);
    }

    /// Takes the connection whose turn is next.
    pub(super) fn pop(&mut self) -> Option<ConnId> {
        self.connections.pop_front()
    }
}
