//! The identity of the past: its words, as stores and their callers share them. `docs/RELIABILITY.md` has the design.
//!
//! It owns no decision of a store. A store decides what its past is; this says how it is named and asked about.

use std::fmt;

use crate::types::{Position, Timestamp};

/// A stretch of one past during which nothing can have happened behind the store's back: one start of the SQLite
/// writer, one start of the PostgreSQL server. Random, 63 bits, never 0.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Generation(pub u64);

/// What a token says that its bearer was told: everything in a set of commits that ends at `ceiling`, in a generation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Claim {
    /// In which generation the set was read.
    pub generation: Generation,
    /// The newest position that may be in the set.
    pub ceiling: Position,
}

/// What a claim, whose signature was checked, says about the store's past.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Testimony {
    /// The past has all of it.
    Known,
    /// The past lacks that generation, or the generation ended before the claim does, or the claim is above the
    /// store's present horizon: acknowledged commits were lost, and nothing else noticed.
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

/// A store's past, for people.
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
    /// What an operator should know or do, a sentence each. Empty when all is well.
    pub remarks: Vec<String>,
}

/// One generation, for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GenerationReport {
    /// Which.
    pub generation: Generation,
    /// The log id of the past it belongs to.
    pub log_id: u64,
    /// The newest position when it began.
    pub begins: Position,
    /// The newest position when the next one of the same past began; `None` for the present one, and for the last of
    /// an earlier past.
    pub ends: Option<Position>,
    /// When it began, by the clock of whoever began it.
    pub at: Timestamp,
    /// Why it, or the past that it is the first of, began.
    pub why: String,
}
