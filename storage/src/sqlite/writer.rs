//! The commit: one transaction per batch, and what is known about it after a failure. It keeps two things in memory:
//! heads, which are forgotten after any failed commit, and unindexed events. Events of a batch that was not committed
//! are removed by the next batch, which compares the log's position. It never repeats a COMMIT that failed for any
//! other reason than a lock.

use std::sync::Arc;

use foldhash::HashMap;
use rusqlite::Connection;

use super::{
    Files, SqliteOptions, append, checkpoint,
    checkpoint::Signal,
    cursors,
    deferred_index::{DeferredIndex, Slice},
    entries, erase,
    failure::{Failure, Stop, Uncommitted},
    log::Log,
    lookup, people,
    read_view::ReadView,
    row::LogEntry,
    standing::{self, Standing},
    sum,
    unindexed::{Seen, Unindexed},
};
use crate::{
    error::{CommitError, OpenError, Refused},
    fate::Doom,
    rules::Head,
    types::{ConversationId, Event, Fingerprint, Position, Seq},
    write::{Action, Append, Outcome, Rules, Write, Writer},
};

/// How often a COMMIT is tried that fails only because of a lock.
const COMMIT_ATTEMPTS: u32 = 4;
/// Heads kept in memory.
const HEADS_MAX: usize = 1 << 16;

pub(super) struct SqliteWriter {
    pub(super) connection: Connection,
    rules: Rules,
    signal: Arc<Signal>,
    index: DeferredIndex,
    unindexed: Arc<Unindexed>,
    pub(super) heads: Heads,
    /// The standing that every transaction must find; and, while it is unknown whether the last one was applied, the
    /// one that it finds if it was.
    standing: Standing,
    in_doubt: Option<Standing>,
    files: Arc<Files>,
}

/// The newest states of conversations in the open transaction; others are read again.
pub(super) struct Heads {
    pub(super) kept: HashMap<ConversationId, Head>,
    /// With more, all are forgotten.
    pub(super) max: usize,
}

impl Heads {
    fn keep(&mut self, conversation: ConversationId, head: Head) {
        if self.kept.len() >= self.max {
            self.kept.clear();
        }
        self.kept.insert(conversation, head);
    }
}

/// One transaction, as its writes see it.
pub(super) struct Batch<'a> {
    pub(super) connection: &'a Connection,
    pub(super) rules: Rules,
    /// The newest position assigned, and the log's chain.
    position: Position,
    chain: u64,
    index: &'a mut DeferredIndex,
    unindexed: &'a Unindexed,
    heads: &'a mut Heads,
    /// Events that are new in this batch.
    events: usize,
    pub(super) log: Log<'a>,
}

impl<'a> Batch<'a> {
    pub(super) const fn next_position(&mut self) -> Position {
        self.position.0 += 1;
        self.position
    }

