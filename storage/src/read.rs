//! What can be asked of a store. Every question is answered from one consistent snapshot, and whatever
//! concerns a conversation checks in the same snapshot that the asking user may see it.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    error::{OpenError, ReadError},
    fate::Fate,
    past::{Claim, Generation, Testimony, TokenKey},
    snapshot::Snapshot,
    types::{
        ClientId, ConversationId, ConversationKind, Credentials, Event, Fingerprint, Position, Role, Seq,
        Session, SessionId, Timestamp, TokenHash, User, UserId,
    },
    write::Writer,
};

/// A store, open. Shared between threads; hands out the ends that are not.
pub trait Store: Send + Sync {
    /// The epoch of the seqs in this store: random at creation, never 0.
    fn epoch(&self) -> u64;

    /// Names the commit order: positions of stores with different log ids cannot be compared.
    fn log_id(&self) -> u64;

    /// Signs the tokens of this past.
    fn token_key(&self) -> TokenKey;

    /// Notes that somebody is about to be told that everything in a set up to `ceiling` was seen, and returns the
    /// generation to name in that token. The set must have been read from this store, in this process, before.
    fn told(&self, ceiling: Position) -> Generation;

    /// What this process has told so far, for others to remember who outlive it. `None` where nobody else could.
    fn claim(&self) -> Option<Claim> {
        None
    }

    /// Why nothing of this store may be acknowledged any more, once that is so.
    fn fate(&self) -> &Fate;

    /// Makes a new past for everybody, because the present one lacks what was acknowledged: a new epoch, log id,
    /// generation and token key, with `why` written beside them. This process lived in the old past: it is
    /// [doomed](Fate::doom) before this returns. Where another process has made the new past already, nothing is made.
    ///
    /// # Errors
    /// It could not be written; the process is doomed all the same.
    fn begin_past(&self, why: &str) -> Result<(), OpenError>;

    /// How many writers may commit at once. With one, its positions are the commit order, and whoever commits
    /// sees every commit.
    fn writers_max(&self) -> usize;

    /// A writing end. A store hands out [`Store::writers_max`] of them.
    ///
    /// # Errors
    /// All were handed out before, or it cannot be opened.
    fn writer(&self) -> Result<Box<dyn Writer>, OpenError>;

    /// A reading end, for one thread.
    ///
    /// # Errors
    /// It cannot be opened.
    fn reader(&self) -> Result<Box<dyn Reader>, OpenError>;

    /// How it is, for people: connections, and whether the engine behind it is asked at all. Empty where there is
    /// nothing to say.
    fn status(&self) -> String {
        String::new()
    }

    /// After the writer was dropped: leaves the files in their smallest, cleanest state.
    ///
    /// # Errors
    /// It could not; nothing is lost.
    fn close(&self) -> Result<(), OpenError>;
}

/// Which way to read a log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// From a seq towards the head.
    Forward,
    /// From a seq (or the head) towards the beginning.
    Backward,
}

/// See [`Reader::interrupter`].
pub type Interrupter = Box<dyn Fn() + Send + Sync>;

/// The reading end of a store. All lists are bounded by the `limit` they are asked with; 0 is taken as 1, so
/// that asking again always gets on.
pub trait Reader: Send {
    /// What has been committed by now.
    ///
    /// # Errors
    /// As every method here: the store did not answer.
    fn snapshot(&mut self) -> Result<Snapshot, ReadError>;

    /// What makes the question that this reader is at fail, from another thread, if the store has a way to do that.
    fn interrupter(&self) -> Option<Interrupter> {
        None
    }

    /// What a claim, whose signature was checked under [`Store::token_key`], says about the store's past.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn testimony(&mut self, claim: Claim) -> Result<Testimony, ReadError>;

    /// People, in the order asked, unknown ids left out.
    ///
    /// # Errors
    /// See [`Reader::snapshot`], as for all that follow.
    fn users(&mut self, ids: &[UserId]) -> Result<Vec<User>, ReadError>;

    /// A person by canonical name.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn user_by_name(&mut self, name: &str) -> Result<Option<User>, ReadError>;

