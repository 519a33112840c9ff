//! Sums of rows, and the chain of the log: 64 bits that distinguish a damaged row from a whole one, and a log with
//! losses from a complete one. They are stored, so their definition never changes.
//!
//! A sum takes two words of 64 bits a step: it multiplies one, mixed with the sum so far, by the other, mixed with a
//! constant, and adds the upper half of the 128 bits to the lower one without carry. Two different rows have the same
//! sum with a probability of 2^-64. It is no defence against an attacker who chooses the rows.

use super::{
    erase::Erasure,
    standing::Standing,
    state::{Counts, Cursor, Edit, Head, Memberships, PastReaction, Reaction, Rest, Stay},
};
use crate::types::{Event, Fingerprint, Session, TokenHash, User};

/// 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
/// The sum of nothing.
const START: u64 = 0x696d_7365_7276_6572;

/// A sum under construction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sum(u64);

impl Sum {
    pub(super) const fn new() -> Self {
        Self(START)
    }

    const fn pair(self, one: u64, other: u64) -> Self {
        let product = (self.0 ^ one) as u128 * (other ^ FACTOR) as u128;
        Self(product as u64 ^ (product >> 64) as u64)
    }

    pub(super) const fn number(self, word: u64) -> Self {
        self.pair(word, 0)
    }

    /// The length, then the bytes, 16 a step: the last step of more than 16 takes some again, the only one of less is
    /// filled up with zeros.
    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let mut sum = Self(self.0 ^ (bytes.len() as u64).wrapping_mul(FACTOR));
        let (blocks, rest) = bytes.as_chunks::<16>();
        for block in blocks {
            sum = sum.halves(*block);
        }
        if rest.is_empty() {
            return sum;
        }
        if let Some(last) = bytes.last_chunk::<16>() {
            return sum.halves(*last);
        }
        let mut block = [0; 16];
        block[..rest.len()].copy_from_slice(rest);
        sum.halves(block)
    }

    pub(super) const fn finish(self) -> u64 {
        self.0
    }

    const fn halves(self, bytes: [u8; 16]) -> Self {
        let number = u128::from_le_bytes(bytes);
        self.pair(number as u64, (number >> 64) as u64)
    }

    /// The identity of an event and of its request.
    const fn name(self, event: &Event, fingerprint: Fingerprint) -> Self {
        self.pair(event.position.0, event.conversation.0)
            .halves(event.client_id.0)
            .halves(fingerprint.0)
    }
}

