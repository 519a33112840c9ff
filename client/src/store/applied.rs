//! Cursors that have moved since the last snapshot, a line each: what is written for every single event, so
//! it must cost no more than one write to an open file.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
};

use bytes::Bytes;
use protocol::v1;

use super::{StoreError, files, from_hex, to_hex};
use crate::sync::{Author, Mark};

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

    /// The events noted since the snapshot of this generation, each with its conversation. What a crash has torn off is not believed,
    /// nor anything behind it: those events come again.
    pub(super) fn read(&mut self, generation: u64) -> Result<Vec<(u64, Mark)>, StoreError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed(error)),
        };
        let lines = || text.split_inclusive(|byte| *byte == b'\n');
        let noted: Vec<Note> = lines().map_while(parse).collect();
        // Nothing may be written behind a torn line: the next note makes a snapshot instead.
        let torn = noted.len() < lines().count();
        self.lines = if torn { LINES_MAX } else { noted.len() };
        let of_this_one = noted.into_iter().filter(|note| note.generation == generation);
        Ok(of_this_one.map(|note| (note.conversation, note.mark)).collect())
    }

    pub(super) fn append(&mut self, generation: u64, event: &v1::Event) -> Result<(), StoreError> {
        let v1::Event {
            conversation_id,
            seq,
            sent_at_ms,
            sender_id,
            kind,
            ..
        } = event;
        let client_id = to_hex(&event.client_msg_id);
        let line =
            format!("{generation} {conversation_id} {seq} {sent_at_ms} {sender_id} {kind} x{client_id} .\n");
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

/// One line.
struct Note {
    generation: u64,
    conversation: u64,
    mark: Mark,
}

/// A whole line: the snapshot it belongs to, what tells the event from others, and the mark at its end.
fn parse(line: &[u8]) -> Option<Note> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix(" .\n")?;
    let mut words = line.split(' ');
    let mut number = || words.next()?.parse::<u64>().ok();
    let [generation, conversation, seq, sent_at_ms, sender_id] =
        [number()?, number()?, number()?, number()?, number()?];
    let kind = words.next()?.parse().ok()?;
    let client_msg_id: Bytes = from_hex(words.next()?.strip_prefix('x')?)?;
    let mark = Mark {
        seq,
        sent_at_ms,
        author: Some(Author {
            sender_id,
            kind,
            client_msg_id,
        }),
    };
    words.next().is_none().then_some(Note {
        generation,
        conversation,
        mark,
    })
}
