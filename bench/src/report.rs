//! What a run found, for people or as one JSON object.

use hdrhistogram::Histogram;
use serde_json::{Map, Value};

/// Named figures in order, and whether the checks held.
#[derive(Debug, Default)]
pub(crate) struct Report {
    figures: Map<String, Value>,
    violations: u64,
}

impl Report {
    pub(crate) fn add(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.insert(name.to_owned(), value.into());
    }

    /// A count that must be zero.
    pub(crate) fn add_violations(&mut self, name: &str, count: u64) {
        self.add(name, count);
        self.violations += count;
    }

    /// Percentiles of a histogram of nanoseconds, in microseconds.
    pub(crate) fn add_latency(&mut self, name: &str, histogram: &Histogram<u64>) {
        for (label, quantile) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)] {
            let micros = histogram.value_at_quantile(quantile) as f64 / 1_000.0;
            self.add(&format!("{name}_{label}_us"), (micros * 10.0).round() / 10.0);
        }
    }

    pub(crate) const fn is_clean(&self) -> bool {
        self.violations == 0
    }

    pub(crate) fn json(&self) -> String {
        Value::Object(self.figures.clone()).to_string()
    }

    pub(crate) fn text(&self) -> String {
        let width = self.figures.keys().map(String::len).max().unwrap_or(0);
        let lines = self
            .figures
            .iter()
            .map(|(name, value)| format!("{name:width$}  {value}"));
        lines.collect::<Vec<_>>().join("\n")
    }
}
