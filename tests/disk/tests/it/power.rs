//! Power cuts: at every flush of a script, whatever the disk had kept of what was not flushed.
//!
//! The script runs once on the fault library, and every image of the disk is computed from its record. Each is opened
//! as a store: what was acknowledged before the cut must be there, in the same past, and at most the one commit that
//! was under way beyond it. The store is asked everything once for each database that SQLite finds in the images, page
//! by page: most images of a moment hold the same one.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Stdio},
};

use disk::{
    answers,
    cache::{self, Cache, Image},
    content::Recovery,
    fault::{self, Action, Fault},
    images, in_full, script,
    trace::{self, Flush, Step},
};
use storage::{Store, sqlite::SqliteStore};
use tests::random::Random;

use crate::world::{World, setup};

/// Scripts side by side: each takes the flushes of its turn.
const SHARDS: usize = 2;
/// In the short selection, every so manieth moment is tried, with so many subsets, and so many images of all.
const SHORT_STEP: usize = 16;
const SHORT_SUBSETS: usize = 12;
const SHORT_IMAGES: usize = 40;
/// A store that breaks its promise does so everywhere.
const VIOLATIONS_MAX: usize = 10;
const SEED: u64 = 13;
/// Through the real daemon: flushes at which it is killed, and images of each that it is started on.
const CUTS: usize = 40;
const CUTS_SHORT: usize = 3;
const STARTS: usize = 24;
const STARTS_SHORT: usize = 5;
/// The first few flushes are the start's.
const FLUSHES_OF_START: usize = 8;

/// The process to be recorded. Without its variables it is a test like others, with nothing to do.
#[test]
fn a_script_to_be_recorded() {
    script::perform_if_asked();
}

#[derive(Debug, Default)]
struct Counts {
    flushes: usize,
    acknowledgements: usize,
    images: usize,
    /// Different databases in them.
    databases: usize,
    checked: usize,
    violations: Vec<String>,
}

#[test]
fn whatever_a_power_cut_leaves_everything_acknowledged_is_there() {
    let moves = script::moves(SEED);
    let expected = script::expected(&moves);
    let mut all = Counts::default();
    let shards: Vec<Shard> = (0..SHARDS).map(Shard::new).collect();
    std::thread::scope(|scope| {
        let expected = &expected;
        let shards: Vec<_> = shards
            .into_iter()
            .map(|shard| scope.spawn(move || shard.cut_power(expected)))
            .collect();
        for shard in shards {
            let counts = shard.join().expect("a shard");
            all.flushes += counts.flushes;
            all.acknowledgements += counts.acknowledgements;
            all.images += counts.images;
            all.databases += counts.databases;
            all.checked += counts.checked;
            all.violations.extend(counts.violations);
        }
    });
    println!(
        "power cuts at {} flushes and after {} acknowledgements: {} crash images, {} different databases in them, \
         {} acknowledged commits checked, violations: {}",
        all.flushes,
        all.acknowledgements,
        all.images,
        all.databases,
        all.checked,
        all.violations.len()
    );
    assert!(all.violations.is_empty(), "{:#?}", all.violations);
    assert!(all.images > all.flushes && all.flushes > 5);
}

/// One recording of the script, of which every so manieth moment is tried.
struct Shard {
    number: usize,
    directory: tempfile::TempDir,
    /// Before the script.
    disk: Cache,
}

impl Shard {
    fn new(number: usize) -> Self {
        let directory = disk::directory();
        let place = directory.path().join("data");
        std::fs::create_dir(&place).unwrap();
        // The store is made before: its making has a test of its own.
        script::open(&script::options(&place)).unwrap().close().unwrap();
        let disk = Cache::of(&place);
        Self {
            number,
            directory,
            disk,
        }
    }

    /// Records the script and tries the images of every moment whose turn it is: of flushes, before they are made, and
    /// of acknowledgements.
    fn cut_power(mut self, expected: &[u64]) -> Counts {
        let place = self.directory.path().join("data");
        let record = self.directory.path().join("record");
        perform(&place, &record);
        let steps = trace::read(&record);
        let noted = file_of(&steps, &place.join(script::ACKNOWLEDGED));
        let every = SHARDS * if in_full() { 1 } else { SHORT_STEP };
        let subsets = if in_full() { images::SUBSETS } else { SHORT_SUBSETS };
        let mut random = Random::new(SEED + self.number as u64);
        let mut counts = Counts::default();
        let mut asked = Asked::new();
        let (mut flushes, mut acknowledged) = (0, 0);
        for (index, call) in steps.iter().enumerate() {
            let is_noted = |file: &u64| Some(*file) == noted;
            let subsets = match call {
                Step::Opened { file, .. } if is_noted(file) => continue,
                Step::Write { file, .. } if is_noted(file) => {
                    acknowledged += 1;
                    if acknowledged % every != self.number {
                        continue;
                    }
                    counts.acknowledgements += 1;
                    // Nothing but the witness should be unflushed.
                    subsets / 10
                }
                Step::Flush(_, Flush::Done) if (flushes + 1) % every == self.number => {
                    counts.flushes += 1;
                    subsets
                }
                _ => 0,
            };
            flushes += usize::from(matches!(call, Step::Flush(..)));
            if subsets > 0 {
                let units = self.disk.unflushed();
                asked.forget();
                let mut survivors: Vec<_> = images::survivors(&units, subsets, &mut random)
                    .into_iter()
                    .collect();
                while !in_full() && survivors.len() > SHORT_IMAGES {
                    let left_out = random.below(survivors.len() as u64);
                    survivors.swap_remove(left_out as usize);
                }
                for kept in survivors {
                    let image = self.disk.cut(&kept);
                    cache::put(&image, &place);
                    counts.images += 1;
                    counts.checked += acknowledged;
                    let checked = check(&place, &image, &mut asked, expected, acknowledged);
                    counts.databases = asked.databases;
                    if let Err(what) = checked {
                        let of = units.len();
                        counts.violations.push(format!(
                            "at call {index}, {flushes} flushes, after {acknowledged} acknowledged commits, {} of {of} \
                             unflushed writes left: {what}",
                            kept.len()
                        ));
                        if counts.violations.len() >= VIOLATIONS_MAX {
                            return counts;
                        }
                    }
                }
            }
            if !matches!(call, Step::Write { file, .. } if is_noted(file)) {
                self.disk.step(call);
            }
        }
        assert_eq!(acknowledged, expected.len() - 1, "the script came to its end");
        counts
    }
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

/// What was answered for the databases of one moment's images.
struct Asked {
    recovery: Recovery,
    answers: Vec<(Vec<u8>, u64)>,
    databases: usize,
}

impl Asked {
    fn new() -> Self {
        Self {
            recovery: Recovery::new(),
            answers: Vec::new(),
            databases: 0,
        }
    }

