//! The writing half of the store contract: writes, their outcomes, and the trait that commits them.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    error::{CommitError, Refused},
    friend::PersonAction,
    setting::GroupSetting,
    types::{
        ClientId, ConversationId, DeviceClass, Event, Fingerprint, Position, Role, Seq, Session, SessionId,
        Timestamp, TokenHash, User, UserId,
    },
};

/// A writer of a store. It belongs to one lane's thread.
pub trait Writer: Send {
    /// Applies the writes in order, as one transaction, and returns once they are durable: an outcome or a refusal for
    /// each, in their order. Each write sees the effects of those before it. A refused write changes nothing.
    ///
    /// # Errors
    /// Nothing may be acknowledged; the error tells what is known about the batch. After [`CommitError::NotApplied`]
    /// the writer is as it was before the call and can be used on.
    fn commit(&mut self, writes: &[Write]) -> Result<Vec<Result<Outcome, Refused>>, CommitError>;

    /// How many of at most `most` writes the next batch should have: fewer while their server recovers from an outage.
    /// At least one. Larger batches are not refused.
    fn batch_size(&self, most: usize) -> usize {
        most.max(1)
    }
}

/// The rules a store enforces inside its transactions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rules {
    /// Members of a group, at most, its owners included.
    pub group_members_max: u32,
    /// A member of this many groups creates no more; disbanded groups do not count.
    pub groups_per_user_max: u32,
    /// A member of this many groups is not added to more by others. Less than [`Rules::groups_per_user_max`], so that
    /// others cannot use up a user's own room.
    pub groups_put_into_max: u32,
    /// A user who left a group is not added again by others for this long. Milliseconds.
    pub put_back_after_ms: u64,
    /// Any member may add members; else admins and owners only.
    pub members_may_add: bool,
    /// Edits of a message, at most: a recall must erase the bodies of all of them.
    pub message_edits_max: u32,
    /// Reactions that a message has at a time, at most.
    pub message_reactions_max: u32,
    /// Entries that a user has by [`Action::SetEntry`], at most.
    pub entries_max: u32,
    /// Friends of a user, at most.
    pub friends_max: u32,
    /// Requests for friendship that a user has made and that count, at most; and the requests of others that a user
    /// has: the oldest one goes for a new one.
    pub friend_requests_max: u32,
    /// People that a user blocks, at most.
    pub blocks_max: u32,
}

impl Rules {
    /// The default of [`Rules::message_edits_max`].
    pub const MESSAGE_EDITS_MAX: u32 = 1_000;
    /// The default of [`Rules::message_reactions_max`].
    pub const MESSAGE_REACTIONS_MAX: u32 = 10_000;
    /// The default of [`Rules::entries_max`].
    pub const ENTRIES_MAX: u32 = 10_000;
    /// The default of [`Rules::friends_max`].
    pub const FRIENDS_MAX: u32 = 5_000;
    /// The default of [`Rules::friend_requests_max`].
    pub const FRIEND_REQUESTS_MAX: u32 = 200;
    /// The default of [`Rules::blocks_max`].
    pub const BLOCKS_MAX: u32 = 5_000;
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            group_members_max: 2_000,
            groups_per_user_max: 2_000,
            groups_put_into_max: 1_000,
            put_back_after_ms: 0,
            members_may_add: true,
            message_edits_max: Self::MESSAGE_EDITS_MAX,
            message_reactions_max: Self::MESSAGE_REACTIONS_MAX,
            entries_max: Self::ENTRIES_MAX,
            friends_max: Self::FRIENDS_MAX,
            friend_requests_max: Self::FRIEND_REQUESTS_MAX,
            blocks_max: Self::BLOCKS_MAX,
        }
    }
}

