//! Password hashing, on threads of its own: argon2id takes tens of milliseconds and 19 MiB by design, and
//! must never delay a message.
//!
//! Each thread has one block of memory, which it takes at its first password and uses for all. Those who wait are
//! served in turn by where they come from, so that a storm from one place leaves others their share; and whoever
//! could not be served in time is told so at once.
//!
//! An unknown user costs the same as a wrong password: both are verified against some hash.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use argon2::{
    Algorithm, Argon2, Block, Params, PasswordHash, Version,
    password_hash::{Ident, Output, ParamsString, Salt, SaltString},
};
use netcore::{PoolStats, SubmitError, Task, WorkerPool};
use parking_lot::Mutex;
use protocol::validate::canonical_password;

use crate::metrics::Metrics;

/// KiB of memory for one hash.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over it.
const PASSES: u32 = 2;
/// Lanes.
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
/// KiB that a stored hash may ask for.
const MEMORY_KIB_MAX: u32 = 256 * 1024;

/// In the place of a PHC string: no password is right.
pub(crate) const NO_PASSWORD: &str = "!";

/// What the password of an unknown user is verified against; it is nobody's.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdC4uLg$\
                       bm9ib2R5J3MgcGFzc3dvcmQgaGFzaGVzIHRvIHRoaXM";

/// How long a hash takes until one was measured.
const HASH_TIME_GUESSED: Duration = Duration::from_millis(50);

/// What became of a password.
#[derive(Debug)]
pub(crate) enum Hashed {
    /// The PHC string of a new one.
    Hash(String),
    /// It is the expected one.
    Matches,
    /// It is not, or the user is unknown.
    Differs,
    /// Hashing failed.
    Failed,
    /// Too many passwords wait; nothing was hashed. There may be time for it after so long.
    Busy(Duration),
}

/// A continuation; it runs on the hashing thread and must not block.
pub(crate) type Continue = Box<dyn FnOnce(Hashed) + Send>;

/// What to do with a password.
pub(crate) enum What {
    /// It is a new one.
    Hash,
    /// It should hash to this PHC string; `None` for an unknown user.
    Verify(Option<String>),
}

impl std::fmt::Debug for What {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Hash => "Hash",
            Self::Verify(_) => "Verify(…)",
        })
    }
}

/// A password to hash or verify.
pub(crate) struct HashJob {
    /// In clear text, as it came; never logged. It is hashed in its [canonical form](canonical_password).
    pub password: String,
    /// What to do with it.
    pub what: What,
    /// Where it comes from: sources are served in turn.
    pub source: u64,
    /// Whoever waits has gone by then.
    pub until: Instant,
    /// What then.
    pub then: Continue,
}

impl std::fmt::Debug for HashJob {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("HashJob").finish_non_exhaustive()
    }
}

/// How many wait, by source, and how long a hash takes.
#[derive(Debug)]
struct Line {
    threads: usize,
    waiting: Mutex<HashMap<u64, usize>>,
    hash_nanos: AtomicU64,
    metrics: Arc<Metrics>,
}

impl Line {
    fn hash_time(&self) -> Duration {
        Duration::from_nanos(self.hash_nanos.load(Ordering::Relaxed))
    }

    /// A moving average.
    fn measured(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let before = self.hash_nanos.load(Ordering::Relaxed);
        let now = before - before / 8 + took / 8;
        self.hash_nanos.store(now, Ordering::Relaxed);
    }

    /// How long a password of this source takes from now on: those before it are its source's, and of every other
    /// source as many at most.
    fn expected(&self, source: u64) -> Duration {
        let waiting = self.waiting.lock();
        let own = waiting.get(&source).copied().unwrap_or(0);
        let ahead: usize = waiting
            .iter()
            .map(|(other, count)| {
                if *other == source {
                    own
                } else {
                    (*count).min(own + 1)
                }
            })
            .sum();
        drop(waiting);
        // Those that are being hashed, and the password itself.
        let rounds = ahead.div_ceil(self.threads) + 2;
        self.hash_time() * u32::try_from(rounds).unwrap_or(u32::MAX)
    }

    /// There is no time for a password.
    fn busy(&self, wait: Duration) -> Hashed {
        self.metrics.tasks.passwords_refused.add_shared(1);
        Hashed::Busy(wait)
    }

    fn enter(&self, source: u64) {
        *self.waiting.lock().entry(source).or_default() += 1;
    }

    fn leave(&self, source: u64) {
        let mut waiting = self.waiting.lock();
        if let Some(count) = waiting.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&source);
            }
        }
    }
}

/// A job in the pool.
struct Waiting {
    number: u64,
    job: HashJob,
    line: Arc<Line>,
}

impl Task for Waiting {
    type Worker = Hashing;

    fn key(&self) -> u64 {
        self.number
    }

    fn group(&self) -> u64 {
        self.job.source
    }

    fn run(self, hashing: &mut Hashing) {
        self.line.leave(self.job.source);
        let began = Instant::now();
        let HashJob {
            password, what, then, ..
        } = self.job;
        if began > self.job.until {
            return then(self.line.busy(self.line.hash_time()));
        }
        let hashed = match what {
            What::Hash => hashing
                .hash(&canonical_password(&password))
                .map_or(Hashed::Failed, Hashed::Hash),
            What::Verify(expected) => {
                let expected = expected.filter(|expected| expected != NO_PASSWORD);
                let hash = expected.as_deref().unwrap_or(NOBODYS);
                let canonical = canonical_password(&password);
                // What was hashed before there was a canonical form was hashed as it came.
                let matches = hashing.verify(&canonical, hash)
                    || (canonical != password && hashing.verify(&password, hash));
                if matches && expected.is_some() {
                    Hashed::Matches
                } else {
                    Hashed::Differs
                }
            }
        };
        let took = began.elapsed();
        self.line.measured(took);
        self.line.metrics.tasks.password.record_time_shared(took);
        then(hashed);
    }
}

