//! Owns the arithmetic of repeated measurements. Must never hide how far they lie apart.

use serde::Serialize;

/// The middle of some measurements, and the extremes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The smallest.
    pub min: f64,
    /// The one in the middle, or the mean of the two in the middle.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Summary {
    /// Summarises `values`; `None` if there are none or one is not a number.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.iter().any(|value| value.is_nan()) {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let lower = if sorted.len().is_multiple_of(2) {
            *sorted.get(middle - 1)?
        } else {
            upper
        };
        Some(Self {
            min,
            median: f64::midpoint(lower, upper),
            max,
        })
    }

    /// Summarises the quotients of measurements that were taken in the same round.
    #[must_use]
    pub fn of_ratios(values: &[f64], references: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = values
            .iter()
            .zip(references)
            .map(|(value, reference)| value / reference)
            .collect();
        Self::of(&ratios)
    }
}

/// A median and the extremes behind it, as a table shows them.
#[must_use]
pub fn show(summary: Option<Summary>, digits: usize) -> String {
    summary.map_or_else(
        || "-".to_owned(),
        |Summary { min, median, max }| format!("{median:.digits$} ({min:.digits$}..{max:.digits$})"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        let odd = Summary::of(&[5.0, 1.0, 2.0]).expect("values");
        assert_eq!((odd.min, odd.median, odd.max), (1.0, 2.0, 5.0));
        let even = Summary::of(&[4.0, 1.0, 100.0, 2.0]).expect("values");
        assert_eq!((even.min, even.median, even.max), (1.0, 3.0, 100.0));
        let one = Summary::of(&[7.0]).expect("a value");
        assert_eq!((one.min, one.median, one.max), (7.0, 7.0, 7.0));
    }

    #[test]
    fn nothing_has_no_median() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn the_extremes_are_shown() {
        assert_eq!(show(Summary::of(&[1.0, 2.126, 3.5]), 2), "2.13 (1.00..3.50)");
        assert_eq!(show(None, 2), "-");
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // A machine that slowed down meanwhile slowed both.
        let ratio = Summary::of_ratios(&[2.0, 4.0, 12.0], &[1.0, 2.0, 4.0]).expect("values");
        assert_eq!((ratio.min, ratio.median, ratio.max), (2.0, 2.0, 3.0));
    }
}
