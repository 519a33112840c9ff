//! Owns the admission of connections: how many there are, how many of one source, and how fast they come. A plain table
//! of counts and times; must never see a socket, and must never hold more sources than its limit.

use crate::address::Source;
use crate::limits::SOURCES_REMEMBERED_MAX;
use crate::network::Network;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Limits on connections by source and rate. A *source* is an IPv4 address or a `/64` of IPv6. All are off by default.
///
/// A connection beyond `per_source` or `per_source_rate` is accepted and closed at once; the application does not hear
/// of it. Beyond `rate` nothing is accepted until there is room again: connections wait in the queue of the operating
/// system. Unix sockets and connections that we make have no source.
///
/// ```
/// use netcore::{Admission, Network};
///
/// let admission = Admission {
///     per_source: Some(100),
///     per_source_rate: Some(20),
///     rate: Some(5_000),
///     exempt: Network::loopback(),
/// };
/// # assert!(!admission.exempt.is_empty());
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Admission {
    /// Connections of one source at the same time.
    pub per_source: Option<usize>,
    /// Connections accepted of one source per second, on average; up to a second's worth may come at once.
    pub per_source_rate: Option<u32>,
    /// Connections accepted per second in all, on average; up to a tenth of a second's worth, but at least one,
    /// may come at once.
    pub rate: Option<u32>,
    /// Networks whose sources have no limits.
    pub exempt: Vec<Network>,
}

/// Why a connection was refused.
///
/// ```
/// use netcore::Refused;
///
/// /// What an operator should hear of: too little was planned for, and no client misbehaved.
/// fn is_shortage(why: Refused) -> bool {
///     matches!(why, Refused::Connections | Refused::Descriptors | Refused::LoopBusy)
/// }
/// assert!(is_shortage(Refused::Descriptors) && !is_shortage(Refused::PerSourceRate));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Refused {
    /// [`Handler::on_accept`](crate::Handler::on_accept) refused it.
    Application,
    /// There are as many connections as [`Limits::connections`](crate::Limits::connections) allows.
    Connections,
    /// There was no file descriptor for it.
    Descriptors,
    /// The server is draining.
    Draining,
    /// The loop that should own it did not keep up.
    LoopBusy,
    /// It comes from another user, and [`Listen::own_user_only`](crate::Listen::own_user_only) is set.
    OtherUser,
    /// Its source has as many connections as [`Admission::per_source`] allows.
    PerSource,
    /// Its source connects faster than [`Admission::per_source_rate`] allows.
    PerSourceRate,
}

/// The sources that are connected or were seen lately.
#[derive(Debug)]
pub(crate) struct Sources {
    limits: Admission,
    table: HashMap<Source, Record>,
    /// When the next connection may be accepted, by the generic cell rate algorithm (ITU-T I.371).
    accept_at: Option<Instant>,
    /// When the table was last searched for sources to forget.
    swept: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    connections: usize,
    /// The theoretical arrival time of the next connection at the allowed rate.
    arrival: Instant,
}

impl Sources {
    pub(crate) fn new(limits: Admission) -> Self {
        Self {
            limits,
            table: HashMap::new(),
            accept_at: None,
            swept: None,
        }
    }

    /// Other limits from now on. What was counted stays counted.
    pub(crate) fn set_limits(&mut self, limits: Admission) {
        self.limits = limits;
    }

    /// Whether connections have to be counted by source at all.
    pub(crate) const fn is_counting(&self) -> bool {
        self.limits.per_source.is_some() || self.limits.per_source_rate.is_some()
    }

    /// Counts a connection of this address. `Ok(false)` if no limit applies: then [`leave`](Self::leave) must not be
    /// called for it.
    pub(crate) fn enter(&mut self, address: IpAddr, now: Instant) -> Result<bool, Refused> {
        if !self.is_counting() || self.limits.exempt.iter().any(|network| network.contains(address)) {
            return Ok(false);
        }
        let source = Source::of(address);
        if !self.table.contains_key(&source) && self.table.len() >= SOURCES_REMEMBERED_MAX {
            // Not for each connection: an attacker who filled the table could otherwise make us search it all the time.
            if self
                .swept
                .is_none_or(|swept| now >= swept + Duration::from_secs(1))
            {
                self.swept = Some(now);
                self.table
                    .retain(|_, record| record.connections > 0 || record.arrival > now);
            }
            if self.table.len() >= SOURCES_REMEMBERED_MAX {
                return Err(Refused::PerSource);
            }
        }
        let record = self.table.entry(source).or_insert(Record {
            connections: 0,
            arrival: now,
        });
        if self
            .limits
            .per_source
            .is_some_and(|max| record.connections >= max)
        {
            return Err(Refused::PerSource);
        }
        if let Some(rate) = self.limits.per_source_rate {
            let second = Duration::from_secs(1);
            let next = record.arrival.max(now) + second / rate.max(1);
            if next.saturating_duration_since(now) > second {
                return Err(Refused::PerSourceRate);
            }
            record.arrival = next;
        }
        record.connections += 1;
        Ok(true)
    }

    /// A counted connection is gone.
    pub(crate) fn leave(&mut self, source: Source, now: Instant) {
        if let Some(record) = self.table.get_mut(&source) {
            record.connections = record.connections.saturating_sub(1);
            if record.connections == 0 && record.arrival <= now {
                self.table.remove(&source);
            }
        }
    }

