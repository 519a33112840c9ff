//! What a user sees of a conversation as a whole: the one place that decides it for every store that runs, so that
//! lists, syncs and single answers cannot differ. It must never read a store, and never show anybody a value that is
//! younger than the last event they see.
//!
//! Members see what is. Whoever went sees what was when they went: the values that their event left behind, which
//! stores keep with the stay. Whoever came back is a member, whose unread count begins with the newest stay.

use crate::{
    read::ConversationView,
    shape::Shape,
    types::{ConversationId, ConversationKind, Position, Role, Seq, Timestamp, UserId},
};

/// Where an event stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) seq: Seq,
    pub(crate) ordinal: u64,
    pub(crate) position: Position,
    pub(crate) at: Timestamp,
    /// The newest membership event up to it.
    pub(crate) roster: Seq,
}

/// A conversation at some moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct State {
    /// Its newest event then.
    pub(crate) head: Place,
    pub(crate) name: String,
    pub(crate) member_count: u32,
    pub(crate) disbanded: bool,
}

/// A user's newest stay in a conversation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Stay {
    /// The first seq of the user's first stay.
    pub(crate) first: Seq,
    /// The ordinal at the event by which this one began.
    pub(crate) joined_ordinal: u64,
    pub(crate) joined: Seq,
    pub(crate) role: Role,
    /// It is over, and this is the conversation as it was then.
    pub(crate) left: Option<State>,
}

/// How far a user has got.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Cursor {
    pub(crate) delivered: Seq,
    pub(crate) read: Seq,
    /// The ordinal at `read`.
    pub(crate) read_ordinal: u64,
}

/// A conversation as `viewer` sees it. `None` for an id that no conversation has.
pub(crate) fn view(
    id: ConversationId,
    viewer: UserId,
    now: State,
    stay: Stay,
    cursor: Cursor,
) -> Option<ConversationView> {
    let shape = Shape::of(id)?;
    let member = stay.left.is_none();
    let seen = stay.left.unwrap_or(now);
    Some(ConversationView {
        id,
        kind: shape.kind(),
        name: seen.name,
        peer: shape.peer_of(viewer),
        head: seen.head.seq,
        head_ordinal: seen.head.ordinal,
        head_position: seen.head.position,
        last_at: seen.head.at,
        first: stay.first,
        joined: stay.joined,
        joined_ordinal: stay.joined_ordinal,
        role: (member && shape.kind() == ConversationKind::Group).then_some(stay.role),
        member,
        member_count: seen.member_count,
        disbanded: seen.disbanded,
        roster: seen.head.roster,
        delivered: cursor.delivered,
        read: cursor.read,
        unread: unread(seen.head.ordinal, cursor.read_ordinal, stay.joined_ordinal),
    })
}

/// Displayable messages of the newest stay that were not read: nothing before it counts, whatever was read of that.
pub(crate) fn unread(head_ordinal: u64, read_ordinal: u64, joined_ordinal: u64) -> u64 {
    head_ordinal.saturating_sub(read_ordinal.max(joined_ordinal))
}
