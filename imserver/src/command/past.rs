//! `imserver past`: which past the store has, a new one by hand, and vouching for one that was moved.
//!
//! What changes something is said before it is done, and done only after a yes.

use std::{
    io::{BufRead, IsTerminal, Write},
    path::PathBuf,
};

use storage::{
    GenerationReport, OpenError, PastReport, Timestamp,
    postgres::{PostgresOptions, past as server},
    sqlite::operator,
};

use super::cannot_write;
use crate::{
    config::{Config, Confirmed, NewPast, Past, StoreUrl},
    error::DaemonError,
    stores,
};

/// Generations that are listed, the newest.
const LISTED: usize = 20;

/// A store whose past is asked about.
enum Place {
    Embedded(PathBuf),
    /// With what people call it.
    Server(Box<PostgresOptions>, String),
}

impl Place {
    fn of(config: &Config) -> Self {
        match &config.store.url {
            StoreUrl::Default | StoreUrl::Sqlite(_) => Self::Embedded(config.sqlite_file()),
            StoreUrl::Postgres(url) => {
                let options = stores::postgres_options(config, url);
                Self::Server(Box::new(options), stores::describe(config))
            }
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Embedded(path) => path.display().to_string(),
            Self::Server(_, name) => name.clone(),
        }
    }

    fn report(&self) -> Result<PastReport, OpenError> {
        match self {
            Self::Embedded(path) => operator::report(path),
            Self::Server(options, _) => server::show(options),
        }
    }

    fn begin(&self, why: &str) -> Result<PastReport, OpenError> {
        match self {
            Self::Embedded(path) => operator::begin_past(path, why),
            Self::Server(options, _) => server::new(options, why),
        }
    }

    /// What keeping its past means.
    fn vouching(&self) -> String {
        match self {
            Self::Embedded(_) => format!(
                "{} is checked as a whole. If it is sound, you vouch that it is the store it was: that nothing was \
                 committed to it, or to another copy, that is not in this one; and that you know of the remarks that \
                 `imserver past show` lists. No daemon may use the store meanwhile. What the store's witness says \
                 still counts at the next start.",
                self.describe()
            ),
            Self::Server(..) => format!(
                "You vouch that {} is the store it was, although its server is another one, as after pg_upgrade: that \
                 nothing was committed to it, or to another copy, that is not in this one. No node may have been \
                 started with it there before. A copy of its rows is refused. What nodes and devices remember still \
                 counts.",
                self.describe()
            ),
        }
    }

    fn keep(&self) -> Result<PastReport, OpenError> {
        match self {
            Self::Embedded(path) => operator::keep_past(path),
            Self::Server(options, _) => server::keep(options),
        }
    }
}

pub(super) fn run(past: &Past, config: &Config, output: &mut dyn Write) -> Result<(), DaemonError> {
    let place = Place::of(config);
    match past {
        Past::Show => show(&place.report()?, output),
        Past::New(NewPast { why, confirmed }) => {
            let what = format!(
                "{} gets a new past: a new epoch, log id, generation and token key. Nothing is deleted. Every device \
                 starts over from what the store has, and every sync token loses its meaning. {}",
                place.describe(),
                match place {
                    Place::Embedded(_) => "No daemon may use the store meanwhile.",
                    Place::Server(..) =>
                        "Nodes that use the store end with status 70 and have to be started again.",
                }
            );
            confirm(&what, confirmed, output)?;
            show(&place.begin(why)?, output)
        }
        Past::Keep(confirmed) => {
            let what = place.vouching();
            confirm(&what, confirmed, output)?;
            show(&place.keep()?, output)
        }
    }
}

