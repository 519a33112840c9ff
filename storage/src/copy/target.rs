//! The rows of the PostgreSQL database: written in batches, read in one stream.

use postgres::{
    RowIter,
    binary_copy::BinaryCopyInWriter,
    fallible_iterator::FallibleIterator,
    types::{ToSql, Type},
};

use super::{
    source,
    tables::{Kind, Order, Placing, TABLES, Table},
    value::{Value, Values},
};
use crate::{error::OpenError, postgres::filling::Filling, sqlite::whole::Whole};

/// Rows of one transaction, at most. Readers of the log's tail read a transaction as a whole.
const BATCH_ROWS: i64 = 1_000;

/// Copies a table. `copied` is called with the number of rows after every transaction.
pub(super) fn fill(
    target: &mut Filling,
    source: &Whole,
    table: &Table,
    copied: &mut dyn FnMut(u64),
) -> Result<(), OpenError> {
    let mut statement = source::ask(source, table, Order::Written)?;
    let mut rows = source::Rows::new(&mut statement, table)?;
    let mut next = rows.next()?;
    while let Some(first) = next.take() {
        let base = target.begin_batch()?;
        let batch = fill_batch(target, table, base, first, &mut rows)?;
        if let Placing::Event(statement) = table.placing {
            let (first, last) = batch.owners;
            target.client().execute(statement, &[&first, &last])?;
        }
        target.commit_batch(base)?;
        next = batch.next;
        copied(batch.rows.cast_unsigned());
    }
    Ok(())
}

/// A batch that was written.
struct Batch {
    rows: i64,
    /// The smallest and the largest first column.
    owners: (i64, i64),
    /// The first row of the next batch.
    next: Option<Values>,
}

fn fill_batch(
    target: &mut Filling,
    table: &Table,
    base: i64,
    first: Values,
    rows: &mut source::Rows<'_>,
) -> Result<Batch, OpenError> {
    let types: Vec<Type> = table
        .columns
        .iter()
        .map(|column| column.kind.postgres())
        .collect();
    let writer = target.client().copy_in(&table.fill_postgres())?;
    let mut writer = BinaryCopyInWriter::new(writer, &types);
    let owner = owner(&first);
    let mut batch = Batch {
        rows: 0,
        owners: (owner, owner),
        next: Some(first),
    };
    while batch.rows < BATCH_ROWS
        && let Some(mut values) = batch.next.take()
    {
        place(&mut values, table, base + batch.rows);
        let owner = self::owner(&values);
        batch.owners = (batch.owners.0.min(owner), batch.owners.1.max(owner));
        let columns: Vec<&(dyn ToSql + Sync)> =
            values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        writer.write(&columns)?;
        batch.rows += 1;
        batch.next = rows.next()?;
    }
    let written = writer.finish()?;
    if written == batch.rows.cast_unsigned() {
        Ok(batch)
    } else {
        Err(OpenError::Refused(format!(
            "of {} rows the server took {written}",
            batch.rows
        )))
    }
}

fn owner(values: &[Value]) -> i64 {
    values.first().and_then(Value::number).unwrap_or(0)
}

/// Replaces the source's position by the row's new one, or by 0 if it is set later.
fn place(values: &mut [Value], table: &Table, position: i64) {
    let new = if table.placing == Placing::Own {
        position
    } else {
        0
    };
    for (value, column) in values.iter_mut().zip(table.columns) {
        if let Value::Number(old) = value
            && column.kind == Kind::Position
            && *old != 0
        {
            *old = new;
        }
    }
}

/// Lets the server collect statistics, so that its first plans are good.
pub(super) fn analyze(target: &mut Filling) -> Result<(), OpenError> {
    let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
    Ok(target
        .client()
        .batch_execute(&format!("ANALYZE {}", names.join(", ")))?)
}

/// Rows of one table, one after another.
pub(super) struct Rows<'a> {
    rows: RowIter<'a>,
    table: &'a Table,
}

impl<'a> Rows<'a> {
    pub(super) fn new(target: &'a mut Filling, table: &'a Table, order: Order) -> Result<Self, OpenError> {
        let none: [&(dyn ToSql + Sync); 0] = [];
        let rows = target.client().query_raw(&table.ask_postgres(order), none)?;
        Ok(Self { rows, table })
    }

    pub(super) fn next(&mut self) -> Result<Option<Values>, OpenError> {
        let Some(row) = self.rows.next()? else {
            return Ok(None);
        };
        let columns = self.table.columns.iter().enumerate();
        columns
            .map(|(index, column)| Value::from_postgres(&row, index, column.kind))
            .collect::<Result<Values, OpenError>>()
            .map(Some)
    }
}
