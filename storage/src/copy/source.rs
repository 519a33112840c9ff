//! The rows of the embedded store.

use rusqlite::Statement;

use super::{
    tables::{EVENTS, Order, TABLES, Table},
    value::{Value, Values},
};
use crate::{error::OpenError, sqlite::whole::Whole};

/// The numbers of rows.
pub(super) struct Counts(Vec<(&'static str, u64)>);

impl Counts {
    pub(super) fn of(&self, table: &str) -> u64 {
        let found = self.0.iter().find(|(name, _)| *name == table);
        found.map_or(0, |(_, rows)| *rows)
    }

    /// Rows that are copied.
    pub(super) fn total(&self) -> u64 {
        self.0.iter().map(|(_, rows)| rows).sum()
    }

    /// Rows that are compared: the log twice, for its content and for its order.
    pub(super) fn compared(&self) -> u64 {
        self.total() + self.of(EVENTS.name)
    }
}

pub(super) fn count(source: &Whole) -> Result<Counts, OpenError> {
    let mut counts = Vec::new();
    for table in TABLES {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        let rows: i64 = source
            .connection()
            .query_row(&sql, [], |row| row.get(0))
            .map_err(cannot_read)?;
        counts.push((table.name, rows.cast_unsigned()));
    }
    Ok(Counts(counts))
}

pub(super) fn ask<'a>(source: &'a Whole, table: &Table, order: Order) -> Result<Statement<'a>, OpenError> {
    source
        .connection()
        .prepare(&table.ask_sqlite(order))
        .map_err(cannot_read)
}

/// Rows of one table, one after another.
pub(super) struct Rows<'a> {
    rows: rusqlite::Rows<'a>,
    table: &'a Table,
}

impl<'a> Rows<'a> {
    pub(super) fn new(statement: &'a mut Statement<'_>, table: &'a Table) -> Result<Self, OpenError> {
        let rows = statement.query([]).map_err(cannot_read)?;
        Ok(Self { rows, table })
    }

    pub(super) fn next(&mut self) -> Result<Option<Values>, OpenError> {
        let Some(row) = self.rows.next().map_err(cannot_read)? else {
            return Ok(None);
        };
        let mut values = Values::with_capacity(self.table.columns.len());
        for (index, column) in self.table.columns.iter().enumerate() {
            let value = row.get_ref(index).map_err(cannot_read)?;
            values.push(Value::from_sqlite(value, column.kind)?);
        }
        Ok(Some(values))
    }
}

fn cannot_read(error: rusqlite::Error) -> OpenError {
    OpenError::failed(format!("the source cannot be read: {error}"), error)
}
