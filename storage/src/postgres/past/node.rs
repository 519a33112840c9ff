//! This process' memory of the store: the past it lives in, and what it has seen of it. It is a witness: if the store
//! lacks something that is remembered here, its tail was lost.
//!
//! It must never forget a position that was told outside before that position was compared; and it must never take one
//! server's answer for another's: the caller of a query checks afterwards whether the generation is still that of the
//! query.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        OnceLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use parking_lot::{Mutex, MutexGuard};

use crate::{
    fate::Fate,
    past::{Claim, Generation, TokenKey},
    snapshot::Snapshot,
    sqlite::Identity,
    types::Position,
};

/// Positions of events that the change feed has read, at most: the last ones.
const READ_MAX: usize = 1_024;
/// Batches of one writer with an unknown outcome, at most; with more, its row proves nothing.
const DOUBTS_MAX: usize = 16;
/// A writer's row that was used this recently must be there, unless the tail is lost. Other nodes delete rows that are
/// far older.
const ROW_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a connection waits while another one is compared with the memory.
const CHECK_PATIENCE: Duration = Duration::from_secs(10);

/// The generation, and the start of the server, in which a connection was checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::postgres) struct Life {
    pub(in crate::postgres) generation: i64,
    /// `None` if the server does not tell.
    pub(in crate::postgres) started: Option<SystemTime>,
}

/// The past that this process lives in, from its first connection until its end.
#[derive(Clone, Copy, Debug)]
pub(in crate::postgres) struct Lived {
    pub(in crate::postgres) identity: Identity,
    pub(in crate::postgres) key: TokenKey,
}

/// See the module. Shared between threads.
#[derive(Debug, Default)]
pub(in crate::postgres) struct Node {
    lived: OnceLock<Lived>,
    /// The log ids of the pasts before that one.
    replaced: OnceLock<Vec<u64>>,
    /// The generation that tokens name.
    generation: AtomicI64,
    /// The generation whose beginning was compared with everything remembered here. While it differs from the other, a
    /// check runs.
    compared: AtomicI64,
    /// The newest position in any set that left this store, and in any answer to a writer.
    told: AtomicU64,
    memory: Mutex<Memory>,
    checking: Mutex<()>,
    pub(in crate::postgres) fate: Fate,
}

/// The memory beside the newest position.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// Counts changes.
    version: u64,
    writers: BTreeMap<i64, WriterMemory>,
    read: VecDeque<Position>,
}

#[derive(Clone, Debug, Default)]
struct WriterMemory {
    /// The newest event that it stored.
    event: Option<Position>,
    /// The last batch with an answer, and its time.
    batch: Option<(i64, Instant)>,
    /// Later batches without an answer.
    doubts: Vec<i64>,
}

/// The memory at one moment.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    pub(super) told: Position,
    pub(super) memory: Memory,
}

/// The answer to a writer.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::postgres) struct Answered {
    /// The newest position in its answer.
    pub(in crate::postgres) newest: Position,
    /// The newest position of a new event in the answer.
    pub(in crate::postgres) event: Position,
    /// The batch that it committed, if its row has it.
    pub(in crate::postgres) batch: Option<i64>,
}

impl Node {
    pub(in crate::postgres) fn lived(&self) -> Option<Lived> {
        self.lived.get().copied()
    }

    pub(super) fn live_in(&self, lived: Lived, replaced: Vec<u64>) {
        self.replaced.get_or_init(|| replaced);
        self.lived.get_or_init(|| lived);
    }

    /// Whether the past with this log id came before that of this process.
    pub(super) fn came_after(&self, log_id: u64) -> bool {
        self.replaced
            .get()
            .is_some_and(|replaced| replaced.contains(&log_id))
    }

    /// The generation in which everything remembered here was compared: a connection in it needs no check.
    pub(super) fn compared(&self) -> i64 {
        self.compared.load(Ordering::SeqCst)
    }

    /// From now on tokens name this generation.
    pub(super) fn enter(&self, generation: i64) {
        self.generation.store(generation, Ordering::SeqCst);
    }

    /// Everything that was told before the generation was [entered](Self::enter) is in it.
    pub(super) fn settle(&self, generation: i64) {
        self.compared.store(generation, Ordering::SeqCst);
    }

