//! The store as a whole.

use super::{
    cases,
    world::{ANN, BOB, PAIR, World, message},
};
use crate::{Seq, Snapshot, Write};

cases![
    it_has_a_name,
    it_has_so_many_writers,
    a_batch_is_one_moment,
    readers_see_what_was_committed,
];

fn it_has_a_name(world: &mut World) {
    assert_ne!(world.store.epoch(), 0);
    assert_eq!(world.store.epoch(), world.store.epoch());
    assert_eq!(world.store.log_id(), world.store.log_id());
}

fn it_has_so_many_writers(world: &mut World) {
    assert!(world.store.writers_max() >= 1);
    for _ in 1..world.store.writers_max() {
        world.store.writer().expect("another writer");
    }
    assert!(world.store.writer().is_err());
}

/// A reader on another thread never sees a part of a batch.
fn a_batch_is_one_moment(world: &mut World) {
    const BATCHES: u64 = 50;
    const SIZE: u64 = 4;
    world.people();
    let batches: Vec<Vec<Write>> = (0..BATCHES)
        .map(|_| {
            (0..SIZE)
                .map(|_| Write::Append(world.request(PAIR, ANN, message(""))))
                .collect()
        })
        .collect();
    let mut reader = world.store.reader().expect("a reader");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            loop {
                let head = reader
                    .conversation(BOB, PAIR)
                    .expect("an answer")
                    .map_or(0, |view| view.head.0);
                assert_eq!(head % SIZE, 0, "a part of a batch");
                if head == BATCHES * SIZE {
                    break;
                }
                std::thread::yield_now();
            }
        });
        for batch in &batches {
            world.writer.commit(batch).expect("a commit");
        }
    });
}

fn readers_see_what_was_committed(world: &mut World) {
    world.people();
    let mut other = world.store.reader().expect("another reader");
    for number in 1..=3 {
        world.say(PAIR, ANN, "");
        let view = other.conversation(BOB, PAIR).expect("an answer").expect("a view");
        assert_eq!((view.head, view.unread), (Seq(number), number));
        let snapshot = other.snapshot().expect("a snapshot");
        assert_eq!(snapshot, Snapshot::at(view.head_position));
    }
}
