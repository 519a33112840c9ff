//! The conformance suite on all stores.

use parking_lot::Mutex;

use crate::{
    Store, conformance,
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
