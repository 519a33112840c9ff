//! The check of every new connection, and its result: nothing, a generation, or a new past. It must never let a
//! connection be used whose server was not compared, nor write while another process writes the row.

use std::collections::BTreeMap;

use postgres::{Client, Row, types::ToSql};

use super::{
    judge::{Evidence, Found, Incarnation, Verdict, judge},
    node::{Life, Lived, Memory, Node},
};
use crate::{
    error::OpenError,
    fate::Doom,
    past::TokenKey,
    postgres::{
        failure::Failure,
        filling,
        row::{self, get},
        schema,
    },
    snapshot::Snapshot,
    sqlite::Identity,
    types::Position,
};

/// How often positions that were noted during a check are compared again. Their server is gone, so they end by
/// themselves.
const ROUNDS_MAX: usize = 8;
/// Earlier pasts that a process knows, at most: the last ones.
const REPLACED_MAX: i64 = 1_024;
/// Writers hold the tables for one statement each, and a process that tidies up gives way within a second.
const PATIENCE: &str = "SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = '15s'";
/// The newest position of a row. The schema's `present_in` gives it to processes that live in a generation.
const HORIZON: &str = "greatest((SELECT max(position) FROM events),
                                (SELECT max(position) FROM cursors WHERE position > 0),
                                (SELECT max(position) FROM notices), 0)";

/// The functions of the server that this role may call. Asked first, because a statement that calls a forbidden one
/// fails before it begins, whatever surrounds the call.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::postgres) struct Rights {
    pub(in crate::postgres) system: bool,
    pub(in crate::postgres) timeline: bool,
    pub(in crate::postgres) started: bool,
}

impl Rights {
    /// Three columns for [`Rights::read`].
    pub(in crate::postgres) const COLUMNS: &'static str =
        "coalesce(has_function_privilege(to_regprocedure('pg_control_system()'), 'EXECUTE'), false),
         coalesce(has_function_privilege(to_regprocedure('pg_current_wal_lsn()'), 'EXECUTE')
            AND has_function_privilege(to_regprocedure('pg_walfile_name(pg_lsn)'), 'EXECUTE'), false),
         coalesce(has_function_privilege(to_regprocedure('pg_postmaster_start_time()'), 'EXECUTE'), false)";

    pub(in crate::postgres) fn read(row: &Row, first: usize) -> Result<Self, Failure> {
        Ok(Self {
            system: get(row, first)?,
            timeline: get(row, first + 1)?,
            started: get(row, first + 2)?,
        })
    }

    /// The four parts of the present incarnation, in the order of the columns of `store`. The last checkpoint's
    /// timeline is no substitute: after a promotion it is still the old one.
    fn incarnation(self) -> String {
        let part =
            |may: bool, call: &'static str, otherwise: &'static str| if may { call } else { otherwise };
        format!(
            "{}, (SELECT oid::bigint FROM pg_database WHERE datname = current_database()), {}, {}",
            part(
                self.system,
                "(SELECT system_identifier FROM pg_control_system())",
                "NULL::bigint"
            ),
            part(
                self.timeline,
                "left(pg_walfile_name(pg_current_wal_lsn()), 8)",
                "NULL::text"
            ),
            part(self.started, "pg_postmaster_start_time()", "NULL::timestamptz"),
        )
    }
}

fn incarnation(row: &Row, first: usize) -> Result<Incarnation, Failure> {
    Ok(Incarnation {
        system: get(row, first)?,
        database: get(row, first + 1)?,
        timeline: get(row, first + 2)?,
        started: get(row, first + 3)?,
    })
}

/// A random number of 63 bits that is not 0.
pub(in crate::postgres) fn random() -> Result<i64, Failure> {
    let number = getrandom::u64()
        .map_err(|error| Failure::Unreachable(format!("the system gives no random numbers: {error}")))?;
    Ok((number >> 1).max(1).cast_signed())
}

fn random_key() -> Result<TokenKey, Failure> {
    let mut key = [0; 32];
    getrandom::fill(&mut key)
        .map_err(|error| Failure::Unreachable(format!("the system gives no random numbers: {error}")))?;
    Ok(TokenKey(key))
}

