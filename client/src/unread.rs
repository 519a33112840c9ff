//! How many messages of one conversation its user has not read, by the formula of the protocol: the ordinal at the head,
//! less the ordinal up to which the user has read, or at which they came (back), whichever is larger.
//!
//! It owns that arithmetic. It must never count by itself what it was not told of: where an event is missing that the
//! answer hangs on, it says so, and the server's own count is to be asked for.

use std::collections::VecDeque;

use protocol::{v1, validate};

/// Events whose place is remembered, so that reading up to one of them elsewhere is understood at once.
pub const PLACES_MAX: usize = 256;

/// Unread messages of one conversation, for one user.
#[derive(Clone, Debug, Default)]
pub struct Unread {
    head_seq: u64,
    head: u64,
    read_seq: u64,
    /// Nothing up to this ordinal is unread.
    read: u64,
    /// Seq and ordinal of the newest events, ascending.
    places: VecDeque<(u64, u64)>,
    uncertain: bool,
}

impl Unread {
    /// Messages that were not read.
    pub const fn count(&self) -> u64 {
        self.head.saturating_sub(self.read)
    }

    /// Up to which seq the user has read.
    pub const fn read_seq(&self) -> u64 {
        self.read_seq
    }

    /// False when the user has read up to a place that is not known here: ask for the conversation and give it to
    /// [`take_conversation`](Self::take_conversation).
    pub const fn is_certain(&self) -> bool {
        !self.uncertain
    }

    /// The server was asked: nothing more is to be done until it answers.
    pub const fn settle(&mut self) {
        self.uncertain = false;
    }

    /// What the server says about the conversation. It may be older than what was heard since.
    pub fn take_conversation(&mut self, conversation: &v1::Conversation) {
        self.uncertain = false;
        if conversation.head_seq > self.head_seq {
            self.places.clear();
            self.head_seq = conversation.head_seq;
            self.head = conversation.head_ordinal;
        }
        let is_current = conversation.head_seq == self.head_seq;
        let then = if is_current {
            self.head
        } else {
            conversation.head_ordinal
        };
        let read = then.saturating_sub(conversation.unread);
        if conversation.read_seq >= self.read_seq {
            self.read_seq = conversation.read_seq;
            self.read = if is_current { read } else { read.max(self.read) };
        } else if self.read_seq >= self.head_seq {
            // The server does not know yet how far this device has read.
            self.read = self.head;
        } else {
            self.read = self.place(self.read_seq).unwrap_or(self.read).max(read);
        }
    }

    /// An event of the conversation, in the order of the log. Who sends has read what precedes it; who comes, or comes
    /// back, has nothing to read that was said before.
    pub fn take_event(&mut self, event: &v1::Event, user: u64) {
        if event.seq > self.head_seq {
            let displayable = u64::from(is_displayable(event.kind));
            let before = event.ordinal.saturating_sub(displayable);
            // Between the last event and this one only what the user cannot see can lie: they were away.
            if before > self.head || comes(event, user) {
                self.read = self.read.max(before);
            }
            self.head_seq = event.seq;
            self.head = event.ordinal.max(self.head);
            if self.places.len() >= PLACES_MAX {
                self.places.pop_front();
            }
            self.places.push_back((event.seq, self.head));
        }
        if event.seq <= self.read_seq {
            self.read = self.place(event.seq).unwrap_or(self.read).max(self.read);
        }
        if event.sender_id == user {
            self.take_read(event.seq);
        }
    }

    /// The user has read up to here, on this device or on another one.
    pub fn take_read(&mut self, seq: u64) {
        if seq <= self.read_seq {
            return;
        }
        self.read_seq = seq;
        if seq >= self.head_seq {
            self.read = self.head;
            self.uncertain = false;
        } else if let Some(ordinal) = self.place(seq) {
            self.read = self.read.max(ordinal);
        } else {
            self.uncertain = true;
        }
    }

    /// The ordinal at a seq, where it is remembered.
    fn place(&self, seq: u64) -> Option<u64> {
        let after = self.places.partition_point(|(place, _)| *place <= seq);
        let (_, ordinal) = self.places.get(after.checked_sub(1)?)?;
        Some(*ordinal)
    }
}

/// Whether by this event the user becomes a member.
fn comes(event: &v1::Event, user: u64) -> bool {
    let change = event.body.as_ref().and_then(|body| body.group.as_ref());
    event.kind == v1::EventKind::MembersAdded as i32
        && change.is_some_and(|change| change.user_ids.contains(&user))
}

