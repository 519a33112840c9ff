//! Accounts, profiles and sessions, within a transaction that holds the locks of the users' rows.

use super::{
    batch::Batch,
    derive::text,
    failure::{Failure, Stop},
    lookup,
    row::{self, sql},
    words,
};
use crate::{
    error::Refused,
    read::SessionEnd,
    rules,
    types::{Session, SessionId, Timestamp, TokenHash, UserId},
    write::{NewSession, NewUser, Outcome, ProfileChange, Revoke},
};

/// Old notices deleted with each batch of new ones, at most: more than are added, so that they do not pile up.
const NOTICES_TRIMMED: i64 = 64;

pub(super) fn create_user(batch: &mut Batch<'_>, new: &NewUser) -> Result<Outcome, Stop> {
    // The row is locked: no other registration goes on until this is committed.
    let name = text(&new.name);
    let found = batch.session.first(
        "SELECT users + 1, EXISTS (SELECT 1 FROM users WHERE name = $1) FROM registrations WHERE id = 1",
        &[&name],
    )?;
    let row = found.ok_or_else(|| Failure::damaged("nobody counts the registrations"))?;
    let id = row::user_id(&row, 0)?;
    if row::flag(&row, 1)? {
        return Err(Refused::NameTaken.into());
    }
    let user = rules::new_user(id, new)?;
    batch.session.execute(
        "WITH counted AS (UPDATE registrations SET users = $1 WHERE id = 1)
         INSERT INTO users (id, name, display_name, avatar, status, password_hash, version, created_at)
         VALUES ($1, $2, $3, '', '', $4, 1, $5)",
        &[
            &sql(id.0),
            &name,
            &text(&user.display_name),
            &text(&new.password_hash),
            &sql(user.created_at.0),
        ],
    )?;
    words::write(batch.session, None, &user)?;
    Ok(Outcome::User(user))
}

pub(super) fn update_profile(batch: &mut Batch<'_>, change: &ProfileChange) -> Result<Outcome, Stop> {
    let before = lookup::user(batch.session, change.user)?.ok_or(Refused::NotFound)?;
    let Some(user) = rules::changed_profile(&before, change) else {
        return Ok(Outcome::User(before));
    };
    batch.session.execute(
        "UPDATE users SET display_name = $2, avatar = $3, status = $4, version = $5 WHERE id = $1",
        &[
            &sql(user.id.0),
            &text(&user.display_name),
            &text(&user.avatar),
            &text(&user.status),
            &sql(user.version),
        ],
    )?;
    words::write(batch.session, Some(&before), &user)?;
    notify(batch, PROFILE_CHANGED, user.id, &[SessionId(0)])?;
    Ok(Outcome::User(user))
}

pub(super) fn create_session(batch: &mut Batch<'_>, new: &NewSession) -> Result<Outcome, Stop> {
    let session = &new.session;
    if lookup::user(batch.session, session.user)?.is_none() {
        return Err(Refused::NotFound.into());
    }
    let others = lookup::sessions(batch.session, session.user)?;
    // First, because only this statement can tell that the id or the token belongs to another user, now or in a moment.
    if !insert(batch, session, &new.token_hash)? {
        return Err(Refused::Conflict.into());
    }
    let ended = rules::make_room(others, new);
    end(
        batch,
        session.user,
        SessionEnd::Replaced,
        ended.replaced.as_slice(),
    )?;
    end(batch, session.user, SessionEnd::Displaced, &ended.displaced)?;
    Ok(Outcome::Session(ended))
}

/// False if the id or the token is in use.
fn insert(batch: &mut Batch<'_>, session: &Session, token_hash: &TokenHash) -> Result<bool, Failure> {
    let inserted = batch.session.execute(
        "INSERT INTO sessions (id, user_id, device_id, class, device_name, token_hash, created_at, last_seen_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        &[
            &sql(session.id.0),
            &sql(session.user.0),
            &text(&session.device_id),
            &session.class.number(),
            &text(&session.device_name),
            &&token_hash.0[..],
            &sql(session.created_at.0),
            &sql(session.last_seen_at.0),
        ],
    )?;
    Ok(inserted == 1)
}