    /// Whether another connection may be accepted now, or when.
    pub(crate) fn next_accept(&self, now: Instant) -> Result<(), Instant> {
        let Some((interval, tolerance)) = self.pace() else {
            return Ok(());
        };
        let next = self.accept_at.map_or(now, |at| at.max(now)) + interval;
        let ahead = next.saturating_duration_since(now);
        if ahead > tolerance {
            Err(now + (ahead - tolerance))
        } else {
            Ok(())
        }
    }

    /// A connection was accepted.
    pub(crate) fn note_accept(&mut self, now: Instant) {
        if let Some((interval, _)) = self.pace() {
            self.accept_at = Some(self.accept_at.map_or(now, |at| at.max(now)) + interval);
        }
    }

    /// The time that one connection takes up, and how far ahead the connections may be.
    fn pace(&self) -> Option<(Duration, Duration)> {
        let interval = Duration::from_secs(1) / self.limits.rate?.max(1);
        Some((interval, Duration::from_millis(100).max(interval)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn sources(limits: Admission) -> (Sources, Instant) {
        (Sources::new(limits), Instant::now())
    }

    #[test]
    fn a_source_has_so_many_connections_and_no_more() {
        let (mut sources, now) = sources(Admission {
            per_source: Some(2),
            ..Admission::default()
        });
        assert_eq!(sources.enter(address(1), now), Ok(true));
        assert_eq!(sources.enter(address(1), now), Ok(true));
        assert_eq!(sources.enter(address(1), now), Err(Refused::PerSource));
        assert_eq!(sources.enter(address(2), now), Ok(true));
        sources.leave(Source::of(address(1)), now);
        assert_eq!(sources.enter(address(1), now), Ok(true));
    }

    #[test]
    fn other_limits_count_from_then_on_and_forget_nobody() {
        let (mut sources, now) = sources(Admission {
            per_source: Some(2),
            ..Admission::default()
        });
        assert_eq!(sources.enter(address(1), now), Ok(true));
        sources.set_limits(Admission {
            per_source: Some(1),
            ..Admission::default()
        });
        assert_eq!(sources.enter(address(1), now), Err(Refused::PerSource));
        sources.set_limits(Admission {
            per_source: Some(1),
            exempt: vec!["10.0.0.0/8".parse().unwrap()],
            ..Admission::default()
        });
        assert_eq!(sources.enter(address(1), now), Ok(false));
        sources.leave(Source::of(address(1)), now);
        assert!(sources.table.is_empty());
    }

    #[test]
    fn a_source_that_is_gone_is_forgotten() {
        let (mut sources, now) = sources(Admission {
            per_source: Some(2),
            ..Admission::default()
        });
        sources.enter(address(1), now).unwrap();
        sources.leave(Source::of(address(1)), now);
        assert!(sources.table.is_empty());
    }

    #[test]
    fn a_source_connects_at_its_rate_on_average() {
        let (mut sources, start) = sources(Admission {
            per_source_rate: Some(4),
            ..Admission::default()
        });
        let mut enter = |now| {
            let entered = sources.enter(address(1), now);
            if entered.is_ok() {
                sources.leave(Source::of(address(1)), now);
            }
            entered
        };
        for _ in 0..4 {
            assert_eq!(enter(start), Ok(true));
        }
        assert_eq!(enter(start), Err(Refused::PerSourceRate));
        assert_eq!(enter(start + SECOND / 8), Err(Refused::PerSourceRate));
        assert_eq!(enter(start + SECOND / 4), Ok(true));
        assert_eq!(enter(start + SECOND / 4), Err(Refused::PerSourceRate));
    }

    #[test]
    fn exempt_sources_are_not_counted() {
        let (mut sources, now) = sources(Admission {
            per_source: Some(0),
            exempt: vec!["10.0.0.0/31".parse().unwrap()],
            ..Admission::default()
        });
        assert_eq!(sources.enter(address(1), now), Ok(false));
        assert_eq!(sources.enter(address(2), now), Err(Refused::PerSource));
    }

    #[test]
    fn the_rate_of_all_says_when_to_go_on() {
        let (mut sources, now) = sources(Admission {
            rate: Some(20),
            ..Admission::default()
        });
        let accept = |sources: &mut Sources, now| {
            sources.next_accept(now)?;
            sources.note_accept(now);
            Ok(())
        };
        assert_eq!(accept(&mut sources, now), Ok(()));
        assert_eq!(accept(&mut sources, now), Ok(()));
        let later = accept(&mut sources, now).unwrap_err();
        assert_eq!(later, now + SECOND / 20);
        assert_eq!(accept(&mut sources, later), Ok(()));
        assert!(accept(&mut sources, later).is_err());
        // However low the rate, one may come at once.
        let (mut slow, now) = self::sources(Admission {
            rate: Some(1),
            ..Admission::default()
        });
        assert_eq!(accept(&mut slow, now), Ok(()));
        assert_eq!(accept(&mut slow, now), Err(now + SECOND));
    }

    #[test]
    fn the_table_of_sources_is_bounded() {
        let (mut sources, now) = sources(Admission {
            per_source: Some(1),
            ..Admission::default()
        });
        let nth = |n: usize| IpAddr::from((n as u32).to_be_bytes());
        for n in 0..SOURCES_REMEMBERED_MAX {
            assert_eq!(sources.enter(nth(n), now), Ok(true));
        }
        assert_eq!(
            sources.enter(nth(SOURCES_REMEMBERED_MAX), now),
            Err(Refused::PerSource)
        );
        sources.leave(Source::of(nth(0)), now);
        assert_eq!(sources.enter(nth(SOURCES_REMEMBERED_MAX), now), Ok(true));
    }
}