/// Where passwords are handed in. Cheap to clone.
#[derive(Clone)]
pub(crate) struct HasherHandle {
    pool: WorkerPool<Waiting>,
    line: Arc<Line>,
    numbers: Arc<AtomicU64>,
}

impl std::fmt::Debug for HasherHandle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("HasherHandle").finish_non_exhaustive()
    }
}

impl HasherHandle {
    /// The statistics of the hashing threads.
    pub(crate) fn stats(&self) -> PoolStats {
        self.pool.stats()
    }

    /// Queues a password; if too many wait for it to be served in time, continues at once with [`Hashed::Busy`]. Never
    /// blocks.
    pub(crate) fn submit(&self, job: HashJob) {
        let source = job.source;
        let expected = self.line.expected(source);
        if Instant::now() + expected > job.until {
            return (job.then)(self.line.busy(expected));
        }
        // Before it can begin, and leave.
        self.line.enter(source);
        let waiting = Waiting {
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            job,
            line: Arc::clone(&self.line),
        };
        if let Err(
            SubmitError::Full(waiting) | SubmitError::KeyFull(waiting) | SubmitError::Stopped(waiting),
        ) = self.pool.try_submit(waiting)
        {
            self.line.leave(source);
            (waiting.job.then)(self.line.busy(expected));
        }
    }
}

/// The hashing threads.
#[derive(Debug)]
pub(crate) struct Hasher {
    pool: WorkerPool<Waiting>,
}

impl Hasher {
    /// Starts `threads` of them, with room for `queue_max` waiting passwords, half of which may come from one source.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(
        threads: usize,
        queue_max: usize,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<(Self, HasherHandle)> {
        let pool = WorkerPool::builder()
            .threads(threads)
            .queue(queue_max)
            .per_group((queue_max / 2).max(1))
            .name("hasher")
            .start(|_| Hashing::default())
            .map_err(std::io::Error::other)?;
        let line = Line {
            threads: threads.max(1),
            waiting: Mutex::default(),
            hash_nanos: AtomicU64::new(HASH_TIME_GUESSED.as_nanos() as u64),
            metrics,
        };
        let handle = HasherHandle {
            pool: pool.clone(),
            line: Arc::new(line),
            numbers: Arc::default(),
        };
        Ok((Self { pool }, handle))
    }

    /// Ends: passwords that wait are not looked at, those being hashed are waited for.
    pub(crate) fn end(self) {
        for waiting in self.pool.abandon() {
            (waiting.job.then)(Hashed::Busy(Duration::ZERO));
        }
        self.pool.shutdown();
    }
}

/// What one thread hashes with.
#[derive(Default)]
pub(crate) struct Hashing {
    /// As large as the largest hash so far needed.
    memory: Vec<Block>,
}

impl std::fmt::Debug for Hashing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Hashing").finish_non_exhaustive()
    }
}

impl Hashing {
    /// A new password's PHC string; takes tens of milliseconds. `None` if the system fails.
    pub(crate) fn hash(&mut self, password: &str) -> Option<String> {
        let mut bytes = [0; SALT_BYTES];
        getrandom::fill(&mut bytes).ok()?;
        let salt = SaltString::encode_b64(&bytes).ok()?;
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).ok()?;
        let output = self.output(password, &bytes, &params, Params::DEFAULT_OUTPUT_LEN)?;
        let hash = PasswordHash {
            algorithm: Ident::new_unwrap("argon2id"),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params).ok()?,
            salt: Some(salt.as_salt()),
            hash: Some(output),
        };
        Some(hash.to_string())
    }

    /// Whether the password has this hash, a PHC string.
    pub(crate) fn verify(&mut self, password: &str, expected: &str) -> bool {
        let Some((params, salt, hash)) = parse(expected) else {
            log::error!("a stored password hash is not a PHC string of argon2id");
            return false;
        };
        let mut buffer = [0; Salt::MAX_LENGTH];
        let Ok(salt) = salt.decode_b64(&mut buffer) else {
            return false;
        };
        // The comparison takes the same time wherever they differ.
        self.output(password, salt, &params, hash.len()) == Some(hash)
    }

    fn output(&mut self, password: &str, salt: &[u8], params: &Params, bytes: usize) -> Option<Output> {
        if self.memory.len() < params.block_count() {
            self.memory.resize(params.block_count(), Block::default());
        }
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let output = Output::init_with(bytes, |output| {
            argon2
                .hash_password_into_with_memory(password.as_bytes(), salt, output, &mut self.memory)
                .map_err(Into::into)
        });
        output
            .map_err(|error| log::error!("a password could not be hashed: {error}"))
            .ok()
    }
}

fn parse(expected: &str) -> Option<(Params, Salt<'_>, Output)> {
    let hash = PasswordHash::new(expected).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let is_known = hash.algorithm.as_str() == "argon2id" && params.m_cost() <= MEMORY_KIB_MAX;
    if !is_known || hash.version != Some(Version::V0x13.into()) {
        return None;
    }
    Some((params, hash.salt?, hash.hash?))
}

#[cfg(test)]
#[path = "hashing_tests.rs"]
mod tests;