/// Writes the first row of a new database, unless it is there.
pub(in crate::postgres) fn create(
    client: &mut Client,
    rights: Rights,
    identity: Identity,
) -> Result<(), Failure> {
    let sql = format!(
        "WITH made AS (
            INSERT INTO store (id, epoch, log_id, token_key, generation, system_id, database_id, timeline, started,
                               written_by)
            VALUES (1, $1, $2, $3, $4, {}, pg_current_xact_id()::text::bigint) ON CONFLICT DO NOTHING
            RETURNING generation, log_id)
         INSERT INTO generations (number, id, log_id, begins, at, why)
         SELECT 1, generation, log_id, 0, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, 'a new store'
         FROM made",
        rights.incarnation()
    );
    let (key, generation) = (random_key()?, random()?);
    let parameters: [&(dyn ToSql + Sync); 4] = [
        &identity.epoch.cast_signed(),
        &identity.log_id.cast_signed(),
        &&key.0[..],
        &generation,
    ];
    client.execute(&sql, &parameters)?;
    Ok(())
}

/// The row of the store, the server that holds it, and whether the store may be used at all.
pub(super) fn find(client: &mut Client, rights: Rights) -> Result<Found, Failure> {
    let sql = format!(
        "SELECT s.epoch, s.log_id, s.token_key, s.generation, s.past_offset, s.written_by, s.xmin::text::bigint,
                s.system_id, s.database_id, s.timeline, s.started, {}, {HORIZON},
                pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
                (SELECT coalesce(max(version), 0)::bigint FROM refinery_schema_history), s.filling
         FROM store s",
        rights.incarnation()
    );
    let row = client
        .query_opt(&sql, &[])?
        .ok_or_else(|| Failure::Replaced("the PostgreSQL database has become empty".to_owned()))?;
    if get::<i64>(&row, 17)? < schema::newest_known() {
        return Err(Failure::Replaced(
            "the PostgreSQL database has an older schema than at the start".to_owned(),
        ));
    }
    if get(&row, 18)? {
        return Err(filling::half_filled());
    }
    Ok(Found {
        identity: Identity {
            epoch: row::number(&row, 0)?,
            log_id: row::number(&row, 1)?,
        },
        key: TokenKey(row::array(&row, 2)?),
        generation: get(&row, 3)?,
        past_offset: get(&row, 4)?,
        written_by: get(&row, 5)?,
        xmin: get(&row, 6)?,
        confirmed: incarnation(&row, 7)?,
        present: incarnation(&row, 11)?,
        horizon: row::position(&row, 15)?,
        next: get(&row, 16)?,
    })
}

/// Compares the server of a new connection with the memory, and updates the store's row. Afterwards the connection
/// lives in the present generation.
pub(in crate::postgres) fn settle(
    client: &mut Client,
    rights: Rights,
    node: &Node,
    lossless: bool,
) -> Result<Life, Failure> {
    let found = find(client, rights)?;
    if node.compared() == found.generation && lives_in(node, &found) && found.is_confirmed() {
        return Ok(life(&found));
    }
    if node.lived().is_none() && judge(&found, None, lossless) == Verdict::Same {
        // At the start nothing is remembered, so nothing can contradict; and this process need not wait for others.
        adopt(client, node, &found)?;
        return Ok(life(&found));
    }
    let Some(_alone) = node.check() else {
        return Err(Failure::Unreachable(
            "another connection is still being compared with what is remembered".to_owned(),
        ));
    };
    let was_in = node.compared();
    let mut rounds = 0;
    loop {
        let before = node.remembered();
        client.batch_execute(&format!("BEGIN; {PATIENCE}; SELECT 1 FROM store FOR UPDATE"))?;
        // A statement of its own: it sees the changes that the lock was waited for.
        let found = find(client, rights)?;
        if node.compared() == found.generation && lives_in(node, &found) && found.is_confirmed() {
            client.batch_execute("ROLLBACK")?;
            return Ok(life(&found));
        }
        let verdict = match node.lived() {
            None => judge(&found, None, lossless),
            Some(lived) => {
                let evidence = evidence(client, node, was_in, &found, &before.memory)?;
                judge(&found, Some((&lived, evidence, before.told)), lossless)
            }
        };
        let generation = match verdict {
            Verdict::Same => found.generation,
            Verdict::Generation(why) => begin_generation(client, rights, &found, why)?,
            Verdict::Past(why) => {
                begin_past(client, rights, &found, why)?;
                client.batch_execute("COMMIT")?;
                if node.lived().is_some() {
                    return Err(past_over(node, why));
                }
                // This process has told nothing yet.
                let found = find(client, rights)?;
                adopt(client, node, &found)?;
                return Ok(life(&found));
            }
            Verdict::Over => {
                let why = "another node or an operator began it";
                return Err(past_over(node, why));
            }
        };
        client.batch_execute("COMMIT")?;
        let found = Found { generation, ..found };
        if node.lived().is_none() {
            adopt(client, node, &found)?;
            return Ok(life(&found));
        }
        node.enter(generation);
        if node.remembered().is_same(&before) {
            node.settle(generation);
            return Ok(life(&found));
        }
        // Answers of the earlier server came in meanwhile. Later ones find another generation.
        rounds += 1;
        if rounds >= ROUNDS_MAX {
            return Err(Failure::Unreachable(
                "answers of the server before still come in".to_owned(),
            ));
        }
    }
}