    /// What a login compares with.
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

    /// One conversation as `viewer` sees it; `None` unless they are or were a member.
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

    /// The event that a request made, if it made one, with what it asked for.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn made_by(
        &mut self,
        conversation: ConversationId,
        sender: UserId,
        client_id: ClientId,
    ) -> Result<Option<(Arc<Event>, Fingerprint)>, ReadError>;

    /// A user's conversations, by the position of the last event visible to them, newest first, only those
    /// below `before` where it is given.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn conversations(
        &mut self,
        viewer: UserId,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<ConversationView>, ReadError>;

    /// What changed for a user beyond `since`: conversations whose last visible event is not in it, and
    /// cursors that moved beyond it: the viewer's own, and those of members now in conversations that the viewer is a
    /// member of now. Ordered by position, cut at `limit` entries without splitting the cursors of one position
    /// (where many commit at once: the changes of one commit): more than `limit` only where the first alone
    /// has more. Cursors that only sending moved are not among them: the event says it.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn changes(&mut self, viewer: UserId, since: &Snapshot, limit: usize) -> Result<Changes, ReadError>;

    /// Events of a conversation that `viewer` may see, ascending. Forward: from `from` on; backward: from
    /// `from` (0: the visible head) and before. At most `limit` events and, beyond the first, `body_bytes_max`
    /// bytes of bodies, newest edits and listed reactions included ([`ReactionView::BYTES`] more for each). For a
    /// viewer who was away later on, a page also ends before its messages have too many edits and reactions to be
    /// looked through. Each page begins (backward: ends) where it was asked to, so that asking again beyond its other
    /// end shows everything once; going backward, a page that begins at 1 is the last. `None` unless the viewer is or
    /// was a member. It costs what it returns, however long the log is and however often the viewer came and went.
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

    /// Members now, by user id, after `after`. `None` unless the viewer is a member now.
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

    /// Every membership interval that had not ended before `from`: who may see what, for the planner of
    /// pushes. Ascending by user and joined seq.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn intervals(&mut self, conversation: ConversationId, from: Seq) -> Result<Vec<Interval>, ReadError>;

    /// Who is a member, at the roster that was read for this question, or at a later one.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn members_at(&mut self, conversation: ConversationId, _roster: Seq) -> Result<Arc<[UserId]>, ReadError> {
        // The largest seq there can be: only those who are members now.
        let intervals = self.intervals(conversation, Seq(i64::MAX as u64))?;
        let open = intervals.iter().filter(|interval| interval.left.is_none());
        Ok(open.map(|interval| interval.user).collect())
    }

    /// Everything committed beyond `since` by whichever writer, for those who follow all of it. Ordered by
    /// position, and cut at `limit` entries as [`Reader::changes`] is.
    ///
    /// # Errors
    /// See [`Reader::snapshot`].
    fn tail(&mut self, since: &Snapshot, limit: usize) -> Result<Tail, ReadError>;
}

/// A stretch of a conversation that a user may see: `joined..=left`, or `joined..` while a member.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Interval {
    /// Who.
    pub user: UserId,
    /// The first visible seq: the event by which they came.
    pub joined: Seq,
    /// The last one: the event by which they went.
    pub left: Option<Seq>,
}

/// A conversation as one user sees it. Whoever is no member any more sees all of it as it was when they went, but for
/// their own cursors.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConversationView {
    /// Id.
    pub id: ConversationId,
    /// What it is.
    pub kind: ConversationKind,
    /// Groups: its name.
    pub name: String,
    /// The other one, in a 1:1 conversation.
    pub peer: Option<UserId>,
    /// The last seq visible to this user.
    pub head: Seq,
    /// The ordinal there.
    pub head_ordinal: u64,
    /// The commit position of the event there: what lists are ordered by.
    pub head_position: Position,
    /// Its time.
    pub last_at: Timestamp,
    /// The first visible seq of all.
    pub first: Seq,
    /// The first visible seq of the newest interval: the event by which the user came, or came back.
    pub joined: Seq,
    /// The ordinal there: unread counts nothing before it.
    pub joined_ordinal: u64,
    /// The role now; `None` for a former member, and outside groups.
    pub role: Option<Role>,
    /// A member now.
    pub member: bool,
    /// Members.
    pub member_count: u32,
    /// The group has ended.
    pub disbanded: bool,
    /// The seq of the newest membership event.
    pub roster: Seq,
    /// This user's cursors, by all their devices.
    pub delivered: Seq,
    /// See `delivered`.
    pub read: Seq,
    /// Displayable messages after the read cursor that this user may see: the ordinal at the head less the
    /// ordinal at the read cursor (or at joining, if that is later). Sending implies having read.
    pub unread: u64,
}

