//! Which crash images a power cut at a flush can leave: every prefix of the unflushed writes, every single loss, every
//! single survival, and seeded subsets.

use std::collections::BTreeSet;

use ::tests::random::Random;

/// Seeded subsets of each flush.
pub const SUBSETS: usize = 200;

/// Sets of unflushed writes that survive, each once.
pub fn survivors(units: &[u64], subsets: usize, random: &mut Random) -> BTreeSet<BTreeSet<u64>> {
    let mut sets = BTreeSet::new();
    for end in 0..=units.len() {
        sets.insert(units[..end].iter().copied().collect());
    }
    for one in units {
        sets.insert(units.iter().copied().filter(|unit| unit != one).collect());
        sets.insert(BTreeSet::from([*one]));
    }
    for _ in 0..subsets {
        // From almost nothing to almost everything.
        let share = 1 + random.below(15);
        sets.insert(
            units
                .iter()
                .copied()
                .filter(|_| random.below(16) < share)
                .collect(),
        );
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_losses_and_survivals_are_all_there() {
        let sets = survivors(&[1, 2, 3], 0, &mut Random::new(1));
        let expected: BTreeSet<BTreeSet<u64>> = [
            vec![],
            vec![1],
            vec![2],
            vec![3],
            vec![1, 2],
            vec![1, 3],
            vec![2, 3],
            vec![1, 2, 3],
        ]
        .into_iter()
        .map(|set| set.into_iter().collect())
        .collect();
        assert_eq!(sets, expected);
        assert!(survivors(&(0..40).collect::<Vec<_>>(), SUBSETS, &mut Random::new(1)).len() > SUBSETS);
    }
}