fn lives_in(node: &Node, found: &Found) -> bool {
    node.lived().is_some_and(|lived| lived.identity == found.identity)
}

const fn life(found: &Found) -> Life {
    Life {
        generation: found.generation,
        started: found.present.started,
    }
}

/// The first connection of a process: from now on the process lives in this past.
fn adopt(client: &mut Client, node: &Node, found: &Found) -> Result<(), Failure> {
    let rows = client.query(
        "SELECT log_id FROM generations WHERE log_id <> $1 GROUP BY log_id ORDER BY max(number) DESC LIMIT $2",
        &[&found.identity.log_id.cast_signed(), &REPLACED_MAX],
    )?;
    let replaced: Result<Vec<u64>, Failure> = rows.iter().map(|row| row::number(row, 0)).collect();
    let lived = Lived {
        identity: found.identity,
        key: found.key,
    };
    node.live_in(lived, replaced?);
    node.enter(found.generation);
    node.settle(found.generation);
    Ok(())
}

/// The past that this process lives in is over: the process ends.
pub(in crate::postgres) fn past_over(node: &Node, why: &str) -> Failure {
    node.fate.doom(Doom::PastOver(why.to_owned()));
    Failure::Replaced(format!("the PostgreSQL database has another past now: {why}"))
}

/// How much the store has of the memory of a process that lived in the generation `was_in`.
fn evidence(
    client: &mut Client,
    node: &Node,
    was_in: i64,
    found: &Found,
    memory: &Memory,
) -> Result<Evidence, Failure> {
    let log_id = found.identity.log_id.cast_signed();
    let row = client.query_opt(
        "SELECT ends FROM generations WHERE id = $1 AND log_id = $2",
        &[&was_in, &log_id],
    )?;
    let end = match row {
        None => None,
        Some(row) => {
            let end = get::<Option<i64>>(&row, 0)?;
            Some(end.map_or(found.horizon, |end| Position(end.cast_unsigned())))
        }
    };
    let missing = client.query_opt(
        "SELECT 1 FROM unnest($1::bigint[]) p WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.position = p) LIMIT 1",
        &[&memory.events()],
    )?;
    let rows = client.query(
        "SELECT id, batch FROM writers WHERE id = ANY ($1)",
        &[&memory.writers()],
    )?;
    let batches: Result<BTreeMap<i64, i64>, Failure> =
        rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect();
    Ok(Evidence {
        end,
        has_events: missing.is_none(),
        has_batches: memory.agrees(&batches?),
        is_replaced: node.came_after(found.identity.log_id),
    })
}

/// Ends the present generation at the horizon and begins the next one, in the open transaction, which holds the row. No
/// other transaction writes in between: a writer compares generation and start of the server first.
pub(super) fn begin_generation(
    client: &mut Client,
    rights: Rights,
    found: &Found,
    why: &str,
) -> Result<i64, Failure> {
    let generation = random()?;
    client.execute(
        "UPDATE generations SET ends = $2 WHERE id = $1 AND ends IS NULL",
        &[&found.generation, &found.horizon.0.cast_signed()],
    )?;
    note_generation(client, generation, found.identity.log_id, found.horizon, why)?;
    let sql = format!(
        "UPDATE store SET generation = $1, (system_id, database_id, timeline, started) = ROW ({}),
                          written_by = pg_current_xact_id()::text::bigint",
        rights.incarnation()
    );
    one_row(client.execute(&sql, &[&generation])?)?;
    log::info!("the store has a new generation: {why}");
    Ok(generation)
}

