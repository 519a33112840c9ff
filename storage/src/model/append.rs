//! Whether an append is allowed, and the entry it makes: decisions only, nothing is changed here.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::state::{Conversation, State, Stay};
use crate::{
    entry::EntryName,
    error::Refused,
    setting::{GroupSetting, GroupSettings},
    shape::Shape,
    types::{ConversationId, Event, EventKind, GroupChange, Role, Seq, Timestamp, UserId},
    write::{Action, Append},
};

/// The specific part of an allowed append.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) kind: EventKind,
    pub(super) target: Seq,
    pub(super) body: Bytes,
    pub(super) reaction: String,
    pub(super) change: Option<GroupChange>,
    pub(super) entry: Option<EntryName>,
    pub(super) expires_at: Timestamp,
}

impl Draft {
    pub(super) fn new(kind: EventKind) -> Self {
        Self {
            kind,
            target: Seq(0),
            body: Bytes::new(),
            reaction: String::new(),
            change: None,
            entry: None,
            expires_at: Timestamp(0),
        }
    }

    fn about(kind: EventKind, target: Seq) -> Self {
        Self {
            target,
            ..Self::new(kind)
        }
    }

    fn group(kind: EventKind, change: GroupChange) -> Self {
        Self {
            change: Some(change),
            ..Self::new(kind)
        }
    }
}

impl State {
    pub(super) fn decide(&self, append: &Append) -> Result<Draft, Refused> {
        match &append.action {
            Action::Message {
                kind,
                body,
                expires_at,
                reply_to,
            } => self.message(append, *kind, body, *expires_at, *reply_to),
            Action::Edit { target, body, fits } => {
                self.stay(append)?;
                self.open(append)?;
                let event = self.target(append, *target)?;
                if event.sender != append.sender {
                    return Err(Refused::Forbidden);
                }
                unless_gone(event, append.at)?;
                if !fits.has(event.kind.number()) {
                    return Err(Refused::Unfit);
                }
                let edits = self.known(append.conversation)?.about(*target, EventKind::Edit);
                if edits.count() >= self.rules.message_edits_max as usize {
                    return Err(Refused::LimitReached);
                }
                Ok(Draft {
                    body: body.clone(),
                    expires_at: event.expires_at,
                    ..Draft::about(EventKind::Edit, *target)
                })
            }
            Action::Recall { target } => {
                let event = self.target(append, *target)?;
                let moderator = self.stay(append)?.role >= Role::Admin;
                if event.sender != append.sender && !moderator {
                    return Err(Refused::Forbidden);
                }
                if event.recalled {
                    return Err(Refused::Gone);
                }
                Ok(Draft::about(EventKind::Recall, *target))
            }
            Action::React {
                target,
                reaction,
                body,
            } => {
                self.stay(append)?;
                self.open(append)?;
                unless_gone(self.target(append, *target)?, append.at)?;
                let reactions = self.known(append.conversation)?.reactions(*target);
                match reactions.get(&append.sender) {
                    Some(present) if present == reaction => return Err(Refused::NothingToDo),
                    None if reaction.is_empty() => return Err(Refused::NothingToDo),
                    None if reactions.len() >= self.rules.message_reactions_max as usize => {
                        return Err(Refused::LimitReached);
                    }
                    _ => {}
                }
                Ok(Draft {
                    body: body.clone(),
                    reaction: reaction.clone(),
                    ..Draft::about(EventKind::Reaction, *target)
                })
            }
            Action::CreateGroup { name, members } => self.create_group(append, name, members),
            Action::AddMembers { users } => self.add_members(append, users),
            Action::RemoveMember { user } => self.remove_member(append, *user),
            Action::Leave => self.leave(append),
            Action::SetRole { user, role } => self.set_role(append, *user, *role),
            Action::Set { setting, value } => {
                let (conversation, _) = self.group_as(append, setting.least())?;
                if conversation.settings_at(conversation.head()).get(*setting) == value {
                    return Err(Refused::NothingToDo);
                }
                Ok(Draft::group(
                    setting.kind(),
                    GroupChange {
                        settings: GroupSettings::of(*setting, value),
                        ..GroupChange::default()
                    },
                ))
            }
            Action::Disband => {
                self.group_as(append, Role::Owner)?;
                Ok(Draft::group(EventKind::GroupDisbanded, GroupChange::default()))
            }
            Action::SetEntry { key, value } => self.set_entry(append, key, value),
            Action::RemoveEntry { key } => self.remove_entry(append, key),
            // It may become several events: see `people.rs`.
            Action::Person(_) => Err(Refused::NotFound),
            #[cfg(any(test, feature = "conformance"))]
            Action::Pair { other, body } => {
                let here = self.message(append, 1, body, Timestamp(0), Seq(0))?;
                let there = Append {
                    conversation: *other,
                    ..append.clone()
                };
                self.message(&there, 1, body, Timestamp(0), Seq(0))?;
                Ok(here)
            }
        }
    }

