//! The reading half of the store contract. Every answer comes from one consistent snapshot, and every method about a
//! conversation checks in the same snapshot that the viewer may see it.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    entry::{EntryClass, EntryPage},
    error::{OpenError, ReadError},
    fate::Fate,
    past::{Claim, Generation, Testimony, TokenKey},
    setting::GroupSettings,
    snapshot::Snapshot,
    status::Status,
    types::{
        ClientId, ConversationId, ConversationKind, Credentials, Event, Fingerprint, Position, Role, Seq,
        Session, SessionId, Timestamp, TokenHash, User, UserId,
    },
    words::{FoundPeople, PeopleQuery},
    write::Writer,
};

/// An open store. Shared between threads; hands out its readers and writers.
pub trait Store: Send + Sync {
    /// The epoch of the seqs in this store: random at creation, never 0.
    fn epoch(&self) -> u64;

    /// Names the commit order: positions of stores with different log ids cannot be compared.
    fn log_id(&self) -> u64;

    /// The key that signs the tokens of this past.
    fn token_key(&self) -> TokenKey;

    /// Call this before a token claims everything in a set up to `ceiling`. Notes the claim, and returns the generation
    /// to name in the token. The set must have been read before from this store, in this process.
    fn told(&self, ceiling: Position) -> Generation;

    /// The claims of this process so far, for other processes that outlive it. `None` if no other process could
    /// remember them.
    fn claim(&self) -> Option<Claim> {
        None
    }

    /// The reason for which nothing of this store may be acknowledged any more, if there is one.
    fn fate(&self) -> &Fate;

    /// Makes a new past for all processes, because the present one lacks acknowledged commits: a new epoch, log id,
    /// generation and token key, with `why` written beside them. This process lived in the old past: it is
    /// [doomed](Fate::doom) before this returns. If another process has made the new past already, none is made.
    ///
    /// # Errors
    /// The new past could not be written; the process is doomed all the same.
    fn begin_past(&self, why: &str) -> Result<(), OpenError>;

    /// How many writers may commit at once. With one, its positions are the commit order, and a transaction sees every
    /// earlier commit.
    fn writers_max(&self) -> usize;

    /// A writing end. A store hands out [`Store::writers_max`] of them.
    ///
    /// # Errors
    /// All writers were handed out before, or this one cannot be opened.
    fn writer(&self) -> Result<Box<dyn Writer>, OpenError>;

    /// A reading end, for one thread.
    ///
    /// # Errors
    /// It cannot be opened.
    fn reader(&self) -> Result<Box<dyn Reader>, OpenError>;

    /// The store's state: its files, or its connections and breakers. Asks nobody for it, so it takes microseconds
    /// even while the store does not answer.
    fn status(&self) -> Status;

    /// Call this after the writer was dropped: leaves the files in their smallest, cleanest state.
    ///
    /// # Errors
    /// The files could not be cleaned up; nothing is lost.
    fn close(&self) -> Result<(), OpenError>;
}

/// The direction of reading a log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// From a seq towards the head.
    Forward,
    /// From a seq (or the head) towards the beginning.
    Backward,
}

/// See [`Reader::interrupter`].
pub type Interrupter = Box<dyn Fn() + Send + Sync>;

/// Answers who is a member of a conversation. The planner needs nothing else.
pub trait MembersReader: Send {
    /// Every membership interval that had not ended before `from`, by which the planner addresses pushes. Ascending by
    /// user and joined seq.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn intervals(&mut self, conversation: ConversationId, from: Seq) -> Result<Vec<Interval>, ReadError>;

    /// Whether the user is a member at the roster that was read for this query, or at a later one.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn members_at(&mut self, conversation: ConversationId, _roster: Seq) -> Result<Arc<[UserId]>, ReadError> {
        // The largest possible seq selects current members only.
        let intervals = self.intervals(conversation, Seq(i64::MAX as u64))?;
        let open = intervals.iter().filter(|interval| interval.left.is_none());
        Ok(open.map(|interval| interval.user).collect())
    }
}

/// Answers what was committed. The change feed needs nothing else.
pub trait TailReader: Send {
    /// Everything that any writer committed beyond `since`, for the change feed. Ordered by position, and cut at
    /// `limit` entries as in [`Reader::changes`].
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn tail(&mut self, since: &Snapshot, limit: usize) -> Result<Tail, ReadError>;
}

/// The reading end of a store. All lists are bounded by the `limit` of the call; 0 counts as 1, so that paging always
/// advances.
pub trait Reader: MembersReader + TailReader {
    /// The set of all commits so far.
    ///
    /// # Errors
    /// As every method here: the store did not answer.
    fn snapshot(&mut self) -> Result<Snapshot, ReadError>;

    /// Makes the running query of this reader fail, from another thread; `None` if the store has no way to do that.
    fn interrupter(&self) -> Option<Interrupter> {
        None
    }

    /// Whether a claim fits the store's past. Its signature was checked under [`Store::token_key`].
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn testimony(&mut self, claim: Claim) -> Result<Testimony, ReadError>;

