//! A rate with a burst, in eight bytes: the generic cell rate algorithm (ITU-T I.371, annex A).

/// When the allowance of a session would be full again, in microseconds of the caller's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    full_at_us: u64,
}

impl Rate {
    /// Takes one from the allowance.
    ///
    /// # Errors
    /// It is used up; in so many microseconds there is one again.
    pub fn take(&mut self, now_us: u64, per_second: u32, burst: u32) -> Result<(), u64> {
        let each_us = 1_000_000 / u64::from(per_second.max(1));
        let span_us = each_us.saturating_mul(u64::from(burst.max(1)));
        let full_at = self.full_at_us.max(now_us).saturating_add(each_us);
        let over_us = full_at.saturating_sub(now_us.saturating_add(span_us));
        if over_us > 0 {
            return Err(over_us);
        }
        self.full_at_us = full_at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut rate = Rate::default();
        for _ in 0..10 {
            assert_eq!(rate.take(0, 5, 10), Ok(()));
        }
        assert_eq!(rate.take(0, 5, 10), Err(200_000));
        assert_eq!(rate.take(199_999, 5, 10), Err(1));
        assert_eq!(rate.take(200_000, 5, 10), Ok(()));
        assert!(rate.take(200_000, 5, 10).is_err());
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate(steps in proptest::collection::vec(0_u64..300_000, 1..200)) {
            let (per_second, burst) = (10, 5);
            let mut rate = Rate::default();
            let (mut now, mut taken) = (0, 0_u64);
            for step in steps {
                now += step;
                taken += u64::from(rate.take(now, per_second, burst).is_ok());
                prop_assert!(taken <= u64::from(burst) + now * u64::from(per_second) / 1_000_000);
            }
        }
    }
}
