//! A reader beside the writer, one step at a time and without a database: the index is a set, and a commit is a copy of
//! it. Only the shared memory is real. Whatever the writer does between the steps of a reader, the reader sees every
//! event up to its position once, or is told that it took too long.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const CONVERSATIONS: [ConversationId; 2] = [ConversationId(1), ConversationId(2)];

type Place = (ConversationId, Seq);

/// The snapshot of a transaction.
#[derive(Clone, Debug, Default)]
struct Committed {
    log: Vec<(ConversationId, Entry)>,
    index: BTreeSet<Place>,
}

impl Committed {
    fn position(&self) -> Position {
        self.log.last().map_or(Position(0), |(_, last)| last.position)
    }

    /// The positions of a conversation's events, in order.
    fn positions(&self, conversation: ConversationId) -> Vec<Position> {
        let log = self.log.iter().filter(|(of, _)| *of == conversation);
        log.map(|(_, entry)| entry.position).collect()
    }

    /// The same according to the index, which has them up to a position.
    fn indexed(&self, conversation: ConversationId, below: u64) -> Vec<Position> {
        let log = self.log.iter().filter(|(of, _)| *of == conversation);
        log.filter(|(_, entry)| entry.seq.0 < below && self.index.contains(&(conversation, entry.seq)))
            .map(|(_, entry)| entry.position)
            .collect()
    }
}

/// A step of the writer; readers may act between two of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// The open batch gets an event of the conversation with this index.
    Enter(usize),
    /// Commits the open batch, and with it at most this many rows of the index.
    Commit(usize),
    /// Publishes the committed part of the index.
    Written,
    /// Forgets the last event of a batch that was not committed.
    TakeBack,
    /// The read transaction of another reader begins, or ends.
    OtherBegins,
    OtherEnds,
}

/// The effects of [`super::super::writer`] and [`super::super::deferred_index`] on the memory they share with readers.
struct Writer<'a> {
    unindexed: &'a Unindexed,
    committed: Committed,
    /// Entered, but not committed.
    open: Vec<(ConversationId, Entry)>,
    /// In the index's order, but not in the index yet.
    generation: Vec<Place>,
    /// Committed rows of the index that are not published.
    slice: Vec<Place>,
    /// Events that make a generation.
    size: usize,
    entries_max: usize,
    other: Option<Reading<'a>>,
}

impl<'a> Writer<'a> {
    fn new(unindexed: &'a Unindexed, course: &Course) -> Self {
        Self {
            unindexed,
            committed: Committed::default(),
            open: Vec::new(),
            generation: Vec::new(),
            slice: Vec::new(),
            size: course.size,
            entries_max: course.entries_max,
            other: None,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Enter(index) => self.enter(CONVERSATIONS[index]),
            Step::Commit(rows) => self.commit(rows),
            Step::Written if self.slice.is_empty() => {}
            Step::Written => {
                let newest = self.slice.chunk_by(|one, other| one.0 == other.0);
                let newest = newest.filter_map(<[Place]>::last).copied().collect();
                self.unindexed.written_within(newest, self.entries_max);
                self.slice.clear();
                let state = self.unindexed.state.read();
                assert!(state.entries <= self.entries_max || state.leaving.is_empty());
            }
            Step::TakeBack => {
                let (conversation, _) = self.open.pop().unwrap();
                self.unindexed.take_back(conversation);
            }
            Step::OtherBegins => self.other = Some(self.unindexed.begin_reading()),
            Step::OtherEnds => self.other = None,
        }
    }

    fn enter(&mut self, conversation: ConversationId) {
        let before = self.committed.log.iter().chain(&self.open);
        let seq = 1 + before.filter(|(of, _)| *of == conversation).count() as u64;
        let entry = Entry {
            seq: Seq(seq),
            ordinal: seq,
            position: Position(self.committed.position().0 + self.open.len() as u64 + 1),
            at: Timestamp(0),
            roster: Seq(0),
            sender: UserId(1),
            client_id: ClientId([0; 16]),
        };
        self.unindexed.enter(conversation, entry);
        self.open.push((conversation, entry));
    }

    fn commit(&mut self, rows: usize) {
        if self.generation.is_empty() {
            let all = self.committed.log.iter().map(|(of, entry)| (*of, entry.seq));
            let mut pending: Vec<Place> = all
                .filter(|place| !self.committed.index.contains(place))
                .collect();
            if pending.len() >= self.size {
                pending.sort();
                self.generation = pending;
            }
        }
        let rows = rows.min(self.generation.len());
        self.slice = self.generation.drain(..rows).collect();
        self.committed.index.extend(&self.slice);
        self.committed.log.append(&mut self.open);
    }
}

/// All steps of a writer.
#[derive(Clone, Debug)]
struct Course {
    steps: Vec<Step>,
    size: usize,
    entries_max: usize,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    HoldFirst,
    TransactionFirst,
}

/// The result of a reader.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answer {
    Right,
    Wrong,
    /// It was told to ask again.
    Overtaken,
}

