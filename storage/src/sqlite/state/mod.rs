//! Rows of cursors, and of what follows from the log, as values: each proves itself by its sum when it is read, and gets
//! it when it is written.
//!
//! It owns these sums, and what a row that is not found proves: nothing by itself. Where an absence would be an answer,
//! the row is looked for in a second b-tree, which one flipped bit cannot damage together with the first. It must never
//! change a row that it did not prove before.

mod changed;
mod conversation;
mod cursor;
mod stay;

pub(super) use changed::*;
pub(super) use conversation::*;
pub(super) use cursor::*;
pub(super) use stay::*;

use rusqlite::{Connection, Row};

use super::{
    failure::Failure,
    row::{self, first},
};

/// The row is what was written.
fn prove(row: &Row<'_>, column: usize, sum: u64, what: impl FnOnce() -> String) -> Result<(), Failure> {
    if row::number(row, column)? == sum {
        Ok(())
    } else {
        Err(Failure::damaged(format!("{} is not what was written", what())))
    }
}

/// What one b-tree does not have, the second one of the same key does not have either.
pub(super) fn prove_absence(
    connection: &Connection,
    again: &str,
    key: impl rusqlite::Params,
    what: impl FnOnce() -> String,
) -> Result<(), Failure> {
    let found = first(connection.prepare_cached(again)?.query(key)?, |_| Ok(()))?;
    match found {
        None => Ok(()),
        Some(()) => Err(Failure::damaged(format!("{} is not found by its key", what()))),
    }
}
