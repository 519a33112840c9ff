//! The tables of a store in both schemas: their columns, and the order in which they are read. It leaves out what only
//! one schema has, such as SQLite's index of events by seq and by client id.

use postgres::types::Type;

/// The type of a column.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Number,
    Small,
    Flag,
    Text,
    Bytes,
    /// Sixteen bytes in PostgreSQL; in SQLite the first sixteen of a column that continues with a sum.
    Fingerprint,
    /// Ids of users: an array in PostgreSQL, four bytes each in SQLite.
    Users,
    /// A position: another number in every store.
    Position,
}

impl Kind {
    pub(super) const fn postgres(self) -> Type {
        match self {
            Self::Number | Self::Position => Type::INT8,
            Self::Small => Type::INT2,
            Self::Flag => Type::BOOL,
            Self::Text => Type::TEXT,
            Self::Bytes | Self::Fingerprint => Type::BYTEA,
            Self::Users => Type::INT8_ARRAY,
        }
    }
}

/// A column with its names in both schemas.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) sqlite: &'static str,
    pub(super) postgres: &'static str,
    pub(super) kind: Kind,
}

/// The source of a copied row's position.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Placing {
    /// It has no position.
    Nothing,
    /// The row gets a position of its own in the copying transaction, unless it never had one (0).
    Own,
    /// The position of an event that was copied before. It is copied as 0; this statement then sets it in the rows
    /// whose first columns are between `$1` and `$2`.
    Event(&'static str),
}

/// A table that both stores have, under other names of columns. Its first column is the owner of the row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// A description of a row, for messages that end with the first column.
    pub(super) what: &'static str,
    pub(super) columns: &'static [Column],
    /// The number of columns of its key, which come first; rows are compared in the order of the key.
    pub(super) key: usize,
    pub(super) placing: Placing,
}

const fn column(name: &'static str, kind: Kind) -> Column {
    renamed(name, name, kind)
}

const fn renamed(sqlite: &'static str, postgres: &'static str, kind: Kind) -> Column {
    Column {
        sqlite,
        postgres,
        kind,
    }
}

const fn number(name: &'static str) -> Column {
    column(name, Kind::Number)
}

const fn text(name: &'static str) -> Column {
    column(name, Kind::Text)
}

const USER: Column = renamed("user", "user_id", Kind::Number);