    /// Other moments have other databases.
    fn forget(&mut self) {
        self.answers.clear();
    }

    /// The number of the store's answers, which it is asked for if its database is a new one.
    fn number(&mut self, store: &SqliteStore, image: &Image, place: &Path) -> Result<u64, String> {
        let pages = self
            .recovery
            .pages(image, place)
            .map_err(|error| error.to_string())?;
        if let Some((_, number)) = self.answers.iter().find(|(known, _)| *known == pages) {
            return Ok(*number);
        }
        let mut reader = store.reader().map_err(|error| error.to_string())?;
        let number =
            answers::number(reader.as_mut(), &script::questions()).map_err(|error| error.to_string())?;
        self.answers.push((pages, number));
        self.databases += 1;
        Ok(number)
    }
}

/// The store opens in the same past, with the answers after the acknowledged commits, or after one more.
fn check(
    place: &Path,
    image: &Image,
    asked: &mut Asked,
    expected: &[u64],
    acknowledged: usize,
) -> Result<(), String> {
    let store = script::open(&script::options(place)).map_err(|error| format!("refused: {error}"))?;
    let found = (store.epoch(), store.log_id());
    if found != (script::IDENTITY.epoch, script::IDENTITY.log_id) {
        return Err("another past, though nothing was lost".to_owned());
    }
    let number = asked.number(&store, image, place)?;
    let allowed = &expected[acknowledged..expected.len().min(acknowledged + 2)];
    if allowed.contains(&number) {
        return Ok(());
    }
    Err(match expected.iter().position(|expected| *expected == number) {
        Some(other) => format!("the store after {other} commits"),
        None => "a store that never was".to_owned(),
    })
}

#[test]
fn a_daemon_that_starts_after_a_power_cut_shows_everything_that_it_acknowledged() {
    let world = World::new();
    let (cuts, starts) = if in_full() {
        (CUTS, STARTS)
    } else {
        (CUTS_SHORT, STARTS_SHORT)
    };
    let mut random = Random::new(SEED);
    let (mut images, mut checked, mut broken) = (0, 0, Vec::new());
    for cut in 0..cuts {
        world.reset();
        let (place, record) = (world.place(), world.beside("record"));
        let _ = std::fs::remove_file(&record);
        let mut disk = Cache::of(&place);
        let fault = Fault {
            action: Action::Kill,
            kinds: "F",
            number: FLUSHES_OF_START + 1 + cut * 2,
            suffix: "",
        };
        let mut first = setup(&place);
        first.environment = fault::environment(&place, Some(&record), Some(&fault));
        let mut traffic = world.traffic();
        if let Ok(mut daemon) = first.try_start() {
            // Until it is killed.
            while traffic.send(daemon.address(), 8, 300) {}
            daemon.ended();
        }
        for step in &trace::read(&record) {
            disk.step(step);
        }
        let units = disk.unflushed();
        let mut survivors: Vec<BTreeSet<u64>> = vec![BTreeSet::new(), units.iter().copied().collect()];
        let all: Vec<_> = images::survivors(&units, images::SUBSETS, &mut random)
            .into_iter()
            .collect();
        while survivors.len() < starts.min(all.len()) {
            survivors.push(all[random.below(all.len() as u64) as usize].clone());
        }
        for kept in survivors {
            cache::put(&disk.cut(&kept), &place);
            images += 1;
            match setup(&place).try_start() {
                Err(ended) => broken.push(format!("{fault}: refused to start: {}", ended.stderr)),
                Ok(mut daemon) => {
                    checked += traffic.acknowledged();
                    let of = units.len();
                    let found = traffic.judge_logs(daemon.address());
                    broken.extend(
                        found
                            .iter()
                            .map(|what| format!("{fault}, {} of {of} left: {what}", kept.len())),
                    );
                    daemon.kill();
                }
            }
        }
    }
    println!(
        "power cuts under a daemon: {cuts}, {images} crash images started on, {checked} messages checked, \
         violations: {}",
        broken.len()
    );
    broken.truncate(VIOLATIONS_MAX);
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(checked > 0);
}
