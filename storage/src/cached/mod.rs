//! The read cache: popular profiles, and the members at a roster.
//!
//! It owns the rules of caching. A profile is cached only because every node hears of its changes, and [`ReadCache`]
//! gets them in the order of commits. Members are cached under their roster, and the caller has read that roster from
//! the store; so a removed user never counts as a member because this node has not heard of the removal. Decisions
//! about writes never use the cache; the store's transactions check for themselves.

mod cache;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    entry::{EntryClass, EntryPage},
    error::ReadError,
    past::{Claim, Testimony},
    read::{
        Changes, ConversationView, Direction, EventPage, Interrupter, Interval, MemberView, MembersReader,
        Notice, Reader, Tail, TailReader,
    },
    snapshot::Snapshot,
    types::{
        ClientId, ConversationId, Credentials, Event, Fingerprint, Position, Seq, Session, TokenHash, User,
        UserId,
    },
    words::{FoundPeople, PeopleQuery},
};
use cache::{Bounds, Cache, Lookup, Ticket};

/// Profiles kept, at most.
const USERS_MAX: usize = 100_000;
/// Conversations whose members are kept, at most.
const MEMBERS_MAX: usize = 10_000;
/// Larger groups are read each time.
const MEMBERS_OF_ONE_MAX: usize = 1_000;
/// A value is used for at most this long, even without news of a change.
const LIFETIME: Duration = Duration::from_secs(60);
/// The lifetime of an absence. A name may be taken at any time, and no notice tells it.
const LIFETIME_ABSENT: Duration = Duration::from_secs(1);
/// How long a reader waits for another that reads the same key.
const WAIT: Duration = Duration::from_millis(500);

const fn bounds(entries: usize) -> Bounds {
    Bounds {
        entries,
        lifetime: LIFETIME,
        lifetime_absent: LIFETIME_ABSENT,
        wait: WAIT,
    }
}

/// The numbers of one cache since it was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CacheStatistics {
    /// Questions answered from memory.
    pub hits: u64,
    /// Questions that the store was asked.
    pub misses: u64,
    /// Entries now.
    pub entries: usize,
}

/// The cache, shared by all [`CachedReader`]s of a process.
pub struct ReadCache {
    users: Cache<UserId, User>,
    names: Cache<String, UserId>,
    members: Cache<(ConversationId, Seq), Arc<[UserId]>>,
}

impl Default for ReadCache {
    fn default() -> Self {
        Self {
            users: Cache::new(bounds(USERS_MAX)),
            names: Cache::new(bounds(USERS_MAX)),
            members: Cache::new(bounds(MEMBERS_MAX)),
        }
    }
}

impl std::fmt::Debug for ReadCache {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ReadCache").finish_non_exhaustive()
    }
}

impl ReadCache {
    /// The numbers of each cache, with its name.
    pub fn statistics(&self) -> [(&'static str, CacheStatistics); 3] {
        [
            ("users", self.users.statistics()),
            ("names", self.names.statistics()),
            ("members", self.members.statistics()),
        ]
    }

    /// A profile has changed.
    pub fn profile_changed(&self, user: UserId) {
        self.users.forget(&user);
    }

    /// A free name was taken.
    pub fn account_made(&self, name: &str) {
        self.names.forget(&name.to_owned());
    }

    /// Another process reported a change.
    pub fn noticed(&self, notice: &Notice) {
        match notice {
            Notice::ProfileChanged(user) => self.profile_changed(*user),
            Notice::SessionEnded { .. } => {}
        }
    }

    /// Notices may have been missed: forgets everything.
    pub fn clear(&self) {
        self.users.clear();
        self.names.clear();
        self.members.clear();
    }
}

/// A reader that asks `inner` for everything that [`ReadCache`] does not know.
pub struct CachedReader {
    inner: Box<dyn Reader>,
    cache: Arc<ReadCache>,
}

impl CachedReader {
    /// A reader that shares its results through `cache`.
    pub const fn new(inner: Box<dyn Reader>, cache: Arc<ReadCache>) -> Self {
        Self { inner, cache }
    }
}

impl std::fmt::Debug for CachedReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CachedReader").finish_non_exhaustive()
    }
}

impl Reader for CachedReader {
    fn snapshot(&mut self) -> Result<Snapshot, ReadError> {
        self.inner.snapshot()
    }

    fn interrupter(&self) -> Option<Interrupter> {
        self.inner.interrupter()
    }

    fn testimony(&mut self, claim: Claim) -> Result<Testimony, ReadError> {
        self.inner.testimony(claim)
    }

