//! Metrics as Prometheus reads them: in OpenMetrics, or in its older text format. It owns the order and that every
//! metric of the table is written once; it must never count anything.

use std::fmt::{self, Error};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text},
    metrics::MetricType,
    registry::Registry,
};

use super::{
    cell::Distribution,
    table::{Kind, Metric},
};

/// Above this, a floating-point number may stand for several whole ones.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// How metrics are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Text,
}

impl Format {
    /// The format for a request with this `Accept`: OpenMetrics for whoever names it, text for all others.
    pub(crate) fn accepted(accept: &str) -> Self {
        let names_it = accept.split(',').any(|range| {
            let media_type = range.split(';').next().unwrap_or_default().trim();
            media_type.eq_ignore_ascii_case("application/openmetrics-text")
        });
        if names_it { Self::OpenMetrics } else { Self::Text }
    }

    /// The value of `Content-Type`.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Takes the values of all metrics.
#[derive(Debug, Default)]
pub(crate) struct Shown(Vec<Family>);

/// A metric with its values.
#[derive(Debug)]
struct Family {
    metric: &'static Metric,
    points: Vec<(Vec<String>, Value)>,
}

#[derive(Debug)]
enum Value {
    Number(f64),
    Distribution(Distribution),
}

impl Shown {
    /// A metric without labels.
    pub(super) fn number(&mut self, metric: &'static Metric, value: f64) {
        self.numbers(metric, [(vec![], value)]);
    }

    /// A metric without labels that counts.
    pub(super) fn count(&mut self, metric: &'static Metric, value: u64) {
        self.number(metric, value as f64);
    }

    /// A metric with labels, in the order of the table.
    pub(super) fn numbers(
        &mut self,
        metric: &'static Metric,
        points: impl IntoIterator<Item = (Vec<String>, f64)>,
    ) {
        let points = points
            .into_iter()
            .map(|(labels, value)| (labels, Value::Number(value)));
        self.family(metric, points.collect());
    }

    /// A histogram without labels.
    pub(super) fn histogram(&mut self, metric: &'static Metric, values: Option<Distribution>) {
        self.histograms(metric, values.map(|values| (vec![], values)));
    }

    /// A histogram with labels, in the order of the table.
    pub(super) fn histograms(
        &mut self,
        metric: &'static Metric,
        points: impl IntoIterator<Item = (Vec<String>, Distribution)>,
    ) {
        let points = points.into_iter();
        let points = points.map(|(labels, values)| (labels, Value::Distribution(values)));
        self.family(metric, points.collect());
    }

    fn family(&mut self, metric: &'static Metric, points: Vec<(Vec<String>, Value)>) {
        self.0.push(Family { metric, points });
    }

    /// The names in the order in which they are written.
    #[cfg(test)]
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|family| family.metric.name).collect()
    }

    /// All of it as text.
    pub(crate) fn write(self, format: Format) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut out = String::new();
        let written = match format {
            Format::OpenMetrics => text::encode(&mut out, &registry),
            Format::Text => prometheus_text::encode(&mut out, &registry),
        };
        if written.is_err() {
            log::error!("the metrics could not be written");
        }
        out
    }
}

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|family| family.encode(&mut encoder))
    }
}

impl Family {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Metric {
            name,
            kind,
            labels,
            help,
        } = self.metric;
        let (name, kind) = match kind {
            // The encoder adds the suffix again.
            Kind::Counter => (name.strip_suffix("_total").ok_or(Error)?, MetricType::Counter),
            Kind::Gauge => (*name, MetricType::Gauge),
            Kind::Histogram => (*name, MetricType::Histogram),
        };
        let mut encoder = encoder.encode_descriptor(name, help, None, kind)?;
        for (values, value) in &self.points {
            if labels.is_empty() {
                value.encode(&mut encoder, kind)?;
            } else {
                let set: Vec<(&str, &str)> = labels
                    .iter()
                    .zip(values)
                    .map(|(label, value)| (*label, value.as_str()))
                    .collect();
                value.encode(&mut encoder.encode_family(&set)?, kind)?;
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(&self, encoder: &mut MetricEncoder<'_>, kind: MetricType) -> fmt::Result {
        match self {
            Self::Distribution(values) => {
                encoder.encode_histogram::<NoLabelSet>(values.sum, values.count(), &values.buckets, None)
            }
            Self::Number(value) => {
                let whole =
                    (value.fract() == 0.0 && (0.0..WHOLE_MAX).contains(value)).then_some(*value as u64);
                match (kind, whole) {
                    (MetricType::Counter, Some(whole)) => {
                        encoder.encode_counter::<NoLabelSet, u64, f64>(&whole, None)
                    }
                    (MetricType::Counter, None) => {
                        encoder.encode_counter::<NoLabelSet, f64, f64>(value, None)
                    }
                    (_, Some(whole)) => encoder.encode_gauge(&whole),
                    (_, None) => encoder.encode_gauge(value),
                }
            }
        }
    }
}
