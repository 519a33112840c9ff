//! Ownership and schema of a database: creation, migrations, identity. It must never change a database that is not this
//! program's or that a newer version wrote.

use postgres::Client;

use super::{
    failure::Failure,
    past::{self, Rights},
};
use crate::{error::OpenError, sqlite::Identity};

mod embedded {
    refinery::embed_migrations!("src/postgres/migrations");
}

/// "imserver" in ASCII: the advisory lock of a process that changes the schema.
const MIGRATION_LOCK: i64 = 0x696d_7365_7276_6572;

/// Migrates the schema to this version; if it is up to date, changes and locks nothing.
pub(super) fn prepare(client: &mut Client, rights: Rights, at_creation: Identity) -> Result<(), OpenError> {
    if is_current(client)? {
        return Ok(());
    }
    // Nodes that start together: one migrates, the others wait for it and find it done.
    let fail = |error: postgres::Error| cannot_prepare(Failure::from(error));
    client
        .batch_execute("SET statement_timeout = 0; SET lock_timeout = '60s'")
        .map_err(fail)?;
    client
        .execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK])
        .map_err(fail)?;
    if is_current(client)? {
        return Ok(());
    }
    embedded::migrations::runner().run(client).map_err(|error| {
        OpenError::failed(
            format!("the schema of the PostgreSQL database cannot be brought up to date: {error}"),
            error,
        )
    })?;
    let new = if at_creation.epoch == 0 {
        Identity::random()?
    } else {
        at_creation
    };
    past::create(client, rights, new).map_err(cannot_prepare)?;
    // The lock goes with the connection.
    Ok(())
}

/// Refuses databases of other programs and of newer versions.
pub(super) fn is_current(client: &mut Client) -> Result<bool, OpenError> {
    let fail = |error: postgres::Error| cannot_prepare(Failure::from(error));
    let row = client
        .query_one(
            "SELECT current_schema() IS NOT NULL, to_regclass('refinery_schema_history') IS NOT NULL,
                    (SELECT count(*) FROM pg_class
                     WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p'))",
            &[],
        )
        .map_err(fail)?;
    let (has_schema, has_history, tables): (bool, bool, i64) = (
        row.try_get(0).map_err(fail)?,
        row.try_get(1).map_err(fail)?,
        row.try_get(2).map_err(fail)?,
    );
    if !has_schema {
        return Err(OpenError::Refused(
            "the PostgreSQL database has no schema to use: create the first one of its search_path"
                .to_owned(),
        ));
    }
    if !has_history {
        if tables == 0 {
            return Ok(false);
        }
        return Err(OpenError::Refused(
            "the PostgreSQL database is another program's: name another database".to_owned(),
        ));
    }
    let row = client
        .query_one(
            "SELECT coalesce(max(version), 0)::bigint FROM refinery_schema_history",
            &[],
        )
        .map_err(fail)?;
    let found: i64 = row.try_get(0).map_err(fail)?;
    let known = newest_known();
    if found > known {
        return Err(OpenError::Newer(format!(
            "the PostgreSQL database was written by a newer version (schema {found}, this one knows {known}): use \
             that version, or restore a backup from before it"
        )));
    }
    if found < known {
        return Ok(false);
    }
    let row = client
        .query_one("SELECT EXISTS (SELECT 1 FROM store)", &[])
        .map_err(fail)?;
    row.try_get(0).map_err(fail)
}

pub(super) fn newest_known() -> i64 {
    let runner = embedded::migrations::runner();
    let versions = runner.get_migrations().iter();
    versions
        .map(|migration| i64::from(migration.version()))
        .max()
        .unwrap_or(0)
}

fn cannot_prepare(failure: Failure) -> OpenError {
    OpenError::failed(
        format!("the PostgreSQL database cannot be used: {failure}"),
        failure,
    )
}

#[cfg(test)]
mod tests {
    use crate::snapshot::Snapshot;

    /// SQL has no names for numbers.
    #[test]
    fn positions_are_shifted_alike_everywhere() {
        let sources = [
            include_str!("migrations/V1__initial.sql"),
            include_str!("tail.rs"),
            include_str!("views.rs"),
        ];
        let (bits, mask) = (Snapshot::COMMIT_BITS, (1_u64 << Snapshot::COMMIT_BITS) - 1);
        let mut found = [0, 0];
        for (of, (word, wanted)) in [("<< ", u64::from(bits)), (">> ", u64::from(bits)), ("| ", mask)]
            .into_iter()
            .enumerate()
        {
            for source in sources {
                for (at, _) in source.match_indices(word) {
                    let digits = source[at + word.len()..].split(|letter: char| !letter.is_ascii_digit());
                    let Ok(number) = digits.map(str::parse::<u64>).next().unwrap_or(Ok(wanted)) else {
                        continue;
                    };
                    assert_eq!(number, wanted);
                    found[of / 2] += 1;
                }
            }
        }
        assert!(found.iter().all(|count| *count > 0), "{found:?}");
    }
}
