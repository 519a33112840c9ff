//! The files of a profile, typed.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use protocol::{ClientMessageId, v1};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    NAMES_MAX, SENT_MAX, StoreError,
    applied::AppliedLog,
    files::{self, Durability},
    from_hex, lock, to_hex,
};
use crate::{
    sync::{Author, Mark, Snapshot},
    trust::Trust,
};

const ACCOUNT: &str = "account.json";
const SYNC: &str = "sync.json";
const APPLIED: &str = "applied.log";
const SENT: &str = "sent.json";
const NAMES: &str = "names.json";

/// Who this device is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Account {
    /// Chosen once, for as long as the profile lives.
    pub device_id: String,
    /// The server of the last login, as [`Options::server`](crate::Options::server).
    pub server: Option<String>,
    /// What its certificate must be, if there was more to say than that the system knows who signed it.
    #[serde(default)]
    pub trust: Option<TrustRecord>,
    /// Present while logged in.
    pub session: Option<SessionRecord>,
}

/// A [`Trust`] in the file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustRecord {
    /// A file of authorities.
    Authorities(PathBuf),
    /// The pin of a key.
    Pin(String),
}

impl TrustRecord {
    /// What is to be kept of this.
    pub fn of(trust: &Trust) -> Option<Self> {
        match trust {
            Trust::System => None,
            Trust::Authorities(path) => Some(Self::Authorities(path.clone())),
            Trust::Pin(pin) => Some(Self::Pin(pin.to_string())),
        }
    }

    /// What was kept; `None` if the file was changed into nonsense.
    pub fn read(&self) -> Option<Trust> {
        match self {
            Self::Authorities(path) => Some(Trust::Authorities(path.clone())),
            Self::Pin(pin) => pin.parse().ok().map(Trust::Pin),
        }
    }
}

/// A session that can be resumed.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct SessionRecord {
    /// The secret.
    pub token: String,
    /// Whose session.
    pub user_id: u64,
    /// The account's name.
    pub name: String,
}

impl std::fmt::Debug for SessionRecord {
    /// Without the secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { user_id, name, .. } = self;
        formatter
            .debug_struct("SessionRecord")
            .field("user_id", user_id)
            .field("name", name)
            .finish_non_exhaustive()
    }
}

/// Names seen before, so that they need not be asked for again.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Names {
    /// Account names by user id.
    pub users: BTreeMap<u64, String>,
    /// Names of groups by conversation id.
    pub groups: BTreeMap<u64, String>,
    /// Where in its log each group was called so: an older name never takes the place of a newer one.
    #[serde(default)]
    pub group_seqs: BTreeMap<u64, u64>,
}

#[derive(Deserialize, Serialize)]
struct SyncFile {
    user_id: u64,
    /// Counts the snapshots of this profile; a line of the log belongs to one of them.
    generation: u64,
    epoch: u64,
    token: Option<String>,
    cursors: BTreeMap<u64, u64>,
    #[serde(default)]
    marks: BTreeMap<u64, MarkRecord>,
    #[serde(default)]
    ahead: BTreeMap<u64, u64>,
}

/// A [`Mark`] in the file.
#[derive(Deserialize, Serialize)]
struct MarkRecord {
    seq: u64,
    sent_at_ms: u64,
    author: Option<AuthorRecord>,
}

#[derive(Deserialize, Serialize)]
struct AuthorRecord {
    sender_id: u64,
    kind: i32,
    client_msg_id: String,
}

impl MarkRecord {
    fn of(mark: &Mark) -> Self {
        Self {
            seq: mark.seq,
            sent_at_ms: mark.sent_at_ms,
            author: mark.author.as_ref().map(|author| AuthorRecord {
                sender_id: author.sender_id,
                kind: author.kind,
                client_msg_id: to_hex(&author.client_msg_id),
            }),
        }
    }