/// One change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Write {
    /// An event for a conversation's log, and the events that belong to it in other logs: all of it or nothing.
    /// Outcome: [`Outcome::Appended`].
    Append(Append),
    /// Cursors to move forward. A move back, or one in a conversation that the user cannot see, changes nothing.
    /// Outcome: [`Outcome::Cursors`].
    Cursors(Vec<CursorMove>),
    /// An account. Outcome: [`Outcome::User`]; [`Refused::NameTaken`].
    CreateUser(NewUser),
    /// A profile. Outcome: [`Outcome::User`], with a version one higher if anything has changed; [`Refused::NotFound`].
    UpdateProfile(ProfileChange),
    /// A session. Outcome: [`Outcome::Session`]; [`Refused::NotFound`] for an unknown user,
    /// [`Refused::Conflict`] where a session has its id or its token already.
    CreateSession(NewSession),
    /// Sessions to end. Outcome: [`Outcome::Revoked`], possibly of none.
    RevokeSessions(Revoke),
    /// Sessions that were connected at a time; unknown ones are passed over. Outcome: [`Outcome::Done`].
    TouchSessions(Vec<(SessionId, Timestamp)>),
    /// Erases a slice of bodies that no reader can see any more from the disk: first those of the edits of recalled
    /// messages, then those of messages and edits that had expired by this time. [`ERASED_BODIES_MAX`] and
    /// [`ERASED_BYTES_MAX`] bound it. Answers change only in that expired events have no body. Make it a batch of its
    /// own: it is undefined whether other writes of its batch still find the erased bodies. Outcome:
    /// [`Outcome::Erased`].
    Erase(Timestamp),
}

/// Bodies erased by one [`Write::Erase`], at most.
pub const ERASED_BODIES_MAX: usize = 128;
/// One [`Write::Erase`] erases no further body once the erased ones have this many bytes together.
pub const ERASED_BYTES_MAX: usize = 256 << 10;

/// An event to append.
///
/// In this order: the client id is looked up under (conversation, sender). If it is known with the same fingerprint,
/// the first result comes back as a duplicate, whatever has changed since; with another fingerprint,
/// [`Refused::Conflict`]. Only then are membership, permission and limits checked, and only a new event takes a seq.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Append {
    /// The conversation. For [`Action::CreateGroup`] the new group's id.
    pub conversation: ConversationId,
    /// The user who appends it.
    pub sender: UserId,
    /// The id of the logical request.
    pub client_id: ClientId,
    /// The fingerprint of the whole request.
    pub fingerprint: Fingerprint,
    /// The wall clock, which is the event's time.
    pub at: Timestamp,
    /// The content.
    pub action: Action,
}