/// A reader that takes its first step after `first` steps of the writer, its second after `second`, and then reads
/// until the end.
fn read(course: &Course, order: Order, first: usize, second: usize) -> Answer {
    let unindexed = Unindexed::default();
    let mut writer = Writer::new(&unindexed, course);
    let (mut reading, mut transaction) = (None, None);
    let mut answer = Answer::Right;
    for done in 0..=course.steps.len() {
        if done == first {
            match order {
                Order::HoldFirst => reading = Some(unindexed.begin_reading()),
                Order::TransactionFirst => transaction = Some(writer.committed.clone()),
            }
        }
        if done == second {
            reading.get_or_insert_with(|| unindexed.begin_reading());
            transaction.get_or_insert_with(|| writer.committed.clone());
        }
        if let (Some(reading), Some(transaction)) = (&reading, &transaction)
            && answer == Answer::Right
        {
            answer = ask(Seen::by_reader(reading, transaction.position()), transaction);
        }
        if let Some(step) = course.steps.get(done) {
            writer.take(*step);
        }
    }
    let committed = writer.committed.clone();
    let missing = committed.log.len() - committed.index.len() + writer.open.len();
    drop((writer, reading));
    unindexed.written(Vec::new());
    let state = unindexed.state.read();
    assert_eq!(state.entries, missing, "what nobody needs has left");
    assert!(state.readers.is_empty());
    answer
}

/// Reads everything, in both directions, and the newest of it.
fn ask(seen: Seen<'_>, transaction: &Committed) -> Answer {
    for conversation in CONVERSATIONS {
        let expected = transaction.positions(conversation);
        for direction in [Direction::Forward, Direction::Backward] {
            let mut stretch = match seen.stretch(conversation, 1..=u64::MAX, direction) {
                Ok(stretch) => stretch,
                Err(Failure::Overtaken) => return Answer::Overtaken,
                Err(other) => panic!("{other}"),
            };
            if direction == Direction::Backward {
                stretch.positions.reverse();
            }
            let mut union = transaction.indexed(conversation, stretch.first);
            union.append(&mut stretch.positions);
            if union != expected {
                return Answer::Wrong;
            }
        }
        let newest = seen.newest(conversation).unwrap().map(|newest| newest.position);
        let head = newest.or_else(|| transaction.indexed(conversation, u64::MAX).pop());
        if head != expected.last().copied() {
            return Answer::Wrong;
        }
    }
    Answer::Right
}

/// Every interleaving of the two steps of a reader with the writer's, and its result.
fn everywhere(course: &Course, order: Order) -> impl Iterator<Item = (usize, usize, Answer)> {
    let ends = 0..=course.steps.len();
    let both = ends.flat_map(|second| (0..=second).map(move |first| (first, second)));
    both.map(move |(first, second)| (first, second, read(course, order, first, second)))
}

/// Three batches; the last two write all that the index lacks of earlier ones.
fn short() -> Course {
    use Step::{Commit, Enter, Written};
    Course {
        steps: vec![
            Enter(0),
            Enter(1),
            Commit(0),
            Written,
            Enter(0),
            Commit(9),
            Written,
            Enter(1),
            Enter(0),
            Commit(9),
            Written,
        ],
        size: 1,
        entries_max: usize::MAX,
    }
}

#[test]
fn the_hold_comes_before_the_transaction() {
    let course = short();
    for (first, second, answer) in everywhere(&course, Order::HoldFirst) {
        assert_eq!(answer, Answer::Right, "after {first} and {second} steps");
    }
    let wrong: Vec<(usize, usize)> = everywhere(&course, Order::TransactionFirst)
        .filter(|(_, _, answer)| *answer == Answer::Wrong)
        .map(|(first, second, _)| (first, second))
        .collect();
    // The transaction begins before a commit with rows of the index, and the pin after they have left.
    let lost =
        |first, second| (3..=5).contains(&first) && second >= 7 || (6..=9).contains(&first) && second >= 11;
    let expected: Vec<(usize, usize)> = everywhere(&course, Order::HoldFirst)
        .map(|(first, second, _)| (first, second))
        .filter(|(first, second)| lost(*first, *second))
        .collect();
    assert_eq!(wrong, expected);
}

prop_compose! {
    /// One batch: its events, its rows of the index, whether it is committed, and another reader's beginning and end.
    fn batch()(
        events in prop::collection::vec(0..CONVERSATIONS.len(), 0..4),
        rows in 0_usize..5,
        fails in prop::bool::weighted(0.2),
        other in prop::option::weighted(0.3, prop::bool::ANY),
        place in any::<prop::sample::Index>(),
    ) -> Vec<Step> {
        let mut steps: Vec<Step> = events.iter().map(|index| Step::Enter(*index)).collect();
        if fails {
            steps.extend(events.iter().map(|_| Step::TakeBack));
        } else {
            steps.extend([Step::Commit(rows), Step::Written]);
        }
        if let Some(begins) = other {
            let step = if begins { Step::OtherBegins } else { Step::OtherEnds };
            steps.insert(place.index(steps.len() + 1), step);
        }
        steps
    }
}

prop_compose! {
    fn course(entries_max: std::ops::Range<usize>)(
        batches in prop::collection::vec(batch(), 1..6),
        size in 1_usize..5,
        entries_max in entries_max,
    ) -> Course {
        Course { steps: batches.concat(), size, entries_max }
    }
}

proptest! {
    #[test]
    fn a_reader_sees_every_event_once(course in course(1_000..1_001)) {
        for (first, second, answer) in everywhere(&course, Order::HoldFirst) {
            prop_assert_eq!(answer, Answer::Right, "after {} and {} steps", first, second);
        }
    }

    #[test]
    fn a_reader_that_is_not_waited_for_is_told_so(course in course(1..6)) {
        for (first, second, answer) in everywhere(&course, Order::HoldFirst) {
            prop_assert_ne!(answer, Answer::Wrong, "after {} and {} steps", first, second);
        }
    }
}
