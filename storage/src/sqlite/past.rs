//! The store's past: its generations, and the new past that begins when the file is another one or lacks acknowledged
//! commits. `docs/RELIABILITY.md` has the design.
//!
//! It owns the tables `store` (except position, chain and watermark, which commits move) and `generations`. It must
//! never let a process acknowledge anything before the generation of that process is durable.

mod finding;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use self::finding::{Finding, chain_since, find, reason};
use super::{
    Identity,
    failure::Failure,
    files::{FileIdentity, Files},
    row::{self, collect, first, sql},
    standing::{self, Standing},
    sum::{self, Sum},
};
use crate::{
    error::{Cause, OpenError},
    past::{Claim, Generation, GenerationReport, PastReport, Testimony, TokenKey},
    types::Position,
};

/// The past in which a process lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past {
    pub(super) identity: Identity,
    pub(super) key: TokenKey,
    /// When this process began.
    pub(super) standing: Standing,
}

/// The names of a new past.
struct Drawn {
    identity: Identity,
    key: TokenKey,
    generation: Generation,
}

impl Drawn {
    fn new() -> Result<Self, OpenError> {
        Ok(Self {
            identity: Identity::random()?,
            key: draw_key()?,
            generation: draw_generation()?,
        })
    }
}

fn draw_key() -> Result<TokenKey, OpenError> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| {
        OpenError::failed(
            format!("the system gives no random numbers: {error}"),
            Cause::text(error.to_string()),
        )
    })?;
    Ok(TokenKey(key))
}

fn draw_generation() -> Result<Generation, OpenError> {
    Ok(Generation(Identity::random()?.epoch))
}

/// Writes the rows of a new store, including its first generation.
pub(super) fn found(
    connection: &Connection,
    identity: Identity,
    file: FileIdentity,
) -> Result<(), OpenError> {
    let (key, generation) = (draw_key()?, draw_generation()?);
    let insert = || -> Result<(), Failure> {
        let standing = Standing {
            log_id: identity.log_id,
            generation,
            commits: 1,
            position: Position(0),
            chain: 0,
        };
        connection.execute(
            "INSERT INTO store (id, epoch, log_id, token_key, generation, commits, position, chain, sum, watermark)
             VALUES (1, ?1, ?2, ?3, ?4, 1, 0, 0, ?5, 0)",
            (
                sql(identity.epoch),
                sql(identity.log_id),
                key.0,
                sql(generation.0),
                sql(sum::of_standing(&standing)),
            ),
        )?;
        enter(connection, generation, file, "the store was made", false)
    };
    Ok(insert()?)
}

/// Writes a generation with the present values of `store`.
fn enter(
    connection: &Connection,
    generation: Generation,
    file: FileIdentity,
    why: &str,
    unconfirmed: bool,
) -> Result<(), Failure> {
    connection.execute(
        "INSERT INTO generations (id, epoch, log_id, key_sum, begins, at, why, inode, born, unconfirmed)
         SELECT ?1, epoch, log_id, ?6, position, CAST(unixepoch('subsec') * 1000 AS INTEGER), ?2, ?3, ?4, ?5
         FROM store",
        (
            sql(generation.0),
            why,
            sql(file.inode),
            file.born,
            unconfirmed,
            sql(sum_of(read(connection)?.key)),
        ),
    )?;
    Ok(())
}

fn sum_of(key: TokenKey) -> u64 {
    Sum::new().bytes(&key.0).finish()
}

/// The newest generation.
#[derive(Clone, Copy, Debug)]
struct Newest {
    generation: Generation,
    identity: Identity,
    key_sum: u64,
    begins: Position,
    file: FileIdentity,
}

fn newest(connection: &Connection) -> Result<Newest, Failure> {
    let mut statement =
        connection.prepare(
            "SELECT id, begins, inode, born, epoch, log_id, key_sum FROM generations ORDER BY number DESC LIMIT 1",
        )?;
    first(statement.query([])?, |row| {
        Ok(Newest {
            generation: Generation(row::number(row, 0)?),
            begins: row::position(row, 1)?,
            file: FileIdentity {
                inode: row::number(row, 2)?,
                born: row.get(3)?,
            },
            identity: Identity {
                epoch: row::number(row, 4)?,
                log_id: row::number(row, 5)?,
            },
            key_sum: row::number(row, 6)?,
        })
    })?
    .ok_or_else(|| Failure::damaged("the table `generations` is empty"))
}

