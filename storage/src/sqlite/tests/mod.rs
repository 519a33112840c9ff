//! What only SQLite has: a file that others may have touched, a disk that is full, a process that ends.

mod backups;
mod damage;
mod erasing;
mod failing;
mod indexing;
mod killed;
mod opening;
mod owning;
mod past;
mod rebuilding;
mod sums;
mod wal;
mod work;

use std::path::PathBuf;

use bytes::Bytes;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{SqliteOptions, SqliteStore, writer::SqliteWriter};
use crate::{
    Action, Append, Appended, Cause, ClientId, ConversationId, Direction, Doom, EventPage, Fingerprint,
    NewUser, Outcome, Reader, Seq, Store, Timestamp, UserId, Write, Writer,
};

pub(super) const ANN: UserId = UserId(1);
pub(super) const BOB: UserId = UserId(2);
pub(super) const PAIR: ConversationId = ConversationId(1 << 62 | 1 << 31 | 2);
const GROUP: ConversationId = ConversationId(1 << 61 | 7);

/// As a process ends: nothing of its store is closed.
fn end_process(store: &SqliteStore) {
    store.fate().doom(Doom::Failed(Cause::text("this process ends")));
}

/// A directory for one database.
pub(super) struct Place {
    directory: TempDir,
}

impl Place {
    pub(super) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join("test.db")
    }

    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        self.directory.path().join(format!("test.db{suffix}"))
    }

    pub(super) fn open(&self) -> SqliteStore {
        SqliteStore::open(SqliteOptions::new(self.path())).unwrap()
    }

    /// What opening says instead of opening.
    pub(super) fn refusal(&self) -> String {
        SqliteStore::open(SqliteOptions::new(self.path()))
            .unwrap_err()
            .to_string()
    }

    /// A connection of someone who knows nothing of the store.
    pub(super) fn stranger(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    /// Ann and Bob, and so many messages between them.
    pub(super) fn with_messages(&self, count: u64) -> SqliteStore {
        let store = self.open();
        let mut writer = store.open_writer().unwrap();
        writer.commit(&accounts()).unwrap();
        writer.commit(&messages(0..count)).unwrap();
        store
    }
}

fn account(name: &str) -> Write {
    Write::CreateUser(NewUser {
        name: name.to_owned(),
        display_name: String::new(),
        password_hash: String::new(),
        at: Timestamp(1),
    })
}

fn accounts() -> Vec<Write> {
    ["ann", "bob", "cat"].map(account).to_vec()
}

fn request(number: u64, conversation: ConversationId, sender: UserId, action: Action) -> Write {
    let mut client_id = [0; 16];
    client_id[..8].copy_from_slice(&number.to_be_bytes());
    Write::Append(Append {
        conversation,
        sender,
        client_id: ClientId(client_id),
        fingerprint: Fingerprint(client_id),
        at: Timestamp(number),
        action,
    })
}

fn message(number: u64, body: impl Into<Bytes>) -> Write {
    let action = Action::Message {
        kind: 1,
        body: body.into(),
        expires_at: Timestamp(0),
        reply_to: Seq(0),
    };
    request(number, PAIR, ANN, action)
}

/// Of Ann to Bob, under these numbers.
pub(super) fn messages(numbers: std::ops::Range<u64>) -> Vec<Write> {
    numbers
        .map(|number| message(number, format!("message {number}")))
        .collect()
}

fn appended(writer: &mut SqliteWriter, write: Write) -> Appended {
    match writer.commit(&[write]).unwrap().remove(0).unwrap() {
        Outcome::Appended(appended) => appended,
        other => panic!("{other:?}"),
    }
}

fn page(reader: &mut dyn Reader, viewer: UserId, conversation: ConversationId) -> EventPage {
    let page = reader.events(
        viewer,
        conversation,
        Seq(1),
        Direction::Forward,
        usize::MAX,
        usize::MAX,
    );
    page.unwrap().unwrap()
}

fn bodies(store: &SqliteStore) -> Vec<Bytes> {
    let page = page(store.reader().unwrap().as_mut(), BOB, PAIR);
    page.events.iter().map(|view| view.event.body.clone()).collect()
}
