//! What a user, or a connection that nobody has logged in on, may ask for in a time. A user's connections share it,
//! and closing them does not renew it. Must never be where the client can drop it.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering},
};

use parking_lot::Mutex;
use protocol::Command;
use storage::UserId;

use super::Rules;
use super::rate::Rate;

/// Parts of the table, each with a lock.
const SHARDS: usize = 64;
/// Entries of a part before those are thrown out that nobody uses and that are full again.
const SWEEP_LEAST: usize = 64;
const SECOND_US: u64 = 1_000_000;
const MINUTE_US: u64 = 60 * SECOND_US;

/// See the module.
#[derive(Debug, Default)]
pub struct Allowance {
    rates: Mutex<Rates>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    sends: Rate,
    requests: Rate,
    people: Rate,
}

impl Allowance {
    /// Takes one request of this kind.
    ///
    /// # Errors
    /// It is used up; in so many microseconds there is one again.
    pub fn take(&self, command: Command, now_us: u64, rules: &Rules) -> Result<(), u64> {
        let mut rates = self.rates.lock();
        match command {
            Command::Send => rates.sends.take(
                now_us,
                SECOND_US / u64::from(rules.sends_per_second.max(1)),
                rules.sends_burst,
                1,
            ),
            _ => rates.requests.take(
                now_us,
                SECOND_US / u64::from(rules.requests_per_second.max(1)),
                rules.requests_burst,
                1,
            ),
        }
    }

    /// Takes the naming of so many people for a group.
    ///
    /// # Errors
    /// See [`Allowance::take`].
    pub fn name(&self, people: usize, now_us: u64, rules: &Rules) -> Result<(), u64> {
        let each_us = MINUTE_US / u64::from(rules.people_per_minute.max(1));
        // More at once than can ever be saved cost all that can.
        let people = u32::try_from(people).unwrap_or(u32::MAX).min(rules.people_burst);
        self.rates
            .lock()
            .people
            .take(now_us, each_us, rules.people_burst, people)
    }

    fn is_full(&self, now_us: u64) -> bool {
        let rates = self.rates.lock();
        [rates.sends, rates.requests, rates.people]
            .iter()
            .all(|rate| rate.is_full(now_us))
    }
}

/// The allowances of those who are connected, and of those who were until theirs is full again.
#[derive(Debug)]
pub struct Allowances {
    shards: Vec<Mutex<HashMap<UserId, Arc<Allowance>>>>,
    sweep_at: Vec<AtomicUsize>,
}

impl Default for Allowances {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            sweep_at: (0..SHARDS).map(|_| AtomicUsize::new(SWEEP_LEAST)).collect(),
        }
    }
}

impl Allowances {
    /// A user's.
    pub fn of(&self, user: UserId, now_us: u64) -> Arc<Allowance> {
        let index = (user.0 % SHARDS as u64) as usize;
        let mut shard = self.shards[index].lock();
        if shard.len() >= self.sweep_at[index].load(Ordering::Relaxed) {
            shard.retain(|_, allowance| Arc::strong_count(allowance) > 1 || !allowance.is_full(now_us));
            self.sweep_at[index].store((2 * shard.len()).max(SWEEP_LEAST), Ordering::Relaxed);
        }
        Arc::clone(shard.entry(user).or_default())
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn rules() -> Rules {
        Rules {
            requests_per_second: 1,
            requests_burst: 3,
            people_per_minute: 60,
            people_burst: 100,
            ..Config::default().session_rules()
        }
    }

    #[test]
    fn connections_of_a_user_share_and_new_ones_start_with_what_is_left() {
        let allowances = Allowances::default();
        let first = allowances.of(UserId(7), 0);
        let second = allowances.of(UserId(7), 0);
        assert!(first.take(Command::Sync, 0, &rules()).is_ok());
        assert!(second.take(Command::Sync, 0, &rules()).is_ok());
        drop((first, second));
        let third = allowances.of(UserId(7), 0);
        assert!(third.take(Command::History, 0, &rules()).is_ok());
        assert!(third.take(Command::History, 0, &rules()).is_err());
        assert!(third.take(Command::Send, 0, &rules()).is_ok(), "another rate");
        assert!(
            allowances
                .of(UserId(8), 0)
                .take(Command::Sync, 0, &rules())
                .is_ok()
        );
    }

    #[test]
    fn people_cost_one_by_one_and_more_than_the_burst_all_of_it() {
        let allowance = Allowance::default();
        assert!(allowance.name(60, 0, &rules()).is_ok());
        assert_eq!(allowance.name(60, 0, &rules()), Err(20_000_000));
        assert!(allowance.name(60, 20_000_000, &rules()).is_ok());
        let rested = 1_000_000_000;
        assert!(allowance.name(1_000, rested, &rules()).is_ok());
        assert!(allowance.name(1, rested, &rules()).is_err());
    }

    #[test]
    fn only_what_is_not_full_is_remembered() {
        let allowances = Allowances::default();
        let used = allowances.of(UserId(1), 0);
        assert!(used.name(100, 0, &rules()).is_ok());
        drop(used);
        for user in 2..100_000 {
            let allowance = allowances.of(UserId(user), 0);
            assert!(allowance.take(Command::Sync, 0, &rules()).is_ok());
        }
        assert_eq!(allowances.len(), 99_999, "nobody's debt is forgotten");
        for user in 200_000..400_000 {
            allowances.of(UserId(user), 50_000_000);
        }
        assert!(
            allowances.len() <= 2 * SHARDS * SWEEP_LEAST,
            "{}",
            allowances.len()
        );
        assert!(
            allowances
                .of(UserId(1), 50_000_000)
                .name(60, 50_000_000, &rules())
                .is_err()
        );
    }
}
