//! Three hundred operations on a store, the same ones for every seed: what they are, what a store answers after each,
//! and a process that makes them.
//!
//! It owns the choice of operations and the reference model's answers. It must never read what the store under test
//! answered in order to choose.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use storage::{
    Action, Append, ClientId, ConversationId, CursorMove, DeviceClass, DevicePolicy, Fingerprint,
    GroupSetting, MessageKinds, NewSession, NewUser, OpenError, ProfileChange, Role, Rules, Seq, Session,
    SessionId, Store, Timestamp, TokenHash, UserId, Write,
    model::ModelStore,
    sqlite::{Identity, SqliteOptions, SqliteStore},
};
use tests::random::Random;

use crate::answers::{self, Questions};

/// Operations in all.
pub const OPERATIONS: usize = 300;
/// Of these, in one commit.
pub const GROUP_COMMIT: usize = 50;
/// What the store is called.
pub const IDENTITY: Identity = Identity { epoch: 7, log_id: 8 };
/// Names the directory for the process that makes the operations; see [`perform_if_asked`].
pub const DIRECTORY: &str = "DISK_SCRIPT_DIRECTORY";
/// And the seed.
pub const SEED: &str = "DISK_SCRIPT_SEED";
/// A byte is written here after each commit that was acknowledged.
pub const ACKNOWLEDGED: &str = "acknowledged";

const USERS: u64 = 4;
const GROUPS: u64 = 2;
/// Index entries are written in slices within the script, too.
const INDEX_EVENTS: u32 = 16;
/// A checkpoint comes after a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// One step of the script.
#[derive(Clone, Debug)]
pub enum Move {
    /// A transaction.
    Commit(Vec<Write>),
    /// Wait until the checkpointer has begun to copy.
    AwaitCheckpoint,
    /// Close the store in order and open it again.
    Reopen,
}

/// The store's file in a directory.
pub fn database(directory: &Path) -> PathBuf {
    directory.join("imserver.db")
}

/// How the script's store is opened.
pub fn options(directory: &Path) -> SqliteOptions {
    SqliteOptions {
        identity: IDENTITY,
        index_events: INDEX_EVENTS,
        ..SqliteOptions::new(database(directory))
    }
}

/// Opens a store that this process had open before. Where another thread starts a program just then, that holds the
/// store's lock for a moment, until it has become the other program.
///
/// # Errors
/// See [`SqliteStore::open`].
pub fn open(options: &SqliteOptions) -> Result<SqliteStore, OpenError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match SqliteStore::open(options.clone()) {
            Err(OpenError::InUse(_)) if Instant::now() < until => {
                std::thread::yield_now();
            }
            opened => return opened,
        }
    }
}

/// Everything there may be to ask about.
pub fn questions() -> Questions {
    let mut conversations: Vec<ConversationId> = (1..=GROUPS).map(group).collect();
    conversations.push(direct(1, 2));
    conversations.push(direct(1, 3));
    conversations.push(ConversationId(2));
    Questions {
        users: (1..=USERS + 1).map(UserId).collect(),
        conversations,
        tokens: (0..8).map(|number| TokenHash([number; 32])).collect(),
    }
}

const fn direct(low: u64, high: u64) -> ConversationId {
    ConversationId(1 << 62 | low << 31 | high)
}

const fn group(number: u64) -> ConversationId {
    ConversationId(1 << 61 | number)
}

/// The whole script.
pub fn moves(seed: u64) -> Vec<Move> {
    let mut chooser = Chooser {
        random: Random::new(seed),
        number: 0,
    };
    let mut moves = Vec::new();
    let mut made = 0;
    let commit = |moves: &mut Vec<Move>, made: &mut usize, writes: Vec<Write>| {
        *made += writes.len();
        moves.push(Move::Commit(writes));
    };
    commit(&mut moves, &mut made, chooser.accounts());
    for write in chooser.beginnings() {
        commit(&mut moves, &mut made, vec![write]);
    }
    let mut is_grouped = false;
    while made < OPERATIONS {
        if made >= OPERATIONS / 3 && !is_grouped {
            is_grouped = true;
            let writes = (0..GROUP_COMMIT).map(|_| chooser.write()).collect();
            commit(&mut moves, &mut made, writes);
            moves.push(Move::AwaitCheckpoint);
            continue;
        }
        let write = chooser.write();
        commit(&mut moves, &mut made, vec![write]);
        if made == OPERATIONS * 4 / 5 {
            moves.push(Move::Reopen);
        }
    }
    moves
}

/// What a store answers before the first commit and after each: its newest position and the number of its answers.
///
/// # Panics
/// The model refuses to work.
pub fn expected(moves: &[Move]) -> Vec<u64> {
    let model = ModelStore::new(IDENTITY.epoch, IDENTITY.log_id, Rules::default());
    let mut writer = model.writer().expect("the model's writer");
    let mut reader = model.reader().expect("the model's reader");
    let mut ask = || answers::number(reader.as_mut(), &questions()).expect("the model answers");
    let mut numbers = vec![ask()];
    for step in moves {
        if let Move::Commit(writes) = step {
            writer.commit(writes).expect("the model commits");
            numbers.push(ask());
        }
    }
    numbers
}

