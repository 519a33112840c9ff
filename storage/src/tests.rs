//! The conformance suite on all stores.

use parking_lot::Mutex;

use crate::{
    Action, Append, ClientId, CommitError, ConversationId, Direction, Fingerprint, NewUser, Reader, Seq,
    Store, Timestamp, UserId, Write, conformance,
    model::ModelStore,
    postgres::PostgresStore,
    sqlite::{SqliteOptions, SqliteStore},
};

#[path = "../tests/ranked/database.rs"]
pub(crate) mod database;
#[path = "../tests/ranked/mod.rs"]
mod ranked;

#[test]
fn the_model_conforms() {
    conformance::run(|rules| Box::new(ModelStore::new(1, 2, rules)));
}

#[test]
fn sqlite_conforms() {
    sqlite_conforms_with(SqliteOptions::new("").index_events);
}

#[test]
fn sqlite_conforms_while_it_writes_its_index() {
    sqlite_conforms_with(1);
    sqlite_conforms_with(3);
}

fn sqlite_conforms_with(index_events: u32) {
    // Each directory stays until all cases are done.
    let directories = Mutex::new(Vec::new());
    conformance::run(|rules| -> Box<dyn Store> {
        let directory = tempfile::tempdir().unwrap();
        let mut options = SqliteOptions::new(directory.path().join("test.db"));
        options.rules = rules;
        options.index_events = index_events;
        directories.lock().push(directory);
        Box::new(SqliteStore::open(options).unwrap())
    });
}

#[test]
fn postgresql_conforms() {
    conformance::run(|rules| -> Box<dyn Store> {
        let mut options = database::fresh();
        options.rules = rules;
        Box::new(ranked::Ranked::new(PostgresStore::open(options).unwrap()))
    });
}

/// One append, two logs: what fails in the second leaves nothing in the first. SQLite's test is among its own.
#[test]
fn a_failure_between_two_logs_leaves_nothing_in_either_of_postgresql() {
    let (options, mut client) = database::fresh_with_client();
    let store = PostgresStore::open(options).unwrap();
    let mut writer = store.writer().unwrap();
    let ann = Write::CreateUser(NewUser {
        name: "ann".to_owned(),
        display_name: String::new(),
        password_hash: String::new(),
        at: Timestamp(1),
    });
    let Write::CreateUser(mut bob) = ann.clone() else {
        unreachable!()
    };
    bob.name = "bob".to_owned();
    writer.commit(&[ann, Write::CreateUser(bob)]).unwrap();
    let (own, direct) = (ConversationId(1), ConversationId(1 << 62 | 1 << 31 | 2));
    let batch = [Write::Append(Append {
        conversation: direct,
        sender: UserId(1),
        client_id: ClientId([3; 16]),
        fingerprint: Fingerprint([4; 16]),
        at: Timestamp(5),
        action: Action::Pair {
            other: own,
            body: "both".into(),
        },
    })];
    let events_in = |reader: &mut dyn Reader, conversation| {
        let page = reader.events(UserId(1), conversation, Seq(1), Direction::Forward, 9, usize::MAX);
        page.unwrap().map_or(0, |page| page.events.len())
    };
    let mut reader = store.reader().unwrap();
    client
        .batch_execute("ALTER TABLE events ADD CONSTRAINT never CHECK (conversation <> 1)")
        .unwrap();
    match writer.commit(&batch) {
        Err(CommitError::NotApplied { full: false, .. }) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!([direct, own].map(|log| events_in(reader.as_mut(), log)), [0, 0]);
    client
        .batch_execute("ALTER TABLE events DROP CONSTRAINT never")
        .unwrap();
    let answers = writer.commit(&batch).unwrap();
    assert_eq!(answers[0].as_ref().unwrap().new_events().count(), 2);
    assert_eq!([direct, own].map(|log| events_in(reader.as_mut(), log)), [1, 1]);
}