/// All tables in the order of copying: events before rows that repeat their positions, cursors last.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "users",
        what: "user",
        columns: &[
            number("id"),
            text("name"),
            text("display_name"),
            text("avatar"),
            text("status"),
            text("password_hash"),
            number("version"),
            number("created_at"),
        ],
        key: 1,
        placing: Placing::Nothing,
    },
    Table {
        name: "user_words",
        what: "a word of the name of user",
        columns: &[USER, text("word")],
        key: 2,
        placing: Placing::Nothing,
    },
    Table {
        name: "sessions",
        what: "session",
        columns: &[
            number("id"),
            USER,
            text("device_id"),
            column("class", Kind::Small),
            text("device_name"),
            column("token_hash", Kind::Bytes),
            number("created_at"),
            number("last_seen_at"),
        ],
        key: 1,
        placing: Placing::Nothing,
    },
    EVENTS,
    Table {
        name: "conversations",
        what: "conversation",
        columns: &[
            number("id"),
            text("settings"),
            column("disbanded", Kind::Flag),
            number("member_count"),
            column("closed", Kind::Small),
            number("head_seq"),
            number("head_ordinal"),
            column("head_position", Kind::Position),
            number("head_at"),
            number("roster"),
        ],
        key: 1,
        placing: Placing::Event(
            "UPDATE conversations c SET head_position =
                (SELECT e.position FROM events e WHERE e.conversation = c.id AND e.seq = c.head_seq)
             WHERE c.id BETWEEN $1 AND $2 AND c.head_position = 0",
        ),
    },
    Table {
        name: "members",
        what: "a member of conversation",
        columns: &[
            number("conversation"),
            USER,
            number("joined_seq"),
            number("joined_ordinal"),
            column("role", Kind::Small),
            number("left_seq"),
            number("left_ordinal"),
            column("left_position", Kind::Position),
            number("left_at"),
            text("left_settings"),
            number("left_count"),
            column("newest", Kind::Flag),
        ],
        key: 3,
        placing: Placing::Event(
            "UPDATE members m SET left_position =
                (SELECT e.position FROM events e WHERE e.conversation = m.conversation AND e.seq = m.left_seq)
             WHERE m.conversation BETWEEN $1 AND $2 AND m.left_position = 0",
        ),
    },
    Table {
        name: "group_counts",
        what: "the number of groups of user",
        columns: &[USER, number("groups")],
        key: 1,
        placing: Placing::Nothing,
    },
    Table {
        name: "edits",
        what: "an edit in conversation",
        columns: &[number("conversation"), number("target"), number("seq")],
        key: 3,
        placing: Placing::Nothing,
    },
    Table {
        name: "reactions",
        what: "a reaction in conversation",
        columns: &[
            number("conversation"),
            number("target"),
            USER,
            number("seq"),
            text("reaction"),
        ],
        key: 3,
        placing: Placing::Nothing,
    },
    Table {
        name: "past_reactions",
        what: "a past reaction in conversation",
        columns: &[
            number("conversation"),
            number("target"),
            USER,
            number("seq"),
            text("reaction"),
            number("until"),
        ],
        key: 4,
        placing: Placing::Nothing,
    },
    Table {
        name: "message_counts",
        what: "the number of edits and reactions in conversation",
        columns: &[
            number("conversation"),
            number("message"),
            number("edits"),
            number("reactions"),
            number("past"),
        ],
        key: 2,
        placing: Placing::Nothing,
    },
    Table {
        name: "entries",
        what: "an entry of conversation",
        columns: &[
            number("conversation"),
            text("key"),
            number("seq"),
            number("at"),
            column("class", Kind::Small),
        ],
        key: 2,
        placing: Placing::Nothing,
    },
    Table {
        name: "erasures",
        what: "what is to be erased in conversation",
        columns: &[number("conversation"), number("target"), number("next")],
        key: 2,
        placing: Placing::Nothing,
    },
    Table {
        name: "expirations",
        what: "what expires in conversation",
        columns: &[number("conversation"), number("seq"), number("expires_at")],
        key: 2,
        placing: Placing::Nothing,
    },
    Table {
        name: "cursors",
        what: "a cursor in conversation",
        columns: &[
            number("conversation"),
            USER,
            number("delivered"),
            number("read"),
            number("read_ordinal"),
            column("position", Kind::Position),
        ],
        key: 2,
        placing: Placing::Own,
    },
];

/// The log.
pub(super) const EVENTS: Table = Table {
    name: "events",
    what: "an event of conversation",
    columns: &[
        number("conversation"),
        number("seq"),
        column("position", Kind::Position),
        number("ordinal"),
        number("roster"),
        number("sender"),
        column("client_id", Kind::Bytes),
        renamed("proof", "fingerprint", Kind::Fingerprint),
        number("at"),
        column("kind", Kind::Small),
        column("recalled", Kind::Flag),
        number("target"),
        number("expires_at"),
        column("users", Kind::Users),
        column("role", Kind::Small),
        renamed("text", "label", Kind::Text),
        column("body", Kind::Bytes),
    ],
    key: 2,
    placing: Placing::Own,
};

/// The log once more, with the columns that show its order.
pub(super) const ORDER: Table = Table {
    name: "events",
    what: "the place of an event of conversation",
    columns: &[number("conversation"), number("seq")],
    key: 2,
    placing: Placing::Nothing,
};

/// The order in which a table is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    /// In the order of writing: events by position, all other tables by key.
    Written,
    /// By its key.
    Key,
}

impl Table {
    fn is_log(&self) -> bool {
        self.name == EVENTS.name
    }

    /// The query for its rows in SQLite. Each order is that of a table or an index, so nothing is sorted.
    pub(super) fn ask_sqlite(&self, order: Order) -> String {
        let columns = |prefix: &str, of: &[Column]| {
            let names: Vec<String> = of
                .iter()
                .map(|column| format!("{prefix}\"{}\"", column.sqlite))
                .collect();
            names.join(", ")
        };
        let key = self.columns.get(..self.key).unwrap_or_default();
        let listed = columns("t.", self.columns);
        let name = self.name;
        match (self.is_log(), order) {
            (true, Order::Written) => format!("SELECT {listed} FROM events t ORDER BY t.position"),
            (true, Order::Key) => format!(
                "SELECT {listed} FROM event_seqs k CROSS JOIN events t ON t.position = k.position ORDER BY {}",
                columns("k.", key)
            ),
            (false, _) => format!("SELECT {listed} FROM {name} t ORDER BY {}", columns("t.", key)),
        }
    }