fn end(batch: &mut Batch<'_>, user: UserId, why: SessionEnd, ended: &[SessionId]) -> Result<(), Failure> {
    if ended.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = ended.iter().map(|id| sql(id.0)).collect();
    batch
        .session
        .execute("DELETE FROM sessions WHERE id = ANY ($1)", &[&ids])?;
    notify(batch, end_number(why), user, ended)
}

pub(super) fn revoke(batch: &mut Batch<'_>, revoke: Revoke) -> Result<Outcome, Stop> {
    let user = revoke.user();
    let ended = rules::ended_by(revoke, &lookup::sessions(batch.session, user)?);
    end(batch, user, SessionEnd::Revoked, &ended)?;
    Ok(Outcome::Revoked(ended))
}

pub(super) fn touch(batch: &mut Batch<'_>, touched: &[(SessionId, Timestamp)]) -> Result<Outcome, Stop> {
    let ids: Vec<i64> = touched.iter().map(|(id, _)| sql(id.0)).collect();
    let times: Vec<i64> = touched.iter().map(|(_, at)| sql(at.0)).collect();
    batch.session.query(
        "SELECT 1 FROM sessions WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE",
        &[&ids],
    )?;
    // Times are ordered without their sign.
    batch.session.execute(
        "UPDATE sessions s SET last_seen_at = t.at # (-9223372036854775807 - 1)
         FROM (SELECT i.id, max(i.at # (-9223372036854775807 - 1)) AS at
               FROM unnest($1::bigint[], $2::bigint[]) AS i (id, at) GROUP BY i.id) t
         WHERE s.id = t.id AND (s.last_seen_at # (-9223372036854775807 - 1)) < t.at",
        &[&ids, &times],
    )?;
    Ok(Outcome::Done)
}

/// The kinds of notices in the table.
pub(super) const PROFILE_CHANGED: i16 = 1;
const REVOKED: i16 = 2;
const REPLACED: i16 = 3;
const DISPLACED: i16 = 4;

const fn end_number(why: SessionEnd) -> i16 {
    match why {
        SessionEnd::Revoked => REVOKED,
        SessionEnd::Replaced => REPLACED,
        SessionEnd::Displaced => DISPLACED,
    }
}

pub(super) const fn end_of_number(number: i16) -> Option<SessionEnd> {
    match number {
        REVOKED => Some(SessionEnd::Revoked),
        REPLACED => Some(SessionEnd::Replaced),
        DISPLACED => Some(SessionEnd::Displaced),
        _ => None,
    }
}

/// Notifies the other processes, and deletes notices that they have had an hour to read. Only older ones than this are
/// deleted: the newest notice stays, so the horizon does not fall, whatever the server's clock does.
fn notify(batch: &mut Batch<'_>, kind: i16, user: UserId, sessions: &[SessionId]) -> Result<(), Failure> {
    let position = batch.position();
    let ids: Vec<i64> = sessions.iter().map(|id| sql(id.0)).collect();
    batch.session.execute(
        "WITH old AS (
            DELETE FROM notices WHERE ctid = ANY (ARRAY (
                SELECT n.ctid FROM notices n WHERE n.made_at < now() - interval '1 hour' AND n.position < $1
                ORDER BY n.made_at LIMIT $5 FOR UPDATE SKIP LOCKED))
         )
         INSERT INTO notices (position, kind, user_id, session_id)
         SELECT $1, $2, $3, i.id FROM unnest($4::bigint[]) AS i (id)",
        &[&position, &kind, &sql(user.0), &ids, &NOTICES_TRIMMED],
    )?;
    Ok(())
}
