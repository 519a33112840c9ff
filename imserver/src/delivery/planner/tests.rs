//! How often the store is asked for the members of a group, and that what it said is not used for too long.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use storage::{Cause, ClientId, EventKind, GroupChange, Position};

use super::*;

const GROUP: ConversationId = ConversationId(1 << 61 | 7);

/// A store of one group, under any name.
#[derive(Default)]
pub(super) struct Members {
    intervals: Mutex<Vec<Interval>>,
    asked: AtomicUsize,
    fails: AtomicBool,
}

impl Members {
    pub(super) fn joined(users: std::ops::RangeInclusive<u64>) -> Arc<Self> {
        let joined = users.map(|user| Interval {
            user: UserId(user),
            joined: Seq(1),
            left: None,
        });
        Arc::new(Self {
            intervals: Mutex::new(joined.collect()),
            ..Self::default()
        })
    }

    pub(super) fn planner(self: &Arc<Self>, receipts_up_to: usize) -> Planner {
        let reader = Box::new(ReaderOfMembers(Arc::clone(self)));
        Planner::new(1, Arc::new(Routes::new(1)), reader, 1, receipts_up_to)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

struct ReaderOfMembers(Arc<Members>);

impl MembersReader for ReaderOfMembers {
    fn intervals(&mut self, _: ConversationId, from: Seq) -> Result<Vec<Interval>, ReadError> {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        if self.0.fails.load(Ordering::Relaxed) {
            return Err(ReadError::failed(Cause::text("it is down")));
        }
        let mut intervals = self.0.intervals.lock().clone();
        intervals.retain(|interval| interval.left.is_none_or(|left| left >= from));
        Ok(intervals)
    }
}

pub(super) const fn moved(conversation: ConversationId) -> CursorMove {
    CursorMove {
        conversation,
        user: UserId(2),
        delivered: Seq(1),
        read: Seq(1),
    }
}

/// The event by which a user was removed.
pub(super) fn removal(user: u64, seq: u64) -> Event {
    Event {
        position: Position(seq),
        conversation: GROUP,
        seq: Seq(seq),
        ordinal: 0,
        roster: Seq(seq),
        sender: UserId(1),
        client_id: ClientId([1; 16]),
        at: Timestamp(1),
        kind: EventKind::MemberRemoved,
        target: Seq(0),
        body: Bytes::new(),
        change: Some(GroupChange {
            users: vec![UserId(user)],
            ..GroupChange::default()
        }),
        entry: None,
        expires_at: Timestamp(0),
        recalled: false,
    }
}

#[test]
fn the_members_of_a_group_are_read_once_for_all_its_cursors() {
    let members = Members::joined(1..=3);
    let mut planner = members.planner(10);
    let mut out = planner.empty(None, 0);
    for _ in 0..3 {
        planner.cursors(&[moved(GROUP); 2], &mut out).unwrap();
    }
    assert_eq!(planner.members_now(GROUP).unwrap(), [1, 2, 3].map(UserId));
    assert_eq!(members.asked(), 1);
}

#[test]
fn what_was_read_for_cursors_is_not_used_for_events() {
    let members = Members::joined(1..=3);
    let mut planner = members.planner(10);
    let mut out = planner.empty(None, 0);
    // As the group is before somebody is removed, and as it is afterwards, before the planner has the event.
    for removed_before in [false, true] {
        members.intervals.lock()[2].left = removed_before.then_some(Seq(5));
        planner.cursors(&[moved(GROUP)], &mut out).unwrap();
        members.intervals.lock()[2].left = Some(Seq(5));
        let asked = members.asked();
        planner
            .event(&removal(3, 5), Timestamp(1), None, &mut out)
            .unwrap();
        assert_eq!(members.asked(), asked + 1);
        let told = planner.intervals(GROUP, Seq(5), Seq(5)).unwrap();
        assert_eq!(told.len(), 3, "who is removed is told so");
        assert_eq!(planner.members_now(GROUP).unwrap(), [1, 2].map(UserId));
        assert_eq!(members.asked(), asked + 1);
        assert_eq!(planner.members_cached, 3);
        planner.forget(GROUP);
    }
}

#[test]
fn what_could_not_be_read_again_is_not_used() {
    let members = Members::joined(1..=3);
    let mut planner = members.planner(10);
    let mut out = planner.empty(None, 0);
    planner.cursors(&[moved(GROUP)], &mut out).unwrap();
    members.intervals.lock()[2].left = Some(Seq(5));
    members.fails.store(true, Ordering::Relaxed);
    assert!(
        planner
            .event(&removal(3, 5), Timestamp(1), None, &mut out)
            .is_err()
    );
    assert!(planner.cursors(&[moved(GROUP)], &mut out).is_err());
    members.fails.store(false, Ordering::Relaxed);
    assert_eq!(planner.members_now(GROUP).unwrap(), [1, 2].map(UserId));
}

#[test]
fn of_a_large_group_no_more_are_listed_than_it_takes_to_know_that() {
    let members = Members::joined(1..=2_000);
    let mut planner = members.planner(100);
    for _ in 0..2 {
        assert_eq!(planner.members_now(GROUP).unwrap().len(), 101);
    }
    assert_eq!(members.asked(), 1);
}

#[test]
fn no_more_groups_are_kept_for_their_cursors_than_for_their_events() {
    let members = Members::joined(1..=3);
    let mut planner = members.planner(10);
    let mut out = planner.empty(None, 0);
    for group in 0..=GROUPS_CACHED_MAX as u64 {
        let group = ConversationId(GROUP.0 + group);
        planner.cursors(&[moved(group)], &mut out).unwrap();
        assert!(planner.groups.len() <= GROUPS_CACHED_MAX);
        assert_eq!(planner.members_cached, 3 * planner.groups.len());
    }
    assert_eq!(planner.groups.len(), 1, "all were forgotten once");
}
