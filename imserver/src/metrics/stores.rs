//! The store, what is cached of it, and Redis. All of it is counted where it happens, and only shown here.

use storage::{Status, cached::CacheStatistics, ephemeral::LinkStatus};

use super::{exposition::Shown, table};

/// Shows the files of the store, the caches and the calls to Redis.
pub(super) fn show(
    shown: &mut Shown,
    store: &Status,
    caches: &[(&'static str, CacheStatistics)],
    redis: Option<&LinkStatus>,
) {
    let files = match store {
        Status::Sqlite(files) => Some(files),
        Status::Model | Status::Postgres(_) => None,
    };
    let bytes = |of: Option<u64>| of.map(|bytes| (vec![], bytes as f64));
    shown.numbers(
        &table::SQLITE_DATABASE,
        bytes(files.map(|files| files.database_bytes)),
    );
    shown.numbers(&table::SQLITE_WAL, bytes(files.map(|files| files.wal_bytes)));
    let cached = |of: fn(&CacheStatistics) -> f64| {
        let points = caches
            .iter()
            .map(move |(name, numbers)| (vec![(*name).to_owned()], of(numbers)));
        points.collect::<Vec<_>>()
    };
    shown.numbers(&table::CACHE_HITS, cached(|numbers| numbers.hits as f64));
    shown.numbers(&table::CACHE_MISSES, cached(|numbers| numbers.misses as f64));
    shown.numbers(&table::CACHE_ENTRIES, cached(|numbers| numbers.entries as f64));
    let count = |of: fn(&LinkStatus) -> u64| redis.map(|redis| (vec![], of(redis) as f64));
    shown.numbers(&table::REDIS_CALLS, count(|redis| redis.calls));
    shown.numbers(&table::REDIS_UNANSWERED, count(|redis| redis.unanswered));
    let errors = redis.into_iter().flat_map(|redis| &redis.refused);
    shown.numbers(
        &table::REDIS_ERRORS,
        errors.map(|(kind, count)| (vec![kind.to_ascii_lowercase()], *count as f64)),
    );
}

/// The name of a store's kind.
pub(super) const fn kind(store: &Status) -> &'static str {
    match store {
        Status::Model => "memory",
        Status::Sqlite(_) => "sqlite",
        Status::Postgres(_) => "postgres",
    }
}
