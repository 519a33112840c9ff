//! A copied store against the one it was copied from: the same answers but for positions, and the same outcomes of what
//! is written from then on. And what becomes of a copy that is broken off, tampered with, or should not begin.
#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "a failed unwrap is the failing assertion"
)]

mod answers;
#[path = "../ranked/database.rs"]
mod database;
mod ending;
#[path = "../differential/histories.rs"]
mod histories;
mod refusing;

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError},
};
use storage::{
    Action, Append, ClientId, ConversationId, CursorMove, DeviceClass, DevicePolicy, Fingerprint,
    GroupSetting, MessageKinds, NewSession, NewUser, Outcome, Position, Refused, Rules, Seq, Session,
    SessionId, Store, Timestamp, TokenHash, UserId, Write, Writer,
    copy::{Progress, Report, Step, copy},
    postgres::{PostgresOptions, PostgresStore},
    sqlite::{SqliteOptions, SqliteStore},
};

/// Small enough that limits are met.
const RULES: Rules = Rules {
    group_members_max: 4,
    groups_per_user_max: 3,
    groups_put_into_max: 2,
    put_back_after_ms: 2,
    members_may_add: true,
    message_edits_max: 2,
    message_reactions_max: 3,
    entries_max: 3,
    friends_max: 2,
    friend_requests_max: 2,
    blocks_max: 2,
};

/// Without a word from the environment: what a test run can spare.
const CASES: u32 = 8;

fn config() -> Config {
    let mut config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    // The histories say all; a file of seeds beside the test would not.
    config.failure_persistence = None;
    config
}

/// An embedded store in a directory of its own.
pub(crate) struct Source {
    directory: tempfile::TempDir,
}

impl Source {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("test.db")
    }

    pub(crate) fn open(&self) -> SqliteStore {
        let mut options = SqliteOptions::new(self.path());
        options.rules = RULES;
        SqliteStore::open(options).unwrap()
    }

    /// A store with these commits, closed.
    pub(crate) fn with(batches: &[Vec<Write>]) -> Self {
        let source = Self::new();
        let store = source.open();
        let mut writer = store.writer().unwrap();
        for batch in batches {
            writer.commit(batch).unwrap();
        }
        drop(writer);
        store.close().unwrap();
        source
    }
}

/// An empty database for a copy.
pub(crate) fn target() -> PostgresOptions {
    let mut options = database::fresh();
    options.rules = RULES;
    // Not that of a node: others of this process are in the same database.
    options.application_name = "the tests of copies".to_owned();
    // Whole logs are asked for at once.
    options.statement_timeout = Duration::from_secs(60);
    options
}

pub(crate) fn copied(source: &Source, target: &PostgresOptions) -> Report {
    copy(&source.path(), target.clone(), &mut |_| {}).unwrap()
}

pub(crate) const fn pair(low: u64, high: u64) -> ConversationId {
    ConversationId(1 << 62 | low << 31 | high)
}

pub(crate) const fn group(number: u64) -> ConversationId {
    ConversationId(1 << 61 | number)
}

pub(crate) fn append(conversation: ConversationId, sender: u64, request: u64, action: Action) -> Write {
    let mut client_id = [0; 16];
    client_id[..8].copy_from_slice(&request.to_be_bytes());
    Write::Append(Append {
        conversation,
        sender: UserId(sender),
        client_id: ClientId(client_id),
        fingerprint: Fingerprint(client_id),
        at: Timestamp(request),
        action,
    })
}

pub(crate) fn message(conversation: ConversationId, sender: u64, request: u64) -> Write {
    let action = Action::Message {
        kind: 1,
        body: Bytes::copy_from_slice(&request.to_be_bytes()),
        expires_at: Timestamp(0),
        reply_to: Seq(0),
    };
    append(conversation, sender, request, action)
}

