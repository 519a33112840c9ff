//! Owns the settings of a pool, their limits, and the sentences that refuse them. Must never read a file or an
//! environment: a program with a configuration fills [`PoolSettings`].

use std::time::Duration;

/// Connections of one pool, at most.
pub const CONNECTIONS_MAX: u32 = 4096;

/// Threads that open connections, at most: more only queue up behind a database that is slow to answer.
pub const CONNECTORS_MAX: u32 = 16;

/// Connections that wait for the closing thread; beyond it the thread that gives one up closes it.
pub const CLOSING_MAX: usize = 64;

/// Expired connections that one turn of the housekeeper closes, so that a pool is never renewed all at once.
pub const RETIRED_PER_TURN_MAX: usize = 2;

/// Connections opened beyond [`PoolSettings::max`], for as long as it takes to replace an expiring one.
pub const REPLACEMENTS_MAX: u32 = 1;

/// The first pause after a failed attempt to connect.
pub const RETRY_FIRST: Duration = Duration::from_millis(10);

/// The longest pause after a failed attempt to connect, unless [`PoolSettings::retry_longest`] says otherwise.
pub const RETRY_LONGEST: Duration = Duration::from_secs(5);

/// The part of a connection's lifetime that is chosen at random, in thousandths.
pub const LIFETIME_JITTER_PER_MILLE: u32 = 25;

/// The part of the time between two keepalives that is chosen at random, in thousandths.
pub const KEEPALIVE_JITTER_PER_MILLE: u32 = 100;

/// How far two clocks may disagree, or a turn of the housekeeper be late, before every connection is suspected.
pub const CLOCK_LEAP: Duration = Duration::from_secs(30);

/// The settings of a pool. The defaults suit a database across a network; `SQLite` wants
/// [`max_lifetime`](Self::max_lifetime), [`idle_timeout`](Self::idle_timeout) and [`keepalive`](Self::keepalive) off.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PoolSettings {
    /// The name of this pool in messages and of its threads. 1 to 32 bytes; "pool" by default.
    pub name: String,
    /// Connections open at once. 1 to [`CONNECTIONS_MAX`]; 10 by default.
    pub max: u32,
    /// Connections kept open and idle for the next callers, at most `max`. `None`, the default, is as many as
    /// `max`: a pool of fixed size.
    pub min_idle: Option<u32>,
    /// How long [`Pool::get`](super::Pool::get) waits. More than zero; 5 s by default.
    pub acquire_timeout: Duration,
    /// Callers that may wait at once; the next is refused. At least 1; 4096 by default.
    pub waiting_max: u32,
    /// Connections beyond `min_idle` are closed when they were unused for this long. Has no effect in a pool of fixed
    /// size. At least 1 s; 10 minutes by default.
    pub idle_timeout: Option<Duration>,
    /// A connection is closed at this age, less up to 2.5 % at random; never while it is leased. At least 1 s; 30
    /// minutes by default. Choose less than the limit of any device between the pool and the database.
    pub max_lifetime: Option<Duration>,
    /// The interval of tests of idle connections, less up to 10 % at random, so that no device on the way forgets them.
    /// At least 1 s, less than `max_lifetime`; 2 minutes by default.
    pub keepalive: Option<Duration>,
    /// A connection that has been idle for this long is tested before it is handed out. Zero tests every idle
    /// connection; 500 ms by default.
    pub validate_after_idle: Duration,
    /// Threads that open connections. 1 to [`CONNECTORS_MAX`]; 2 by default.
    pub connectors: u32,
    /// The longest pause after a failed attempt to connect, and so the longest time until the pool notices that a
    /// database is back. At least [`RETRY_FIRST`]; [`RETRY_LONGEST`] by default.
    pub retry_longest: Duration,
    /// A lease that is held for longer is reported, with the place that took it. More than zero; 60 s by default.
    pub leak_after: Option<Duration>,
    /// The interval at which the housekeeper checks ages and leases. 10 ms to 1 h; 10 s by default.
    pub housekeeping: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            name: "pool".to_owned(),
            max: 10,
            min_idle: None,
            acquire_timeout: Duration::from_secs(5),
            waiting_max: 4096,
            idle_timeout: Some(Duration::from_secs(600)),
            max_lifetime: Some(Duration::from_secs(1800)),
            keepalive: Some(Duration::from_secs(120)),
            validate_after_idle: Duration::from_millis(500),
            connectors: 2,
            retry_longest: RETRY_LONGEST,
            leak_after: Some(Duration::from_secs(60)),
            housekeeping: Duration::from_secs(10),
        }
    }
}

/// A setting that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{setting} {rule}, not {value}")]
pub struct SettingsError {
    /// The name of the field.
    pub setting: &'static str,
    /// The permitted values.
    pub rule: &'static str,
    /// The given value.
    pub value: String,
}

/// The shortest time that an age can be limited to.
const AGE_MIN: Duration = Duration::from_secs(1);

impl PoolSettings {
    /// Settings for a file or memory that is always there: connections do not age.
    #[must_use]
    pub fn ageless() -> Self {
        Self {
            idle_timeout: None,
            max_lifetime: None,
            keepalive: None,
            validate_after_idle: Duration::MAX,
            ..Self::default()
        }
    }

