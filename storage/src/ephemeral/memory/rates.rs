//! Rates by key.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::ephemeral::contract::{self, Limits, Rate, Taken};

#[derive(Debug)]
pub(super) struct Rates {
    /// Times are microseconds since then.
    start: Instant,
    due: HashMap<String, u64>,
    order: BTreeSet<(u64, String)>,
}

impl Rates {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            start,
            due: HashMap::new(),
            order: BTreeSet::new(),
        }
    }

    pub(super) fn take(&mut self, limits: &Limits, key: &str, rate: Rate, count: u32, now: Instant) -> Taken {
        let now = now.saturating_duration_since(self.start).as_micros();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let before = self.due.get(key).copied().unwrap_or_default();
        match contract::take(before, now, rate, count) {
            Ok(due) => {
                self.order.remove(&(before, key.to_owned()));
                self.make_room(limits, key, now);
                self.due.insert(key.to_owned(), due);
                self.order.insert((due, key.to_owned()));
                Taken::Allowed
            }
            Err(retry_after) => Taken::Refused {
                retry_after: retry_after.max(Duration::from_millis(1)),
            },
        }
    }

    /// Entries that are no longer due carry no information and go first; then the key that has used least goes.
    fn make_room(&mut self, limits: &Limits, key: &str, now: u64) {
        while let Some((due, first)) = self.order.first()
            && (*due <= now || self.due.len() >= limits.rates_max && !self.due.contains_key(key))
        {
            let first = (*due, first.clone());
            self.due.remove(&first.1);
            self.order.remove(&first);
        }
    }
}
