//! A rate with a burst, in eight bytes: the generic cell rate algorithm (ITU-T I.371, annex A).

/// When an allowance would be full again, in microseconds of the caller's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    full_at_us: u64,
}

impl Rate {
    /// Takes `count` from the allowance, which grows by one in `each_us` up to `burst`.
    ///
    /// # Errors
    /// The allowance is used up; the value is the time in microseconds until it is enough again.
    pub(crate) fn take(&mut self, now_us: u64, each_us: u64, burst: u32, count: u32) -> Result<(), u64> {
        let span_us = each_us.saturating_mul(u64::from(burst.max(1)));
        let cost_us = each_us.saturating_mul(u64::from(count));
        let full_at = self.full_at_us.max(now_us).saturating_add(cost_us);
        let over_us = full_at.saturating_sub(now_us.saturating_add(span_us));
        if over_us > 0 {
            return Err(over_us);
        }
        self.full_at_us = full_at;
        Ok(())
    }

    /// Whether the allowance is full.
    pub(crate) const fn is_full(&self, now_us: u64) -> bool {
        self.full_at_us <= now_us
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
            assert_eq!(rate.take(0, 200_000, 10, 1), Ok(()));
        }
        assert_eq!(rate.take(0, 200_000, 10, 1), Err(200_000));
        assert_eq!(rate.take(199_999, 200_000, 10, 1), Err(1));
        assert_eq!(rate.take(200_000, 200_000, 10, 1), Ok(()));
        assert!(rate.take(200_000, 200_000, 10, 1).is_err());
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate(steps in proptest::collection::vec(0_u64..300_000, 1..200)) {
            let (per_second, burst) = (10_u64, 5);
            let mut rate = Rate::default();
            let (mut now, mut taken) = (0, 0_u64);
            for step in steps {
                now += step;
                taken += u64::from(rate.take(now, 1_000_000 / per_second, burst, 1).is_ok());
                prop_assert!(taken <= u64::from(burst) + now * per_second / 1_000_000);
            }
        }
    }
}
