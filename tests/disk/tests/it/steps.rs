//! A first start, a backup and a restore that are killed at every call: what is left is refused, or is whole.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use disk::{
    answers,
    cache::{Cache, put},
    fault::{self, Action, Fault},
    in_full, script,
    trace::{self, Step},
};
use storage::{
    Store,
    sqlite::{SqliteOptions, SqliteStore, backup},
};
use tests::harness::Daemon;

use crate::world::{end, setup};

/// All calls that change something.
const ALL: &str = "CWTFDMURL";
/// In the short selection so many calls, spread over all of them, and the last few.
const SHORT: usize = 10;
const SHORT_LAST: usize = 4;
/// Commits of the store that is backed up.
const COMMITS: usize = 60;

/// How a killed process left its directory.
#[derive(Clone, Copy, Debug)]
enum After {
    /// As the system still has it.
    Kill,
    /// And then the power went, before anything was written back that was not flushed.
    PowerCut,
}

#[derive(Debug, Default)]
struct Counts {
    killed: usize,
    refused: usize,
    whole: usize,
    absent: usize,
    broken: Vec<String>,
}

impl Counts {
    #[track_caller]
    fn report(&self, what: &str) {
        println!(
            "{what} killed at {} calls: {} left nothing, {} a whole store, {} one that is refused; violations: {}",
            self.killed,
            self.absent,
            self.whole,
            self.refused,
            self.broken.len()
        );
        assert!(self.broken.is_empty(), "{:#?}", self.broken);
        assert!(self.killed > 3);
    }
}

/// The faults that kill at a call: before it, and in the middle of writes.
fn kills(number: usize) -> [Fault; 2] {
    let kill = |action, kinds| Fault {
        action,
        kinds,
        number,
        suffix: "",
    };
    [kill(Action::Kill, ALL), kill(Action::Half, "W")]
}

/// Runs `attempt` with a kill at every call, and shows `judge` what is left each time.
fn at_every_call(
    place: &Path,
    prepare: impl Fn(),
    attempt: impl Fn(Vec<(String, OsString)>) -> bool,
    mut judge: impl FnMut(&Fault, After),
) -> usize {
    let record = place.with_extension("record");
    prepare();
    let _ = std::fs::remove_file(&record);
    assert!(
        attempt(fault::environment(place, Some(&record), None)),
        "it does what it is asked to"
    );
    let steps = trace::read(&record);
    let mut killed = 0;
    for (index, kinds) in [ALL, "W"].into_iter().enumerate() {
        let is_one = |step: &&Step| step.kind().is_some_and(|kind| kinds.contains(kind));
        let calls = steps.iter().filter(is_one).count();
        for number in chosen(calls) {
            let fault = &kills(number)[index];
            for after in [After::Kill, After::PowerCut] {
                prepare();
                let _ = std::fs::remove_file(&record);
                let mut cache = Cache::of(place);
                attempt(fault::environment(place, Some(&record), Some(fault)));
                let steps = trace::read(&record);
                if !steps.contains(&Step::Killed) {
                    // Threads do not always do the same.
                    continue;
                }
                killed += 1;
                if let After::PowerCut = after {
                    for step in &steps {
                        cache.step(step);
                    }
                    put(&cache.cut(&BTreeSet::new()), place);
                }
                judge(fault, after);
            }
        }
    }
    killed
}

/// Which of so many calls are tried.
fn chosen(calls: usize) -> BTreeSet<usize> {
    if in_full() {
        return (1..=calls).collect();
    }
    let spread = (1..=SHORT).map(|index| (index * calls).div_ceil(SHORT));
    let last = calls.saturating_sub(SHORT_LAST)..=calls;
    spread.chain(last).filter(|number| *number > 0).collect()
}

fn clear(place: &Path) {
    let _ = std::fs::remove_dir_all(place);
    std::fs::create_dir(place).unwrap();
}

/// Files of a store, or of one that was being made.
fn leftovers(place: &Path) -> Vec<String> {
    std::fs::read_dir(place)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| !name.ends_with(".lock"))
        .collect()
}

#[test]
fn a_first_start_that_is_killed_leaves_nothing_or_a_whole_store_or_is_refused() {
    let directory = disk::directory();
    let place = directory.path().join("data");
    let mut counts = Counts::default();
    let attempt = |environment| {
        let mut setup = setup(&place);
        setup.environment = environment;
        setup
            .try_start()
            .is_ok_and(|mut daemon| end(&mut daemon).success())
    };
    let mut judged = Vec::new();
    counts.killed = at_every_call(
        &place,
        || clear(&place),
        attempt,
        |fault, after| {
            let left = leftovers(&place);
            let options = SqliteOptions::new(script::database(&place));
            judged.push((fault.clone(), after, left, open_and_use(options)));
        },
    );
    for (fault, after, left, opened) in judged {
        match opened {
            Ok(()) if left.is_empty() => counts.absent += 1,
            Ok(()) => counts.whole += 1,
            Err(Trouble::Refused(why)) if why.len() > 20 => counts.refused += 1,
            Err(trouble) => counts.broken.push(format!("{fault}, {after:?}: {trouble:?}")),
        }
    }
    counts.report("a first start");
}

