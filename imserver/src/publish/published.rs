//! What a node has delivered of a log that other nodes write to, too: which of its own commits to push at once, and
//! which part of a tail is new.
//!
//! It decides and does nothing: commits and tails in, pushes out. It must never claim that something was delivered
//! which it did not hand out.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use storage::{ConversationId, CursorView, Event, Notice, Position, Seq, Snapshot, Tail};

/// Commits of other nodes between this node's own that may be unread before a tail must be read.
const HOLES_MAX: usize = 1_024;
/// Conversations whose newest pushed seq is remembered, at most.
const HEADS_MAX: usize = 65_536;

/// Notices are kept for an hour at least, by the clock of the store. A node that read none for this long may have
/// missed one.
const CERTAIN_FOR: Duration = Duration::from_secs(50 * 60);

/// Whether a node can still know which sessions have ended and which profiles have changed.
#[derive(Debug)]
pub(crate) struct Certainty {
    read_at: Instant,
}

impl Certainty {
    /// Everything up to now is known.
    pub(crate) const fn new(now: Instant) -> Self {
        Self { read_at: now }
    }

    /// The store was read. False if the last read was too long ago: notices may have been missed.
    pub(crate) fn read(&mut self, now: Instant) -> bool {
        let silence = now.saturating_duration_since(self.read_at);
        self.read_at = now;
        silence <= CERTAIN_FOR
    }
}

/// See the module's first lines.
#[derive(Debug)]
pub(crate) struct Published {
    delivered: Snapshot,
    /// The newest pushed seq of recently written conversations.
    heads: HashMap<ConversationId, Seq>,
}

/// What to push of a tail.
#[derive(Debug)]
pub(crate) struct Unpublished {
    /// For each conversation in the order of seqs.
    pub events: Vec<Arc<Event>>,
    /// The current state of each.
    pub cursors: Vec<CursorView>,
    /// In the order of commits.
    pub notices: Vec<Notice>,
    /// More of the tail must be read at once.
    pub more: bool,
}

impl Published {
    /// `delivered` is the starting point: nothing in it will be handed out.
    pub(crate) fn new(delivered: Snapshot) -> Self {
        Self {
            delivered,
            heads: HashMap::new(),
        }
    }

    /// Everything in this set was handed out or was there at the start.
    pub(crate) const fn delivered(&self) -> &Snapshot {
        &self.delivered
    }

    /// A commit of this node, with all of its events. True: push all its effects now. False: a tail has brought it or
    /// will bring it, in order with the commits of other nodes.
    pub(crate) fn committed(&mut self, position: Position, events: &[&Event]) -> bool {
        if self.delivered.covers(position) {
            return false;
        }
        let mut next: HashMap<ConversationId, Seq> = HashMap::new();
        for event in events {
            let head = next
                .get(&event.conversation)
                .or_else(|| self.heads.get(&event.conversation));
            if head.is_some_and(|head| event.seq.0 != head.0 + 1) {
                return false;
            }
            next.insert(event.conversation, event.seq);
        }
        let Some(delivered) = self.delivered.with_commit(position, HOLES_MAX) else {
            return false;
        };
        self.delivered = delivered;
        self.note(next);
        true
    }

    /// A tail that was read from [`Published::delivered`] on.
    pub(crate) fn tail(&mut self, tail: Tail) -> Unpublished {
        let mut fresh = Unpublished {
            events: tail.events,
            cursors: tail.cursors,
            notices: tail.notices.into_iter().map(|(_, notice)| notice).collect(),
            more: tail.more,
        };
        fresh.events.sort_by_key(|event| (event.conversation, event.seq));
        let mut heads: HashMap<ConversationId, Seq> = HashMap::new();
        for event in &fresh.events {
            let head = heads.entry(event.conversation).or_default();
            *head = event.seq.max(*head);
        }
        heads.retain(|id, seq| self.heads.get(id).is_none_or(|head| head < seq));
        self.delivered = self.delivered.union(&tail.up_to);
        self.note(heads);
        fresh
    }