/// Begins a new past, in the open transaction, which holds the row: new epoch, log id, generation and key, and an
/// offset that makes the server's numbers into positions above all existing ones.
pub(super) fn begin_past(
    client: &mut Client,
    rights: Rights,
    found: &Found,
    why: &str,
) -> Result<(), Failure> {
    begin_past_as(
        client,
        rights,
        Identity::random().map_err(|error| Failure::Unreachable(error.to_string()))?,
        why,
    )?;
    log::error!(
        "the store has a new past: {why}. Every device starts over; what was acknowledged before and is missing is lost \
         (epoch {} ended)",
        found.identity.epoch
    );
    Ok(())
}

/// The same with a given name.
pub(in crate::postgres) fn begin_past_as(
    client: &mut Client,
    rights: Rights,
    identity: Identity,
    why: &str,
) -> Result<(), Failure> {
    // A transaction that writes has held a lock that conflicts with this one since before it read the offset.
    client.batch_execute("LOCK TABLE events, cursors, notices, writers IN SHARE ROW EXCLUSIVE MODE")?;
    let (key, generation) = (random_key()?, random()?);
    let row = client.query_one(&format!("SELECT {HORIZON}"), &[])?;
    let horizon = row::position(&row, 0)?;
    // Numbers that are open now may be below the present one; snapshots contain those, too.
    let sql = format!(
        "UPDATE store s
         SET epoch = $1, log_id = $2, token_key = $3, generation = $4,
             past_offset = CASE WHEN n.least + s.past_offset <= $5 THEN $5 + 1 - n.least ELSE s.past_offset END,
             (system_id, database_id, timeline, started) = ROW ({}),
             written_by = pg_current_xact_id()::text::bigint
         FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS least) n",
        rights.incarnation()
    );
    let parameters: [&(dyn ToSql + Sync); 5] = [
        &identity.epoch.cast_signed(),
        &identity.log_id.cast_signed(),
        &&key.0[..],
        &generation,
        &(horizon.0 >> Snapshot::COMMIT_BITS).cast_signed(),
    ];
    one_row(client.execute(&sql, &parameters)?)?;
    note_generation(client, generation, identity.log_id, horizon, why)
}

fn note_generation(
    client: &mut Client,
    generation: i64,
    log_id: u64,
    begins: Position,
    why: &str,
) -> Result<(), Failure> {
    client.execute(
        "INSERT INTO generations (number, id, log_id, begins, at, why)
         SELECT coalesce(max(number), 0) + 1, $1, $2, $3, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, $4
         FROM generations",
        &[
            &generation,
            &log_id.cast_signed(),
            &begins.0.cast_signed(),
            &why,
        ],
    )?;
    Ok(())
}

fn one_row(changed: u64) -> Result<(), Failure> {
    if changed == 1 {
        return Ok(());
    }
    Err(Failure::damaged("the table `store` has not one row"))
}

/// Makes a new past for all processes, if the store is still in the past of this process, or again in an earlier one.
pub(in crate::postgres) fn end_past(
    client: &mut Client,
    rights: Rights,
    node: Option<&Node>,
    why: &str,
) -> Result<(), OpenError> {
    client
        .batch_execute(&format!("BEGIN; {PATIENCE}; SELECT 1 FROM store FOR UPDATE"))
        .map_err(Failure::from)?;
    let found = find(client, rights)?;
    let is_newer = |node: &Node| !lives_in(node, &found) && !node.came_after(found.identity.log_id);
    if node.is_some_and(is_newer) {
        return Ok(client.batch_execute("ROLLBACK").map_err(Failure::from)?);
    }
    begin_past(client, rights, &found, why)?;
    Ok(client.batch_execute("COMMIT").map_err(Failure::from)?)
}
