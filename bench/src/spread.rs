//! One load over several processes, where one may not have as many connections as are wanted: each is this
//! program again with a part of the work.
//!
//! ```text
//!   parent                              child
//!     accounts, an empty line    ──▶
//!                                ◀──   "ready"
//!     "go"                       ──▶
//!                                ◀──   "measuring", {"progress": …}, "measured", {"outcome": …}
//! ```

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use serde_json::{Value, json};

use crate::{
    BenchError,
    accounts::{parse, to_line},
    dialect::Account,
    load::Part,
    outcome::Outcome,
    watch::{Local, PROGRESS_EVERY, Usage, Watch},
};

/// Lines of all children that were read and not looked at.
const LINES_MAX: usize = 256;
const READY: &str = "ready";
const MEASURING: &str = "measuring";
const MEASURED: &str = "measured";

/// The children. Dropped, they are ended.
struct Family(Vec<(Child, ChildStdin)>);

impl Drop for Family {
    fn drop(&mut self) {
        for (child, _) in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs the same command once for each of these shares of the accounts, and puts together what they found.
pub(crate) fn run(shares: &[&[Account]], local: &mut Local) -> Result<Outcome, BenchError> {
    let program = std::env::current_exe()?;
    let (sender, lines) = sync_channel(LINES_MAX);
    let mut family = Family(Vec::new());
    for (index, accounts) in shares.iter().enumerate() {
        let mut child = Command::new(&program)
            .args(["--part", &format!("{index}/{}", shares.len())])
            .args(std::env::args_os().skip(1))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(BenchError::Other("a process without pipes".to_owned()));
        };
        for account in *accounts {
            writeln!(stdin, "{}", to_line(account))?;
        }
        writeln!(stdin)?;
        stdin.flush()?;
        let sender = sender.clone();
        std::thread::spawn(move || forward(index, BufReader::new(stdout), &sender));
        family.0.push((child, stdin));
    }
    drop(sender);
    collect(&mut family, &lines, local)
}

/// Hands on what a child says, until it ends.
fn forward(index: usize, stdout: impl BufRead, lines: &SyncSender<(usize, Option<Value>)>) {
    for line in stdout.lines().map_while(Result::ok) {
        let Ok(value) = serde_json::from_str(&line) else {
            continue;
        };
        if lines.send((index, Some(value))).is_err() {
            return;
        }
    }
    let _ = lines.send((index, None));
}

fn collect(
    family: &mut Family,
    lines: &Receiver<(usize, Option<Value>)>,
    local: &mut Local,
) -> Result<Outcome, BenchError> {
    let count = family.0.len();
    let (mut ready, mut measuring, mut measured) = (0, 0, 0);
    let mut progress = vec![(0, 0); count];
    let mut outcomes = vec![None; count];
    while outcomes.iter().any(Option::is_none) {
        let Ok((index, said)) = lines.recv() else {
            return Err(BenchError::Other("a process of the load ended early".to_owned()));
        };
        let Some(said) = said else {
            // Why it ended stands on standard error, where it said so itself.
            if outcomes.get(index).is_none_or(Option::is_none) {
                return Err(BenchError::Other("a process of the load gave up".to_owned()));
            }
            continue;
        };
        match said.as_str() {
            Some(READY) => {
                ready += 1;
                if ready == count {
                    local.ready()?;
                    for (_, stdin) in &mut family.0 {
                        writeln!(stdin, "go")?;
                        stdin.flush()?;
                    }
                }
            }
            Some(MEASURING) => {
                measuring += 1;
                if measuring == 1 {
                    local.measuring();
                }
            }
            Some(MEASURED) => {
                measured += 1;
                if measured == count {
                    local.measured();
                }
            }
            _ => {}
        }
        if let (Some(known), Some([acked, delivered])) = (
            progress.get_mut(index),
            said.get("progress").and_then(Value::as_array).map(Vec::as_slice),
        ) {
            *known = (acked.as_u64().unwrap_or(0), delivered.as_u64().unwrap_or(0));
            let sum = progress
                .iter()
                .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            local.progress(sum.0, sum.1);
        }
        if let Some(outcome) = said.get("outcome").and_then(Outcome::from_json)
            && let Some(place) = outcomes.get_mut(index)
        {
            *place = Some(outcome);
        }
    }
    let mut merged = Outcome::default();
    for outcome in outcomes.iter().flatten() {
        merged.merge(outcome);
    }
    Ok(merged)
}

/// The other end: the load of this process is part of a larger one.
pub(crate) struct Reporting {
    usage: Usage,
    last: Option<std::time::Instant>,
}

impl Reporting {
    pub(crate) fn new() -> Self {
        Self {
            usage: Usage::new(Vec::new()),
            last: None,
        }
    }

    /// The accounts of this part.
    pub(crate) fn accounts() -> Vec<Account> {
        let lines: Vec<String> = std::io::stdin()
            .lines()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        parse(lines.iter().map(String::as_str))
    }

    /// Says what was found.
    pub(crate) fn finish(&self, mut outcome: Outcome) -> Result<(), BenchError> {
        self.usage.add_to(&mut outcome);
        say(&json!({ "outcome": outcome.to_json() }))
    }
}

impl Watch for Reporting {
    fn ready(&mut self) -> Result<(), BenchError> {
        say(&json!(READY))?;
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        if line.trim() == "go" {
            Ok(())
        } else {
            Err(BenchError::Other("the other processes are gone".to_owned()))
        }
    }

    fn measuring(&mut self) {
        let _ = say(&json!(MEASURING));
        self.usage.begin();
    }

    fn measured(&mut self) {
        self.usage.end();
        let _ = say(&json!(MEASURED));
    }

    fn progress(&mut self, acked: u64, delivered: u64) {
        if self.last.is_none_or(|last| last.elapsed() > PROGRESS_EVERY) {
            self.last = Some(std::time::Instant::now());
            let _ = say(&json!({ "progress": [acked, delivered] }));
        }
    }
}

fn say(what: &Value) -> Result<(), BenchError> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}")?;
    out.flush()?;
    Ok(())
}

/// As `--part` is written: index and number of parts.
pub(crate) fn parse_part(text: &str) -> Result<Part, String> {
    let part = text.split_once('/').and_then(|(index, of)| {
        Some(Part {
            index: index.parse().ok()?,
            of: of.parse().ok()?,
        })
    });
    part.filter(|part| part.index < part.of)
        .ok_or_else(|| format!("`{text}` is no part, as in 0/2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read() {
        assert_eq!(parse_part("1/3"), Ok(Part { index: 1, of: 3 }));
        for wrong in ["3/3", "1", "a/b", "0/0"] {
            assert!(parse_part(wrong).is_err());
        }
    }
}
