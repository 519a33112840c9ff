//! The rows of a store in another place: each is one new past, whose positions go on above those that are there.

use postgres::Client;
use services::Postgres;
use storage::{
    ConversationId, Snapshot, Store, UserId, Write, Writer,
    postgres::{PostgresOptions, PostgresStore, past},
};

use crate::{
    PATIENCE,
    lost::count_on,
    message, pair,
    proved::{admin, open},
    register,
};

/// A store with something of each kind that has a position.
fn fill(url: &str) -> PostgresStore {
    let (store, mut writer) = open(url, PATIENCE);
    register(writer.as_mut(), 4);
    for request in 1..=3 {
        writer.commit(&[message(pair(1, 2), 1, request, 0)]).unwrap();
    }
    writer.commit(&[message(pair(1, 3), 1, 4, 0)]).unwrap();
    writer.commit(&[crate::broken::session(5)]).unwrap();
    writer
        .commit(&[Write::Cursors(vec![storage::CursorMove {
            conversation: pair(1, 2),
            user: UserId(2),
            delivered: storage::Seq(2),
            read: storage::Seq(1),
        }])])
        .unwrap();
    store
}

fn newest_first(store: &PostgresStore) -> Vec<ConversationId> {
    let mut reader = store.reader().unwrap();
    let views = reader.conversations(UserId(1), None, 10).unwrap();
    views.iter().map(|view| view.id).collect()
}

/// The rows of `before` are there, under another epoch, and what is written now comes after them and is told of once.
fn is_a_new_past(url: &str, before: &PostgresStore) -> PostgresStore {
    let (store, mut writer) = open(url, PATIENCE);
    assert_ne!((store.epoch(), store.log_id()), (before.epoch(), before.log_id()));
    assert_ne!(store.token_key(), before.token_key());
    goes_on(&store, writer.as_mut());
    let (again, _) = open(url, PATIENCE);
    assert_eq!(
        (again.epoch(), again.log_id()),
        (store.epoch(), store.log_id()),
        "once"
    );
    let report = past::show(&PostgresOptions::new(url)).unwrap();
    assert!(
        report.generations.last().unwrap().why.starts_with("a copy"),
        "{report:?}"
    );
    store
}

fn goes_on(store: &PostgresStore, writer: &mut dyn Writer) {
    let mut reader = store.reader().unwrap();
    let mut since = Snapshot::default();
    let mut told = Vec::new();
    loop {
        let tail = reader.tail(&since, 2).unwrap();
        told.extend(tail.events.iter().map(|event| (event.conversation, event.seq)));
        assert_ne!(tail.up_to, since, "no progress");
        since = tail.up_to;
        if !tail.more {
            break;
        }
    }
    let count = told.len();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), count, "told twice");
    // In the conversation that was the older one.
    let request = 1_000 + count as u64;
    writer.commit(&[message(pair(1, 2), 1, request, 0)]).unwrap();
    let tail = reader.tail(&since, 10).unwrap();
    assert_eq!((tail.events.len(), tail.cursors.len(), tail.more), (1, 0, false));
    assert!(reader.tail(&tail.up_to, 10).unwrap().events.is_empty());
    let changes = reader.changes(UserId(1), &since, 10).unwrap();
    assert_eq!((changes.conversations.len(), changes.more), (1, false));
    assert_eq!(
        newest_first(store),
        [pair(1, 2), pair(1, 3)],
        "the newest comes first"
    );
}

#[test]
fn a_dump_that_is_loaded_is_a_new_past_wherever_that_is() {
    let server = Postgres::start().unwrap();
    count_on(&server, 2_000);
    let url = server.database().unwrap();
    let store = fill(&url);
    let dump = services::dump_database(&url, &[]).unwrap();
    // A server that has counted less, one that has counted more, and the same.
    let younger = Postgres::start().unwrap();
    let older = Postgres::start().unwrap();
    count_on(&older, 5_000);
    let mut epochs = vec![store.epoch()];
    for (into, is_behind) in [(&younger, true), (&older, false), (&server, false)] {
        let copy = into.database().unwrap();
        services::load_database(&copy, &dump).unwrap();
        let now = is_a_new_past(&copy, &store);
        let past_offset: i64 = admin(&copy)
            .query_one("SELECT past_offset FROM store", &[])
            .unwrap()
            .get(0);
        assert!(past_offset == 0 || is_behind);
        assert_eq!(past_offset > 1_000, is_behind);
        epochs.push(now.epoch());
        // And the copy of a copy.
        if is_behind {
            let dump = services::dump_database(&copy, &[]).unwrap();
            let copy = older.database().unwrap();
            services::load_database(&copy, &dump).unwrap();
            epochs.push(is_a_new_past(&copy, &now).epoch());
        }
    }
    epochs.sort_unstable();
    epochs.dedup();
    assert_eq!(epochs.len(), 5);
    // The store itself has noticed nothing.
    let mut writer = store.writer().unwrap();
    goes_on(&store, writer.as_mut());
}