    /// Allows one check at a time. `None` if another one takes too long.
    pub(super) fn check(&self) -> Option<MutexGuard<'_, ()>> {
        self.checking.try_lock_for(CHECK_PATIENCE)
    }

    /// See [`Store::told`](crate::Store::told). It first notes the position and then reads the generation, so a check
    /// that enters another generation compares what was noted after it.
    pub(in crate::postgres) fn told(&self, ceiling: Position) -> Generation {
        self.told.fetch_max(ceiling.0, Ordering::SeqCst);
        Generation(self.generation.load(Ordering::SeqCst).cast_unsigned())
    }

    /// Notes a set of commits before it leaves the store. False: it was read in another generation than the present
    /// one, and must not be used.
    #[must_use]
    pub(in crate::postgres) fn saw(&self, life: Life, ceiling: Position) -> bool {
        self.told(ceiling).0.cast_signed() == life.generation
    }

    /// Notes events that a change feed has read.
    pub(in crate::postgres) fn read(&self, events: impl Iterator<Item = Position>) {
        let mut memory = self.memory.lock();
        memory.version += 1;
        memory.read.extend(events);
        let excess = memory.read.len().saturating_sub(READ_MAX);
        memory.read.drain(..excess);
    }

    /// A writer is about to commit a batch.
    pub(in crate::postgres) fn commits(&self, writer: i64, batch: i64) {
        let mut memory = self.memory.lock();
        memory.version += 1;
        let of = memory.writers.entry(writer).or_default();
        of.doubts.push(batch);
        if of.doubts.len() > DOUBTS_MAX {
            of.doubts.clear();
            of.batch = None;
        }
    }

    /// A writer's batch is known to be not stored.
    pub(in crate::postgres) fn gave_up(&self, writer: i64, batch: i64) {
        let mut memory = self.memory.lock();
        memory.version += 1;
        if let Some(of) = memory.writers.get_mut(&writer) {
            of.doubts.retain(|other| *other != batch);
        }
    }

    /// A writer got an answer from the server of `life`. False: that server may be replaced, and the present one must
    /// be asked for the batch.
    #[must_use]
    pub(in crate::postgres) fn committed(&self, life: Life, writer: i64, answered: Answered) -> bool {
        let mut memory = self.memory.lock();
        memory.version += 1;
        let of = memory.writers.entry(writer).or_default();
        if answered.event.0 > 0 {
            of.event = Some(answered.event);
        }
        if let Some(batch) = answered.batch {
            of.batch = Some((batch, Instant::now()));
            of.doubts.clear();
        }
        drop(memory);
        let ceiling = match answered.newest {
            Position(0) => Position(0),
            newest => Snapshot::last_of_commit(newest),
        };
        self.saw(life, ceiling)
    }

    pub(super) fn remembered(&self) -> Remembered {
        let memory = self.memory.lock().clone();
        Remembered {
            told: Position(self.told.load(Ordering::SeqCst)),
            memory,
        }
    }

    /// The newest position told, and a generation that has it: everything told was compared with its beginning.
    pub(in crate::postgres) fn claim(&self) -> Claim {
        let ceiling = Position(self.told.load(Ordering::SeqCst));
        Claim {
            generation: self.told(ceiling),
            ceiling,
        }
    }
}

impl Remembered {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.told, self.memory.version) == (other.told, other.memory.version)
    }
}

impl Memory {
    /// Positions of events that are there, unless the tail is lost.
    pub(super) fn events(&self) -> Vec<i64> {
        let stored = self.writers.values().filter_map(|writer| writer.event);
        let events = self.read.iter().copied().chain(stored);
        events.map(|position| position.0.cast_signed()).collect()
    }

    /// Writers whose rows prove something.
    pub(super) fn writers(&self) -> Vec<i64> {
        let known = |(id, of): (&i64, &WriterMemory)| of.batch.map(|_| *id);
        self.writers.iter().filter_map(known).collect()
    }

    /// Whether the rows of the writers, by id, have the expected values.
    pub(super) fn agrees(&self, rows: &BTreeMap<i64, i64>) -> bool {
        self.writers
            .iter()
            .all(|(id, of)| match (of.batch, rows.get(id)) {
                (None, _) => true,
                (Some((batch, _)), Some(found)) => batch == *found || of.doubts.contains(found),
                (Some((_, at)), None) => at.elapsed() > ROW_KEPT,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(generation: i64) -> Life {
        Life {
            generation,
            started: None,
        }
    }

    #[test]
    fn what_was_read_in_a_generation_that_ended_is_not_used() {
        let node = Node::default();
        node.enter(1);
        assert!(node.saw(life(1), Position(7)));
        node.enter(2);
        assert!(!node.saw(life(1), Position(9)));
        assert_eq!(node.remembered().told, Position(9), "whoever compares sees it");
        assert!(!node.committed(life(1), 5, Answered::default()));
        assert_eq!(node.told(Position(3)), Generation(2));
        assert_eq!(node.remembered().told, Position(9));
    }

    #[test]
    fn a_writer_s_row_is_its_last_answer_or_what_is_in_doubt() {
        let node = Node::default();
        let agrees = |found: Option<i64>| {
            let rows = found.map(|batch| (5, batch)).into_iter().collect();
            node.remembered().memory.agrees(&rows)
        };
        let answered = |batch| Answered {
            batch: Some(batch),
            ..Answered::default()
        };
        node.commits(5, 10);
        assert!(agrees(None) && agrees(Some(3)), "nothing was answered yet");
        assert!(node.committed(life(0), 5, answered(10)));
        assert!(agrees(Some(10)) && !agrees(Some(3)) && !agrees(None));
        node.commits(5, 11);
        node.commits(5, 12);
        assert!(agrees(Some(10)) && agrees(Some(11)) && agrees(Some(12)) && !agrees(Some(13)));
        node.gave_up(5, 12);
        assert!(!agrees(Some(12)));
        for batch in 20..40 {
            node.commits(5, batch);
        }
        assert!(agrees(Some(13)), "too much is open to say anything");
    }

    #[test]
    fn only_the_last_events_that_were_read_are_remembered() {
        let node = Node::default();
        node.read((1..=READ_MAX as u64 + 5).map(Position));
        let answered = Answered {
            newest: Position(3 << 20),
            event: Position(3 << 20),
            batch: None,
        };
        assert!(node.committed(life(0), 5, answered));
        let remembered = node.remembered();
        assert_eq!(remembered.memory.events().len(), READ_MAX + 1);
        assert!(!remembered.memory.events().contains(&5));
        assert_eq!(remembered.told, Position((4 << 20) - 1));
    }
}
