//! Bodies erased a slice at a time: what a slice takes, what is left when a node goes away in between, and that several
//! nodes at once neither wait for each other nor leave anything out.

use postgres::{Client, NoTls};
use storage::{
    Action, ERASED_BODIES_MAX, MessageKinds, Outcome, Seq, Store, Timestamp, Write, Writer,
    postgres::PostgresStore,
};

use crate::{append, appended, database, log, message, pair, register};

const EDITS: u64 = 2 * ERASED_BODIES_MAX as u64 + 7;

fn edit(target: u64, request: u64) -> Write {
    let action = Action::Edit {
        target: Seq(target),
        body: format!("secret {request}").into(),
        fits: MessageKinds::ALL,
    };
    Write::Append(append(pair(1, 2), 1, request, action))
}

fn recall(target: u64, request: u64) -> Write {
    Write::Append(append(
        pair(1, 2),
        1,
        request,
        Action::Recall { target: Seq(target) },
    ))
}

fn expiring(request: u64) -> Write {
    let action = Action::Message {
        kind: 1,
        body: format!("secret {request}").into(),
        expires_at: Timestamp(5_000),
        reply_to: Seq(0),
    };
    Write::Append(append(pair(1, 2), 1, request, action))
}

fn slice(writer: &mut dyn Writer) -> bool {
    match writer
        .commit(&[Write::Erase(Timestamp(5_000))])
        .unwrap()
        .remove(0)
    {
        Ok(Outcome::Erased(any)) => any,
        other => panic!("{other:?}"),
    }
}

/// Two messages that were edited often and are recalled.
fn recall_two(writer: &mut dyn Writer) {
    register(writer, 2);
    let mut writes = vec![message(pair(1, 2), 1, 1, 0), message(pair(1, 2), 1, 2, 0)];
    writes.extend((0..EDITS).map(|number| edit(1 + number % 2, 100 + number)));
    writes.extend([recall(1, 3), recall(2, 4)]);
    for write in writes {
        let outcome = writer.commit(&[write]).unwrap().remove(0);
        appended(outcome.unwrap());
    }
}

/// Bodies in the table that say what is secret.
fn left(client: &mut Client) -> u64 {
    let row = client.query_one(
        "SELECT count(*) FROM events WHERE position('\\x736563726574'::bytea IN body) > 0",
        &[],
    );
    row.unwrap().get::<_, i64>(0).cast_unsigned()
}

fn nobody_sees_a_secret(store: &PostgresStore) {
    let events = log(store.reader().unwrap().as_mut(), 2, pair(1, 2));
    assert!(events.iter().all(|event| !event.body.starts_with(b"secret")));
}

#[test]
fn what_a_node_left_is_erased_by_the_next() {
    let options = database::fresh();
    let mut client = Client::connect(&options.url, NoTls).unwrap();
    let store = PostgresStore::open(options.clone()).unwrap();
    let mut writer = store.writer().unwrap();
    recall_two(writer.as_mut());
    assert_eq!(
        left(&mut client),
        EDITS,
        "a recall itself erases the message alone"
    );
    nobody_sees_a_secret(&store);
    assert!(slice(writer.as_mut()));
    assert_eq!(left(&mut client), EDITS - ERASED_BODIES_MAX as u64);
    nobody_sees_a_secret(&store);
    drop(writer);
    drop(store);
    let store = PostgresStore::open(options).unwrap();
    let mut writer = store.writer().unwrap();
    nobody_sees_a_secret(&store);
    while slice(writer.as_mut()) {}
    assert_eq!(left(&mut client), 0);
    nobody_sees_a_secret(&store);
    let notes = client.query_one("SELECT count(*) FROM erasures", &[]).unwrap();
    assert_eq!(notes.get::<_, i64>(0), 0);
    store.close().unwrap();
}

#[test]
fn several_nodes_erase_at_once() {
    let options = database::fresh();
    let mut client = Client::connect(&options.url, NoTls).unwrap();
    let store = PostgresStore::open(options).unwrap();
    let mut writer = store.writer().unwrap();
    recall_two(writer.as_mut());
    for first in [1_000, 2_000] {
        let writes: Vec<Write> = (first..first + 300).map(expiring).collect();
        for answer in writer.commit(&writes).unwrap() {
            appended(answer.unwrap());
        }
    }
    assert_eq!(left(&mut client), EDITS + 600);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let mut writer = store.writer().unwrap();
            scope.spawn(move || while slice(writer.as_mut()) {});
        }
    });
    // What one had while all others looked is taken by whoever comes next.
    while slice(writer.as_mut()) {}
    assert_eq!(left(&mut client), 0);
    store.close().unwrap();
}

#[test]
fn nothing_waits_for_a_lock_that_somebody_holds() {
    let mut options = database::fresh();
    options.lock_timeout = std::time::Duration::from_millis(200);
    let mut client = Client::connect(&options.url, NoTls).unwrap();
    let store = PostgresStore::open(options).unwrap();
    let mut writer = store.writer().unwrap();
    register(writer.as_mut(), 2);
    for answer in writer.commit(&[expiring(1), expiring(2)]).unwrap() {
        appended(answer.unwrap());
    }
    let mut lock = client.transaction().unwrap();
    lock.execute("SELECT 1 FROM events WHERE seq = 1 FOR UPDATE", &[])
        .unwrap();
    // A conversation's lock is in nobody's way.
    lock.execute("SELECT 1 FROM conversations FOR UPDATE", &[])
        .unwrap();
    assert!(slice(writer.as_mut()), "the other one is erased");
    assert!(!slice(writer.as_mut()), "and this one is passed over");
    lock.commit().unwrap();
    assert!(slice(writer.as_mut()));
    assert_eq!(left(&mut client), 0);
    store.close().unwrap();
}

#[test]
fn with_nothing_to_erase_nothing_is_written() {
    let options = database::fresh();
    let mut client = Client::connect(&options.url, NoTls).unwrap();
    let store = PostgresStore::open(options).unwrap();
    let mut writer = store.writer().unwrap();
    register(writer.as_mut(), 2);
    let mut batch = || -> i64 {
        let row = client.query_one("SELECT batch FROM writers WHERE batch <> 0", &[]);
        row.unwrap().get(0)
    };
    let before = batch();
    assert!(!slice(writer.as_mut()));
    assert_eq!(batch(), before);
    store.close().unwrap();
}
