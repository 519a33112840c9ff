//! The rows that a transaction adds to the log. Batches inserts into multi-row statements (a statement costs about as
//! much as a row), so the newest rows may still be buffered. Call [`flush`](Log::flush) before reading the log and
//! before the commit.

use std::borrow::Cow;

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{CachedStatement, Connection};

use super::{
    failure::Failure,
    row::{LogEntry, Parameters, proof, sql, users_to_blob},
};
use crate::types::{Event, EventKind, Fingerprint, Role};

/// Rows of one statement; its text has a group of parameters for each.
const ROWS_AT_ONCE: usize = 8;

/// The log, as one transaction adds to it.
pub(super) struct Log<'c> {
    connection: &'c Connection,
    waiting: Vec<(Arc<Event>, Fingerprint)>,
    /// Prepared at the first use: a look-up for each event would cost a fourth of its write.
    one: Option<CachedStatement<'c>>,
    several: Option<CachedStatement<'c>>,
}

impl<'c> Log<'c> {
    pub(super) const fn new(connection: &'c Connection) -> Self {
        Self {
            connection,
            waiting: Vec::new(),
            one: None,
            several: None,
        }
    }

    /// Adds an event. A reaction has its own text, too.
    pub(super) fn enter(
        &mut self,
        event: &Arc<Event>,
        fingerprint: Fingerprint,
        reaction: &str,
    ) -> Result<(), Failure> {
        if !matches!(event.kind, EventKind::Message(_)) {
            return self.write(event, fingerprint, reaction);
        }
        self.waiting.push((Arc::clone(event), fingerprint));
        if self.waiting.len() >= ROWS_AT_ONCE {
            self.write_waiting()?;
        }
        Ok(())
    }

    /// Writes the buffered rows.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        for (event, fingerprint) in std::mem::take(&mut self.waiting) {
            self.write(&event, fingerprint, "")?;
        }
        Ok(())
    }

    fn write(&mut self, event: &Event, fingerprint: Fingerprint, reaction: &str) -> Result<(), Failure> {
        let statement = match &mut self.one {
            Some(statement) => statement,
            none => none.insert(self.connection.prepare_cached(
                "INSERT INTO events (position, conversation, seq, ordinal, roster, sender, client_id, proof,
                                     at, kind, target, expires_at, recalled, users, role, text, body)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?)",
            )?),
        };
        let change = event.change.as_ref();
        let text = match change {
            Some(change) => change.text().map(Cow::Owned),
            None => match &event.entry {
                Some(entry) => Some(Cow::Owned(entry.to_text())),
                None => (!reaction.is_empty()).then_some(Cow::Borrowed(reaction)),
            },
        };
        let mut parameters = Parameters::of(statement);
        bind_first(&mut parameters, event, &proof(event, fingerprint, reaction))?;
        parameters.bind(sql(event.target.0))?;
        parameters.bind(sql(event.expires_at.0))?;
        parameters.bind(change.map(|change| users_to_blob(&change.users)))?;
        parameters.bind(change.and_then(|change| change.role).map(Role::number))?;
        parameters.bind(text.as_deref())?;
        parameters.bind(&event.body[..])?;
        statement.raw_execute()?;
        Ok(())
    }

    /// Writes exactly as many messages as one statement takes. If it fails, its rows are not undone, which would need a
    /// journal of its own: the transaction undoes them.
    fn write_waiting(&mut self) -> Result<(), Failure> {
        let statement = match &mut self.several {
            Some(statement) => statement,
            none => none.insert(self.connection.prepare_cached(
                "INSERT OR FAIL INTO events (position, conversation, seq, ordinal, roster, sender, client_id,
                                             proof, at, kind, target, expires_at, recalled, body)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0, ?),
                        (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0, ?),
                        (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0, ?),
                        (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0, ?),
                        (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0, ?),
                        (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0, ?),
                        (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0, ?),
                        (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, 0, ?)",
            )?),
        };
        let mut parameters = Parameters::of(statement);
        for (event, fingerprint) in &self.waiting {
            bind_first(&mut parameters, event, &proof(event, *fingerprint, ""))?;
            parameters.bind(sql(event.expires_at.0))?;
            parameters.bind(&event.body[..])?;
        }
        statement.raw_execute()?;
        self.waiting.clear();
        Ok(())
    }
}

/// Writes an event again without its body, marked as recalled if the entry is.
pub(super) fn erase(connection: &Connection, mut entry: LogEntry) -> Result<(), Failure> {
    entry.event.body = Bytes::new();
    connection
        .prepare_cached("UPDATE events SET body = x'', recalled = ?2, proof = ?3 WHERE position = ?1")?
        .execute((
            sql(entry.event.position.0),
            entry.event.recalled,
            proof(&entry.event, entry.fingerprint, &entry.reaction),
        ))?;
    Ok(())
}

/// Binds the columns from `position` to `kind`.
fn bind_first(parameters: &mut Parameters<'_, '_>, event: &Event, proof: &[u8]) -> Result<(), Failure> {
    parameters.bind(sql(event.position.0))?;
    parameters.bind(sql(event.conversation.0))?;
    parameters.bind(sql(event.seq.0))?;
    parameters.bind(sql(event.ordinal))?;
    parameters.bind(sql(event.roster.0))?;
    parameters.bind(sql(event.sender.0))?;
    parameters.bind(event.client_id.0)?;
    parameters.bind(proof)?;
    parameters.bind(sql(event.at.0))?;
    parameters.bind(event.kind.number())
}
