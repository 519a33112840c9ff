//! A model of the system's page cache over one directory: what programs read, and what is on the disk.
//!
//! It owns the rules of Linux that matter here: what was written is visible at once and durable after a flush; a
//! flush that failed loses the pages it was to write, which stay visible, clean, until they are evicted. It must
//! never guess: which of the unflushed writes a power cut leaves is for its caller to choose.
//!
//! Names count as durable at once, the contents of files do not: the stricter order for whoever names a file that
//! was not flushed. Files in shared memory (`-shm`) are not on any disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use crate::trace::{Flush, Step};

/// What the system writes back as a whole.
const PAGE_BYTES: usize = 4096;
/// The end of the name of a file that the store writes and never flushes.
const NEVER_FLUSHED: &str = ".witness";
/// Of such a file so many of the newest writes may be missing; the system writes what is older back by itself.
const UNFLUSHED_MAX: usize = 8;

/// The files of a directory, by name.
pub type Image = BTreeMap<PathBuf, Vec<u8>>;

/// A write that may be missing after a power cut: a part of one page, or a new length.
#[derive(Clone, Debug)]
struct Unit {
    /// Over all files.
    number: u64,
    change: Change,
}

#[derive(Clone, Debug)]
enum Change {
    Bytes(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Bytes(offset, data) => {
                let end = offset + data.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*offset..end].copy_from_slice(data);
            }
            Self::Length(length) => to.resize(*length, 0),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Content {
    durable: Vec<u8>,
    visible: Vec<u8>,
    pending: Vec<Unit>,
    dirty: BTreeSet<usize>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    files: BTreeMap<u64, Content>,
    names: BTreeMap<PathBuf, u64>,
    units: u64,
}

impl Cache {
    /// What is in a directory now, all of it durable.
    ///
    /// # Panics
    /// It cannot be read.
    pub fn of(directory: &Path) -> Self {
        let mut cache = Self::default();
        for entry in std::fs::read_dir(directory).expect("the directory") {
            let path = entry.expect("an entry").path();
            if !path.is_file() || is_memory(&path) {
                continue;
            }
            let bytes = std::fs::read(&path).expect("a file");
            let file = std::fs::metadata(&path).expect("a file").ino();
            cache.files.insert(
                file,
                Content {
                    durable: bytes.clone(),
                    visible: bytes,
                    ..Content::default()
                },
            );
            cache.names.insert(path, file);
        }
        cache
    }

    /// One call more was made.
    pub fn step(&mut self, step: &Step) {
        match step {
            Step::Opened { file, made, path } => {
                if is_memory(path) {
                    return;
                }
                if *made {
                    self.files.insert(*file, Content::default());
                } else if self.names.contains_key(path) || !self.files.contains_key(file) {
                    return;
                } else {
                    // Renamed by a call that goes to the system past its library.
                    self.names.retain(|_, named| named != file);
                }
                self.names.insert(path.clone(), *file);
            }
            Step::Write {
                file,
                offset,
                data,
                lost,
            } => self.write(*file, *offset, data, *lost),
            Step::Length(file, length) => {
                self.units += 1;
                let number = self.units;
                if let Some(content) = self.files.get_mut(file) {
                    let change = Change::Length(*length);
                    change.apply(&mut content.visible);
                    content.dirty.retain(|page| page * PAGE_BYTES < *length);
                    content.pending.push(Unit { number, change });
                }
            }
            Step::Flush(file, outcome) => {
                if let Some(content) = self.files.get_mut(file) {
                    if *outcome != Flush::Lost {
                        content.write_back();
                    }
                    content.durable.resize(content.visible.len(), 0);
                    content.dirty.clear();
                    content.pending.clear();
                }
            }
            Step::Removed(path) => {
                self.names.remove(path);
            }
            Step::Renamed(from, to) => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                }
            }
            Step::Linked(from, to) => {
                if let Some(file) = self.names.get(from).copied() {
                    self.names.insert(to.clone(), file);
                }
            }
            Step::Directory | Step::MadeDirectory | Step::Failed(..) | Step::Killed => {}
        }
    }

    fn write(&mut self, file: u64, offset: usize, data: &[u8], lost: bool) {
        let Some(content) = self.files.get_mut(&file) else {
            return;
        };
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let page = at / PAGE_BYTES;
            let length = rest.len().min((page + 1) * PAGE_BYTES - at);
            let (part, after) = rest.split_at(length);
            let change = Change::Bytes(at, part.to_vec());
            change.apply(&mut content.visible);
            if lost {
                content.dirty.remove(&page);
                content.pending.retain(|unit| !unit.is_in(page));
            } else {
                content.dirty.insert(page);
                self.units += 1;
                content.pending.push(Unit {
                    number: self.units,
                    change,
                });
            }
            at += length;
            rest = after;
        }
    }

    /// What programs see.
    pub fn visible(&self) -> Image {
        self.image(|content| content.visible.clone())
    }

    /// What is there after the system has written back what it still could, and has evicted everything: what was lost
    /// is as it was before.
    pub fn evicted(&self) -> Image {
        self.image(|content| {
            let mut content = content.clone();
            content.write_back();
            content.durable.resize(content.visible.len(), 0);
            content.durable
        })
    }

    /// The unflushed writes in the order they were made.
    pub fn unflushed(&mut self) -> Vec<u64> {
        let mut numbers = Vec::new();
        let unflushed: BTreeSet<u64> = self
            .names
            .iter()
            .filter(|(path, _)| path.to_string_lossy().ends_with(NEVER_FLUSHED))
            .map(|(_, file)| *file)
            .collect();
        for (file, content) in &mut self.files {
            if content.pending.len() > UNFLUSHED_MAX && unflushed.contains(file) {
                let old = content.pending.len() - UNFLUSHED_MAX;
                for unit in content.pending.drain(..old) {
                    unit.change.apply(&mut content.durable);
                }
            }
            numbers.extend(content.pending.iter().map(|unit| unit.number));
        }
        numbers.sort_unstable();
        numbers
    }

    /// What a power cut leaves: what is durable, and of the unflushed writes those that are `kept`.
    pub fn cut(&self, kept: &BTreeSet<u64>) -> Image {
        self.image(|content| {
            let mut bytes = content.durable.clone();
            for unit in &content.pending {
                if kept.contains(&unit.number) {
                    unit.change.apply(&mut bytes);
                }
            }
            bytes
        })
    }

    fn image(&self, bytes: impl Fn(&Content) -> Vec<u8>) -> Image {
        self.names
            .iter()
            .filter_map(|(path, file)| Some((path.clone(), bytes(self.files.get(file)?))))
            .collect()
    }
}

