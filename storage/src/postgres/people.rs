//! Accounts, profiles and sessions, within a transaction that holds the locks of the users' rows.

use super::{
    batch::Batch,
    derive::text,
    failure::{Failure, Stop},
    lookup,
    row::{self, class_number, sql},
};
use crate::{
    error::Refused,
    read::SessionEnd,
    types::{DeviceClass, Session, SessionId, Timestamp, TokenHash, User, UserId},
    write::{NewSession, NewUser, Outcome, ProfileChange, Revoke, SessionCreated},
};

/// Users' ids stay below this.
const USERS_END: u64 = 1 << 31;
/// Old notices that go with each batch of new ones, at most: more than come, so that they do not pile up.
const NOTICES_TRIMMED: i64 = 64;

pub(super) fn create_user(batch: &mut Batch<'_>, new: &NewUser) -> Result<Outcome, Stop> {
    // The row is locked: nobody else registers until this is committed.
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
    if id.0 >= USERS_END {
        return Err(Refused::LimitReached.into());
    }
    let user = User {
        id,
        name: new.name.clone(),
        display_name: new.display_name.clone(),
        avatar: String::new(),
        status: String::new(),
        version: 1,
        created_at: new.at,
    };
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
    Ok(Outcome::User(user))
}

pub(super) fn update_profile(batch: &mut Batch<'_>, change: &ProfileChange) -> Result<Outcome, Stop> {
    let before = lookup::user(batch.session, change.user)?.ok_or(Refused::NotFound)?;
    let new = |new: &Option<String>, old: &String| new.as_ref().unwrap_or(old).clone();
    let mut user = User {
        display_name: new(&change.display_name, &before.display_name),
        avatar: new(&change.avatar, &before.avatar),
        status: new(&change.status, &before.status),
        ..before.clone()
    };
    if user == before {
        return Ok(Outcome::User(user));
    }
    user.version += 1;
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
    notify(batch, PROFILE_CHANGED, user.id, &[SessionId(0)])?;
    Ok(Outcome::User(user))
}

pub(super) fn create_session(batch: &mut Batch<'_>, new: &NewSession) -> Result<Outcome, Stop> {
    let session = &new.session;
    if lookup::user(batch.session, session.user)?.is_none() {
        return Err(Refused::NotFound.into());
    }
    let mut others = lookup::sessions(batch.session, session.user)?;
    // First, since only it can say that the id or the token is another user's, now or in a moment.
    if !insert(batch, session, &new.token_hash)? {
        return Err(Refused::Conflict.into());
    }
    let same_device = others
        .iter()
        .position(|other| other.device_id == session.device_id);
    let replaced = same_device.map(|index| others.remove(index).id);
    let mut displaced = displace(
        &mut others,
        new,
        Some(session.class),
        new.policy.of(session.class),
    );
    displaced.extend(displace(&mut others, new, None, new.policy.total));
    end(batch, session.user, SessionEnd::Replaced, replaced.as_slice())?;
    end(batch, session.user, SessionEnd::Displaced, &displaced)?;
    Ok(Outcome::Session(SessionCreated { replaced, displaced }))
}

/// Takes out of a user's other sessions, of one class or of all, the least recently seen until with the new
/// one there are at most `limit`. Those that are connected go after all others.
fn displace(
    others: &mut Vec<Session>,
    new: &NewSession,
    class: Option<DeviceClass>,
    limit: u32,
) -> Vec<SessionId> {
    let counts = |session: &Session| class.is_none_or(|class| session.class == class);
    let mut counted: Vec<(bool, Timestamp, SessionId)> = others
        .iter()
        .filter(|session| counts(session))
        .map(|session| {
            let is_online = new.online.contains(&session.id);
            (is_online, session.last_seen_at, session.id)
        })
        .collect();
    counted.sort_unstable();
    let excess = (counted.len() + 1).saturating_sub(limit as usize);
    let displaced: Vec<SessionId> = counted.into_iter().take(excess).map(|(.., id)| id).collect();
    others.retain(|session| !displaced.contains(&session.id));
    displaced
}

/// False where the id or the token is in use.
fn insert(batch: &mut Batch<'_>, session: &Session, token_hash: &TokenHash) -> Result<bool, Failure> {
    let inserted = batch.session.execute(
        "INSERT INTO sessions (id, user_id, device_id, class, device_name, token_hash, created_at, last_seen_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        &[
            &sql(session.id.0),
            &sql(session.user.0),
            &text(&session.device_id),
            &class_number(session.class),
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
    let mut ids = |user: UserId| -> Result<Vec<SessionId>, Failure> {
        let sessions = lookup::sessions(batch.session, user)?;
        Ok(sessions.into_iter().map(|session| session.id).collect())
    };
    let (user, ended): (UserId, Vec<SessionId>) = match revoke {
        Revoke::One(user, id) => (
            user,
            ids(user)?.into_iter().filter(|other| *other == id).collect(),
        ),
        Revoke::Others(user, id) => (
            user,
            ids(user)?.into_iter().filter(|other| *other != id).collect(),
        ),
    };
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

/// Tells the other processes, and forgets what they have had an hour to hear. Only what is older than this one goes:
/// the newest notice stays, so the horizon does not fall, whatever the server's clock does.
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
