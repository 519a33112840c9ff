//! Rows that were changed, or are not found any more, are no answers.

use super::*;
use crate::{
    CursorMove, DeviceClass, DevicePolicy, NewSession, ReadError, Role, Session, SessionId, Snapshot,
    TokenHash,
};

const CAT: UserId = UserId(3);
const TOKEN: TokenHash = TokenHash([6; 32]);

/// A store with a row of everything. Bob came back, Cat sees all; everything is indexed.
fn world() -> Place {
    let place = Place::new();
    let session = Session {
        id: SessionId(5),
        user: ANN,
        device_id: "device".to_owned(),
        class: DeviceClass::Web,
        device_name: "a device".to_owned(),
        created_at: Timestamp(1),
        last_seen_at: Timestamp(2),
    };
    let session = Write::CreateSession(NewSession {
        session,
        token_hash: TOKEN,
        policy: DevicePolicy {
            total: 9,
            mobile: 9,
            desktop: 9,
            web: 9,
            script: 9,
        },
        online: Vec::new(),
    });
    let moved = Write::Cursors(vec![CursorMove {
        conversation: PAIR,
        user: BOB,
        delivered: Seq(1),
        read: Seq(1),
    }]);
    let (first, second) = rebuilding::history();
    // Without the end of the group, and with what the last part erased.
    let second = &second[..second.len() - 1];
    let group = |number, sender, action| request(number, GROUP, sender, action);
    let more = [
        group(
            30,
            CAT,
            Action::React {
                target: Seq(10),
                reaction: "?".to_owned(),
                body: Bytes::from_static(b"?"),
            },
        ),
        group(
            31,
            ANN,
            Action::SetRole {
                user: BOB,
                role: Role::Admin,
            },
        ),
    ];
    rebuilding::write(
        &place,
        &[&accounts(), &[session], &first, second, &more, &[moved]],
    );
    let store = place.open();
    store.close().unwrap();
    drop(store);
    place
}

/// Asks everything.
fn ask(store: &SqliteStore) -> Result<(), ReadError> {
    let failed = |error: crate::OpenError| ReadError::Fatal(error.into());
    let mut reader = store.reader().map_err(failed)?;
    let since = Snapshot::default();
    reader.snapshot()?;
    reader.session_by_token(&TOKEN)?;
    reader.tail(&since, 99)?;
    for (user, name) in [(ANN, "ann"), (BOB, "bob"), (CAT, "cat")] {
        reader.users(&[user])?;
        reader.credentials(name)?;
        reader.sessions(user)?;
        reader.conversations(user, None, 99)?;
        reader.changes(user, &since, 99)?;
        for conversation in [PAIR, GROUP] {
            reader.conversation(user, conversation)?;
            reader.intervals(conversation, Seq(0))?;
            reader.members(user, conversation, UserId(0), 99)?;
            reader.events(user, conversation, Seq(1), Direction::Forward, 99, usize::MAX)?;
        }
    }
    Ok(())
}

fn refused(place: &Place, change: &str, how: impl FnOnce(&Connection)) {
    let store = place.open();
    ask(&store).unwrap();
    how(&place.stranger());
    let asked = ask(&store);
    assert!(matches!(asked, Err(ReadError::Fatal(_))), "{change}: {asked:?}");
    assert!(store.fate().reason().is_some(), "{change}");
}

#[test]
fn a_row_that_was_changed_is_no_answer() {
    for change in [
        "UPDATE store SET position = position - 1",
        "UPDATE users SET status = 'x' WHERE id = 2",
        "UPDATE sessions SET device_name = 'x'",
        "UPDATE events SET ordinal = ordinal + 1 WHERE position = 3",
        "UPDATE event_seqs SET position = 1 WHERE position = 3",
        "UPDATE cursors SET delivered = delivered + 1 WHERE user = 2",
        "UPDATE cursors SET read = 0 WHERE user = 1",
        "UPDATE cursors SET read_ordinal = 0 WHERE user = 1",
        "UPDATE cursors SET position = position + 1 WHERE position > 0",
        "DELETE FROM cursors WHERE user = 3",
        "UPDATE conversations SET settings = 'x'",
        "UPDATE conversations SET disbanded = 1",
        "UPDATE conversations SET member_count = 9",
        "UPDATE conversations SET stays = 9",
        "UPDATE conversations SET head_seq = head_seq - 1",
        "UPDATE conversations SET head_ordinal = head_ordinal - 1",
        "UPDATE conversations SET head_position = head_position - 1",
        "UPDATE conversations SET head_at = head_at - 1",
        "UPDATE conversations SET roster = 0",
        "DELETE FROM conversations WHERE settings = ''",
        "UPDATE members SET role = 2 WHERE user = 3",
        "UPDATE members SET joined_seq = joined_seq - 1 WHERE user = 3",
        "UPDATE members SET joined_ordinal = joined_ordinal - 1 WHERE user = 3",
        "UPDATE members SET left_seq = left_seq + 1 WHERE left_seq IS NOT NULL",
        "UPDATE members SET left_seq = 8 WHERE user = 3",
        "DELETE FROM members WHERE user = 3",
        "DELETE FROM members WHERE left_seq IS NOT NULL",
        "UPDATE group_counts SET conversations = 9 WHERE user = 1",
        "DELETE FROM group_counts WHERE user = 1",
        "UPDATE edits SET position = position - 1",
        "DELETE FROM edits WHERE target = 3",
        "UPDATE reactions SET reaction = '-'",
        "UPDATE reactions SET user = 1 WHERE user = 3",
        "DELETE FROM reactions",
        "UPDATE past_reactions SET reaction = '-'",
        "UPDATE past_reactions SET until = until + 1",
        "DELETE FROM past_reactions",
        "UPDATE message_counts SET edits = 9 WHERE edits > 0",
        "UPDATE message_counts SET reactions = 9 WHERE reactions > 0",
    ] {
        refused(&world(), change, |stranger| {
            stranger.pragma_update(None, "foreign_keys", 0).unwrap();
            assert!(stranger.execute(change, []).unwrap() > 0, "{change}");
        });
    }
}

/// As where a flipped bit leads past all entries of a b-tree.
#[test]
fn what_one_way_does_not_find_another_one_misses() {
    for tree in [
        "users",
        "sqlite_autoindex_users_1",
        "sqlite_autoindex_sessions_1",
        "sessions_by_device",
        "event_seqs",
        "cursors",
        "conversations",
        "members",
        "members_newest",
        "members_now",
        "members_left",
        "group_counts",
        "edits",
        "reactions",
        "past_reactions",
        "message_counts",
    ] {
        refused(&world(), tree, |stranger| {
            let is_table = tree == "users" || tree == "conversations" || tree == "group_counts";
            let empty = if is_table { "hollow" } else { "hollow_index" };
            stranger
                .execute_batch(&format!(
                    "CREATE TABLE hollow (a); CREATE INDEX hollow_index ON hollow (a);
                     PRAGMA writable_schema = 1;
                     UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = '{empty}')
                     WHERE name = '{tree}';
                     PRAGMA schema_version = 1000;"
                ))
                .unwrap();
        });
    }
}
