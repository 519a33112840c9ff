//! The stores of imserver behind one pair of traits: the log of every conversation with what is derived
//! from it, accounts, sessions and cursors.
//!
//! It owns durability and the order of the log. It must never know sockets, frames or the wire's encoding,
//! read a clock, or decide what is pushed to whom: time, ids and randomness come in with each [`Write`].
//!
//! - [`Writer::commit`] applies a batch of [`Write`]s as **one** transaction. One thread, a lane, owns a writer; every
//!   acknowledgement to a client comes out of an `Ok` of this call.
//! - [`Reader`] answers questions, each from one consistent snapshot. Any number of threads own one each.
//! - [`Store`] opens both.
//!
//! Three stores implement them: [`model`], the reference that says what is right in the simplest possible
//! way, [`sqlite`], and [`postgres`] for several processes on one database. One conformance suite runs on all
//! three, and a property test compares them.
//! [`pool`] is a pool of connections for any r2d2 adapter; it knows nothing of stores, but it reads clocks and has
//! threads of its own.
#![forbid(unsafe_code)]
// A new kind, action or error must be considered in every match: the compiler names the places.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

// The test code beside this crate uses the same name.
#[cfg(test)]
extern crate self as storage;

pub mod cached;
#[cfg(any(test, feature = "conformance"))]
#[cfg_attr(
    not(test),
    expect(clippy::wildcard_enum_match_arm, reason = "a test fails at any other outcome")
)]
pub mod conformance;
pub mod copy;
pub mod entry;
pub mod ephemeral;
mod erasing;
mod error;
mod fate;
pub mod friend;
mod kind;
pub mod model;
mod numbers;
mod page;
mod past;
pub mod postgres;
mod reach;
mod read;
mod rules;
mod setting;
mod shape;
mod snapshot;
pub mod sqlite;
mod status;
#[cfg(test)]
mod tests;
mod types;
mod visible;
mod words;
mod write;

pub use entry::{EntryClass, EntryName, EntryPage, EntryView};
pub use error::{Cause, CommitError, OpenError, ReadError, Refused};
pub use fate::{Doom, Fate};
pub use kind::Effect;
pub use past::{Claim, Generation, GenerationReport, PastReport, Testimony, TokenKey};
pub use reach::{Begins, Reach};
pub use read::{
    Changes, ConversationView, CursorView, Direction, EventPage, EventView, Interrupter, Interval,
    MemberView, MembersReader, Notice, ReactionView, Reader, RevisionView, SessionEnd, Store, Tail,
    TailReader,
};
pub use setting::{GroupSetting, GroupSettings};
pub use snapshot::Snapshot;
pub use status::{SqliteStatus, Status};
pub use types::{
    ClientId, ConversationId, ConversationKind, Credentials, DeviceClass, Event, EventKind, Fingerprint,
    GroupChange, Position, Role, Seq, Session, SessionId, Timestamp, TokenHash, User, UserId,
};
pub use words::{FoundPeople, PeopleQuery};
pub use write::{
    Action, Append, Appended, CursorMove, DevicePolicy, ERASED_BODIES_MAX, ERASED_BYTES_MAX, MessageKinds,
    NewSession, NewUser, Outcome, ProfileChange, Revoke, Rules, SessionCreated, Write, Writer,
};
