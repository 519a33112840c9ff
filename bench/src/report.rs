//! What a run found, for people or as one JSON object.

use serde_json::{Map, Value};

use crate::{
    chart,
    outcome::{Latency, Outcome},
};

/// The checks: all of these must be 0.
const VIOLATIONS: [&str; 4] = ["lost", "duplicated", "misordered", "corrupted"];

/// Named figures in order, charts, and whether the checks held.
#[derive(Debug, Default)]
pub(crate) struct Report {
    figures: Vec<(String, Value)>,
    charts: Vec<String>,
    violations: u64,
}

impl Report {
    pub(crate) fn add(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.push((name.to_owned(), value.into()));
    }

    /// Rounded to what can be meant.
    pub(crate) fn add_float(&mut self, name: &str, value: f64) {
        let scale = if value.abs() < 10.0 { 1e4 } else { 1e1 };
        self.add(name, (value * scale).round() / scale);
    }

    /// A count of the outcome, as it is.
    pub(crate) fn add_counts<const N: usize>(&mut self, outcome: &Outcome, names: [&str; N]) {
        for name in names {
            self.add(name, outcome.count(name));
        }
    }

    /// A count that must be zero.
    pub(crate) fn add_violations(&mut self, name: &str, count: u64) {
        self.add(name, count);
        self.violations += count;
    }

    /// The four counts that must be zero.
    pub(crate) fn add_checks(&mut self, outcome: &Outcome) {
        for name in VIOLATIONS {
            self.add_violations(name, outcome.count(name));
        }
    }

    /// Percentiles in microseconds, and a chart.
    pub(crate) fn add_latency(&mut self, name: &str, title: &str, latency: Option<&Latency>) {
        let Some(histogram) = latency.map(Latency::histogram) else {
            return;
        };
        for (label, quantile) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)] {
            let micros = histogram.value_at_quantile(quantile) as f64 / 1e3;
            self.add_float(&format!("{name}_{label}_us"), micros);
        }
        self.charts.push(chart::draw(title, histogram));
    }

    /// A chart alone.
    pub(crate) fn add_chart(&mut self, title: &str, latency: Option<&Latency>) {
        let chart = latency.map(|latency| chart::draw(title, latency.histogram()));
        self.charts.extend(chart);
    }

    pub(crate) const fn is_clean(&self) -> bool {
        self.violations == 0
    }

    pub(crate) fn json(&self) -> String {
        let figures: Map<String, Value> = self.figures.iter().cloned().collect();
        Value::Object(figures).to_string()
    }

    pub(crate) fn text(&self) -> String {
        let width = self.figures.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let figures = self
            .figures
            .iter()
            .map(|(name, value)| format!("{name:width$}  {value}"))
            .collect::<Vec<_>>()
            .join("\n");
        let verdict = if self.is_clean() {
            "clean: nothing lost, duplicated, misordered or corrupted".to_owned()
        } else {
            format!("NOT CLEAN: {} violations", self.violations)
        };
        let mut parts = vec![figures];
        parts.extend(self.charts.iter().cloned());
        parts.push(verdict);
        parts.join("\n\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lost: u64) -> Report {
        let (mut outcome, mut report) = (Outcome::default(), Report::default());
        outcome.add("sent", 5);
        outcome.add("lost", lost);
        let mut latency = Latency::new().unwrap();
        latency.record(1_500);
        report.add_counts(&outcome, ["sent"]);
        report.add_checks(&outcome);
        report.add_latency("ack", "acknowledged after", Some(&latency));
        report
    }

    #[test]
    fn a_report_is_one_object_for_machines_and_a_page_for_people() {
        let report = report(0);
        let object: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!((&object["sent"], &object["lost"]), (&5.into(), &0.into()));
        assert_eq!(object["ack_p99_us"], 1.5);
        let text = report.text();
        assert!(text.contains("sent         5") && text.contains("acknowledged after (1 measured)"));
        assert!(report.is_clean() && text.contains("clean: nothing lost"));
    }

    #[test]
    fn a_violation_is_no_success() {
        let report = report(2);
        assert!(!report.is_clean());
        assert!(report.text().contains("NOT CLEAN: 2 violations"));
    }
}
