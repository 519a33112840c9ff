//! What is derived, made again from the log.

use super::*;
use crate::{
    ConversationView, EventView, GroupSetting, Interval, MemberView, Position, Role,
    sqlite::{standing, state::Head, sum},
};

const CAT: UserId = UserId(3);

/// Something of everything, in two parts; the second changes what the first made.
pub(super) fn history() -> (Vec<Write>, Vec<Write>) {
    let group = |number, sender, action| request(number, GROUP, sender, action);
    let text = |body: &'static str| Action::Message {
        kind: 1,
        body: Bytes::from_static(body.as_bytes()),
        expires_at: Timestamp(0),
        reply_to: Seq(0),
    };
    let edit = |target, body: &'static [u8]| Action::Edit {
        target: Seq(target),
        body: Bytes::from_static(body),
        fits: crate::write::MessageKinds::ALL,
    };
    let react = |target, reaction: &str| Action::React {
        target: Seq(target),
        reaction: reaction.to_owned(),
        body: Bytes::from_static(b"r"),
    };
    let create = Action::CreateGroup {
        name: "first name".to_owned(),
        members: vec![BOB],
    };
    let first = vec![
        message(1, "between two"),
        group(2, ANN, create),
        group(3, ANN, text("one")),
        group(4, BOB, text("two")),
        group(5, ANN, edit(2, b"one again")),
        group(6, BOB, react(2, "+")),
        group(7, ANN, react(3, "!")),
    ];
    let role = Role::Admin;
    let second = vec![
        group(8, ANN, Action::AddMembers { users: vec![CAT] }),
        group(9, ANN, Action::RemoveMember { user: BOB }),
        group(10, ANN, Action::SetRole { user: CAT, role }),
        group(11, CAT, text("three")),
        group(12, ANN, Action::AddMembers { users: vec![BOB] }),
        group(13, ANN, Action::Recall { target: Seq(2) }),
        group(14, ANN, react(3, "")),
        group(18, BOB, react(3, "-")),
        group(15, BOB, edit(3, b"two again")),
        group(
            16,
            CAT,
            Action::Set {
                setting: GroupSetting::Name,
                value: "last name".to_owned(),
            },
        ),
        message(17, "again between two"),
        group(18, ANN, Action::Disband),
    ];
    (first, second)
}

#[derive(Debug, PartialEq)]
struct Seen {
    position: Position,
    lists: Vec<Vec<ConversationView>>,
    pages: Vec<Vec<EventView>>,
    members: Vec<Option<Vec<MemberView>>>,
    intervals: Vec<Interval>,
    group_counts: Vec<(i64, i64)>,
    requests: i64,
}

fn look(place: &Place) -> Seen {
    let store = place.open();
    let mut reader = store.reader().unwrap();
    let mut seen = Seen {
        position: reader.snapshot().unwrap().ceiling(),
        lists: Vec::new(),
        pages: Vec::new(),
        members: Vec::new(),
        intervals: reader.intervals(GROUP, Seq(0)).unwrap(),
        group_counts: group_counts(place),
        requests: place
            .stranger()
            .query_row("SELECT count(*) FROM requests", [], |row| row.get(0))
            .unwrap(),
    };
    for user in [ANN, BOB, CAT] {
        seen.lists.push(reader.conversations(user, None, 99).unwrap());
        seen.pages.push(page(reader.as_mut(), user, GROUP).events);
        seen.members
            .push(reader.members(user, GROUP, UserId(0), 99).unwrap());
    }
    seen
}

fn group_counts(place: &Place) -> Vec<(i64, i64)> {
    let stranger = place.stranger();
    let mut statement = stranger
        .prepare("SELECT user, groups FROM group_counts ORDER BY user")
        .unwrap();
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    rows.map(Result::unwrap).collect()
}

pub(super) fn write(place: &Place, parts: &[&[Write]]) {
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    for part in parts {
        for answer in writer.commit(part).unwrap() {
            answer.unwrap();
        }
    }
    drop(writer);
    store.close().unwrap();
}

