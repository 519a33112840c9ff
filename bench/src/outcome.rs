//! What a process of the load found, in a form that several of them can be put together from: counts add up,
//! histograms merge, and of durations the longest counts.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use crate::BenchError;

/// Latencies beyond this count as this: ten minutes.
const LATENCY_MAX_NS: u64 = 600_000_000_000;
/// Significant digits of a latency.
const DIGITS: u8 = 3;

/// Durations in nanoseconds, by how often each came about.
#[derive(Clone, Debug)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    pub(crate) fn new() -> Result<Self, BenchError> {
        Histogram::new_with_bounds(1, LATENCY_MAX_NS, DIGITS)
            .map(Self)
            .map_err(|error| BenchError::Other(error.to_string()))
    }

    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.0.saturating_record(nanoseconds);
    }

    pub(crate) const fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }

    fn merge(&mut self, other: &Self) {
        for value in other.0.iter_recorded() {
            self.0
                .saturating_record_n(value.value_iterated_to(), value.count_at_value());
        }
    }

    fn to_json(&self) -> Value {
        let pairs = self.0.iter_recorded();
        pairs
            .map(|value| json!([value.value_iterated_to(), value.count_at_value()]))
            .collect()
    }

    fn from_json(value: &Value) -> Option<Self> {
        let mut latency = Self::new().ok()?;
        for pair in value.as_array()? {
            let (value, count) = (pair.get(0)?.as_u64()?, pair.get(1)?.as_u64()?);
            latency.0.saturating_record_n(value, count);
        }
        Some(latency)
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    counts: BTreeMap<String, u64>,
    maxima: BTreeMap<String, f64>,
    latencies: BTreeMap<String, Latency>,
}

impl Outcome {
    pub(crate) fn add(&mut self, name: &str, count: u64) {
        *self.counts.entry(name.to_owned()).or_default() += count;
    }

    pub(crate) fn set_maximum(&mut self, name: &str, value: f64) {
        let known = self.maxima.entry(name.to_owned()).or_insert(value);
        *known = known.max(value);
    }

    pub(crate) fn add_latency(&mut self, name: &str, latency: Latency) {
        self.latencies.insert(name.to_owned(), latency);
    }

    pub(crate) fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    pub(crate) fn maximum(&self, name: &str) -> f64 {
        self.maxima.get(name).copied().unwrap_or(0.0)
    }

    pub(crate) fn latency(&self, name: &str) -> Option<&Latency> {
        self.latencies.get(name)
    }

    /// Puts what another process found to this.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (name, count) in &other.counts {
            self.add(name, *count);
        }
        for (name, value) in &other.maxima {
            self.set_maximum(name, *value);
        }
        for (name, latency) in &other.latencies {
            match self.latencies.get_mut(name) {
                Some(known) => known.merge(latency),
                None => self.add_latency(name, latency.clone()),
            }
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let latencies: Map<String, Value> = self
            .latencies
            .iter()
            .map(|(name, latency)| (name.clone(), latency.to_json()))
            .collect();
        json!({ "counts": self.counts, "maxima": self.maxima, "latencies": latencies })
    }

    /// What [`Outcome::to_json`] wrote; nothing if it did not.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let mut outcome = Self::default();
        for (name, count) in value.get("counts")?.as_object()? {
            outcome.counts.insert(name.clone(), count.as_u64()?);
        }
        for (name, value) in value.get("maxima")?.as_object()? {
            outcome.maxima.insert(name.clone(), value.as_f64()?);
        }
        for (name, latency) in value.get("latencies")?.as_object()? {
            outcome
                .latencies
                .insert(name.clone(), Latency::from_json(latency)?);
        }
        Some(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(count: u64, seconds: f64, latencies: &[u64]) -> Outcome {
        let mut outcome = Outcome::default();
        outcome.add("sent", count);
        outcome.set_maximum("seconds", seconds);
        let mut latency = Latency::new().unwrap();
        for value in latencies {
            latency.record(*value);
        }
        outcome.add_latency("ack", latency);
        outcome
    }

    #[test]
    fn processes_are_put_together_as_one_would_have_counted() {
        let (some, others): (Vec<u64>, Vec<u64>) = (1..2_000).map(|n| n * 977).partition(|n| n % 3 == 0);
        let mut merged = outcome(3, 1.5, &some);
        let sent = outcome(4, 1.25, &others).to_json().to_string();
        let received = Outcome::from_json(&serde_json::from_str(&sent).unwrap()).unwrap();
        merged.merge(&received);
        assert_eq!((merged.count("sent"), merged.maximum("seconds")), (7, 1.5));
        let together = outcome(0, 0.0, &[some, others].concat());
        let [merged, together] = [merged, together].map(|outcome| outcome.latency("ack").unwrap().clone());
        assert_eq!(merged.histogram().len(), together.histogram().len());
        for quantile in [0.0, 0.5, 0.99, 0.999, 1.0] {
            assert_eq!(
                merged.histogram().value_at_quantile(quantile),
                together.histogram().value_at_quantile(quantile)
            );
        }
        assert!(Outcome::from_json(&json!({ "counts": 1 })).is_none());
    }
}
