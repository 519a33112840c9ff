//! How often passwords may be tried: from one address, and for one account from anywhere. All nodes that share a
//! Redis count together; a node without one, or that cannot reach it, counts by itself.
//!
//! It owns the names of the rates. It must never be asked on a loop, because it may wait for Redis, and never say
//! whether an account exists: every name is counted alike.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use protocol::{Refusal, v1::ErrorCode};
use storage::ephemeral::{Rate, RateLimits, Taken};

use crate::{config::Limits, session::network};

const MINUTE: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Clone)]
pub(crate) struct Attempts {
    rates: Arc<dyn RateLimits>,
    per_minute: Arc<PerMinute>,
}

/// How many passwords are allowed.
struct PerMinute {
    address: AtomicU32,
    account: AtomicU32,
}

impl std::fmt::Debug for Attempts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Attempts").finish_non_exhaustive()
    }
}

impl Attempts {
    /// With the rates of the configuration, counted by `rates`.
    pub(crate) fn new(rates: Arc<dyn RateLimits>, limits: &Limits) -> Self {
        Self {
            rates,
            per_minute: Arc::new(PerMinute {
                address: limits.passwords_per_address.into(),
                account: limits.passwords_per_account.into(),
            }),
        }
    }

    /// The rates of another configuration count from now on.
    pub(crate) fn reload(&self, limits: &Limits) {
        let PerMinute { address, account } = &*self.per_minute;
        address.store(limits.passwords_per_address, Ordering::Relaxed);
        account.store(limits.passwords_per_account, Ordering::Relaxed);
    }

    /// Counts a password from this address, for this account if it is to log in to one. Addresses that are exempt
    /// are `None`.
    ///
    /// # Errors
    /// There were too many lately. The refusal says when to try again.
    pub(crate) fn take(
        &self,
        from: Option<IpAddr>,
        account: Option<&str>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let Some(from) = from else { return Ok(()) };
        self.count(
            &format!("address:{}", network(from)),
            &self.per_minute.address,
            now,
        )?;
        match account {
            Some(account) => self.count(&format!("account:{account}"), &self.per_minute.account, now),
            None => Ok(()),
        }
    }

    fn count(&self, of: &str, per_minute: &AtomicU32, now: Instant) -> Result<(), Refusal> {
        let per_minute = per_minute.load(Ordering::Relaxed);
        if per_minute == 0 {
            return Ok(());
        }
        let rate = Rate {
            every: MINUTE / per_minute,
            burst: per_minute,
        };
        match self.rates.take(&format!("password:{of}"), rate, 1, now) {
            Taken::Allowed => Ok(()),
            Taken::Refused { retry_after } => {
                let wait = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
                let refusal = Refusal::new(ErrorCode::RateLimited, "too many passwords were tried");
                Err(refusal.with_retry_after_ms(wait.max(1)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use storage::ephemeral::{Limits as Kept, Memory};

    use super::*;

    fn attempts(per_address: u32, per_account: u32, now: Instant) -> Attempts {
        let limits = Limits {
            passwords_per_address: per_address,
            passwords_per_account: per_account,
            ..Limits::default()
        };
        Attempts::new(Arc::new(Memory::new(Kept::default(), now)), &limits)
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_address_has_a_minutes_worth_and_then_the_rate() {
        let now = Instant::now();
        let attempts = attempts(6, 0, now);
        for account in 0..6 {
            let account = account.to_string();
            assert!(attempts.take(ip("192.0.2.1"), Some(&account), now).is_ok());
        }
        let refusal = attempts.take(ip("192.0.2.1"), Some("other"), now).unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::RateLimited);
        assert_eq!(refusal.0.retry_after_ms, 10_000);
        assert!(
            attempts.take(ip("::ffff:192.0.2.1"), None, now).is_err(),
            "the same"
        );
        assert!(attempts.take(ip("192.0.2.2"), None, now).is_ok());
        let later = now + Duration::from_secs(10);
        assert!(attempts.take(ip("192.0.2.1"), None, later).is_ok());
        assert!(attempts.take(ip("192.0.2.1"), None, later).is_err());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let now = Instant::now();
        let attempts = attempts(1, 0, now);
        assert!(attempts.take(ip("2001:db8:1:2:3::1"), None, now).is_ok());
        assert!(attempts.take(ip("2001:db8:1:2:4::1"), None, now).is_err());
        assert!(attempts.take(ip("2001:db8:1:3::1"), None, now).is_ok());
    }

    #[test]
    fn an_account_is_guarded_from_many_addresses() {
        let now = Instant::now();
        let attempts = attempts(100, 2, now);
        assert!(attempts.take(ip("192.0.2.1"), Some("ann"), now).is_ok());
        assert!(attempts.take(ip("192.0.2.2"), Some("ann"), now).is_ok());
        assert!(attempts.take(ip("192.0.2.3"), Some("ann"), now).is_err());
        assert!(attempts.take(ip("192.0.2.3"), Some("bob"), now).is_ok());
    }

    #[test]
    fn other_rates_count_from_then_on() {
        let now = Instant::now();
        let attempts = attempts(1, 0, now);
        assert!(attempts.take(ip("192.0.2.1"), Some("ann"), now).is_ok());
        assert!(attempts.take(ip("192.0.2.1"), Some("ann"), now).is_err());
        attempts.reload(&Limits {
            passwords_per_address: 0,
            passwords_per_account: 1,
            ..Limits::default()
        });
        assert!(attempts.take(ip("192.0.2.1"), Some("ann"), now).is_ok());
        assert!(attempts.take(ip("192.0.2.1"), Some("ann"), now).is_err());
    }

    #[test]
    fn exempt_addresses_and_rates_of_zero_are_not_counted() {
        let now = Instant::now();
        let limited = attempts(1, 1, now);
        let unlimited = attempts(0, 0, now);
        for _ in 0..10 {
            assert!(limited.take(None, Some("ann"), now).is_ok());
            assert!(unlimited.take(ip("192.0.2.1"), Some("ann"), now).is_ok());
        }
    }
}
