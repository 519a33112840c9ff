//! What a conversation's id tells by itself: its kind, and its members if they never change. It owns this reading of
//! the number and nothing else; it must never decide about rights.

use crate::types::{ConversationId, ConversationKind, UserId};

/// Set in the ids of 1:1 conversations.
const DIRECT_BIT: u64 = 1 << 62;
/// Set in the ids of groups, where [`DIRECT_BIT`] is not.
const GROUP_BIT: u64 = 1 << 61;
/// The bits of a user id.
const USER_BITS: u32 = 31;
const USER_MASK: u64 = (1 << USER_BITS) - 1;

/// A conversation's id, read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    Own(UserId),
    /// The lower id first; never the same user twice.
    Direct(UserId, UserId),
    Group,
}

impl Shape {
    /// `None` for a number that is no conversation's id.
    pub(crate) const fn of(id: ConversationId) -> Option<Self> {
        let number = id.0;
        if number >> 63 != 0 {
            None
        } else if number & DIRECT_BIT != 0 {
            let low = (number >> USER_BITS) & USER_MASK;
            let high = number & USER_MASK;
            if low == 0 || low >= high {
                return None;
            }
            Some(Self::Direct(UserId(low), UserId(high)))
        } else if number & GROUP_BIT != 0 {
            Some(Self::Group)
        } else if number != 0 && number <= USER_MASK {
            Some(Self::Own(UserId(number)))
        } else {
            None
        }
    }

    pub(crate) const fn kind(self) -> ConversationKind {
        match self {
            Self::Own(_) => ConversationKind::Own,
            Self::Direct(..) => ConversationKind::Direct,
            Self::Group => ConversationKind::Group,
        }
    }

    /// The other of the two users.
    pub(crate) fn peer_of(self, user: UserId) -> Option<UserId> {
        match self {
            Self::Direct(low, high) if user == low => Some(high),
            Self::Direct(low, high) if user == high => Some(low),
            Self::Own(_) | Self::Direct(..) | Self::Group => None,
        }
    }

    /// The users who are members from the first event on and always; none for groups.
    pub(crate) fn fixed_members(self) -> impl Iterator<Item = UserId> {
        let (first, second) = match self {
            Self::Own(user) => (Some(user), None),
            Self::Direct(low, high) => (Some(low), Some(high)),
            Self::Group => (None, None),
        };
        first.into_iter().chain(second)
    }
}

impl ConversationId {
    /// Whether this user can be a member, as far as the id tells: the id of a group names no members.
    pub fn may_have(self, user: UserId) -> bool {
        Shape::of(self)
            .is_some_and(|shape| shape == Shape::Group || shape.fixed_members().any(|member| member == user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_by_their_bits() {
        let direct = |low: u64, high: u64| ConversationId(DIRECT_BIT | low << USER_BITS | high);
        assert_eq!(Shape::of(ConversationId(7)), Some(Shape::Own(UserId(7))));
        assert_eq!(Shape::of(direct(2, 5)), Some(Shape::Direct(UserId(2), UserId(5))));
        assert_eq!(
            Shape::of(direct(USER_MASK - 1, USER_MASK)),
            Some(Shape::Direct(UserId(USER_MASK - 1), UserId(USER_MASK)))
        );
        assert_eq!(Shape::of(ConversationId(GROUP_BIT | 99)), Some(Shape::Group));
        assert!(direct(2, 5).may_have(UserId(5)) && !direct(2, 5).may_have(UserId(3)));
        assert!(ConversationId(7).may_have(UserId(7)) && !ConversationId(7).may_have(UserId(8)));
        assert!(ConversationId(GROUP_BIT | 99).may_have(UserId(3)));
        assert!(!ConversationId(0).may_have(UserId(0)));
        for wrong in [
            0,
            1 << 31,
            1 << 60,
            1 << 63,
            direct(5, 2).0,
            direct(5, 5).0,
            direct(0, 5).0,
            u64::MAX,
        ] {
            assert_eq!(Shape::of(ConversationId(wrong)), None, "{wrong:#x}");
        }
    }
}
