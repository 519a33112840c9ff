//! Sums of rows, and the chain of the log: 64 bits that tell a damaged row, and a log that lost something, from a whole
//! one. They are stored, so their definition never changes.
//!
//! A sum takes words of 64 bits, one after the other: `s = (s ^ word) * FACTOR; s ^= s >> 32`. For a fixed `s` every
//! step maps different words to different sums, and for a fixed word different sums to different ones. So two rows
//! that differ within one word, by one flipped bit for example, *never* have the same sum; others have it by a chance
//! of 2^-64. It is no defence against somebody who chooses the rows.

use crate::types::{Event, Fingerprint, Session, TokenHash, User};

/// Odd, so that multiplying loses nothing: 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
/// What a sum of nothing is.
const START: u64 = 0x696d_7365_7276_6572;

/// A sum that is being made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sum(u64);

impl Sum {
    pub(super) const fn new() -> Self {
        Self(START)
    }

    pub(super) const fn number(self, word: u64) -> Self {
        let product = (self.0 ^ word).wrapping_mul(FACTOR);
        Self(product ^ product >> 32)
    }

    /// The length, then the bytes, little-endian, the last word filled up with zeros.
    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let mut sum = self.number(bytes.len() as u64);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            sum = sum.number(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            sum = sum.number(u64::from_le_bytes(word));
        }
        sum
    }

    pub(super) const fn finish(self) -> u64 {
        self.0
    }

    /// Both halves of a name of 16 bytes.
    fn halves(self, bytes: [u8; 16]) -> Self {
        let number = u128::from_le_bytes(bytes);
        self.number(number as u64).number((number >> 64) as u64)
    }

    /// Which event of which request it is.
    fn name(self, event: &Event, fingerprint: Fingerprint) -> Self {
        self.number(event.position.0)
            .halves(event.client_id.0)
            .halves(fingerprint.0)
    }
}

/// The sum of an event's row as it is now: erasing its body makes another one.
pub(super) fn of_event(event: &Event, fingerprint: Fingerprint, reaction: &str) -> u64 {
    let mut sum = Sum::new()
        .name(event, fingerprint)
        .number(event.conversation.0)
        .number(event.seq.0)
        .number(event.sender.0)
        .number(event.at.0)
        .number(event.ordinal)
        .number(event.roster.0)
        .number(u64::from(event.kind.number()) << 1 | u64::from(event.recalled))
        .number(event.target.0)
        .number(event.expires_at.0)
        .bytes(&event.body);
    if let Some(change) = &event.change {
        sum = sum.number(change.role.map_or(0, |role| 1 + role as u64));
        sum = sum.bytes(change.name.as_deref().unwrap_or_default().as_bytes());
        sum = sum.number(change.users.len() as u64 * 2 + u64::from(change.name.is_some()));
        for user in &change.users {
            sum = sum.number(user.0);
        }
    }
    if !reaction.is_empty() {
        sum = sum.bytes(reaction.as_bytes());
    }
    sum.finish()
}

/// The sum of an account's row.
pub(super) fn of_user(user: &User, password_hash: &str) -> u64 {
    Sum::new()
        .number(user.id.0)
        .bytes(user.name.as_bytes())
        .bytes(user.display_name.as_bytes())
        .bytes(user.avatar.as_bytes())
        .bytes(user.status.as_bytes())
        .bytes(password_hash.as_bytes())
        .number(user.version)
        .number(user.created_at.0)
        .finish()
}

/// The sum of a session's row.
pub(super) fn of_session(session: &Session, token_hash: &TokenHash) -> u64 {
    Sum::new()
        .number(session.id.0)
        .number(session.user.0)
        .bytes(session.device_id.as_bytes())
        .number(session.class as u64)
        .bytes(session.device_name.as_bytes())
        .bytes(&token_hash.0)
        .number(session.created_at.0)
        .number(session.last_seen_at.0)
        .finish()
}

/// The chain after an event: over all events of the log in their order, of each which request made it. The request's
/// fingerprint stands for the content, which may be erased.
pub(super) fn chained(chain: u64, event: &Event, fingerprint: Fingerprint) -> u64 {
    Sum(chain).name(event, fingerprint).finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        sqlite::tests::{ANN, PAIR},
        types::{ClientId, EventKind, GroupChange, Position, Role, Seq, Timestamp, UserId},
    };

    fn event() -> Event {
        Event {
            position: Position(7),
            conversation: PAIR,
            seq: Seq(3),
            ordinal: 2,
            roster: Seq(1),
            sender: ANN,
            client_id: ClientId([4; 16]),
            at: Timestamp(5),
            kind: EventKind::Message(1),
            target: Seq(0),
            body: b"a body that is not a multiple of eight".as_slice().into(),
            change: None,
            expires_at: Timestamp(0),
            recalled: false,
        }
    }

    proptest! {
        #[test]
        fn every_flipped_bit_makes_another_sum(bytes in proptest::collection::vec(any::<u8>(), 1..200), bit: usize) {
            let mut flipped = bytes.clone();
            let bit = bit % (bytes.len() * 8);
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert_ne!(Sum::new().bytes(&bytes).finish(), Sum::new().bytes(&flipped).finish());
        }
    }

    /// Stores have been written with these.
    #[test]
    fn sums_stay_what_they_are() {
        assert_eq!(Sum::new().bytes(b"imserver!").finish(), 0xabea_c13c_b416_0051);
        assert_eq!(
            of_event(&event(), Fingerprint([9; 16]), ""),
            0xb7fb_66fd_5a09_f4a5
        );
        assert_eq!(chained(0, &event(), Fingerprint([9; 16])), 0x5c04_9edb_c507_6f5d);
    }

    #[test]
    fn every_part_of_an_event_counts() {
        let change = |users: &[u64], role, name: Option<&str>| {
            Some(GroupChange {
                users: users.iter().copied().map(UserId).collect(),
                role,
                name: name.map(str::to_owned),
            })
        };
        let with = |alter: &dyn Fn(&mut Event)| {
            let mut event = event();
            alter(&mut event);
            of_event(&event, Fingerprint([9; 16]), "")
        };
        let sums = [
            with(&|_| {}),
            with(&|event| event.ordinal += 1),
            with(&|event| event.roster = Seq(2)),
            with(&|event| event.recalled = true),
            with(&|event| event.kind = EventKind::Message(2)),
            with(&|event| event.expires_at = Timestamp(1)),
            with(&|event| event.target = Seq(1)),
            with(&|event| event.body = b"".as_slice().into()),
            with(&|event| event.change = change(&[], None, None)),
            with(&|event| event.change = change(&[], None, Some(""))),
            with(&|event| event.change = change(&[1], None, None)),
            with(&|event| event.change = change(&[2], None, None)),
            with(&|event| event.change = change(&[], Some(Role::Member), None)),
            with(&|event| event.change = change(&[], Some(Role::Owner), None)),
            of_event(&event(), Fingerprint([8; 16]), ""),
            of_event(&event(), Fingerprint([9; 16]), "+"),
        ];
        let different: std::collections::BTreeSet<u64> = sums.into_iter().collect();
        assert_eq!(different.len(), sums.len());
    }
}
