//! The content and the end of a page of a log: decisions that every store makes alike. It must never read a store, and
//! never let a page speak for a seq that it did not look at.

use std::collections::BTreeMap;

use crate::{
    read::{Direction, EventPage, EventView, ReactionView},
    types::{Seq, UserId},
};

/// Edits and reactions that one page looks through, beyond those of its first message, for a viewer who was away after
/// the page's messages: each of them may have been made while the viewer was away. For other viewers none are looked
/// through.
pub(crate) const LOOKED_THROUGH_MAX: u64 = 4_096;
/// Replaced and removed reactions of one message that are kept for former members. Beyond that, former members no
/// longer see the old reactions.
pub(crate) const PAST_REACTIONS_MAX: u64 = 10_000;

/// A range of seqs, both ends included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stretch {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Stretch {
    pub(crate) const fn has(&self, seq: u64) -> bool {
        self.first <= seq && seq <= self.last
    }

    fn within(self, other: Self) -> Option<Self> {
        let both = Self {
            first: self.first.max(other.first),
            last: self.last.min(other.last),
        };
        (both.first <= both.last).then_some(both)
    }
}

/// One of a viewer's membership intervals in a conversation: the part of the log that they may see by it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stay {
    pub(crate) seen: Stretch,
    /// The interval is open: `seen` ends at the head.
    pub(crate) open: bool,
}

/// The numbers of a message's edits and reactions.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    pub(crate) edits: u64,
    pub(crate) reactions: u64,
}

/// Whether a reaction of this seq, replaced or removed by an event with this roster, is kept. Only if the members
/// changed in between does any viewer see the one event and not the other.
pub(crate) const fn is_kept(reaction: Seq, roster: Seq, kept: u64) -> bool {
    reaction.0 <= roster.0 && kept < PAST_REACTIONS_MAX
}

/// The reactions that a viewer who was away after the message sees: each user's newest visible event, unless that event
/// removed the reaction.
#[derive(Default)]
pub(crate) struct SeenReactions {
    newest: BTreeMap<UserId, (Seq, Option<String>)>,
}

impl SeenReactions {
    /// A visible event that set a reaction.
    pub(crate) fn set(&mut self, user: UserId, seq: Seq, reaction: &str) {
        self.note(user, seq, Some(reaction));
    }

    /// A visible event that replaced or removed one.
    pub(crate) fn ended(&mut self, user: UserId, seq: Seq) {
        self.note(user, seq, None);
    }

    fn note(&mut self, user: UserId, seq: Seq, reaction: Option<&str>) {
        let newest = self.newest.entry(user).or_default();
        // The event that replaced one reaction set the next: the latter tells more.
        if (newest.0, newest.1.is_some()) < (seq, reaction.is_some()) {
            *newest = (seq, reaction.map(str::to_owned));
        }
    }

    /// The reactions to list, the newest first, and the number of all.
    pub(crate) fn listed(self) -> (Vec<ReactionView>, u64) {
        let mut all: Vec<ReactionView> = self
            .newest
            .into_iter()
            .filter_map(|(user, (seq, reaction))| {
                Some(ReactionView {
                    user,
                    seq,
                    reaction: reaction?,
                })
            })
            .collect();
        let total = all.len() as u64;
        all.sort_unstable_by_key(|reaction| std::cmp::Reverse(reaction.seq));
        all.truncate(EventView::REACTIONS_MAX);
        (all, total)
    }
}

/// The seqs that a page speaks for, unless it is full before.
pub(crate) fn asked(from: Seq, direction: Direction, head: u64) -> Stretch {
    match direction {
        Direction::Forward => Stretch {
            first: from.0.max(1),
            last: head,
        },
        Direction::Backward => Stretch {
            first: 1,
            last: if from == Seq(0) { head } else { from.0.min(head) },
        },
    }
}

/// The seqs that are visible and asked for, at most `most` of them, found by walking through a viewer's membership
/// intervals in the order of reading. Seqs have no holes, so these are events.
pub(crate) struct Walk {
    asked: Stretch,
    direction: Direction,
    left: u64,
    pub(crate) found: Vec<(Stretch, Stay)>,
}

impl Walk {
    pub(crate) fn new(asked: Stretch, direction: Direction, most: usize) -> Self {
        Self {
            asked,
            direction,
            left: u64::try_from(most).unwrap_or(u64::MAX),
            found: Vec::new(),
        }
    }