    fn note(&mut self, heads: HashMap<ConversationId, Seq>) {
        if self.heads.len() + heads.len() > HEADS_MAX {
            // Forgetting costs at most one request of a device: it pulls what it misses.
            self.heads.clear();
        }
        self.heads.extend(heads);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use storage::{ClientId, EventKind, Timestamp, UserId};

    use super::*;

    fn at(commit: u64, index: u64) -> Position {
        Position(commit << Snapshot::COMMIT_BITS | index)
    }

    fn event(position: Position, conversation: u64, seq: u64) -> Event {
        Event {
            position,
            conversation: ConversationId(conversation),
            seq: Seq(seq),
            ordinal: seq,
            roster: Seq(0),
            sender: UserId(1),
            client_id: ClientId([0; 16]),
            at: Timestamp(0),
            kind: EventKind::Message(1),
            target: Seq(0),
            body: Bytes::new(),
            change: None,
            entry: None,
            expires_at: Timestamp(0),
            recalled: false,
        }
    }

    fn tail(events: Vec<Event>, up_to: Snapshot) -> Tail {
        Tail {
            events: events.into_iter().map(Arc::new).collect(),
            up_to,
            ..Tail::default()
        }
    }

    fn follow() -> Published {
        Published::new(Snapshot::new(at(10, 0), at(10, 0), &[]))
    }

    #[test]
    fn who_was_cut_off_for_as_long_as_notices_are_kept_knows_nothing_for_certain() {
        let begin = Instant::now();
        let mut certainty = Certainty::new(begin);
        let minutes = |minutes: u64| begin + Duration::from_secs(60 * minutes);
        assert!(certainty.read(minutes(49)) && certainty.read(minutes(98)));
        assert!(!certainty.read(minutes(149)));
    }

    #[test]
    fn an_own_commit_is_pushed_once() {
        let mut follow = follow();
        let own = event(at(12, 0), 1, 5);
        assert!(follow.committed(at(12, 0), &[&own]));
        assert!(!follow.committed(at(12, 0), &[&own]));
        assert!(follow.delivered().covers(at(12, 7)));
        assert!(!follow.delivered().covers(at(11, 0)), "another's may still come");
    }

    #[test]
    fn what_a_tail_brought_is_not_pushed_again() {
        let mut follow = follow();
        let own = event(at(12, 0), 1, 5);
        let up_to = Snapshot::new(at(13, 0), at(13, 0), &[]);
        let fresh = follow.tail(tail(vec![own.clone()], up_to));
        assert_eq!(fresh.events.len(), 1);
        assert!(!follow.committed(at(12, 0), &[&own]));
    }

    #[test]
    fn after_a_gap_a_tail_comes_first() {
        let mut follow = follow();
        assert!(follow.committed(at(12, 0), &[&event(at(12, 0), 1, 5)]));
        let late = event(at(14, 0), 1, 7);
        assert!(!follow.committed(at(14, 0), &[&late]));
        assert!(!follow.delivered().covers(at(14, 0)), "so that the tail has it");
        let up_to = Snapshot::new(at(15, 0), at(15, 0), &[]);
        let fresh = follow.tail(tail(vec![late, event(at(13, 0), 1, 6)], up_to));
        let seqs: Vec<u64> = fresh.events.iter().map(|event| event.seq.0).collect();
        assert_eq!(seqs, [6, 7]);
        assert!(follow.committed(at(16, 0), &[&event(at(16, 0), 1, 8)]));
    }

    #[test]
    fn seqs_of_one_commit_follow_each_other() {
        let mut follow = follow();
        let events = [
            event(at(12, 0), 1, 5),
            event(at(12, 1), 2, 1),
            event(at(12, 2), 1, 6),
        ];
        assert!(follow.committed(at(12, 0), &events.each_ref()));
        assert!(follow.committed(at(13, 0), &[&event(at(13, 0), 1, 7)]));
        assert!(!follow.committed(at(15, 0), &[&event(at(15, 0), 2, 3)]));
    }

    #[test]
    fn far_ahead_of_what_is_known_a_tail_comes_first() {
        let mut follow = follow();
        let far = at(11 + HOLES_MAX as u64, 0);
        assert!(!follow.committed(far, &[&event(far, 1, 1)]));
    }

    #[test]
    fn a_tail_never_takes_a_head_back() {
        let mut follow = follow();
        assert!(follow.committed(at(12, 0), &[&event(at(12, 0), 1, 5)]));
        // Read before the own commit was noted, handled after it.
        let up_to = Snapshot::new(at(12, 0), at(12, 0), &[]);
        follow.tail(tail(vec![event(at(11, 0), 1, 4)], up_to));
        assert!(follow.committed(at(13, 0), &[&event(at(13, 0), 1, 6)]));
    }
}
