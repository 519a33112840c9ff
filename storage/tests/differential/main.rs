//! The other stores against the model: the same writes, in batches, must have the same outcomes, and then every
//! question the same answer for everyone. `PROPTEST_CASES` sets how many histories are tried.
#![allow(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "a failed unwrap is the failing assertion"
)]

mod answers;
#[path = "../ranked/database.rs"]
mod database;
mod histories;
mod invariants;
mod postgresql;
#[path = "../ranked/mod.rs"]
mod ranked;
mod visible;

use std::collections::{BTreeMap, BTreeSet};

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestCaseError, TestRunner},
};
use storage::{
    Action, ConversationId, GroupSetting, Outcome, Position, Reader, Rules, Seq, Snapshot, Store, UserId,
    Write, Writer,
    model::ModelStore,
    sqlite::{Identity, SqliteOptions, SqliteStore},
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
const CASES: u32 = 32;

fn config() -> Config {
    let mut config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    // The histories say all; a file of seeds beside the test would not.
    config.failure_persistence = None;
    config
}

/// One list for the names of all actions and for the name of each: an action that is not in it does not compile.
macro_rules! actions {
    ($($action:ident),*) => {
        const ACTIONS: &[&str] = &[$(stringify!($action),)* "Person"];

        const fn name_of(action: &Action) -> &'static str {
            match action {
                $(Action::$action { .. } => stringify!($action),)*
                Action::Person(_) => "Person",
                #[cfg(feature = "conformance")]
                Action::Pair { .. } => "Pair",
            }
        }
    };
}

actions![
    Message,
    Edit,
    Recall,
    React,
    CreateGroup,
    AddMembers,
    RemoveMember,
    Leave,
    SetRole,
    Set,
    Disband,
    SetEntry,
    RemoveEntry
];

#[test]
fn every_action_and_every_setting_is_in_the_histories() {
    let mut runner = TestRunner::deterministic();
    let (mut actions, mut settings) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..100 {
        let history = histories::batches().new_tree(&mut runner).unwrap().current();
        for write in history.into_iter().flatten() {
            let Write::Append(append) = write else { continue };
            actions.insert(name_of(&append.action));
            if let Action::Set { setting, .. } = append.action {
                settings.insert(setting);
            }
        }
    }
    assert_eq!(actions, ACTIONS.iter().copied().collect());
    assert_eq!(settings, GroupSetting::ALL.iter().copied().collect());
}

/// Both stores, side by side. The directory goes last.
struct Pair {
    model: Box<dyn Writer>,
    sqlite: Box<dyn Writer>,
    model_reader: Box<dyn Reader>,
    sqlite_reader: Box<dyn Reader>,
    store: SqliteStore,
    directory: tempfile::TempDir,
}

impl Pair {
    fn new(rules: Rules, index_events: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let identity = Identity { epoch: 7, log_id: 8 };
        let mut options = SqliteOptions::new(directory.path().join("test.db"));
        options.rules = rules;
        options.identity = identity;
        options.index_events = index_events;
        let store = SqliteStore::open(options).unwrap();
        let model = ModelStore::new(identity.epoch, identity.log_id, rules);
        assert_eq!((store.epoch(), store.log_id()), (model.epoch(), model.log_id()));
        Self {
            model: model.writer().unwrap(),
            sqlite: store.writer().unwrap(),
            model_reader: model.reader().unwrap(),
            sqlite_reader: store.reader().unwrap(),
            store,
            directory,
        }
    }

    fn commit(&mut self, batch: &[Write]) -> Result<(), TestCaseError> {
        let expected = self.model.commit(batch).unwrap();
        let found = self.sqlite.commit(batch).unwrap();
        for (index, (expected, found)) in expected.iter().zip(&found).enumerate() {
            // How much there was to erase is each store's own.
            if !matches!(expected, Ok(Outcome::Erased(_))) {
                prop_assert_eq!(expected, found, "of {:?}", batch[index]);
            }
        }
        prop_assert_eq!(expected.len(), found.len());
        Ok(())
    }

    fn compare(&mut self) -> Result<(), TestCaseError> {
        answers::compare(self.model_reader.as_mut(), self.sqlite_reader.as_mut())
    }
}

