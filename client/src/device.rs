//! A device: a [`Client`] and a sync [`Machine`] driven together by the program's own thread.
//!
//! It passes events, answers and requests between the two. It must never decide what is applied; the machine does.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use protocol::{
    Push, Reply, Request,
    v1::{self, ErrorCode},
};

use crate::{
    backoff::{Backoff, RECONNECT_BASE, RECONNECT_CAP},
    client::{Client, Events},
    error::{Ending, Error, Outcome},
    link::Event,
    sync::{Action, Failure, Machine, Malformed, RequestId, Snapshot, Start},
};

/// One request of the device's own.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Updates that wait during a call, at most; beyond it transient ones are dropped.
const UPDATES_MAX: usize = 1_024;

/// An update for the program. Asking for the next one confirms that this one is done.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// A connection stands.
    Connected(Box<v1::Session>),
    /// No connection; the next attempt begins by itself.
    Disconnected {
        /// For people.
        reason: String,
    },
    /// The session has ended: there will be no further connection.
    Ended(Ending),
    /// Apply this event; each comes once, in the order of its conversation.
    Event(Box<v1::Event>),
    /// Store [`Device::snapshot`]: its token has moved.
    Store,
    /// A sync is complete: the heads of all conversations are known.
    Synced,
    /// The store has another past: see [`Action::Restart`]. Store [`Device::snapshot`].
    Restarted,
    /// Drop what was applied of this conversation beyond a seq: see [`Action::Rewind`].
    Rewound {
        /// The conversation.
        conversation: u64,
        /// The last seq that is still valid.
        to: u64,
    },
    /// What is known about conversations has changed.
    Conversations(Vec<v1::Conversation>),
    /// Cursors of members have moved.
    Cursors(Vec<v1::Cursor>),
    /// A message that is not stored.
    Transient(Box<v1::TransientPush>),
    /// Someone types, or stopped.
    Typing(v1::TypingPush),
    /// Somebody who is watched is present in another way.
    Presence(v1::Presence),
}

/// The meaning of the tag of a pending request.
#[derive(Debug)]
enum Purpose {
    List(RequestId),
    Sync(RequestId),
    Pull(RequestId),
    Acknowledge,
    /// The program's own; the answer is kept until it is taken.
    Call(Option<Box<Result<Reply, Error>>>),
}

/// A client and a sync machine, driven together by the thread that takes the updates. Other threads may use
/// the [`Client`] inside.
#[derive(Debug)]
pub struct Device {
    client: Client,
    events: Events,
    machine: Machine,
    requests: BTreeMap<u64, Purpose>,
    last_tag: u64,
    updates: VecDeque<Update>,
    backoff: Backoff,
    retry_at: Option<Instant>,
    ended: Option<Ending>,
}

impl Device {
    /// Follows the log from the stored snapshot, or from `start` if there is none.
    pub fn new(client: Client, events: Events, snapshot: Snapshot, start: Start) -> Self {
        let seed = client.seed();
        Self {
            client,
            events,
            machine: Machine::new(snapshot, start),
            requests: BTreeMap::new(),
            last_tag: 0,
            updates: VecDeque::new(),
            backoff: Backoff::new(RECONNECT_BASE, RECONNECT_CAP, seed),
            retry_at: None,
            ended: None,
        }
    }

    /// The client inside, for calls from other threads.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The applied state, for the program to store.
    pub fn snapshot(&self) -> Snapshot {
        self.machine.snapshot()
    }

    /// Whether the device is connected and has applied everything that it knows of.
    pub fn is_caught_up(&self) -> bool {
        self.machine.is_caught_up()
    }

    /// The next update; `None` when there is none by `deadline`, or when the session has ended.
    pub fn next(&mut self, deadline: Instant) -> Option<Update> {
        loop {
            if let Some(update) = self.updates.pop_front() {
                return Some(update);
            }
            if let Some(action) = self.machine.next_action() {
                if let Some(update) = self.act(action) {
                    return Some(update);
                }
                continue;
            }
            let now = Instant::now();
            if self.retry_at.is_some_and(|at| at <= now) {
                self.retry_at = None;
                self.machine.retry();
                continue;
            }
            if self.ended.is_some() {
                return None;
            }
            let until = self.retry_at.map_or(deadline, |at| at.min(deadline));
            match self.events.recv_deadline(until) {
                Some(event) => self.handle(event),
                None if Instant::now() >= deadline => return None,
                None if self.retry_at.is_none() => return None,
                None => {}
            }
        }
    }