    /// Users, in the order asked; unknown ids are left out.
    ///
    /// # Errors
    /// See [`Reader::snapshot`], as for all that follow.
    fn users(&mut self, ids: &[UserId]) -> Result<Vec<User>, ReadError>;

    /// A person by canonical name.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn user_by_name(&mut self, name: &str) -> Result<Option<User>, ReadError>;

    /// At most `limit` of the users whom a query fits, by id. It looks at the users of a bounded number of words that
    /// begin as the query's longest one; if there are more of those, the answer says that there may be more.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn people(&mut self, query: &PeopleQuery, limit: usize) -> Result<FoundPeople, ReadError>;

    /// The entries of a user whose keys begin with `prefix` and are behind `after`, in the order of the bytes of their
    /// keys; a page also ends before its values have too many bytes.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn entries(
        &mut self,
        of: UserId,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<EntryPage, ReadError>;

    /// What each of these entries, a user and a key, means to the rules, in their order; `None` for one that there is
    /// not.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn entry_classes(&mut self, entries: &[(UserId, String)]) -> Result<Vec<Option<EntryClass>>, ReadError>;

    /// The data that a login is checked against.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn credentials(&mut self, name: &str) -> Result<Option<Credentials>, ReadError>;

    /// The session that a token belongs to.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn session_by_token(&mut self, token: &TokenHash) -> Result<Option<(Session, User)>, ReadError>;

    /// A user's sessions, by id.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn sessions(&mut self, user: UserId) -> Result<Vec<Session>, ReadError>;

    /// One conversation as `viewer` sees it; `None` if they never were a member.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn conversation(
        &mut self,
        viewer: UserId,
        conversation: ConversationId,
    ) -> Result<Option<ConversationView>, ReadError>;

    /// Those of these conversations that `viewer` sees, in the order asked.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn conversations_of(
        &mut self,
        viewer: UserId,
        conversations: &[ConversationId],
    ) -> Result<Vec<ConversationView>, ReadError>;

    /// The event that a request made, if it made one, with the request's fingerprint.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn made_by(
        &mut self,
        conversation: ConversationId,
        sender: UserId,
        client_id: ClientId,
    ) -> Result<Option<(Arc<Event>, Fingerprint)>, ReadError>;

    /// A user's conversations, by the position of the last event visible to them, newest first; if `before` is given,
    /// only those below it.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn conversations(
        &mut self,
        viewer: UserId,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<ConversationView>, ReadError>;

    /// The changes for a user beyond `since`: conversations whose last visible event is not in it, and cursors that
    /// moved beyond it. The cursors are the viewer's own, and those of present members of conversations that the viewer
    /// is a member of now. Ordered by position, cut at `limit` entries without splitting the cursors of one position
    /// (with several writers: the changes of one commit): there are more than `limit` only if the first position alone
    /// has more. Cursors moved by sending are not among them: the event tells it.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn changes(&mut self, viewer: UserId, since: &Snapshot, limit: usize) -> Result<Changes, ReadError>;

    /// Events of a conversation that `viewer` may see, ascending. Forward: from `from` on; backward: from `from` (0:
    /// the visible head) and before. At most `limit` events and, beyond the first, `body_bytes_max` bytes of bodies,
    /// newest edits and listed reactions included ([`ReactionView::BYTES`] more for each). For a viewer who was away
    /// later on, a page also ends before its messages have too many edits and reactions to be looked through. Each page
    /// begins (backward: ends) at `from`, so that paging on from its other end shows everything once; going backward, a
    /// page that begins at 1 is the last. `None` if the viewer never was a member. The cost depends on the size of the
    /// answer alone, however long the log is and however often the viewer came and went.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn events(
        &mut self,
        viewer: UserId,
        conversation: ConversationId,
        from: Seq,
        direction: Direction,
        limit: usize,
        body_bytes_max: usize,
    ) -> Result<Option<EventPage>, ReadError>;

    /// Present members, by user id, after `after`. `None` unless the viewer is a member now.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn members(
        &mut self,
        viewer: UserId,
        conversation: ConversationId,
        after: UserId,
        limit: usize,
    ) -> Result<Option<Vec<MemberView>>, ReadError>;
}

/// A membership interval: a range of seqs that a user may see, `joined..=left`, or `joined..` while a member.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Interval {
    /// The user.
    pub user: UserId,
    /// The first visible seq: the event by which the user came.
    pub joined: Seq,
    /// The last one: the event by which the user went.
    pub left: Option<Seq>,
}

