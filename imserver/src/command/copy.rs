//! `imserver copy`: from the embedded store to PostgreSQL. How far it has got goes to the log, once a second at most.

use std::{
    io::Write,
    path::PathBuf,
    time::{Duration, Instant},
};

use storage::copy::{self, Progress, Report, Step};

use super::cannot_write;
use crate::{
    config::{Config, Copy, SecretUrl, StoreUrl},
    error::DaemonError,
    stores,
};

/// Between two lines about the same step.
const SAY_EVERY: Duration = Duration::from_secs(1);
/// Seen by the database, and unlike the name of any node.
const APPLICATION_NAME: &str = "imserver copy";

/// Copies, compares, and says what was copied.
pub(super) fn run(arguments: &Copy, config: &Config, output: &mut dyn Write) -> Result<(), DaemonError> {
    let from = embedded(&arguments.from)?;
    let to = postgres(&arguments.to)?;
    let mut options = stores::postgres_options(config, &to);
    APPLICATION_NAME.clone_into(&mut options.application_name);
    let mut said = Said::default();
    let report = copy::copy(&from, options, &mut |progress| {
        if said.is_to_say(progress, Instant::now()) {
            let (rows, of) = (progress.rows, progress.of);
            match progress.step {
                Step::Copying => log::info!("copied {rows} of {of} rows"),
                Step::Comparing => log::info!("compared {rows} of {of} rows"),
            }
        }
    })?;
    let Report {
        users,
        sessions,
        conversations,
        events,
        copying,
        comparing,
    } = report;
    writeln!(
        output,
        "copied and compared: {users} accounts, {sessions} sessions, {conversations} conversations, {events} events \
         ({:.1} s and {:.1} s)",
        copying.as_secs_f64(),
        comparing.as_secs_f64()
    )
    .map_err(cannot_write)
}

fn embedded(url: &SecretUrl) -> Result<PathBuf, DaemonError> {
    match url.expose().parse() {
        Ok(StoreUrl::Sqlite(path)) => Ok(path),
        _ => Err(DaemonError::refused(
            "--from is the embedded store to copy: sqlite:PATH",
        )),
    }
}

fn postgres(url: &SecretUrl) -> Result<SecretUrl, DaemonError> {
    match url.expose().parse() {
        Ok(StoreUrl::Postgres(url)) => Ok(url),
        _ => Err(DaemonError::refused(
            "--to is the PostgreSQL database to copy into: postgres://USER@HOST/DATABASE",
        )),
    }
}

/// What was said last, and when.
#[derive(Debug, Default)]
struct Said(Option<(Step, Instant)>);

impl Said {
    fn is_to_say(&mut self, progress: Progress, now: Instant) -> bool {
        let last = self.0.filter(|(step, _)| *step == progress.step);
        let due = last.is_none_or(|(_, at)| now.saturating_duration_since(at) >= SAY_EVERY);
        if due {
            self.0 = Some((progress.step, now));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_kind_of_store_is_taken_for_either() {
        for url in ["", "postgres://secret@db/im", "sqlite:", "mysql://secret@db"] {
            let error = embedded(&url.into()).unwrap_err().to_string();
            assert!(error.contains("--from") && !error.contains("secret"), "{error}");
        }
        assert_eq!(embedded(&"sqlite:a.db".into()).unwrap(), PathBuf::from("a.db"));
        for url in ["", "sqlite:a.db", "mysql://secret@db"] {
            let error = postgres(&url.into()).unwrap_err().to_string();
            assert!(error.contains("--to") && !error.contains("secret"), "{error}");
        }
        let url = SecretUrl::from("postgresql://db/im");
        assert_eq!(postgres(&url).unwrap(), url);
    }

    #[test]
    fn each_step_is_spoken_of_now_and_then() {
        let begin = Instant::now();
        let mut said = Said::default();
        let mut is_to_say = |step, after| {
            let progress = Progress { step, rows: 1, of: 2 };
            said.is_to_say(progress, begin + after)
        };
        assert!(is_to_say(Step::Copying, Duration::ZERO));
        assert!(!is_to_say(Step::Copying, SAY_EVERY / 2));
        assert!(is_to_say(Step::Copying, SAY_EVERY));
        assert!(is_to_say(Step::Comparing, SAY_EVERY));
        assert!(!is_to_say(Step::Comparing, SAY_EVERY * 3 / 2));
    }
}