/// Checks that the file is of one piece: pages from a write-ahead log of another store, or of another time, contradict.
fn check_newest(past: &Past, newest: &Newest) -> Result<(), Failure> {
    let standing = &past.standing;
    if newest.identity != past.identity || newest.key_sum != sum_of(past.key) {
        return Err(Failure::damaged("its name or its key is not what was written"));
    }
    if newest.generation == standing.generation && newest.begins <= standing.position {
        return Ok(());
    }
    Err(Failure::damaged(format!(
        "it stands at {} in generation {:x}, and its newest generation {:x} began at {}: its write-ahead log is of \
         another store or of another time",
        standing.position.0, standing.generation.0, newest.generation.0, newest.begins.0
    )))
}

/// Begins this process's generation, of the present past or of a new one, in one transaction, and takes over the
/// witness. No other connection of this process may be open.
pub(super) fn begin(connection: &mut Connection, files: &Files) -> Result<Past, OpenError> {
    let path = files.path().display();
    let refuse = |failure: Failure| failure.unusable(files.path());
    let (generation, drawn) = (draw_generation()?, Drawn::new()?);
    let finding = {
        let mut work = || -> Result<Finding, Failure> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let past = read(&transaction)?;
            let (before, last) = (past.standing, newest(&transaction)?);
            check_newest(&past, &last)?;
            let finding = find(
                &before,
                last.file,
                files.identity(),
                files.witness.said(),
                |seen| chain_since(&transaction, seen),
            )?;
            match reason(&finding) {
                None => {
                    end(&transaction, last.generation)?;
                    let after = Standing {
                        generation,
                        commits: before.commits + 1,
                        ..before
                    };
                    standing::advance(&transaction, &before, &after)?;
                    enter(&transaction, generation, files.identity(), "a start", false)?;
                }
                Some(why) => replace(&transaction, &drawn, files.identity(), &why, true)?,
            }
            transaction.commit()?;
            Ok(finding)
        };
        work().map_err(refuse)?
    };
    let past = read(connection).map_err(refuse)?;
    match (&finding, reason(&finding)) {
        (Finding::Copied, Some(why)) => log::warn!(
            "{path}: a new past begins, and every device starts over: {why}; if the store was only moved, and nothing \
             was committed elsewhere since, run `imserver past keep` before the first start the next time"
        ),
        (_, Some(why)) => log::error!(
            "{path}: a new past begins, and every device starts over: {why}; acknowledged messages are missing: find \
             out what happened to the disk, restore a newer backup if there is one, and confirm with `imserver past \
             keep`"
        ),
        // A store that has seen only its creation and this start can lack nothing.
        (Finding::Sound(Some(silent)), None) if past.standing.commits > 2 => log::info!("{path}: {silent}"),
        _ => {}
    }
    files.witness.begin(&past.standing).map_err(|error| {
        OpenError::failed(format!("the witness of {path} cannot be written: {error}"), error)
    })?;
    Ok(past)
}

/// Ends a generation: nothing more belongs to it.
fn end(connection: &Connection, generation: Generation) -> Result<(), Failure> {
    connection.execute(
        "UPDATE generations SET ends = (SELECT position FROM store) WHERE id = ?1",
        [sql(generation.0)],
    )?;
    Ok(())
}

/// Replaces the present past by a new one.
fn replace(
    connection: &Connection,
    drawn: &Drawn,
    file: FileIdentity,
    why: &str,
    unconfirmed: bool,
) -> Result<(), Failure> {
    let before = standing::read(connection)?;
    let after = Standing {
        log_id: drawn.identity.log_id,
        generation: drawn.generation,
        commits: before.commits + 1,
        ..before
    };
    standing::advance(connection, &before, &after)?;
    connection.execute(
        "UPDATE store SET epoch = ?1, token_key = ?2",
        (sql(drawn.identity.epoch), drawn.key.0),
    )?;
    enter(connection, drawn.generation, file, why, unconfirmed)
}

