//! The kinds of events and what each does: one table for the stores, and for everything that reads events. It owns no
//! state; it must have no default arm, so that whatever acts on an effect does not build before a new one is treated.

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $effect:ident;)*) => {
        /// The kind of an event. The numbers are those of the wire.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum EventKind {
            /// A displayable message, 1 to 31; it counts in the ordinal. Only sender and receiver know the meaning of
            /// its kind.
            Message(u8),
            $($(#[$doc])* #[doc = concat!(" Number ", $number, ".")] $name,)*
        }

        impl EventKind {
            /// The number in the store and on the wire.
            pub const fn number(self) -> u8 {
                match self {
                    Self::Message(number) => number,
                    $(Self::$name => $number,)*
                }
            }

            /// The kind of a stored number.
            pub const fn from_number(number: u8) -> Option<Self> {
                Some(match number {
                    number if Self::is_message(number) => Self::Message(number),
                    $($number => Self::$name,)*
                    _ => return None,
                })
            }

            /// What an event of this kind does.
            pub const fn effect(self) -> Effect {
                match self {
                    Self::Message(_) => Effect::Message,
                    $(Self::$name => Effect::$effect,)*
                }
            }
        }
    };
}

kinds! {
    /// A new body for an earlier message.
    Edit = 32, Edit;
    /// An earlier message's body is erased.
    Recall = 33, Recall;
    /// A reaction to an earlier message.
    Reaction = 34, Reaction;
    /// A group, with its first members and its name.
    GroupCreated = 64, Join;
    /// Users became members.
    MembersAdded = 65, Join;
    /// A user was removed by another.
    MemberRemoved = 66, Leave;
    /// A user left by themselves.
    MemberLeft = 67, Leave;
    /// A member has another role.
    RoleChanged = 68, Role;
    /// The group has another name.
    GroupRenamed = 69, Settings;
    /// The group has ended.
    GroupDisbanded = 70, End;
    /// The two of a 1:1 conversation are friends from now on.
    BecameFriends = 71, Notice;
    /// An entry of a user has another value.
    EntrySet = 96, Entry;
    /// An entry of a user is gone.
    EntryRemoved = 97, Entry;
}

/// What an event does, independent of its content. Beside it every event moves the head of its conversation and the
/// sender's cursor. Those from `Join` to `End`
/// change the group: such an event has a [change](crate::Event::change).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// It is shown, and counts in the ordinal.
    Message,
    /// Its [target](crate::Event::target) has another body.
    Edit,
    /// Its target and the edits of it have no body any more.
    Recall,
    /// Its sender has another reaction to its target, or none.
    Reaction,
    /// The users that it names become members.
    Join,
    /// They stop being members: they see nothing that comes later.
    Leave,
    /// They have other rights.
    Role,
    /// The group has other [settings](crate::GroupSettings).
    Settings,
    /// The group ends: nobody writes in it any more.
    End,
    /// Nothing follows from it.
    Notice,
    /// An entry of the user whose own log it is in has another state: it has an [entry](crate::Event::entry).
    Entry,
}

impl EventKind {
    /// The numbers of the kinds of messages.
    pub const MESSAGES: std::ops::RangeInclusive<u8> = 1..=31;

    /// The kind of message that has this number.
    pub const fn message(number: u8) -> Option<Self> {
        if Self::is_message(number) {
            Some(Self::Message(number))
        } else {
            None
        }
    }

    /// Whether this is the number of a kind of message.
    pub const fn is_message(number: u8) -> bool {
        *Self::MESSAGES.start() <= number && number <= *Self::MESSAGES.end()
    }

    /// Whether it counts in the ordinal.
    pub const fn is_displayable(self) -> bool {
        match self.effect() {
            Effect::Message => true,
            Effect::Edit
            | Effect::Recall
            | Effect::Reaction
            | Effect::Join
            | Effect::Leave
            | Effect::Role
            | Effect::Settings
            | Effect::End
            | Effect::Notice
            | Effect::Entry => false,
        }
    }

    /// Whether it changes the members or their rights: it becomes the roster of later events.
    pub const fn changes_members(self) -> bool {
        match self.effect() {
            Effect::Join | Effect::Leave | Effect::Role => true,
            Effect::Message
            | Effect::Edit
            | Effect::Recall
            | Effect::Reaction
            | Effect::Settings
            | Effect::End
            | Effect::Notice
            | Effect::Entry => false,
        }
    }

    /// Whether it changes the group; then it has a change.
    pub const fn changes_group(self) -> bool {
        match self.effect() {
            Effect::Message
            | Effect::Edit
            | Effect::Recall
            | Effect::Reaction
            | Effect::Notice
            | Effect::Entry => false,
            Effect::Join | Effect::Leave | Effect::Role | Effect::Settings | Effect::End => true,
        }
    }

    /// Whether it changes an entry; then it names one.
    pub const fn is_entry(self) -> bool {
        match self.effect() {
            Effect::Entry => true,
            Effect::Message
            | Effect::Edit
            | Effect::Recall
            | Effect::Reaction
            | Effect::Join
            | Effect::Leave
            | Effect::Role
            | Effect::Settings
            | Effect::End
            | Effect::Notice => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_effect() {
        use Effect::{Edit, End, Entry, Join, Leave, Message, Notice, Reaction, Recall, Role, Settings};
        let table = [
            (1, Message),
            (31, Message),
            (32, Edit),
            (33, Recall),
            (34, Reaction),
            (64, Join),
            (65, Join),
            (66, Leave),
            (67, Leave),
            (68, Role),
            (69, Settings),
            (70, End),
            (71, Notice),
            (96, Entry),
            (97, Entry),
        ];
        for (number, effect) in table {
            let kind = EventKind::from_number(number).expect("a kind");
            assert_eq!((kind.number(), kind.effect()), (number, effect), "{kind:?}");
        }
        let kinds = (0..=u8::MAX).filter_map(EventKind::from_number);
        // All messages are alike.
        assert_eq!(kinds.count(), table.len() - 2 + 31);
    }

    #[test]
    fn what_is_derived_from_effects_is_known_of_every_number() {
        for number in 0..=u8::MAX {
            let Some(kind) = EventKind::from_number(number) else {
                continue;
            };
            assert_eq!(kind.number(), number);
            assert_eq!(kind.is_displayable(), (1..=31).contains(&number), "{kind:?}");
            assert_eq!(kind.changes_members(), (64..=68).contains(&number), "{kind:?}");
            assert_eq!(kind.changes_group(), (64..=70).contains(&number), "{kind:?}");
            assert_eq!(kind.is_entry(), (96..=97).contains(&number), "{kind:?}");
        }
    }
}
