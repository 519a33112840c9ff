//! The store is dumped and loaded elsewhere: into a younger server, whose numbers are lower, and into another database
//! of the same one.

use services::{Postgres, dump_database, load_database};

use super::{Ground, Running};
use crate::traffic::Pasts;

/// Far above the numbers of a young server.
const AHEAD: i64 = 5_000;

/// The store as it stands is dumped while nothing writes, and loaded into a new database of `to`; the nodes are led there.
fn move_to(ground: &mut Ground, to: Option<Postgres>) {
    let dump = dump_database(&ground.store, &[]).unwrap();
    let name = ground.store.rsplit('/').next().unwrap().to_owned();
    match to {
        Some(server) => {
            let fresh = server.database().unwrap();
            load_database(&fresh, &dump).unwrap();
            rename(&server.url(), &fresh, &name);
            ground.wire.lead_to(server.address());
            ground.take_over(server);
        }
        None => {
            let fresh = ground.postgres.database().unwrap();
            load_database(&fresh, &dump).unwrap();
            let url = ground.postgres.url();
            elsewhere(&url, &format!("ALTER DATABASE {name} RENAME TO {name}_before"));
            rename(&url, &fresh, &name);
        }
    }
}

fn rename(server: &str, from: &str, to: &str) {
    let from = from.rsplit('/').next().unwrap();
    elsewhere(server, &format!("ALTER DATABASE {from} RENAME TO {to}"));
}

fn elsewhere(url: &str, sql: &str) {
    let client = postgres::Client::connect(url, postgres::NoTls);
    client.and_then(|mut client| client.batch_execute(sql)).unwrap();
}

fn survives_a_move(move_it: impl FnOnce(&mut Ground)) {
    let mut ground = Ground::new();
    ground.take_numbers(AHEAD);
    let running: Running = ground.begin();
    ground.until_acknowledged(&running, 60);
    let epoch = ground.epoch();
    // The nodes run on, and have nobody to talk to.
    ground.wire.lead_to(super::nobody());
    ground.wire.cut();
    ground.until_unused();
    running.traffic.keep_so_far();
    move_it(&mut ground);
    ground.until_acknowledged(&running, 60);
    assert_ne!(ground.epoch(), epoch, "a copy has another past");
    let judged = ground.judge(running, Pasts::Any);
    println!(
        "moved: {} writes acknowledged, {} violations",
        judged.acknowledged,
        judged.violations.len()
    );
    judged.expect_kept(0);
}

#[test]
fn a_store_that_is_loaded_into_a_younger_server_goes_on() {
    survives_a_move(|ground| move_to(ground, Some(Postgres::start().unwrap())));
}

#[test]
fn a_store_that_is_loaded_into_another_database_goes_on() {
    survives_a_move(|ground| {
        move_to(ground, None);
        ground.wire.lead_to(ground.postgres.address());
    });
}
