//! Sums of rows, and the chain of the log: 64 bits that distinguish a damaged row from a whole one, and a log with
//! losses from a complete one. They are stored, so their definition never changes.
//!
//! A sum takes two words of 64 bits a step: it multiplies one, mixed with the sum so far, by the other, mixed with a
//! constant, and adds the upper half of the 128 bits to the lower one without carry. Two different rows have the same
//! sum with a probability of 2^-64. It is no defence against an attacker who chooses the rows.

use super::{
    entries::Entry,
    erase::Erasure,
    standing::Standing,
    state::{Counts, Cursor, Edit, Head, Left, Memberships, PastReaction, Reaction, Rest, Stay},
};
use crate::types::{Event, Fingerprint, GroupChange, Session, TokenHash, User};

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

// Each of these takes its row apart: a column that is added does not compile until it counts.

/// The sum of an event's present row: erasing its body changes the sum.
pub(super) fn of_event(event: &Event, fingerprint: Fingerprint, reaction: &str) -> u64 {
    let Event {
        // Part of its name.
        position: _,
        conversation: _,
        client_id: _,
        seq,
        ordinal,
        roster,
        sender,
        at,
        kind,
        target,
        body,
        change,
        entry,
        expires_at,
        recalled,
    } = event;
    let mut sum = Sum::new()
        .name(event, fingerprint)
        .pair(seq.0, sender.0)
        .pair(at.0, *ordinal)
        .pair(roster.0, u64::from(kind.number()) << 1 | u64::from(*recalled))
        .pair(target.0, expires_at.0)
        .bytes(body);
    if let Some(change) = change {
        let GroupChange {
            users,
            role,
            settings: _,
        } = change;
        let text = change.text();
        sum = sum.number(role.map_or(0, |role| 1 + role as u64));
        sum = sum.bytes(text.as_deref().unwrap_or_default().as_bytes());
        sum = sum.number(users.len() as u64 * 2 + u64::from(text.is_some()));
        for user in users {
            sum = sum.number(user.0);
        }
    }
    if let Some(entry) = entry {
        sum = sum
            .number(u64::from(entry.class.number()))
            .bytes(entry.key.as_bytes());
    }
    if !reaction.is_empty() {
        sum = sum.bytes(reaction.as_bytes());
    }
    sum.finish()
}

/// The sum of an account's row.
pub(super) fn of_user(user: &User, password_hash: &str) -> u64 {
    let User {
        id,
        name,
        display_name,
        avatar,
        status,
        version,
        created_at,
    } = user;
    Sum::new()
        .number(id.0)
        .bytes(name.as_bytes())
        .bytes(display_name.as_bytes())
        .bytes(avatar.as_bytes())
        .bytes(status.as_bytes())
        .bytes(password_hash.as_bytes())
        .number(*version)
        .number(created_at.0)
        .finish()
}

/// The sum of a session's row.
pub(super) fn of_session(session: &Session, token_hash: &TokenHash) -> u64 {
    let Session {
        id,
        user,
        device_id,
        class,
        device_name,
        created_at,
        last_seen_at,
    } = session;
    Sum::new()
        .number(id.0)
        .number(user.0)
        .bytes(device_id.as_bytes())
        .number(*class as u64)
        .bytes(device_name.as_bytes())
        .bytes(&token_hash.0)
        .number(created_at.0)
        .number(last_seen_at.0)
        .finish()
}

/// The sum of the store's standing.
pub(super) const fn of_standing(standing: &Standing) -> u64 {
    let Standing {
        log_id,
        generation,
        commits,
        position,
        chain,
    } = standing;
    Sum::new()
        .pair(*log_id, generation.0)
        .pair(*commits, position.0)
        .number(*chain)
        .finish()
}

/// The sum of a watermark.
pub(super) const fn of_watermark(watermark: u64) -> u64 {
    Sum::new().number(watermark).finish()
}

/// The sum of a cursor's row.
pub(super) const fn of_cursor(cursor: &Cursor) -> u64 {
    let Cursor {
        conversation,
        user,
        delivered,
        read,
        read_ordinal,
        position,
    } = cursor;
    Sum::new()
        .pair(conversation.0, user.0)
        .pair(delivered.0, read.0)
        .pair(*read_ordinal, position.0)
        .finish()
}

/// The sum of a conversation's head.
pub(super) const fn of_head(head: &Head) -> u64 {
    let Head {
        conversation,
        seq,
        ordinal,
        position,
        at,
        roster,
    } = head;
    Sum::new()
        .pair(conversation.0, seq.0)
        .pair(*ordinal, position.0)
        .pair(at.0, roster.0)
        .finish()
}

