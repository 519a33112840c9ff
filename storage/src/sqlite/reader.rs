//! The reading end: each query in one read transaction, so that an answer is of one moment. Its connection cannot
//! write.

use std::sync::Arc;

use rusqlite::Connection;

use super::{
    Files, changes, entries,
    failure::Failure,
    lookup, members, page, past,
    row::{self, SESSION_COLUMNS, USER_COLUMNS, first, session_columns, user_columns},
    state, tail,
    unindexed::{Question, Unindexed},
    views, words,
};
use crate::{
    entry::{EntryClass, EntryPage},
    error::ReadError,
    past::{Claim, Testimony},
    read::{
        Changes, ConversationView, Direction, EventPage, Interrupter, Interval, MemberView, MembersReader,
        Reader, Tail, TailReader,
    },
    snapshot::Snapshot,
    types::{
        ClientId, ConversationId, Credentials, Event, Fingerprint, Position, Seq, Session, TokenHash, User,
        UserId,
    },
    words::{FoundPeople, PeopleQuery},
};

pub(super) struct SqliteReader {
    pub(super) connection: Connection,
    unindexed: Arc<Unindexed>,
    files: Arc<Files>,
}

impl SqliteReader {
    pub(super) const fn new(connection: Connection, unindexed: Arc<Unindexed>, files: Arc<Files>) -> Self {
        Self {
            connection,
            unindexed,
            files,
        }
    }

    /// Runs a query, and reports a failure that ends the trust in the store at once.
    fn answer<T>(&mut self, ask: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, ReadError> {
        let answer = ask(self);
        self.files.judged(answer)
    }

    fn ask(&mut self) -> Result<Question<'_>, Failure> {
        Question::begin(&self.unindexed, &mut self.connection)
    }
}

impl Reader for SqliteReader {
    fn snapshot(&mut self) -> Result<Snapshot, ReadError> {
        self.answer(|reader| Ok(Snapshot::at(lookup::position(&reader.connection)?)))
    }

    fn interrupter(&self) -> Option<Interrupter> {
        let handle = self.connection.get_interrupt_handle();
        Some(Box::new(move || handle.interrupt()))
    }

    fn testimony(&mut self, claim: Claim) -> Result<Testimony, ReadError> {
        self.answer(|reader| {
            // Two rows of the same snapshot.
            let transaction = reader.connection.transaction()?;
            past::testimony(&transaction, claim)
        })
    }

    fn users(&mut self, ids: &[UserId]) -> Result<Vec<User>, ReadError> {
        self.answer(|reader| {
            let snapshot = reader.connection.transaction()?;
            let mut users = Vec::new();
            for id in ids {
                users.extend(lookup::user(&snapshot, *id)?);
            }
            Ok(users)
        })
    }

    fn user_by_name(&mut self, name: &str) -> Result<Option<User>, ReadError> {
        Ok(self.credentials(name)?.map(|account| account.user))
    }

    fn people(&mut self, query: &PeopleQuery, limit: usize) -> Result<FoundPeople, ReadError> {
        self.answer(|reader| {
            let snapshot = reader.connection.transaction()?;
            words::search(&snapshot, query, limit)
        })
    }

