//! Accounts, profiles and sessions.

use rusqlite::Connection;

use super::{
    failure::{Failure, Stop},
    lookup,
    row::{self, first, session_columns, sql},
    state::prove_absence,
    sum, words,
};
use crate::{
    error::Refused,
    rules,
    types::{Session, SessionId, Timestamp, TokenHash},
    write::{NewSession, NewUser, Outcome, ProfileChange, Revoke},
};

pub(super) fn create_user(connection: &Connection, new: &NewUser) -> Result<Outcome, Stop> {
    let mut statement = connection.prepare_cached(
        "SELECT (SELECT coalesce(max(id), 0) + 1 FROM users), EXISTS (SELECT 1 FROM users WHERE name = ?1),
                (SELECT coalesce(max(id), 0) + 1 FROM users INDEXED BY users_again_by_id)",
    )?;
    let found = first(statement.query([&new.name])?, |row| {
        Ok((row::user_id(row, 0)?, row::flag(row, 1)?, row::user_id(row, 2)?))
    })?;
    let (id, taken, again) = found.ok_or_else(|| Failure::damaged("no answer about the users"))?;
    if taken {
        return Err(Refused::NameTaken.into());
    }
    if id != again {
        return Err(Failure::damaged("the newest user is not found").into());
    }
    prove_absence(
        connection,
        "SELECT 1 FROM users INDEXED BY users_again_by_name WHERE name = ?1",
        [&new.name],
        || format!("the user {}", new.name),
    )?;
    let user = rules::new_user(id, new)?;
    connection
        .prepare_cached(
            "INSERT INTO users (id, name, display_name, avatar, status, password_hash, version, created_at, sum)
             VALUES (?1, ?2, ?3, '', '', ?4, 1, ?5, ?6)",
        )?
        .execute((
            sql(id.0),
            &user.name,
            &user.display_name,
            &new.password_hash,
            sql(user.created_at.0),
            sql(sum::of_user(&user, &new.password_hash)),
        ))?;
    words::write(connection, None, &user)?;
    Ok(Outcome::User(user))
}

pub(super) fn update_profile(connection: &Connection, change: &ProfileChange) -> Result<Outcome, Stop> {
    let before = lookup::user(connection, change.user)?.ok_or(Refused::NotFound)?;
    let Some(user) = rules::changed_profile(&before, change) else {
        return Ok(Outcome::User(before));
    };
    let password_hash: String = connection
        .prepare_cached("SELECT password_hash FROM users WHERE id = ?1")?
        .query_row([sql(user.id.0)], |row| row.get(0))?;
    connection
        .prepare_cached(
            "UPDATE users SET display_name = ?2, avatar = ?3, status = ?4, version = ?5, sum = ?6 WHERE id = ?1",
        )?
        .execute((
            sql(user.id.0),
            &user.display_name,
            &user.avatar,
            &user.status,
            sql(user.version),
            sql(sum::of_user(&user, &password_hash)),
        ))?;
    words::write(connection, Some(&before), &user)?;
    Ok(Outcome::User(user))
}

pub(super) fn create_session(connection: &Connection, new: &NewSession) -> Result<Outcome, Stop> {
    let session = &new.session;
    if !lookup::user_exists(connection, session.user)? {
        return Err(Refused::NotFound.into());
    }
    if is_taken(connection, session.id, &new.token_hash)? {
        return Err(Refused::Conflict.into());
    }
    let ended = rules::make_room(lookup::sessions(connection, session.user)?, new);
    for id in ended.replaced.iter().chain(&ended.displaced) {
        delete(connection, *id)?;
    }
    insert(connection, session, &new.token_hash)?;
    Ok(Outcome::Session(ended))
}

fn is_taken(connection: &Connection, id: SessionId, token_hash: &TokenHash) -> Result<bool, Failure> {
    let mut statement = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM sessions WHERE id = ?1 OR token_hash = ?2)")?;
    let found = first(statement.query((sql(id.0), token_hash.0))?, |row| {
        row::flag(row, 0)
    })?;
    Ok(found == Some(true))
}

fn insert(connection: &Connection, session: &Session, token_hash: &TokenHash) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO sessions (id, user, device_id, class, device_name, token_hash, created_at,
                                   last_seen_at, sum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute((
            sql(session.id.0),
            sql(session.user.0),
            &session.device_id,
            session.class.number(),
            &session.device_name,
            token_hash.0,
            sql(session.created_at.0),
            sql(session.last_seen_at.0),
            sql(sum::of_session(session, token_hash)),
        ))?;
    Ok(())
}

fn delete(connection: &Connection, id: SessionId) -> Result<(), Failure> {
    connection
        .prepare_cached("DELETE FROM sessions WHERE id = ?1")?
        .execute([sql(id.0)])?;
    Ok(())
}

pub(super) fn revoke(connection: &Connection, revoke: Revoke) -> Result<Outcome, Stop> {
    let ended = rules::ended_by(revoke, &lookup::sessions(connection, revoke.user())?);
    for id in &ended {
        delete(connection, *id)?;
    }
    Ok(Outcome::Revoked(ended))
}

pub(super) fn touch(connection: &Connection, touched: &[(SessionId, Timestamp)]) -> Result<Outcome, Stop> {
    let mut read = connection.prepare_cached(concat!(
        "SELECT ",
        session_columns!(),
        " FROM sessions s WHERE s.id = ?1"
    ))?;
    let mut write =
        connection.prepare_cached("UPDATE sessions SET last_seen_at = ?2, sum = ?3 WHERE id = ?1")?;
    for (id, at) in touched {
        let found = first(read.query([sql(id.0)])?, |row| {
            Ok((row::session(row)?, row::token_hash(row)?))
        })?;
        // Not in SQL: times above 2^63 are negative there.
        if let Some((mut session, token_hash)) = found.filter(|(session, _)| session.last_seen_at < *at) {
            session.last_seen_at = *at;
            write.execute([sql(id.0), sql(at.0), sql(sum::of_session(&session, &token_hash))])?;
        }
    }
    Ok(Outcome::Done)
}
