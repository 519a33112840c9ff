//! The reading end: each query in one statement or one read-only transaction, so that an answer is of one moment. It
//! owns no connection: each query leases one (`lending.rs`).

use std::sync::Arc;

use super::{
    derive::text,
    entries,
    failure::Failure,
    lending::ReadConnections,
    lookup, page,
    row::{self, SESSION_COLUMNS, USER_COLUMNS, get, session_columns, sql, user_columns},
    seen, tail, views, words,
};
use crate::{
    entry::{EntryClass, EntryPage},
    error::ReadError,
    past::{Claim, Testimony},
    read::{
        Changes, ConversationView, Direction, EventPage, Interval, MemberView, MembersReader, Reader, Tail,
        TailReader,
    },
    snapshot::Snapshot,
    types::{
        ClientId, ConversationId, Credentials, Event, Fingerprint, Position, Seq, Session, TokenHash, User,
        UserId,
    },
    words::{FoundPeople, PeopleQuery},
};

pub(super) struct PostgresReader {
    connections: Arc<ReadConnections>,
}

impl PostgresReader {
    pub(super) const fn new(connections: Arc<ReadConnections>) -> Self {
        Self { connections }
    }

    fn ask<T>(
        &self,
        question: impl FnMut(&mut super::session::Session) -> Result<T, Failure>,
    ) -> Result<T, ReadError> {
        self.connections.ask(question)
    }

    /// A query of several statements, in one transaction that begins with its first row and changes nothing.
    fn ask_in_a_moment<T>(
        &self,
        mut question: impl FnMut(&mut super::session::Session) -> Result<T, Failure>,
    ) -> Result<T, ReadError> {
        self.ask(|session| {
            session.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
            let answer = question(session)?;
            session.commit()?;
            Ok(answer)
        })
    }
}

impl Reader for PostgresReader {
    fn snapshot(&mut self) -> Result<Snapshot, ReadError> {
        self.ask(|session| {
            let life = session.life();
            let rows = session.query(
                "SELECT * FROM present_in($1, $2)",
                &[&life.generation, &life.started],
            )?;
            seen::now(session, &rows)
        })
    }

    fn testimony(&mut self, claim: Claim) -> Result<Testimony, ReadError> {
        self.ask(|session| {
            let life = session.life();
            let found = session.first(
                "SELECT present.horizon, g.id IS NOT NULL, g.ends
                 FROM present_in($1, $2) present CROSS JOIN store s
                    LEFT JOIN generations g ON g.id = $3 AND g.log_id = s.log_id",
                &[&life.generation, &life.started, &sql(claim.generation.0)],
            )?;
            let row = found.ok_or_else(|| Failure::damaged("the table `store` has no row"))?;
            let horizon = row::position(&row, 0)?;
            let end = get::<Option<i64>>(&row, 2)?.map_or(horizon, |ends| Position(ends.cast_unsigned()));
            let is_known = row::flag(&row, 1)? && claim.ceiling <= Snapshot::last_of_commit(end);
            Ok(if is_known {
                Testimony::Known
            } else {
                Testimony::Witness
            })
        })
    }

    fn users(&mut self, ids: &[UserId]) -> Result<Vec<User>, ReadError> {
        let numbers: Vec<i64> = ids.iter().map(|id| sql(id.0)).collect();
        self.ask(|session| {
            let rows = session.query(
                concat!(
                    "SELECT ",
                    user_columns!(),
                    " FROM unnest($1::bigint[]) WITH ORDINALITY AS i (id, place) JOIN users u ON u.id = i.id
                      ORDER BY i.place"
                ),
                &[&numbers],
            )?;
            rows.iter().map(|row| row::user(row, 0)).collect()
        })
    }

    fn user_by_name(&mut self, name: &str) -> Result<Option<User>, ReadError> {
        Ok(self.credentials(name)?.map(|account| account.user))
    }

    fn people(&mut self, query: &PeopleQuery, limit: usize) -> Result<FoundPeople, ReadError> {
        self.ask(|session| words::search(session, query, limit))
    }

