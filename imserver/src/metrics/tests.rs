//! The table is what is shown, and what the manual says.

use netcore::PoolStats;
use storage::Status;

use super::{
    Elsewhere, Format, Metrics,
    connections::Present,
    table::{self, Kind},
};

fn elsewhere() -> Elsewhere {
    Elsewhere {
        present: Present::default(),
        writes_waiting: 0,
        workers: PoolStats::default(),
        hashers: PoolStats::default(),
        store: Status::Model,
        caches: Vec::new(),
        redis: None,
        started_at_ms: 1_700_000_000_500,
    }
}

#[test]
fn every_metric_of_the_table_is_shown_once_and_in_its_order() {
    let shown = Metrics::new(2, 2).show(&elsewhere());
    let table: Vec<&str> = table::ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(shown.names(), table);
}

#[test]
fn names_follow_the_conventions() {
    for metric in table::ALL {
        let name = metric.name;
        assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
        assert!(
            name.starts_with("imserver_") || name.starts_with("process_"),
            "{name}"
        );
        assert!(metric.help.ends_with('.') && !metric.help.contains('"'), "{name}");
        for label in metric.labels {
            assert!(
                !["le", "quantile", "user", "address", "conversation"].contains(label),
                "{name}"
            );
        }
    }
}

#[test]
fn both_formats_are_written() {
    let metrics = Metrics::new(1, 1);
    let text = metrics.show(&elsewhere()).write(Format::Text);
    assert!(
        text.contains("# TYPE imserver_pushes_total counter\nimserver_pushes_total 0"),
        "{text}"
    );
    assert!(!text.contains("# EOF"));
    let open = metrics.show(&elsewhere()).write(Format::OpenMetrics);
    assert!(
        open.contains("# TYPE imserver_pushes counter\nimserver_pushes_total 0"),
        "{open}"
    );
    assert!(
        open.contains("process_start_time_seconds 1700000000.5\n"),
        "{open}"
    );
    assert!(open.ends_with("# EOF\n"));
    let accepted = |accept| Format::accepted(accept);
    assert_eq!(accepted(""), Format::Text);
    assert_eq!(accepted("text/plain;version=0.0.4;q=0.5,*/*;q=0.1"), Format::Text);
    let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    assert_eq!(accepted(prometheus), Format::OpenMetrics);
}

#[test]
fn the_manual_has_the_same_table() {
    let rows = table::ALL.iter().map(|metric| {
        let kind = format!("{:?}", metric.kind).to_lowercase();
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let row = format!(
            "| `{}` | {kind} | {} | {} |",
            metric.name,
            labels.join(", "),
            metric.help
        );
        row.replace("|  |", "| |")
    });
    let rows: Vec<String> = rows.collect();
    let table = rows.join("\n");
    println!("{table}");
    let manual = include_str!("../../../docs/OPERATIONS.md");
    let written = manual
        .lines()
        .filter(|line| line.starts_with("| `imserver_") || line.starts_with("| `process_"));
    assert_eq!(
        written.collect::<Vec<_>>().join("\n"),
        table,
        "the manual differs from the table"
    );
}
