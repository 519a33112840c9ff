//! The value of an entry of friendship: the one place that writes and reads it. It is an object in JSON, so that a
//! client that syncs its own log needs no other answer. It must never decide about friendships.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    entry::EntryClass,
    types::{Timestamp, UserId},
};

/// A request for friendship that is older does not count any more. Milliseconds.
pub const REQUEST_LASTS_MS: u64 = 30 * 24 * 3_600_000;

/// How it stands between a user and a person.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FriendState {
    /// The user asked.
    Requested,
    /// The person asked.
    Incoming,
    /// Both are friends.
    Friends,
}

impl FriendState {
    const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Incoming => "incoming",
            Self::Friends => "friends",
        }
    }

    /// What it means to the rules.
    pub(crate) const fn class(self) -> EntryClass {
        match self {
            Self::Requested => EntryClass::Requested,
            Self::Incoming => EntryClass::Incoming,
            Self::Friends => EntryClass::Friends,
        }
    }
}

/// A user's side of a friendship, or of the request for one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Friend {
    /// How it stands.
    pub state: FriendState,
    /// The words of the request.
    pub greeting: String,
    /// The user's private name for the person.
    pub remark: String,
    /// The user's private tags of the person.
    pub tags: Vec<String>,
    /// When it came to stand so.
    pub since: Timestamp,
}

impl Friend {
    /// Without private words.
    pub(crate) const fn new(state: FriendState, greeting: String, since: Timestamp) -> Self {
        Self {
            state,
            greeting,
            remark: String::new(),
            tags: Vec::new(),
            since,
        }
    }

    /// The value of the entry.
    pub fn to_value(&self) -> Bytes {
        let Self {
            state,
            greeting,
            remark,
            tags,
            since,
        } = self;
        let value = json!({
            "state": state.name(), "greeting": greeting, "remark": remark, "tags": tags, "since_ms": since.0,
        });
        Bytes::from(value.to_string())
    }

    /// Reads the value; `None` if it is none that was written here.
    pub fn of_value(value: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(value).ok()?;
        let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
        let state = text("state")?;
        let states = [
            FriendState::Requested,
            FriendState::Incoming,
            FriendState::Friends,
        ];
        let tags = value.get("tags")?.as_array()?.iter();
        Some(Self {
            state: states.into_iter().find(|known| known.name() == state)?,
            greeting: text("greeting")?,
            remark: text("remark")?,
            tags: tags
                .map(|tag| tag.as_str().map(str::to_owned))
                .collect::<Option<_>>()?,
            since: Timestamp(value.get("since_ms")?.as_u64()?),
        })
    }
}

/// What a user does about a person. Each is an append to the user's own log; what follows for the person is in the same
/// transaction. `NotFound` if there is no such person.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PersonAction {
    /// The person, not the user themselves.
    pub with: UserId,
    /// What.
    pub act: PersonAct,
}

/// See [`PersonAction`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PersonAct {
    /// Asks for friendship, or answers the person's own request with yes. `NothingToDo` while the same request is open
    /// or they are friends; `Forbidden` if the user blocks the person; `LimitReached`. A person who blocks the user
    /// gets nothing, and the user is not told.
    Request {
        /// Words for the person.
        greeting: String,
    },
    /// Answers the person's request: yes makes both friends, no is not told to the person. `NotFound` if there is none
    /// that counts; `LimitReached`.
    Answer {
        /// Yes or no.
        accept: bool,
    },
    /// Takes back the user's own request. `NothingToDo` if there is none.
    Withdraw,
    /// Ends the friendship on both sides. `NothingToDo` if there is none.
    Remove,
    /// Sets the user's private words about a friend. `NotFound` if they are no friends, `NothingToDo` if these are the
    /// words.
    Note {
        /// The private name.
        remark: String,
        /// The private tags.
        tags: Vec<String>,
    },
    /// Blocks the person; the friendship and requests between them end. `NothingToDo` if they are blocked;
    /// `LimitReached`.
    Block,
    /// `NothingToDo` if they are not blocked.
    Unblock,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for state in [
            FriendState::Requested,
            FriendState::Incoming,
            FriendState::Friends,
        ] {
            let friend = Friend {
                state,
                greeting: "I am \"Bob\"\n\0".to_owned(),
                remark: "Bobby".to_owned(),
                tags: vec!["work".to_owned(), String::new()],
                since: Timestamp(u64::MAX),
            };
            assert_eq!(Friend::of_value(&friend.to_value()), Some(friend));
        }
        let value = Friend::new(FriendState::Incoming, "hello".to_owned(), Timestamp(7)).to_value();
        let expected = r#"{"greeting":"hello","remark":"","since_ms":7,"state":"incoming","tags":[]}"#;
        assert_eq!(value, expected);
        for wrong in [
            "",
            "{}",
            "[]",
            r#"{"state":"x","greeting":"","remark":"","tags":[],"since_ms":1}"#,
        ] {
            assert_eq!(Friend::of_value(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
