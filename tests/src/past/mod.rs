//! An executable model of the store's past: a log on PostgreSQL or SQLite, its nodes, two devices, and disasters.
//! `docs/RELIABILITY.md` has the design that it is of.
//!
//! It owns what each rule of that design is for: every rule can be left out, and the search then finds the shortest
//! history that breaks a promise. It must never link the product; what it proves, it proves of the design.
//!
//! A history is a word, one letter for each thing that happens. Device D stores a token at each heartbeat; device O
//! applies every push and keeps its first token: *old token, cursors ahead*.

pub mod postgres;
pub mod search;
pub mod sqlite;
#[cfg(test)]
mod tests;

use std::{fmt, hash::Hash};

/// A rule of the design.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rule {
    /// A word for it.
    pub name: &'static str,
    /// What it demands.
    pub says: &'static str,
}

/// Which rules hold: a bit for each of a world's.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Rules(u32);

impl Rules {
    /// All of them.
    pub const ALL: Self = Self(u32::MAX);

    /// These without the one at this index of [`World::RULES`].
    #[must_use]
    pub const fn without(self, index: usize) -> Self {
        Self(self.0 & !(1 << index))
    }

    const fn hold(self, index: usize) -> bool {
        self.0 & (1 << index) != 0
    }
}

/// Whether the promises could be judged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// They were kept.
    Kept,
    /// Something was lost, and nobody is left who remembers it: there is no difference to notice.
    BeyondDetection,
}

/// A broken promise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Broken(pub &'static str);

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

/// What the search explores.
pub trait World: Clone + Hash {
    /// Its rules.
    const RULES: &'static [Rule];
    /// What can happen, a letter each.
    const LETTERS: &'static [u8];

    /// Before anything happened.
    fn begin(rules: Rules) -> Self;

    /// Something happens.
    ///
    /// # Errors
    /// A promise is broken by it.
    fn step(&mut self, letter: u8) -> Result<(), Broken>;

    /// Everything heals, two heartbeats pass, and the promises are judged.
    ///
    /// # Errors
    /// One is broken.
    fn settle(self) -> Result<Verdict, Broken>;
}

/// A set of small numbers.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
struct Set(u128);

impl Set {
    const fn below(end: u8) -> Self {
        assert!(end < 128, "histories are too short for such numbers");
        Self((1 << end) - 1)
    }

    const fn up_to(last: u8) -> Self {
        Self::below(last + 1)
    }

    const fn has(self, number: u8) -> bool {
        self.0 & (1 << number) != 0
    }

    const fn add(&mut self, number: u8) {
        assert!(number < 128, "histories are too short for such numbers");
        self.0 |= 1 << number;
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn max(self) -> u8 {
        if self.0 == 0 {
            0
        } else {
            127 - self.0.leading_zeros() as u8
        }
    }
}

impl FromIterator<u8> for Set {
    fn from_iter<I: IntoIterator<Item = u8>>(numbers: I) -> Self {
        let mut set = Self::default();
        numbers.into_iter().for_each(|number| set.add(number));
        set
    }
}

/// An acknowledgement.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Promise {
    epoch: u8,
    seq: u8,
    id: u8,
}

/// A device with a copy of the log.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Device<T> {
    /// It keeps its first token of an epoch.
    lags: bool,
    epoch: u8,
    /// It has what comes after this seq.
    base: u8,
    /// The ids that it applied.
    have: Vec<u8>,
    token: Option<T>,
    /// The start of the node that its connection is to; another one means that it must come back.
    connection: u8,
}

impl<T> Device<T> {
    const fn new(lags: bool) -> Self {
        Self {
            lags,
            epoch: 0,
            base: 0,
            have: Vec::new(),
            token: None,
            connection: u8::MAX,
        }
    }

    fn cursor(&self) -> u8 {
        self.base + self.have.len() as u8
    }

    /// Applies what the log has after its cursor.
    fn pull(&mut self, log: &[u8]) {
        let rest = log.get(usize::from(self.cursor())..).unwrap_or_default();
        self.have.extend_from_slice(rest);
    }

    /// Takes a push: what continues is applied, what lies behind is ignored, and a gap is pulled.
    fn push(&mut self, seq: u8, id: u8, log: &[u8]) {
        let cursor = self.cursor();
        if seq == cursor + 1 {
            self.have.push(id);
        } else if seq > cursor + 1 {
            self.pull(log);
        }
    }

    /// Starts over in `epoch`, at the beginning or at the head.
    fn start_over(&mut self, epoch: u8, log: &[u8], from_beginning: bool) {
        self.epoch = epoch;
        self.have.clear();
        self.base = if from_beginning { 0 } else { log.len() as u8 };
        self.pull(log);
    }

    /// Whether it ends with the log.
    fn judge(&self, log: &[u8]) -> Result<(), Broken> {
        let from = usize::from(self.base);
        if from > 0 {
            return Err(Broken("G5: acknowledged in this epoch, never shown on a device"));
        }
        if self.have.len() > log.len() {
            return Err(Broken("G9: a device has more than the log"));
        }
        if self.have != log {
            return Err(Broken("G5: in the log, never shown on a device"));
        }
        Ok(())
    }
}

/// Acknowledged in this epoch and not where it was said to be.
fn lost(promised: &[Promise], epoch: u8, log: &[u8]) -> Set {
    let here = |promise: &&Promise| promise.epoch == epoch;
    let missing = |promise: &&Promise| log.get(usize::from(promise.seq).wrapping_sub(1)) != Some(&promise.id);
    promised
        .iter()
        .filter(here)
        .filter(missing)
        .map(|promise| promise.id)
        .collect()
}

/// The promises about the log itself.
fn judge_log(promised: &[Promise], epoch: u8, log: &[u8]) -> Result<(), Broken> {
    let ids: Set = log.iter().copied().collect();
    if ids.0.count_ones() as usize != log.len() {
        return Err(Broken("G2: twice in the log"));
    }
    if !lost(promised, epoch, log).is_empty() {
        return Err(Broken("G1: acknowledged in this epoch, not in the log"));
    }
    Ok(())
}