fn is_displayable(kind: i32) -> bool {
    v1::EventKind::try_from(kind).map_or_else(|_| (1..32).contains(&kind), validate::is_displayable)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::v1::EventKind;

    use super::*;

    const ME: u64 = 1;
    const BOB: u64 = 2;

    fn event(seq: u64, ordinal: u64, kind: EventKind, sender_id: u64) -> v1::Event {
        v1::Event {
            seq,
            ordinal,
            kind: kind.into(),
            sender_id,
            body: Some(v1::EventBody {
                group: Some(v1::GroupChange {
                    user_ids: vec![ME],
                    ..v1::GroupChange::default()
                }),
                ..v1::EventBody::default()
            }),
            ..v1::Event::default()
        }
    }

    fn listed(head_seq: u64, head_ordinal: u64, read_seq: u64, unread: u64) -> v1::Conversation {
        v1::Conversation {
            head_seq,
            head_ordinal,
            read_seq,
            unread,
            ..v1::Conversation::default()
        }
    }

    #[test]
    fn what_was_read_on_another_device_is_not_unread_here() {
        let mut unread = Unread::default();
        unread.take_conversation(&listed(10, 10, 4, 6));
        for seq in 11..=14 {
            unread.take_event(&event(seq, seq, EventKind::Text, BOB), ME);
        }
        assert_eq!(unread.count(), 10);
        unread.take_read(12);
        assert!(unread.is_certain());
        assert_eq!(unread.count(), 2);
        unread.take_read(14);
        assert_eq!(unread.count(), 0);
    }

    #[test]
    fn where_the_place_is_not_known_the_server_is_asked() {
        let mut unread = Unread::default();
        unread.take_conversation(&listed(10, 8, 0, 8));
        unread.take_read(5);
        assert!(!unread.is_certain());
        unread.take_conversation(&listed(10, 8, 5, 4));
        assert!(unread.is_certain());
        assert_eq!(unread.count(), 4);
    }

    #[test]
    fn what_was_said_before_one_came_is_not_unread() {
        let mut unread = Unread::default();
        // Added as the 41st event, behind 40 messages that cannot be seen.
        unread.take_event(&event(41, 40, EventKind::MembersAdded, BOB), ME);
        assert_eq!(unread.count(), 0);
        unread.take_event(&event(42, 41, EventKind::Text, BOB), ME);
        unread.take_event(&event(43, 41, EventKind::MemberRemoved, BOB), ME);
        assert_eq!(unread.count(), 1);
        // Ten messages while away, then added again.
        unread.take_event(&event(54, 51, EventKind::MembersAdded, BOB), ME);
        assert_eq!(unread.count(), 0);
        unread.take_event(&event(55, 52, EventKind::Text, BOB), ME);
        assert_eq!(unread.count(), 1);
        unread.take_read(42);
        assert_eq!(unread.count(), 1);
        // Removed and added at once, without a message in between.
        unread.take_event(&event(56, 52, EventKind::MemberRemoved, BOB), ME);
        unread.take_event(&event(57, 52, EventKind::MembersAdded, BOB), ME);
        assert_eq!(unread.count(), 0);
    }

    #[test]
    fn an_older_answer_takes_nothing_back() {
        let mut unread = Unread::default();
        for seq in 1..=9 {
            unread.take_event(&event(seq, seq, EventKind::Text, BOB), ME);
        }
        unread.take_conversation(&listed(6, 6, 2, 4));
        assert_eq!(unread.count(), 7);
        unread.take_read(9);
        unread.take_conversation(&listed(9, 9, 2, 7));
        assert_eq!(
            unread.count(),
            0,
            "this device has read it, and the server does not know yet"
        );
    }

    #[test]
    fn ones_own_message_reads_what_precedes_it() {
        let mut unread = Unread::default();
        unread.take_event(&event(1, 1, EventKind::Text, BOB), ME);
        unread.take_event(&event(2, 2, EventKind::Text, ME), ME);
        unread.take_event(&event(3, 2, EventKind::Reaction, BOB), ME);
        assert_eq!(unread.count(), 0);
        unread.take_event(&event(4, 3, EventKind::Text, BOB), ME);
        assert_eq!(unread.count(), 1);
    }

    #[test]
    fn numbers_that_no_server_gives_do_no_harm() {
        let extremes = [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX];
        let mut unread = Unread::default();
        for first in extremes {
            for second in extremes {
                unread.take_conversation(&listed(first, second, second, first));
                unread.take_event(&event(second, first, EventKind::Text, first), ME);
                unread.take_read(first);
                unread.take_event(&event(first, second, EventKind::MembersAdded, ME), ME);
                let _ = unread.count();
            }
        }
    }

    proptest! {
        /// Against a count over the visible log.
        #[test]
        fn it_is_what_counting_the_log_gives(
            steps in proptest::collection::vec((0_u8..4, any::<bool>(), any::<bool>(), 0_u64..12), 1..80),
            listed_at in 0_usize..80,
        ) {
            let (mut seq, mut ordinal, mut read, mut away) = (0, 0, 0, true);
            // Seq and whether it is a message, of the newest stretch.
            let mut visible: Vec<(u64, bool)> = Vec::new();
            let mut head = (0, 0);
            let mut unread = Unread::default();
            for (index, (what, displayable, mine, back)) in steps.into_iter().enumerate() {
                let count = |visible: &[(u64, bool)], read: u64| {
                    let unread = visible.iter().filter(|(seq, message)| *message && *seq > read);
                    u64::try_from(unread.count()).unwrap()
                };
                match what {
                    // While this user is no member.
                    0 => {
                        seq += 1;
                        ordinal += u64::from(displayable);
                        away = true;
                    }
                    1 => {
                        let to = visible.last().map_or(0, |(seq, _)| seq.saturating_sub(back));
                        read = read.max(to);
                        unread.take_read(to);
                    }
                    _ => {
                        if std::mem::take(&mut away) {
                            seq += 1;
                            visible.clear();
                            unread.take_event(&event(seq, ordinal, EventKind::MembersAdded, BOB), ME);
                        }
                        seq += 1;
                        ordinal += u64::from(displayable);
                        visible.push((seq, displayable));
                        if mine {
                            read = seq;
                        }
                        let kind = if displayable { EventKind::Text } else { EventKind::Reaction };
                        unread.take_event(&event(seq, ordinal, kind, if mine { ME } else { BOB }), ME);
                        head = (seq, ordinal);
                    }
                }
                if (index == listed_at || !unread.is_certain()) && !visible.is_empty() {
                    unread.take_conversation(&listed(head.0, head.1, read, count(&visible, read)));
                }
                prop_assert_eq!(unread.count(), count(&visible, read));
            }
        }
    }
}
