//! What only SQLite has.
