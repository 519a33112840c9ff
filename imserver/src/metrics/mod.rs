//! What the daemon counts, and how Prometheus reads it.
//!
//! Everything is counted where it happens, in a row of the thread that does it: its own memory, no lock, no allocation,
//! and no read of a clock for its sake alone except once a batch, a hand-over and a delivery. Reading adds the rows up.
//! One file has one subject; [`table`] has all metrics. It must never decide anything, and nothing may depend on it
//! being read.

mod cell;
mod commits;
mod connections;
mod delivery;
mod exposition;
mod loops;
mod pools;
mod presence;
mod process;
mod requests;
mod stores;
mod table;
mod tasks;
#[cfg(test)]
mod tests;

use netcore::PoolStats;
use storage::{Status, cached::CacheStatistics, ephemeral::LinkStatus};

pub(crate) use commits::Commits;
pub(crate) use connections::{Connections, Door, Present};
pub(crate) use delivery::Deliveries;
pub(crate) use exposition::{Format, Shown};
pub(crate) use loops::Turns;
pub(crate) use presence::OfPresence;
pub(crate) use requests::{Asked, Outcome, Requests};
pub(crate) use tasks::Tasks;

/// The rows of all threads. Shared by all; each thread writes its own.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Never empty.
    loops: Box<[OfLoop]>,
    /// Never empty.
    lanes: Box<[Commits]>,
    /// Of the workers and hashers, all together.
    pub tasks: Tasks,
    /// Of the thread of presence.
    pub presence: OfPresence,
}

/// The row of one loop, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct OfLoop {
    /// Its connections.
    pub connections: Connections,
    /// Its turns.
    pub turns: Turns,
    /// Its requests.
    pub requests: Requests,
    /// Its deliveries.
    pub deliveries: Deliveries,
}

/// What is known elsewhere, at the moment in which metrics are shown.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    /// Connections and sessions.
    pub present: Present,
    /// Writes that wait for a lane.
    pub writes_waiting: usize,
    /// The workers' pool.
    pub workers: PoolStats,
    /// The hashers' pool.
    pub hashers: PoolStats,
    /// The store.
    pub store: Status,
    /// The caches, by name.
    pub caches: Vec<(&'static str, CacheStatistics)>,
    /// The connections to Redis.
    pub redis: Option<LinkStatus>,
    /// Of the process, in milliseconds since 1970.
    pub started_at_ms: u64,
}

impl Metrics {
    /// Nothing counted yet, for so many loops and lanes.
    pub(crate) fn new(loops: usize, lanes: usize) -> Self {
        Self {
            loops: (0..loops.max(1)).map(|_| OfLoop::default()).collect(),
            lanes: (0..lanes.max(1)).map(|_| Commits::default()).collect(),
            tasks: Tasks::default(),
            presence: OfPresence::default(),
        }
    }

    /// The row of a loop, for that loop.
    #[inline]
    pub(crate) fn of_loop(&self, index: usize) -> &OfLoop {
        // There is a row for each; the first is never missing.
        self.loops.get(index).unwrap_or(&self.loops[0])
    }

    /// The row of a lane, for that lane.
    pub(crate) fn of_lane(&self, index: usize) -> &Commits {
        self.lanes.get(index).unwrap_or(&self.lanes[0])
    }

    /// All metrics, in the order of the table.
    pub(crate) fn show(&self, elsewhere: &Elsewhere) -> Shown {
        let mut shown = Shown::default();
        let Elsewhere { store, redis, .. } = elsewhere;
        let loops = self.loops.iter();
        let both = loops.clone().map(|row| (&row.connections, &row.turns));
        connections::show(&mut shown, elsewhere.present, both);
        loops::show(&mut shown, loops.clone().map(|row| &row.turns));
        requests::show(&mut shown, loops.clone().map(|row| &row.requests));
        delivery::show(&mut shown, loops.map(|row| &row.deliveries));
        presence::show(&mut shown, &self.presence);
        commits::show(&mut shown, elsewhere.writes_waiting, self.lanes.iter());
        tasks::show(&mut shown, &self.tasks, &elsewhere.workers, &elsewhere.hashers);
        stores::show(&mut shown, store, &elsewhere.caches, redis.as_ref());
        pools::show(&mut shown, store, redis.as_ref());
        let program = [env!("CARGO_PKG_VERSION"), stores::kind(store)].map(str::to_owned);
        shown.numbers(&table::BUILD, [(program.to_vec(), 1.0)]);
        process::show(&mut shown, elsewhere.started_at_ms);
        shown
    }
}
