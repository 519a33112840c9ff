//! Calls that fail under real traffic: each flush, write and change of length in turn, as Linux lets them fail.
//!
//! After each the daemon is ended, what the disk lost is lost, and the daemon starts again: nothing that was
//! acknowledged may be missing or there twice, in the same past, on every device. And whoever saw a disk fail must
//! not have acknowledged anything after it: the daemon ended with 70, or refused to start.

use std::{
    collections::BTreeMap,
    path::Path,
    process::ExitStatus,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use disk::{
    cache::{Cache, put},
    fault::{self, Action, Fault},
    in_full,
    trace::{self, Flush, Step},
};
use tests::harness::{Daemon, PATIENCE};

use crate::world::{Traffic, World, end, setup};

/// Runs side by side.
const WORKERS: usize = 2;
/// The exit code of a daemon whose store failed, and of one that cannot start.
const STORE_FAILED: i32 = 70;
const UNUSABLE: i32 = 1;
/// Events before and after the checkpoint.
const BEFORE: usize = 48;
const AFTER: usize = 32;
/// A checkpoint comes after a second.
const CHECKPOINT: Duration = Duration::from_secs(5);
/// A daemon that was told of a failure ends at once; it lives on if it has not within this.
const TOLD: Duration = Duration::from_secs(5);

/// What one run was.
#[derive(Debug, Default)]
struct Run {
    /// The fault was met.
    hit: bool,
    /// The daemon did not start, or ended by itself.
    ended: bool,
    checked: usize,
    broken: Vec<String>,
}

#[test]
fn whichever_call_fails_nothing_acknowledged_is_missing_and_nothing_more_is_acknowledged() {
    let faults = faults(&calls());
    let next = AtomicUsize::new(0);
    let mut runs: Vec<(String, Run)> = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                scope.spawn(|| {
                    let world = World::new();
                    let mut runs = Vec::new();
                    while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                        runs.push((fault.to_string(), run(&world, Some(fault))));
                    }
                    runs
                })
            })
            .collect();
        for worker in workers {
            runs.extend(worker.join().expect("a worker"));
        }
    });
    let hit = runs.iter().filter(|(_, run)| run.hit).count();
    let ended = runs.iter().filter(|(_, run)| run.ended).count();
    let checked: usize = runs.iter().map(|(_, run)| run.checked).sum();
    let broken: Vec<String> = runs
        .iter()
        .flat_map(|(fault, run)| run.broken.iter().map(move |what| format!("{fault}: {what}")))
        .collect();
    println!(
        "failing calls: {} runs, {hit} met their fault, {ended} ended by themselves; {checked} messages checked, \
         violations: {}",
        runs.len(),
        broken.len()
    );
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(hit * 2 > runs.len(), "most faults are met");
}

/// The files whose calls fail.
const FILES: [&str; 3] = ["-wal", ".db", ".witness"];

/// How many calls of each kind, on each of the files, a run without a fault makes.
fn calls() -> BTreeMap<(char, &'static str), usize> {
    let world = World::new();
    let quiet = run(&world, None);
    assert!(quiet.broken.is_empty(), "without a fault: {:?}", quiet.broken);
    let mut names = BTreeMap::new();
    let mut calls = BTreeMap::new();
    for step in trace::read(&world.beside("record")) {
        let file = match &step {
            Step::Opened { file, path, .. } => {
                let name = path.to_string_lossy();
                let suffix = FILES.into_iter().find(|suffix| name.ends_with(suffix));
                names.insert(*file, suffix);
                continue;
            }
            Step::Write { file, .. } | Step::Length(file, _) | Step::Flush(file, _) => file,
            _ => continue,
        };
        if let (Some(Some(suffix)), Some(kind)) = (names.get(file), step.kind()) {
            *calls.entry((kind, *suffix)).or_default() += 1;
        }
    }
    calls
}

fn faults(calls: &BTreeMap<(char, &'static str), usize>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for ((letter, suffix), count) in calls {
        let (kinds, actions): (_, &[Action]) = match letter {
            'W' => ("W", &[Action::Error, Action::NoSpace, Action::Full, Action::Drop]),
            'T' => ("T", &[Action::Error, Action::NoSpace]),
            _ => ("F", &[Action::Error]),
        };
        // Of the write-ahead log's flushes a few, of all others one is enough for the short selection.
        let short = if (*letter, *suffix) == ('F', "-wal") { 4 } else { 1 };
        let numbers: Vec<usize> = if in_full() {
            (1..=*count).collect()
        } else {
            // Not the last ones: threads do not always do the same.
            (1..=short)
                .map(|index| (index * count).div_ceil(short + 1))
                .collect()
        };
        for action in actions {
            faults.extend(numbers.iter().map(|number| Fault {
                action: *action,
                kinds,
                number: *number,
                suffix,
            }));
        }
    }
    faults
}

