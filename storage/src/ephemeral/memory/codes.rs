//! Verification codes. The hash is the same here and in Redis.

use std::time::Instant;

use sha2::{Digest, Sha256};

use super::expiring::Expiring;
use crate::ephemeral::contract::{Checked, Limits};

#[derive(Debug)]
pub(super) struct Issued(Expiring<String, Code>);

#[derive(Debug)]
struct Code {
    hash: [u8; 32],
    tries: u32,
}

/// The hash that is stored instead of a code. Each part is hashed with its length, so that the boundary between parts
/// counts.
pub(in crate::ephemeral) fn hash(limits: &Limits, purpose: &str, code: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [
        limits.code_secret.0.as_slice(),
        purpose.as_bytes(),
        code.as_bytes(),
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

impl Issued {
    pub(super) fn new(codes_max: usize) -> Self {
        Self(Expiring::new(codes_max))
    }

    pub(super) fn issue(&mut self, limits: &Limits, purpose: &str, code: &str, now: Instant) -> bool {
        // A code of another purpose must not be evicted for it.
        if self.0.is_full(&purpose.to_owned(), now) {
            return false;
        }
        let hash = hash(limits, purpose, code);
        let code = Code { hash, tries: 0 };
        self.0.put(purpose.to_owned(), code, now + limits.code_ttl, now);
        true
    }

    pub(super) fn check(&mut self, limits: &Limits, purpose: &str, code: &str, now: Instant) -> Checked {
        let key = purpose.to_owned();
        let Some(stored) = self.0.get(&key, now) else {
            return Checked::NoCode;
        };
        stored.tries += 1;
        let checked = if stored.hash == hash(limits, purpose, code) {
            Checked::Right
        } else {
            let left = limits.code_attempts_max.saturating_sub(stored.tries);
            Checked::Wrong { left }
        };
        if matches!(checked, Checked::Right | Checked::Wrong { left: 0 }) {
            self.0.remove(&key);
        }
        checked
    }
}
