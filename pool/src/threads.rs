//! Owns the pool's threads: those that connect, one that tests, one that closes, and the housekeeper. Each asks the
//! state machine for work, does it without the lock, and reports. They sleep on condition variables alone, so all of
//! them end as soon as the pool is closed and their current calls have returned.

use super::ConnectError;
use super::settings::PoolSettings;
use super::shared::{Shared, close};
use super::state::{Check, CheckKind, NextConnect};
use r2d2::ManageConnection;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

type Main<M> = fn(&Shared<M>);

/// Starts all threads of a pool, or returns the reason; then the threads that were started end when the pool is closed.
pub(super) fn start<M>(shared: &Arc<Shared<M>>, settings: &PoolSettings) -> io::Result<Vec<JoinHandle<()>>>
where
    M: ManageConnection<Error: Send + Sync>,
{
    let connector: (&str, Main<M>) = ("connect", Shared::connect_until_closed);
    let others: [(&str, Main<M>); 3] = [
        ("check", Shared::check_until_closed),
        ("close", Shared::close_until_closed),
        ("keep", Shared::keep_until_closed),
    ];
    let connectors = (0..settings.connectors).map(|_| connector);
    let mut threads = Vec::new();
    for (role, main) in connectors.chain(others) {
        let theirs = Arc::clone(shared);
        shared.inner.lock().threads += 1;
        let run = move || {
            main(&theirs);
            theirs.inner.lock().threads -= 1;
            theirs.watchers.notify_all();
        };
        let started = thread::Builder::new()
            .name(format!("{}-{role}", settings.name))
            .spawn(run);
        threads.push(started.inspect_err(|_| shared.inner.lock().threads -= 1)?);
    }
    Ok(threads)
}

/// A random number of thousandths.
fn share() -> u32 {
    getrandom::u32().map_or(500, |random| random % 1001)
}

impl<M: ManageConnection> Shared<M> {
    pub(super) fn connect_until_closed(&self) {
        let mut inner = self.inner.lock();
        loop {
            match inner.state.next_connect(self.time.now()) {
                NextConnect::Stop => return,
                NextConnect::Wait(None) => self.connectors.wait(&mut inner),
                NextConnect::Wait(Some(until)) => {
                    let left = until.saturating_duration_since(self.time.now());
                    self.connectors.wait_for(&mut inner, left);
                }
                NextConnect::Start(attempt) => {
                    self.settle(inner);
                    let begun = self.time.now();
                    let connecting = AssertUnwindSafe(|| {
                        let mut connection = self.manager.connect()?;
                        self.policy.prepare(&mut connection)?;
                        Ok(connection)
                    });
                    let result = panic::catch_unwind(connecting);
                    // The policy classifies an error before the lock is taken.
                    let result = result.map(|connected| connected.map_err(|error| self.judged(error)));
                    let now = self.time.now();
                    inner = self.inner.lock();
                    match result {
                        Ok(Ok(connection)) => {
                            let took = now.saturating_duration_since(begun);
                            inner.state.connected(attempt, connection, share(), took, now);
                        }
                        Ok(Err(error)) => inner.state.connect_failed(Some(error), share(), now),
                        Err(_panic) => inner.state.connect_failed(None, share(), now),
                    }
                    self.settle(inner);
                    inner = self.inner.lock();
                }
            }
        }
    }

    fn judged(&self, error: M::Error) -> (Arc<M::Error>, bool) {
        let judging = AssertUnwindSafe(|| self.policy.connect_error(&error));
        let permanent = panic::catch_unwind(judging).is_ok_and(|judged| judged == ConnectError::Permanent);
        (Arc::new(error), permanent)
    }

    pub(super) fn check_until_closed(&self) {
        let mut inner = self.inner.lock();
        while !inner.state.closed() {
            let Some(mut check) = inner.state.next_check(self.time.now()) else {
                self.checker.wait(&mut inner);
                continue;
            };
            self.settle(inner);
            let begun = self.time.now();
            let passed = self.passes(&mut check);
            let now = self.time.now();
            let took = now.saturating_duration_since(begun);
            inner = self.inner.lock();
            inner.state.checked(check, passed, took, now);
            self.settle(inner);
            inner = self.inner.lock();
        }
    }

    fn passes(&self, check: &mut Check<M::Connection>) -> bool {
        let kind = check.kind;
        let connection = &mut check.conn.inner;
        let asking = AssertUnwindSafe(|| match kind {
            CheckKind::Validate => self.manager.is_valid(connection).is_ok(),
            CheckKind::Clean => self.policy.clean(connection).is_ok(),
        });
        panic::catch_unwind(asking).unwrap_or(false)
    }

    pub(super) fn close_until_closed(&self) {
        let mut inner = self.inner.lock();
        loop {
            match inner.state.next_close() {
                Ok(Some(connection)) => {
                    drop(inner);
                    close(connection);
                    inner = self.inner.lock();
                }
                Ok(None) => self.closer.wait(&mut inner),
                Err(_ended) => return,
            }
        }
    }

    fn keep_until_closed(&self) {
        loop {
            self.keep();
            let mut inner = self.inner.lock();
            if inner.state.closed() {
                return;
            }
            self.housekeeper.wait_for(&mut inner, self.housekeeping);
        }
    }

    /// One turn of the housekeeper.
    pub(super) fn keep(&self) {
        let wall = self.time.wall();
        self.tell(|state, now| state.tick(now, wall));
    }
}
