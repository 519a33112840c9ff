//! Entries: what a user's own log says about other things, by key. The newest event of a key is its state; the events
//! before it have no body any more. It owns the keys that the rules know, and what such a key means to them; it must
//! never read a store.

use bytes::Bytes;

use crate::{
    shape::Shape,
    types::{ConversationId, Seq, Timestamp, UserId},
};

/// Before the id of a user: the friendship with them, written by the commands of friends alone.
pub const FRIEND: &str = "friend/";
/// Before the id of a user: they are blocked, written by the commands of blocks alone.
pub const BLOCK: &str = "block/";
/// Before the name of a setting of the user.
pub const SETTING: &str = "setting/";
/// Who may begin a 1:1 conversation with the user: `everyone` or `friends`.
pub const MESSAGE_ME: &str = "setting/message_me";
/// Who may make the user a member of a group: `everyone`, `friends` or `nobody`.
pub const ADD_TO_GROUPS: &str = "setting/add_to_groups";

macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        /// What an entry means to the rules. An event keeps it beside its key, because it outlives the event's body.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum EntryClass {
            $($(#[$doc])* $name,)*
        }

        impl EntryClass {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The number in the store.
            pub const fn number(self) -> u8 {
                match self {
                    $(Self::$name => $number,)*
                }
            }
        }
    };
}

classes! {
    /// Nothing: it is the user's own business.
    Plain = 0;
    /// The user asked that person for friendship.
    Requested = 1;
    /// That person asked the user.
    Incoming = 2;
    /// They are friends.
    Friends = 3;
    /// The user blocked that person.
    Blocked = 4;
    /// A setting that is for friends alone.
    FriendsOnly = 5;
    /// A setting that is for nobody.
    Nobody = 6;
}

impl EntryClass {
    /// Whether the user wrote it by `set_entry`.
    pub(crate) const fn is_own(self) -> bool {
        match self {
            Self::Plain | Self::FriendsOnly | Self::Nobody => true,
            Self::Requested | Self::Incoming | Self::Friends | Self::Blocked => false,
        }
    }

    /// Of a number in the store; otherwise what is wrong with it.
    pub(crate) fn of_number(number: i64) -> Result<Self, String> {
        let mut all = Self::ALL.iter();
        let class = all.find(|class| i64::from(class.number()) == number);
        let class = class.copied();
        class.ok_or_else(|| format!("no class of entries has the number {number}"))
    }

    /// Of an entry that its user wrote.
    pub(crate) fn of_own(key: &str, value: &[u8]) -> Self {
        match value {
            b"friends" if key.starts_with(SETTING) => Self::FriendsOnly,
            b"nobody" if key.starts_with(SETTING) => Self::Nobody,
            _ => Self::Plain,
        }
    }
}

/// The key of an event of an entry, and what the entry means from then on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EntryName {
    /// The key. Two entries of a user are the same exactly when their keys are.
    pub key: String,
    /// Of the new state; [`EntryClass::Plain`] where the entry was removed.
    pub class: EntryClass,
}

impl EntryName {
    /// As stores keep it with the event: the number of the class, a space, the key.
    pub(crate) fn to_text(&self) -> String {
        format!("{} {}", self.class.number(), self.key)
    }

    /// Reads what [`EntryName::to_text`] wrote; otherwise what is wrong with it.
    pub(crate) fn of_text(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} names no entry");
        let (number, key) = text.split_once(' ').ok_or_else(wrong)?;
        let number = number.parse().map_err(|_| wrong())?;
        Ok(Self {
            key: key.to_owned(),
            class: EntryClass::of_number(number)?,
        })
    }
}

/// An entry as it is now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EntryView {
    /// Its key.
    pub key: String,
    /// The seq of its newest event in its user's own log.
    pub seq: Seq,
    /// That event's time.
    pub at: Timestamp,
    /// What it means to the rules.
    pub class: EntryClass,
    /// Its value; opaque except where a command wrote it.
    pub value: Bytes,
}

/// A page of a user's entries.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EntryPage {
    /// In the order of the bytes of their keys.
    pub entries: Vec<EntryView>,
    /// There are more behind the last one.
    pub more: bool,
}

/// The entries that say whether a user may say the first word to a person; [`may_begin`] reads what they mean.
pub fn of_first_word(sender: UserId, peer: UserId) -> [(UserId, String); 4] {
    [
        (sender, block_key(peer)),
        (peer, block_key(sender)),
        (peer, friend_key(sender)),
        (peer, MESSAGE_ME.to_owned()),
    ]
}

/// Whether the classes of the entries of [`of_first_word`] allow it: neither of the two blocks the other one, and the
/// person does not want messages of friends alone, or the two are friends.
pub fn may_begin(classes: &[Option<EntryClass>]) -> bool {
    let is = |place: usize, class| classes.get(place) == Some(&Some(class));
    let blocked = is(0, EntryClass::Blocked) || is(1, EntryClass::Blocked);
    !blocked && (!is(3, EntryClass::FriendsOnly) || is(2, EntryClass::Friends))
}

/// The bytes of values in a page beyond its first entry, at most.
pub(crate) const PAGE_BYTES_MAX: usize = 256 << 10;