/// Makes the operations of the seed in the environment on the store in the directory there, and notes each
/// acknowledgement. Without them it does nothing: a test that calls it is the process to be recorded where these are
/// set, and else has nothing to do.
///
/// # Panics
/// The store does not do what it is asked to.
pub fn perform_if_asked() {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else {
        return;
    };
    let seed = std::env::var(SEED).expect("a seed").parse().expect("a number");
    let mut acknowledged = std::fs::File::options()
        .create(true)
        .append(true)
        .open(directory.join(ACKNOWLEDGED))
        .expect("a file of acknowledgements");
    let mut store = open(&options(&directory)).expect("the store");
    let mut writer = store.writer().expect("its writer");
    for step in moves(seed) {
        match step {
            Move::Commit(writes) => {
                writer.commit(&writes).expect("a commit");
                acknowledged.write_all(b".").expect("noted");
            }
            Move::AwaitCheckpoint => await_checkpoint(&database(&directory)),
            Move::Reopen => {
                drop(writer);
                store.close().expect("closed");
                drop(store);
                store = open(&options(&directory)).expect("the store again");
                writer = store.writer().expect("its writer");
            }
        }
    }
}

/// Commits so far have been written to the log; a copy of them changes the database.
fn await_checkpoint(path: &Path) {
    let changed = || {
        std::fs::metadata(path)
            .and_then(|state| state.modified())
            .expect("the database")
    };
    let before = changed();
    let until = Instant::now() + PATIENCE;
    while changed() == before {
        assert!(Instant::now() < until, "no checkpoint came");
        std::thread::yield_now();
    }
}

struct Chooser {
    random: Random,
    number: u64,
}

impl Chooser {
    fn accounts(&self) -> Vec<Write> {
        (1..=USERS)
            .map(|number| {
                Write::CreateUser(NewUser {
                    name: format!("user{number}"),
                    display_name: String::new(),
                    password_hash: format!("hash{number}"),
                    at: Timestamp(number),
                })
            })
            .collect()
    }

    fn beginnings(&mut self) -> Vec<Write> {
        let mut writes: Vec<Write> = (1..=USERS).map(|user| self.session(user)).collect();
        for number in 1..=GROUPS {
            let members = (1..=USERS).map(UserId).collect();
            let action = Action::CreateGroup {
                name: format!("group{number}"),
                members,
            };
            writes.push(self.append(group(number), 1, action));
        }
        writes
    }

    fn write(&mut self) -> Write {
        let user = 1 + self.random.below(USERS);
        let conversation = self.conversation(user);
        let target = Seq(1 + self.random.below(30));
        match self.random.below(16) {
            0 => {
                let body = self.body(400);
                self.append(
                    conversation,
                    user,
                    Action::Edit {
                        target,
                        body,
                        fits: MessageKinds::ALL,
                    },
                )
            }
            1 => self.append(conversation, user, Action::Recall { target }),
            2 => {
                let action = Action::React {
                    target,
                    reaction: "+".to_owned(),
                    body: Bytes::from_static(b"+"),
                };
                self.append(conversation, user, action)
            }
            3 => {
                let moves = (1..=USERS)
                    .map(|user| CursorMove {
                        conversation,
                        user: UserId(user),
                        delivered: target,
                        read: Seq(target.0 / 2),
                    })
                    .collect();
                Write::Cursors(moves)
            }
            4 => Write::UpdateProfile(ProfileChange {
                user: UserId(user),
                display_name: Some(format!("name{}", self.random.below(100))),
                avatar: None,
                status: None,
            }),
            5 => self.session(user),
            6 => self.group_change(user),
            _ => {
                let body = self.body(1_500);
                let action = Action::Message {
                    kind: 1,
                    body,
                    expires_at: Timestamp(0),
                    reply_to: Seq(0),
                };
                self.append(conversation, user, action)
            }
        }
    }

    fn group_change(&mut self, user: u64) -> Write {
        let other = UserId(1 + self.random.below(USERS));
        let action = match self.random.below(4) {
            0 => Action::Set {
                setting: GroupSetting::Name,
                value: format!("name{}", self.random.below(100)),
            },
            1 => Action::RemoveMember { user: other },
            2 => Action::AddMembers { users: vec![other] },
            _ => Action::SetRole {
                user: other,
                role: Role::Admin,
            },
        };
        let conversation = group(1 + self.random.below(GROUPS));
        self.append(conversation, user, action)
    }

    fn conversation(&mut self, user: u64) -> ConversationId {
        match (self.random.below(4), user) {
            (0, 1 | 2) => direct(1, 2),
            (1, 1 | 3) => direct(1, 3),
            (2, 2) => ConversationId(2),
            (number, _) => group(1 + number % GROUPS),
        }
    }

    fn body(&mut self, bytes_max: u64) -> Bytes {
        let mut body = vec![0; 1 + self.random.below(bytes_max) as usize];
        self.random.fill(&mut body);
        body.into()
    }

    const fn append(&mut self, conversation: ConversationId, sender: u64, action: Action) -> Write {
        self.number += 1;
        let mut client_id = [0; 16];
        let bytes = self.number.to_be_bytes();
        let mut index = 0;
        while index < bytes.len() {
            client_id[index] = bytes[index];
            index += 1;
        }
        Write::Append(Append {
            conversation,
            sender: UserId(sender),
            client_id: ClientId(client_id),
            fingerprint: Fingerprint(client_id),
            at: Timestamp(self.number),
            action,
        })
    }

    fn session(&mut self, user: u64) -> Write {
        self.number += 1;
        let at = Timestamp(self.number);
        Write::CreateSession(NewSession {
            session: Session {
                id: SessionId(self.number),
                user: UserId(user),
                device_id: "device".to_owned(),
                class: DeviceClass::Desktop,
                device_name: "device".to_owned(),
                created_at: at,
                last_seen_at: at,
            },
            token_hash: TokenHash([(self.number % 8) as u8; 32]),
            online: Vec::new(),
            policy: DevicePolicy {
                total: 4,
                mobile: 4,
                desktop: 4,
                web: 4,
                script: 4,
            },
        })
    }
}
