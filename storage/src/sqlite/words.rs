//! The words of people's names: written with each account and change of a name, and what a search finds by them.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::{
    failure::Failure,
    lookup,
    row::{self, sql},
};
use crate::{
    types::{User, UserId},
    words::{self, FoundPeople, PLACES_MAX, PeopleQuery},
};

/// Makes a user's words those of `now`, where they are those of `before`.
pub(super) fn write(connection: &Connection, before: Option<&User>, now: &User) -> Result<(), Failure> {
    let old = before.map_or_else(BTreeSet::new, words::of_user);
    let new = words::of_user(now);
    let mut delete = connection.prepare_cached("DELETE FROM user_words WHERE user = ?1 AND word = ?2")?;
    for word in old.difference(&new) {
        delete.execute((sql(now.id.0), word))?;
    }
    let mut insert = connection.prepare_cached("INSERT INTO user_words (user, word) VALUES (?1, ?2)")?;
    for word in new.difference(&old) {
        insert.execute((sql(now.id.0), word))?;
    }
    Ok(())
}

/// Checks that every user has the words of their name, and no others.
pub(super) fn are_whole(connection: &Connection, user: &User) -> Result<(), Failure> {
    for statement in [
        "SELECT word FROM user_words WHERE user = ?1",
        "SELECT word FROM user_words INDEXED BY user_words_by_word WHERE user = ?1",
    ] {
        let mut statement = connection.prepare_cached(statement)?;
        let found = row::collect(statement.query([sql(user.id.0)])?, |row| Ok(row.get(0)?))?;
        if found.into_iter().collect::<BTreeSet<String>>() != words::of_user(user) {
            return Err(Failure::damaged(format!(
                "the words of the user {} are not those of the name",
                user.id.0
            )));
        }
    }
    Ok(())
}

pub(super) fn search(
    connection: &Connection,
    query: &PeopleQuery,
    limit: usize,
) -> Result<FoundPeople, Failure> {
    let (from, to) = query.range();
    let mut statement = connection.prepare_cached(
        "SELECT user FROM user_words WHERE word >= ?1 AND word < ?2 ORDER BY word, user LIMIT ?3",
    )?;
    let places = row::collect(
        statement.query((from, &to, row::bound(PLACES_MAX as u64)))?,
        |row| row::user_id(row, 0),
    )?;
    let ids: BTreeSet<UserId> = places.iter().copied().collect();
    let mut users = Vec::with_capacity(ids.len());
    for id in ids {
        users.extend(lookup::user(connection, id)?);
    }
    Ok(FoundPeople::among(users, places.len(), query, limit))
}