impl Unit {
    const fn is_in(&self, page: usize) -> bool {
        match &self.change {
            Change::Bytes(offset, _) => *offset / PAGE_BYTES == page,
            Change::Length(_) => false,
        }
    }
}

impl Content {
    fn write_back(&mut self) {
        for page in &self.dirty {
            let from = page * PAGE_BYTES;
            let end = self.visible.len().min(from + PAGE_BYTES);
            if self.durable.len() < end {
                self.durable.resize(end, 0);
            }
            if from < end {
                self.durable[from..end].copy_from_slice(&self.visible[from..end]);
            }
        }
    }
}

fn is_memory(path: &Path) -> bool {
    path.to_string_lossy().ends_with("-shm")
}

/// Puts an image into its directory: over the files that are there, so that each stays the same file, and nothing
/// else beside them.
///
/// # Panics
/// The directory cannot be written to.
pub fn put(image: &Image, directory: &Path) {
    for entry in std::fs::read_dir(directory).expect("the directory") {
        let path = entry.expect("an entry").path();
        if path.is_file() && !image.contains_key(&path) {
            std::fs::remove_file(path).expect("removed");
        }
    }
    for (path, bytes) in image {
        overwrite(path, bytes);
    }
}

/// Gives a file these bytes; it stays the same file.
///
/// # Panics
/// It cannot be written to.
pub fn overwrite(path: &Path, bytes: &[u8]) {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .expect("a file");
    write_all(&file, bytes);
}

fn write_all(file: &File, bytes: &[u8]) {
    file.set_len(bytes.len() as u64).expect("its length");
    file.write_all_at(bytes, 0).expect("written");
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: u64 = 7;

    fn write(offset: usize, data: &[u8]) -> Step {
        Step::Write {
            file: FILE,
            offset,
            data: data.to_vec(),
            lost: false,
        }
    }

    fn opened() -> Cache {
        let mut cache = Cache::default();
        cache.step(&Step::Opened {
            file: FILE,
            made: true,
            path: PathBuf::from("a"),
        });
        cache
    }

    fn bytes(image: &Image) -> &[u8] {
        &image[Path::new("a")]
    }

    #[test]
    fn what_is_not_flushed_may_be_missing() {
        let mut cache = opened();
        cache.step(&write(0, b"one"));
        cache.step(&Step::Flush(FILE, Flush::Done));
        cache.step(&write(1, b"NE"));
        cache.step(&write(3, b"!"));
        let units = cache.unflushed();
        assert_eq!(bytes(&cache.cut(&BTreeSet::new())), b"one");
        assert_eq!(bytes(&cache.cut(&BTreeSet::from([units[1]]))), b"one!");
        assert_eq!(bytes(&cache.cut(&units.into_iter().collect())), b"oNE!");
        assert_eq!(bytes(&cache.visible()), b"oNE!");
    }

    #[test]
    fn a_failed_flush_loses_what_it_should_have_written_and_later_ones_do_not_bring_it_back() {
        let mut cache = opened();
        cache.step(&write(0, b"one"));
        cache.step(&Step::Flush(FILE, Flush::Done));
        cache.step(&write(0, b"two"));
        cache.step(&write(PAGE_BYTES, b"page"));
        cache.step(&Step::Flush(FILE, Flush::Lost));
        assert_eq!(&bytes(&cache.visible())[..3], b"two");
        cache.step(&write(PAGE_BYTES, b"PAGE"));
        cache.step(&Step::Flush(FILE, Flush::Done));
        let image = cache.evicted();
        assert_eq!(
            &bytes(&image)[..3],
            b"one",
            "lost, though a flush succeeded since"
        );
        assert_eq!(
            &bytes(&image)[PAGE_BYTES..],
            b"PAGE",
            "written again, and flushed"
        );
    }
}