    /// Returns the first setting that is wrong.
    ///
    /// # Errors
    /// A value is outside of the range that its field names.
    pub fn check(&self) -> Result<(), SettingsError> {
        let between = |setting, value: u32, least, most, rule| {
            let fits = (least..=most).contains(&value);
            fits.then_some(()).ok_or_else(|| refused(setting, rule, value))
        };
        let name_fits = (1..=32).contains(&self.name.len());
        if !name_fits || self.name.contains('\0') {
            return Err(refused(
                "name",
                "must have 1 to 32 bytes, none of them 0",
                &self.name,
            ));
        }
        between("max", self.max, 1, CONNECTIONS_MAX, "must be 1 to 4096")?;
        let min_idle = self.min_idle.unwrap_or(0);
        between("min_idle", min_idle, 0, self.max, "must be at most max")?;
        between("waiting_max", self.waiting_max, 1, u32::MAX, "must be at least 1")?;
        between(
            "connectors",
            self.connectors,
            1,
            CONNECTORS_MAX,
            "must be 1 to 16",
        )?;
        let durations = [
            (
                "acquire_timeout",
                Some(self.acquire_timeout),
                Duration::from_nanos(1),
                "must be more than zero",
            ),
            (
                "leak_after",
                self.leak_after,
                Duration::from_nanos(1),
                "must be more than zero",
            ),
            (
                "retry_longest",
                Some(self.retry_longest),
                RETRY_FIRST,
                "must be at least 10 ms",
            ),
            ("idle_timeout", self.idle_timeout, AGE_MIN, "must be at least 1 s"),
            ("max_lifetime", self.max_lifetime, AGE_MIN, "must be at least 1 s"),
            ("keepalive", self.keepalive, AGE_MIN, "must be at least 1 s"),
            (
                "housekeeping",
                Some(self.housekeeping),
                Duration::from_millis(10),
                "must be 10 ms to 1 h",
            ),
        ];
        for (setting, value, least, rule) in durations {
            if let Some(short) = value.filter(|value| *value < least) {
                return Err(refused(setting, rule, format!("{short:?}")));
            }
        }
        if self.housekeeping > Duration::from_secs(3600) {
            let value = format!("{:?}", self.housekeeping);
            return Err(refused("housekeeping", "must be 10 ms to 1 h", value));
        }
        if let (Some(keepalive), Some(lifetime)) = (self.keepalive, self.max_lifetime)
            && keepalive >= lifetime
        {
            return Err(refused(
                "keepalive",
                "must be less than max_lifetime",
                format!("{keepalive:?}"),
            ));
        }
        Ok(())
    }
}

fn refused(setting: &'static str, rule: &'static str, value: impl ToString) -> SettingsError {
    let value = value.to_string();
    SettingsError { setting, rule, value }
}

#[cfg(test)]
#[cfg(not(pool_models))]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_be_used() {
        assert_eq!(PoolSettings::default().check(), Ok(()));
        assert_eq!(PoolSettings::ageless().check(), Ok(()));
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_name() {
        type Change = fn(&mut PoolSettings);
        let second = Duration::from_secs(1);
        assert!(
            PoolSettings {
                keepalive: Some(second),
                ..PoolSettings::default()
            }
            .check()
            .is_ok()
        );
        let table: [(Change, &str); 14] = [
            (
                |s| s.name.clear(),
                "name must have 1 to 32 bytes, none of them 0, not ",
            ),
            (|s| s.max = 0, "max must be 1 to 4096, not 0"),
            (|s| s.max = 4097, "max must be 1 to 4096, not 4097"),
            (|s| s.min_idle = Some(11), "min_idle must be at most max, not 11"),
            (|s| s.waiting_max = 0, "waiting_max must be at least 1, not 0"),
            (|s| s.connectors = 17, "connectors must be 1 to 16, not 17"),
            (
                |s| s.acquire_timeout = Duration::ZERO,
                "acquire_timeout must be more than zero, not 0ns",
            ),
            (
                |s| s.retry_longest = Duration::ZERO,
                "retry_longest must be at least 10 ms, not 0ns",
            ),
            (
                |s| s.leak_after = Some(Duration::ZERO),
                "leak_after must be more than zero, not 0ns",
            ),
            (
                |s| s.idle_timeout = Some(Duration::from_millis(1)),
                "idle_timeout must be at least 1 s, not 1ms",
            ),
            (
                |s| s.max_lifetime = Some(Duration::ZERO),
                "max_lifetime must be at least 1 s, not 0ns",
            ),
            (
                |s| s.housekeeping = Duration::ZERO,
                "housekeeping must be 10 ms to 1 h, not 0ns",
            ),
            (
                |s| s.housekeeping = Duration::MAX,
                "housekeeping must be 10 ms to 1 h, not 18446744073709551615.999999999s",
            ),
            (
                |s| s.keepalive = s.max_lifetime,
                "keepalive must be less than max_lifetime, not 1800s",
            ),
        ];
        for (change, message) in table {
            let mut settings = PoolSettings::default();
            change(&mut settings);
            let refused = settings.check().map_err(|error| error.to_string());
            assert_eq!(refused, Err(message.to_owned()));
        }
    }
}
