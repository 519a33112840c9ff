//! The rights of group members.

use std::collections::BTreeSet;

use super::{Draft, Head, Lookup, Membership, Stop, append::Case};
use crate::{
    error::Refused,
    setting::{GroupSetting, GroupSettings},
    shape::Shape,
    types::{EventKind, GroupChange, Role, UserId},
};

impl<'a, L: Lookup> Case<'a, '_, L> {
    /// Checks that the conversation is a group and that its sender is a member with at least this role.
    fn group_as(&mut self, least: Role) -> Result<(Head, Membership), Stop<L::Failure>> {
        let conversation = self.append.conversation;
        let membership = self.member(conversation)?;
        let head = self.known.head(conversation)?.ok_or(Refused::NotFound)?;
        if Shape::of(conversation) != Some(Shape::Group) || membership.role < least {
            return Err(Refused::Forbidden.into());
        }
        Ok((head, membership))
    }

    pub(super) fn create_group(
        &mut self,
        name: &str,
        members: &[UserId],
    ) -> Result<Draft<'a>, Stop<L::Failure>> {
        let append = self.append;
        if Shape::of(append.conversation) != Some(Shape::Group) {
            return Err(Refused::NotFound.into());
        }
        if self.known.head(append.conversation)?.is_some() {
            return Err(Refused::Conflict.into());
        }
        let users: BTreeSet<UserId> = members.iter().copied().chain([append.sender]).collect();
        self.all_exist(&users)?;
        self.consent(&users)?;
        self.room_for(&users, 0, Some(append.sender))?;
        let change = GroupChange {
            users: users.into_iter().collect(),
            role: None,
            settings: GroupSettings::of(GroupSetting::Name, name),
        };
        Ok(Draft::group(append, EventKind::GroupCreated, change))
    }

    pub(super) fn add_members(&mut self, users: &[UserId]) -> Result<Draft<'a>, Stop<L::Failure>> {
        let least = if self.rules.members_may_add {
            Role::Member
        } else {
            Role::Admin
        };
        let (head, _) = self.group_as(least)?;
        let mut new: BTreeSet<UserId> = users.iter().copied().collect();
        self.all_exist(&new)?;
        for member in self.known.members_among(&new)? {
            new.remove(&member);
        }
        if new.is_empty() {
            return Err(Refused::NothingToDo.into());
        }
        self.left_long_ago(&new)?;
        self.consent(&new)?;
        self.room_for(&new, head.member_count, None)?;
        let change = GroupChange {
            users: new.into_iter().collect(),
            ..GroupChange::default()
        };
        Ok(Draft::group(self.append, EventKind::MembersAdded, change))
    }

    pub(super) fn remove_member(&mut self, user: UserId) -> Result<Draft<'a>, Stop<L::Failure>> {
        let (_, own) = self.group_as(Role::Admin)?;
        let other = self.known.role_of(user)?.ok_or(Refused::NotFound)?;
        let allowed = match own.role {
            Role::Owner => user != self.append.sender,
            Role::Admin => other == Role::Member,
            Role::Member => false,
        };
        if !allowed {
            return Err(Refused::Forbidden.into());
        }
        Ok(self.about(EventKind::MemberRemoved, user, None))
    }

    pub(super) fn leave(&mut self) -> Result<Draft<'a>, Stop<L::Failure>> {
        let (head, own) = self.group_as(Role::Member)?;
        if own.role == Role::Owner && head.member_count > 1 && self.known.owners()? == 1 {
            return Err(Refused::Forbidden.into());
        }
        Ok(self.about(EventKind::MemberLeft, self.append.sender, None))
    }

    pub(super) fn set_role(&mut self, user: UserId, role: Role) -> Result<Draft<'a>, Stop<L::Failure>> {
        self.group_as(Role::Owner)?;
        let present = self.known.role_of(user)?.ok_or(Refused::NotFound)?;
        if present == role {
            return Err(Refused::NothingToDo.into());
        }
        if present == Role::Owner && self.known.owners()? == 1 {
            return Err(Refused::Forbidden.into());
        }
        Ok(self.about(EventKind::RoleChanged, user, Some(role)))
    }

    pub(super) fn set(&mut self, setting: GroupSetting, value: &str) -> Result<Draft<'a>, Stop<L::Failure>> {
        self.group_as(setting.least())?;
        if self.known.settings()?.get(setting) == value {
            return Err(Refused::NothingToDo.into());
        }
        let change = GroupChange {
            settings: GroupSettings::of(setting, value),
            ..GroupChange::default()
        };
        Ok(Draft::group(self.append, setting.kind(), change))
    }

    pub(super) fn disband(&mut self) -> Result<Draft<'a>, Stop<L::Failure>> {
        self.group_as(Role::Owner)?;
        Ok(Draft::group(
            self.append,
            EventKind::GroupDisbanded,
            GroupChange::default(),
        ))
    }

    fn about(&self, kind: EventKind, user: UserId, role: Option<Role>) -> Draft<'a> {
        let change = GroupChange {
            users: vec![user],
            role,
            ..GroupChange::default()
        };
        Draft::group(self.append, kind, change)
    }

    fn all_exist(&mut self, users: &BTreeSet<UserId>) -> Result<(), Stop<L::Failure>> {
        if self.known.all_exist(users.iter().copied())? {
            Ok(())
        } else {
            Err(Refused::NotFound.into())
        }
    }

    /// Checks that none of these left by themselves too recently.
    fn left_long_ago(&mut self, users: &BTreeSet<UserId>) -> Result<(), Stop<L::Failure>> {
        let pause_ms = self.rules.put_back_after_ms;
        if pause_ms == 0 {
            return Ok(());
        }
        let now = self.append.at;
        let is_recent = self
            .known
            .left_at(users)?
            .into_iter()
            .any(|left| now.0 < left.0.saturating_add(pause_ms));
        if is_recent {
            return Err(Refused::Forbidden.into());
        }
        Ok(())
    }

    /// Checks the room in a group of `present` members for these users, and in their lists of groups for it. The
    /// creator may be in more groups than users that are added.
    fn room_for(
        &mut self,
        new: &BTreeSet<UserId>,
        present: u64,
        founder: Option<UserId>,
    ) -> Result<(), Stop<L::Failure>> {
        if present + new.len() as u64 > u64::from(self.rules.group_members_max) {
            return Err(Refused::LimitReached.into());
        }
        let groups = self.known.groups_of(new)?;
        let is_full = new.iter().any(|user| {
            let most = if founder == Some(*user) {
                self.rules.groups_per_user_max
            } else {
                self.rules.groups_put_into_max
            };
            groups.get(user).copied().unwrap_or(0) >= u64::from(most)
        });
        if is_full {
            return Err(Refused::LimitReached.into());
        }
        Ok(())
    }
}
