//! Proves the state of conversations against the log: applies the log again, to temporary tables of the same names, and
//! compares the two. For stores small enough to do it at a start.

use rusqlite::Connection;

use super::{derive, failure::Failure, row};
use crate::types::{Event, Position};

/// The tables that [`derive::apply_state`] writes, with the columns that follow from events alone: heads are written
/// behind the log.
const TABLES: [(&str, &str); 8] = [
    (
        "conversations",
        "id, settings, disbanded, member_count, stays, closed, sum",
    ),
    (
        "members",
        "conversation, user, joined_seq, joined_ordinal, role, left_seq, left_ordinal, left_position, left_at, \
         left_settings, left_count, newest, previous, sum",
    ),
    ("group_counts", "user, groups, conversations, sum"),
    ("edits", "conversation, target, seq, position, sum"),
    ("reactions", "conversation, target, user, seq, reaction, sum"),
    (
        "past_reactions",
        "conversation, target, user, seq, reaction, until, sum",
    ),
    (
        "message_counts",
        "conversation, message, edits, reactions, past, last_edit, sum",
    ),
    ("entries", "conversation, key, seq, position, at, class, sum"),
];

/// A replay on a connection of its own, which must not be used for anything else afterwards: names of tables mean the
/// replay's tables there.
pub(super) struct Replay<'c> {
    connection: &'c Connection,
}

impl<'c> Replay<'c> {
    pub(super) fn begin(connection: &'c Connection) -> Result<Self, Failure> {
        // The replay has no users.
        connection.pragma_update(None, "foreign_keys", 0)?;
        for (table, _) in TABLES {
            let made: String = connection.query_row(
                "SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = ?1",
                [table],
                |row| row.get(0),
            )?;
            let made = made.replacen("CREATE TABLE", "CREATE TEMP TABLE", 1);
            connection.execute_batch(&made)?;
            // Statements name the indexes that they use.
            let mut indexes = connection.prepare(
                "SELECT sql FROM main.sqlite_schema WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL",
            )?;
            for made in row::collect(indexes.query([table])?, |row| Ok(row.get::<_, String>(0)?))? {
                connection.execute_batch(&made.replacen(" INDEX ", " INDEX temp.", 1))?;
            }
        }
        Ok(Self { connection })
    }

    /// The next event of the log.
    pub(super) fn apply(&self, event: &Event, reaction: &str) -> Result<(), Failure> {
        derive::apply_state(self.connection, event, reaction)
    }

    /// After the last event: checks that the store equals the replay, and that the heads are those of events.
    pub(super) fn compare(self) -> Result<(), Failure> {
        for (table, columns) in TABLES {
            for (one, other) in [("main", "temp"), ("temp", "main")] {
                let differs: bool = self.connection.query_row(
                    &format!(
                        "SELECT EXISTS (SELECT {columns} FROM {one}.{table} EXCEPT SELECT {columns} FROM \
                         {other}.{table})"
                    ),
                    [],
                    |row| row.get(0),
                )?;
                if differs {
                    return Err(Failure::damaged(format!(
                        "the table `{table}` does not follow from the log"
                    )));
                }
            }
        }
        self.compare_heads()
    }

    fn compare_heads(&self) -> Result<(), Failure> {
        let mut statement = self.connection.prepare(
            "SELECT c.id, c.head_position FROM main.conversations c
                    LEFT JOIN main.events e ON e.position = c.head_position AND e.conversation = c.id
                              AND e.seq = c.head_seq AND e.ordinal = c.head_ordinal AND e.at = c.head_at
                              AND e.roster = c.roster
             WHERE e.position IS NULL LIMIT 1",
        )?;
        let wrong = row::first(statement.query([])?, |row| {
            Ok((row::conversation_id(row, 0)?, row::position(row, 1)?))
        })?;
        match wrong {
            None => Ok(()),
            Some((conversation, Position(position))) => Err(Failure::damaged(format!(
                "the head of conversation {} is not the event at position {position}",
                conversation.0
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head, which is compared by itself.
    const HEAD: [&str; 6] = [
        "head_seq",
        "head_ordinal",
        "head_position",
        "head_at",
        "roster",
        "head_sum",
    ];

    /// The log and its index, what is to be erased of it, and what does not follow from it.
    const LEFT: [&str; 11] = [
        "cursors",
        "erasures",
        "event_seqs",
        "events",
        "expirations",
        "generations",
        "requests",
        "sessions",
        "store",
        "user_words",
        "users",
    ];

    fn new_store() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(include_str!("migrations/V1__initial.sql"))
            .unwrap();
        connection
    }

    #[test]
    fn every_table_is_replayed_or_known_to_be_left() {
        let connection = new_store();
        let mut statement = connection
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
            .unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let tables: Vec<String> = rows.map(Result::unwrap).collect();
        for table in &tables {
            let is_replayed = TABLES.iter().any(|(name, _)| name == table);
            assert_ne!(is_replayed, LEFT.contains(&&**table), "{table}");
        }
        for name in TABLES.iter().map(|(name, _)| name).chain(&LEFT) {
            assert!(tables.iter().any(|table| table == name), "there is no {name}");
        }
    }

    #[test]
    fn every_column_that_follows_from_events_is_compared() {
        let connection = new_store();
        for (table, columns) in TABLES {
            let compared: Vec<&str> = columns.split(", ").collect();
            let mut statement = connection
                .prepare("SELECT name FROM pragma_table_info(?1)")
                .unwrap();
            let rows = statement
                .query_map([table], |row| row.get::<_, String>(0))
                .unwrap();
            for column in rows.map(Result::unwrap) {
                let is_head = table == "conversations" && HEAD.contains(&&*column);
                assert_ne!(compared.contains(&&*column), is_head, "{table}.{column}");
            }
        }
    }
}
