//! A real driver: `SQLite`, with the manager and the policy that its users would write.

use super::*;
use std::path::PathBuf;

struct File(PathBuf);

impl ManageConnection for File {
    type Connection = rusqlite::Connection;
    type Error = rusqlite::Error;

    fn connect(&self) -> rusqlite::Result<rusqlite::Connection> {
        rusqlite::Connection::open(&self.0)
    }

    fn is_valid(&self, connection: &mut rusqlite::Connection) -> rusqlite::Result<()> {
        connection.execute_batch("SELECT 1")
    }

    fn has_broken(&self, _: &mut rusqlite::Connection) -> bool {
        false
    }
}

/// Rolls back a transaction that a caller left open.
struct NoTransactions;

impl PoolPolicy<File> for NoTransactions {
    fn prepare(&self, connection: &mut rusqlite::Connection) -> rusqlite::Result<()> {
        connection.busy_timeout(PATIENCE)
    }

    fn reset(&self, connection: &mut rusqlite::Connection) -> Reset {
        if connection.is_autocommit() {
            Reset::Keep
        } else {
            Reset::Clean
        }
    }

    fn clean(&self, connection: &mut rusqlite::Connection) -> rusqlite::Result<()> {
        connection.execute_batch("ROLLBACK")
    }

    fn driver_timeouts(&self) -> Option<DriverTimeouts> {
        Some(DriverTimeouts {
            connect: PATIENCE,
            answer: PATIENCE,
        })
    }
}

#[test]
fn nobody_finds_somebody_elses_transaction_open() {
    let directory = tempfile::tempdir().unwrap();
    let settings = PoolSettings {
        max: 1,
        acquire_timeout: PATIENCE,
        ..PoolSettings::ageless()
    };
    let file = File(directory.path().join("numbers.db"));
    let pool = Pool::builder(file)
        .settings(settings)
        .policy(NoTransactions)
        .build()
        .unwrap();
    pool.get()
        .unwrap()
        .execute_batch("CREATE TABLE numbers (number)")
        .unwrap();
    pool.get()
        .unwrap()
        .execute_batch("BEGIN; INSERT INTO numbers VALUES (1)")
        .unwrap();
    let lease = pool.get().unwrap();
    assert!(lease.is_autocommit());
    let count = lease.query_row("SELECT count(*) FROM numbers", [], |row| row.get::<_, u32>(0));
    assert_eq!(count, Ok(0));
    drop(lease);
    let statistics = pool.statistics();
    assert_eq!((statistics.connects, statistics.checks), (1, 1));
    assert_eq!(pool.close(PATIENCE).total, 0);
}
