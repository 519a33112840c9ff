//! Requests by command and outcome, and how long they took. Counted by the loops, when the answer is sent.

use protocol::{Command, Refusal, v1::ErrorCode};

use super::{
    cell::{Distribution, Histogram, TIMES, Tally},
    exposition::Shown,
    table,
};

/// Outcomes that are told apart: 0 is success, the others are the numbers of error codes.
const OUTCOMES: usize = 64;
/// The commands, and one row for what names none.
const COMMANDS: usize = Command::ALL.len() + 1;

/// What became of a request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Outcome(u8);

impl Outcome {
    /// It was done.
    pub(crate) const OK: Self = Self(0);

    /// It was refused.
    pub(crate) fn refused(refusal: &Refusal) -> Self {
        // Where the code is of a later version, the number of "unspecified" would count as success.
        let number = u8::try_from(refusal.code() as i32).unwrap_or_default();
        Self(if number == 0 {
            ErrorCode::Internal as u8
        } else {
            number
        })
    }

    fn name(self) -> String {
        match ErrorCode::try_from(i32::from(self.0)) {
            Ok(ErrorCode::Unspecified) | Err(_) => "ok".to_owned(),
            Ok(code) => code
                .as_str_name()
                .trim_start_matches("ERROR_CODE_")
                .to_ascii_lowercase(),
        }
    }
}

/// A request that is under way, as far as it is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Asked {
    row: u8,
    /// Microseconds on the clock of the loops, modulo 2^32: over an hour.
    at_us: u32,
}

impl Asked {
    /// A request for this command, read now.
    #[inline]
    pub(crate) fn new(command: Command, now_us: u64) -> Self {
        Self::of(Some(command), now_us)
    }

    /// A request, read now, for a command or for none.
    #[inline]
    pub(crate) fn of(command: Option<Command>, now_us: u64) -> Self {
        Self {
            row: row(command),
            at_us: now_us as u32,
        }
    }

    /// The command's name.
    pub(crate) fn command(self) -> &'static str {
        let command = Command::ALL.get(usize::from(self.row));
        command.map_or("unknown", |command| command.name())
    }
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            row: row(None),
            at_us: 0,
        }
    }
}

#[inline]
fn row(command: Option<Command>) -> u8 {
    const { assert!(COMMANDS <= u8::MAX as usize) };
    command.map_or(COMMANDS - 1, Command::index) as u8
}

/// The requests of one loop.
#[derive(Debug)]
pub(crate) struct Requests {
    /// By row and outcome.
    counts: Box<[[Tally; OUTCOMES]]>,
    /// By row.
    times: Box<[Histogram]>,
    /// Of those over HTTP that never came to a command, by outcome.
    http_refusals: [Tally; OUTCOMES],
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            counts: (0..COMMANDS)
                .map(|_| std::array::from_fn(|_| Tally::default()))
                .collect(),
            times: (0..COMMANDS).map(|_| Histogram::new(&TIMES)).collect(),
            http_refusals: std::array::from_fn(|_| Tally::default()),
        }
    }
}

impl Requests {
    /// The loop answered a request by itself.
    #[inline]
    pub(crate) fn answered_here(&self, command: Option<Command>, outcome: Outcome) {
        self.count(row(command), outcome);
    }

    /// A request got the answer that others made.
    #[inline]
    pub(crate) fn answered(&self, asked: Asked, outcome: Outcome, now_us: u64) {
        self.count(asked.row, outcome);
        if let Some(times) = self.times.get(usize::from(asked.row)) {
            times.record(u64::from((now_us as u32).wrapping_sub(asked.at_us)));
        }
    }

    /// What came over HTTP was refused before a command was judged.
    pub(crate) fn refused_over_http(&self, refusal: &Refusal) {
        if let Some(count) = self.http_refusals.get(usize::from(Outcome::refused(refusal).0)) {
            count.add(1);
        }
    }

    #[inline]
    fn count(&self, row: u8, outcome: Outcome) {
        if let Some(counts) = self.counts.get(usize::from(row))
            && let Some(count) = counts.get(usize::from(outcome.0))
        {
            count.add(1);
        }
    }
}

