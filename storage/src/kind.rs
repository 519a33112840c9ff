//! The meaning of each kind of event: one table for the stores, and for everything that reads events. It owns no state;
//! it must have no default arm, so that a new kind does not build before its meaning stands here.

use crate::types::EventKind;

/// The meaning of an event's kind, independent of its content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Facts {
    /// It counts in the ordinal.
    pub displayable: bool,
    /// What it changes of the conversation beyond the log.
    pub changes: Changed,
    /// Its effect on the membership of the users that it names.
    pub members: MemberChange,
    /// It hides a body that was visible.
    pub erases: bool,
}

/// What an event changes beyond the log and the sender's cursor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Changed {
    /// Nothing.
    Nothing,
    /// The visible content of its [target](crate::Event::target).
    Message,
    /// The group: its members, their roles, its name, or whether it goes on. The event has a
    /// [change](crate::Event::change).
    Group,
}

/// The effect of an event on the membership of the users that its [change](crate::Event::change) names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MemberChange {
    /// Nothing.
    Nothing,
    /// They become members.
    Join,
    /// They stop being members: they see nothing that comes later.
    Leave,
    /// Their rights change.
    Role,
}

impl EventKind {
    /// The meaning of this kind.
    pub const fn facts(self) -> Facts {
        const LOG: Facts = Facts {
            displayable: false,
            changes: Changed::Nothing,
            members: MemberChange::Nothing,
            erases: false,
        };
        const MESSAGE: Facts = Facts {
            changes: Changed::Message,
            ..LOG
        };
        const GROUP: Facts = Facts {
            changes: Changed::Group,
            ..LOG
        };
        match self {
            Self::Message(_) => Facts {
                displayable: true,
                ..LOG
            },
            Self::Edit | Self::Reaction => MESSAGE,
            Self::Recall => Facts {
                erases: true,
                ..MESSAGE
            },
            Self::GroupCreated | Self::MembersAdded => Facts {
                members: MemberChange::Join,
                ..GROUP
            },
            Self::MemberRemoved | Self::MemberLeft => Facts {
                members: MemberChange::Leave,
                ..GROUP
            },
            Self::RoleChanged => Facts {
                members: MemberChange::Role,
                ..GROUP
            },
            Self::GroupRenamed | Self::GroupDisbanded => GROUP,
        }
    }

    /// Whether it counts in the ordinal.
    pub const fn is_displayable(self) -> bool {
        self.facts().displayable
    }

    /// Whether it changes the members or their rights: it becomes the roster of later events.
    pub const fn changes_members(self) -> bool {
        match self.facts().members {
            MemberChange::Nothing => false,
            MemberChange::Join | MemberChange::Leave | MemberChange::Role => true,
        }
    }

    /// Whether it changes the group; then it has a change.
    pub const fn changes_group(self) -> bool {
        match self.facts().changes {
            Changed::Nothing | Changed::Message => false,
            Changed::Group => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_meaning() {
        use Changed::{Group, Message, Nothing};
        use MemberChange::{Join, Leave, Role};
        let none = MemberChange::Nothing;
        let table = [
            (1, true, Nothing, none, false),
            (31, true, Nothing, none, false),
            (32, false, Message, none, false),
            (33, false, Message, none, true),
            (34, false, Message, none, false),
            (64, false, Group, Join, false),
            (65, false, Group, Join, false),
            (66, false, Group, Leave, false),
            (67, false, Group, Leave, false),
            (68, false, Group, Role, false),
            (69, false, Group, none, false),
            (70, false, Group, none, false),
        ];
        for (number, displayable, changes, members, erases) in table {
            let kind = EventKind::from_number(number).expect("a kind");
            let facts = Facts {
                displayable,
                changes,
                members,
                erases,
            };
            assert_eq!(kind.facts(), facts, "{kind:?}");
            assert_eq!(kind.changes_members(), members != none, "{kind:?}");
            assert_eq!(kind.changes_group(), changes == Group, "{kind:?}");
        }
        let kinds = (0..=u8::MAX).filter_map(EventKind::from_number);
        // All messages are alike.
        assert_eq!(kinds.count(), table.len() - 2 + 31);
    }
}