    fn entries(
        &mut self,
        of: UserId,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<EntryPage, ReadError> {
        self.answer(|reader| {
            let snapshot = reader.connection.transaction()?;
            entries::page(&snapshot, of, prefix, after, limit)
        })
    }

    fn entry_classes(&mut self, asked: &[(UserId, String)]) -> Result<Vec<Option<EntryClass>>, ReadError> {
        self.answer(|reader| {
            let snapshot = reader.connection.transaction()?;
            entries::classes(&snapshot, asked)
        })
    }

    fn credentials(&mut self, name: &str) -> Result<Option<Credentials>, ReadError> {
        self.answer(|reader| {
            let mut statement = reader.connection.prepare_cached(concat!(
                "SELECT ",
                user_columns!(),
                ", u.password_hash FROM users u WHERE u.name = ?1"
            ))?;
            let found = first(statement.query([name])?, |row| {
                Ok(Credentials {
                    user: row::user(row, 0)?,
                    password_hash: row.get(USER_COLUMNS)?,
                })
            })?;
            match &found {
                Some(found) if found.user.name == name => {}
                Some(_) => return Err(Failure::damaged("an index has another name for a user")),
                None => state::prove_absence(
                    &reader.connection,
                    "SELECT 1 FROM users INDEXED BY users_again_by_name WHERE name = ?1",
                    [name],
                    || format!("the user {name}"),
                )?,
            }
            Ok(found)
        })
    }

    fn session_by_token(&mut self, token: &TokenHash) -> Result<Option<(Session, User)>, ReadError> {
        self.answer(|reader| {
            let mut statement = reader.connection.prepare_cached(concat!(
                "SELECT ",
                session_columns!(),
                ", ",
                user_columns!(),
                " FROM sessions s LEFT JOIN users u ON u.id = s.user WHERE s.token_hash = ?1"
            ))?;
            let found = first(statement.query([token.0])?, |row| {
                if row::token_hash(row)? != *token {
                    return Err(Failure::damaged("an index has another token for a session"));
                }
                Ok((row::session(row)?, row::user(row, SESSION_COLUMNS)?))
            })?;
            if found.is_none() {
                state::prove_absence(
                    &reader.connection,
                    "SELECT 1 FROM sessions INDEXED BY sessions_again_by_token WHERE token_hash = ?1",
                    [token.0],
                    || "a session".to_owned(),
                )?;
            }
            Ok(found)
        })
    }

    fn sessions(&mut self, user: UserId) -> Result<Vec<Session>, ReadError> {
        self.answer(|reader| lookup::sessions(&reader.connection, user))
    }

    fn conversation(
        &mut self,
        viewer: UserId,
        conversation: ConversationId,
    ) -> Result<Option<ConversationView>, ReadError> {
        self.answer(|reader| {
            let question = reader.ask()?;
            views::one(&question.read_view(), viewer, conversation)
        })
    }

    fn conversations_of(
        &mut self,
        viewer: UserId,
        conversations: &[ConversationId],
    ) -> Result<Vec<ConversationView>, ReadError> {
        self.answer(|reader| {
            let question = reader.ask()?;
            let mut found = Vec::new();
            for conversation in conversations {
                found.extend(views::one(&question.read_view(), viewer, *conversation)?);
            }
            Ok(found)
        })
    }

    fn made_by(
        &mut self,
        conversation: ConversationId,
        sender: UserId,
        client_id: ClientId,
    ) -> Result<Option<(Arc<Event>, Fingerprint)>, ReadError> {
        self.answer(|reader| {
            let request = (conversation, sender, client_id);
            let found = Question::event_by_request(&reader.unindexed, &mut reader.connection, request)?;
            Ok(found.map(|entry| (Arc::new(entry.event), entry.fingerprint)))
        })
    }

    fn conversations(
        &mut self,
        viewer: UserId,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Vec<ConversationView>, ReadError> {
        self.answer(|reader| {
            let question = reader.ask()?;
            views::newest(&question.read_view(), viewer, before, limit.max(1))
        })
    }

    fn changes(&mut self, viewer: UserId, since: &Snapshot, limit: usize) -> Result<Changes, ReadError> {
        self.answer(|reader| {
            let question = reader.ask()?;
            changes::read(&question.read_view(), viewer, since.floor(), limit.max(1))
        })
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
        self.answer(|reader| {
            let question = reader.ask()?;
            let wanted = page::Wanted {
                viewer,
                conversation,
                from,
                direction,
                limit: limit.max(1),
                body_bytes_max,
            };
            page::read(&question.read_view(), &wanted)
        })
    }

    fn members(
        &mut self,
        viewer: UserId,
        conversation: ConversationId,
        after: UserId,
        limit: usize,
    ) -> Result<Option<Vec<MemberView>>, ReadError> {
        self.answer(|reader| {
            let question = reader.ask()?;
            let read_view = question.read_view();
            if lookup::member(read_view.connection, conversation, viewer)?.is_none() {
                return Ok(None);
            }
            members::page(&read_view, conversation, after, limit.max(1)).map(Some)
        })
    }
}

impl MembersReader for SqliteReader {
    fn intervals(&mut self, conversation: ConversationId, from: Seq) -> Result<Vec<Interval>, ReadError> {
        self.answer(|reader| {
            let question = reader.ask()?;
            members::intervals(&question.read_view(), conversation, from)
        })
    }
}

impl TailReader for SqliteReader {
    fn tail(&mut self, since: &Snapshot, limit: usize) -> Result<Tail, ReadError> {
        self.answer(|reader| {
            let question = reader.ask()?;
            tail::read(&question.read_view(), since.floor(), limit.max(1))
        })
    }
}
