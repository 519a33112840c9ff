//! The search for the shortest history that breaks a promise: through all states that histories of a length lead to,
//! and at random beyond.

use std::{
    collections::HashSet,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
};

use super::{Broken, Rules, Verdict, World};
use crate::random::Random;

/// The longest history that is tried at random.
const LENGTH_MAX: u64 = 16;

/// What a search found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The shortest history that breaks a promise, if any, and which.
    pub found: Option<(String, Broken)>,
    /// Different states that were judged.
    pub states: u64,
    /// Those of them in which something was lost that nobody remembers.
    pub beyond_detection: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some((history, broken)) => write!(formatter, "{history:<12} {broken}")?,
            None => formatter.write_str("no promise is broken")?,
        }
        write!(
            formatter,
            " ({} states, {} beyond detection)",
            self.states, self.beyond_detection
        )
    }
}

impl Report {
    /// Judges a world; `true` when a promise is broken.
    fn judge<W: World>(&mut self, world: &W, history: &[u8]) -> bool {
        self.states += 1;
        match world.clone().settle() {
            Ok(Verdict::Kept) => false,
            Ok(Verdict::BeyondDetection) => {
                self.beyond_detection += 1;
                false
            }
            Err(broken) => self.finds(history, broken),
        }
    }

    fn finds(&mut self, history: &[u8], broken: Broken) -> bool {
        self.found = Some((String::from_utf8_lossy(history).into_owned(), broken));
        true
    }
}

/// Every history of these letters up to a length. Histories that lead to the same state are followed once.
pub fn exhaust<W: World>(rules: Rules, letters: &[u8], length: usize) -> Report {
    let mut report = Report::default();
    let mut known = HashSet::new();
    let first = W::begin(rules);
    known.insert(fingerprint(&first));
    if report.judge(&first, &[]) {
        return report;
    }
    let mut level: Vec<Vec<u8>> = vec![Vec::new()];
    for depth in 1..=length {
        let mut next = Vec::new();
        for history in &level {
            let Ok(before) = replay::<W>(rules, history) else {
                continue;
            };
            for letter in letters {
                let mut world = before.clone();
                let stepped = world.step(*letter);
                let longer = || [history.as_slice(), &[*letter]].concat();
                if let Err(broken) = stepped {
                    report.finds(&longer(), broken);
                    return report;
                }
                if !known.insert(fingerprint(&world)) {
                    continue;
                }
                if report.judge(&world, &longer()) {
                    return report;
                }
                if depth < length {
                    next.push(longer());
                }
            }
        }
        level = next;
    }
    report
}

/// So many histories at random, of up to `LENGTH_MAX` letters; one that breaks a promise is shortened.
pub fn wander<W: World>(rules: Rules, letters: &[u8], seed: u64, rounds: u64) -> Report {
    let mut random = Random::new(seed);
    let mut report = Report::default();
    for _ in 0..rounds {
        let length = 5 + random.below(LENGTH_MAX - 4);
        let history: Vec<u8> = (0..length)
            .map(|_| letters[random.below(letters.len() as u64) as usize])
            .collect();
        if breaks(&mut report, &history, replay::<W>(rules, &history)) {
            shorten::<W>(&mut report, rules, history);
            return report;
        }
    }
    report
}

/// One history.
pub fn follow<W: World>(rules: Rules, history: &str) -> Report {
    let mut report = Report::default();
    let history = history.as_bytes();
    breaks(&mut report, history, replay::<W>(rules, history));
    report
}

fn breaks<W: World>(report: &mut Report, history: &[u8], world: Result<W, Broken>) -> bool {
    match world {
        Ok(world) => report.judge(&world, history),
        Err(broken) => {
            report.states += 1;
            report.finds(history, broken)
        }
    }
}

fn shorten<W: World>(report: &mut Report, rules: Rules, mut history: Vec<u8>) {
    let mut index = 0;
    while index < history.len() {
        let mut shorter = history.clone();
        shorter.remove(index);
        if breaks(report, &shorter, replay::<W>(rules, &shorter)) {
            history = shorter;
        } else {
            index += 1;
        }
    }
}

fn replay<W: World>(rules: Rules, history: &[u8]) -> Result<W, Broken> {
    let mut world = W::begin(rules);
    history.iter().try_for_each(|letter| world.step(*letter))?;
    Ok(world)
}

fn fingerprint(world: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}