    pub(super) const fn read_view(&self) -> ReadView<'a> {
        ReadView {
            connection: self.connection,
            unindexed: Seen::by_writer(self.unindexed),
        }
    }

    /// The conversation's newest state.
    pub(super) fn head(&mut self, conversation: ConversationId) -> Result<Option<Head>, Failure> {
        if let Some(head) = self.heads.kept.get(&conversation) {
            return Ok(Some(*head));
        }
        lookup::head(&self.read_view(), conversation)
    }

    /// The result of the same request, if it was made before.
    pub(super) fn event_by_request(&mut self, append: &Append) -> Result<Option<LogEntry>, Failure> {
        let (conversation, sender, id) = (append.conversation, append.sender, append.client_id);
        let position = match self.index.position_of(id, conversation, sender) {
            None if self.index.may_be_indexed(id) => {
                lookup::position_by_request(self.connection, conversation, sender, id)?
            }
            known => known,
        };
        let Some(position) = position else { return Ok(None) };
        self.log.flush()?;
        let entry = lookup::event(self.connection, position)?;
        let event = &entry.event;
        if (event.conversation, event.sender, event.client_id) != (conversation, sender, id) {
            return Err(Failure::damaged("the event of a request is that of another one"));
        }
        Ok(Some(entry))
    }

    /// An event was written to the log, after this head.
    pub(super) fn entered(&mut self, event: &Event, fingerprint: Fingerprint, before: Option<Head>) {
        self.events += 1;
        self.chain = sum::chained(self.chain, event, fingerprint);
        self.index.enter(event, self.unindexed);
        match before.filter(|_| !event.kind.changes_group()) {
            Some(head) => self.heads.keep(event.conversation, head.followed_by(event)),
            None => {
                self.heads.kept.remove(&event.conversation);
            }
        }
        // It may have closed or opened what two people write in.
        if let Some(between) = entries::closes(event) {
            self.heads.kept.remove(&between);
        }
    }

    fn write(&mut self, write: &Write) -> Result<Outcome, Stop> {
        if !is_plain_message(write) {
            self.log.flush()?;
        }
        match write {
            Write::Append(append) => append::append(self, append).map(Outcome::Appended),
            Write::Cursors(moves) => cursors::move_all(self, moves),
            Write::CreateUser(new) => people::create_user(self.connection, new),
            Write::UpdateProfile(change) => people::update_profile(self.connection, change),
            Write::CreateSession(new) => people::create_session(self.connection, new),
            Write::RevokeSessions(revoke) => people::revoke(self.connection, *revoke),
            Write::TouchSessions(touched) => people::touch(self.connection, touched),
            Write::Erase(now) => Ok(erase::slice(&self.read_view(), *now)?),
        }
    }
}

/// Whether the append reads nothing of the log except the result of the same request, if it was made before.
const fn is_plain_message(write: &Write) -> bool {
    matches!(
        write,
        Write::Append(Append {
            action: Action::Message { reply_to: Seq(0), .. },
            ..
        })
    )
}

type Answers = Vec<Result<Outcome, Refused>>;

impl Writer for SqliteWriter {
    fn commit(&mut self, writes: &[Write]) -> Result<Answers, CommitError> {
        self.check_fate()?;
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let result = self.prepare().and_then(|()| self.transact(writes));
        match &result {
            Ok(_) => self.signal.committed(checkpoint::pages_after_commit()),
            Err(error) => {
                self.heads.kept.clear();
                if let CommitError::Fatal(reason) = error {
                    self.files.fate.doom(Doom::of(reason));
                }
            }
        }
        result
    }
}

/// The effects of a transaction.
struct Applied {
    answers: Answers,
    slice: Slice,
    /// The store's standing after it.
    standing: Standing,
}

impl SqliteWriter {
    pub(super) fn new(
        connection: Connection,
        options: &SqliteOptions,
        standing: Standing,
        signal: Arc<Signal>,
        unindexed: Arc<Unindexed>,
        files: Arc<Files>,
    ) -> Result<Self, OpenError> {
        checkpoint::count_pages(&connection);
        Ok(Self {
            index: DeferredIndex::new(&connection, options.index_events as usize)?,
            connection,
            rules: options.rules,
            signal,
            unindexed,
            heads: Heads {
                kept: HashMap::default(),
                max: HEADS_MAX,
            },
            standing,
            in_doubt: None,
            files,
        })
    }

    /// Nothing is acknowledged after any thread doomed the store.
    fn check_fate(&self) -> Result<(), CommitError> {
        match self.files.fate.reason() {
            Some(doom) => Err(CommitError::Fatal(doom.clone().into())),
            None => Ok(()),
        }
    }

    fn prepare(&self) -> Result<(), CommitError> {
        if self.signal.take_restart() {
            checkpoint::finish_copying(&self.connection).map_err(|failure| self.abandon(failure))?;
        }
        Ok(())
    }

