//! A small generator of numbers for choosing moments and inputs. It must never be used where a secret is wanted.

/// Numbers that follow from a seed (the splitmix64 sequence, Steele et al., 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A seed that differs from run to run, or the one in the environment variable `name`, to repeat a run.
    ///
    /// # Panics
    /// The variable is no number.
    pub fn seed(name: &str) -> u64 {
        if let Ok(text) = std::env::var(name) {
            return text.parse().expect("a seed is a number");
        }
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(1, |since| since.as_nanos() as u64)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        number ^ (number >> 31)
    }

    /// The next number below `bound`, which is at least 1.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Fills a slice.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_sequence() {
        let (mut one, mut other) = (Random::new(7), Random::new(7));
        let mut bytes = [0; 13];
        one.fill(&mut bytes);
        assert_ne!(bytes, [0; 13]);
        other.next();
        other.next();
        assert_eq!(one.next(), other.next());
        assert!((0..100).all(|_| one.below(3) < 3));
    }
}