/// While a transaction from before is open, its number is in every snapshot.
#[test]
fn an_open_transaction_hides_nothing_of_a_copy() {
    let server = Postgres::start().unwrap();
    count_on(&server, 2_000);
    let url = server.database().unwrap();
    let store = fill(&url);
    let dump = services::dump_database(&url, &[]).unwrap();
    let younger = Postgres::start().unwrap();
    let mut stranger = admin(&younger.url());
    let mut open = stranger.transaction().unwrap();
    open.query_one("SELECT pg_current_xact_id()", &[]).unwrap();
    let copy = younger.database().unwrap();
    services::load_database(&copy, &dump).unwrap();
    is_a_new_past(&copy, &store);
}

#[test]
fn rows_that_were_written_again_in_place_are_a_copy() {
    let url = services::fresh_database().unwrap();
    let store = fill(&url);
    store.close().unwrap();
    let dump = services::dump_database(&url, &["--data-only"]).unwrap();
    let mut admin = admin(&url);
    let tables: String = admin
        .query_one(
            "SELECT string_agg(tablename, ', ') FROM pg_tables WHERE schemaname = 'public'",
            &[],
        )
        .unwrap()
        .get(0);
    admin.batch_execute(&format!("TRUNCATE {tables}")).unwrap();
    services::load_database(&url, &dump).unwrap();
    is_a_new_past(&url, &store);
}

#[test]
fn a_copy_as_a_template_is_a_copy() {
    let server = Postgres::start().unwrap();
    let url = server.database().unwrap();
    let store = fill(&url);
    store.close().unwrap();
    let name = url.rsplit('/').next().unwrap();
    let mut admin = admin(&server.url());
    admin
        .batch_execute(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}';"
        ))
        .unwrap();
    crate::until("a copy", || {
        admin
            .batch_execute(&format!("CREATE DATABASE copied TEMPLATE {name}"))
            .ok()
    });
    is_a_new_past(&url.replace(name, "copied"), &store);
}

/// What the server does by itself to the row is nothing.
#[test]
fn tidying_up_is_nothing() {
    let url = services::fresh_database().unwrap();
    let store = fill(&url);
    let mut admin = admin(&url);
    for what in [
        "VACUUM FREEZE store",
        "VACUUM FULL store",
        "CLUSTER store USING store_pkey",
        "ANALYZE store",
    ] {
        admin.batch_execute(what).unwrap();
        let (again, _writer) = open(&url, PATIENCE);
        assert_eq!(
            (again.epoch(), again.log_id()),
            (store.epoch(), store.log_id()),
            "{what}"
        );
    }
    let report = past::show(&PostgresOptions::new(&url)).unwrap();
    assert_eq!(report.generations.len(), 1);
}

/// Managed services take some of the functions away; the others go on.
#[test]
fn what_a_role_may_not_ask_is_left_out() {
    let server = Postgres::start().unwrap();
    let mut root = admin(&server.url());
    for what in ["CREATE ROLE tenant LOGIN", "CREATE DATABASE theirs OWNER tenant"] {
        root.batch_execute(what).unwrap();
    }
    let url = server
        .url()
        .replace("imserver@", "tenant@")
        .replace("/postgres", "/theirs");
    let mut within = admin(&server.url().replace("/postgres", "/theirs"));
    let take = |within: &mut Client, function: &str| {
        within
            .batch_execute(&format!("REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC"))
            .unwrap();
    };
    let store = fill(&url);
    let epoch = store.epoch();
    for function in [
        "pg_control_system()",
        "pg_walfile_name(pg_lsn)",
        "pg_postmaster_start_time()",
    ] {
        take(&mut within, function);
        let (store, mut writer) = open(&url, PATIENCE);
        assert_eq!(store.epoch(), epoch, "{function}");
        goes_on(&store, writer.as_mut());
    }
    let report = past::show(&PostgresOptions::new(&url)).unwrap();
    assert!(
        report
            .remarks
            .iter()
            .any(|remark| remark.contains("pg_control_system()")),
        "{report:?}"
    );
    // The rest still tells a copy.
    within
        .batch_execute("UPDATE store SET written_by = written_by + 1")
        .unwrap();
    let (store, _writer) = open(&url, PATIENCE);
    assert_ne!(store.epoch(), epoch);
}

/// The files were moved into those of a newer server, as `pg_upgrade` does: numbers and rows stay as they are.
#[test]
fn a_move_is_kept_by_hand() {
    let moved = |url: &str| {
        admin(url)
            .batch_execute(
                "UPDATE store SET system_id = system_id + 1, written_by = pg_current_xact_id()::text::bigint",
            )
            .unwrap();
    };
    let url = services::fresh_database().unwrap();
    let options = PostgresOptions::new(&url);
    let store = fill(&url);
    moved(&url);
    let report = past::show(&options).unwrap();
    assert!(
        report.remarks.iter().any(|remark| remark.contains("new past")),
        "{report:?}"
    );
    let report = past::keep(&options).unwrap();
    assert_eq!(report.epoch, store.epoch());
    assert_eq!(report.generations.last().unwrap().why, "kept by hand");
    let (again, mut writer) = open(&url, PATIENCE);
    assert_eq!(again.epoch(), store.epoch());
    goes_on(&again, writer.as_mut());
    drop((again, writer));
    moved(&url);
    is_a_new_past(&url, &store);
    // A copy cannot be kept.
    admin(&url)
        .batch_execute("UPDATE store SET written_by = written_by + 1")
        .unwrap();
    let refused = past::keep(&options).unwrap_err();
    assert!(refused.to_string().contains("written again"), "{refused}");
}