/// A conversation as one user sees it. A former member sees all of it as it was when they went, except their own
/// cursors.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConversationView {
    /// Id.
    pub id: ConversationId,
    /// Its kind.
    pub kind: ConversationKind,
    /// Groups: its name, and what else is set.
    pub settings: GroupSettings,
    /// The other user of a 1:1 conversation.
    pub peer: Option<UserId>,
    /// The last seq visible to this user.
    pub head: Seq,
    /// The ordinal at `head`.
    pub head_ordinal: u64,
    /// The commit position of that event, which orders lists.
    pub head_position: Position,
    /// The time of that event.
    pub last_at: Timestamp,
    /// The first visible seq of all.
    pub first: Seq,
    /// The first visible seq of the newest interval: the event by which the user came, or came back.
    pub joined: Seq,
    /// The ordinal at `joined`: unread counts nothing before it.
    pub joined_ordinal: u64,
    /// The present role; `None` for a former member, and outside groups.
    pub role: Option<Role>,
    /// Whether the user is a member now.
    pub member: bool,
    /// The number of members.
    pub member_count: u32,
    /// Whether the group was disbanded.
    pub disbanded: bool,
    /// A 1:1 conversation in which neither of the two may write now: one blocks the other one, or they are no friends any
    /// more and one of them wants messages of friends alone.
    pub closed: bool,
    /// The seq of the newest membership event.
    pub roster: Seq,
    /// This user's cursors, by all their devices.
    pub delivered: Seq,
    /// See `delivered`.
    pub read: Seq,
    /// Displayable messages after the read cursor that this user may see: the ordinal at the head less the ordinal at
    /// the read cursor (or at joining, if that is later). Sending implies having read.
    pub unread: u64,
}

/// A member's cursor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CursorView {
    /// The conversation.
    pub conversation: ConversationId,
    /// The user.
    pub user: UserId,
    /// The user's devices have everything up to here.
    pub delivered: Seq,
    /// The user has read everything up to here.
    pub read: Seq,
    /// The commit position of its last move.
    pub position: Position,
}

/// The answer of [`Reader::changes`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// Conversations by position, oldest change first.
    pub conversations: Vec<ConversationView>,
    /// Cursors by position.
    pub cursors: Vec<CursorView>,
    /// The set to pass as the next `since`: everything in it is in this answer or was in `since`.
    pub up_to: Snapshot,
    /// There are more changes beyond `up_to`.
    pub more: bool,
}

/// The answer of [`TailReader::tail`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tail {
    /// By position. With several writers, a conversation's events may come in another order than that of their seqs.
    pub events: Vec<Arc<Event>>,
    /// Their present values, by the position of their last move.
    pub cursors: Vec<CursorView>,
    /// By position.
    pub notices: Vec<(Position, Notice)>,
    /// See [`Changes::up_to`].
    pub up_to: Snapshot,
    /// See [`Changes::more`].
    pub more: bool,
}

/// Changes beside the log that other processes on the same store must hear of. Kept for an hour at least.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Notice {
    /// A session has ended.
    SessionEnded {
        /// The user.
        user: UserId,
        /// The session.
        session: SessionId,
        /// The reason.
        why: SessionEnd,
    },
    /// A profile has changed.
    ProfileChanged(UserId),
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SessionEnd {
    /// The user ended it.
    Revoked,
    /// The same device has a new session.
    Replaced,
    /// A new session exceeded the limit of the user's sessions.
    Displaced,
}

/// A page of a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventPage {
    /// The first seq that this page speaks for; a seq between `from` and `to` that is not listed is not visible to the
    /// viewer.
    pub from: Seq,
    /// The last seq. Below `from` if the page speaks for nothing (`from` was beyond the head).
    pub to: Seq,
    /// Ascending.
    pub events: Vec<EventView>,
    /// The last visible seq of the conversation.
    pub head: Seq,
}

/// An event with the effects of later ones that the viewer may see; but a recalled message is erased for all viewers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventView {
    /// The event, its body erased if it was recalled.
    pub event: Arc<Event>,
    /// Its newest edit, unless recalled.
    pub revision: Option<RevisionView>,
    /// The newest [`EventView::REACTIONS_MAX`] reactions by seq, descending.
    pub reactions: Vec<ReactionView>,
    /// The number of all reactions.
    pub reactions_total: u32,
}

impl EventView {
    /// Reactions listed with one event, at most.
    pub const REACTIONS_MAX: usize = 50;

    /// The bytes it counts in a page: its body, the body of its newest edit, and the reactions listed.
    pub(crate) fn bytes(&self) -> usize {
        let reactions = self.reactions.iter();
        self.event.body.len()
            + self.revision.as_ref().map_or(0, |revision| revision.body.len())
            + reactions
                .map(|reaction| reaction.reaction.len() + ReactionView::BYTES)
                .sum::<usize>()
    }
}

/// A message's newest edit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RevisionView {
    /// The edit event.
    pub seq: Seq,
    /// Its body.
    pub body: Bytes,
}

/// One user's reaction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReactionView {
    /// The user.
    pub user: UserId,
    /// The reaction itself.
    pub reaction: String,
    /// The event that set it.
    pub seq: Seq,
}

impl ReactionView {
    /// The bytes that a listed reaction counts in a page beside its text.
    pub const BYTES: usize = 16;
}

/// A present member.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MemberView {
    /// The user.
    pub user: User,
    /// The role; `Member` outside groups.
    pub role: Role,
    /// The event by which the user came.
    pub joined: Seq,
    /// The user's devices have everything up to here.
    pub delivered: Seq,
    /// See `delivered`.
    pub read: Seq,
}