    fn transact(&mut self, writes: &[Write]) -> Result<Answers, CommitError> {
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            return Err(self.abandon(error));
        }
        let applied = self.apply(writes).map_err(|failure| self.abandon(failure))?;
        if let Err(error) = self.finish() {
            self.in_doubt = matches!(error, CommitError::Unknown(_)).then_some(applied.standing);
            return Err(error);
        }
        if applied.standing != self.standing {
            self.standing = applied.standing;
            // After the flush, and before any answer.
            if let Err(error) = self.files.witness.note(&self.standing) {
                return Err(CommitError::Fatal(Uncommitted::Witness(error).into()));
            }
        }
        self.index.committed(&applied.slice, &self.unindexed);
        self.check_fate()?;
        Ok(applied.answers)
    }

    /// Asks the store whether the last transaction was applied, if that is in doubt.
    fn settle_doubt(&mut self) -> Result<(), Failure> {
        if let Some(in_doubt) = self.in_doubt.take()
            && standing::read(&self.connection)? == in_doubt
        {
            self.standing = in_doubt;
        }
        Ok(())
    }

    fn apply(&mut self, writes: &[Write]) -> Result<Applied, Failure> {
        self.settle_doubt()?;
        // The last statement of a transaction that writes proves that it found the store as this process left it. A
        // transaction that writes nothing checks it, and so does one that fails: another process's write may have been
        // the cause.
        let applied = self.write_all(writes);
        match &applied {
            Ok(applied) if applied.standing != self.standing => {}
            Err(Failure::Lost(_)) => {}
            _ => standing::expect(&self.connection, &self.standing)?,
        }
        applied
    }

    fn write_all(&mut self, writes: &[Write]) -> Result<Applied, Failure> {
        let standing = self.standing;
        let before = standing.position;
        let changes = self.connection.total_changes();
        self.index.reconcile(before, &self.unindexed);
        self.index.prepare(&self.unindexed);
        let mut batch = Batch {
            connection: &self.connection,
            rules: self.rules,
            position: before,
            chain: standing.chain,
            index: &mut self.index,
            unindexed: &self.unindexed,
            heads: &mut self.heads,
            events: 0,
            log: Log::new(&self.connection),
        };
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            answers.push(match batch.write(write) {
                Ok(outcome) => Ok(outcome),
                Err(Stop::Refused(refused)) => Err(refused),
                Err(Stop::Failed(failure)) => return Err(failure),
            });
        }
        batch.log.flush()?;
        let (position, chain, events) = (batch.position, batch.chain, batch.events);
        drop(batch);
        let slice = self.index.write_slice(&self.connection, events)?;
        if self.connection.total_changes() == changes {
            // Only refusals and duplicates: nothing is written at all.
            return Ok(Applied {
                answers,
                slice,
                standing,
            });
        }
        let after = Standing {
            commits: standing.commits + 1,
            position,
            chain,
            ..standing
        };
        if let Some(watermark) = slice.watermark {
            standing::set_watermark(&self.connection, watermark.0)?;
        }
        standing::advance(&self.connection, &standing, &after)?;
        Ok(Applied {
            answers,
            slice,
            standing: after,
        })
    }

    fn finish(&self) -> Result<(), CommitError> {
        let mut attempt = 1;
        loop {
            let Err(failure) = self.execute("COMMIT") else {
                return Ok(());
            };
            if failure.is_final() {
                self.files.judge(&failure);
                // It is unknown what reached the disk, and a second flush could succeed without it.
                return Err(CommitError::Fatal(Uncommitted::Commit(failure).into()));
            }
            let open = !self.connection.is_autocommit();
            if open && failure.is_busy() && attempt < COMMIT_ATTEMPTS {
                attempt += 1;
                continue;
            }
            if !open && !failure.is_full() {
                return Err(CommitError::Unknown(Uncommitted::Commit(failure).into()));
            }
            return Err(self.abandon(failure));
        }
    }

    /// Ends the transaction after a failure before or in its COMMIT. SQLite may have rolled it back by itself.
    fn abandon(&self, failure: Failure) -> CommitError {
        if !self.connection.is_autocommit()
            && let Err(then) = self.execute("ROLLBACK")
            && !self.connection.is_autocommit()
        {
            let first = failure;
            return CommitError::Fatal(Uncommitted::Rollback { first, then }.into());
        }
        if failure.is_final() {
            self.files.judge(&failure);
            return CommitError::Fatal(failure.into());
        }
        CommitError::NotApplied {
            full: failure.is_full(),
            reason: failure.into(),
            retry_after: None,
        }
    }

    fn execute(&self, sql: &str) -> Result<(), Failure> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}
