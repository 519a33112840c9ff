//! The decision about an append: the events that it becomes, without their places in the logs. It must never name a
//! place: only the store, which holds the conversation's head, knows it.

use bytes::Bytes;

use super::Head;
use crate::{
    entry::{EntryClass, EntryName},
    types::{ClientId, ConversationId, Event, EventKind, GroupChange, Position, Seq, Timestamp, UserId},
    write::Append,
};

/// An event without its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Draft<'a> {
    pub(crate) conversation: ConversationId,
    pub(crate) sender: UserId,
    /// Unique among the events of the conversation and the sender; of no meaning with [`UserId::SERVER`].
    pub(crate) client_id: ClientId,
    pub(crate) kind: EventKind,
    pub(crate) target: Seq,
    pub(crate) body: Bytes,
    pub(crate) reaction: &'a str,
    pub(crate) change: Option<GroupChange>,
    pub(crate) entry: Option<Box<EntryName>>,
    pub(crate) expires_at: Timestamp,
}

/// All events that an append becomes, in the order of writing; they are written together or not at all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Drafts<'a> {
    /// The event under the client id of the request, in the log that the request names.
    pub(crate) first: Draft<'a>,
    /// Events of other conversations, which are among [`super::logs_of`] the append. Rarely any.
    pub(crate) others: Vec<Draft<'a>>,
}

impl<'a> From<Draft<'a>> for Drafts<'a> {
    fn from(first: Draft<'a>) -> Self {
        Self {
            first,
            others: Vec::new(),
        }
    }
}

impl Head {
    /// The state after an event that changes nothing but the log.
    pub(crate) const fn followed_by(self, event: &Event) -> Self {
        Self {
            seq: event.seq,
            ordinal: event.ordinal,
            roster: event.roster,
            ..self
        }
    }
}

impl Draft<'_> {
    pub(super) const fn new(append: &Append, kind: EventKind, target: Seq, body: Bytes) -> Self {
        Self {
            conversation: append.conversation,
            sender: append.sender,
            client_id: append.client_id,
            kind,
            target,
            body,
            reaction: "",
            change: None,
            entry: None,
            expires_at: Timestamp(0),
        }
    }

    /// The new state of an entry, or that it is gone (`None`), in the own log of the append's sender.
    pub(super) fn entry(append: &Append, key: String, state: Option<(EntryClass, Bytes)>) -> Self {
        let kind = match state {
            Some(_) => EventKind::EntrySet,
            None => EventKind::EntryRemoved,
        };
        let (class, value) = state.unwrap_or((EntryClass::Plain, Bytes::new()));
        Self {
            entry: Some(Box::new(EntryName { key, class })),
            ..Self::new(append, kind, Seq(0), value)
        }
    }

    /// The same in another log, or beside the event that the request itself names: by the server.
    pub(super) fn caused(self, conversation: ConversationId) -> Self {
        Self {
            conversation,
            sender: UserId::SERVER,
            ..self
        }
    }

    pub(super) fn group(append: &Append, kind: EventKind, change: GroupChange) -> Self {
        Self {
            change: Some(change),
            ..Self::new(append, kind, Seq(0), Bytes::new())
        }
    }

    /// Makes the event, as the next one after this head of its conversation.
    pub(crate) fn into_event(self, at: Timestamp, position: Position, head: Option<Head>) -> Event {
        let seq = Seq(head.map_or(0, |head| head.seq.0) + 1);
        Event {
            position,
            conversation: self.conversation,
            seq,
            ordinal: head.map_or(0, |head| head.ordinal) + u64::from(self.kind.is_displayable()),
            roster: if self.kind.changes_members() {
                seq
            } else {
                head.map_or(Seq(0), |head| head.roster)
            },
            sender: self.sender,
            client_id: if self.sender == UserId::SERVER {
                ClientId(u128::from(seq.0).to_be_bytes())
            } else {
                self.client_id
            },
            at,
            kind: self.kind,
            target: self.target,
            body: self.body,
            change: self.change,
            entry: self.entry,
            expires_at: self.expires_at,
            recalled: false,
        }
    }
}