    pub(super) fn exists(&self, user: UserId) -> bool {
        self.accounts.contains_key(&user)
    }

    /// An existing conversation.
    fn known(&self, id: ConversationId) -> Result<&Conversation, Refused> {
        self.conversations.get(&id).ok_or(Refused::NotFound)
    }

    /// Checks that the sender may write here now. 1:1 conversations and own logs need not exist yet.
    fn may_write(&self, append: &Append) -> Result<(), Refused> {
        let shape = Shape::of(append.conversation).ok_or(Refused::NotFound)?;
        if shape == Shape::Group {
            self.stay(append).map(|_| ())
        } else if shape.fixed_members().any(|user| user == append.sender)
            && shape.fixed_members().all(|user| self.exists(user))
        {
            if self.conversations.contains_key(&append.conversation) {
                self.open(append)
            } else {
                shape
                    .peer_of(append.sender)
                    .map_or(Ok(()), |peer| self.may_begin(append.sender, peer))
            }
        } else {
            Err(Refused::NotFound)
        }
    }

    /// Checks that nothing closes the conversation.
    fn open(&self, append: &Append) -> Result<(), Refused> {
        match self.conversations.get(&append.conversation) {
            Some(conversation) if !conversation.closed.is_empty() => Err(Refused::Forbidden),
            _ => Ok(()),
        }
    }

    /// The sender's present membership of an existing conversation.
    fn stay(&self, append: &Append) -> Result<&Stay, Refused> {
        let conversation = self.known(append.conversation)?;
        let stay = conversation.newest_stay(append.sender).ok_or(Refused::NotFound)?;
        if stay.left.is_some() {
            return Err(Refused::Forbidden);
        }
        if conversation.disbanded {
            return Err(Refused::Gone);
        }
        Ok(stay)
    }

    /// Checks that the conversation is a group and that its sender is a member with at least this role.
    fn group_as(&self, append: &Append, least: Role) -> Result<(&Conversation, &Stay), Refused> {
        let stay = self.stay(append)?;
        let conversation = self.known(append.conversation)?;
        if conversation.shape != Shape::Group || stay.role < least {
            return Err(Refused::Forbidden);
        }
        Ok((conversation, stay))
    }

    /// A displayable message that the sender, a present member, can see.
    fn target(&self, append: &Append, target: Seq) -> Result<&Event, Refused> {
        self.stay(append)?;
        let conversation = self.known(append.conversation)?;
        let entry = conversation.entry(target).ok_or(Refused::NotFound)?;
        if !entry.event.kind.is_displayable() || !conversation.sees(append.sender, target) {
            return Err(Refused::NotFound);
        }
        Ok(&entry.event)
    }

    fn message(
        &self,
        append: &Append,
        kind: u8,
        body: &Bytes,
        expires_at: Timestamp,
        reply_to: Seq,
    ) -> Result<Draft, Refused> {
        self.may_write(append)?;
        if !(1..=31).contains(&kind) {
            return Err(Refused::Forbidden);
        }
        if reply_to != Seq(0) {
            self.target(append, reply_to)?;
        }
        Ok(Draft {
            body: body.clone(),
            expires_at,
            ..Draft::new(EventKind::Message(kind))
        })
    }

