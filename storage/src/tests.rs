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
    // Each directory stays until all cases are done.
    let directories = Mutex::new(Vec::new());
    conformance::run(|rules| -> Box<dyn Store> {
        let directory = tempfile::tempdir().unwrap();
        let mut options = SqliteOptions::new(directory.path().join("test.db"));
        options.rules = rules;
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