    fn postgres_columns(of: &[Column]) -> String {
        let names: Vec<&str> = of.iter().map(|column| column.postgres).collect();
        names.join(", ")
    }

    /// The query for its rows in PostgreSQL.
    pub(super) fn ask_postgres(&self, order: Order) -> String {
        let listed = Self::postgres_columns(self.columns);
        let by = match (self.is_log(), order) {
            (true, Order::Written) => "position".to_owned(),
            _ => Self::postgres_columns(self.columns.get(..self.key).unwrap_or_default()),
        };
        format!("SELECT {listed} FROM {} ORDER BY {by}", self.name)
    }

    /// The command that receives its rows.
    pub(super) fn fill_postgres(&self) -> String {
        let listed = Self::postgres_columns(self.columns);
        format!("COPY {} ({listed}) FROM STDIN BINARY", self.name)
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// What one schema has and the other has not: it is derived there, or belongs to one store alone.
    const SQLITE_ALONE: &[(&str, &[&str])] = &[
        ("conversations", &["stays", "sum", "head_sum"]),
        ("cursors", &["sum"]),
        ("edits", &["position", "sum"]),
        ("entries", &["position", "sum"]),
        ("erasures", &["sum"]),
        ("group_counts", &["conversations", "sum"]),
        ("members", &["previous", "sum"]),
        ("message_counts", &["last_edit", "sum"]),
        ("past_reactions", &["sum"]),
        ("reactions", &["sum"]),
        ("sessions", &["sum"]),
        ("users", &["sum"]),
    ];
    const SQLITE_TABLES_ALONE: &[&str] = &["event_seqs", "generations", "requests", "store"];
    const POSTGRES_TABLES_ALONE: &[&str] = &["generations", "notices", "registrations", "store", "writers"];

    fn alone(table: &str, column: &str) -> bool {
        SQLITE_ALONE
            .iter()
            .any(|(name, columns)| *name == table && columns.contains(&column))
    }

    fn sqlite_columns() -> Vec<(String, String)> {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(include_str!("../sqlite/migrations/V1__initial.sql"))
            .unwrap();
        let mut statement = connection
            .prepare("SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'")
            .unwrap();
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// The columns of every table, read from the statements that make them: one a line.
    fn postgres_columns() -> Vec<(&'static str, &'static str)> {
        let mut columns = Vec::new();
        let mut table = None;
        for line in include_str!("../postgres/migrations/V1__initial.sql").lines() {
            if let Some(begun) = line.strip_prefix("CREATE TABLE ") {
                table = begun.split_whitespace().next();
            } else if line.starts_with(')') {
                table = None;
            } else if let Some(table) = table
                && let Some(column) = line.split_whitespace().next()
                && column.starts_with(|letter: char| letter.is_ascii_lowercase())
            {
                columns.push((table, column));
            }
        }
        columns
    }

    #[test]
    fn every_column_of_both_schemas_is_copied_or_known_to_be_left() {
        for (table, column) in sqlite_columns() {
            let copied = TABLES.iter().find(|copied| copied.name == table);
            let is_copied =
                copied.is_some_and(|copied| copied.columns.iter().any(|one| one.sqlite == column));
            let left = SQLITE_TABLES_ALONE.contains(&&*table) || alone(&table, &column);
            assert_ne!(is_copied, left, "SQLite's {table}.{column}");
        }
        let columns = postgres_columns();
        assert!(columns.contains(&("conversations", "settings")), "{columns:?}");
        for (table, column) in columns {
            let copied = TABLES.iter().find(|copied| copied.name == table);
            let is_copied =
                copied.is_some_and(|copied| copied.columns.iter().any(|one| one.postgres == column));
            let left = POSTGRES_TABLES_ALONE.contains(&table);
            assert_ne!(is_copied, left, "PostgreSQL's {table}.{column}");
        }
    }
}
