//! A user's view of a conversation: the one place that decides it for SQLite and PostgreSQL, so that lists, syncs and
//! single answers cannot differ. It must never read a store, and never show a value that is younger than the last event
//! that the user sees.
//!
//! Members see the present state. A former member sees the state when they went: the values that the event of their
//! leaving left behind, which stores keep with the membership interval. A user who came back is a member, whose unread
//! count begins with the newest interval.

use crate::{
    read::ConversationView,
    setting::GroupSettings,
    shape::Shape,
    types::{ConversationId, ConversationKind, Position, Role, Seq, Timestamp, UserId},
};

/// The head of a conversation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) seq: Seq,
    pub(crate) ordinal: u64,
    pub(crate) position: Position,
    pub(crate) at: Timestamp,
    /// The seq of the newest membership event up to it.
    pub(crate) roster: Seq,
}

/// A conversation at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct State {
    /// Its newest event at that moment.
    pub(crate) head: Place,
    pub(crate) settings: GroupSettings,
    pub(crate) member_count: u32,
    pub(crate) disbanded: bool,
    /// Nobody may write in it, a 1:1 conversation, now.
    pub(crate) closed: bool,
}

/// A user's newest membership interval in a conversation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Stay {
    /// The first seq of the user's first interval.
    pub(crate) first: Seq,
    /// The ordinal at the event by which this interval began.
    pub(crate) joined_ordinal: u64,
    pub(crate) joined: Seq,
    pub(crate) role: Role,
    /// The interval is over, and this is the conversation at its end.
    pub(crate) left: Option<State>,
}

/// A user's cursor.
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
        settings: seen.settings,
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
        closed: seen.closed,
        roster: seen.head.roster,
        delivered: cursor.delivered,
        read: cursor.read,
        unread: unread(seen.head.ordinal, cursor.read_ordinal, stay.joined_ordinal),
    })
}

/// Displayable messages of the newest interval that were not read: nothing before it counts, read or not.
pub(crate) fn unread(head_ordinal: u64, read_ordinal: u64, joined_ordinal: u64) -> u64 {
    head_ordinal.saturating_sub(read_ordinal.max(joined_ordinal))
}