    fn read(self) -> Option<Mark> {
        let author = match self.author {
            Some(author) => Some(Author {
                sender_id: author.sender_id,
                kind: author.kind,
                client_msg_id: from_hex(&author.client_msg_id)?,
            }),
            None => None,
        };
        Some(Mark {
            seq: self.seq,
            sent_at_ms: self.sent_at_ms,
            author,
        })
    }
}

#[derive(Default, Deserialize, Serialize)]
struct SentFile {
    client_ids: VecDeque<Uuid>,
}

/// An open profile. While it is open, no other program can open it.
#[derive(Debug)]
pub struct Profile {
    directory: PathBuf,
    account: Account,
    generation: u64,
    applied: AppliedLog,
    _lock: File,
}

impl Profile {
    /// Opens a profile, creating what is missing. Waits at most `patience` for another program to let go
    /// of it; `holder` is what others are told meanwhile.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(directory: &Path, holder: &str, patience: Duration) -> Result<Self, StoreError> {
        files::create_directory(directory)?;
        let lock = lock::take(directory, holder, patience)?;
        let path = directory.join(ACCOUNT);
        let account = match files::read(&path)? {
            Some(account) => account,
            None => {
                let account = Account {
                    device_id: Uuid::now_v7().to_string(),
                    server: None,
                    trust: None,
                    session: None,
                };
                files::replace(&path, &account, Durability::Machine)?;
                account
            }
        };
        Ok(Self {
            directory: directory.to_owned(),
            account,
            generation: 0,
            applied: AppliedLog::new(directory.join(APPLIED)),
            _lock: lock,
        })
    }

    /// Who this device is.
    pub const fn account(&self) -> &Account {
        &self.account
    }

    /// Keeps a new session. What was known about another user or another server is dropped; what this
    /// user had applied on this device stays.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn log_in(&mut self, server: &str, trust: &Trust, session: &v1::Session) -> Result<(), StoreError> {
        let user = session.user.clone().unwrap_or_default();
        let record = SessionRecord {
            token: session.token.clone(),
            user_id: user.user_id,
            name: user.name,
        };
        let known: Option<SyncFile> = files::read(&self.path(SYNC)).unwrap_or_default();
        let same_user = known.is_some_and(|known| known.user_id == record.user_id);
        let same_server = self.account.server.as_deref() == Some(server);
        if !(same_user && same_server) {
            self.forget()?;
        }
        self.save_account(Account {
            server: Some(server.to_owned()),
            trust: TrustRecord::of(trust),
            session: Some(record),
            ..self.account.clone()
        })
    }

    /// Forgets the session and everything that came with it; the device stays the same.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn log_out(&mut self) -> Result<(), StoreError> {
        self.forget()?;
        self.save_account(Account {
            session: None,
            ..self.account.clone()
        })
    }

    /// How far this device has got; `None` when it has not begun.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn sync(&mut self) -> Result<Option<Snapshot>, StoreError> {
        let path = self.path(SYNC);
        let Some(file) = files::read::<SyncFile>(&path)? else {
            return Ok(None);
        };
        let noted = self.applied.read(file.generation)?;
        self.generation = file.generation;
        let damaged = |reason: &str| StoreError::Corrupt {
            path,
            reason: reason.to_owned(),
        };
        let token = match file.token.as_deref().map(from_hex) {
            Some(None) => return Err(damaged("the token is not hexadecimal")),
            Some(token) => token,
            None => None,
        };
        let read = |(id, mark): (u64, MarkRecord)| Some((id, mark.read()?));
        let Some(marks) = file.marks.into_iter().map(read).collect() else {
            return Err(damaged("a client id is not hexadecimal"));
        };
        let mut snapshot = Snapshot {
            epoch: file.epoch,
            token,
            cursors: file.cursors,
            marks,
            ahead: file.ahead,
        };
        for (conversation, mark) in noted {
            snapshot.note(conversation, mark);
        }
        Ok(Some(snapshot))
    }

    /// Stores how far this device has got, safe from a crash of the machine.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn save_sync(&mut self, snapshot: &Snapshot) -> Result<(), StoreError> {
        self.generation = self.generation.saturating_add(1);
        let file = SyncFile {
            user_id: self.account.session.as_ref().map_or(0, |session| session.user_id),
            generation: self.generation,
            epoch: snapshot.epoch,
            token: snapshot.token.as_ref().map(|token| to_hex(token)),
            cursors: snapshot.cursors.clone(),
            marks: snapshot
                .marks
                .iter()
                .map(|(id, mark)| (*id, MarkRecord::of(mark)))
                .collect(),
            ahead: snapshot.ahead.clone(),
        };
        files::replace(&self.path(SYNC), &file, Durability::Machine)?;
        // Its lines are of an older generation now and count no more, whether this succeeds or not.
        self.applied.clear()
    }

    /// Stores that one more event was applied, safe from the end of this program but without waiting for
    /// the disk. After a crash of the machine the last [`save_sync`](Self::save_sync) may be what is left:
    /// then some events come again, and none is missed. `snapshot` is asked for when it is time to write
    /// all of it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn note_applied(
        &mut self,
        event: &v1::Event,
        snapshot: impl FnOnce() -> Snapshot,
    ) -> Result<(), StoreError> {
        if self.applied.is_full() {
            return self.save_sync(&snapshot());
        }
        self.applied.append(self.generation, event)
    }

    /// Client ids that this device has sent, the newest [`SENT_MAX`] of them. A list that cannot be read is
    /// an empty one: it only spares this device its own messages.
    pub fn sent(&self) -> Vec<ClientMessageId> {
        let ids = self.sent_file().client_ids.into_iter();
        ids.map(|id| ClientMessageId(id.into_bytes())).collect()
    }

    /// Remembers that this device sends a message. To be called before it does.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn note_sent(&self, id: ClientMessageId) -> Result<(), StoreError> {
        let mut file = self.sent_file();
        let id = Uuid::from_bytes(id.0);
        if file.client_ids.contains(&id) {
            return Ok(());
        }
        while file.client_ids.len() >= SENT_MAX {
            file.client_ids.pop_front();
        }
        file.client_ids.push_back(id);
        files::replace(&self.path(SENT), &file, Durability::Program)
    }

    fn sent_file(&self) -> SentFile {
        files::read(&self.path(SENT))
            .unwrap_or_default()
            .unwrap_or_default()
    }

    /// The names seen before. A cache: one that cannot be read is an empty one.
    pub fn names(&self) -> Names {
        files::read(&self.path(NAMES))
            .unwrap_or_default()
            .unwrap_or_default()
    }

    /// Stores the names, at most [`NAMES_MAX`] of each kind.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn save_names(&self, names: &Names) -> Result<(), StoreError> {
        let newest = |map: &BTreeMap<u64, String>| {
            let entries = map.iter().rev().take(NAMES_MAX);
            entries.map(|(id, name)| (*id, name.clone())).collect()
        };
        let groups: BTreeMap<u64, String> = newest(&names.groups);
        let group_seqs = names
            .group_seqs
            .iter()
            .filter(|(id, _)| groups.contains_key(id))
            .map(|(id, seq)| (*id, *seq))
            .collect();
        let names = Names {
            users: newest(&names.users),
            groups,
            group_seqs,
        };
        files::replace(&self.path(NAMES), &names, Durability::Program)
    }

    fn forget(&mut self) -> Result<(), StoreError> {
        self.applied = AppliedLog::new(self.path(APPLIED));
        for name in [SYNC, APPLIED, SENT, NAMES] {
            files::remove(&self.path(name))?;
        }
        Ok(())
    }

    fn save_account(&mut self, account: Account) -> Result<(), StoreError> {
        files::replace(&self.path(ACCOUNT), &account, Durability::Machine)?;
        self.account = account;
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}
