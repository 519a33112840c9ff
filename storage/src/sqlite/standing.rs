//! The store's standing: the one row that every commit moves, and the progress of the derived tables. It must never let
//! a commit of this process follow one of another.

use rusqlite::Connection;

use super::{
    failure::Failure,
    row::{self, first, sql},
    sum,
};
use crate::{past::Generation, types::Position};

/// The standing: every transaction must find it; otherwise it does not write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Standing {
    pub(super) log_id: u64,
    pub(super) generation: Generation,
    /// Transactions of all generations, including those that take no position.
    pub(super) commits: u64,
    /// The newest position assigned.
    pub(super) position: Position,
    /// The [chain](sum::chained) over the log.
    pub(super) chain: u64,
}

/// The store's standing, proven by its sum.
pub(super) fn read(connection: &Connection) -> Result<Standing, Failure> {
    let (standing, sum) = said(connection)?;
    if sum == sum::of_standing(&standing) {
        Ok(standing)
    } else {
        Err(Failure::damaged("the row of `store` is not what was written"))
    }
}

/// The store's standing and its sum, unproven: it may only be compared.
fn said(connection: &Connection) -> Result<(Standing, u64), Failure> {
    let mut statement =
        connection.prepare_cached("SELECT log_id, generation, commits, position, chain, sum FROM store")?;
    first(statement.query([])?, |row| {
        let standing = Standing {
            log_id: row::number(row, 0)?,
            generation: Generation(row::number(row, 1)?),
            commits: row::number(row, 2)?,
            position: row::position(row, 3)?,
            chain: row::number(row, 4)?,
        };
        Ok((standing, row::number(row, 5)?))
    })?
    .ok_or_else(|| Failure::damaged("the table `store` is empty"))
}

/// Checks that the store stands where this process left it.
pub(super) fn expect(connection: &Connection, left: &Standing) -> Result<(), Failure> {
    let (found, sum) = said(connection)?;
    if found == *left && sum == sum::of_standing(left) {
        return Ok(());
    }
    Err(Failure::Lost(format!(
        "another process wrote to the store: it stands at {found:?}, where this one left it at {left:?}"
    )))
}

/// Moves the store's row, which must equal `from`. Otherwise another process wrote, or the file was replaced.
pub(super) fn advance(connection: &Connection, from: &Standing, to: &Standing) -> Result<(), Failure> {
    // By the row's id, which saves SQLite a list of the rows to change.
    let moved = connection
        .prepare_cached(
            "UPDATE store SET position=?1, chain=?2, commits=?3, generation=?4, log_id=?5, sum=?6
             WHERE id=1 AND position=?7 AND chain=?8 AND commits=?9 AND generation=?10 AND log_id=?11 AND sum=?12",
        )?
        .execute([
            sql(to.position.0),
            sql(to.chain),
            sql(to.commits),
            sql(to.generation.0),
            sql(to.log_id),
            sql(sum::of_standing(to)),
            sql(from.position.0),
            sql(from.chain),
            sql(from.commits),
            sql(from.generation.0),
            sql(from.log_id),
            sql(sum::of_standing(from)),
        ])?;
    if moved == 1 {
        return Ok(());
    }
    expect(connection, from)?;
    Err(Failure::damaged("the row of `store` cannot be moved"))
}

/// The derived tables have everything up to this position.
pub(super) fn set_watermark(connection: &Connection, watermark: u64) -> Result<(), Failure> {
    connection
        .prepare_cached("UPDATE store SET watermark = ?1, watermark_sum = ?2")?
        .execute([sql(watermark), sql(sum::of_watermark(watermark))])?;
    Ok(())
}

/// The progress of the derived tables. 0 needs no proof: it makes a start rebuild them.
pub(super) fn watermark(connection: &Connection) -> Result<u64, Failure> {
    let mut statement = connection.prepare_cached("SELECT watermark, watermark_sum FROM store")?;
    let found = first(statement.query([])?, |row| {
        Ok((row::number(row, 0)?, row::number(row, 1)?))
    })?;
    match found {
        Some((watermark, sum)) if watermark == 0 || sum == sum::of_watermark(watermark) => Ok(watermark),
        _ => Err(Failure::damaged("the watermark is not what was written")),
    }
}
