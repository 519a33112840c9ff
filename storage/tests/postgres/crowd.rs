//! Several writers of several stores on one database, all in the same few conversations, and some who follow them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use storage::{
    Action, Appended, ConversationId, CursorMove, Event, Outcome, Position, Reader, Seq, Snapshot, Store,
    UserId, Write, Writer, postgres::PostgresStore,
};

use crate::{USERS, append, database, group, log, message, pair, register};

const WRITERS: u64 = 4;
const BATCHES: u64 = 40;
const GROUP: ConversationId = group(1);

fn conversations() -> Vec<ConversationId> {
    vec![
        GROUP,
        pair(1, 2),
        pair(1, 3),
        pair(1, 5),
        pair(1, 4),
        ConversationId(1),
    ]
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// A batch of a writer. Each request is made by two writers, under the same client id.
fn batch(numbers: &mut Numbers, writer: u64, batch: u64) -> Vec<Write> {
    let mut writes = Vec::new();
    for place in 0..1 + numbers.below(8) {
        let request = ((writer / 2) * BATCHES + batch) * 16 + place + 1;
        let conversation = conversations()[(request % 6) as usize];
        let sender = if conversation == GROUP {
            1 + request % USERS
        } else {
            1
        };
        writes.push(match numbers.below(12) {
            0 => Write::Cursors(
                (1..=3)
                    .map(|user| CursorMove {
                        conversation: if user == 1 { pair(1, 2) } else { GROUP },
                        user: UserId(user),
                        delivered: Seq(numbers.below(200)),
                        read: Seq(numbers.below(200)),
                    })
                    .collect(),
            ),
            1 => Write::Append(append(
                conversation,
                sender,
                request << 32,
                Action::React {
                    target: Seq(1 + numbers.below(5)),
                    reaction: "x".to_owned(),
                    body: bytes::Bytes::new(),
                },
            )),
            _ => message(conversation, sender, request, 0),
        });
    }
    writes
}

/// What a follower of the whole store has heard of.
fn follow(reader: &mut dyn Reader, running: &AtomicUsize, limit: usize) -> BTreeMap<Position, Event> {
    let (mut since, mut events) = (Snapshot::default(), BTreeMap::new());
    loop {
        let last = running.load(Ordering::SeqCst) == 0;
        let tail = reader.tail(&since, limit).unwrap();
        for event in &tail.events {
            assert!(!since.covers(event.position) && tail.up_to.covers(event.position));
            events.insert(event.position, Event::clone(event));
        }
        since = tail.up_to;
        if last && !tail.more {
            return events;
        }
    }
}

/// The newest heads and cursors that a user has heard of.
type Heard = (
    BTreeMap<ConversationId, Seq>,
    BTreeMap<(ConversationId, UserId), Seq>,
);

fn follow_changes(reader: &mut dyn Reader, user: u64, running: &AtomicUsize, limit: usize) -> Heard {
    let mut since = Snapshot::default();
    let mut heard = Heard::default();
    loop {
        let last = running.load(Ordering::SeqCst) == 0;
        let changes = reader.changes(UserId(user), &since, limit).unwrap();
        for view in &changes.conversations {
            assert!(!since.covers(view.head_position) && changes.up_to.covers(view.head_position));
            let before = heard.0.insert(view.id, view.head);
            assert!(before.is_none_or(|before| before < view.head), "a head went back");
        }
        for cursor in &changes.cursors {
            heard.1.insert((cursor.conversation, cursor.user), cursor.read);
        }
        since = changes.up_to;
        if last && !changes.more {
            return heard;
        }
    }
}

#[test]
fn nothing_is_lost_doubled_or_reordered() {
    let options = database::fresh();
    let nodes = [
        PostgresStore::open(options.clone()).unwrap(),
        PostgresStore::open(options).unwrap(),
    ];
    assert_eq!(
        (nodes[0].epoch(), nodes[0].log_id()),
        (nodes[1].epoch(), nodes[1].log_id())
    );
    let mut writers: Vec<Box<dyn Writer>> = (0..WRITERS)
        .map(|writer| nodes[(writer % 2) as usize].writer().unwrap())
        .collect();
    register(writers[0].as_mut(), USERS);
    let members = (2..=USERS).map(UserId).collect();
    let create = append(
        GROUP,
        1,
        u64::MAX,
        Action::CreateGroup {
            name: String::new(),
            members,
        },
    );
    writers[0]
        .commit(&[Write::Append(create)])
        .unwrap()
        .remove(0)
        .unwrap();

    let running = AtomicUsize::new(writers.len());
    let acknowledged: Mutex<Vec<Appended>> = Mutex::new(Vec::new());
    let (followed, heard) = std::thread::scope(|scope| {
        let followers: Vec<_> = [3, 50]
            .into_iter()
            .map(|limit| {
                let (mut reader, running) = (nodes[0].reader().unwrap(), &running);
                scope.spawn(move || follow(reader.as_mut(), running, limit))
            })
            .collect();
        let users: Vec<_> = (1..=3)
            .map(|user| {
                let (mut reader, running) = (nodes[1].reader().unwrap(), &running);
                scope.spawn(move || follow_changes(reader.as_mut(), user, running, user as usize))
            })
            .collect();
        for (number, mut writer) in writers.into_iter().enumerate() {
            let (acknowledged, running) = (&acknowledged, &running);
            scope.spawn(move || {
                let mut numbers = Numbers(number as u64 + 1);
                for count in 0..BATCHES {
                    let writes = batch(&mut numbers, number as u64, count);
                    let answers = writer.commit(&writes).unwrap();
                    let events = answers.into_iter().flatten().filter_map(|outcome| match outcome {
                        Outcome::Appended(appended) => Some(appended),
                        _ => None,
                    });
                    acknowledged.lock().unwrap().extend(events);
                }
                running.fetch_sub(1, Ordering::SeqCst);
            });
        }
        let followed: Vec<_> = followers.into_iter().map(|one| one.join().unwrap()).collect();
        let heard: Vec<Heard> = users.into_iter().map(|one| one.join().unwrap()).collect();
        (followed, heard)
    });

    let mut reader = nodes[0].reader().unwrap();
    let mut stored: BTreeMap<Position, Event> = BTreeMap::new();
    for conversation in conversations() {
        let log = log(reader.as_mut(), 1, conversation);
        assert!(!log.is_empty());
        let seqs: Vec<u64> = log.iter().map(|event| event.seq.0).collect();
        assert_eq!(seqs, (1..=log.len() as u64).collect::<Vec<_>>());
        let requests: BTreeSet<_> = log.iter().map(|event| (event.sender, event.client_id)).collect();
        assert_eq!(requests.len(), log.len(), "a client id is stored twice");
        stored.extend(log.iter().map(|event| (event.position, Event::clone(event))));
    }
    for appended in acknowledged.into_inner().unwrap() {
        assert_eq!(stored.get(&appended.event.position), Some(&*appended.event));
    }
    for events in followed {
        assert!(
            events == stored,
            "a follower has heard of {} of {} events",
            events.len(),
            stored.len()
        );
    }
    for (user, (heads, cursors)) in (1..=3).zip(heard) {
        let all = reader
            .changes(UserId(user), &Snapshot::default(), usize::MAX)
            .unwrap();
        let now = all
            .conversations
            .iter()
            .map(|view| (view.id, view.head))
            .collect();
        assert_eq!(heads, now);
        for cursor in all.cursors {
            assert!(cursors.contains_key(&(cursor.conversation, cursor.user)));
        }
    }
}

/// Everybody registers, begins the same conversations and sends the same at once.
#[test]
fn who_comes_first_is_the_same_for_all() {
    let options = database::fresh();
    let store = PostgresStore::open(options).unwrap();
    let mut writers: Vec<_> = (0..WRITERS).map(|_| store.writer().unwrap()).collect();
    let ids: Vec<Vec<UserId>> = std::thread::scope(|scope| {
        let threads: Vec<_> = writers
            .iter_mut()
            .enumerate()
            .map(|(number, writer)| {
                scope.spawn(move || {
                    (0..5)
                        .map(|count| {
                            let new = storage::NewUser {
                                name: format!("user{number}x{count}"),
                                display_name: String::new(),
                                password_hash: String::new(),
                                at: storage::Timestamp(0),
                            };
                            match writer
                                .commit(&[Write::CreateUser(new)])
                                .unwrap()
                                .remove(0)
                                .unwrap()
                            {
                                Outcome::User(user) => user.id,
                                other => panic!("{other:?}"),
                            }
                        })
                        .collect()
                })
            })
            .collect();
        threads.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let ids: BTreeSet<UserId> = ids.into_iter().flatten().collect();
    assert_eq!(ids, (1..=20).map(UserId).collect());
    let answers: Vec<Vec<Appended>> = std::thread::scope(|scope| {
        let threads: Vec<_> = writers
            .iter_mut()
            .map(|writer| {
                scope.spawn(|| {
                    (2..=15)
                        .map(|other| {
                            let write = message(pair(1, other), 1, other, 0);
                            crate::appended(writer.commit(&[write]).unwrap().remove(0).unwrap())
                        })
                        .collect()
                })
            })
            .collect();
        threads.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for (place, first) in answers[0].iter().enumerate() {
        assert_eq!(first.event.seq, Seq(1));
        assert!(answers.iter().all(|other| other[place].event == first.event));
        assert_eq!(answers.iter().filter(|other| !other[place].duplicate).count(), 1);
    }
}