/// The content of an append. The refusals of each action stand with it; those of the client id are above.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// A displayable message. `Direct`: the sender is one of the two and both accounts exist, else `NotFound`; the
    /// first event creates the conversation, `Forbidden` if one of them blocks the other one or the other one wants
    /// messages of friends alone; `Forbidden` in a closed conversation. `Own`: the sender's own, else `NotFound`. `Group`: a present member, else
    /// `Forbidden` for a former member and `NotFound` for a stranger; `Gone` once disbanded (for all other actions on
    /// groups too). Actions that only groups have are `Forbidden` in other existing conversations.
    Message {
        /// 1 to 31; others are `Forbidden`.
        kind: u8,
        /// Opaque.
        body: Bytes,
        /// See [`Event::expires_at`].
        expires_at: Timestamp,
        /// The message it replies to must be displayable and visible to the sender, else `NotFound`; it may have been
        /// recalled. 0: none.
        reply_to: Seq,
    },
    /// A new body for one's own message. `NotFound` unless it is a displayable message visible to the sender,
    /// `Forbidden` if another user's or in a closed conversation, `Gone` if recalled or expired, `Unfit` if a message of its kind cannot have this
    /// body, `LimitReached` if it was edited too often. It expires with the message.
    Edit {
        /// The message.
        target: Seq,
        /// Opaque.
        body: Bytes,
        /// The kinds that the message may have.
        fits: MessageKinds,
    },
    /// Erases a message: one's own, or as admin or owner of the group any. `NotFound`, `Forbidden` and `Gone` as with
    /// `Edit`, but an expired message is erased. From then on no answer has the bodies of its edits either;
    /// [`Write::Erase`] erases them on the disk.
    Recall {
        /// The message.
        target: Seq,
    },
    /// A user's reaction to a message they can see; a new one replaces the old one, an empty one removes it. `NotFound`
    /// and `Gone` as with `Edit`, `Forbidden` in a closed conversation, `NothingToDo` if the user has this one already, `LimitReached` if too many users have
    /// one.
    React {
        /// The message.
        target: Seq,
        /// The reaction itself, as pages of history show it; empty removes it.
        reaction: String,
        /// Opaque; the body of the event.
        body: Bytes,
    },
    /// A new group whose owner is the sender. `NotFound` if any user does not exist, `LimitReached`, `Forbidden` if any
    /// does not want to be made a member by the sender,
    /// `Conflict` if the id belongs to a group of another creation.
    CreateGroup {
        /// The name.
        name: String,
        /// First members; duplicates and the creator are ignored.
        members: Vec<UserId>,
    },
    /// `NotFound` if any user does not exist, `NothingToDo` if all are members already, `Forbidden` if one of them left
    /// too recently or does not want to be made a member by the sender, `LimitReached`.
    AddMembers {
        /// Duplicates and present members are ignored.
        users: Vec<UserId>,
    },
    /// By an admin for a member, by an owner for any user but oneself (that is `Leave`); `Forbidden` otherwise.
    /// `NotFound` if the user is no member.
    RemoveMember {
        /// The user to remove.
        user: UserId,
    },
    /// `Forbidden` for the last owner while others are members.
    Leave,
    /// By an owner. `NotFound` if the user is no member, `NothingToDo` if the user has this role already, `Forbidden`
    /// if it would leave the group without an owner.
    SetRole {
        /// The user.
        user: UserId,
        /// The new role.
        role: Role,
    },
    /// By a member whose role the setting asks for. `NothingToDo` if it has this value already.
    Set {
        /// The setting.
        setting: GroupSetting,
        /// Its new value; empty takes it away.
        value: String,
    },
    /// By an owner. Members stay members: history stays readable.
    Disband,
    /// Another value of an entry of the sender, in their own log. `NothingToDo` if it has this value, `LimitReached`.
    SetEntry {
        /// The key. The caller keeps it within bounds, and does not let users write those of friends and blocks.
        key: String,
        /// Opaque, within the caller's bounds.
        value: Bytes,
    },
    /// `NothingToDo` if there is no such entry.
    RemoveEntry {
        /// The key, as above.
        key: String,
    },
    /// Something about a person, in the sender's own log.
    Person(PersonAction),
    /// For tests: a message of kind 1 here and the same in another conversation, by a user who may send in both,
    /// neither of them a group. If one is refused, both are.
    #[cfg(any(test, feature = "conformance"))]
    Pair {
        /// The other conversation.
        other: ConversationId,
        /// Opaque.
        body: Bytes,
    },
}

/// A set of kinds of messages, numbered 1 to 31.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MessageKinds(u32);

impl MessageKinds {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self(u32::MAX);

    /// This set with `kind`; a number that is no kind adds nothing.
    #[must_use]
    pub const fn and(self, kind: u8) -> Self {
        match 1_u32.checked_shl(kind as u32) {
            Some(bit) => Self(self.0 | bit),
            None => self,
        }
    }

    /// Whether `kind` is among them.
    pub const fn has(self, kind: u8) -> bool {
        match self.0.checked_shr(kind as u32) {
            Some(rest) => rest & 1 == 1,
            None => false,
        }
    }
}

/// A cursor move, forward only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CursorMove {
    /// The conversation.
    pub conversation: ConversationId,
    /// The user.
    pub user: UserId,
    /// A device has everything up to here; 0: not stated. Cut to the user's visible head.
    pub delivered: Seq,
    /// The user has read everything up to here; 0: not stated. Cut likewise. Reading implies having.
    pub read: Seq,
}

/// An account to create.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewUser {
    /// Canonical and valid.
    pub name: String,
    /// The display name.
    pub display_name: String,
    /// A PHC string.
    pub password_hash: String,
    /// The wall clock.
    pub at: Timestamp,
}

