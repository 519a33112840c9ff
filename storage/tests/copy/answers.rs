//! Every question to a store and to its copy. Positions are masked, so what they order is compared by its order.

use std::sync::Arc;

use proptest::{prelude::*, test_runner::TestCaseError};
use storage::{
    ConversationId, ConversationView, CursorView, Direction, Event, EventPage, Position, Reader, Seq,
    Snapshot, TokenHash, UserId,
};

use crate::histories;

const ALL: usize = usize::MAX;

pub(crate) fn masked_event(event: &Arc<Event>) -> Arc<Event> {
    let mut event = Event::clone(event);
    event.position = Position(0);
    Arc::new(event)
}

fn masked_view(mut view: ConversationView) -> ConversationView {
    view.head_position = Position(0);
    view
}

fn masked_page(mut page: EventPage) -> EventPage {
    for view in &mut page.events {
        view.event = masked_event(&view.event);
    }
    page
}

/// As a set: copied cursors have an order of their own.
fn masked_cursors(mut cursors: Vec<CursorView>) -> Vec<CursorView> {
    for cursor in &mut cursors {
        cursor.position = Position(u64::from(cursor.position != Position(0)));
    }
    cursors.sort_by_key(|cursor| (cursor.conversation, cursor.user));
    cursors
}

/// The same question to both.
macro_rules! same {
    ($readers:expr, |$reader:ident| $answer:expr) => {{
        let ask = |$reader: &mut dyn Reader| $answer;
        let (expected, found) = (ask(&mut *$readers.0), ask(&mut *$readers.1));
        prop_assert_eq!(expected, found, "{}", stringify!($answer));
    }};
}

pub(crate) fn compare(left: &mut dyn Reader, right: &mut dyn Reader) -> Result<(), TestCaseError> {
    let mut both = (left, right);
    let everyone: Vec<UserId> = (0..10).map(UserId).collect();
    let text = |text: &str| text.replace('\0', "\u{FFFD}");
    same!(both, |reader| {
        let mut users = reader.users(&everyone).unwrap();
        for user in &mut users {
            user.display_name = text(&user.display_name);
        }
        users
    });
    for number in 4..10 {
        same!(both, |reader| reader
            .credentials(&format!("user{number}"))
            .unwrap());
    }
    for token in 0..13 {
        same!(both, |reader| {
            let found = reader.session_by_token(&TokenHash([token; 32])).unwrap();
            found.map(|(session, user)| (session, user.id))
        });
    }
    same!(both, |reader| {
        let tail = reader.tail(&Snapshot::default(), ALL).unwrap();
        let events: Vec<_> = tail.events.iter().map(masked_event).collect();
        (events, masked_cursors(tail.cursors))
    });
    for conversation in histories::conversations() {
        for from in [0, 3, 100] {
            same!(both, |reader| reader.intervals(conversation, Seq(from)).unwrap());
        }
    }
    for viewer in everyone {
        same!(both, |reader| reader.sessions(viewer).unwrap());
        same!(both, |reader| {
            let views = reader.conversations(viewer, None, ALL).unwrap();
            views.into_iter().map(masked_view).collect::<Vec<_>>()
        });
        same!(both, |reader| {
            let changes = reader.changes(viewer, &Snapshot::default(), ALL).unwrap();
            let views: Vec<_> = changes.conversations.into_iter().map(masked_view).collect();
            (views, masked_cursors(changes.cursors))
        });
        for conversation in histories::conversations() {
            of_conversation(&mut both, viewer, conversation)?;
        }
    }
    Ok(())
}

fn of_conversation(
    both: &mut (&mut dyn Reader, &mut dyn Reader),
    viewer: UserId,
    conversation: ConversationId,
) -> Result<(), TestCaseError> {
    same!(both, |reader| {
        reader
            .conversation(viewer, conversation)
            .unwrap()
            .map(masked_view)
    });
    same!(both, |reader| {
        let members = reader.members(viewer, conversation, UserId(0), 100).unwrap();
        let place = |member: &storage::MemberView| {
            (
                member.user.id,
                member.role,
                member.joined,
                member.delivered,
                member.read,
            )
        };
        members.map(|members| members.iter().map(place).collect::<Vec<_>>())
    });
    for (from, direction) in [(1, Direction::Forward), (0, Direction::Backward)] {
        same!(both, |reader| {
            let page = reader.events(viewer, conversation, Seq(from), direction, ALL, ALL);
            page.unwrap().map(masked_page)
        });
    }
    Ok(())
}
