//! Questions: whatever is answered from the store without changing it, and what must read before it can
//! write. They run on workers, in order per session.

use std::{net::IpAddr, sync::Arc};

use netcore::Task;
use protocol::{
    Refusal, Request,
    v1::{Device, ErrorCode},
};
use storage::{ReadError, Reader, Store, TokenHash};

use super::{accounts, attempts::Attempts, conversations, hashing::HasherHandle, login};
use crate::{
    cluster::ClusterHandle,
    complaint::Complaint,
    config::{Config, Limits},
    delivery::{Outboxes, Routes},
    gateway::Established,
    lane::LaneHandle,
    reply::{Effect, ReplyTo},
    token::Tokens,
};

/// While a store is down, every question fails.
pub(crate) static UNANSWERED: Complaint = Complaint::new("the store did not answer");

/// A store that prints nothing of itself.
pub struct SharedStore(pub Arc<dyn Store>);

impl std::ops::Deref for SharedStore {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl std::fmt::Debug for SharedStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SharedStore(…)")
    }
}

/// What every worker shares.
#[derive(Debug)]
pub struct WorkerContext {
    /// The configuration.
    pub config: Arc<Config>,
    /// The store's epoch.
    pub epoch: u64,
    /// Names the commit order.
    pub log_id: u64,
    /// Makes and reads what devices carry of the store's past.
    pub tokens: Tokens,
    /// The store itself, for what ends its past.
    pub store: SharedStore,
    /// Who is connected.
    pub routes: Arc<Routes>,
    /// The way to the loops for what is not stored.
    pub outboxes: Arc<Outboxes>,
    /// The way to the writer.
    pub lane: LaneHandle,
    /// The way to other nodes.
    pub cluster: ClusterHandle,
    /// Passwords.
    pub hasher: HasherHandle,
    /// How often they may be tried.
    pub attempts: Attempts,
}

/// One worker's own state.
pub struct Worker {
    /// Shared.
    pub context: Arc<WorkerContext>,
    /// Its end of the store.
    pub reader: Box<dyn Reader>,
    /// How much an answer may have.
    pub page: PageLimits,
}

/// How much one answer may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PageLimits {
    /// Events.
    pub events: usize,
    /// Bytes of their bodies, roughly.
    pub bytes: usize,
    /// Entries of other lists.
    pub entries: usize,
}

impl PageLimits {
    /// Where answers wait for more peers than there is memory for.
    pub const FRUGAL: Self = Self {
        events: 32,
        bytes: 8 * 1024,
        entries: 20,
    };

    /// As configured.
    pub const fn whole(limits: &Limits) -> Self {
        Self {
            events: limits.page_events as usize,
            bytes: limits.page_bytes,
            entries: ENTRIES_MAX,
        }
    }

    /// The smaller of both.
    #[must_use]
    pub fn frugal(self) -> Self {
        Self {
            events: self.events.min(Self::FRUGAL.events),
            bytes: self.bytes.min(Self::FRUGAL.bytes),
            entries: self.entries.min(Self::FRUGAL.entries),
        }
    }
}

/// Entries of a list, at most.
pub(super) const ENTRIES_MAX: usize = 500;

impl std::fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Worker").finish_non_exhaustive()
    }
}

/// What is asked, and by whom.
#[derive(Debug)]
pub enum Query {
    /// A device that said hello wants to be authenticated, from this address unless that is exempt from rates.
    Open(Box<Device>, Option<IpAddr>, Request),
    /// An authenticated session asks.
    Ask(Established, Request),
    /// An authenticated session asks for a sync, but has what the store does not have. The limit.
    StartOver(Established, u32),
    /// A session was checked, but some session was revoked meanwhile: the token's hash and, after a register
    /// or login, the token to tell.
    Recheck(TokenHash, Option<String>),
}

/// A request for a worker.
#[derive(Debug)]
pub struct Question {
    /// Questions of one key are answered in order.
    pub key: u64,
    /// Those of one group share the workers.
    pub group: u64,
    /// What.
    pub query: Query,
    /// Whom to answer.
    pub reply: ReplyTo,
    /// Memory is short: the answer is to be.
    pub is_frugal: bool,
}

impl Task for Question {
    type Worker = Worker;

    fn key(&self) -> u64 {
        self.key
    }

    fn group(&self) -> u64 {
        self.group
    }

    fn is_forgettable(&self) -> bool {
        match &self.query {
            Query::Ask(_, request) => !matches!(request, Request::Send(_) | Request::Typing(_)),
            Query::Open(_, _, request) => matches!(request, Request::Hello(_)),
            Query::StartOver(..) | Query::Recheck(..) => true,
        }
    }

    fn run(self, worker: &mut Worker) {
        let page = PageLimits::whole(&worker.context.config.limits);
        worker.page = if self.is_frugal { page.frugal() } else { page };
        match self.query {
            Query::Open(device, from, request) => login::answer(worker, *device, from, request, self.reply),
            Query::Ask(who, request) => answer(worker, who, request, self.reply),
            Query::StartOver(who, limit) => conversations::start_over(worker, who, limit, self.reply),
            Query::Recheck(token_hash, token) => login::check(worker, token_hash, token, self.reply),
        }
    }
}

fn answer(worker: &mut Worker, who: Established, request: Request, reply: ReplyTo) {
    match request {
        Request::ListDevices(_) => accounts::list_devices(worker, who, reply),
        Request::GetUsers(get) => accounts::get_users(worker, &get, reply),
        Request::FindUser(find) => accounts::find_user(worker, &find, reply),
        Request::History(history) => conversations::history(worker, who, &history, reply),
        Request::Sync(sync) => conversations::sync(worker, who, &sync, reply),
        Request::ListConversations(list) => conversations::list(worker, who, &list, reply),
        Request::GetConversation(get) => conversations::get(worker, who, &get, reply),
        Request::GetConversations(get) => conversations::get_several(worker, who, &get, reply),
        Request::ListMembers(list) => conversations::members(worker, who, &list, reply),
        Request::Typing(typing) => conversations::typing(worker, who, &typing, reply),
        Request::Send(send) => conversations::send_transient(worker, who, send, reply),
        other => {
            log::error!("{} is no question", other.command().name());
            reply.refuse(&Refusal::new(
                ErrorCode::Internal,
                "the server failed on this request",
            ));
        }
    }
}

/// Refuses because the store did not answer. Where it never will, the refusal says nothing of later: the process ends,
/// and the next one says what is the matter.
pub(super) fn unavailable(error: &ReadError, reply: ReplyTo) {
    UNANSWERED.failed(error);
    let refusal = match error {
        ReadError::Failed(_) => Refusal::new(ErrorCode::Unavailable, "the store did not answer"),
        ReadError::Fatal(_) => Refusal::new(ErrorCode::Internal, "the store cannot be relied upon any more"),
    };
    reply.refuse_and(&refusal, Effect::None);
}
