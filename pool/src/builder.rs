//! Owns the construction and the start of a pool, and the wait for its first connections. Must never leave threads
//! behind when that fails.

use super::clock::Time;
use super::shared::{FOREVER, Shared};
use super::sync::Mutex;
use super::{BuildError, Clock, GetError, Handle, Pool, PoolPolicy, PoolSettings, report, threads};
use r2d2::ManageConnection;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long [`PoolBuilder::build`] waits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Init {
    /// Not at all: connections are opened in the background.
    #[default]
    Lazy,
    /// For one connection, so that a wrong address or password is found at once.
    One {
        /// The longest wait.
        within: Duration,
    },
    /// Until all connections that are kept idle are open, and at least one.
    Full {
        /// The longest wait.
        within: Duration,
    },
}

/// Collects the parts of a pool.
pub struct PoolBuilder<M: ManageConnection> {
    manager: M,
    settings: PoolSettings,
    policy: Box<dyn PoolPolicy<M>>,
    time: Time,
    init: Init,
}

impl<M: ManageConnection> fmt::Debug for PoolBuilder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder")
            .field("settings", &self.settings)
            .field("time", &self.time)
            .field("init", &self.init)
            .finish_non_exhaustive()
    }
}

impl<M: ManageConnection<Error: Send + Sync>> PoolBuilder<M> {
    /// Replaces [`PoolSettings::default`].
    #[must_use]
    pub fn settings(mut self, settings: PoolSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Replaces the policy that changes nothing.
    #[must_use]
    pub fn policy(mut self, policy: impl PoolPolicy<M>) -> Self {
        self.policy = Box::new(policy);
        self
    }

    /// Replaces the system's clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.time = Time::Other(Arc::new(clock));
        self
    }

    /// Replaces [`Init::Lazy`].
    #[must_use]
    pub const fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// Starts the pool and its threads, and waits as [`Init`] says.
    ///
    /// # Errors
    /// A setting cannot be used, the system gives no thread, or the first connections were not there in time. In each
    /// case nothing of the pool is left, except calls of the manager that have not returned.
    pub fn build(self) -> Result<Pool<M>, BuildError<M::Error>> {
        self.settings.check()?;
        report::driver_timeouts(&self.settings, self.policy.driver_timeouts());
        let shared = Arc::new(Shared::new(&self.settings, self.manager, self.policy, self.time));
        // From here on, dropping the pool ends what has been started.
        let pool = Pool {
            handle: Arc::new(Handle {
                shared,
                threads: Mutex::new(Vec::new()),
            }),
        };
        let started = threads::start(&pool.handle.shared, &self.settings).map_err(BuildError::Thread)?;
        *pool.handle.threads.lock() = started;
        match self.init {
            Init::Lazy => {}
            Init::One { within } => pool.fill(1, within).map_err(BuildError::Connect)?,
            Init::Full { within } => {
                let count = self.settings.min_idle.unwrap_or(self.settings.max).max(1);
                pool.fill(count, within).map_err(BuildError::Connect)?;
            }
        }
        Ok(pool)
    }
}

impl<M: ManageConnection<Error: Send + Sync>> Pool<M> {
    /// Starts from the defaults.
    #[must_use]
    pub fn builder(manager: M) -> PoolBuilder<M> {
        PoolBuilder {
            manager,
            settings: PoolSettings::default(),
            policy: Box::new(()),
            time: Time::System,
            init: Init::Lazy,
        }
    }
}

impl<M: ManageConnection> Pool<M> {
    /// Waits until this many connections have been opened.
    fn fill(&self, count: u32, within: Duration) -> Result<(), GetError<M::Error>> {
        let shared = &self.handle.shared;
        let begun = Instant::now();
        let now = shared.time.now();
        let deadline = now.checked_add(within).unwrap_or(now + FOREVER);
        // A waiting caller makes even a pool that keeps nothing idle open a connection, and gets an error that is
        // permanent.
        drop(self.get_by(deadline)?);
        let mut inner = shared.inner.lock();
        loop {
            let at = inner.state.status();
            let waited = begun.elapsed();
            let left = within.saturating_sub(waited);
            if at.total >= count {
                return Ok(());
            }
            if left.is_zero() {
                let last = inner.state.last_error();
                return Err(GetError::Timeout { waited, at, last });
            }
            shared.watchers.wait_for(&mut inner, left);
        }
    }
}
