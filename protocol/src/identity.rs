//! Identities that both sides derive, so that neither has to ask the other.
//!
//! A conversation id is a `u64` whose upper bits say what it is:
//!
//! ```text
//!  bit 63   always 0 (every store keeps it as a signed number)
//!  bit 62   1: a 1:1 conversation; bits 61..31 the smaller user id, bits 30..0 the larger
//!  bit 61   1 (and bit 62 is 0): a group; bits 60..0 from its creator and the creation's client id
//!           0 (and bit 62 is 0): a user's own log; bits 30..0 the user id
//! ```

/// The largest user id there can be: 31 bits, so that two of them fit a conversation id.
pub const USER_ID_MAX: u64 = (1 << 31) - 1;

const DIRECT_BIT: u64 = 1 << 62;
const GROUP_BIT: u64 = 1 << 61;
const USER_BITS: u32 = 31;

/// A conversation id whose upper bits make sense.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConversationId(u64);

/// What a conversation id says about its conversation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConversationClass {
    /// A user's own log.
    Own {
        /// Whose.
        user: u64,
    },
    /// A 1:1 conversation; `low < high`.
    Direct {
        /// The member with the smaller id.
        low: u64,
        /// The member with the larger id.
        high: u64,
    },
    /// A group.
    Group,
}

impl ConversationId {
    /// Checks what a peer sent.
    pub const fn parse(bits: u64) -> Option<Self> {
        let id = Self(bits);
        if bits >> 63 != 0 {
            return None;
        }
        match id.class() {
            ConversationClass::Own { user } if user == 0 || bits > USER_ID_MAX => None,
            ConversationClass::Direct { low, high } if low == 0 || low >= high => None,
            ConversationClass::Own { .. } | ConversationClass::Group | ConversationClass::Direct { .. } => {
                Some(id)
            }
        }
    }

    /// The id on the wire and in the store.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// What the upper bits say.
    pub const fn class(self) -> ConversationClass {
        if self.0 & DIRECT_BIT != 0 {
            ConversationClass::Direct {
                low: (self.0 >> USER_BITS) & USER_ID_MAX,
                high: self.0 & USER_ID_MAX,
            }
        } else if self.0 & GROUP_BIT != 0 {
            ConversationClass::Group
        } else {
            ConversationClass::Own {
                user: self.0 & USER_ID_MAX,
            }
        }
    }

    /// A group's id from 64 bits of a hash over its creator and the creation's client id.
    pub const fn group_from_hash(hash: u64) -> Self {
        Self(GROUP_BIT | (hash & (GROUP_BIT - 1)))
    }
}

/// The 1:1 conversation of two users, whichever of them asks. `None` when the ids are equal, zero or
/// beyond [`USER_ID_MAX`].
pub const fn direct_conversation(one: u64, other: u64) -> Option<ConversationId> {
    let (low, high) = if one < other { (one, other) } else { (other, one) };
    if low == 0 || low == high || high > USER_ID_MAX {
        return None;
    }
    Some(ConversationId(DIRECT_BIT | (low << USER_BITS) | high))
}

/// A user's own log. `None` when the id is zero or beyond [`USER_ID_MAX`].
pub const fn self_conversation(user: u64) -> Option<ConversationId> {
    if user == 0 || user > USER_ID_MAX {
        None
    } else {
        Some(ConversationId(user))
    }
}

/// The 16 bytes a client chooses once per logical message.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClientMessageId(pub [u8; 16]);

impl ClientMessageId {
    /// From a field of a request; anything but 16 bytes is none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
