//! The witness: a small file beside the database that remembers the store's standing at the last acknowledgement.
//!
//! It exists because SQLite ends the recovery of its write-ahead log at the first bad checksum without an error: the
//! commits behind that are gone, and nothing inside the database can tell. After the flush of a commit and before its
//! answers, the commit's [`Standing`] is written here, without a flush. So it is never ahead of the durable commits and
//! raises no false alarm. After a kill it is exact; after a power cut it may lag behind.
//!
//! Two slots take turns, so that one is whole while the other is written. A slot is eight numbers, little-endian: a
//! magic number, log id, generation, commits, position, chain, 0, and the sum of these seven.

use std::{
    fs::File,
    io::{ErrorKind, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::{names, standing::Standing, sum::Sum};
use crate::{error::OpenError, past::Generation, types::Position};

const MAGIC: u64 = u64::from_le_bytes(*b"imswit01");
const SLOT_BYTES: usize = 64;
/// The distance of the slots, so that no sector holds both.
const SLOT_AT: [u64; 2] = [0, 4_096];
const FILE_BYTES: u64 = 4_096 + SLOT_BYTES as u64;

/// The content of a witness file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Said {
    /// There is no file.
    Nothing,
    /// It cannot be read.
    Garbled,
    Seen(Standing),
}

/// An open witness file.
#[derive(Debug)]
pub(super) struct Witness {
    path: PathBuf,
    file: File,
    said: Said,
}

impl Witness {
    /// Opens the file, or creates an empty one.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let cannot = |error: std::io::Error| {
            OpenError::failed(format!("{} cannot be used: {error}", path.display()), error)
        };
        let (file, said) = match File::options().read(true).write(true).open(path) {
            Ok(mut file) => {
                let mut bytes = Vec::new();
                Read::by_ref(&mut file)
                    .take(FILE_BYTES)
                    .read_to_end(&mut bytes)
                    .map_err(cannot)?;
                (file, read(&bytes))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                (names::create_private(path).map_err(cannot)?, Said::Nothing)
            }
            Err(error) => return Err(cannot(error)),
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            said,
        })
    }

    /// Its content when it was opened.
    pub(super) const fn said(&self) -> Said {
        self.said
    }

    /// Takes it over for a start: writes both slots and flushes them, so that later writes need no room and no flush.
    pub(super) fn begin(&self, standing: &Standing) -> std::io::Result<()> {
        self.file.set_len(FILE_BYTES)?;
        for at in SLOT_AT {
            self.file.write_all_at(&slot(standing), at)?;
        }
        self.file.sync_all()?;
        names::sync_directory(&self.path)
    }

    /// Notes a durable commit.
    pub(super) fn note(&self, standing: &Standing) -> std::io::Result<()> {
        let at = SLOT_AT[usize::from(standing.commits % 2 == 1)];
        self.file.write_all_at(&slot(standing), at)
    }
}

fn slot(standing: &Standing) -> [u8; SLOT_BYTES] {
    let numbers = [
        MAGIC,
        standing.log_id,
        standing.generation.0,
        standing.commits,
        standing.position.0,
        standing.chain,
        0,
    ];
    let sum = numbers.iter().fold(Sum::new(), |sum, number| sum.number(*number));
    let mut bytes = [0; SLOT_BYTES];
    let (places, _) = bytes.as_chunks_mut::<8>();
    for (place, number) in places.iter_mut().zip(numbers.iter().chain(&[sum.finish()])) {
        *place = number.to_le_bytes();
    }
    bytes
}

fn read(bytes: &[u8]) -> Said {
    if bytes.is_empty() {
        return Said::Nothing;
    }
    let slots = SLOT_AT
        .iter()
        .filter_map(|at| read_slot(bytes.get(usize::try_from(*at).ok()?..)?));
    slots
        .max_by_key(|standing| standing.commits)
        .map_or(Said::Garbled, Said::Seen)
}

fn read_slot(bytes: &[u8]) -> Option<Standing> {
    let bytes = bytes.get(..SLOT_BYTES)?;
    let (words, _) = bytes.as_chunks::<8>();
    let number = |index: usize| words.get(index).copied().map(u64::from_le_bytes);
    let standing = Standing {
        log_id: number(1)?,
        generation: Generation(number(2)?),
        commits: number(3)?,
        position: Position(number(4)?),
        chain: number(5)?,
    };
    (slot(&standing) == bytes).then_some(standing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(commits: u64) -> Standing {
        Standing {
            log_id: 1,
            generation: Generation(2),
            commits,
            position: Position(commits * 3),
            chain: commits * 5,
        }
    }

    #[test]
    fn says_the_newest_and_survives_one_torn_slot() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("witness");
        let witness = Witness::open(&path).unwrap();
        assert_eq!(witness.said(), Said::Nothing);
        witness.begin(&standing(1)).unwrap();
        for commits in 2..=7 {
            witness.note(&standing(commits)).unwrap();
            assert_eq!(
                Witness::open(&path).unwrap().said(),
                Said::Seen(standing(commits))
            );
        }
        let whole = std::fs::read(&path).unwrap();
        for bit in 0..SLOT_BYTES * 8 {
            // Damages the newest slot, so the one before counts.
            let mut flipped = whole.clone();
            flipped[4_096 + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&flipped), Said::Seen(standing(6)));
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&flipped), Said::Garbled);
        }
    }
}
