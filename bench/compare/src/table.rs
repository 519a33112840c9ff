//! Owns what the comparison prints: one table, the ratios of imserver to each of the others, and notes. Must
//! never average rounds, and takes a ratio only of runs of the same round.

use crate::contestant::Contestant;
use crate::measure::Report;
use bench_netcore::statistics::{Summary, show as show_summary};
use std::fmt::Write;

/// The one that the others are compared with.
const OURS: &str = "imserver";

/// What the rounds found for one server with one window; `None` where a round failed.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    pub(crate) rounds: Vec<Option<Report>>,
}

type Figure = fn(&Report) -> f64;

impl Cell {
    fn summary(&self, figure: Figure, digits: usize) -> String {
        let values: Vec<f64> = self.rounds.iter().flatten().map(figure).collect();
        show_summary(Summary::of(&values), digits)
    }

    fn ratio(&self, other: &Self, figure: Figure, digits: usize) -> String {
        let rounds = self.rounds.iter().zip(&other.rounds);
        let (ours, others): (Vec<f64>, Vec<f64>) = rounds
            .filter_map(|(ours, other)| Some((figure(ours.as_ref()?), figure(other.as_ref()?))))
            .unzip();
        show_summary(Summary::of_ratios(&ours, &others), digits)
    }
}

const HEADING: &str = "\
Each figure is the median of the rounds (the least .. the most). Latencies are in microseconds from when a
message was meant to be sent; CPU is of the server's process for each delivered message; memory is what it has
for itself after the run.

| server | outstanding per pair | delivered a second | ack p50 | ack p99 | delivery p50 | delivery p99 | CPU, us | memory, MiB | an acknowledgement means |
|---|--:|--:|--:|--:|--:|--:|--:|--:|---|";

const RATIOS: &str = "
Ratios of runs of the same round: imserver / the other. Above 1 is more messages; below 1 is less CPU.

| imserver / | outstanding per pair | delivered a second | CPU for a message |
|---|--:|--:|--:|";

/// Everything, as Markdown. `cells` has a row for each contestant and a cell for each window.
pub(crate) fn show(
    contestants: &[Box<dyn Contestant>],
    windows: &[usize],
    cells: &[Vec<Cell>],
    notes: &[String],
) -> String {
    let mut text = HEADING.to_owned();
    for (contestant, cells) in contestants.iter().zip(cells) {
        for (window, cell) in windows.iter().zip(cells) {
            line(&mut text, &row(contestant.as_ref(), *window, cell));
        }
    }
    let ours = contestants.iter().zip(cells).find(|(one, _)| one.name() == OURS);
    if let Some((_, ours)) = ours
        && contestants.len() > 1
    {
        text.push('\n');
        text.push_str(RATIOS);
        for (contestant, cells) in contestants
            .iter()
            .zip(cells)
            .filter(|(one, _)| one.name() != OURS)
        {
            for ((window, ours), cell) in windows.iter().zip(ours).zip(cells) {
                let delivered = ours.ratio(cell, |report| report.delivered_per_s, 2);
                let cpu = ours.ratio(cell, |report| report.server_cpu_us_per_delivered, 2);
                line(
                    &mut text,
                    &format!("| {} | {window} | {delivered} | {cpu} |", contestant.name()),
                );
            }
        }
    }
    let violations = contestants.iter().zip(cells).flat_map(|(contestant, cells)| {
        windows
            .iter()
            .zip(cells)
            .flat_map(|(window, cell)| violations(contestant.as_ref(), *window, cell))
    });
    let notes: Vec<String> = violations.chain(notes.iter().cloned()).collect();
    if !notes.is_empty() {
        text.push('\n');
        for note in notes {
            line(&mut text, &format!("- {note}"));
        }
    }
    text
}