/// The sum of a conversation's row without its head.
pub(super) fn of_rest(rest: &Rest) -> u64 {
    let Rest {
        conversation,
        settings,
        disbanded,
        member_count,
        stays,
        closed,
    } = rest;
    Sum::new()
        .pair(conversation.0, u64::from(*disbanded) | u64::from(closed.0) << 1)
        .pair(*member_count, *stays)
        .bytes(settings.as_bytes())
        .finish()
}

/// The sum of the row of a membership interval.
pub(super) fn of_stay(stay: &Stay) -> u64 {
    let Stay {
        conversation,
        user,
        joined,
        joined_ordinal,
        role,
        left,
        is_newest,
        previous,
    } = stay;
    let sum = Sum::new()
        .pair(conversation.0, user.0)
        .pair(joined.0, *joined_ordinal)
        .pair(previous.0, (*role as u64) << 1 | u64::from(*is_newest));
    let Some(left) = left else {
        return sum.finish();
    };
    let Left {
        seq,
        ordinal,
        position,
        at,
        settings,
        member_count,
    } = left;
    sum.pair(seq.0, *ordinal)
        .pair(position.0, at.0)
        .number(*member_count)
        .bytes(settings.as_bytes())
        .finish()
}

/// The sum of the row that counts a user's memberships.
pub(super) const fn of_memberships(of: &Memberships) -> u64 {
    let Memberships {
        user,
        groups,
        conversations,
    } = of;
    Sum::new().pair(user.0, *groups).number(*conversations).finish()
}

/// The sum of an edit's row and of the previous edit of the same message: the rows of a message are a chain, of which
/// none can be missing unnoticed.
pub(super) const fn of_edit(edit: &Edit) -> u64 {
    let Edit {
        conversation,
        target,
        seq,
        position,
        previous,
    } = edit;
    Sum::new()
        .pair(conversation.0, target.0)
        .pair(seq.0, position.0)
        .number(previous.0)
        .finish()
}

/// The sum of the row of a message whose edits are being erased.
pub(super) const fn of_erasure(erasure: &Erasure) -> u64 {
    let Erasure {
        conversation,
        target,
        next,
    } = erasure;
    Sum::new().pair(conversation.0, target.0).number(next.0).finish()
}

/// The sum of an entry's row.
pub(super) fn of_entry(entry: &Entry) -> u64 {
    let Entry {
        conversation,
        key,
        seq,
        position,
        at,
        class,
    } = entry;
    Sum::new()
        .pair(conversation.0, seq.0)
        .pair(position.0, at.0)
        .number(u64::from(class.number()))
        .bytes(key.as_bytes())
        .finish()
}

/// The sum of a reaction's row.
pub(super) fn of_reaction(reaction: &Reaction<'_>) -> u64 {
    let Reaction {
        conversation,
        target,
        user,
        seq,
        reaction,
    } = reaction;
    Sum::new()
        .pair(conversation.0, target.0)
        .pair(user.0, seq.0)
        .bytes(reaction.as_bytes())
        .finish()
}

/// The sum of the row of a past reaction.
pub(super) fn of_past_reaction(past: &PastReaction<'_>) -> u64 {
    let PastReaction { was, until } = past;
    let Reaction {
        conversation,
        target,
        user,
        seq,
        reaction,
    } = was;
    Sum::new()
        .pair(conversation.0, target.0)
        .pair(user.0, seq.0)
        .number(until.0)
        .bytes(reaction.as_bytes())
        .finish()
}

/// The sum of the row that counts the edits and reactions of a message.
pub(super) const fn of_counts(counts: &Counts) -> u64 {
    let Counts {
        conversation,
        message,
        edits,
        reactions,
        past,
        last_edit,
    } = counts;
    Sum::new()
        .pair(conversation.0, message.0)
        .pair(*edits, *reactions)
        .pair(*past, last_edit.0)
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
        entry::{EntryClass, EntryName},
        setting::{GroupSetting, GroupSettings},
        sqlite::tests::{ANN, PAIR},
        types::{ClientId, EventKind, Position, Role, Seq, Timestamp, UserId},
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
            entry: None,
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
        let entry = |key: &str, class| {
            Some(Box::new(EntryName {
                key: key.to_owned(),
                class,
            }))
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
            with(&|event| event.entry = entry("app/x", EntryClass::Plain)),
            with(&|event| event.entry = entry("app/y", EntryClass::Plain)),
            with(&|event| event.entry = entry("app/x", EntryClass::Friends)),
            of_event(&event(), Fingerprint([8; 16]), ""),
            of_event(&event(), Fingerprint([9; 16]), "+"),
        ];
        let different: std::collections::BTreeSet<u64> = sums.into_iter().collect();
        assert_eq!(different.len(), sums.len());
    }
}
