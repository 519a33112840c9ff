//! The index that is written behind the log, beside commits and readers.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use super::{
    super::{
        page,
        profile::{self, Use},
        unindexed::Question,
    },
    *,
};

/// Writers' batches while readers look.
const BATCHES: u64 = 300;
const READERS: usize = 3;

fn open(place: &Place, index_events: u32) -> SqliteStore {
    let mut options = SqliteOptions::new(place.path());
    options.index_events = index_events;
    SqliteStore::open(options).unwrap()
}

fn count(place: &Place, table: &str) -> u64 {
    let stranger = place.stranger();
    let sql = format!("SELECT count(*) FROM {table}");
    stranger
        .query_row(&sql, [], |row| row.get::<_, i64>(0))
        .unwrap()
        .cast_unsigned()
}

#[test]
fn follows_the_log_and_is_complete_at_the_end() {
    let place = Place::new();
    let store = open(&place, 10);
    let mut writer = store.open_writer().unwrap();
    writer.commit(&accounts()).unwrap();
    for number in 0..100 {
        writer.commit(&messages(number..number + 1)).unwrap();
    }
    let behind = 100 - count(&place, "event_seqs");
    assert!((1..=20).contains(&behind), "{behind} of 100 are not indexed");
    assert!(
        appended(&mut writer, message(5, "message 5")).duplicate,
        "it is in the index"
    );
    assert!(
        appended(&mut writer, message(99, "message 99")).duplicate,
        "it is not in the index"
    );
    drop(writer);
    store.close().unwrap();
    assert_eq!(
        (count(&place, "event_seqs"), count(&place, "requests")),
        (100, 100)
    );
}

/// Every answer is of one moment, whatever part is indexed meanwhile.
#[test]
fn readers_miss_nothing_of_it() {
    let place = Place::new();
    let store = open(&place, 16);
    let mut writer = store.open_writer().unwrap();
    writer.commit(&accounts()).unwrap();
    writer.commit(&messages(0..1)).unwrap();
    let committed = AtomicU64::new(1);
    std::thread::scope(|scope| {
        // Also when a commit fails: the readers would look for ever.
        let _end = End(&committed);
        for _ in 0..READERS {
            scope.spawn(|| look(&store, &committed));
        }
        for batch in 0..BATCHES {
            // Of all sizes, so that slices end anywhere.
            let first = committed.load(Ordering::Relaxed);
            let next = first + 1 + batch % 7;
            writer.commit(&messages(first..next)).unwrap();
            committed.store(next, Ordering::Release);
        }
    });
    assert_eq!(
        bodies(&store).len() as u64,
        1 + (0..BATCHES).map(|batch| 1 + batch % 7).sum::<u64>()
    );
}

/// The writer goes on at any point of a read transaction's beginning, and its indexed entries leave memory at once
/// unless they are pinned. SQLite gives the points: it calls back between the steps of every statement.
#[test]
fn a_question_that_begins_beside_commits_misses_nothing() {
    /// Enough for all that was there before to be indexed.
    const MESSAGES_EACH: u64 = 12;
    let place = Place::new();
    let store = open(&place, 4);
    let mut writer = store.open_writer().unwrap();
    writer.commit(&accounts()).unwrap();
    writer.commit(&messages(0..MESSAGES_EACH)).unwrap();
    let written = Arc::new(Mutex::new((writer, MESSAGES_EACH)));
    let wanted = page::Wanted {
        viewer: BOB,
        conversation: PAIR,
        from: Seq(1),
        direction: Direction::Forward,
        limit: usize::MAX,
        body_bytes_max: usize::MAX,
    };
    let mut connection = profile::connect(&place.path(), Use::Read, 1024).unwrap();
    let mut fixed_before = false;
    for step in 0.. {
        let before = written.lock().1;
        let (writer, mut steps) = (Arc::clone(&written), 0);
        let go_on = move || {
            if steps == step {
                let (writer, next) = &mut *writer.lock();
                for _ in 0..MESSAGES_EACH {
                    writer.commit(&messages(*next..*next + 1)).unwrap();
                    *next += 1;
                }
            }
            steps += 1;
            false
        };
        connection.progress_handler(1, Some(go_on)).unwrap();
        let question = Question::begin(&store.unindexed, &mut connection).unwrap();
        let in_between = written.lock().1 > before;
        let seen = page::read(&question.read_view(), &wanted).unwrap().unwrap();
        let seqs: Vec<u64> = seen.events.iter().map(|view| view.event.seq.0).collect();
        assert_eq!(seqs, (1..=seen.head.0).collect::<Vec<_>>(), "at step {step}");
        assert!(
            seen.head.0 >= before,
            "{} of {before} at step {step}",
            seen.head.0
        );
        fixed_before |= in_between && seen.head.0 == before;
        if !in_between {
            break;
        }
    }
    assert!(fixed_before, "the writer went on when the transaction was fixed");
}

/// Tells the readers that nothing more comes.
struct End<'a>(&'a AtomicU64);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(u64::MAX, Ordering::Release);
    }
}

