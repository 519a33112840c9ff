//! Batches: how large, how long, and what became of them. Counted by the lanes.

use std::time::Duration;

use storage::CommitError;

use super::{
    cell::{Distribution, Histogram, SIZES, TIMES, Tally},
    exposition::Shown,
    table,
};

/// The batches of one lane, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Commits {
    committed: Tally,
    not_applied: Tally,
    unknown: Tally,
    fatal: Tally,
    time: Histogram,
    writes: Histogram,
    wait: Histogram,
}

impl Default for Commits {
    fn default() -> Self {
        Self {
            committed: Tally::default(),
            not_applied: Tally::default(),
            unknown: Tally::default(),
            fatal: Tally::default(),
            time: Histogram::new(&TIMES),
            writes: Histogram::new(&SIZES),
            wait: Histogram::new(&TIMES),
        }
    }
}

impl Commits {
    /// A batch of so many writes begins, after the first of them has waited for so long; `None` if none came from a
    /// queue.
    pub(crate) fn begins(&self, writes: usize, waited: Option<Duration>) {
        self.writes.record(writes as u64);
        if let Some(waited) = waited {
            self.wait.record_time(waited);
        }
    }

    /// A batch ended, after so long.
    pub(crate) fn ended<T>(&self, committed: &Result<T, CommitError>, took: Duration) {
        match committed {
            Ok(_) => {
                self.committed.add(1);
                self.time.record_time(took);
            }
            Err(CommitError::NotApplied { .. }) => self.not_applied.add(1),
            Err(CommitError::Unknown(_)) => self.unknown.add(1),
            Err(CommitError::Fatal(_)) => self.fatal.add(1),
        }
    }
}

/// Shows those of all lanes together, and the writes that wait for any.
pub(super) fn show<'a>(shown: &mut Shown, waiting: usize, lanes: impl Iterator<Item = &'a Commits> + Clone) {
    type Of = fn(&Commits) -> &Tally;
    let outcomes: [(&str, Of); 4] = [
        ("committed", |lane| &lane.committed),
        ("not_applied", |lane| &lane.not_applied),
        ("unknown", |lane| &lane.unknown),
        ("fatal", |lane| &lane.fatal),
    ];
    let counts = outcomes.map(|(name, of)| {
        let count: u64 = lanes.clone().map(|lane| of(lane).get()).sum();
        (vec![name.to_owned()], count as f64)
    });
    shown.numbers(&table::COMMITS, counts);
    shown.histogram(
        &table::COMMIT,
        Distribution::of(lanes.clone().map(|lane| &lane.time)),
    );
    shown.histogram(
        &table::COMMIT_WRITES,
        Distribution::of(lanes.clone().map(|lane| &lane.writes)),
    );
    shown.histogram(&table::LANE_WAIT, Distribution::of(lanes.map(|lane| &lane.wait)));
    shown.count(&table::LANE_QUEUE, waiting as u64);
}
