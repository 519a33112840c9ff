//! Single bits that flip, in the database, its write-ahead log and a backup, at rest and in use: whatever is served
//! afterwards is right, or somebody says that it is not.
//!
//! Allowed is that all answers are as before (the bit was unused), that opening or reading is refused, and that the
//! store begins another past and serves what it had before some commit. Forbidden are other answers in the same past,
//! answers that no state of the store ever gave, and panics.

use std::{
    collections::BTreeMap,
    os::unix::fs::FileExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use disk::{
    answers,
    cache::{Cache, Image, put},
    in_full, script,
};
use storage::{
    ReadError, Store, Write, Writer,
    sqlite::{SqliteStore, backup},
};
use tests::random::Random;

/// Flips in all: over three files, at rest and in use.
const FLIPS: usize = 10_000;
const FLIPS_SHORT: usize = 400;
/// Workers, each with a store of its own.
const WORKERS: usize = 2;
const SEED: u64 = 29;
/// Flips other bits of the same store.
const SEED_OF_BITS: &str = "FLIPS_SEED";
/// Commits that are in the database; the others are only in its log.
const COPIED: usize = 120;
/// The last commits, made by the store in use.
const IN_USE: usize = 12;

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Where {
    Database,
    Log,
    Backup,
    DatabaseInUse,
    LogInUse,
}

const PLACES: [Where; 5] = [
    Where::Database,
    Where::Log,
    Where::Backup,
    Where::DatabaseInUse,
    Where::LogInUse,
];

/// Changes nothing, and is acknowledged.
const WRITE: Write = Write::TouchSessions(Vec::new());

/// What came of one flip.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Outcome {
    /// All answers are as before.
    Right,
    /// It was refused to open, or to read.
    Refused,
    /// Another past began, which says so.
    NewPast,
    /// What must not be.
    Forbidden(String),
}

#[test]
fn no_flipped_bit_is_served_as_if_nothing_were() {
    let flips = if in_full() { FLIPS } else { FLIPS_SHORT };
    let states = script::expected(&script::moves(SEED));
    let mut counts: BTreeMap<(Where, Outcome), usize> = BTreeMap::new();
    std::thread::scope(|scope| {
        let states = &states;
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| scope.spawn(move || flip(worker, flips / WORKERS, states)))
            .collect();
        for worker in workers {
            for (key, count) in worker.join().expect("a worker") {
                *counts.entry(key).or_default() += count;
            }
        }
    });
    let mut forbidden = Vec::new();
    for ((place, outcome), count) in &counts {
        println!("bits flipped, {place:?}: {count} {outcome:?}");
        if let Outcome::Forbidden(what) = outcome {
            forbidden.push(format!("{place:?}: {what}: {count}"));
        }
    }
    let violations: usize = counts
        .iter()
        .filter(|((_, outcome), _)| matches!(outcome, Outcome::Forbidden(_)))
        .map(|(_, count)| count)
        .sum();
    println!(
        "bits flipped: {}, {} commits checked after each, violations: {violations}",
        counts.values().sum::<usize>(),
        states.len() - 1
    );
    assert!(forbidden.is_empty(), "{forbidden:#?}");
}

/// A store that was killed, most of it in the database and some only in its log; the same one a few commits earlier;
/// and a backup of it.
struct Victim {
    directory: tempfile::TempDir,
    image: Image,
    earlier: Image,
    commits: Vec<Vec<Write>>,
    states: Vec<u64>,
    /// What the sound store answers at the end.
    sound: String,
}

impl Victim {
    fn new(states: &[u64]) -> Self {
        let directory = disk::directory();
        let place = directory.path().join("data");
        std::fs::create_dir(&place).unwrap();
        let commits: Vec<Vec<Write>> = script::moves(SEED)
            .into_iter()
            .filter_map(|step| match step {
                script::Move::Commit(writes) => Some(writes),
                _ => None,
            })
            .collect();
        let commit = |writer: &mut dyn Writer, from: usize, to: usize| {
            for writes in &commits[from..to] {
                writer.commit(writes).unwrap();
            }
        };
        let store = script::open(&script::options(&place)).unwrap();
        commit(store.writer().unwrap().as_mut(), 0, COPIED);
        store.close().unwrap();
        drop(store);
        let store = script::open(&script::options(&place)).unwrap();
        let mut writer = store.writer().unwrap();
        let earlier = commits.len() - IN_USE;
        commit(writer.as_mut(), COPIED, earlier);
        // As a kill leaves it: the log is not copied. The shared memory is made again from the log.
        let earlier_image = Cache::of(&place).visible();
        commit(writer.as_mut(), earlier, commits.len());
        let image = Cache::of(&place).visible();
        let sound = answers::text(store.reader().unwrap().as_mut(), &script::questions()).unwrap();
        drop((writer, store));
        let victim = Self {
            directory,
            image,
            earlier: earlier_image,
            commits,
            states: states.to_vec(),
            sound,
        };
        put(&victim.image, &victim.place());
        backup::backup(&victim.database(), &victim.backup()).unwrap();
        victim
    }

