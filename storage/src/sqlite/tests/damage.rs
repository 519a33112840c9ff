//! Rows that no version writes, and what is left of what was erased.

use super::*;
use crate::{
    CommitError, ReadError,
    sqlite::{failure::Failure, operator},
};

fn broken_kind(place: &Place) {
    place
        .stranger()
        .execute("UPDATE events SET kind = 99 WHERE seq = 1", [])
        .unwrap();
}

#[test]
fn a_damaged_event_is_an_error_for_a_reader() {
    let place = Place::new();
    let store = place.with_messages(2);
    let mut reader = store.reader().unwrap();
    broken_kind(&place);
    let all = reader
        .events(BOB, PAIR, Seq(1), Direction::Forward, 9, 999)
        .unwrap_err();
    assert!(all.to_string().contains("damaged"), "{all}");
    let second = reader
        .events(BOB, PAIR, Seq(2), Direction::Forward, 9, 999)
        .unwrap()
        .unwrap();
    assert_eq!(second.events.len(), 1, "the rest can be read");
}

#[test]
fn a_damaged_event_stops_the_writer_for_good() {
    let place = Place::new();
    let store = place.with_messages(2);
    drop(store);
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    broken_kind(&place);
    // The batch begins well, and then asks for what was stored first.
    let batch = [message(50, "new"), message(0, "again")];
    for batch in [&batch[..], &batch[..1]] {
        match writer.commit(batch) {
            Err(CommitError::Fatal(reason)) => assert!(reason.to_string().contains("99"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(store.reader().unwrap().snapshot().unwrap().ceiling().0, 2);
}

/// A reader meets damage: from then on nothing is acknowledged, and no later process begins as if nothing had happened.
#[test]
fn damage_that_a_reader_meets_ends_it_all() {
    let place = Place::new();
    drop(place.with_messages(3));
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    // Content alone: SQLite finds nothing wrong with it.
    let stranger = place.stranger();
    stranger
        .execute("UPDATE events SET body = 'another' WHERE seq = 2", [])
        .unwrap_err();
    stranger
        .execute("UPDATE events SET body = x'00' WHERE seq = 2", [])
        .unwrap();
    let mut reader = store.reader().unwrap();
    let read = reader.events(BOB, PAIR, Seq(1), Direction::Forward, 9, 999);
    assert!(matches!(read, Err(ReadError::Fatal(_))), "{read:?}");
    assert!(store.fate().reason().is_some());
    assert!(matches!(
        writer.commit(&messages(3..4)),
        Err(CommitError::Fatal(_))
    ));
    assert!(store.close().is_err(), "nothing is copied any more");
    drop((writer, reader, store));
    let refusal = place.refusal();
    assert!(
        refusal.contains("was found damaged") && refusal.contains("past keep"),
        "{refusal}"
    );
    let report = operator::report(&place.path()).unwrap();
    assert!(report.remarks[0].contains("was found damaged"));
    // An operator who vouches for it has it checked.
    assert!(operator::keep_past(&place.path()).is_err());
    assert!(operator::begin_past(&place.path(), "").is_err());
    stranger
        .execute(
            "UPDATE events SET body = CAST('message 1' AS BLOB) WHERE seq = 2",
            [],
        )
        .unwrap();
    drop(stranger);
    operator::keep_past(&place.path()).unwrap();
    assert_eq!(bodies(&place.open()).len(), 3);
}

/// Everything that a reader can be asked about.
#[derive(Debug, PartialEq)]
struct Answers {
    past: (u64, u64, crate::TokenKey),
    lists: Vec<Vec<crate::ConversationView>>,
    pages: Vec<Option<EventPage>>,
    members: Vec<Option<Vec<crate::MemberView>>>,
    intervals: Vec<crate::Interval>,
    users: Vec<crate::User>,
    sessions: Vec<crate::Session>,
}

fn answers(store: &SqliteStore) -> Result<Answers, ReadError> {
    let mut reader = store.reader().map_err(ReadError::failed)?;
    let mut answers = Answers {
        past: (store.epoch(), store.log_id(), store.token_key()),
        lists: Vec::new(),
        pages: Vec::new(),
        members: Vec::new(),
        intervals: reader.intervals(GROUP, Seq(0))?,
        users: reader.users(&[ANN, BOB, UserId(3)])?,
        sessions: reader.sessions(ANN)?,
    };
    for name in ["ann", "bob", "cat"] {
        answers.users.extend(reader.user_by_name(name)?);
    }
    for user in [ANN, BOB, UserId(3)] {
        answers.lists.push(reader.conversations(user, None, 99)?);
        for conversation in [PAIR, GROUP] {
            let page = reader.events(user, conversation, Seq(1), Direction::Forward, 99, usize::MAX);
            answers.pages.push(page?);
            answers
                .members
                .push(reader.members(user, conversation, UserId(0), 99)?);
        }
    }
    Ok(answers)
}

/// A prime, so that the flips fall everywhere over the pages.
const BITS_BETWEEN_FLIPS: usize = 8_117;

#[test]
fn a_bit_that_flips_at_rest_is_found_or_changes_nothing() {
    let place = Place::new();
    let (first, second) = rebuilding::history();
    let session = Write::CreateSession(crate::NewSession {
        session: crate::Session {
            id: crate::SessionId(5),
            user: ANN,
            device_id: "device".to_owned(),
            class: crate::DeviceClass::Web,
            device_name: "a device".to_owned(),
            created_at: Timestamp(1),
            last_seen_at: Timestamp(2),
        },
        token_hash: crate::TokenHash([6; 32]),
        online: Vec::new(),
        policy: crate::DevicePolicy {
            total: 9,
            mobile: 9,
            desktop: 9,
            web: 9,
            script: 9,
        },
    });
    rebuilding::write(&place, &[&accounts(), &[session], &first, &second]);
    let store = place.open();
    let expected = answers(&store).unwrap();
    store.close().unwrap();
    drop(store);
    let files = ["", ".witness"].map(|suffix| (suffix, std::fs::read(place.beside(suffix)).unwrap()));
    let bits = files[0].1.len() * 8;
    let (mut refused, mut failed, mut harmless) = (0, 0, 0);
    for bit in (0..bits).step_by(BITS_BETWEEN_FLIPS) {
        for (suffix, bytes) in &files {
            std::fs::write(place.beside(suffix), bytes).unwrap();
        }
        for suffix in ["-wal", "-shm", ".damaged"] {
            let _ = std::fs::remove_file(place.beside(suffix));
        }
        let mut flipped = files[0].1.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(place.path(), flipped).unwrap();
        match SqliteStore::open(SqliteOptions::new(place.path())) {
            Err(_) => refused += 1,
            Ok(store) => match answers(&store) {
                Err(_) => failed += 1,
                Ok(answers) => {
                    assert_eq!(answers, expected, "bit {bit}");
                    harmless += 1;
                }
            },
        }
    }
    assert!(
        refused > 0 && harmless > 0,
        "{refused} refused, {failed} failed, {harmless} harmless"
    );
}

#[test]
fn other_damaged_rows_are_errors_too() {
    let place = Place::new();
    let store = place.with_messages(2);
    let mut reader = store.reader().unwrap();
    let stranger = place.stranger();
    stranger.execute("UPDATE members SET role = 7", []).unwrap();
    assert!(reader.conversation(BOB, PAIR).is_err());
    assert!(reader.conversations(BOB, None, 9).is_err());
    stranger
        .execute("UPDATE conversations SET member_count = -1", [])
        .unwrap();
    stranger.execute("UPDATE members SET role = 0", []).unwrap();
    assert!(reader.conversation(BOB, PAIR).is_err());
    stranger.execute("DELETE FROM store", []).unwrap();
    assert!(reader.snapshot().is_err());
}

#[test]
fn a_damaged_file_is_refused_or_answers_with_errors() {
    let place = Place::new();
    let store = place.with_messages(200);
    store.close().unwrap();
    drop(store);
    let mut file = std::fs::read(place.path()).unwrap();
    for byte in file.iter_mut().skip(4_096).step_by(7) {
        *byte = 0xa5;
    }
    std::fs::write(place.path(), file).unwrap();
    if let Ok(store) = SqliteStore::open(SqliteOptions::new(place.path())) {
        let mut reader = store.reader().unwrap();
        assert!(
            reader
                .events(BOB, PAIR, Seq(1), Direction::Forward, 999, usize::MAX)
                .is_err()
        );
    }
}

#[test]
fn an_erased_body_is_nowhere_in_the_files() {
    let place = Place::new();
    let store = place.open();
    let mut writer = store.open_writer().unwrap();
    writer.commit(&accounts()).unwrap();
    // One within a page, one over many, and an edit.
    let small = b"the-small-secret".to_vec();
    let large = b"the-large-secret".repeat(2_000);
    let edited = b"the-other-secret".repeat(20);
    writer
        .commit(&[message(1, small), message(2, large), message(3, "harmless")])
        .unwrap();
    let edit = Action::Edit {
        target: Seq(1),
        body: edited.into(),
        fits: crate::write::MessageKinds::ALL,
    };
    writer.commit(&[request(4, PAIR, ANN, edit)]).unwrap();
    assert!(holds(&place, b"-secret"), "the test can find what is there");
    let recall = |number, target| request(number, PAIR, ANN, Action::Recall { target: Seq(target) });
    writer.commit(&[recall(5, 1), recall(6, 2)]).unwrap();
    writer.commit(&[Write::Erase(Timestamp(0))]).unwrap();
    drop(writer);
    store.close().unwrap();
    assert!(!holds(&place, b"-secret"));
    assert!(holds(&place, b"harmless"));
}

pub(super) fn holds(place: &Place, bytes: &[u8]) -> bool {
    let files = ["", "-wal"].map(|suffix| std::fs::read(place.beside(suffix)).unwrap_or_default());
    files
        .iter()
        .any(|file| file.windows(bytes.len()).any(|window| window == bytes))
}

#[test]
fn failures_say_what_they_mean() {
    let failure = |code| Failure::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
    use rusqlite::ffi;
    assert!(failure(ffi::SQLITE_IOERR_FSYNC).is_io());
    assert!(failure(ffi::SQLITE_IOERR_WRITE).is_io());
    assert!(failure(ffi::SQLITE_FULL).is_full());
    assert!(failure(ffi::SQLITE_BUSY).is_busy());
    assert!(failure(ffi::SQLITE_BUSY_SNAPSHOT).is_busy());
    assert!(failure(ffi::SQLITE_CORRUPT).is_damage());
    assert!(failure(ffi::SQLITE_CORRUPT_INDEX).is_damage());
    assert!(failure(ffi::SQLITE_NOTADB).is_damage());
    assert!(!failure(ffi::SQLITE_CONSTRAINT_UNIQUE).is_damage());
    assert!(Failure::damaged("").is_damage());
}