/// Gives a store in a new file a new past on request, so that no operator needs to confirm it.
pub(super) fn begin_anew(connection: &Connection, file: FileIdentity, why: &str) -> Result<(), OpenError> {
    let drawn = Drawn::new()?;
    let transaction = || -> Result<(), Failure> {
        let transaction = connection.unchecked_transaction()?;
        replace(&transaction, &drawn, file, why, false)?;
        Ok(transaction.commit()?)
    };
    Ok(transaction()?)
}

/// Makes a new past while this process lives in the old one. Does nothing if another one was made already.
pub(super) fn abandon(connection: &mut Connection, lived_in: u64, why: &str) -> Result<(), OpenError> {
    let drawn = Drawn::new()?;
    let mut work = || -> Result<(), Failure> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if standing::read(&transaction)?.log_id == lived_in {
            let file = newest(&transaction)?.file;
            replace(&transaction, &drawn, file, why, true)?;
        }
        Ok(transaction.commit()?)
    };
    Ok(work()?)
}

/// The past according to the store.
pub(super) fn read(connection: &Connection) -> Result<Past, Failure> {
    let standing = standing::read(connection)?;
    let mut statement = connection.prepare("SELECT epoch, log_id, token_key FROM store")?;
    first(statement.query([])?, |row| {
        Ok(Past {
            identity: Identity {
                epoch: row::number(row, 0)?,
                log_id: row::number(row, 1)?,
            },
            key: TokenKey(row.get(2)?),
            standing,
        })
    })?
    .ok_or_else(|| Failure::damaged("the table `store` is empty"))
}

/// See [`Reader::testimony`](crate::Reader::testimony). Call this within a transaction.
pub(super) fn testimony(connection: &Connection, claim: Claim) -> Result<Testimony, Failure> {
    let now = standing::read(connection)?;
    let ends = connection
        .prepare_cached("SELECT ends FROM generations WHERE id = ?1 AND log_id = ?2")?
        .query_row([sql(claim.generation.0), sql(now.log_id)], |row| {
            row.get::<_, Option<i64>>(0)
        })
        .optional()?;
    let ends = match ends {
        Some(None) if claim.generation == now.generation => now.position,
        Some(Some(ends)) => Position(ends.cast_unsigned()).min(now.position),
        Some(None) | None => return Ok(Testimony::Witness),
    };
    Ok(if claim.ceiling <= ends {
        Testimony::Known
    } else {
        Testimony::Witness
    })
}

/// The past, for an operator.
pub(super) fn report(connection: &Connection) -> Result<PastReport, Failure> {
    let past = read(connection)?;
    let mut statement = connection
        .prepare("SELECT id, log_id, begins, ends, at, why, unconfirmed FROM generations ORDER BY number")?;
    let mut remarks = Vec::new();
    let generations = collect(statement.query([])?, |row| {
        let why: String = row.get(5)?;
        if row::flag(row, 6)? {
            remarks.push(format!("{why} (confirm with `imserver past keep`)"));
        }
        Ok(GenerationReport {
            generation: Generation(row::number(row, 0)?),
            log_id: row::number(row, 1)?,
            begins: row::position(row, 2)?,
            ends: row
                .get::<_, Option<i64>>(3)?
                .map(|ends| Position(ends.cast_unsigned())),
            at: row::time(row, 4)?,
            why,
        })
    })?;
    Ok(PastReport {
        epoch: past.identity.epoch,
        log_id: past.identity.log_id,
        horizon: past.standing.position,
        generations,
        remarks,
    })
}

/// The operator vouches for the past: the store is in this file, and all remarks were read.
pub(super) fn keep(connection: &mut Connection, file: FileIdentity) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let last = newest(&transaction)?;
    transaction.execute(
        "UPDATE generations SET inode = ?2, born = ?3 WHERE id = ?1",
        (sql(last.generation.0), sql(file.inode), file.born),
    )?;
    transaction.execute("UPDATE generations SET unconfirmed = 0 WHERE unconfirmed", [])?;
    Ok(transaction.commit()?)
}
