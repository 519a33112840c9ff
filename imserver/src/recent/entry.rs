//! What stands in a list, as bytes: the mark that it is begun with, and the events. Each begins with its version;
//! another version's list is no list.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use protocol::RawEvent;
use storage::{
    Event, EventKind, Position, Seq, SessionId, Snapshot, Timestamp, UserId, ephemeral::RecentEvent,
};

use super::BODY_BYTES_MAX;
use crate::service::wire;

/// Of marks and entries.
const VERSION: u8 = 2;
/// Commits within a mark's set that are not in it, at most.
const OPEN_MAX: usize = 32;

/// What a list is begun with: who had everything up to where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mark {
    /// Names the store's commit order.
    pub log_id: u64,
    /// Its epoch.
    pub epoch: u64,
    /// The session whose connection closed.
    pub session: SessionId,
    /// All of it was written to that connection.
    pub snapshot: Snapshot,
}

impl Mark {
    /// As the list keeps it; a set with many holes as a smaller one.
    pub fn to_bytes(&self) -> Vec<u8> {
        let snapshot = self.snapshot.within(OPEN_MAX);
        let mut bytes = vec![VERSION];
        let (floor, ceiling) = (snapshot.floor().0, snapshot.ceiling().0);
        for number in [self.epoch, self.session.0, self.log_id, floor, ceiling] {
            bytes.put_u64(number);
        }
        for open in snapshot.open() {
            bytes.put_u64(open.0);
        }
        bytes
    }

    /// `None` for what is none of this version.
    pub fn parse(mut bytes: &[u8]) -> Option<Self> {
        if bytes.try_get_u8().ok()? != VERSION {
            return None;
        }
        let epoch = bytes.try_get_u64().ok()?;
        let session = SessionId(bytes.try_get_u64().ok()?);
        let log_id = bytes.try_get_u64().ok()?;
        let (floor, ceiling) = (bytes.try_get_u64().ok()?, bytes.try_get_u64().ok()?);
        let mut open = Vec::new();
        while bytes.has_remaining() && open.len() < OPEN_MAX {
            open.push(Position(bytes.try_get_u64().ok()?));
        }
        let (below, end) = (Position(floor.checked_add(1)?), Position(ceiling.checked_add(1)?));
        (!bytes.has_remaining()).then(|| Self {
            log_id,
            epoch,
            session,
            snapshot: Snapshot::new(below, end, &open),
        })
    }
}

/// Whether an event is kept for those who are away. Never one about another event: that a list has a hole where
/// something was edited, recalled or reacted to is what makes it usable.
pub const fn is_kept(event: &Event) -> bool {
    let about_another = matches!(
        event.kind,
        EventKind::Edit | EventKind::Recall | EventKind::Reaction
    );
    !about_another && event.target.0 == 0 && !event.recalled && event.body.len() <= BODY_BYTES_MAX
}

/// Whose lists end with an event, so that no body stays in one that is to be erased, now or later.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ends<'a> {
    /// Nobody's.
    Nobodys,
    /// Of all who see it: a body is erased.
    OfAllWhoSee,
    /// Of those who went: they would not see a later recall.
    Of(&'a [UserId]),
}

/// See [`Ends`].
pub fn ends(event: &Event) -> Ends<'_> {
    match (event.kind, &event.change) {
        (EventKind::Recall, _) => Ends::OfAllWhoSee,
        (EventKind::MemberRemoved | EventKind::MemberLeft, Some(change)) => Ends::Of(&change.users),
        _ => Ends::Nobodys,
    }
}

/// An event as a list keeps it.
pub fn entry(event: &Event) -> RecentEvent {
    // Whether it has expired is seen by who reads it.
    let raw = wire::raw_event(event, Timestamp(0));
    let mut bytes = BytesMut::with_capacity(1 + 8 + 8 + raw.encoded_len());
    bytes.put_u8(VERSION);
    bytes.put_u64(event.position.0);
    bytes.put_u64(event.expires_at.0);
    bytes.put_slice(&raw.encode_to_vec());
    RecentEvent {
        conversation: event.conversation,
        seq: event.seq,
        bytes: bytes.freeze(),
    }
}

/// An entry that was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) position: Position,
    expires_at: Timestamp,
    raw: RawEvent,
}

impl Entry {
    /// `None` for what is none of this version, or says another place than the list does.
    pub(super) fn parse(event: &RecentEvent) -> Option<Self> {
        let mut bytes: Bytes = event.bytes.clone();
        if bytes.try_get_u8().ok()? != VERSION {
            return None;
        }
        let position = Position(bytes.try_get_u64().ok()?);
        let expires_at = Timestamp(bytes.try_get_u64().ok()?);
        let raw = RawEvent::decode(bytes).ok()?;
        let there = raw.conversation_id == event.conversation.0 && Seq(raw.seq) == event.seq;
        (there && raw.target_seq == 0).then_some(Self {
            position,
            expires_at,
            raw,
        })
    }

    /// As a page of the store shows it at this time.
    pub(super) fn raw_event(&self, now: Timestamp) -> RawEvent {
        let mut raw = self.raw.clone();
        if self.expires_at.0 != 0 && self.expires_at <= now {
            raw.expired = true;
            raw.body = None;
        }
        raw
    }
}