/// Says what is about to be done, and asks on a terminal. Without one, only `--yes` is a yes.
fn confirm(what: &str, confirmed: &Confirmed, output: &mut dyn Write) -> Result<(), DaemonError> {
    writeln!(output, "{what}").map_err(cannot_write)?;
    if confirmed.yes {
        return Ok(());
    }
    let nothing = || DaemonError::refused("nothing was done: say --yes to do it");
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(nothing());
    }
    write!(output, "Do it? [y/N] ").map_err(cannot_write)?;
    output.flush().map_err(cannot_write)?;
    let mut answer = String::new();
    let read = input.lock().read_line(&mut answer);
    if read.is_ok() && is_yes(&answer) {
        Ok(())
    } else {
        Err(nothing())
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

fn show(report: &PastReport, output: &mut dyn Write) -> Result<(), DaemonError> {
    let mut text = format!(
        "epoch {}, log id {}, newest position {}\n",
        report.epoch, report.log_id, report.horizon.0
    );
    let hidden = report.generations.len().saturating_sub(LISTED);
    if hidden > 0 {
        text.push_str(&format!("{hidden} older generations\n"));
    }
    for generation in report.generations.iter().skip(hidden) {
        text.push_str(&line(generation, report.log_id));
    }
    for remark in &report.remarks {
        text.push_str(&format!("remark: {remark}\n"));
    }
    output.write_all(text.as_bytes()).map_err(cannot_write)
}

fn line(generation: &GenerationReport, log_id: u64) -> String {
    let ends = generation
        .ends
        .map_or_else(|| "…".to_owned(), |ends| ends.0.to_string());
    let past = if generation.log_id == log_id {
        "this past"
    } else {
        "an earlier past"
    };
    format!(
        "generation {:016x}\t{past}\tpositions {} to {ends}\t{}\t{}\n",
        generation.generation.0,
        generation.begins.0,
        utc(generation.at),
        generation.why
    )
}

/// A date and a time of day (RFC 3339), from milliseconds since 1970.
fn utc(at: Timestamp) -> String {
    let seconds = at.0 / 1_000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March, in cycles of 400 of them.
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!(
        "{:04}-{month:02}-{day_of_month:02}T{:02}:{:02}:{:02}Z",
        cycle * 400 + year + next,
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use storage::{Generation, Position};

    use super::*;

    #[test]
    fn times_are_dates() {
        for (at, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_799_999, "2000-02-29T23:59:59Z"),
            (1_796_062_080_000, "2026-11-30T18:08:00Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(Timestamp(at)), date);
        }
    }

    #[test]
    fn a_past_is_shown_with_its_newest_generations() {
        let generation = |number: u64| GenerationReport {
            generation: Generation(number),
            log_id: 1 + u64::from(number > 3),
            begins: Position(number),
            ends: (number < 25).then_some(Position(number + 1)),
            at: Timestamp(0),
            why: "a start".to_owned(),
        };
        let report = PastReport {
            epoch: 9,
            log_id: 2,
            horizon: Position(30),
            generations: (1..=25).map(generation).collect(),
            remarks: vec!["look".to_owned()],
        };
        let mut output = Vec::new();
        show(&report, &mut output).unwrap();
        let text = String::from_utf8(output).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "epoch 9, log id 2, newest position 30");
        assert_eq!(lines[1], "5 older generations");
        assert!(lines[2].starts_with("generation 0000000000000006\tthis past\tpositions 6 to 7\t1970-01-01"));
        assert!(lines[21].contains("positions 25 to …"));
        assert_eq!(lines[22], "remark: look");
    }

    #[test]
    fn only_a_yes_is_a_yes() {
        for (answer, yes) in [
            ("y\n", true),
            (" YES \n", true),
            ("", false),
            ("no", false),
            ("yeah", false),
        ] {
            assert_eq!(is_yes(answer), yes, "{answer:?}");
        }
        let confirmed = Confirmed { yes: false };
        let mut output = Vec::new();
        // Tests have no terminal, or nobody at it.
        if !std::io::stdin().is_terminal() {
            let refused = confirm("what", &confirmed, &mut output).unwrap_err();
            assert!(refused.to_string().contains("--yes"));
            assert_eq!(output, b"what\n");
        }
    }
}
