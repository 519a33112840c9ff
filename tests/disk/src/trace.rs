//! The record of a process's calls, as the fault library writes it: read back into steps.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Bytes before an entry's names: kind, result, length of the names, four unused, file, offset, length of the data.
const HEAD_BYTES: usize = 32;

/// What became of a flush.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flush {
    /// What was written before is durable.
    Done,
    /// It failed: what was written before and was not flushed is lost, and counts as clean.
    Lost,
    /// It wrote what there was, and told of an earlier loss.
    Told,
}

/// One call. Files are named by their inode's number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// A file was opened, and perhaps made.
    Opened {
        /// Which.
        file: u64,
        /// It is new.
        made: bool,
        /// By this name.
        path: PathBuf,
    },
    /// Bytes were written.
    Write {
        /// Where.
        file: u64,
        /// From here on.
        offset: usize,
        /// These.
        data: Vec<u8>,
        /// The system will lose them, and tells at the next flush.
        lost: bool,
    },
    /// A file was cut or lengthened.
    Length(u64, usize),
    /// A file was flushed.
    Flush(u64, Flush),
    /// A directory was flushed.
    Directory,
    /// A name was removed.
    Removed(PathBuf),
    /// A file got another name.
    Renamed(PathBuf, PathBuf),
    /// A file got a further name.
    Linked(PathBuf, PathBuf),
    /// A directory was made.
    MadeDirectory,
    /// A call of this kind, on a file whose name ends so, was made to fail.
    Failed(char, PathBuf),
    /// The process was killed here.
    Killed,
}

impl Step {
    /// The letter by which faults choose it, if they can.
    pub const fn kind(&self) -> Option<char> {
        match self {
            Self::Opened { made: true, .. } => Some('C'),
            Self::Write { .. } => Some('W'),
            Self::Length(..) => Some('T'),
            Self::Flush(..) => Some('F'),
            Self::Directory => Some('D'),
            Self::Removed(_) => Some('U'),
            Self::Renamed(..) => Some('R'),
            Self::Linked(..) => Some('L'),
            Self::MadeDirectory => Some('M'),
            Self::Opened { made: false, .. } | Self::Failed(..) | Self::Killed => None,
        }
    }
}

/// All steps of a record. An entry that its process could not finish is not there.
///
/// # Panics
/// There is no record, or it is none.
pub fn read(path: &Path) -> Vec<Step> {
    let bytes = std::fs::read(path).expect("a record");
    let mut steps = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((step, after)) = entry(rest) {
        steps.push(step);
        rest = after;
    }
    steps
}

fn entry(bytes: &[u8]) -> Option<(Step, &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
    let number = |from: usize| {
        let bytes: [u8; 8] = head[from..from + 8].try_into().expect("eight bytes");
        u64::from_ne_bytes(bytes)
    };
    let names_length = usize::from(u16::from_ne_bytes([head[2], head[3]]));
    let (file, offset, length) = (number(8), number(16) as usize, number(24) as usize);
    let (names, rest) = rest.split_at_checked(names_length)?;
    let (data, rest) = rest.split_at_checked(length)?;
    let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
    let two = || {
        let end = names.iter().position(|byte| *byte == 0).expect("two names");
        (path(&names[..end]), path(&names[end + 1..]))
    };
    let step = match head[0] {
        b'O' => Step::Opened {
            file,
            made: head[1] != 0,
            path: path(names),
        },
        b'W' => Step::Write {
            file,
            offset,
            data: data.to_vec(),
            lost: head[1] != 0,
        },
        b'T' => Step::Length(file, offset),
        b'F' => Step::Flush(
            file,
            match head[1] {
                0 => Flush::Done,
                1 => Flush::Lost,
                _ => Flush::Told,
            },
        ),
        b'D' => Step::Directory,
        b'U' => Step::Removed(path(names)),
        b'R' => {
            let (from, to) = two();
            Step::Renamed(from, to)
        }
        b'L' => {
            let (from, to) = two();
            Step::Linked(from, to)
        }
        b'M' => Step::MadeDirectory,
        b'E' => Step::Failed(char::from(offset.to_le_bytes()[0]), path(names)),
        b'K' => Step::Killed,
        other => panic!("an entry of the unknown kind {other}"),
    };
    Some((step, rest))
}