    fn entries(
        &mut self,
        of: UserId,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<EntryPage, ReadError> {
        self.ask(|session| entries::page(session, of, prefix, after, limit))
    }

    fn entry_classes(&mut self, asked: &[(UserId, String)]) -> Result<Vec<Option<EntryClass>>, ReadError> {
        self.ask(|session| entries::classes(session, asked))
    }

    fn credentials(&mut self, name: &str) -> Result<Option<Credentials>, ReadError> {
        self.ask(|session| {
            let found = session.first(
                concat!(
                    "SELECT ",
                    user_columns!(),
                    ", u.password_hash FROM users u WHERE u.name = $1"
                ),
                &[&text(name)],
            )?;
            let account = |row: postgres::Row| {
                Ok(Credentials {
                    user: row::user(&row, 0)?,
                    password_hash: get(&row, USER_COLUMNS)?,
                })
            };
            found.map(account).transpose()
        })
    }

    fn session_by_token(&mut self, token: &TokenHash) -> Result<Option<(Session, User)>, ReadError> {
        self.ask(|session| {
            let found = session.first(
                concat!(
                    "SELECT ",
                    session_columns!(),
                    ", ",
                    user_columns!(),
                    " FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.token_hash = $1"
                ),
                &[&&token.0[..]],
            )?;
            found
                .map(|row| Ok((row::session(&row)?, row::user(&row, SESSION_COLUMNS)?)))
                .transpose()
        })
    }

    fn sessions(&mut self, user: UserId) -> Result<Vec<Session>, ReadError> {
        self.ask(|session| {
            let rows = session.query(
                concat!(
                    "SELECT ",
                    session_columns!(),
                    " FROM sessions s WHERE s.user_id = $1"
                ),
                &[&sql(user.0)],
            )?;
            let mut sessions = rows.iter().map(row::session).collect::<Result<Vec<_>, _>>()?;
            // Not in SQL: ids above 2^63 are negative there.
            sessions.sort_by_key(|session| session.id);
            Ok(sessions)
        })
    }

    fn conversation(
        &mut self,
        viewer: UserId,
        conversation: ConversationId,
    ) -> Result<Option<ConversationView>, ReadError> {
        self.ask(|session| views::one(session, viewer, conversation))
    }

    fn conversations_of(
        &mut self,
        viewer: UserId,
        conversations: &[ConversationId],
    ) -> Result<Vec<ConversationView>, ReadError> {
        self.ask(|session| views::some(session, viewer, conversations))
    }

    fn made_by(
        &mut self,
        conversation: ConversationId,
        sender: UserId,
        client_id: ClientId,
    ) -> Result<Option<(Arc<Event>, Fingerprint)>, ReadError> {
        self.ask(|session| {
            let found = lookup::event_by_request(session, conversation, sender, client_id)?;
            Ok(found.map(|(event, fingerprint)| (Arc::new(event), fingerprint)))
        })
    }

    fn conversations(
        &mut self,
        viewer: UserId,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<ConversationView>, ReadError> {
        self.ask(|session| views::newest(session, viewer, before, limit.max(1)))
    }

    fn changes(&mut self, viewer: UserId, since: &Snapshot, limit: usize) -> Result<Changes, ReadError> {
        self.ask(|session| views::changes(session, viewer, since, limit.max(1)))
    }

    fn events(
        &mut self,
        viewer: UserId,
        conversation: ConversationId,
        from: Seq,
        direction: Direction,
        limit: usize,
        body_bytes_max: usize,
    ) -> Result<Option<EventPage>, ReadError> {
        let question = page::Question {
            viewer,
            conversation,
            from,
            direction,
            limit: limit.max(1),
            body_bytes_max,
        };
        self.ask_in_a_moment(|session| page::read(session, &question))
    }

    fn members(
        &mut self,
        viewer: UserId,
        conversation: ConversationId,
        after: UserId,
        limit: usize,
    ) -> Result<Option<Vec<MemberView>>, ReadError> {
        self.ask(|session| {
            // The viewer's membership comes with every row, and with an empty one if there are none.
            let rows = session.query(
                concat!(
                    "SELECT listed.*, v.user_id IS NOT NULL
                     FROM (VALUES (1)) one
                        LEFT JOIN members v ON v.conversation = $1 AND v.user_id = $4 AND v.left_seq IS NULL
                        LEFT JOIN (
                            SELECT ",
                    user_columns!(),
                    ", m.role, m.joined_seq, coalesce(c.delivered, 0) AS delivered, coalesce(c.read, 0) AS read
                            FROM members m JOIN users u ON u.id = m.user_id
                                LEFT JOIN LATERAL (
                                    SELECT c.delivered, c.read FROM cursors c
                                    WHERE c.conversation = $1 AND c.user_id = m.user_id LIMIT 1) c ON true
                            WHERE m.conversation = $1 AND m.user_id > $2 AND m.left_seq IS NULL
                            ORDER BY m.user_id LIMIT $3
                        ) listed ON v.user_id IS NOT NULL
                     ORDER BY listed.id"
                ),
                &[
                    &sql(conversation.0),
                    &row::bound(after.0),
                    &row::limit(limit.max(1)),
                    &sql(viewer.0),
                ],
            )?;
            let mut members = Vec::new();
            for row in &rows {
                if !row::flag(row, USER_COLUMNS + 4)? {
                    return Ok(None);
                }
                if get::<Option<i64>>(row, 0)?.is_none() {
                    continue;
                }
                members.push(MemberView {
                    user: row::user(row, 0)?,
                    role: row::role(row, USER_COLUMNS)?,
                    joined: row::seq(row, USER_COLUMNS + 1)?,
                    delivered: row::seq(row, USER_COLUMNS + 2)?,
                    read: row::seq(row, USER_COLUMNS + 3)?,
                });
            }
            Ok(Some(members))
        })
    }
}

impl MembersReader for PostgresReader {
    fn intervals(&mut self, conversation: ConversationId, from: Seq) -> Result<Vec<Interval>, ReadError> {
        self.ask(|session| {
            let rows = session.query(
                "SELECT user_id, joined_seq, NULL::bigint FROM members
                 WHERE conversation = $1 AND left_seq IS NULL
                 UNION ALL
                 SELECT user_id, joined_seq, left_seq FROM members
                 WHERE conversation = $1 AND left_seq >= $2
                 ORDER BY 1, 2",
                &[&sql(conversation.0), &row::bound(from.0)],
            )?;
            let interval = |row| {
                Ok(Interval {
                    user: row::user_id(row, 0)?,
                    joined: row::seq(row, 1)?,
                    left: get::<Option<i64>>(row, 2)?.map(|left| Seq(left.cast_unsigned())),
                })
            };
            rows.iter().map(interval).collect()
        })
    }
}

impl TailReader for PostgresReader {
    fn tail(&mut self, since: &Snapshot, limit: usize) -> Result<Tail, ReadError> {
        self.ask(|session| tail::read(session, since, limit.max(1)))
    }
}
