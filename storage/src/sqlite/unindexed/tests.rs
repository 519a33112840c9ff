//! What readers see of the newest events, and when those are let go.

use std::ops::RangeInclusive;

use super::*;

const ONE: ConversationId = ConversationId(1);
const TWO: ConversationId = ConversationId(2);
const ANN: UserId = UserId(1);

fn entry(seq: u64, position: u64) -> Entry {
    Entry {
        seq: Seq(seq),
        ordinal: seq,
        position: Position(position),
        at: Timestamp(0),
        roster: Seq(0),
        sender: UserId(position % 2),
        client_id: ClientId([0; 16]),
    }
}

/// Seqs 5 to 8 of one conversation at the positions 10, 11, 13, 14, and one of another.
fn filled() -> Unindexed {
    let unindexed = Unindexed::default();
    for (seq, position) in [(5, 10), (6, 11), (7, 13), (8, 14)] {
        unindexed.enter(ONE, entry(seq, position));
    }
    unindexed.enter(TWO, entry(1, 12));
    unindexed
}

fn newest(seen: Seen<'_>) -> Option<u64> {
    seen.newest(ONE).unwrap().map(|entry| entry.seq.0)
}

fn positions(seen: Seen<'_>, seqs: RangeInclusive<u64>, direction: Direction) -> (u64, Vec<u64>) {
    let stretch = seen.stretch(ONE, seqs, direction).unwrap();
    let positions = stretch.positions.iter().map(|position| position.0);
    (stretch.first, positions.collect())
}

/// The first seq that is not only in the index.
fn first(reading: &Reading<'_>) -> u64 {
    positions(Seen::by_reader(reading, Position(20)), 1..=9, Direction::Forward).0
}

#[test]
fn a_reader_sees_up_to_its_position() {
    let unindexed = filled();
    let reading = unindexed.begin_reading();
    let seen = Seen::by_reader(&reading, Position(12));
    assert_eq!(newest(seen), Some(6));
    let (forward, backward) = (Direction::Forward, Direction::Backward);
    assert_eq!(positions(seen, 1..=9, forward), (5, vec![10, 11]));
    assert_eq!(positions(seen, 1..=9, backward), (5, vec![11, 10]));
    assert_eq!(positions(seen, 6..=6, forward), (5, vec![11]));
    assert_eq!(positions(seen, 1..=5, backward), (5, vec![10]));
    for nothing in [1..=4, 7..=8, 9..=20] {
        assert_eq!(positions(seen, nothing, forward), (5, vec![]));
    }
    assert_eq!(seen.at(ONE, Seq(6)).unwrap(), Some(entry(6, 11)));
    assert_eq!(seen.at(ONE, Seq(7)).unwrap(), None, "above its position");
    assert_eq!(seen.at(ONE, Seq(4)).unwrap(), None, "in the index");
    assert_eq!(seen.sent(ONE, ANN).unwrap(), Some(entry(6, 11)));
    assert_eq!(seen.senders(ONE).unwrap().len(), 2);
    assert_eq!(
        newest(Seen::by_reader(&reading, Position(9))),
        None,
        "all of it is above"
    );
    assert_eq!(newest(Seen::by_writer(&unindexed)), Some(8));
}

#[test]
fn what_was_written_stays_for_readers_that_began_before() {
    let unindexed = filled();
    let before = unindexed.begin_reading();
    unindexed.written(vec![(ONE, Seq(6))]);
    let after = unindexed.begin_reading();
    assert_eq!(first(&before), 5);
    drop(before);
    unindexed.written(vec![(TWO, Seq(1))]);
    assert_eq!(first(&after), 7);
    assert!(
        Seen::by_reader(&after, Position(20))
            .newest(TWO)
            .unwrap()
            .is_some(),
        "written after it began"
    );
    drop(after);
    unindexed.written(Vec::new());
    let state = unindexed.state.read();
    assert_eq!((state.entries, state.conversations.len()), (2, 1));
    assert!(state.readers.is_empty());
}

#[test]
fn what_was_not_committed_is_taken_back() {
    let unindexed = filled();
    unindexed.take_back(ONE);
    unindexed.take_back(TWO);
    assert_eq!(newest(Seen::by_writer(&unindexed)), Some(7));
    assert_eq!(unindexed.state.read().entries, 3);
    unindexed.enter(ONE, entry(8, 12));
    assert_eq!(newest(Seen::by_writer(&unindexed)), Some(8));
}

#[test]
fn a_reader_that_stays_too_long_is_told_so() {
    let unindexed = filled();
    let slow = unindexed.begin_reading();
    unindexed.written_within(vec![(ONE, Seq(7))], 4);
    assert_eq!(unindexed.state.read().entries, 2);
    let seen = Seen::by_reader(&slow, Position(20));
    assert!(matches!(seen.newest(ONE), Err(Failure::Overtaken)));
    let quick = unindexed.begin_reading();
    assert_eq!(newest(Seen::by_reader(&quick, Position(20))), Some(8));
}