    fn users(&mut self, ids: &[UserId]) -> Result<Vec<User>, ReadError> {
        let now = Instant::now();
        let cache = Arc::clone(&self.cache);
        let mut found: Vec<Option<User>> = Vec::with_capacity(ids.len());
        let mut tickets: Vec<Option<Ticket<'_, UserId, User>>> = Vec::new();
        let mut unknown = Vec::new();
        let mut places = Vec::new();
        for (place, id) in ids.iter().enumerate() {
            let (known, ticket) = match cache.users.lookup(id, now) {
                Lookup::Known(user) => {
                    found.push(user);
                    continue;
                }
                // Another thread reads it, too: a second read of a row costs less than a long wait.
                Lookup::Busy => (None, None),
                Lookup::Read(ticket) => (None, Some(ticket)),
            };
            found.push(known);
            unknown.push(*id);
            places.push(place);
            tickets.push(ticket);
        }
        if unknown.is_empty() {
            return Ok(found.into_iter().flatten().collect());
        }
        let mut read = self.inner.users(&unknown)?.into_iter().peekable();
        for ((id, place), ticket) in unknown.iter().zip(places).zip(tickets) {
            let user = read.next_if(|user| user.id == *id);
            if let Some(ticket) = ticket {
                ticket.store(user.clone(), now);
            }
            if let Some(slot) = found.get_mut(place) {
                *slot = user;
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    fn user_by_name(&mut self, name: &str) -> Result<Option<User>, ReadError> {
        let (now, cache) = (Instant::now(), Arc::clone(&self.cache));
        let mut read = None;
        let inner = &mut self.inner;
        let id = cache.names.get(&name.to_owned(), now, || {
            read = inner.user_by_name(name)?;
            Ok::<_, ReadError>(read.as_ref().map(|user| user.id))
        })?;
        match (id, read) {
            (None, _) => Ok(None),
            (_, Some(user)) => Ok(Some(user)),
            (Some(id), None) => Ok(self.users(&[id])?.pop()),
        }
    }

    fn people(&mut self, query: &PeopleQuery, limit: usize) -> Result<FoundPeople, ReadError> {
        self.inner.people(query, limit)
    }

    fn entries(
        &mut self,
        of: UserId,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<EntryPage, ReadError> {
        self.inner.entries(of, prefix, after, limit)
    }

    fn entry_classes(&mut self, asked: &[(UserId, String)]) -> Result<Vec<Option<EntryClass>>, ReadError> {
        self.inner.entry_classes(asked)
    }

    fn credentials(&mut self, name: &str) -> Result<Option<Credentials>, ReadError> {
        self.inner.credentials(name)
    }

    fn session_by_token(&mut self, token: &TokenHash) -> Result<Option<(Session, User)>, ReadError> {
        self.inner.session_by_token(token)
    }

    fn sessions(&mut self, user: UserId) -> Result<Vec<Session>, ReadError> {
        self.inner.sessions(user)
    }

    fn conversation(
        &mut self,
        viewer: UserId,
        conversation: ConversationId,
    ) -> Result<Option<ConversationView>, ReadError> {
        self.inner.conversation(viewer, conversation)
    }

    fn conversations_of(
        &mut self,
        viewer: UserId,
        conversations: &[ConversationId],
    ) -> Result<Vec<ConversationView>, ReadError> {
        self.inner.conversations_of(viewer, conversations)
    }

    fn made_by(
        &mut self,
        conversation: ConversationId,
        sender: UserId,
        client_id: ClientId,
    ) -> Result<Option<(Arc<Event>, Fingerprint)>, ReadError> {
        self.inner.made_by(conversation, sender, client_id)
    }

    fn conversations(
        &mut self,
        viewer: UserId,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<ConversationView>, ReadError> {
        self.inner.conversations(viewer, before, limit)
    }

    fn changes(&mut self, viewer: UserId, since: &Snapshot, limit: usize) -> Result<Changes, ReadError> {
        self.inner.changes(viewer, since, limit)
    }

    fn events(
        &mut self,
        viewer: UserId,
        conversation: ConversationId,
        from: Seq,
        direction: Direction,
        limit: usize,
        body_bytes_max: usize,
    ) -> Result<Option<EventPage>, ReadError> {
        self.inner
            .events(viewer, conversation, from, direction, limit, body_bytes_max)
    }

    fn members(
        &mut self,
        viewer: UserId,
        conversation: ConversationId,
        after: UserId,
        limit: usize,
    ) -> Result<Option<Vec<MemberView>>, ReadError> {
        self.inner.members(viewer, conversation, after, limit)
    }
}

impl MembersReader for CachedReader {
    fn intervals(&mut self, conversation: ConversationId, from: Seq) -> Result<Vec<Interval>, ReadError> {
        self.inner.intervals(conversation, from)
    }

    fn members_at(&mut self, conversation: ConversationId, roster: Seq) -> Result<Arc<[UserId]>, ReadError> {
        let (now, cache) = (Instant::now(), Arc::clone(&self.cache));
        let mut large = None;
        let inner = &mut self.inner;
        let known = cache.members.get(&(conversation, roster), now, || {
            let members = inner.members_at(conversation, roster)?;
            if members.len() > MEMBERS_OF_ONE_MAX {
                large = Some(members);
                return Ok::<_, ReadError>(None);
            }
            Ok(Some(members))
        })?;
        match known.or(large) {
            Some(members) => Ok(members),
            None => self.inner.members_at(conversation, roster),
        }
    }
}

impl TailReader for CachedReader {
    fn tail(&mut self, since: &Snapshot, limit: usize) -> Result<Tail, ReadError> {
        self.inner.tail(since, limit)
    }
}

#[cfg(test)]
mod tests;
