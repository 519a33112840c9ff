//! The nouns of the domain: ids, events, people, sessions.

use bytes::Bytes;

pub use crate::kind::EventKind;
use crate::{entry::EntryName, setting::GroupSettings};

macro_rules! number {
    ($($(#[$doc:meta])* $name:ident;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub u64);
    )* };
}

number! {
    /// A person's account: 1, 2, 3 … in the order of registration, below 2^31. See also [`UserId::SERVER`].
    UserId;
    /// A conversation. A 1:1 conversation's id follows from its two users, a group's from its creator and the
    /// creation's client id, a user's own log's from the user. The caller of a write computes it.
    ConversationId;
    /// One device's session.
    SessionId;
    /// A place in a conversation: 1, 2, 3 … without holes. 0 is before everything.
    Seq;
    /// A place in the order of all commits of the store; no two events share one. 0 is before everything.
    ///
    /// With one writer it counts the writes of all commits and is the commit order. With several, it is the
    /// transaction's number times 2 to the power of [`Snapshot::COMMIT_BITS`](crate::Snapshot::COMMIT_BITS), plus the
    /// write's place in the transaction. Those numbers are assigned before the commit, so a smaller one may appear
    /// after a larger one, and only a [`Snapshot`](crate::Snapshot) tells what is new.
    Position;
    /// Milliseconds since 1970-01-01 UTC. For people to read; nothing is ordered by it.
    Timestamp;
}

/// The id a client chose for one logical request.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClientId(pub [u8; 16]);

#[cfg(any(test, feature = "conformance"))]
impl ClientId {
    /// The client id of the other event of an [`Action::Pair`](crate::Action::Pair).
    pub(crate) fn of_the_other(self) -> Self {
        Self(self.0.map(|byte| !byte))
    }
}

/// A hash over everything a request asks for: two requests under one client id are the same exactly when
/// their fingerprints are.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Fingerprint(pub [u8; 16]);

/// SHA-256 of a session token; the token itself is never stored.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TokenHash(pub [u8; 32]);

/// The kind of a conversation.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ConversationKind {
    /// A user's own log: one member, always.
    Own,
    /// Two members, always.
    Direct,
    /// Members come and go.
    Group,
}

/// The rights of a group member. Ordered: an owner may do everything that an admin may.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Role {
    /// Send, and add others if [`Rules::members_may_add`](crate::Rules::members_may_add) is set.
    Member,
    /// Also add, remove members, rename, recall others' messages.
    Admin,
    /// Also remove admins, give roles, disband.
    Owner,
}

/// What a group event changes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct GroupChange {
    /// The users it is about, ascending, without duplicates: the first members (the creator included) of a new group,
    /// the added members, the removed one, the one who left, the one with a new role.
    pub users: Vec<UserId>,
    /// The new role, with `RoleChanged`.
    pub role: Option<Role>,
    /// The new values of settings, with `GroupCreated` and the kinds that change settings.
    pub settings: GroupSettings,
}

impl GroupChange {
    /// What stores keep of it beside the users and the role.
    pub(crate) fn text(&self) -> Option<String> {
        Some(self.settings.to_text()).filter(|text| !text.is_empty())
    }

    /// Reads what stores keep of it; otherwise what is wrong with it.
    pub(crate) fn stored(users: Vec<UserId>, role: Option<Role>, text: Option<&str>) -> Result<Self, String> {
        let settings = GroupSettings::of_text(text.unwrap_or_default())?;
        Ok(Self {
            users,
            role,
            settings,
        })
    }
}

/// One entry of a conversation's log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// Its place in the store's commit order.
    pub position: Position,
    /// Its conversation.
    pub conversation: ConversationId,
    /// Its place in the conversation.
    pub seq: Seq,
    /// Displayable messages in the conversation up to and including this event.
    pub ordinal: u64,
    /// The seq of the newest membership event at or before this one (its own if it is one); 0 if there is none, as in
    /// 1:1 conversations.
    pub roster: Seq,
    /// The sender; [`UserId::SERVER`] for what another user's request made.
    pub sender: UserId,
    /// The request that made it. With [`UserId::SERVER`]: its own seq, big-endian, so that no request can have it.
    pub client_id: ClientId,
    /// The server's clock at that time, which may have been wrong: it orders nothing.
    pub at: Timestamp,
    /// Its kind.
    pub kind: EventKind,
    /// The message that an edit, recall or reaction is about. Else 0.
    pub target: Seq,
    /// Opaque to the store. Empty for group events, for recalls, for removed entries, and once erased, as that of an
    /// entry is when it has another state.
    pub body: Bytes,
    /// Only with group events.
    pub change: Option<GroupChange>,
    /// Only with events of entries.
    pub entry: Option<Box<EntryName>>,
    /// The body is not shown from this time on, and is erased some time after; 0: never. An edit expires with its
    /// message.
    pub expires_at: Timestamp,
    /// The message was recalled, or this is an edit of a recalled message: it has no body any more.
    pub recalled: bool,
}

impl UserId {
    /// The sender of events that another user's request caused. No account has it.
    pub const SERVER: Self = Self(0);
}

impl Event {
    /// Whether its body is not shown any more at this time.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_past(now)
    }
}

impl Timestamp {
    /// Whether something that lasts until then is over; 0 is never.
    pub fn is_past(self, now: Self) -> bool {
        self.0 != 0 && self <= now
    }
}

/// A user as others see them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct User {
    /// Id.
    pub id: UserId,
    /// Unique, canonical (the caller canonicalises).
    pub name: String,
    /// The display name.
    pub display_name: String,
    /// A reference to a picture.
    pub avatar: String,
    /// A line of text.
    pub status: String,
    /// 1 at creation; one more with every change of the profile.
    pub version: u64,
    /// When the account was made.
    pub created_at: Timestamp,
}

/// The data that a login is checked against.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Credentials {
    /// The user.
    pub user: User,
    /// A PHC string.
    pub password_hash: String,
}

/// What kind of device a session runs on.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum DeviceClass {
    /// Unknown.
    Other,
    /// A telephone or tablet.
    Mobile,
    /// A computer.
    Desktop,
    /// A browser.
    Web,
    /// A program: counted apart from all others.
    Script,
}

/// One device's session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// Id, chosen by the caller, unique.
    pub id: SessionId,
    /// The user.
    pub user: UserId,
    /// The installation's own id.
    pub device_id: String,
    /// The kind of device.
    pub class: DeviceClass,
    /// The device's name, for people to read.
    pub device_name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last connected, approximately.
    pub last_seen_at: Timestamp,
}