    /// Makes a request and waits for its answer; meanwhile it passes everything else that arrives to the machine. For
    /// the thread that takes the updates: without that it would wait for itself once the queue of events is full.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn call(&mut self, request: Request, timeout: Duration) -> Result<Reply, Error> {
        if let Some(ending) = &self.ended {
            return Err(Error::Ended(ending.clone()));
        }
        let deadline = Instant::now() + timeout;
        let tag = self.begin(Purpose::Call(None), request, timeout)?;
        loop {
            if let Some(Purpose::Call(answer @ Some(_))) = self.requests.get_mut(&tag)
                && let Some(result) = answer.take()
            {
                self.requests.remove(&tag);
                return *result;
            }
            match self.events.recv_deadline(deadline + Duration::from_secs(1)) {
                Some(event) => self.handle(event),
                None => {
                    self.requests.remove(&tag);
                    return Err(Error::Timeout);
                }
            }
        }
    }

    /// Tells the server now how far this device has got, for a program that stops here.
    ///
    /// # Errors
    /// See [`Error`]; nothing is lost by it, the server learns it the next time.
    pub fn acknowledge(&mut self, timeout: Duration) -> Result<(), Error> {
        while let Some(delivered) = self.machine.take_acknowledgement() {
            self.call(Request::Delivered(delivered), timeout)?;
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> Option<Update> {
        let (purpose, request) = match action {
            Action::Apply(event) => return Some(Update::Event(event)),
            Action::StoreToken(_) => return Some(Update::Store),
            Action::Restart => return Some(Update::Restarted),
            Action::Rewind { conversation, to } => return Some(Update::Rewound { conversation, to }),
            Action::List { id, request } => (Purpose::List(id), Request::ListConversations(request)),
            Action::Sync { id, request } => (Purpose::Sync(id), Request::Sync(request)),
            Action::Pull { id, request } => (Purpose::Pull(id), Request::History(request)),
            Action::Acknowledge(delivered) => (Purpose::Acknowledge, Request::Delivered(delivered)),
        };
        let id = purpose.id();
        if self.begin(purpose, request, REQUEST_TIMEOUT).is_err()
            && let Some(id) = id
        {
            self.fail(id, Failure::Later, Duration::ZERO);
        }
        None
    }

    fn begin(&mut self, purpose: Purpose, request: Request, timeout: Duration) -> Result<u64, Error> {
        self.last_tag += 1;
        self.client.start(self.last_tag, request, timeout)?;
        self.requests.insert(self.last_tag, purpose);
        Ok(self.last_tag)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Connected { session, limits } => {
                self.machine.handle_connected(limits.page_events_max);
                self.update(Update::Connected(Box::new(session)));
            }
            Event::Disconnected { reason, .. } => {
                self.machine.handle_disconnected();
                self.update(Update::Disconnected { reason });
            }
            Event::Ended(ending) => {
                self.machine.handle_disconnected();
                self.ended = Some(ending.clone());
                self.update(Update::Ended(ending));
            }
            Event::Pong(pong) => self.machine.handle_pong(pong.sync_token),
            Event::Push(push) => self.handle_push(push),
            Event::Reply { tag, result } => self.handle_reply(tag, result),
        }
    }

    fn handle_push(&mut self, push: Push) {
        match push {
            Push::EventsPush(page) => {
                let taken = self.machine.handle_page(page);
                self.check(taken);
            }
            Push::HeadsPush(heads) => {
                let taken = self.machine.handle_heads(&heads);
                self.check(taken);
            }
            Push::CursorsPush(push) => self.update_in_passing(Update::Cursors(push.cursors)),
            Push::TransientPush(push) => self.update_in_passing(Update::Transient(Box::new(push))),
            Push::TypingPush(push) => self.update_in_passing(Update::Typing(push)),
            Push::PresencePush(presence) => self.update_in_passing(Update::Presence(presence)),
            // A farewell is the link's business; what a newer server pushes is nobody's.
            _ => {}
        }
    }

    fn handle_reply(&mut self, tag: u64, result: Result<Reply, Error>) {
        match self.requests.remove(&tag) {
            Some(Purpose::Call(_)) => {
                self.requests.insert(tag, Purpose::Call(Some(Box::new(result))));
            }
            Some(purpose) => match (purpose, result) {
                (Purpose::List(id), Ok(Reply::ListConversations(list))) => {
                    let taken = self.machine.handle_list(id, &list);
                    self.check(taken);
                    self.update(Update::Conversations(list.conversations));
                }
                (Purpose::Sync(id), Ok(Reply::Sync(sync))) => {
                    if !sync.conversations.is_empty() {
                        self.update(Update::Conversations(sync.conversations.clone()));
                    }
                    if !sync.cursors.is_empty() {
                        self.update(Update::Cursors(sync.cursors.clone()));
                    }
                    let complete = !sync.more && !sync.restarted;
                    let taken = self.machine.handle_sync(id, sync);
                    self.check(taken);
                    if complete {
                        self.update(Update::Synced);
                    }
                }
                (Purpose::Pull(id), Ok(Reply::History(history))) => {
                    let taken = self.machine.handle_history(id, history.page.unwrap_or_default());
                    self.check(taken);
                }
                (purpose, Err(error)) => self.handle_failure(&purpose, &error),
                // The link pairs answers with commands: this cannot be.
                (_, Ok(_)) => {}
            },
            None => {}
        }
    }

    fn handle_failure(&mut self, purpose: &Purpose, error: &Error) {
        let Some(id) = purpose.id() else { return };
        let (failure, asked) = if let Error::Refused(refusal) = error {
            let asked = Duration::from_millis(refusal.retry_after_ms.into());
            (refused(purpose, refusal.code()), asked)
        } else {
            (Failure::Later, Duration::ZERO)
        };
        if error.outcome() == Outcome::Definite && failure == Failure::Later {
            log::warn!("the server refused to keep this device in step: {error}");
        }
        self.fail(id, failure, asked);
    }

    fn fail(&mut self, id: RequestId, failure: Failure, asked: Duration) {
        self.machine.handle_failure(id, failure);
        let at = Instant::now() + self.backoff.next_delay().max(asked);
        self.retry_at = Some(self.retry_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// A contradiction ends the connection: on the next one everything is requested again.
    fn check(&mut self, taken: Result<(), Malformed>) {
        match taken {
            Ok(()) => self.backoff.reset(),
            Err(malformed) => {
                log::warn!("the server broke the protocol: {malformed}");
                self.client.reconnect(&malformed.to_string());
            }
        }
    }

    fn update(&mut self, update: Update) {
        self.updates.push_back(update);
    }

    fn update_in_passing(&mut self, update: Update) {
        if self.updates.len() < UPDATES_MAX {
            self.updates.push_back(update);
        }
    }
}

impl Purpose {
    const fn id(&self) -> Option<RequestId> {
        match self {
            Self::List(id) | Self::Sync(id) | Self::Pull(id) => Some(*id),
            Self::Acknowledge | Self::Call(_) => None,
        }
    }
}

/// The meaning of a refusal for the machine's request.
fn refused(purpose: &Purpose, code: ErrorCode) -> Failure {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a refusal that says nothing of the store's state, and one of a newer server, is asked for again"
    )]
    match code {
        ErrorCode::EpochMismatch | ErrorCode::OutOfRange => Failure::Epoch,
        // No such server wrote this token.
        ErrorCode::Invalid if matches!(purpose, Purpose::Sync(_)) => Failure::Epoch,
        ErrorCode::NotFound | ErrorCode::Forbidden | ErrorCode::Gone
            if matches!(purpose, Purpose::Pull(_)) =>
        {
            Failure::Gone
        }
        _ => Failure::Later,
    }
}