#[derive(Debug)]
enum Trouble {
    Refused(String),
    #[expect(dead_code, reason = "shown when a test fails")]
    Broken(String),
}

/// Whoever opens a store can use it.
fn open_and_use(options: SqliteOptions) -> Result<(), Trouble> {
    let broken = |what: &dyn std::fmt::Display| Trouble::Broken(what.to_string());
    let store = script::open(&options).map_err(|error| Trouble::Refused(error.to_string()))?;
    let mut writer = store.writer().map_err(|error| broken(&error))?;
    let moves = script::moves(1);
    let mut commits = moves.iter().filter_map(|step| match step {
        script::Move::Commit(writes) => Some(writes),
        _ => None,
    });
    let first = commits.next().expect("a commit");
    let outcomes = writer.commit(first).map_err(|error| broken(&error))?;
    if outcomes.iter().any(Result::is_err) {
        return Err(Trouble::Broken(format!(
            "a new store refuses accounts: {outcomes:?}"
        )));
    }
    Ok(())
}

/// A store with some commits in it, at a place of its own.
fn filled(place: &Path) -> (SqliteStore, u64) {
    std::fs::create_dir(place).unwrap();
    let store = script::open(&script::options(place)).unwrap();
    let mut writer = store.writer().unwrap();
    for step in script::moves(2).iter().take(COMMITS) {
        if let script::Move::Commit(writes) = step {
            writer.commit(writes).unwrap();
        }
    }
    let number = number(&store).unwrap();
    (store, number)
}

fn number(store: &SqliteStore) -> Result<u64, String> {
    let mut reader = store.reader().map_err(|error| error.to_string())?;
    answers::number(reader.as_mut(), &script::questions()).map_err(|error| error.to_string())
}

fn command(words: [&str; 2], file: &Path, data: &Path, environment: Vec<(String, OsString)>) -> Output {
    Command::new(Daemon::binary())
        .args(["--config", "/dev/null"])
        .arg("--data-dir")
        .arg(data)
        .args(words)
        .arg(file)
        .envs(environment)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What is in the store at `path`: the number of its answers.
fn opened(path: PathBuf) -> Result<u64, String> {
    let store = script::open(&SqliteOptions::new(path)).map_err(|error| error.to_string())?;
    number(&store)
}

#[test]
fn a_backup_that_is_killed_leaves_none_or_a_whole_one() {
    let directory = disk::directory();
    let (data, place) = (directory.path().join("data"), directory.path().join("backups"));
    // In use, as most stores are that are backed up.
    let (store, expected) = filled(&data);
    let target = place.join("backup.db");
    let mut counts = Counts::default();
    let attempt = |environment| {
        command(["backup", "--to"], &target, &data, environment)
            .status
            .success()
    };
    let mut judged = Counts::default();
    counts.killed = at_every_call(
        &place,
        || clear(&place),
        attempt,
        |fault, after| {
            if !target.exists() {
                judged.absent += 1;
                return;
            }
            let restored = directory.path().join("restored.db");
            for suffix in ["", "-wal", "-shm", ".lock", ".witness"] {
                let _ = std::fs::remove_file(directory.path().join(format!("restored.db{suffix}")));
            }
            match backup::restore(&target, &restored) {
                Err(error) if error.to_string().len() > 20 => judged.refused += 1,
                Err(error) => judged.broken.push(format!("{fault}, {after:?}: {error}")),
                Ok(_) => match opened(restored) {
                    Ok(found) if found == expected => judged.whole += 1,
                    other => judged.broken.push(format!(
                        "{fault}, {after:?}: a backup of something else: {other:?}"
                    )),
                },
            }
        },
    );
    judged.killed = counts.killed;
    drop(store);
    assert_eq!(
        opened(script::database(&data)),
        Ok(expected),
        "the store itself is as it was"
    );
    judged.report("a backup");
}

#[test]
fn a_restore_that_is_killed_leaves_nothing_or_a_whole_store_or_is_refused() {
    let directory = disk::directory();
    let (data, place) = (directory.path().join("data"), directory.path().join("restored"));
    let (store, expected) = filled(&data);
    drop(store);
    let source = directory.path().join("backup.db");
    backup::backup(&script::database(&data), &source).unwrap();
    let mut judged = Counts::default();
    let attempt = |environment| {
        command(["restore", "--from"], &source, &place, environment)
            .status
            .success()
    };
    let killed = at_every_call(
        &place,
        || clear(&place),
        attempt,
        |fault, after| {
            let left = leftovers(&place);
            match opened(script::database(&place)) {
                Ok(found) if found == expected => judged.whole += 1,
                Ok(_) if left.is_empty() => judged.absent += 1,
                Ok(_) => judged.broken.push(format!(
                    "{fault}, {after:?}: with {left:?} there, it starts as a store with nothing in it"
                )),
                Err(why) if why.len() > 20 => judged.refused += 1,
                Err(why) => judged.broken.push(format!("{fault}, {after:?}: {why}")),
            }
        },
    );
    judged.killed = killed;
    judged.report("a restore");
}
