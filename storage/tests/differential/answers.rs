//! Every question to both stores, with every argument that could matter.

use proptest::{prelude::*, test_runner::TestCaseError};
use storage::{
    ClientId, Direction, Position, Reader, Seq, Snapshot, TokenHash, UserId,
    entry::{ADD_TO_GROUPS, MESSAGE_ME, block_key, friend_key},
};

use crate::histories;

/// Everyone who may have an account, and some who have none.
fn everyone() -> Vec<UserId> {
    (0..10).chain([u64::MAX]).map(UserId).collect()
}

/// The same question to both.
macro_rules! same {
    ($left:expr, $right:expr, $method:ident($($argument:expr),*)) => {{
        let expected = $left.$method($($argument),*).unwrap();
        let found = $right.$method($($argument),*).unwrap();
        prop_assert_eq!(&expected, &found, "{} {:?}", stringify!($method), ($($argument,)*));
        found
    }};
}

pub(crate) fn compare(left: &mut dyn Reader, right: &mut dyn Reader) -> Result<(), TestCaseError> {
    let position = same!(left, right, snapshot()).ceiling();
    same!(left, right, users(&everyone()));
    for number in 0..10 {
        let name = format!("user{number}");
        same!(left, right, user_by_name(&name));
        same!(left, right, credentials(&name));
    }
    for token in 0..13 {
        same!(left, right, session_by_token(&TokenHash([token; 32])));
    }
    for conversation in histories::conversations() {
        for from in [0, 1, 3, 7, 100, u64::MAX] {
            same!(left, right, intervals(conversation, Seq(from)));
        }
    }
    for limit in [0, 1, 2, 100] {
        for since in (0..=position.0 + 1).step_by(3).chain([u64::MAX]) {
            same!(left, right, tail(&Snapshot::at(Position(since)), limit));
        }
    }
    for conversation in histories::conversations() {
        for sender in everyone() {
            for number in [0, 7, 20, 59] {
                same!(left, right, made_by(conversation, sender, ClientId([number; 16])));
            }
        }
    }
    for user in everyone() {
        for prefix in ["", "friend/", "x"] {
            for (after, limit) in [("", 100), ("b", 2), ("friend/2", 0)] {
                same!(left, right, entries(user, prefix, after, limit));
            }
        }
        let mut keys: Vec<(UserId, String)> = ["a", "nothing", MESSAGE_ME, ADD_TO_GROUPS]
            .map(|key| (user, key.to_owned()))
            .into();
        keys.extend(everyone().into_iter().map(|with| (user, friend_key(with))));
        keys.extend(everyone().into_iter().map(|of| (user, block_key(of))));
        same!(left, right, entry_classes(&keys));
    }
    for viewer in everyone() {
        same!(left, right, conversations_of(viewer, &histories::conversations()));
        same!(left, right, sessions(viewer));
        lists(left, right, viewer, position)?;
        for conversation in histories::conversations() {
            let view = same!(left, right, conversation(viewer, conversation));
            for (after, limit) in [(0, 100), (0, 1), (1, 2), (3, 0), (u64::MAX, 5)] {
                same!(left, right, members(viewer, conversation, UserId(after), limit));
            }
            let head = view.map_or(1, |view| view.head.0);
            pages(left, right, viewer, conversation, head)?;
        }
    }
    Ok(())
}

fn lists(
    left: &mut dyn Reader,
    right: &mut dyn Reader,
    viewer: UserId,
    position: Position,
) -> Result<(), TestCaseError> {
    for limit in [0, 1, 2, 100] {
        same!(left, right, conversations(viewer, None::<Position>, limit));
        for before in [0, 1, position.0 / 2, position.0, u64::MAX] {
            same!(left, right, conversations(viewer, Some(Position(before)), limit));
        }
        for since in (0..=position.0 + 1).step_by(3).chain([u64::MAX]) {
            same!(
                left,
                right,
                changes(viewer, &Snapshot::at(Position(since)), limit)
            );
        }
    }
    Ok(())
}

fn pages(
    left: &mut dyn Reader,
    right: &mut dyn Reader,
    viewer: UserId,
    conversation: storage::ConversationId,
    head: u64,
) -> Result<(), TestCaseError> {
    for direction in [Direction::Forward, Direction::Backward] {
        for from in [
            0,
            1,
            2,
            head / 2,
            head.saturating_sub(1),
            head,
            head + 1,
            u64::MAX,
        ] {
            for (limit, bytes) in [(100, usize::MAX), (100, 3), (3, 100), (1, 0), (0, 0)] {
                same!(
                    left,
                    right,
                    events(viewer, conversation, Seq(from), direction, limit, bytes)
                );
            }
        }
        turn_pages(right, viewer, conversation, direction)?;
    }
    Ok(())
}

/// Page after page, nothing is missing, nothing comes twice, and it comes to an end.
fn turn_pages(
    reader: &mut dyn Reader,
    viewer: UserId,
    conversation: storage::ConversationId,
    direction: Direction,
) -> Result<(), TestCaseError> {
    let mut seqs = Vec::new();
    let mut next = Seq(if direction == Direction::Forward { 1 } else { 0 });
    loop {
        let Some(page) = reader
            .events(viewer, conversation, next, direction, 2, 4)
            .unwrap()
        else {
            return Ok(());
        };
        let expected_end = if next == Seq(0) { page.head } else { next };
        let listed = || page.events.iter().map(|view| view.event.seq);
        prop_assert!(listed().all(|seq| page.from <= seq && seq <= page.to));
        match direction {
            Direction::Forward => {
                prop_assert_eq!(page.from, next);
                prop_assert!(page.to >= page.from);
                seqs.extend(listed());
                next = Seq(page.to.0 + 1);
                if page.to == page.head {
                    break;
                }
            }
            Direction::Backward => {
                prop_assert_eq!(page.to, expected_end);
                prop_assert!(page.to >= page.from);
                seqs.splice(0..0, listed());
                next = Seq(page.from.0 - 1);
                if page.from == Seq(1) {
                    break;
                }
            }
        }
    }
    let all = reader
        .events(
            viewer,
            conversation,
            Seq(1),
            Direction::Forward,
            usize::MAX,
            usize::MAX,
        )
        .unwrap()
        .unwrap();
    let all: Vec<Seq> = all.events.iter().map(|view| view.event.seq).collect();
    prop_assert_eq!(seqs, all);
    Ok(())
}
