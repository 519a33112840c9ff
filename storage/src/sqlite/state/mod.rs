//! Rows of cursors and of the state that follows from the log, as values: each is proven by its sum when it is read,
//! and gets a new sum when it is written.
//!
//! It owns these sums. A row that is not found proves nothing by itself: if its absence would be an answer, the row is
//! looked for in a second b-tree, which one flipped bit cannot damage together with the first. It must never change a
//! row that it did not prove before.

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

/// Checks that the row is what was written.
fn prove(row: &Row<'_>, column: usize, sum: u64, what: impl FnOnce() -> String) -> Result<(), Failure> {
    if row::number(row, column)? == sum {
        Ok(())
    } else {
        Err(Failure::damaged(format!("{} is not what was written", what())))
    }
}

/// Checks that a row that one b-tree lacks is missing from the second one of the same key, too.
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
