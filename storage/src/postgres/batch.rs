//! A batch as a transaction of many statements: first the locks, in one order for all processes, then its messages by
//! one statement, then everything else write by write, each seeing the effects of those before it. It must never go on
//! after a statement that failed, and never lock out of order what it can lock ahead.

use postgres::Row;

use super::{
    append, cursors, erase,
    failure::{Failure, Stop},
    messages, people,
    plan::{Locks, Plan},
    row::{get, sql},
    session::Session,
};
use crate::{
    error::Refused,
    snapshot::Snapshot,
    types::UserId,
    write::{Outcome, Rules, Write},
};

pub(super) type Answers = Vec<Result<Outcome, Refused>>;

/// One transaction, as the writes in it see it.
pub(super) struct Batch<'a> {
    pub(super) session: &'a mut Session,
    pub(super) rules: Rules,
    /// The position of the transaction's first write.
    base: i64,
    /// What is added to it for the next event of the present write.
    number: i64,
}

impl Batch<'_> {
    /// The position of the present write, if it becomes no event.
    pub(super) const fn position(&self) -> i64 {
        self.base.saturating_add(self.number)
    }

    /// The position of the next event of the present write. No other one has it as long as the write becomes no more
    /// than [`crate::Reach::events_max`] of its action.
    pub(super) const fn next_position(&mut self) -> i64 {
        let position = self.position();
        self.number += 1;
        position
    }

    fn write(&mut self, write: &Write) -> Result<Outcome, Stop> {
        match write {
            Write::Append(append) => append::append(self, append).map(Outcome::Appended),
            Write::Cursors(moves) => cursors::move_all(self, moves),
            Write::CreateUser(new) => people::create_user(self, new),
            Write::UpdateProfile(change) => people::update_profile(self, change),
            Write::CreateSession(new) => people::create_session(self, new),
            Write::RevokeSessions(revoke) => people::revoke(self, *revoke),
            Write::TouchSessions(touched) => people::touch(self, touched),
            Write::Erase(now) => Ok(erase::slice(self.session, *now)?),
        }
    }
}

/// The proof of a batch for its writer: a number that its transaction leaves in the writer's row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Mark {
    pub(super) writer: i64,
    pub(super) batch: i64,
}

/// Begins the transaction and does everything in it except the COMMIT. After a failure it must be rolled back.
pub(super) fn run(
    session: &mut Session,
    rules: Rules,
    writes: &[Write],
    plan: &Plan,
    mark: Mark,
) -> Result<Answers, Failure> {
    // Before the offset is read: a transaction that changes the offset keeps writers out with a lock that this
    // statement waits for.
    session.begin("BEGIN; LOCK TABLE events IN ROW EXCLUSIVE MODE")?;
    let locks = Locks::of(writes, plan);
    let (transaction, past_offset) = lock(session, &locks, mark)?;
    let mut answers: Vec<Option<Result<Outcome, Refused>>> = Vec::new();
    answers.resize_with(writes.len(), || None);
    if !plan.messages.is_empty() {
        for (place, answer) in messages::append(session, writes, plan)? {
            put(&mut answers, place, answer);
        }
    }
    let mut batch = Batch {
        session,
        rules,
        base: transaction.saturating_add(past_offset) << Snapshot::COMMIT_BITS,
        number: 0,
    };
    for place in &plan.others {
        let Some(write) = writes.get(*place) else { continue };
        batch.number = plan.number(*place);
        let answer = match batch.write(write) {
            Ok(outcome) => Ok(outcome),
            Err(Stop::Refused(refused)) => Err(refused),
            Err(Stop::Failed(failure)) => return Err(failure),
        };
        put(&mut answers, *place, answer);
    }
    finish(session, &locks, transaction)?;
    let answers: Option<Answers> = answers.into_iter().collect();
    answers.ok_or_else(|| Failure::damaged("a write was not answered"))
}

fn put(answers: &mut [Option<Result<Outcome, Refused>>], place: usize, answer: Result<Outcome, Refused>) {
    if let Some(slot) = answers.get_mut(place) {
        *slot = Some(answer);
    }
}