/// How far a member has got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CursorView {
    /// Where.
    pub conversation: ConversationId,
    /// Who.
    pub user: UserId,
    /// Has everything up to here.
    pub delivered: Seq,
    /// Has read everything up to here.
    pub read: Seq,
    /// When it last moved, in the commit order.
    pub position: Position,
}

/// What [`Reader::changes`] found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// Conversations by position, oldest change first.
    pub conversations: Vec<ConversationView>,
    /// Cursors by position.
    pub cursors: Vec<CursorView>,
    /// All of this is in this answer or was in `since`: the next `since`.
    pub up_to: Snapshot,
    /// There is more than `up_to` has.
    pub more: bool,
}

/// What [`Reader::tail`] found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tail {
    /// By position. Where many commit at once, a conversation's events may come in another order than that
    /// of their seqs.
    pub events: Vec<Arc<Event>>,
    /// As they are now, by the position at which they moved last.
    pub cursors: Vec<CursorView>,
    /// By position.
    pub notices: Vec<(Position, Notice)>,
    /// See [`Changes::up_to`].
    pub up_to: Snapshot,
    /// See [`Changes::more`].
    pub more: bool,
}

/// What other processes on the same store have to hear of beside the log. Kept for an hour at least.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Notice {
    /// A session has ended.
    SessionEnded {
        /// Whose.
        user: UserId,
        /// Which.
        session: SessionId,
        /// Why.
        why: SessionEnd,
    },
    /// A profile is another now.
    ProfileChanged(UserId),
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SessionEnd {
    /// Its user said so.
    Revoked,
    /// The same device has a new one.
    Replaced,
    /// A new one exceeded what the user may have.
    Displaced,
}

/// A stretch of a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventPage {
    /// The first seq this page speaks for; what lies between `from` and `to` and is not listed is not
    /// visible to the viewer.
    pub from: Seq,
    /// The last one. Below `from` when the page speaks for nothing (asked beyond the head).
    pub to: Seq,
    /// Ascending.
    pub events: Vec<EventView>,
    /// The last visible seq of the conversation.
    pub head: Seq,
}

/// An event and what later ones made of it, as far as the viewer may see those; but what is recalled is erased
/// for all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventView {
    /// The event, its body erased if it was recalled.
    pub event: Arc<Event>,
    /// Its newest edit, unless recalled.
    pub revision: Option<RevisionView>,
    /// The newest [`EventView::REACTIONS_MAX`] reactions by seq, descending.
    pub reactions: Vec<ReactionView>,
    /// How many there are in all.
    pub reactions_total: u32,
}

impl EventView {
    /// Reactions listed with one event, at most.
    pub const REACTIONS_MAX: usize = 50;

    /// How much of a page it fills: its body, its newest edit's, and the reactions listed.
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
    /// Who.
    pub user: UserId,
    /// What.
    pub reaction: String,
    /// The event that made it.
    pub seq: Seq,
}

impl ReactionView {
    /// What a listed reaction fills of a page beside its text.
    pub const BYTES: usize = 16;
}

/// A member now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MemberView {
    /// Who.
    pub user: User,
    /// The role; `Member` outside groups.
    pub role: Role,
    /// The event by which they came.
    pub joined: Seq,
    /// How far they have got.
    pub delivered: Seq,
    /// See `delivered`.
    pub read: Seq,
}
