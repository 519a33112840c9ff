//! What must hold in any history, recounted from the log itself.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, test_runner::TestCaseError};
use storage::{ConversationId, Direction, Event, EventKind, Reader, Seq, UserId};

use crate::histories;

pub(crate) fn check(reader: &mut dyn Reader) -> Result<(), TestCaseError> {
    let mut positions = BTreeSet::new();
    for conversation in histories::conversations() {
        let log = whole_log(reader, conversation);
        log_is_right(&log)?;
        for event in &log {
            prop_assert!(
                positions.insert(event.position),
                "{:?} is given twice",
                event.position
            );
        }
        for user in histories::USERS.map(UserId) {
            unread_is_right(reader, user, conversation, &log)?;
        }
    }
    Ok(())
}

/// What all who ever were members see together.
fn whole_log(reader: &mut dyn Reader, conversation: ConversationId) -> Vec<Event> {
    let mut log = BTreeMap::new();
    for user in histories::USERS.map(UserId) {
        let page = reader
            .events(
                user,
                conversation,
                Seq(1),
                Direction::Forward,
                usize::MAX,
                usize::MAX,
            )
            .unwrap();
        for view in page.into_iter().flat_map(|page| page.events) {
            log.insert(view.event.seq, (*view.event).clone());
        }
    }
    log.into_values().collect()
}

fn log_is_right(log: &[Event]) -> Result<(), TestCaseError> {
    let mut requests = BTreeSet::new();
    let (mut ordinal, mut roster) = (0, Seq(0));
    for (index, event) in log.iter().enumerate() {
        prop_assert_eq!(event.seq, Seq(index as u64 + 1), "a hole");
        ordinal += u64::from(event.kind.is_displayable());
        prop_assert_eq!(event.ordinal, ordinal);
        if event.kind.changes_members() {
            roster = event.seq;
        }
        prop_assert_eq!(event.roster, roster);
        prop_assert!(requests.insert((event.sender, event.client_id)), "stored twice");
        prop_assert!(!event.recalled || event.body.is_empty());
        if event.kind == EventKind::Recall {
            prop_assert!(log[event.target.0 as usize - 1].recalled);
        }
    }
    Ok(())
}

fn unread_is_right(
    reader: &mut dyn Reader,
    user: UserId,
    conversation: ConversationId,
    log: &[Event],
) -> Result<(), TestCaseError> {
    let Some(view) = reader.conversation(user, conversation).unwrap() else {
        return Ok(());
    };
    let unread = |event: &&Event| {
        event.kind.is_displayable()
            && event.seq > view.read
            && event.seq >= view.joined
            && event.seq <= view.head
    };
    prop_assert_eq!(view.unread, log.iter().filter(unread).count() as u64);
    prop_assert!(view.read <= view.delivered && view.delivered <= view.head);
    let own = log.iter().rfind(|event| event.sender == user);
    prop_assert!(
        own.is_none_or(|event| view.read >= event.seq),
        "sending is reading"
    );
    Ok(())
}