    fn create_group(&self, append: &Append, name: &str, members: &[UserId]) -> Result<Draft, Refused> {
        if Shape::of(append.conversation) != Some(Shape::Group) {
            return Err(Refused::NotFound);
        }
        if self.conversations.contains_key(&append.conversation) {
            return Err(Refused::Conflict);
        }
        let users: BTreeSet<UserId> = members.iter().copied().chain([append.sender]).collect();
        if users.iter().any(|user| !self.exists(*user)) {
            return Err(Refused::NotFound);
        }
        self.consent(append.sender, &users)?;
        self.room_for(&users, 0, Some(append.sender))?;
        Ok(Draft::group(
            EventKind::GroupCreated,
            GroupChange {
                users: users.into_iter().collect(),
                role: None,
                settings: GroupSettings::of(GroupSetting::Name, name),
            },
        ))
    }

    fn add_members(&self, append: &Append, users: &[UserId]) -> Result<Draft, Refused> {
        let least = if self.rules.members_may_add {
            Role::Member
        } else {
            Role::Admin
        };
        let (conversation, _) = self.group_as(append, least)?;
        if users.iter().any(|user| !self.exists(*user)) {
            return Err(Refused::NotFound);
        }
        let new: BTreeSet<UserId> = users
            .iter()
            .copied()
            .filter(|user| conversation.member(*user).is_none())
            .collect();
        if new.is_empty() {
            return Err(Refused::NothingToDo);
        }
        let left_lately =
            |user: &UserId| conversation.left_lately(*user, append.at, self.rules.put_back_after_ms);
        if new.iter().any(left_lately) {
            return Err(Refused::Forbidden);
        }
        self.consent(append.sender, &new)?;
        self.room_for(&new, conversation.members().count(), None)?;
        Ok(Draft::group(
            EventKind::MembersAdded,
            GroupChange {
                users: new.into_iter().collect(),
                ..GroupChange::default()
            },
        ))
    }

    /// Checks the room in a group of `present` members for these users, and in their lists of groups for it.
    fn room_for(
        &self,
        new: &BTreeSet<UserId>,
        present: usize,
        founder: Option<UserId>,
    ) -> Result<(), Refused> {
        let full = present + new.len() > self.rules.group_members_max as usize;
        let busy = |user: &UserId| {
            let most = if founder == Some(*user) {
                self.rules.groups_per_user_max
            } else {
                self.rules.groups_put_into_max
            };
            self.groups_of(*user) >= most as usize
        };
        if full || new.iter().any(busy) {
            return Err(Refused::LimitReached);
        }
        Ok(())
    }

    fn remove_member(&self, append: &Append, user: UserId) -> Result<Draft, Refused> {
        let (conversation, own) = self.group_as(append, Role::Admin)?;
        let other = conversation.member(user).ok_or(Refused::NotFound)?;
        let allowed = match own.role {
            Role::Owner => user != append.sender,
            Role::Admin => other.role == Role::Member,
            Role::Member => false,
        };
        if !allowed {
            return Err(Refused::Forbidden);
        }
        Ok(about_user(EventKind::MemberRemoved, user, None))
    }

    fn leave(&self, append: &Append) -> Result<Draft, Refused> {
        let (conversation, own) = self.group_as(append, Role::Member)?;
        if own.role == Role::Owner && conversation.owners() == 1 && conversation.members().count() > 1 {
            return Err(Refused::Forbidden);
        }
        Ok(about_user(EventKind::MemberLeft, append.sender, None))
    }

    fn set_role(&self, append: &Append, user: UserId, role: Role) -> Result<Draft, Refused> {
        let (conversation, _) = self.group_as(append, Role::Owner)?;
        let other = conversation.member(user).ok_or(Refused::NotFound)?;
        if other.role == role {
            return Err(Refused::NothingToDo);
        }
        if other.role == Role::Owner && conversation.owners() == 1 {
            return Err(Refused::Forbidden);
        }
        Ok(about_user(EventKind::RoleChanged, user, Some(role)))
    }
}

fn about_user(kind: EventKind, user: UserId, role: Option<Role>) -> Draft {
    Draft::group(
        kind,
        GroupChange {
            users: vec![user],
            role,
            ..GroupChange::default()
        },
    )
}

/// A recalled message, or one that has expired by this time, is not changed any more.
fn unless_gone(event: &Event, at: Timestamp) -> Result<(), Refused> {
    if event.recalled || event.has_expired(at) {
        return Err(Refused::Gone);
    }
    Ok(())
}
