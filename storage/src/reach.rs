//! What each action touches beside the log of its conversation: one table, from which stores know what to lock and look
//! up, and lanes how much work it is. It decides nothing, and it must have no default arm, so that a new action does not
//! build before its reach stands here.

use crate::{
    types::{ConversationId, Seq, UserId},
    write::Action,
};

/// The rows that an action may need beside those that every append does: its log's head, and the sender's membership
/// and cursor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reach<'a> {
    /// The message that it is about or replies to; 0: none.
    pub target: Seq,
    /// It erases the target's body, which may have any length.
    pub erases: bool,
    /// A second conversation whose log it writes.
    pub other: Option<ConversationId>,
    /// A person whose own log it may write, and the log of the 1:1 conversation of that person and the sender.
    pub person: Option<UserId>,
    /// The conversations that may begin with it.
    pub begins: Begins,
    /// Users whose number of groups it changes, without the sender.
    pub users: &'a [UserId],
    /// It changes the sender's number of groups.
    pub sender: bool,
    /// It changes the number of groups of every member.
    pub members: bool,
}

/// What an action may begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Begins {
    /// Its conversation must exist.
    Nothing,
    /// A 1:1 conversation, or a user's own log.
    Fixed,
    /// A group.
    Group,
}

const LOG: Reach<'_> = Reach {
    target: Seq(0),
    erases: false,
    other: None,
    person: None,
    begins: Begins::Nothing,
    users: &[],
    sender: false,
    members: false,
};

impl Reach<'_> {
    /// Events that it becomes, at most: an act about a person may become one more in each own log, one between the two,
    /// and one that makes room.
    pub const fn events_max(&self) -> u64 {
        1 + self.other.is_some() as u64 + self.person.is_some() as u64 * 3
    }
}

impl Action {
    /// What it touches.
    #[inline]
    pub const fn reach(&self) -> Reach<'_> {
        match self {
            Self::Message { reply_to, .. } => Reach {
                target: *reply_to,
                begins: Begins::Fixed,
                ..LOG
            },
            Self::Edit { target, .. } | Self::React { target, .. } => Reach {
                target: *target,
                ..LOG
            },
            Self::Recall { target } => Reach {
                target: *target,
                erases: true,
                ..LOG
            },
            Self::CreateGroup { members, .. } => Reach {
                begins: Begins::Group,
                users: members.as_slice(),
                sender: true,
                ..LOG
            },
            Self::AddMembers { users } => Reach {
                users: users.as_slice(),
                ..LOG
            },
            Self::RemoveMember { user } => Reach {
                users: std::slice::from_ref(user),
                ..LOG
            },
            Self::Leave => Reach { sender: true, ..LOG },
            Self::SetRole { .. } | Self::Set { .. } => LOG,
            Self::Disband => Reach { members: true, ..LOG },
            Self::SetEntry { .. } | Self::RemoveEntry { .. } => Reach {
                begins: Begins::Fixed,
                ..LOG
            },
            Self::Person(action) => Reach {
                person: Some(action.with),
                begins: Begins::Fixed,
                ..LOG
            },
            #[cfg(any(test, feature = "conformance"))]
            Self::Pair { other, .. } => Reach {
                other: Some(*other),
                begins: Begins::Fixed,
                ..LOG
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        friend::{PersonAct, PersonAction},
        setting::GroupSetting,
        types::{Role, Timestamp},
        write::MessageKinds,
    };

    #[test]
    fn every_action_has_its_reach() {
        let (target, user, other) = (Seq(7), UserId(3), ConversationId(9));
        let users = vec![user, UserId(4)];
        let about = Reach { target, ..LOG };
        let table = [
            (
                Action::Message {
                    kind: 1,
                    body: Bytes::new(),
                    expires_at: Timestamp(0),
                    reply_to: target,
                },
                Reach {
                    begins: Begins::Fixed,
                    ..about
                },
            ),
            (
                Action::Edit {
                    target,
                    body: Bytes::new(),
                    fits: MessageKinds::ALL,
                },
                about,
            ),
            (
                Action::Recall { target },
                Reach {
                    erases: true,
                    ..about
                },
            ),
            (
                Action::React {
                    target,
                    reaction: String::new(),
                    body: Bytes::new(),
                },
                about,
            ),
            (
                Action::CreateGroup {
                    name: String::new(),
                    members: users.clone(),
                },
                Reach {
                    begins: Begins::Group,
                    users: &users,
                    sender: true,
                    ..LOG
                },
            ),
            (
                Action::AddMembers { users: users.clone() },
                Reach { users: &users, ..LOG },
            ),
            (
                Action::RemoveMember { user },
                Reach {
                    users: &[user],
                    ..LOG
                },
            ),
            (Action::Leave, Reach { sender: true, ..LOG }),
            (
                Action::SetRole {
                    user,
                    role: Role::Admin,
                },
                LOG,
            ),
            (
                Action::Set {
                    setting: GroupSetting::Name,
                    value: String::new(),
                },
                LOG,
            ),
            (Action::Disband, Reach { members: true, ..LOG }),
            (
                Action::SetEntry {
                    key: String::new(),
                    value: Bytes::new(),
                },
                Reach {
                    begins: Begins::Fixed,
                    ..LOG
                },
            ),
            (
                Action::RemoveEntry { key: String::new() },
                Reach {
                    begins: Begins::Fixed,
                    ..LOG
                },
            ),
            (
                Action::Person(PersonAction {
                    with: user,
                    act: PersonAct::Block,
                }),
                Reach {
                    begins: Begins::Fixed,
                    person: Some(user),
                    ..LOG
                },
            ),
            (
                Action::Pair {
                    other,
                    body: Bytes::new(),
                },
                Reach {
                    begins: Begins::Fixed,
                    other: Some(other),
                    ..LOG
                },
            ),
        ];
        for (action, reach) in table {
            assert_eq!(action.reach(), reach, "{action:?}");
        }
    }
}
