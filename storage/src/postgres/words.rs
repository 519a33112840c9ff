//! The words of people's names: written with each account and change of a name, and what a search finds by them.

use std::collections::BTreeSet;

use super::{
    failure::Failure,
    row::{self, sql, user_columns},
    session::Session,
};
use crate::{
    types::User,
    words::{self, FoundPeople, PLACES_MAX, PeopleQuery},
};

/// Makes a user's words those of `now`, where they are those of `before`. The user's row is locked, or new.
pub(super) fn write(session: &mut Session, before: Option<&User>, now: &User) -> Result<(), Failure> {
    let old = before.map_or_else(BTreeSet::new, words::of_user);
    let new = words::of_user(now);
    if old == new {
        return Ok(());
    }
    let gone: Vec<&String> = old.difference(&new).collect();
    let come: Vec<&String> = new.difference(&old).collect();
    session.execute(
        "WITH gone AS (DELETE FROM user_words WHERE user_id = $1 AND word = ANY ($2))
         INSERT INTO user_words (user_id, word) SELECT $1, unnest($3::text[])",
        &[&sql(now.id.0), &gone, &come],
    )?;
    Ok(())
}

pub(super) fn search(
    session: &mut Session,
    query: &PeopleQuery,
    limit: usize,
) -> Result<FoundPeople, Failure> {
    let (from, to) = query.range();
    let rows = session.query(
        concat!(
            "SELECT ",
            user_columns!(),
            " FROM (SELECT user_id FROM user_words WHERE word >= $1 AND word < $2
                    ORDER BY word, user_id LIMIT $3) w
              JOIN users u ON u.id = w.user_id"
        ),
        &[&from, &to, &(PLACES_MAX as i64)],
    )?;
    let users = rows
        .iter()
        .map(|row| row::user(row, 0))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(FoundPeople::among(users, rows.len(), query, limit))
}
