//! Percentiles of a latency as bars of text.

use hdrhistogram::Histogram;

const QUANTILES: [(&str, f64); 8] = [
    ("min", 0.0),
    ("p50", 0.5),
    ("p75", 0.75),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
    ("max", 1.0),
];

/// The longest bar.
const WIDTH: f64 = 48.0;
/// Where bars begin: what is shorter has none.
const SHORTEST_NS: f64 = 10_000.0;

/// One line per percentile. Bars are logarithmic: latencies differ by factors.
pub(crate) fn draw(title: &str, histogram: &Histogram<u64>) -> String {
    let mut lines = vec![format!("{title} ({} measured)", histogram.len())];
    let longest = (histogram.max() as f64 / SHORTEST_NS).ln().max(1.0);
    for (name, quantile) in QUANTILES {
        let value = if quantile == 0.0 {
            histogram.min()
        } else {
            histogram.value_at_quantile(quantile)
        };
        let length = (value as f64 / SHORTEST_NS).ln().max(0.0) / longest * WIDTH;
        let bar = "█".repeat(length.round() as usize);
        lines.push(format!("  {name:>6} {:>10} {bar}", duration(value)));
    }
    lines.join("\n")
}

/// Three significant digits and a unit.
pub(crate) fn duration(nanoseconds: u64) -> String {
    let value = nanoseconds as f64;
    let (value, unit) = match nanoseconds {
        0..1_000_000 => (value / 1e3, "µs"),
        1_000_000..1_000_000_000 => (value / 1e6, "ms"),
        _ => (value / 1e9, "s"),
    };
    let digits = if value < 10.0 {
        2
    } else {
        usize::from(value < 100.0)
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_with_the_percentile() {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        for micros in 1..=10_000_u64 {
            histogram.record(micros * 1_000).unwrap();
        }
        let chart = draw("delivered after", &histogram);
        let bars: Vec<usize> = chart
            .lines()
            .skip(1)
            .map(|line| line.matches('█').count())
            .collect();
        assert_eq!(bars.len(), QUANTILES.len());
        assert!(bars.is_sorted(), "{chart}");
        assert_eq!(bars.last(), Some(&48));
        assert!(chart.contains("10.0 ms"), "{chart}");
        assert!(draw("nothing", &Histogram::<u64>::new(3).unwrap()).contains("(0 measured)"));
    }

    #[test]
    fn durations_have_three_digits() {
        let shown = [999, 12_345, 999_999, 1_234_567, 61_000_000_000].map(duration);
        assert_eq!(shown, ["1.00 µs", "12.3 µs", "1000 µs", "1.23 ms", "61.0 s"]);
    }
}