fn run(world: &World, fault: Option<&Fault>) -> Run {
    world.reset();
    let (place, record) = (world.place(), world.beside("record"));
    let _ = std::fs::remove_file(&record);
    let mut cache = Cache::of(&place);
    let mut traffic = world.traffic();
    let mut result = Run::default();
    let mut setup = setup(&place);
    setup.environment = fault::environment(&place, Some(&record), fault);
    let (first, status) = match setup.clone().try_start() {
        Err(ended) => (None, ended.status),
        Ok(mut daemon) => {
            traffic.follow(daemon.address());
            let status = live_through(&mut daemon, &mut traffic, &record, fault, &mut result.broken);
            (Some(daemon), status)
        }
    };
    result.ended = !status.success();
    if ![Some(0), Some(UNUSABLE), Some(STORE_FAILED)].contains(&status.code()) {
        result.broken.push(format!("the daemon ended with {status}"));
    }
    let steps = trace::read(&record);
    let is_hit = |step: &Step| matches!(step, Step::Failed(..) | Step::Write { lost: true, .. });
    result.hit = steps.iter().any(is_hit);
    for step in &steps {
        cache.step(step);
    }
    for (path, bytes) in cache.visible() {
        let name = path.to_string_lossy();
        let is_store = name.ends_with(".db") || name.ends_with("-wal");
        if is_store && std::fs::read(&path).ok().as_ref() != Some(&bytes) {
            result.broken.push(format!("the record does not explain {name}"));
        }
    }
    put(&cache.evicted(), &place);
    setup.environment = Vec::new();
    let again = match first {
        None => setup.try_start(),
        Some(mut daemon) => {
            daemon.set_environment(Vec::new());
            daemon.try_start_again().map(|()| daemon)
        }
    };
    match again {
        Err(ended) => result
            .broken
            .push(format!("refused to start again: {}", ended.stderr)),
        Ok(mut daemon) => {
            let address = daemon.address();
            traffic.finish(address);
            traffic.send(address, 4, 0);
            result.checked += traffic.acknowledged();
            result.broken.extend(traffic.judge(address));
            daemon.kill();
        }
    }
    result
}

/// Traffic with a checkpoint in it, and then an end in order, or the daemon's own.
fn live_through(
    daemon: &mut Daemon,
    traffic: &mut Traffic<'_>,
    record: &Path,
    fault: Option<&Fault>,
    broken: &mut Vec<String>,
) -> ExitStatus {
    let address = daemon.address();
    let mut lives = traffic.send(address, BEFORE, 200);
    let mut status = None;
    if lives {
        status = await_checkpoint(daemon);
        lives = status.is_none() && traffic.send(address, AFTER, 200);
    }
    let must_end = !lives || has_failed(record, fault);
    if must_end && status.is_none() {
        status = await_end(daemon, if lives { TOLD } else { PATIENCE });
        if status.is_none() {
            broken.push("the daemon lived on after a failure of its disk".to_owned());
        }
    }
    let by_itself = status.is_some();
    let status = status.unwrap_or_else(|| end(daemon));
    if by_itself && status.code() != Some(STORE_FAILED) {
        broken.push(format!("the daemon ended by itself with {status}"));
    }
    status
}

/// The daemon was told of an error that only the disk's author may forgive.
fn has_failed(record: &Path, fault: Option<&Fault>) -> bool {
    // The witness is a help, and not what the promise stands on.
    let is_error = fault.is_some_and(|fault| fault.action == Action::Error && fault.suffix != ".witness");
    trace::read(record).iter().any(|step| match step {
        Step::Failed(..) => is_error,
        Step::Flush(_, outcome) => *outcome == Flush::Told,
        _ => false,
    })
}

/// The checkpointer has copied something; or the daemon's end.
fn await_checkpoint(daemon: &mut Daemon) -> Option<ExitStatus> {
    let database = daemon.database();
    let changed = || {
        std::fs::metadata(&database)
            .and_then(|state| state.modified())
            .ok()
    };
    let before = changed();
    let until = Instant::now() + CHECKPOINT;
    while changed() == before && Instant::now() < until {
        if let Some(status) = daemon.has_ended() {
            return Some(status);
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    None
}

fn await_end(daemon: &mut Daemon, patience: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + patience;
    loop {
        if let Some(status) = daemon.has_ended() {
            return Some(status);
        }
        if Instant::now() > until {
            return None;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
