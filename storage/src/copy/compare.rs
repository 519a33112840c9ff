//! The comparison of both stores after a copy. Table by table it compares a SHA-256 of all rows of each owner (a
//! conversation, a user, a session), then the order of the log, and then the copies of positions outside the log.

use sha2::{Digest, Sha256};

use super::{
    CopyError, source,
    tables::{ORDER, Order, TABLES, Table},
    target,
    value::Values,
};
use crate::{error::OpenError, postgres::filling::Filling, sqlite::whole::Whole};

/// Rows between two reports.
const REPORT_ROWS: u64 = 1_000;

/// Queries for the first conversation where a copy of an event's position differs from the event's own.
const REPEATED: [(&str, &str); 2] = [
    (
        "the head of conversation",
        "SELECT c.id FROM conversations c LEFT JOIN events e ON e.conversation = c.id AND e.seq = c.head_seq
         WHERE e.position IS DISTINCT FROM c.head_position ORDER BY 1 LIMIT 1",
    ),
    (
        "the end of a membership in conversation",
        "SELECT m.conversation FROM members m
            LEFT JOIN events e ON e.conversation = m.conversation AND e.seq = m.left_seq
         WHERE e.position IS DISTINCT FROM m.left_position ORDER BY 1 LIMIT 1",
    ),
];

/// Compares everything, in the transaction that the caller completes. `compared` is called with the rows so far.
pub(super) fn all(
    source: &Whole,
    target: &mut Filling,
    compared: &mut dyn FnMut(u64),
) -> Result<(), CopyError> {
    target.begin_comparing().map_err(CopyError::BrokenOff)?;
    let mut done = 0;
    let mut count = || {
        done += 1;
        if done % REPORT_ROWS == 0 {
            compared(done);
        }
    };
    for table in TABLES {
        same(source, target, table, Order::Key, &mut count)?;
    }
    same(source, target, &ORDER, Order::Written, &mut count)?;
    for (what, question) in REPEATED {
        let row = target
            .client()
            .query_opt(question, &[])
            .map_err(|error| CopyError::BrokenOff(error.into()))?;
        if let Some(row) = row {
            let id: i64 = row
                .try_get(0)
                .map_err(|error| CopyError::BrokenOff(error.into()))?;
            return Err(CopyError::Differs {
                what,
                id: id.cast_unsigned(),
            });
        }
    }
    Ok(())
}

fn same(
    source: &Whole,
    target: &mut Filling,
    table: &Table,
    order: Order,
    count: &mut dyn FnMut(),
) -> Result<(), CopyError> {
    let mut statement = source::ask(source, table, order).map_err(CopyError::BrokenOff)?;
    let mut left = source::Rows::new(&mut statement, table).map_err(CopyError::BrokenOff)?;
    let mut right = target::Rows::new(target, table, order).map_err(CopyError::BrokenOff)?;
    let mut expected = Digests::new(table, || {
        count();
        left.next()
    });
    let mut found = Digests::new(table, || right.next());
    loop {
        let expected = expected.next().map_err(CopyError::BrokenOff)?;
        let found = found.next().map_err(CopyError::BrokenOff)?;
        if expected != found {
            let owners = [expected, found].into_iter().flatten().map(|(owner, _)| owner);
            return Err(CopyError::Differs {
                what: table.what,
                // A side that lacks rows is at a later owner already: the smaller id is the one that differs.
                id: owners.min().unwrap_or(0).cast_unsigned(),
            });
        }
        if expected.is_none() {
            return Ok(());
        }
    }
}

/// The digests of consecutive rows of one owner.
struct Digests<'a, N> {
    table: &'a Table,
    read: N,
    /// The first row of the next owner.
    next: Option<Values>,
    begun: bool,
}

impl<'a, N: FnMut() -> Result<Option<Values>, OpenError>> Digests<'a, N> {
    const fn new(table: &'a Table, read: N) -> Self {
        Self {
            table,
            read,
            next: None,
            begun: false,
        }
    }

    fn next(&mut self) -> Result<Option<(i64, [u8; 32])>, OpenError> {
        if !self.begun {
            self.begun = true;
            self.next = (self.read)()?;
        }
        let Some(first) = self.next.take() else {
            return Ok(None);
        };
        let owner = first.first().cloned();
        let mut digest = Sha256::new();
        let mut row = Some(first);
        while let Some(values) = row.take() {
            if values.first() != owner.as_ref() {
                self.next = Some(values);
                break;
            }
            for (value, column) in values.iter().zip(self.table.columns) {
                value.digest(column.kind, &mut digest);
            }
            row = (self.read)()?;
        }
        let owner = owner.and_then(|owner| owner.number()).unwrap_or(0);
        Ok(Some((owner, digest.finalize().into())))
    }
}
