//! What the workers and the hashers do. Their pools count it already; what is added here is rare or slow.

use netcore::PoolStats;

use super::{
    cell::{Distribution, Histogram, TIMES, Tally},
    exposition::Shown,
    table,
};

/// What workers and hashers count by themselves; any of their threads writes it.
#[derive(Debug)]
pub(crate) struct Tasks {
    /// Questions that the store did not answer.
    pub questions_failed: Tally,
    /// Passwords for which there was no time.
    pub passwords_refused: Tally,
    /// Hashing.
    pub password: Histogram,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            questions_failed: Tally::default(),
            passwords_refused: Tally::default(),
            password: Histogram::new(&TIMES),
        }
    }
}

/// Shows them with what their pools say.
pub(super) fn show(shown: &mut Shown, tasks: &Tasks, workers: &PoolStats, hashers: &PoolStats) {
    let outcomes = [
        ("done", workers.completed),
        ("refused", workers.refused),
        ("forgotten", workers.forgotten),
        ("dropped", workers.dropped),
        ("panicked", workers.panicked),
    ];
    let counts = outcomes.map(|(name, count)| (vec![name.to_owned()], count as f64));
    shown.numbers(&table::WORKER_TASKS, counts);
    shown.number(&table::WORKER_WAIT, workers.waited.as_secs_f64());
    shown.count(&table::WORKER_QUEUE, workers.queued as u64);
    shown.count(&table::WORKER_RUNNING, workers.running as u64);
    shown.count(&table::QUESTIONS_FAILED, tasks.questions_failed.get());
    shown.histogram(&table::PASSWORD, Distribution::of([&tasks.password]));
    shown.count(&table::PASSWORDS_REFUSED, tasks.passwords_refused.get());
    shown.count(&table::PASSWORD_QUEUE, hashers.queued as u64);
}
