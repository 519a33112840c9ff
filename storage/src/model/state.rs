//! The model's memory, and the lookups that both its writes and its reads use.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    entry::Reason,
    setting::GroupSettings,
    shape::Shape,
    types::{
        ClientId, ConversationId, Credentials, Event, EventKind, Fingerprint, Position, Role, Seq, Session,
        SessionId, Timestamp, TokenHash, UserId,
    },
    write::Rules,
};

pub(super) struct State {
    pub(super) rules: Rules,
    /// The newest position assigned.
    pub(super) position: Position,
    pub(super) accounts: BTreeMap<UserId, Credentials>,
    pub(super) names: BTreeMap<String, UserId>,
    pub(super) sessions: BTreeMap<SessionId, (Session, TokenHash)>,
    pub(super) conversations: BTreeMap<ConversationId, Conversation>,
}

pub(super) struct Conversation {
    pub(super) shape: Shape,
    pub(super) disbanded: bool,
    /// Why nobody may write in a 1:1 conversation.
    pub(super) closed: BTreeSet<(UserId, Reason)>,
    /// Seq n is at index n - 1. Never empty.
    pub(super) log: Vec<Entry>,
    pub(super) requests: BTreeMap<(UserId, ClientId), Seq>,
    /// The edits, recalls and reactions of a message, ascending.
    pub(super) about: BTreeMap<Seq, Vec<Seq>>,
    /// In the order of joining.
    pub(super) stays: Vec<Stay>,
    pub(super) cursors: BTreeMap<UserId, Cursor>,
}

pub(super) struct Entry {
    pub(super) event: Arc<Event>,
    pub(super) fingerprint: Fingerprint,
    /// With reactions.
    pub(super) reaction: String,
}

/// One membership interval.
pub(super) struct Stay {
    pub(super) user: UserId,
    pub(super) role: Role,
    pub(super) joined: Seq,
    pub(super) left: Option<Seq>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Cursor {
    pub(super) delivered: Seq,
    pub(super) read: Seq,
    /// When it was last moved by a cursor write.
    pub(super) moved: Position,
}

impl State {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            position: Position(0),
            accounts: BTreeMap::new(),
            names: BTreeMap::new(),
            sessions: BTreeMap::new(),
            conversations: BTreeMap::new(),
        }
    }

    pub(super) fn next_position(&mut self) -> Position {
        self.position.0 += 1;
        self.position
    }

    /// Groups that have not ended and that the user is a member of now.
    pub(super) fn groups_of(&self, user: UserId) -> usize {
        self.conversations
            .values()
            .filter(|conversation| conversation.shape == Shape::Group && !conversation.disbanded)
            .filter(|conversation| conversation.member(user).is_some())
            .count()
    }
}

impl Conversation {
    pub(super) fn new(shape: Shape) -> Self {
        let stays = shape
            .fixed_members()
            .map(|user| Stay {
                user,
                role: Role::Member,
                joined: Seq(1),
                left: None,
            })
            .collect();
        Self {
            shape,
            disbanded: false,
            closed: BTreeSet::new(),
            log: Vec::new(),
            requests: BTreeMap::new(),
            about: BTreeMap::new(),
            stays,
            cursors: BTreeMap::new(),
        }
    }

    pub(super) fn head(&self) -> Seq {
        Seq(self.log.len() as u64)
    }

    pub(super) fn entry(&self, seq: Seq) -> Option<&Entry> {
        self.log.get(usize::try_from(seq.0.checked_sub(1)?).ok()?)
    }

    /// Displayable messages up to and including this seq.
    pub(super) fn ordinal_at(&self, seq: Seq) -> u64 {
        self.entry(seq).map_or(0, |entry| entry.event.ordinal)
    }

    /// The newest interval, over or not.
    pub(super) fn newest_stay(&self, user: UserId) -> Option<&Stay> {
        self.stays.iter().rev().find(|stay| stay.user == user)
    }

    /// Whether a user left by themselves too recently before `at`.
    pub(super) fn left_lately(&self, user: UserId, at: Timestamp, within_ms: u64) -> bool {
        let left = self.newest_stay(user).and_then(|stay| self.entry(stay.left?));
        left.is_some_and(|entry| {
            let event = &entry.event;
            event.kind == EventKind::MemberLeft && at.0 < event.at.0.saturating_add(within_ms)
        })
    }

    /// The first interval of all.
    pub(super) fn first_stay(&self, user: UserId) -> Option<&Stay> {
        self.stays.iter().find(|stay| stay.user == user)
    }

    /// The log up to and including a seq.
    fn up_to(&self, seq: Seq) -> impl Iterator<Item = &Event> {
        self.log
            .iter()
            .map(|entry| &*entry.event)
            .take_while(move |event| event.seq <= seq)
    }

    /// The settings that the group had after the event of this seq.
    pub(super) fn settings_at(&self, seq: Seq) -> GroupSettings {
        let mut settings = GroupSettings::default();
        for change in self.up_to(seq).filter_map(|event| event.change.as_ref()) {
            settings.change(&change.settings);
        }
        settings
    }

    /// How many were members after the event of this seq.
    pub(super) fn members_at(&self, seq: Seq) -> usize {
        let stays = self.stays.iter();
        stays
            .filter(|stay| stay.joined <= seq && stay.left.is_none_or(|left| seq < left))
            .count()
    }

    /// Whether the group had ended with the event of this seq.
    pub(super) fn disbanded_at(&self, seq: Seq) -> bool {
        self.up_to(seq)
            .any(|event| event.kind == EventKind::GroupDisbanded)
    }

    /// The open interval.
    pub(super) fn member(&self, user: UserId) -> Option<&Stay> {
        self.newest_stay(user).filter(|stay| stay.left.is_none())
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Stay> {
        self.stays.iter().filter(|stay| stay.left.is_none())
    }

    pub(super) fn owners(&self) -> usize {
        self.members().filter(|stay| stay.role == Role::Owner).count()
    }

    /// The last seq that the user may see; `None` for a user who never was a member.
    pub(super) fn visible_head(&self, user: UserId) -> Option<Seq> {
        self.newest_stay(user)
            .map(|stay| stay.left.unwrap_or_else(|| self.head()))
    }

    pub(super) fn sees(&self, user: UserId, seq: Seq) -> bool {
        seq <= self.head()
            && self.stays.iter().any(|stay| {
                stay.user == user && stay.joined <= seq && stay.left.is_none_or(|left| seq <= left)
            })
    }

    /// The present reactions of a message, by user.
    pub(super) fn reactions(&self, target: Seq) -> BTreeMap<UserId, &str> {
        let mut reactions = BTreeMap::new();
        for reaction in self.about(target, EventKind::Reaction) {
            reactions.insert(reaction.event.sender, &*reaction.reaction);
        }
        reactions.retain(|_, reaction| !reaction.is_empty());
        reactions
    }

    /// The events of one kind about a message, ascending.
    pub(super) fn about(&self, target: Seq, kind: EventKind) -> impl DoubleEndedIterator<Item = &Entry> {
        self.about
            .get(&target)
            .into_iter()
            .flatten()
            .filter_map(|seq| self.entry(*seq))
            .filter(move |entry| entry.event.kind == kind)
    }
}
