//! What each kind of event means: one table for the stores, and for everything that reads events.
//! It owns no state; it must have no default arm, so that a new kind does not build before its meaning stands here.

use crate::types::EventKind;

/// What an event of some kind means, whatever else it says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Facts {
    /// It counts in the ordinal.
    pub displayable: bool,
    /// What it changes of the conversation beyond the log.
    pub changes: Changed,
    /// What becomes of the membership of the users whom it names.
    pub members: MemberChange,
    /// A body that was shown is shown no more.
    pub erases: bool,
}

/// What an event changes beyond the log and the cursor of its sender.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Changed {
    /// Nothing.
    Nothing,
    /// What is shown of its [target](crate::Event::target).
    Message,
    /// The group: its members, their roles, its name, or whether it goes on. The event has a
    /// [change](crate::Event::change).
    Group,
}

/// What an event does to the membership of the users whom its [change](crate::Event::change) names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MemberChange {
    /// Nothing.
    Nothing,
    /// They become members.
    Join,
    /// They are members no more: they see nothing that comes later.
    Leave,
    /// They may do more or less than before.
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

    /// It counts in the ordinal.
    pub const fn is_displayable(self) -> bool {
        self.facts().displayable
    }

    /// Who is a member, or what a member may do, changes with it: it becomes the roster of what follows.
    pub const fn changes_members(self) -> bool {
        match self.facts().members {
            MemberChange::Nothing => false,
            MemberChange::Join | MemberChange::Leave | MemberChange::Role => true,
        }
    }

    /// It changes the group, and says how.
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
