//! A running daemon as its observers see it: handles of its parts, from which a status is made. It must never wait for
//! any of them. It holds the lanes' handles, so it must be dropped before the lanes are joined.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use netcore::WorkerPool;
use storage::cached::ReadCache;

use crate::{
    gateway::Shared,
    metrics::{Elsewhere, Present, Shown},
    service::{HasherHandle, SharedStore, WorkerTask},
    status::{Phase, Status},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Observed {
    /// What the loops share.
    pub shared: Arc<Shared>,
    /// They answer questions.
    pub workers: WorkerPool<WorkerTask>,
    /// They hash passwords.
    pub hasher: HasherHandle,
    /// What everything is stored in.
    pub store: SharedStore,
    /// What is cached of it, where it is.
    pub caches: Option<Arc<ReadCache>>,
    /// The address of the admin listener, if there is one.
    pub admin_address: Option<String>,
    /// The addresses that are listened on.
    pub addresses: Vec<String>,
    /// Milliseconds since 1970.
    pub started_at_ms: u64,
    /// The same moment.
    pub started: Instant,
}

impl Observed {
    /// The status at this moment.
    pub(crate) fn status(&self) -> Status {
        let shared = &self.shared;
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: shared.config.server.node.clone(),
            process_id: std::process::id(),
            started_at_ms: self.started_at_ms,
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            phase: self.phase(),
            addresses: self.addresses.clone(),
            admin_address: self.admin_address.clone(),
            connections: shared.connections_present.load(Ordering::Relaxed) as u64,
            sessions: shared.routes.count() as u64,
            questions: self.workers.stats().into(),
            passwords: self.hasher.stats().into(),
            writes_waiting: shared.lane.waiting().map(|count| count as u64).collect(),
            store: (&self.store.status()).into(),
            redis: shared.cluster.status().as_ref().map(Into::into),
        }
    }

    /// All metrics at this moment.
    pub(crate) fn metrics(&self) -> Shown {
        let shared = &self.shared;
        shared.metrics.show(&Elsewhere {
            present: Present {
                connections: shared.connections_present.load(Ordering::Relaxed),
                sessions: shared.routes.count(),
            },
            writes_waiting: shared.lane.waiting().sum(),
            workers: self.workers.stats(),
            hashers: self.hasher.stats(),
            store: self.store.status(),
            caches: self
                .caches
                .iter()
                .flat_map(|caches| caches.statistics())
                .collect(),
            redis: shared.cluster.status(),
            started_at_ms: self.started_at_ms,
        })
    }

    /// What it does now.
    pub(crate) fn phase(&self) -> Phase {
        if self.store.fate().reason().is_some() {
            Phase::Failed
        } else if self.shared.draining.load(Ordering::Relaxed) {
            Phase::Draining
        } else {
            Phase::Serving
        }
    }
}