    fn place(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn database(&self) -> PathBuf {
        script::database(&self.place())
    }

    fn log(&self) -> PathBuf {
        self.place().join("imserver.db-wal")
    }

    fn backup(&self) -> PathBuf {
        self.directory.path().join("backup.db")
    }

    fn open(&self) -> Result<SqliteStore, String> {
        script::open(&script::options(&self.place())).map_err(|error| error.to_string())
    }

    /// What a store answers against what it should.
    fn judge(&self, store: &SqliteStore) -> Outcome {
        let Ok(mut reader) = store.reader() else {
            return Outcome::Refused;
        };
        let number = match answers::number(reader.as_mut(), &script::questions()) {
            Ok(number) => number,
            Err(ReadError::Fatal(_)) => return Outcome::Refused,
            Err(ReadError::Failed { reason: why, .. }) => {
                return Outcome::Forbidden(format!("damage of which a client is told to try again: {why}"));
            }
        };
        let same_past = (store.epoch(), store.log_id()) == (script::IDENTITY.epoch, script::IDENTITY.log_id);
        let state = self.states.iter().rposition(|state| *state == number);
        match state {
            Some(state) if state == self.states.len() - 1 => Outcome::Right,
            Some(_) if !same_past => Outcome::NewPast,
            Some(_) => Outcome::Forbidden("acknowledged commits are missing without a word".to_owned()),
            None => {
                let text = answers::text(reader.as_mut(), &script::questions()).unwrap_or_default();
                let questions = answers::differing(&text, &self.sound).join(", ");
                Outcome::Forbidden(format!("answers that were never right: {questions}"))
            }
        }
    }

    fn try_one(&self, place: Where, random: &mut Random) -> Outcome {
        let in_use = matches!(place, Where::DatabaseInUse | Where::LogInUse);
        put(if in_use { &self.earlier } else { &self.image }, &self.place());
        match place {
            Where::Database | Where::Log => {
                let file = if place == Where::Log {
                    self.log()
                } else {
                    self.database()
                };
                flip_one(&file, random);
                self.open().map_or(Outcome::Refused, |store| self.judge(&store))
            }
            Where::Backup => {
                let kept = std::fs::read(self.backup()).unwrap();
                flip_one(&self.backup(), random);
                let target = self.directory.path().join("restored");
                let _ = std::fs::remove_dir_all(&target);
                std::fs::create_dir(&target).unwrap();
                let outcome = self.restored(&target);
                disk::cache::overwrite(&self.backup(), &kept);
                outcome
            }
            Where::DatabaseInUse | Where::LogInUse => {
                let Ok(store) = self.open() else {
                    return Outcome::Forbidden("a sound store is refused".to_owned());
                };
                let mut writer = store.writer().unwrap();
                for writes in &self.commits[self.commits.len() - IN_USE..] {
                    writer.commit(writes).unwrap();
                }
                let file = if place == Where::LogInUse {
                    self.log()
                } else {
                    self.database()
                };
                flip_one(&file, random);
                let outcome = self.judge(&store);
                let noticed = outcome == Outcome::Refused;
                if noticed && writer.commit(&[WRITE]).is_ok() {
                    return Outcome::Forbidden(
                        "an acknowledgement by a store that is known to be damaged".to_owned(),
                    );
                }
                // What was noticed may not be forgotten, what was not must still be right after the next start.
                drop(writer);
                let _ = store.close();
                drop(store);
                let again = self.open().map_or(Outcome::Refused, |store| self.judge(&store));
                match (&outcome, again) {
                    (Outcome::Forbidden(_), _) => outcome,
                    (_, Outcome::Forbidden(what)) => {
                        Outcome::Forbidden(format!("after the next start, noticed before: {noticed}: {what}"))
                    }
                    _ => outcome,
                }
            }
        }
    }

    fn restored(&self, target: &Path) -> Outcome {
        let options = storage::sqlite::SqliteOptions {
            path: script::database(target),
            ..script::options(target)
        };
        if backup::restore(&self.backup(), &options.path).is_err() {
            return Outcome::Refused;
        }
        let Ok(store) = script::open(&options) else {
            return Outcome::Refused;
        };
        // A restored store always has another past: it must be whole all the same.
        match self.judge(&store) {
            Outcome::NewPast => Outcome::Forbidden("a backup is restored in part".to_owned()),
            other => other,
        }
    }
}

fn flip_one(path: &Path, random: &mut Random) {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let length = file.metadata().unwrap().len();
    assert!(length > 0, "{} has nothing to flip", path.display());
    let at = random.below(length);
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0] ^= 1 << random.below(8);
    file.write_all_at(&byte, at).unwrap();
}

/// Which bits are flipped: another seed, other bits.
fn seed() -> u64 {
    let given = std::env::var(SEED_OF_BITS).ok();
    given.map_or(SEED, |seed| seed.parse().expect("a number"))
}

fn flip(worker: usize, flips: usize, states: &[u64]) -> BTreeMap<(Where, Outcome), usize> {
    let victim = Victim::new(states);
    let mut random = Random::new(seed() + worker as u64);
    let mut counts = BTreeMap::new();
    for number in 0..flips {
        let place = PLACES[number % PLACES.len()];
        let tried = catch_unwind(AssertUnwindSafe(|| victim.try_one(place, &mut random)));
        let outcome = tried.unwrap_or_else(|_| Outcome::Forbidden("a panic".to_owned()));
        *counts.entry((place, outcome)).or_default() += 1;
    }
    counts
}
