//! The rules of entries that their users write, and what entries say about first messages and groups.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Draft, Lookup, Stop, append::Case};
use crate::{
    entry::{self, ADD_TO_GROUPS, EntryClass, block_key, friend_key},
    error::Refused,
    shape::Shape,
    types::{Timestamp, UserId},
};

impl<'a, L: Lookup> Case<'a, '_, L> {
    /// Checks that the log is the sender's own, and that they are somebody.
    pub(super) fn own_log(&mut self) -> Result<(), Stop<L::Failure>> {
        let append = self.append;
        if Shape::of(append.conversation) != Some(Shape::Own(append.sender)) {
            return Err(Refused::NotFound.into());
        }
        let begins = self.known.head(append.conversation)?.is_none();
        if begins && !self.known.all_exist(std::iter::once(append.sender))? {
            return Err(Refused::NotFound.into());
        }
        Ok(())
    }

    pub(super) fn set_entry(&mut self, key: &str, value: &Bytes) -> Result<Draft<'a>, Stop<L::Failure>> {
        self.own_log()?;
        let user = self.append.sender;
        match self.known.entry(user, key)? {
            Some(present) if present.value == *value => return Err(Refused::NothingToDo.into()),
            Some(_) => {}
            None => self.room_for_entry()?,
        }
        let class = EntryClass::of_own(key, value);
        Ok(Draft::entry(
            self.append,
            key.to_owned(),
            Some((class, value.clone())),
        ))
    }

    fn room_for_entry(&mut self) -> Result<(), Stop<L::Failure>> {
        let mut count = 0;
        for class in EntryClass::ALL.iter().filter(|class| class.is_own()) {
            count += self.known.entries_of(self.append.sender, *class, Timestamp(0))?;
        }
        if count >= u64::from(self.rules.entries_max) {
            return Err(Refused::LimitReached.into());
        }
        Ok(())
    }

    pub(super) fn remove_entry(&mut self, key: &str) -> Result<Draft<'a>, Stop<L::Failure>> {
        self.own_log()?;
        if self.known.entry(self.append.sender, key)?.is_none() {
            return Err(Refused::NothingToDo.into());
        }
        Ok(Draft::entry(self.append, key.to_owned(), None))
    }

    /// Checks that the sender may begin a conversation with this person.
    pub(super) fn may_begin_with(&mut self, peer: UserId) -> Result<(), Stop<L::Failure>> {
        let asked = entry::of_first_word(self.append.sender, peer);
        if !entry::may_begin(&self.known.classes(&asked)?) {
            return Err(Refused::Forbidden.into());
        }
        Ok(())
    }

    /// Checks that these people want to be made members by the sender.
    pub(super) fn consent(&mut self, people: &BTreeSet<UserId>) -> Result<(), Stop<L::Failure>> {
        let sender = self.append.sender;
        let others: Vec<UserId> = people.iter().copied().filter(|user| *user != sender).collect();
        let asked: Vec<(UserId, String)> = others
            .iter()
            .flat_map(|user| {
                [
                    (*user, block_key(sender)),
                    (*user, friend_key(sender)),
                    (*user, ADD_TO_GROUPS.to_owned()),
                ]
            })
            .collect();
        let classes = self.known.classes(&asked)?;
        let (of_each, _) = classes.as_chunks::<3>();
        let refuses = of_each.iter().any(|[block, friend, setting]| {
            let is_friend = *friend == Some(EntryClass::Friends);
            *block == Some(EntryClass::Blocked)
                || *setting == Some(EntryClass::Nobody)
                || (*setting == Some(EntryClass::FriendsOnly) && !is_friend)
        });
        if refuses || of_each.len() != others.len() {
            return Err(Refused::Forbidden.into());
        }
        Ok(())
    }
}