/// Commits with something of every kind.
pub(crate) fn a_bit_of_everything() -> Vec<Vec<Write>> {
    let user = |number: u64, display_name: &str| {
        Write::CreateUser(NewUser {
            name: format!("user{number}"),
            display_name: display_name.to_owned(),
            password_hash: format!("hash{number}"),
            at: Timestamp(number),
        })
    };
    let session = |id: u64, user: u64| {
        Write::CreateSession(NewSession {
            session: Session {
                id: SessionId(id),
                user: UserId(user),
                device_id: format!("device{id}"),
                class: DeviceClass::Mobile,
                device_name: String::new(),
                created_at: Timestamp(u64::MAX),
                last_seen_at: Timestamp(u64::MAX),
            },
            token_hash: TokenHash([u8::try_from(id).unwrap(); 32]),
            online: Vec::new(),
            policy: DevicePolicy {
                total: 9,
                mobile: 9,
                desktop: 9,
                web: 9,
                script: 9,
            },
        })
    };
    let about = |target: u64, what: &str| Action::Edit {
        target: Seq(target),
        body: what.to_owned().into(),
        fits: MessageKinds::ALL,
    };
    let react = |target: u64, reaction: &str| Action::React {
        target: Seq(target),
        reaction: reaction.to_owned(),
        body: Bytes::new(),
    };
    let members = [1, 2, 3].map(UserId).to_vec();
    let name = "a group\0with a name".to_owned();
    vec![
        vec![user(1, "one\0one"), user(2, ""), user(3, "")],
        vec![session(1, 1), session(2, 2)],
        vec![append(group(1), 1, 1, Action::CreateGroup { name, members })],
        (10..20).map(|request| message(group(1), 1, request)).collect(),
        vec![
            message(pair(1, 2), 2, 20),
            message(group(1), 2, 21),
            append(group(1), 1, 22, about(2, "edited")),
            append(group(1), 1, 23, about(3, "edited and recalled")),
            append(group(1), 1, 24, Action::Recall { target: Seq(3) }),
            append(group(1), 2, 25, react(4, "+1")),
            append(group(1), 3, 26, react(4, "-1")),
            append(group(1), 3, 27, react(4, "")),
            append(group(1), 3, 28, Action::Leave),
        ],
        vec![Write::Cursors(vec![CursorMove {
            conversation: pair(1, 2),
            user: UserId(1),
            delivered: Seq(1),
            read: Seq(1),
        }])],
        vec![message(pair(1, 2), 1, 29), message(ConversationId(1), 1, 30)],
    ]
}

/// An outcome without what differs between stores.
fn masked(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Appended(mut appended) => {
            appended.event = answers::masked_event(&appended.event);
            for other in &mut appended.others {
                *other = answers::masked_event(other);
            }
            Outcome::Appended(appended)
        }
        Outcome::Cursors(moved, position, beyond) => {
            Outcome::Cursors(moved, Position(u64::from(position != Position(0))), beyond)
        }
        other => other,
    }
}

fn outcomes(writer: &mut dyn Writer, batch: &[Write]) -> Vec<Result<Outcome, Refused>> {
    let answers = writer.commit(batch).unwrap();
    answers.into_iter().map(|answer| answer.map(masked)).collect()
}

fn commit_to_both(
    left: &mut dyn Writer,
    right: &mut dyn Writer,
    batch: &[Write],
) -> Result<(), TestCaseError> {
    let (expected, found) = (outcomes(left, batch), outcomes(right, batch));
    for (index, (expected, found)) in expected.iter().zip(&found).enumerate() {
        prop_assert_eq!(expected, found, "{} of {:#?}", index, batch);
    }
    prop_assert_eq!(expected.len(), found.len());
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_copy_answers_and_goes_on_like_its_source(
        batches in histories::batches(),
        split in any::<prop::sample::Index>(),
    ) {
        let split = split.index(batches.len() + 1);
        let mut before = vec![histories::accounts()];
        before.extend(batches[..split].iter().cloned());
        let (source, target) = (Source::with(&before), target());
        copied(&source, &target);
        let (old, new) = (source.open(), PostgresStore::open(target).unwrap());
        prop_assert_eq!(old.epoch(), new.epoch());
        prop_assert_ne!(old.log_id(), new.log_id());
        let (mut old_reader, mut new_reader) = (old.reader().unwrap(), new.reader().unwrap());
        answers::compare(old_reader.as_mut(), new_reader.as_mut())?;
        // What was written before is known, and what comes follows it.
        let (mut old_writer, mut new_writer) = (old.writer().unwrap(), new.writer().unwrap());
        for batch in before.iter().chain(&batches[split..]) {
            commit_to_both(old_writer.as_mut(), new_writer.as_mut(), batch)?;
        }
        answers::compare(old_reader.as_mut(), new_reader.as_mut())?;
    }
}