/// The key of the friendship with a user.
pub fn friend_key(with: UserId) -> String {
    format!("{FRIEND}{}", with.0)
}

/// The key of the block of a user.
pub fn block_key(of: UserId) -> String {
    format!("{BLOCK}{}", of.0)
}

/// The person whom an entry of friendship or of a block is about.
pub(crate) fn person_of(key: &str) -> Option<UserId> {
    let number = key.strip_prefix(FRIEND).or_else(|| key.strip_prefix(BLOCK))?;
    number.parse().ok().map(UserId)
}

/// The first text in the order of bytes that is behind all texts with this beginning; `None`: there is none.
pub(crate) fn behind(prefix: &str) -> Option<String> {
    let mut letters: Vec<char> = prefix.chars().collect();
    while let Some(last) = letters.pop() {
        // The numbers of letters are in the order of their bytes, with one gap.
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            _ => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            letters.push(next);
            return Some(letters.into_iter().collect());
        }
    }
    None
}

impl ConversationId {
    /// A user's own log.
    pub const fn own(user: UserId) -> Self {
        Self(user.0)
    }

    /// The 1:1 conversation of two users; `None` if they are one, or have no such ids.
    pub(crate) fn between(one: UserId, other: UserId) -> Option<Self> {
        let id = Self(1 << 62 | one.0.min(other.0) << 31 | one.0.max(other.0));
        let is_it = Shape::of(id) == Some(Shape::Direct(one.min(other), one.max(other)));
        is_it.then_some(id)
    }
}

/// Why a 1:1 conversation is closed: a set of reasons, none of which says whose it is to the other one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Closed(pub(crate) u8);

/// A reason for one of the two.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Reason {
    /// They block the other one.
    Blocks,
    /// Only friends may write to them, and the two ended their friendship.
    NotFriends,
}

impl Closed {
    /// Whether nobody may write there.
    pub const fn is_closed(self) -> bool {
        self.0 != 0
    }

    /// The set with or without the reason of `whose`, who is one of the two of this conversation.
    #[must_use]
    pub(crate) fn with(
        self,
        conversation: ConversationId,
        whose: UserId,
        reason: Reason,
        is_so: bool,
    ) -> Self {
        let is_low = matches!(Shape::of(conversation), Some(Shape::Direct(low, _)) if low == whose);
        let bit = match reason {
            Reason::Blocks => 1,
            Reason::NotFriends => 4,
        } << u8::from(!is_low);
        Self(if is_so { self.0 | bit } else { self.0 & !bit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_with_an_event_is_read() {
        for class in EntryClass::ALL {
            for key in ["", "app/x", "a b", "friend/7", "\u{1F44D} 3"] {
                let name = EntryName {
                    key: key.to_owned(),
                    class: *class,
                };
                assert_eq!(EntryName::of_text(&name.to_text()), Ok(name));
            }
        }
        for text in ["", "x", "7", "x y", "99 key", "-1 key"] {
            assert!(EntryName::of_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_of_settings_have_classes() {
        let class = |key, value: &str| EntryClass::of_own(key, value.as_bytes());
        assert_eq!(class(MESSAGE_ME, "friends"), EntryClass::FriendsOnly);
        assert_eq!(class(ADD_TO_GROUPS, "nobody"), EntryClass::Nobody);
        assert_eq!(class(MESSAGE_ME, "everyone"), EntryClass::Plain);
        assert_eq!(class("app/x", "friends"), EntryClass::Plain);
    }

    #[test]
    fn a_range_ends_behind_its_prefix() {
        for prefix in ["a", "friend/", "x\u{D7FF}", "y\u{10FFFF}", "\u{7F}"] {
            let end = behind(prefix).unwrap();
            for inside in [prefix.to_owned(), format!("{prefix}\u{10FFFF}\u{10FFFF}")] {
                assert!(*prefix <= *inside && inside < end, "{inside:?} {end:?}");
            }
            assert!(!end.starts_with(prefix));
        }
        assert_eq!(behind("friend/").as_deref(), Some("friend0"));
        assert_eq!(behind(""), None);
        assert_eq!(behind("\u{10FFFF}"), None);
    }

    #[test]
    fn each_of_two_has_reasons_of_their_own() {
        let (ann, bob) = (UserId(2), UserId(5));
        let id = ConversationId::between(bob, ann).unwrap();
        assert_eq!(ConversationId::between(ann, bob), Some(id));
        assert_eq!(ConversationId::between(ann, ann), None);
        let all = [
            (ann, Reason::Blocks),
            (bob, Reason::Blocks),
            (ann, Reason::NotFriends),
            (bob, Reason::NotFriends),
        ];
        let closed = all.iter().fold(Closed::default(), |closed, (whose, reason)| {
            let next = closed.with(id, *whose, *reason, true);
            assert_ne!(next, closed);
            assert_eq!(next.with(id, *whose, *reason, false), closed);
            next
        });
        assert!(closed.is_closed() && closed.0 == 15);
    }

    #[test]
    fn people_are_read_from_keys() {
        assert_eq!(person_of(&friend_key(UserId(7))), Some(UserId(7)));
        assert_eq!(person_of(&block_key(UserId(7))), Some(UserId(7)));
        assert_eq!(person_of("app/7"), None);
        assert_eq!(person_of("friend/x"), None);
    }
}
