//! Password hashing, on threads of its own: argon2id takes tens of milliseconds and 19 MiB by design, and
//! must never delay a message.
//!
//! An unknown user costs the same as a wrong password: both are verified against some hash.

use std::thread::JoinHandle;

use argon2::{
    Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version,
    password_hash::SaltString,
};
use crossbeam_channel::{Receiver, Sender, bounded};

/// KiB of memory for one hash.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over it.
const PASSES: u32 = 2;
/// Lanes.
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;

/// In the place of a PHC string: no password is right.
pub const NO_PASSWORD: &str = "!";

/// What became of a password.
#[derive(Debug)]
pub enum Hashed {
    /// The PHC string of a new one.
    Hash(String),
    /// It is the expected one.
    Matches,
    /// It is not, or the user is unknown.
    Differs,
    /// Hashing failed.
    Failed,
    /// Too many passwords wait; nothing was hashed.
    Busy,
}

/// A continuation; it runs on the hashing thread and must not block.
pub type Continue = Box<dyn FnOnce(Hashed) + Send>;

/// A password to hash or verify.
pub enum HashJob {
    /// A new password.
    Hash {
        /// In clear text; never logged.
        password: String,
        /// What then.
        then: Continue,
    },
    /// A password and what it should hash to.
    Verify {
        /// In clear text; never logged.
        password: String,
        /// A PHC string; `None` for an unknown user.
        expected: Option<String>,
        /// What then.
        then: Continue,
    },
}

impl std::fmt::Debug for HashJob {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Hash { .. } => "Hash",
            Self::Verify { .. } => "Verify",
        })
    }
}

/// Where passwords are handed in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HasherHandle {
    jobs: Sender<HashJob>,
}

impl HasherHandle {
    /// Queues a password; if too many wait, continues at once with [`Hashed::Busy`]. Never blocks.
    pub fn submit(&self, job: HashJob) {
        if let Err(refused) = self.jobs.try_send(job) {
            let (HashJob::Hash { then, .. } | HashJob::Verify { then, .. }) = refused.into_inner();
            then(Hashed::Busy);
        }
    }
}

/// The hashing threads.
#[derive(Debug)]
pub struct Hasher {
    threads: Vec<JoinHandle<()>>,
}

impl Hasher {
    /// Starts `threads` of them, with room for `queue_max` waiting passwords.
    ///
    /// # Errors
    /// The system gives no thread or no randomness.
    pub fn start(threads: usize, queue_max: usize) -> std::io::Result<(Self, HasherHandle)> {
        let (jobs, receiver) = bounded(queue_max);
        let dummy = hash("nobody's password").ok_or_else(|| std::io::Error::other("argon2 failed"))?;
        let threads = (0..threads)
            .map(|index| {
                let (receiver, dummy) = (receiver.clone(), dummy.clone());
                std::thread::Builder::new()
                    .name(format!("hasher-{index}"))
                    .spawn(move || run(&receiver, &dummy))
            })
            .collect::<Result<_, _>>()?;
        Ok((Self { threads }, HasherHandle { jobs }))
    }

    /// Waits until every handle is gone and everything queued is done.
    pub fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                log::error!("a hashing thread panicked");
            }
        }
    }
}

fn run(jobs: &Receiver<HashJob>, dummy: &str) {
    for job in jobs {
        match job {
            HashJob::Hash { password, then } => then(hash(&password).map_or(Hashed::Failed, Hashed::Hash)),
            HashJob::Verify {
                password,
                expected,
                then,
            } => {
                let expected = expected.filter(|expected| expected != NO_PASSWORD);
                let matches = verify(&password, expected.as_deref().unwrap_or(dummy));
                then(if matches && expected.is_some() {
                    Hashed::Matches
                } else {
                    Hashed::Differs
                });
            }
        }
    }
}

/// A new password's PHC string; takes tens of milliseconds. `None` if the system fails.
pub fn hash(password: &str) -> Option<String> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).ok()?;
    let salt = SaltString::encode_b64(&salt).ok()?;
    let argon2 = argon2()?;
    match argon2.hash_password(password.as_bytes(), &salt) {
        Ok(hash) => Some(hash.to_string()),
        Err(error) => {
            log::error!("a password could not be hashed: {error}");
            None
        }
    }
}

fn verify(password: &str, expected: &str) -> bool {
    let Ok(expected) = PasswordHash::new(expected) else {
        log::error!("a stored password hash is not a PHC string");
        return false;
    };
    argon2().is_some_and(|argon2| argon2.verify_password(password.as_bytes(), &expected).is_ok())
}

fn argon2() -> Option<Argon2<'static>> {
    Params::new(MEMORY_KIB, PASSES, LANES, None)
        .ok()
        .map(|params| Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_verifies_against_its_own_hash_only() {
        let hash = hash("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(verify("correct horse", &hash));
        assert!(!verify("correct horsf", &hash));
        assert!(!verify("correct horse", "not a hash"));
    }

    #[test]
    fn an_unknown_user_never_matches() {
        let (hasher, handle) = Hasher::start(1, 4).unwrap();
        let (sender, receiver) = bounded(1);
        let then = Box::new(move |hashed| sender.send(hashed).unwrap());
        handle.submit(HashJob::Verify {
            password: "nobody's password".into(),
            expected: None,
            then,
        });
        assert!(matches!(receiver.recv().unwrap(), Hashed::Differs));
        drop(handle);
        hasher.join();
    }
}