fn row(contestant: &dyn Contestant, window: usize, cell: &Cell) -> String {
    const BYTES_PER_MIB: f64 = 1024.0 * 1024.0;
    let figures: [(Figure, usize); 7] = [
        (|report| report.delivered_per_s, 0),
        (|report| report.ack_p50_us, 0),
        (|report| report.ack_p99_us, 0),
        (|report| report.deliver_p50_us, 0),
        (|report| report.deliver_p99_us, 0),
        (|report| report.server_cpu_us_per_delivered, 1),
        (|report| report.memory_bytes as f64 / BYTES_PER_MIB, 1),
    ];
    let mut text = format!("| {} | {window} |", contestant.name());
    for (figure, digits) in figures {
        // Writing to a string does not fail.
        let _ = write!(text, " {} |", cell.summary(figure, digits));
    }
    let _ = write!(text, " {} |", contestant.promise());
    text
}

fn violations(contestant: &dyn Contestant, window: usize, cell: &Cell) -> Vec<String> {
    let rounds = cell.rounds.iter().enumerate();
    let found = rounds.filter_map(|(round, report)| Some((round + 1, report.as_ref()?.violations()?)));
    found
        .map(|(round, violations)| {
            format!(
                "{} with {window} outstanding, round {round}: {violations}",
                contestant.name()
            )
        })
        .collect()
}

fn line(text: &mut String, line: &str) {
    text.push('\n');
    text.push_str(line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contestant::Running;
    use bench_netcore::children::Core;
    use std::io;
    use std::path::Path;

    struct Named(&'static str);

    impl Contestant for Named {
        fn name(&self) -> &'static str {
            self.0
        }

        fn dialect(&self) -> &'static str {
            self.0
        }

        fn promise(&self) -> &'static str {
            "nothing"
        }

        fn start(&self, _: &Path, _: Core, _: usize) -> io::Result<Running> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    fn cell(rates: &[Option<f64>]) -> Cell {
        let report = |rate: &f64| Report {
            delivered_per_s: *rate,
            server_cpu_us_per_delivered: 100.0 / rate,
            ..Report::default()
        };
        Cell {
            rounds: rates.iter().map(|rate| rate.as_ref().map(report)).collect(),
        }
    }

    #[test]
    fn ratios_leave_out_rounds_that_one_of_both_failed() {
        let contestants: [Box<dyn Contestant>; 2] = [Box::new(Named("other")), Box::new(Named(OURS))];
        let cells = [
            vec![cell(&[Some(10.0), None, Some(20.0), Some(40.0)])],
            vec![cell(&[Some(30.0), Some(99.0), None, Some(20.0)])],
        ];
        let text = show(&contestants, &[16], &cells, &["a note".to_owned()]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines.contains(&"| other | 16 | 1.75 (0.50..3.00) | 1.17 (0.33..2.00) |"),
            "{text}"
        );
        assert!(
            text.contains("\n| other | 16 | 20 (10..40) | 0 (0..0) |"),
            "{text}"
        );
        assert_eq!(lines.last(), Some(&"- a note"));
    }

    #[test]
    fn without_ours_there_are_no_ratios() {
        let contestants: [Box<dyn Contestant>; 1] = [Box::new(Named("other"))];
        let text = show(&contestants, &[1], &[vec![cell(&[])]], &[]);
        assert!(
            text.contains("| other | 1 | - |") && !text.contains("imserver /"),
            "{text}"
        );
    }

    #[test]
    fn violations_are_named_with_their_round() {
        let contestants: [Box<dyn Contestant>; 1] = [Box::new(Named("other"))];
        let mut found = cell(&[Some(1.0)]);
        let bad = r#"{"delivered_per_s": 1, "ack_p50_us": 1, "ack_p99_us": 1, "deliver_p50_us": 1,
            "deliver_p99_us": 1, "server_cpu_us_per_delivered": 1, "lost": 0, "duplicated": 2, "misordered": 0,
            "corrupted": 0}"#;
        found
            .rounds
            .push(Some(serde_json::from_str(bad).expect("a report")));
        let text = show(&contestants, &[1], &[vec![found]], &[]);
        let note = "- other with 1 outstanding, round 2: 0 lost, 2 duplicated, 0 misordered, 0 corrupted";
        assert_eq!(text.lines().last(), Some(note));
    }
}
