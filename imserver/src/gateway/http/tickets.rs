//! Tickets for streams of events: a page shows one in a URL, where a session's token must never stand. Each is good once,
//! for a short time, in the process that gave it: no other knows whether it was used.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

use parking_lot::Mutex;
use storage::{Timestamp, TokenHash};

use crate::token::{self, RandomError, Tokens};

/// How long a ticket is good. Milliseconds.
const GOOD_FOR_MS: u64 = 30_000;
/// Tickets that were used and would still be good, at most. Beyond these none is redeemed.
const USED_MAX: usize = 65_536;

/// The tickets of this process.
#[derive(Debug)]
pub(crate) struct Tickets {
    /// Names the process.
    process: u64,
    /// Those that were used up, with the time until which they would have been good.
    used: Mutex<HashMap<u64, u64>>,
}

impl Default for Tickets {
    fn default() -> Self {
        Self {
            process: RandomState::new().hash_one("tickets"),
            used: Mutex::default(),
        }
    }
}

impl Tickets {
    /// A ticket that stands for this token: the token's hash, until when it is good, a random number, the process, signed.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub(super) fn issue(
        &self,
        tokens: &Tokens,
        owner: TokenHash,
        now: Timestamp,
    ) -> Result<Vec<u8>, RandomError> {
        let mut bytes = owner.0.to_vec();
        bytes.extend((now.0 + GOOD_FOR_MS).to_be_bytes());
        bytes.extend(token::random_u63()?.to_be_bytes());
        bytes.extend(self.process.to_be_bytes());
        tokens.sign_ticket(&mut bytes);
        Ok(bytes)
    }

    /// The token that a ticket stands for. From now on it stands for none.
    pub(super) fn redeem(&self, tokens: &Tokens, ticket: &[u8], now: Timestamp) -> Option<TokenHash> {
        let (hash, rest) = tokens.checked_ticket(ticket)?.split_first_chunk::<32>()?;
        let (numbers, []) = rest.as_chunks::<8>() else {
            return None;
        };
        let [until, number, process] = numbers else {
            return None;
        };
        let [until, number, process] = [until, number, process].map(|bytes| u64::from_be_bytes(*bytes));
        if process != self.process {
            return None;
        }
        // A clock that was set back makes no ticket live longer than it was to.
        if until < now.0 || until > now.0 + GOOD_FOR_MS {
            return None;
        }
        let mut used = self.used.lock();
        if used.len() >= USED_MAX {
            used.retain(|_, until| *until >= now.0);
        }
        if used.len() >= USED_MAX || used.insert(number, until).is_some() {
            return None;
        }
        Some(TokenHash(*hash))
    }
}

#[cfg(test)]
mod tests {
    use storage::{Timestamp, TokenHash};

    use super::{GOOD_FOR_MS, Tickets};
    use crate::token::tests::tokens;

    #[test]
    fn a_ticket_is_good_once_and_not_for_long() {
        let (tickets, tokens) = (Tickets::default(), tokens(7, 1).0);
        let owner = TokenHash([7; 32]);
        let issue = || tickets.issue(&tokens, owner, Timestamp(1_000)).expect("a ticket");
        let at = |ticket: &[u8], at| tickets.redeem(&tokens, ticket, Timestamp(at));
        let ticket = issue();
        assert_eq!(at(&ticket, 1_000), Some(owner));
        assert_eq!(at(&ticket, 1_001), None, "used");
        assert_eq!(at(&issue(), 1_000 + GOOD_FOR_MS), Some(owner));
        assert_eq!(at(&issue(), 1_001 + GOOD_FOR_MS), None, "too old");
        assert_eq!(at(&issue(), 999), None, "of the future");
        let of_another = Tickets::default().issue(&tokens, owner, Timestamp(1_000));
        assert_eq!(
            at(&of_another.expect("a ticket"), 1_000),
            None,
            "of another process"
        );
        let mut forged = issue();
        forged[40] ^= 1;
        assert_eq!(at(&forged, 1_000), None);
        assert_eq!(at(&tokens.sync_token(&storage::Snapshot::default()), 1_000), None);
    }
}
