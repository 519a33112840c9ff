//! The rules of the log, once for SQLite and PostgreSQL: permissions of appends, sessions that a new one displaces,
//! moves of cursors.
//!
//! It owns decisions over values. It must never read or write a store: a store supplies the facts ([`Lookup`]) and
//! writes the decision. The model does not use it, because the model is its oracle.

mod accounts;
mod append;
mod cursors;
mod draft;
mod entries;
mod group;
mod people;
mod sessions;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use accounts::{changed_profile, new_user};
pub(crate) use append::{decide, logs_of};
pub(crate) use cursors::Moves;
pub(crate) use draft::{Draft, Drafts};
pub(crate) use sessions::{ended_by, make_room};

use crate::{
    entry::{Closed, EntryClass, EntryView},
    error::Refused,
    setting::GroupSettings,
    types::{ConversationId, Role, Seq, Timestamp, UserId},
};

/// Why a single write ends early: its refusal, or a failure of the store, which ends the whole batch.
#[derive(Debug)]
pub(crate) enum Stop<F> {
    Refused(Refused),
    Failed(F),
}

impl<F> From<Refused> for Stop<F> {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// A conversation's newest state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Head {
    pub(crate) seq: Seq,
    pub(crate) ordinal: u64,
    pub(crate) roster: Seq,
    pub(crate) member_count: u64,
    pub(crate) disbanded: bool,
    pub(crate) closed: Closed,
}

/// A user's newest membership of a conversation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Membership {
    pub(crate) role: Role,
    pub(crate) is_over: bool,
}

/// A displayable message that another event is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Target {
    pub(crate) sender: UserId,
    pub(crate) kind: u8,
    pub(crate) expires_at: Timestamp,
    pub(crate) recalled: bool,
}

/// The facts that a rule needs from a store about one append, after the earlier writes of the batch. The conversation
/// and the sender are those of the append unless named. Every method may fail; the caller then ends at once.
pub(crate) trait Lookup {
    /// The store's failure.
    type Failure;

    /// The newest state of a conversation; `None` if it has no event.
    fn head(&mut self, of: ConversationId) -> Result<Option<Head>, Stop<Self::Failure>>;

    /// The sender's newest membership of a conversation.
    fn membership(&mut self, of: ConversationId) -> Result<Option<Membership>, Stop<Self::Failure>>;

    /// The message at this seq, if it is displayable and the sender can see it. It is the target of
    /// the action's [reach](crate::Reach).
    fn target(&mut self, seq: Seq) -> Result<Option<Target>, Stop<Self::Failure>>;

    /// How many edits the message has.
    fn edits_of(&mut self, message: Seq) -> Result<u64, Stop<Self::Failure>>;

    /// How many users have a reaction to the message.
    fn reactions_to(&mut self, message: Seq) -> Result<u64, Stop<Self::Failure>>;

    /// The sender's reaction to the message.
    fn reaction(&mut self, message: Seq) -> Result<Option<String>, Stop<Self::Failure>>;

    /// The settings of the group.
    fn settings(&mut self) -> Result<GroupSettings, Stop<Self::Failure>>;

    /// Whether both texts are equal as this store keeps them.
    fn is_same(&self, kept: &str, new: &str) -> bool {
        kept == new
    }

    /// Whether every one of these has an account; no user is named twice.
    fn all_exist(&mut self, users: impl Iterator<Item = UserId>) -> Result<bool, Stop<Self::Failure>>;

    /// The role of a present member.
    fn role_of(&mut self, user: UserId) -> Result<Option<Role>, Stop<Self::Failure>>;

    /// The present members among these.
    fn members_among(&mut self, users: &BTreeSet<UserId>) -> Result<Vec<UserId>, Stop<Self::Failure>>;

    /// When those of these users who are not members any more, and left by themselves, went.
    fn left_at(&mut self, users: &BTreeSet<UserId>) -> Result<Vec<Timestamp>, Stop<Self::Failure>>;

    /// The number of the group's owners.
    fn owners(&mut self) -> Result<u64, Stop<Self::Failure>>;

    /// An entry of a user.
    fn entry(&mut self, of: UserId, key: &str) -> Result<Option<EntryView>, Stop<Self::Failure>>;

    /// What each of these entries means, in their order; `None` for one that there is not.
    fn classes(
        &mut self,
        entries: &[(UserId, String)],
    ) -> Result<Vec<Option<EntryClass>>, Stop<Self::Failure>>;

    /// How many entries of a class a user has that came to stand so later than at a time.
    fn entries_of(
        &mut self,
        user: UserId,
        class: EntryClass,
        since: Timestamp,
    ) -> Result<u64, Stop<Self::Failure>>;

    /// The key of a user's oldest entry of a class: the first one by time, then by seq.
    fn oldest_entry(&mut self, of: UserId, class: EntryClass) -> Result<Option<String>, Stop<Self::Failure>>;

    /// The number of groups that each of these is a member of; a user without groups may be left out.
    fn groups_of(&mut self, users: &BTreeSet<UserId>) -> Result<BTreeMap<UserId, u64>, Stop<Self::Failure>>;
}
