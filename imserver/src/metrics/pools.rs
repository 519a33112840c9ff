//! Pools of connections, and circuit breakers. The pools count by themselves; this shows it.

use pool::{CloseReason, Histogram, Statistics, breaker::BreakerState};
use storage::{Status, ephemeral::LinkStatus};

use super::{cell::Distribution, exposition::Shown, table};

/// The bounds shown of a pool's histogram, which has one for each power of two nanoseconds: from 16 µs to 17 s, each
/// four times the one before.
const SHOWN_BITS: [usize; 11] = [14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34];

/// A pool, with its name.
struct Named<'a> {
    name: &'static str,
    now: &'a pool::Status,
    so_far: &'a Statistics,
}

/// A breaker, with its name.
struct NamedBreaker {
    name: &'static str,
    state: BreakerState,
    openings: u64,
}

/// Shows the pools of the store and of Redis, and their breakers.
pub(super) fn show(shown: &mut Shown, store: &Status, redis: Option<&LinkStatus>) {
    let (mut pools, mut breakers) = (Vec::new(), Vec::new());
    if let Status::Postgres(status) = store {
        pools.push(Named {
            name: "postgres",
            now: &status.pool,
            so_far: &status.statistics,
        });
        breakers.push(NamedBreaker {
            name: "postgres_read",
            state: status.breaker,
            openings: status.openings,
        });
        breakers.push(NamedBreaker {
            name: "postgres_write",
            state: status.writing,
            openings: status.writing_openings,
        });
    }
    if let Some(status) = redis {
        pools.push(Named {
            name: "redis",
            now: &status.pool,
            so_far: &status.statistics,
        });
        breakers.push(NamedBreaker {
            name: "redis",
            state: status.breaker,
            openings: status.openings,
        });
    }
    show_pools(shown, &pools);
    show_breakers(shown, &breakers);
}

fn show_pools(shown: &mut Shown, pools: &[Named<'_>]) {
    let label = |pool: &Named<'_>, other: &str| vec![pool.name.to_owned(), other.to_owned()];
    let each = |of: fn(&Named<'_>) -> f64| {
        let points = pools.iter().map(|pool| (vec![pool.name.to_owned()], of(pool)));
        points.collect::<Vec<_>>()
    };
    let states = pools.iter().flat_map(|pool| {
        let states = [
            ("idle", pool.now.idle),
            ("leased", pool.now.leased),
            ("checking", pool.now.checking),
            ("connecting", pool.now.connecting),
        ];
        states.map(|(state, count)| (label(pool, state), f64::from(count)))
    });
    shown.numbers(&table::POOL_CONNECTIONS, states);
    shown.numbers(&table::POOL_MAX, each(|pool| f64::from(pool.now.max)));
    shown.numbers(&table::POOL_WAITING, each(|pool| f64::from(pool.now.waiting)));
    shown.numbers(&table::POOL_LEASES, each(|pool| pool.so_far.leases as f64));
    let failed = pools.iter().flat_map(|pool| {
        let reasons = [
            ("timeout", pool.so_far.timeouts),
            ("overload", pool.so_far.overloads),
        ];
        reasons.map(|(reason, count)| (label(pool, reason), count as f64))
    });
    shown.numbers(&table::POOL_LEASES_FAILED, failed);
    shown.numbers(&table::POOL_CONNECTS, each(|pool| pool.so_far.connects as f64));
    shown.numbers(
        &table::POOL_CONNECTS_FAILED,
        each(|pool| pool.so_far.connect_failures as f64),
    );
    let closed = pools.iter().flat_map(|pool| {
        let counts = CloseReason::ALL
            .into_iter()
            .map(|reason| (reason, pool.so_far.closed(reason)));
        let counts = counts.filter(|(_, count)| *count > 0);
        counts.map(|(reason, count)| {
            let reason = format!("{reason:?}").to_ascii_lowercase();
            (label(pool, &reason), count as f64)
        })
    });
    shown.numbers(&table::POOL_CLOSED, closed);
    let times = |of: fn(&Statistics) -> &Histogram| {
        let points = pools.iter();
        let points = points.map(|pool| (vec![pool.name.to_owned()], coarse(of(pool.so_far))));
        points.collect::<Vec<_>>()
    };
    shown.histograms(&table::POOL_WAIT, times(|so_far| &so_far.wait));
    shown.histograms(&table::POOL_LEASE, times(|so_far| &so_far.hold));
}

fn show_breakers(shown: &mut Shown, breakers: &[NamedBreaker]) {
    let all = [
        (BreakerState::Closed, "closed"),
        (BreakerState::Open, "open"),
        (BreakerState::HalfOpen, "half_open"),
        (BreakerState::Recovering, "recovering"),
    ];
    let states = breakers.iter().flat_map(|breaker| {
        all.map(|(state, name)| {
            let labels = vec![breaker.name.to_owned(), name.to_owned()];
            (labels, f64::from(u8::from(breaker.state == state)))
        })
    });
    shown.numbers(&table::BREAKER_STATE, states);
    let openings = breakers.iter();
    let openings = openings.map(|breaker| (vec![breaker.name.to_owned()], breaker.openings as f64));
    shown.numbers(&table::BREAKER_OPENINGS, openings);
}

/// Every second of a pool's bounds.
fn coarse(histogram: &Histogram) -> Distribution {
    let mut buckets: Vec<(f64, u64)> = Vec::with_capacity(SHOWN_BITS.len() + 1);
    let mut counted = 0;
    let mut inside = 0;
    for (bits, (bound, count)) in histogram.buckets().enumerate() {
        inside += count;
        if SHOWN_BITS.contains(&bits) {
            buckets.push((bound.as_secs_f64(), inside));
            counted += inside;
            inside = 0;
        }
    }
    buckets.push((f64::INFINITY, histogram.count() - counted));
    Distribution {
        sum: histogram.sum().as_secs_f64(),
        buckets,
    }
}
