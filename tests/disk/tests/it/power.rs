//! Power cuts: at every flush of a script, whatever the disk had kept of what was not flushed.
//!
//! The script runs once on the fault library, and every image of the disk is computed from its record. Each is opened
//! as a store: what was acknowledged before the cut must be there, in the same past, and at most the one commit that
//! was under way beyond it.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
};

use disk::{
    answers, cache,
    cache::Cache,
    fault, images, in_full, script,
    trace::{self, Flush, Step},
};
use storage::{Store, sqlite::SqliteStore};
use tests::random::Random;

/// Scripts side by side: each takes the flushes of its turn.
const SHARDS: usize = 2;
/// In the short selection, every so manieth flush is tried, with so many subsets.
const SHORT_STEP: usize = 24;
const SHORT_SUBSETS: usize = 12;
const SEED: u64 = 13;

/// The process to be recorded. Without its variables it is a test like others, with nothing to do.
#[test]
fn a_script_to_be_recorded() {
    script::perform_if_asked();
}

#[derive(Debug, Default)]
struct Counts {
    flushes: usize,
    images: usize,
    acknowledged: usize,
    violations: Vec<String>,
}

#[test]
fn whatever_a_power_cut_leaves_everything_acknowledged_is_there() {
    let moves = script::moves(SEED);
    let expected = script::expected(&moves);
    let mut all = Counts::default();
    std::thread::scope(|scope| {
        let shards: Vec<_> = (0..SHARDS)
            .map(|shard| {
                let expected = &expected;
                scope.spawn(move || cut_power(shard, expected))
            })
            .collect();
        for shard in shards {
            let counts = shard.join().expect("a shard");
            all.flushes += counts.flushes;
            all.images += counts.images;
            all.acknowledged += counts.acknowledged;
            all.violations.extend(counts.violations);
        }
    });
    println!(
        "power cuts at {} flushes: {} crash images, {} acknowledged commits checked in them, violations: {}",
        all.flushes,
        all.images,
        all.acknowledged,
        all.violations.len()
    );
    assert!(
        all.violations.is_empty(),
        "{:#?}",
        &all.violations[..all.violations.len().min(10)]
    );
    assert!(all.images > all.flushes && all.flushes > 5);
}

/// Records the script and tries the images of every flush whose turn it is.
fn cut_power(shard: usize, expected: &[u64]) -> Counts {
    let directory = disk::directory();
    let place = directory.path().join("data");
    std::fs::create_dir(&place).unwrap();
    // The store is made before: its making has a test of its own.
    SqliteStore::open(script::options(&place))
        .unwrap()
        .close()
        .unwrap();
    let record = directory.path().join("record");
    let mut disk = Cache::of(&place);
    perform(&place, &record);
    let steps = trace::read(&record);
    let acknowledged_file = file_of(&steps, &place.join(script::ACKNOWLEDGED));
    let step = if in_full() { 1 } else { SHORT_STEP };
    let subsets = if in_full() { images::SUBSETS } else { SHORT_SUBSETS };
    let mut random = Random::new(SEED + shard as u64);
    let mut counts = Counts::default();
    let (mut flushes, mut acknowledged) = (0, 0);
    let mut tried: BTreeMap<usize, usize> = BTreeMap::new();
    for (index, call) in steps.iter().enumerate() {
        match call {
            Step::Write { file, .. } if Some(*file) == acknowledged_file => {
                acknowledged += 1;
                continue;
            }
            Step::Opened { file, .. } if Some(*file) == acknowledged_file => continue,
            Step::Flush(_, Flush::Done) => {
                flushes += 1;
                if flushes % (SHARDS * step) == shard {
                    counts.flushes += 1;
                    *tried.entry(acknowledged).or_default() += 1;
                    let units = disk.unflushed();
                    for kept in images::survivors(&units, subsets, &mut random) {
                        cache::put(&disk.cut(&kept), &place);
                        counts.images += 1;
                        counts.acknowledged += acknowledged;
                        if let Err(what) = check(&place, expected, acknowledged) {
                            let of = units.len();
                            counts.violations.push(format!(
                                "at call {index}, flush {flushes}, after {acknowledged} acknowledged commits, \
                                 {} of {of} unflushed writes left: {what}",
                                kept.len()
                            ));
                        }
                    }
                }
            }
            _ => {}
        }
        disk.step(call);
    }
    let commits = expected.len() - 1;
    assert_eq!(acknowledged, commits, "the script came to its end");
    counts
}

fn perform(place: &Path, record: &Path) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "power::a_script_to_be_recorded", "--nocapture"])
        .envs(fault::environment(place, Some(record), None))
        .env(script::DIRECTORY, place)
        .env(script::SEED, SEED.to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "the script: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn file_of(steps: &[Step], name: &Path) -> Option<u64> {
    steps.iter().find_map(|step| match step {
        Step::Opened { file, path, .. } if path == name => Some(*file),
        _ => None,
    })
}

/// The store opens in the same past, with the answers after the acknowledged commits, or after one more.
fn check(place: &Path, expected: &[u64], acknowledged: usize) -> Result<(), String> {
    let store = SqliteStore::open(script::options(place)).map_err(|error| format!("refused: {error}"))?;
    let found = (store.epoch(), store.log_id());
    if found != (script::IDENTITY.epoch, script::IDENTITY.log_id) {
        return Err("another past, though nothing was lost".to_owned());
    }
    let mut reader = store.reader().map_err(|error| error.to_string())?;
    let number = answers::number(reader.as_mut(), &script::questions()).map_err(|error| error.to_string())?;
    let allowed = &expected[acknowledged..expected.len().min(acknowledged + 2)];
    if allowed.contains(&number) {
        return Ok(());
    }
    Err(match expected.iter().position(|expected| *expected == number) {
        Some(other) => format!("the store after {other} commits"),
        None => "a store that never was".to_owned(),
    })
}