/// How many events are indexed together: often few, so that the index is written within a history.
fn index_events() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 1..16_u32, 1 => Just(8_192)]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn both_stores_answer_alike(batches in histories::batches(), index_events in index_events()) {
        let mut pair = Pair::new(RULES, index_events);
        pair.commit(&histories::accounts())?;
        for batch in &batches {
            pair.commit(batch)?;
        }
        pair.compare()?;
        invariants::check(pair.sqlite_reader.as_mut())?;
    }

    #[test]
    fn a_store_opened_again_answers_as_before(
        batches in histories::batches(),
        split in any::<prop::sample::Index>(),
        index_events in index_events(),
        orderly in any::<bool>(),
    ) {
        let mut pair = Pair::new(RULES, index_events);
        pair.commit(&histories::accounts())?;
        let split = split.index(batches.len());
        for batch in &batches[..split] {
            pair.commit(batch)?;
        }
        let Pair { model, model_reader, sqlite, sqlite_reader, store, directory } = pair;
        drop((sqlite, sqlite_reader));
        // Otherwise as after a crash: the index lacks what was in memory.
        if orderly {
            store.close().unwrap();
        }
        drop(store);
        let mut options = SqliteOptions::new(directory.path().join("test.db"));
        options.rules = RULES;
        options.index_events = index_events;
        let store = SqliteStore::open(options).unwrap();
        prop_assert_eq!((store.epoch(), store.log_id()), (7, 8));
        let (sqlite, sqlite_reader) = (store.writer().unwrap(), store.reader().unwrap());
        let mut pair = Pair { model, model_reader, sqlite, sqlite_reader, store, directory };
        for batch in &batches[split..] {
            pair.commit(batch)?;
        }
        pair.compare()?;
    }

    #[test]
    fn changes_neither_split_nor_skip(
        batches in histories::batches(),
        asks in prop::collection::vec((0..4_usize, 1..5_usize), 24),
        index_events in index_events(),
    ) {
        let mut pair = Pair::new(RULES, index_events);
        pair.commit(&histories::accounts())?;
        let mut followers: Vec<Follower> = histories::USERS.map(|user| Follower::new(UserId(user))).collect();
        for (batch, (calls, limit)) in batches.iter().zip(asks.iter().cycle()) {
            pair.commit(batch)?;
            for follower in &mut followers {
                for _ in 0..*calls {
                    follower.ask(pair.sqlite_reader.as_mut(), *limit)?;
                }
            }
        }
        for follower in &mut followers {
            while follower.ask(pair.sqlite_reader.as_mut(), 2)? {}
            follower.check(pair.sqlite_reader.as_mut())?;
        }
    }
}

/// Someone who asks for changes again and again, each time from where the last answer ended.
struct Follower {
    user: UserId,
    since: Snapshot,
    heads: BTreeMap<ConversationId, Position>,
    cursors: BTreeMap<(ConversationId, UserId), Position>,
}

impl Follower {
    fn new(user: UserId) -> Self {
        Self {
            user,
            since: Snapshot::default(),
            heads: BTreeMap::new(),
            cursors: BTreeMap::new(),
        }
    }

    /// Whether there is more.
    fn ask(&mut self, reader: &mut dyn Reader, limit: usize) -> Result<bool, TestCaseError> {
        let changes = reader.changes(self.user, &self.since, limit).unwrap();
        let after = |position: Position| !self.since.covers(position) && changes.up_to.covers(position);
        prop_assert!(changes.conversations.iter().all(|view| after(view.head_position)));
        prop_assert!(changes.cursors.iter().all(|cursor| after(cursor.position)));
        prop_assert!(changes.up_to != self.since || !changes.more, "no way forward");
        let mut positions: Vec<Position> = changes
            .conversations
            .iter()
            .map(|view| view.head_position)
            .collect();
        prop_assert!(positions.is_sorted());
        positions.extend(changes.cursors.iter().map(|cursor| cursor.position));
        positions.sort();
        let beyond = positions.get(limit).copied();
        prop_assert!(
            beyond.is_none_or(|position| position == positions[0]),
            "more than the limit"
        );
        for view in changes.conversations {
            self.heads.insert(view.id, view.head_position);
        }
        for cursor in changes.cursors {
            self.cursors
                .insert((cursor.conversation, cursor.user), cursor.position);
        }
        self.since = changes.up_to;
        Ok(changes.more)
    }

    /// What was heard is what there is.
    fn check(&self, reader: &mut dyn Reader) -> Result<(), TestCaseError> {
        let now = reader
            .changes(self.user, &Snapshot::default(), usize::MAX)
            .unwrap();
        prop_assert!(!now.more);
        prop_assert_eq!(&self.since, &now.up_to);
        let heads = now
            .conversations
            .iter()
            .map(|view| (view.id, view.head_position))
            .collect();
        prop_assert_eq!(&self.heads, &heads);
        for cursor in &now.cursors {
            let heard = self.cursors.get(&(cursor.conversation, cursor.user)).copied();
            let joined = self.joined(reader, cursor.conversation);
            // What moved before one came is in the list of members.
            prop_assert!(
                heard == Some(cursor.position) || cursor.position < joined,
                "{cursor:?}: {heard:?}"
            );
        }
        Ok(())
    }

    fn joined(&self, reader: &mut dyn Reader, id: ConversationId) -> Position {
        let view = reader.conversation(self.user, id).unwrap().unwrap();
        let forward = storage::Direction::Forward;
        let page = reader
            .events(self.user, id, view.joined, forward, 1, 0)
            .unwrap()
            .unwrap();
        assert_ne!(view.joined, Seq(0));
        page.events[0].event.position
    }
}
