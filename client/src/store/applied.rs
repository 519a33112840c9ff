//! Cursors that have moved since the last snapshot, a line each: what is written for every single event, so
//! it must cost no more than one write to an open file.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
};

use super::{StoreError, files};

/// Lines after which a snapshot is due.
pub(super) const LINES_MAX: usize = 10_000;

#[derive(Debug)]
pub(super) struct AppliedLog {
    path: PathBuf,
    file: Option<File>,
    lines: usize,
}

impl AppliedLog {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            lines: 0,
        }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.lines >= LINES_MAX
    }

    /// The cursors noted since the snapshot of this generation. What a crash has torn off is not believed,
    /// nor anything behind it: those events come again.
    pub(super) fn read(&mut self, generation: u64) -> Result<Vec<(u64, u64)>, StoreError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed(error)),
        };
        let lines = || text.split_inclusive(|byte| *byte == b'\n');
        let noted: Vec<[u64; 3]> = lines().map_while(parse).collect();
        // Nothing may be written behind a torn line: the next note makes a snapshot instead.
        let torn = noted.len() < lines().count();
        self.lines = if torn { LINES_MAX } else { noted.len() };
        let of_this_one = noted.into_iter().filter(|[of, ..]| *of == generation);
        Ok(of_this_one
            .map(|[_, conversation, seq]| (conversation, seq))
            .collect())
    }

    pub(super) fn append(&mut self, generation: u64, conversation: u64, seq: u64) -> Result<(), StoreError> {
        let line = format!("{generation} {conversation} {seq} .\n");
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let opened = files::private().append(true).create(true).open(&self.path);
                none.insert(opened.map_err(|error| StoreError::Io {
                    path: self.path.clone(),
                    error,
                })?)
            }
        };
        let written = file.write_all(line.as_bytes());
        self.lines += 1;
        written.map_err(|error| self.failed(error))
    }

    pub(super) fn clear(&mut self) -> Result<(), StoreError> {
        self.lines = 0;
        match &self.file {
            Some(file) => file.set_len(0).map_err(|error| self.failed(error)),
            None => files::remove(&self.path),
        }
    }

    fn failed(&self, error: std::io::Error) -> StoreError {
        StoreError::Io {
            path: self.path.clone(),
            error,
        }
    }
}

/// A whole line: three numbers and the mark at its end.
fn parse(line: &[u8]) -> Option<[u64; 3]> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix(" .\n")?;
    let mut numbers = line.split(' ').map(|number| number.parse().ok());
    let parsed = [numbers.next()??, numbers.next()??, numbers.next()??];
    numbers.next().is_none().then_some(parsed)
}