/// Takes every lock that is known ahead and leaves the mark. Returns the transaction's number, and the offset that
/// makes it a position.
fn lock(session: &mut Session, locks: &Locks, mark: Mark) -> Result<(i64, i64), Failure> {
    begin_conversations(session, locks)?;
    let ids: Vec<i64> = locks.conversations.iter().map(|id| sql(id.0)).collect();
    let life = session.life();
    // Counting the rows makes the server lock them all.
    let found = session.first(
        "WITH locked AS MATERIALIZED (
            SELECT id FROM conversations WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE
         ), marked AS (
            UPDATE writers SET batch = $3, used_at = now() WHERE id = $2 RETURNING 1
         )
         SELECT pg_current_xact_id()::text::bigint, offset_in($4, $5), (SELECT count(*) FROM marked),
                (SELECT count(*) FROM locked)",
        &[&ids, &mark.writer, &mark.batch, &life.generation, &life.started],
    )?;
    let row = found.ok_or_else(|| Failure::damaged("a transaction has no number"))?;
    if get::<i64>(&row, 2)? != 1 {
        return Err(Failure::NoRow);
    }
    let transaction = (get(&row, 0)?, get(&row, 1)?);
    if !locks.users.is_empty() || !locks.endings.is_empty() {
        let users: Vec<i64> = locks.users.iter().map(|user| sql(user.0)).collect();
        let endings: Vec<i64> = locks.endings.iter().map(|id| sql(id.0)).collect();
        session.query(
            "SELECT 1 FROM users u WHERE u.id = ANY ($1 || ARRAY (
                SELECT m.user_id FROM members m WHERE m.conversation = ANY ($2) AND m.left_seq IS NULL))
             ORDER BY u.id FOR NO KEY UPDATE OF u",
            &[&users, &endings],
        )?;
    }
    if locks.registrations {
        session.query("SELECT 1 FROM registrations FOR NO KEY UPDATE", &[])?;
    }
    if !locks.cursors.is_empty() {
        let conversations: Vec<i64> = locks.cursors.iter().map(|key| sql(key.0.0)).collect();
        let users: Vec<i64> = locks.cursors.iter().map(|key| sql(key.1.0)).collect();
        session.query(
            "SELECT 1 FROM unnest($1::bigint[], $2::bigint[]) AS i (conversation, user_id)
                JOIN cursors k ON k.conversation = i.conversation AND k.user_id = i.user_id
             ORDER BY k.conversation, k.user_id FOR NO KEY UPDATE OF k",
            &[&conversations, &users],
        )?;
    }
    Ok(transaction)
}

/// Inserts the rows of conversations that may begin, so that they can be locked like the others: two transactions that
/// begin the same one wait for each other here.
fn begin_conversations(session: &mut Session, locks: &Locks) -> Result<(), Failure> {
    if locks.beginnings.is_empty() {
        return Ok(());
    }
    let user = |user: Option<UserId>| user.map(|user| sql(user.0));
    let ids: Vec<i64> = locks.beginnings.keys().map(|id| sql(id.0)).collect();
    let beginnings = || locks.beginnings.values();
    let lows: Vec<Option<i64>> = beginnings().map(|one| user(one.fixed[0])).collect();
    let highs: Vec<Option<i64>> = beginnings().map(|one| user(one.fixed[1])).collect();
    let checked: Vec<bool> = beginnings().map(|one| one.checked).collect();
    session.execute(
        "INSERT INTO conversations (id, settings, member_count, head_seq, head_ordinal, head_position, head_at, roster)
         SELECT i.id, '', num_nonnulls(i.low, i.high), 0, 0, 0, 0, 0
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::boolean[]) AS i (id, low, high, checked)
         WHERE NOT EXISTS (SELECT 1 FROM conversations c WHERE c.id = i.id)
           AND (NOT i.checked OR (
                EXISTS (SELECT 1 FROM users u WHERE u.id = i.low)
                AND (i.high IS NULL OR EXISTS (SELECT 1 FROM users u WHERE u.id = i.high))))
         ORDER BY i.id
         ON CONFLICT DO NOTHING",
        &[&ids, &lows, &highs, &checked],
    )?;
    Ok(())
}

/// Deletes the rows of conversations that did not begin, and has the server confirm that the transaction is sound: it
/// would accept the COMMIT of a failed one silently.
fn finish(session: &mut Session, locks: &Locks, transaction: i64) -> Result<(), Failure> {
    if !locks.beginnings.is_empty() {
        let ids: Vec<i64> = locks.beginnings.keys().map(|id| sql(id.0)).collect();
        session.execute(
            "DELETE FROM conversations WHERE id = ANY ($1) AND head_seq = 0",
            &[&ids],
        )?;
    }
    let found = session.first("SELECT pg_current_xact_id()::text::bigint", &[])?;
    if number_of(found)? == transaction {
        Ok(())
    } else {
        Err(Failure::damaged("a transaction became another one"))
    }
}

fn number_of(row: Option<Row>) -> Result<i64, Failure> {
    let row = row.ok_or_else(|| Failure::damaged("a transaction has no number"))?;
    get(&row, 0)
}