/// A profile's new state; `None` leaves a field as it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProfileChange {
    /// The user.
    pub user: UserId,
    /// The display name.
    pub display_name: Option<String>,
    /// A reference to a picture.
    pub avatar: Option<String>,
    /// A line of text.
    pub status: Option<String>,
}

/// The limits on a user's sessions; of those that are not connected the least recently seen ends first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DevicePolicy {
    /// In all.
    pub total: u32,
    /// On devices of class `Mobile`.
    pub mobile: u32,
    /// `Desktop`.
    pub desktop: u32,
    /// `Web`.
    pub web: u32,
    /// `Script`; not part of the total.
    pub script: u32,
}

impl DevicePolicy {
    /// The limit for one class.
    pub const fn of(&self, class: DeviceClass) -> u32 {
        match class {
            DeviceClass::Other => self.total,
            DeviceClass::Mobile => self.mobile,
            DeviceClass::Desktop => self.desktop,
            DeviceClass::Web => self.web,
            DeviceClass::Script => self.script,
        }
    }
}

/// A session to create. It replaces the user's session on the same device id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewSession {
    /// Id, user, device, times.
    pub session: Session,
    /// The hash of its token.
    pub token_hash: TokenHash,
    /// Applied with it: first the limit of the class, then the limit of all. The new session itself always stays.
    pub policy: DevicePolicy,
    /// The user's sessions that are connected, as far as is known: they end after all others.
    pub online: Vec<SessionId>,
}

/// Sessions of a user to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Revoke {
    /// This one.
    One(UserId, SessionId),
    /// All but this one.
    Others(UserId, SessionId),
}

impl Revoke {
    /// The user whose sessions end.
    pub const fn user(self) -> UserId {
        match self {
            Self::One(user, _) | Self::Others(user, _) => user,
        }
    }
}

/// The effect of a write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// See [`Write::Append`].
    Appended(Appended),
    /// The cursors that moved, with their new values, and the commit position they share; empty and position 0 if none
    /// did. Then the cursors of devices that reported more than there is of what they may see.
    Cursors(Vec<CursorMove>, Position, Vec<(ConversationId, UserId)>),
    /// The account's present state.
    User(User),
    /// The new session and those it displaced.
    Session(SessionCreated),
    /// The sessions that ended.
    Revoked(Vec<SessionId>),
    /// Whether bodies were erased: then there may be more.
    Erased(bool),
    /// Nothing to report.
    Done,
}

impl Outcome {
    /// The newest position in it, of a new event or not; 0 if none.
    pub fn position(&self) -> Position {
        match self {
            Self::Appended(appended) => appended.others.last().unwrap_or(&appended.event).position,
            Self::Cursors(_, position, _) => *position,
            Self::User(_) | Self::Session(_) | Self::Revoked(_) | Self::Erased(_) | Self::Done => Position(0),
        }
    }

    /// The events that are new, in the order of their positions.
    pub fn new_events(&self) -> impl Iterator<Item = &Arc<Event>> {
        let appended = match self {
            Self::Appended(appended) => (!appended.duplicate).then_some(appended),
            Self::Cursors(..)
            | Self::User(_)
            | Self::Session(_)
            | Self::Revoked(_)
            | Self::Erased(_)
            | Self::Done => None,
        };
        appended
            .into_iter()
            .flat_map(|appended| std::iter::once(&appended.event).chain(&appended.others))
    }
}

/// An append's result.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Appended {
    /// The event: the new one, or for a duplicate the one stored first, in its present state.
    pub event: Arc<Event>,
    /// The new events that the same append made in other conversations, in the order of their positions. Rarely any,
    /// and none for a duplicate.
    pub others: Vec<Arc<Event>>,
    /// The request had been stored before; this append added nothing.
    pub duplicate: bool,
}

/// A new session's consequences.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionCreated {
    /// The same device's previous session, if there was one.
    pub replaced: Option<SessionId>,
    /// Sessions that the policy ended, in the order it did.
    pub displaced: Vec<SessionId>,
}
