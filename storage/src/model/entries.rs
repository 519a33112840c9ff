//! Entries, computed from own logs every time: what they are, who may write them, and what they close.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{append::Draft, state::State};
use crate::{
    entry::{
        ADD_TO_GROUPS, EntryClass, EntryName, EntryView, MESSAGE_ME, Reason, block_key, friend_key, person_of,
    },
    error::Refused,
    shape::Shape,
    types::{ConversationId, Event, EventKind, UserId},
    write::Append,
};

impl State {
    /// The present entries of a user: the newest event of each key.
    pub(super) fn entries(&self, of: UserId) -> BTreeMap<String, EntryView> {
        let mut entries = BTreeMap::new();
        let log = self.conversations.get(&ConversationId::own(of));
        for event in log.iter().flat_map(|own| &own.log).map(|entry| &entry.event) {
            let Some(name) = &event.entry else { continue };
            if event.kind == EventKind::EntryRemoved {
                entries.remove(&name.key);
                continue;
            }
            let view = EntryView {
                key: name.key.clone(),
                seq: event.seq,
                at: event.at,
                class: name.class,
                value: event.body.clone(),
            };
            entries.insert(name.key.clone(), view);
        }
        entries
    }

    pub(super) fn class(&self, user: UserId, key: &str) -> Option<EntryClass> {
        self.entries(user).get(key).map(|entry| entry.class)
    }

    pub(super) fn is(&self, user: UserId, key: &str, class: EntryClass) -> bool {
        self.class(user, key) == Some(class)
    }

    pub(super) fn blocks(&self, one: UserId, other: UserId) -> bool {
        self.is(one, &block_key(other), EntryClass::Blocked)
    }

    pub(super) fn own_log(&self, append: &Append) -> Result<(), Refused> {
        let is_own = Shape::of(append.conversation) == Some(Shape::Own(append.sender));
        if is_own && self.exists(append.sender) {
            Ok(())
        } else {
            Err(Refused::NotFound)
        }
    }

    pub(super) fn set_entry(&self, append: &Append, key: &str, value: &Bytes) -> Result<Draft, Refused> {
        self.own_log(append)?;
        let entries = self.entries(append.sender);
        match entries.get(key) {
            Some(present) if present.value == value => return Err(Refused::NothingToDo),
            Some(_) => {}
            None => {
                let own = entries.values().filter(|entry| entry.class.is_own());
                if own.count() >= self.rules.entries_max as usize {
                    return Err(Refused::LimitReached);
                }
            }
        }
        let class = EntryClass::of_own(key, value);
        Ok(entry_draft(key.to_owned(), Some((class, value.clone()))))
    }

    pub(super) fn remove_entry(&self, append: &Append, key: &str) -> Result<Draft, Refused> {
        self.own_log(append)?;
        if self.class(append.sender, key).is_none() {
            return Err(Refused::NothingToDo);
        }
        Ok(entry_draft(key.to_owned(), None))
    }

    /// Whether one may say the first word to the other.
    pub(super) fn may_begin(&self, one: UserId, other: UserId) -> Result<(), Refused> {
        let blocked = self.blocks(one, other) || self.blocks(other, one);
        let only_friends = self.is(other, MESSAGE_ME, EntryClass::FriendsOnly);
        let friends = self.is(other, &friend_key(one), EntryClass::Friends);
        if blocked || (only_friends && !friends) {
            return Err(Refused::Forbidden);
        }
        Ok(())
    }

    /// Whether all of these want to be made members of a group by `by`.
    pub(super) fn consent(&self, by: UserId, users: &BTreeSet<UserId>) -> Result<(), Refused> {
        for user in users.iter().filter(|user| **user != by) {
            let friends = self.is(*user, &friend_key(by), EntryClass::Friends);
            let refuses = match self.class(*user, ADD_TO_GROUPS) {
                Some(EntryClass::Nobody) => true,
                Some(EntryClass::FriendsOnly) => !friends,
                _ => false,
            };
            if refuses || self.blocks(*user, by) {
                return Err(Refused::Forbidden);
            }
        }
        Ok(())
    }

    /// What an entry meant before an event of it.
    pub(super) fn state_of(&self, event: &Event) -> Option<EntryClass> {
        let name = event.entry.as_ref()?;
        self.class(UserId(event.conversation.0), &name.key)
    }

    /// After an event of an entry: the older events of its key have no body, and what it closes is closed.
    pub(super) fn entered(&mut self, event: &Event, before: Option<EntryClass>) {
        let Some(name) = &event.entry else { return };
        if let Some(own) = self.conversations.get_mut(&event.conversation) {
            for entry in &mut own.log {
                let is_older = entry.event.seq < event.seq;
                let same = entry.event.entry.as_ref().is_some_and(|one| one.key == name.key);
                if is_older && same {
                    std::sync::Arc::make_mut(&mut entry.event).body = Bytes::new();
                }
            }
        }
        let whose = UserId(event.conversation.0);
        let Some(person) = person_of(&name.key) else {
            return;
        };
        let only_friends = self.is(whose, MESSAGE_ME, EntryClass::FriendsOnly);
        let blocks = self.blocks(whose, person);
        let Some(between) = ConversationId::between(whose, person) else {
            return;
        };
        let Some(conversation) = self.conversations.get_mut(&between) else {
            return;
        };
        if name.key == block_key(person) {
            if blocks {
                conversation.closed.insert((whose, Reason::Blocks));
            } else {
                conversation.closed.remove(&(whose, Reason::Blocks));
            }
        } else if name.class == EntryClass::Friends {
            conversation.closed.remove(&(whose, Reason::NotFriends));
        } else if before == Some(EntryClass::Friends) && only_friends {
            conversation.closed.insert((whose, Reason::NotFriends));
        }
    }
}

pub(super) fn entry_draft(key: String, state: Option<(EntryClass, Bytes)>) -> Draft {
    let (kind, class, value) = match state {
        Some((class, value)) => (EventKind::EntrySet, class, value),
        None => (EventKind::EntryRemoved, EntryClass::Plain, Bytes::new()),
    };
    Draft {
        body: value,
        entry: Some(EntryName { key, class }),
        ..Draft::new(kind)
    }
}