fn look(store: &SqliteStore, committed: &AtomicU64) {
    let mut reader = store.reader().unwrap();
    loop {
        let known = committed.load(Ordering::Acquire);
        let seen = page(reader.as_mut(), BOB, PAIR);
        let seqs: Vec<u64> = seen.events.iter().map(|view| view.event.seq.0).collect();
        assert_eq!(seqs, (1..=seen.head.0).collect::<Vec<_>>());
        let view = reader.conversation(ANN, PAIR).unwrap().unwrap();
        assert_eq!((view.unread, view.read), (0, view.head), "she sent all of it");
        assert!(view.head >= seen.head, "time goes forward");
        let other = reader.conversation(BOB, PAIR).unwrap().unwrap();
        assert_eq!(other.unread, other.head.0);
        let listed = reader.conversations(BOB, None, 5).unwrap();
        assert_eq!(listed.len(), 1);
        assert!(listed[0].head >= other.head);
        if known == u64::MAX {
            return;
        }
        assert!(seen.head.0 >= known, "what was committed before is seen");
    }
}

/// A head is forgotten in each place: in the index, beside it, or in the open batch alone.
#[test]
fn heads_that_were_forgotten_are_read_again() {
    const GROUPS: u64 = 5;
    const ROUNDS: u64 = 40;
    const HEADS: usize = 3;
    let place = Place::new();
    let store = open(&place, 16);
    let mut writer = store.open_writer().unwrap();
    writer.heads.max = HEADS;
    writer.commit(&accounts()).unwrap();
    let group = |index| ConversationId(GROUP.0 + index);
    let text = |number, index| {
        let action = Action::Message {
            kind: 1,
            body: Bytes::new(),
            expires_at: Timestamp(0),
            reply_to: Seq(0),
        };
        request(number, group(index), ANN, action)
    };
    for index in 0..GROUPS {
        let action = Action::CreateGroup {
            name: String::new(),
            members: vec![BOB],
        };
        writer
            .commit(&[request(index, group(index), ANN, action)])
            .unwrap();
    }
    let mut heads = vec![1; GROUPS as usize];
    let mut forgotten = 0;
    for round in 0..ROUNDS {
        // Of all sizes, so that heads are forgotten anywhere in a batch; some conversations come twice.
        let order = (0..1 + round % 7).map(|place| (round + place * place) % GROUPS);
        let writes: Vec<Write> = order
            .clone()
            .zip(100 * (round + 1)..)
            .map(|(index, number)| text(number, index))
            .collect();
        let kept = writer.heads.kept.len();
        let answers = writer.commit(&writes).unwrap();
        forgotten += usize::from(writer.heads.kept.len() < kept);
        assert!(writer.heads.kept.len() <= HEADS);
        for (index, answer) in order.zip(answers) {
            let Ok(Outcome::Appended(appended)) = answer else {
                panic!("{answer:?}");
            };
            let head = &mut heads[index as usize];
            *head += 1;
            // All of it displayed but the creation.
            let event = &appended.event;
            assert_eq!(
                (event.seq, event.ordinal, event.roster),
                (Seq(*head), *head - 1, Seq(1))
            );
        }
    }
    assert!(forgotten > 0);
    let mut reader = store.reader().unwrap();
    for (index, head) in heads.iter().enumerate() {
        let seen = page(reader.as_mut(), BOB, group(index as u64));
        let seqs: Vec<u64> = seen.events.iter().map(|view| view.event.seq.0).collect();
        assert_eq!(seqs, (1..=*head).collect::<Vec<_>>());
    }
}

/// A batch that is not committed leaves no event behind for those after it, in the index or beside it.
#[test]
fn what_was_not_committed_is_not_indexed() {
    let place = Place::new();
    let store = open(&place, 4);
    let mut writer = store.open_writer().unwrap();
    writer.commit(&accounts()).unwrap();
    writer.commit(&messages(0..3)).unwrap();
    let stranger = place.stranger();
    stranger
        .execute(
            "INSERT INTO events SELECT 6, conversation, 999, ordinal, roster, sender, client_id, proof, at, kind,
                                       target, expires_at, recalled, users, role, text, body
                                FROM events WHERE position = 1",
            [],
        )
        .unwrap();
    for _ in 0..3 {
        assert!(writer.commit(&messages(3..8)).is_err());
        assert_eq!(bodies(&store).len(), 3);
    }
    stranger
        .execute("DELETE FROM events WHERE position = 6", [])
        .unwrap();
    // Other requests take the seqs and positions that were not.
    writer.commit(&messages(20..28)).unwrap();
    writer.commit(&messages(3..8)).unwrap();
    let expected: Vec<String> = (0..3)
        .chain(20..28)
        .chain(3..8)
        .map(|number| format!("message {number}"))
        .collect();
    assert_eq!(bodies(&store), expected);
    drop(writer);
    store.close().unwrap();
    drop(store);
    assert_eq!(bodies(&place.open()), expected);
}