/// Shows those of all loops together. Outcomes other than success are left out as long as they have not occurred.
pub(super) fn show<'a>(shown: &mut Shown, loops: impl Iterator<Item = &'a Requests> + Clone) {
    let names = || {
        Command::ALL
            .iter()
            .map(|command| command.name())
            .chain(["unknown"])
    };
    let mut counts = Vec::new();
    for (row, command) in names().enumerate() {
        for outcome in 0..OUTCOMES {
            let of_loop = |requests: &Requests| {
                let count = requests.counts.get(row).and_then(|counts| counts.get(outcome));
                count.map_or(0, Tally::get)
            };
            let count: u64 = loops.clone().map(of_loop).sum();
            let outcome = Outcome(outcome as u8);
            if count > 0 || outcome == Outcome::OK && is_request(command) {
                counts.push((vec![command.to_owned(), outcome.name()], count as f64));
            }
        }
    }
    shown.numbers(&table::REQUESTS, counts);
    let times = names().enumerate().filter_map(|(row, command)| {
        let values = Distribution::of(loops.clone().filter_map(|requests| requests.times.get(row)))?;
        (values.count() > 0).then(|| (vec![command.to_owned()], values))
    });
    shown.histograms(&table::REQUEST, times);
    let refusals = (1..OUTCOMES).filter_map(|outcome| {
        let of_loop = |requests: &Requests| requests.http_refusals.get(outcome).map_or(0, Tally::get);
        let count: u64 = loops.clone().map(of_loop).sum();
        (count > 0).then(|| (vec![Outcome(outcome as u8).name()], count as f64))
    });
    shown.numbers(&table::HTTP_REFUSALS, refusals);
}

fn is_request(name: &str) -> bool {
    Command::from_name(name).is_some_and(|command| command.kind().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Format;

    #[test]
    fn requests_are_counted_by_command_and_outcome() {
        let loops = [Requests::default(), Requests::default()];
        let refusal = Refusal::new(ErrorCode::NotFound, "nobody");
        let asked = Asked::new(Command::Send, u64::from(u32::MAX) - 10);
        loops[0].answered(asked, Outcome::OK, u64::from(u32::MAX) + 990);
        loops[1].answered(asked, Outcome::OK, u64::from(u32::MAX) + 990);
        loops[1].answered(asked, Outcome::refused(&refusal), u64::from(u32::MAX));
        loops[0].answered_here(None, Outcome::refused(&refusal));
        loops[0].answered_here(Some(Command::Ping), Outcome::OK);
        loops[0].refused_over_http(&refusal);
        loops[1].refused_over_http(&refusal);
        let mut shown = Shown::default();
        show(&mut shown, loops.iter());
        let text = shown.write(Format::Text);
        for line in [
            r#"imserver_requests_total{command="send",outcome="ok"} 2"#,
            r#"imserver_requests_total{command="send",outcome="not_found"} 1"#,
            r#"imserver_requests_total{command="unknown",outcome="not_found"} 1"#,
            r#"imserver_requests_total{command="ping",outcome="ok"} 1"#,
            r#"imserver_http_refusals_total{reason="not_found"} 2"#,
            r#"imserver_requests_total{command="hello",outcome="ok"} 0"#,
            r#"imserver_request_seconds_bucket{command="send",le="0.001"} 3"#,
            r#"imserver_request_seconds_count{command="send"} 3"#,
        ] {
            assert!(
                text.lines().any(|other| other.starts_with(line)),
                "{line} in\n{text}"
            );
        }
        assert!(!text.contains("command=\"go_away\""), "{text}");
        assert!(
            !text.contains("request_seconds_count{command=\"ping\"}"),
            "{text}"
        );
    }

    #[test]
    fn every_error_code_has_a_place() {
        for number in 1..=i32::from(u8::MAX) {
            if let Ok(code) = ErrorCode::try_from(number) {
                let outcome = Outcome::refused(&Refusal::new(code, ""));
                assert!(usize::from(outcome.0) < OUTCOMES, "{code:?}");
                assert_ne!(outcome.name(), "ok");
            }
        }
    }
}