#[test]
fn a_copy_of_everything_says_what_it_has() {
    let (source, target) = (Source::with(&a_bit_of_everything()), target());
    let mut told = Vec::new();
    let report = copy(&source.path(), target.clone(), &mut |progress| {
        told.push(progress)
    })
    .unwrap();
    let counts = (report.users, report.sessions, report.conversations, report.events);
    assert_eq!(counts, (3, 2, 3, 22));
    let begins = |step| {
        let first = told.iter().find(|progress| progress.step == step).unwrap();
        (first.rows, first.of)
    };
    let rows = begins(Step::Copying).1;
    assert_eq!(begins(Step::Copying), (0, rows));
    assert_eq!(begins(Step::Comparing), (0, rows + 22));
    let last = told.iter().rfind(|progress| progress.step == Step::Copying);
    let done = Progress {
        step: Step::Copying,
        rows,
        of: rows,
    };
    assert_eq!(last, Some(&done));
    let store = PostgresStore::open(target).unwrap();
    let mut reader = store.reader().unwrap();
    // PostgreSQL has no U+0000; settings of groups are written without it.
    let view = reader.conversation(UserId(1), group(1)).unwrap().unwrap();
    assert_eq!(view.settings.get(GroupSetting::Name), "a group\u{0}with a name");
    assert_eq!(
        reader.users(&[UserId(1)]).unwrap()[0].display_name,
        "one\u{FFFD}one"
    );
    let mut writer = store.writer().unwrap();
    let new = Write::CreateUser(NewUser {
        name: "next".to_owned(),
        display_name: String::new(),
        password_hash: String::new(),
        at: Timestamp(0),
    });
    let made = writer.commit(&[new]).unwrap().remove(0).unwrap();
    assert!(
        matches!(&made, Outcome::User(user) if user.id == UserId(4)),
        "{made:?}"
    );
}

#[test]
fn an_empty_store_is_copied() {
    let (source, target) = (Source::with(&[]), target());
    let report = copied(&source, &target);
    assert_eq!((report.users, report.events), (0, 0));
    let (old, new) = (source.open(), PostgresStore::open(target).unwrap());
    assert_eq!(old.epoch(), new.epoch());
}

#[test]
fn several_batches_keep_the_order_of_the_log() {
    const EVENTS: u64 = 2_500;
    let mut batches = a_bit_of_everything();
    let mixed = |request: u64| {
        let to = [pair(1, 2), group(1), pair(1, 3)][request as usize % 3];
        message(to, 1, request)
    };
    let requests: Vec<u64> = (1_000..1_000 + EVENTS).collect();
    batches.extend(
        requests
            .chunks(100)
            .map(|some| some.iter().copied().map(mixed).collect()),
    );
    let (source, target) = (Source::with(&batches), target());
    let report = copied(&source, &target);
    assert_eq!(report.events, EVENTS + 22);
    let (old, new) = (source.open(), PostgresStore::open(target).unwrap());
    let (mut old_reader, mut new_reader) = (old.reader().unwrap(), new.reader().unwrap());
    answers::compare(old_reader.as_mut(), new_reader.as_mut()).unwrap();
    // Whoever follows finds nothing that is still to come.
    let now = new_reader.snapshot().unwrap();
    let tail = new_reader.tail(&now, 10).unwrap();
    assert!(tail.events.is_empty() && tail.cursors.is_empty(), "{tail:?}");
    let next = new
        .writer()
        .unwrap()
        .commit(&[message(pair(1, 2), 2, 9_999)])
        .unwrap();
    assert!(next[0].is_ok(), "{next:?}");
    assert_eq!(new_reader.tail(&now, 10).unwrap().events.len(), 1);
}
