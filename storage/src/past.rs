//! The vocabulary of a store's past, shared by stores and their callers. `docs/RELIABILITY.md` has the design.
//!
//! It owns no decision: a store decides what its past is.

use std::fmt;

use crate::types::{Position, Timestamp};

/// A part of one past during which nothing can have changed the store unnoticed: one start of the SQLite writer, one
/// start of the PostgreSQL server. Random, 63 bits, never 0.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Generation(pub u64);

/// What a token claims that its bearer was told: everything in a set of commits that ends at `ceiling`, in a
/// generation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Claim {
    /// The generation in which the set was read.
    pub generation: Generation,
    /// The newest position that may be in the set.
    pub ceiling: Position,
}

/// Whether a claim with a checked signature fits the store's past.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Testimony {
    /// The past has all of it.
    Known,
    /// The past lacks that generation, or the generation ended before the claim does, or the claim is above the store's
    /// present horizon: acknowledged commits were lost, and no other witness noticed.
    Witness,
}

/// The key that signs the tokens of one past. It leaves the store only to sign and to check.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct TokenKey(pub [u8; 32]);

impl fmt::Debug for TokenKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenKey(…)")
    }
}

/// A store's past, for an operator.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PastReport {
    /// The present epoch.
    pub epoch: u64,
    /// The present log id.
    pub log_id: u64,
    /// The newest position that the store has.
    pub horizon: Position,
    /// Oldest first, those of earlier pasts included.
    pub generations: Vec<GenerationReport>,
    /// Remarks for the operator, a sentence each. Empty if all is well.
    pub remarks: Vec<String>,
}

/// One generation, for an operator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GenerationReport {
    /// The generation.
    pub generation: Generation,
    /// The log id of the past it belongs to.
    pub log_id: u64,
    /// The newest position when it began.
    pub begins: Position,
    /// The newest position when the next one of the same past began; `None` for the present one, and for the last of an
    /// earlier past.
    pub ends: Option<Position>,
    /// When it began, by the clock of the process that began it.
    pub at: Timestamp,
    /// Why it began, or why its past began if it is the first of one.
    pub why: String,
}