#[test]
fn all_of_it() {
    let place = Place::new();
    let (first, second) = history();
    write(&place, &[&accounts(), &first, &second]);
    let before = look(&place);
    assert_eq!(before.group_counts, [(1, 0), (2, 0), (3, 0)]);
    place
        .stranger()
        .execute_batch(
            "UPDATE store SET watermark = 0; DELETE FROM event_seqs; DELETE FROM requests; DELETE FROM members;
             DELETE FROM conversations; DELETE FROM group_counts; DELETE FROM edits; DELETE FROM reactions;
             DELETE FROM past_reactions;
             DELETE FROM cursors",
        )
        .unwrap();
    assert_eq!(look(&place), before);
}

#[test]
fn all_of_it_over_what_is_there() {
    let place = Place::new();
    let (first, second) = history();
    write(&place, &[&accounts(), &first, &second]);
    let before = look(&place);
    place
        .stranger()
        .execute_batch("UPDATE store SET watermark = 0; DELETE FROM edits")
        .unwrap();
    assert_eq!(look(&place), before);
}

/// Gives the heads that were written here their sums.
fn prove_heads(connection: &Connection) {
    let mut statement = connection
        .prepare("SELECT id, head_seq, head_ordinal, head_position, head_at, roster FROM conversations")
        .unwrap();
    let heads = statement
        .query_map([], |row| {
            let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
            Ok(Head {
                conversation: ConversationId(number(0)?),
                seq: Seq(number(1)?),
                ordinal: number(2)?,
                position: Position(number(3)?),
                at: Timestamp(number(4)?),
                roster: Seq(number(5)?),
            })
        })
        .unwrap();
    for head in heads.map(Result::unwrap) {
        connection
            .execute(
                "UPDATE conversations SET head_sum = ?2 WHERE id = ?1",
                [head.conversation.0, sum::of_head(&head)].map(u64::cast_signed),
            )
            .unwrap();
    }
}

/// As after a crash: the index was written up to some event, and of those after it in part.
#[test]
fn what_is_missing_of_the_index() {
    let place = Place::new();
    let (first, second) = history();
    write(&place, &[&accounts(), &first, &second]);
    let before = look(&place);
    for watermark in 1..before.position.0 {
        let stranger = place.stranger();
        standing::set_watermark(&stranger, watermark).unwrap();
        for table in ["event_seqs", "requests"] {
            stranger
                .execute(
                    &format!("DELETE FROM {table} WHERE position > ?1 AND position % 3 > 0"),
                    [watermark.cast_signed()],
                )
                .unwrap();
        }
        stranger
            .execute_batch(
                "UPDATE conversations SET (head_seq, head_ordinal, head_position, head_at, roster) =
                     (SELECT seq, ordinal, position, at, roster FROM events
                      WHERE conversation = conversations.id
                            AND (seq = 1 OR position <= (SELECT watermark FROM store))
                      ORDER BY seq DESC LIMIT 1)",
            )
            .unwrap();
        prove_heads(&stranger);
        drop(stranger);
        assert_eq!(look(&place), before, "after {watermark}");
    }
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    assert!(appended(&mut writer, first[0].clone()).duplicate);
    assert_eq!(appended(&mut writer, message(99, "on it goes")).event.seq, Seq(3));
}

#[test]
fn two_events_with_one_seq_are_damage() {
    let place = Place::new();
    drop(place.with_messages(3));
    let stranger = place.stranger();
    stranger
        .execute_batch("UPDATE events SET seq = 2 WHERE position = 3")
        .unwrap();
    standing::set_watermark(&stranger, 1).unwrap();
    let refusal = place.refusal();
    assert!(refusal.contains("damaged"), "{refusal}");
}

#[test]
fn counters_that_contradict_each_other_are_refused() {
    for sql in [
        "UPDATE store SET position = 1, watermark = 1",
        "UPDATE store SET watermark = position + 1",
    ] {
        let place = Place::new();
        drop(place.with_messages(3));
        place.stranger().execute(sql, []).unwrap();
        let refusal = place.refusal();
        assert!(refusal.contains("damaged"), "{refusal}");
    }
}