/// The sum of an event's present row: erasing its body changes the sum.
pub(super) fn of_event(event: &Event, fingerprint: Fingerprint, reaction: &str) -> u64 {
    let mut sum = Sum::new()
        .name(event, fingerprint)
        .pair(event.seq.0, event.sender.0)
        .pair(event.at.0, event.ordinal)
        .pair(
            event.roster.0,
            u64::from(event.kind.number()) << 1 | u64::from(event.recalled),
        )
        .pair(event.target.0, event.expires_at.0)
        .bytes(&event.body);
    if let Some(change) = &event.change {
        sum = sum.number(change.role.map_or(0, |role| 1 + role as u64));
        let text = change.text();
        sum = sum.bytes(text.as_deref().unwrap_or_default().as_bytes());
        sum = sum.number(change.users.len() as u64 * 2 + u64::from(text.is_some()));
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

/// The sum of the store's standing.
pub(super) const fn of_standing(standing: &Standing) -> u64 {
    Sum::new()
        .pair(standing.log_id, standing.generation.0)
        .pair(standing.commits, standing.position.0)
        .number(standing.chain)
        .finish()
}

/// The sum of a watermark.
pub(super) const fn of_watermark(watermark: u64) -> u64 {
    Sum::new().number(watermark).finish()
}

/// The sum of a cursor's row.
pub(super) const fn of_cursor(cursor: &Cursor) -> u64 {
    Sum::new()
        .pair(cursor.conversation.0, cursor.user.0)
        .pair(cursor.delivered.0, cursor.read.0)
        .pair(cursor.read_ordinal, cursor.position.0)
        .finish()
}

/// The sum of a conversation's head.
pub(super) const fn of_head(head: &Head) -> u64 {
    Sum::new()
        .pair(head.conversation.0, head.seq.0)
        .pair(head.ordinal, head.position.0)
        .pair(head.at.0, head.roster.0)
        .finish()
}

/// The sum of a conversation's row without its head.
pub(super) fn of_rest(rest: &Rest) -> u64 {
    Sum::new()
        .pair(rest.conversation.0, u64::from(rest.disbanded))
        .pair(rest.member_count, rest.stays)
        .bytes(rest.settings.as_bytes())
        .finish()
}

/// The sum of the row of a membership interval.
pub(super) fn of_stay(stay: &Stay) -> u64 {
    let sum = Sum::new()
        .pair(stay.conversation.0, stay.user.0)
        .pair(stay.joined.0, stay.joined_ordinal)
        .pair(
            stay.previous.0,
            (stay.role as u64) << 1 | u64::from(stay.is_newest),
        );
    match &stay.left {
        None => sum.finish(),
        Some(left) => sum
            .pair(left.seq.0, left.ordinal)
            .pair(left.position.0, left.at.0)
            .number(left.member_count)
            .bytes(left.settings.as_bytes())
            .finish(),
    }
}

/// The sum of the row that counts a user's memberships.
pub(super) const fn of_memberships(of: &Memberships) -> u64 {
    Sum::new()
        .pair(of.user.0, of.groups)
        .number(of.conversations)
        .finish()
}

/// The sum of an edit's row and of the previous edit of the same message: the rows of a message are a chain, of which
/// none can be missing unnoticed.
pub(super) const fn of_edit(edit: &Edit) -> u64 {
    Sum::new()
        .pair(edit.conversation.0, edit.target.0)
        .pair(edit.seq.0, edit.position.0)
        .number(edit.previous.0)
        .finish()
}

/// The sum of the row of a message whose edits are being erased.
pub(super) const fn of_erasure(erasure: &Erasure) -> u64 {
    Sum::new()
        .pair(erasure.conversation.0, erasure.target.0)
        .number(erasure.next.0)
        .finish()
}

/// The sum of a reaction's row.
pub(super) fn of_reaction(reaction: &Reaction<'_>) -> u64 {
    Sum::new()
        .pair(reaction.conversation.0, reaction.target.0)
        .pair(reaction.user.0, reaction.seq.0)
        .bytes(reaction.reaction.as_bytes())
        .finish()
}

/// The sum of the row of a past reaction.
pub(super) fn of_past_reaction(past: &PastReaction<'_>) -> u64 {
    Sum::new()
        .pair(past.was.conversation.0, past.was.target.0)
        .pair(past.was.user.0, past.was.seq.0)
        .number(past.until.0)
        .bytes(past.was.reaction.as_bytes())
        .finish()
}

/// The sum of the row that counts the edits and reactions of a message.
pub(super) const fn of_counts(counts: &Counts) -> u64 {
    Sum::new()
        .pair(counts.conversation.0, counts.message.0)
        .pair(counts.edits, counts.reactions)
        .pair(counts.past, counts.last_edit.0)
        .finish()
}

/// The chain after an event: over all events of the log in their order, each with the request that made it. The
/// request's fingerprint stands for the content, which may be erased.
pub(super) const fn chained(chain: u64, event: &Event, fingerprint: Fingerprint) -> u64 {
    Sum(chain).name(event, fingerprint).finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        setting::{GroupSetting, GroupSettings},
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

    /// Existing stores were written with these.
    #[test]
    fn sums_stay_what_they_are() {
        assert_eq!(Sum::new().bytes(b"imserver!").finish(), 0x8b7b_46c4_e55e_6b1e);
        assert_eq!(
            of_event(&event(), Fingerprint([9; 16]), ""),
            0x0273_9b15_6de1_f5ef
        );
        assert_eq!(chained(0, &event(), Fingerprint([9; 16])), 0xc9f3_eaa8_ab8d_901d);
    }

    #[test]
    fn every_part_of_an_event_counts() {
        let change = |users: &[u64], role, name: Option<&str>| {
            Some(GroupChange {
                users: users.iter().copied().map(UserId).collect(),
                role,
                settings: name.map_or_else(GroupSettings::default, |name| {
                    GroupSettings::of(GroupSetting::Name, name)
                }),
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