    /// Takes the next interval. False once no other is needed.
    pub(crate) fn pass(&mut self, stay: Stay) -> bool {
        if let Some(mut seen) = stay.seen.within(self.asked) {
            let beyond = self.left - 1;
            match self.direction {
                Direction::Forward => seen.last = seen.last.min(seen.first.saturating_add(beyond)),
                Direction::Backward => seen.first = seen.first.max(seen.last.saturating_sub(beyond)),
            }
            self.left -= seen.last - seen.first + 1;
            self.found.push((seen, stay));
        }
        self.left > 0
    }
}

/// A page that is being filled in the order of reading.
pub(crate) struct Filling {
    /// The seqs that the page speaks for; cut short when it is full.
    asked: Stretch,
    direction: Direction,
    limit: usize,
    bytes_max: usize,
    bytes: usize,
    looked_through: u64,
    full: bool,
    events: Vec<EventView>,
}

impl Filling {
    pub(crate) const fn new(asked: Stretch, direction: Direction, limit: usize, bytes_max: usize) -> Self {
        Self {
            asked,
            direction,
            limit,
            bytes_max,
            bytes: 0,
            looked_through: 0,
            full: false,
            events: Vec::new(),
        }
    }

    /// Whether there is room for one more event, for which this many edits and reactions must be looked through.
    /// Otherwise the page is full.
    pub(crate) fn has_room(&mut self, looked_through: u64) -> bool {
        self.looked_through = self.looked_through.saturating_add(looked_through);
        let first = self.events.is_empty();
        if !first && (self.events.len() >= self.limit || self.looked_through > LOOKED_THROUGH_MAX) {
            self.cut();
        }
        !self.full
    }

    /// Takes an event if it still fits. Otherwise the page is full.
    pub(crate) fn take(&mut self, view: EventView) -> bool {
        self.bytes = self.bytes.saturating_add(view.bytes());
        if !self.events.is_empty() && self.bytes > self.bytes_max {
            self.cut();
        }
        if !self.full {
            self.events.push(view);
        }
        !self.full
    }

    /// The page ends with the last event taken and tells nothing about the next.
    fn cut(&mut self) {
        self.full = true;
        let Some(last) = self.events.last().map(|view| view.event.seq.0) else {
            return;
        };
        match self.direction {
            Direction::Forward => self.asked.last = last,
            Direction::Backward => self.asked.first = last,
        }
    }

    pub(crate) fn finish(mut self, head: u64) -> EventPage {
        if self.direction == Direction::Backward {
            self.events.reverse();
        }
        EventPage {
            from: Seq(self.asked.first),
            to: Seq(self.asked.last),
            events: self.events,
            head: Seq(head),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn stretch(first: u64, last: u64) -> Stretch {
        Stretch { first, last }
    }

    fn walk(
        asked: Stretch,
        direction: Direction,
        most: usize,
        stays: &[(u64, u64)],
    ) -> (Vec<Stretch>, usize) {
        let mut walk = Walk::new(asked, direction, most);
        let mut passed = 0;
        for (first, last) in stays {
            passed += 1;
            let stay = Stay {
                seen: stretch(*first, *last),
                open: false,
            };
            if !walk.pass(stay) {
                break;
            }
        }
        (walk.found.iter().map(|(seen, _)| *seen).collect(), passed)
    }

    #[test]
    fn a_walk_takes_as_many_seqs_as_wanted_and_then_no_other_stay() {
        let forward = [(3, 4), (7, 9), (12, 20)];
        let found = |asked, most| walk(asked, Direction::Forward, most, &forward);
        assert_eq!(found(stretch(1, 20), 2), (vec![stretch(3, 4)], 1));
        assert_eq!(found(stretch(4, 20), 3), (vec![stretch(4, 4), stretch(7, 8)], 2));
        assert_eq!(
            found(stretch(5, 14), 99),
            (vec![stretch(7, 9), stretch(12, 14)], 3)
        );
        assert_eq!(found(stretch(u64::MAX, 20), 9), (vec![], 3));
        let backward = [(12, 20), (7, 9), (3, 4)];
        let found = |asked, most| walk(asked, Direction::Backward, most, &backward);
        assert_eq!(found(stretch(1, 20), 2), (vec![stretch(19, 20)], 1));
        assert_eq!(
            found(stretch(1, 12), 3),
            (vec![stretch(12, 12), stretch(8, 9)], 2)
        );
        assert_eq!(found(stretch(1, 6), 9), (vec![stretch(3, 4)], 3));
        assert_eq!(found(stretch(1, 20), usize::MAX).0.len(), 3);
    }
}
