//! The past for an operator: its state, a new one by hand, and the declaration that it is still the same. It must never
//! change anything without an order, and never confirm a server that does not fit.

use postgres::Client;

use super::{
    judge::Found,
    settle::{self, Rights},
};
use crate::{
    error::OpenError,
    past::{Generation, GenerationReport, PastReport},
    postgres::{
        PostgresOptions,
        connections::{Connector, cannot_open},
        failure::Failure,
        row::{self, get},
        schema,
    },
    types::Timestamp,
};

/// The store's knowledge of its past. Changes nothing.
///
/// # Errors
/// The database cannot be reached or used, or has another version.
pub fn show(options: &PostgresOptions) -> Result<PastReport, OpenError> {
    let (mut client, rights) = connect(options)?;
    report(&mut client, rights).map_err(cannot_open)
}

/// Makes a new past by hand, with a reason: for all users of the store, including running nodes, which end and start
/// over. Returns the past as it is then.
///
/// # Errors
/// As [`show`].
pub fn new(options: &PostgresOptions, why: &str) -> Result<PastReport, OpenError> {
    let (mut client, rights) = connect(options)?;
    settle::end_past(&mut client, rights, None, why)?;
    report(&mut client, rights).map_err(cannot_open)
}

/// Declares that the store was moved without losses, for example by `pg_upgrade`: confirms its present server. No node
/// may have used the store there before. The memories of nodes and devices still count. Returns the past as it is then.
///
/// # Errors
/// As [`show`]; or the rows were written again, so that this is a copy, or the server's transaction numbers are below
/// the positions in the store.
pub fn keep(options: &PostgresOptions) -> Result<PastReport, OpenError> {
    let (mut client, rights) = connect(options)?;
    confirm(&mut client, rights).map_err(cannot_open)?;
    report(&mut client, rights).map_err(cannot_open)
}

fn connect(options: &PostgresOptions) -> Result<(Client, Rights), OpenError> {
    let connector = Connector::new(options)?;
    let (mut client, rights) = connector.unsettled().map_err(cannot_open)?;
    if schema::is_current(&mut client)? {
        return Ok((client, rights));
    }
    Err(OpenError::Refused(
        "the PostgreSQL database has no store of this version: start a node first".to_owned(),
    ))
}

fn confirm(client: &mut Client, rights: Rights) -> Result<(), Failure> {
    client.batch_execute("BEGIN; SELECT 1 FROM store FOR UPDATE")?;
    let found = settle::find(client, rights)?;
    if found.is_confirmed() {
        client.batch_execute("ROLLBACK")?;
        return Ok(());
    }
    let refuse = |why: &str| Err(Failure::Misconfigured(why.to_owned()));
    if !found.is_original() {
        return refuse("the rows were written again: this is a copy, and only a new past fits it");
    }
    if !found.counts_on() {
        return refuse(
            "the server counts its transactions below the positions in the store: only a new past fits it",
        );
    }
    settle::begin_generation(client, rights, &found, "kept by hand")?;
    client.batch_execute("COMMIT")?;
    Ok(())
}

fn report(client: &mut Client, rights: Rights) -> Result<PastReport, Failure> {
    let found = settle::find(client, rights)?;
    let rows = client.query(
        "SELECT id, log_id, begins, ends, at, why FROM generations ORDER BY number",
        &[],
    )?;
    let generations = rows
        .iter()
        .map(|row| {
            Ok(GenerationReport {
                generation: Generation(row::number(row, 0)?),
                log_id: row::number(row, 1)?,
                begins: row::position(row, 2)?,
                ends: get::<Option<i64>>(row, 3)?.map(|ends| crate::types::Position(ends.cast_unsigned())),
                at: Timestamp(row::number(row, 4)?),
                why: get(row, 5)?,
            })
        })
        .collect::<Result<_, Failure>>()?;
    let sound: String = get(
        &client.query_one("SELECT current_setting('data_checksums')", &[])?,
        0,
    )?;
    Ok(PastReport {
        epoch: found.identity.epoch,
        log_id: found.identity.log_id,
        horizon: found.horizon,
        generations,
        remarks: remarks(&found, rights, sound == "on"),
    })
}

fn remarks(found: &Found, rights: Rights, checksums: bool) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(why) = found.copied() {
        remarks.push(format!("The next node that starts makes a new past: {why}."));
    } else if !found.counts_on() {
        remarks.push(
            "The next node that starts makes a new past: the server counts its transactions below the positions in the \
             store."
                .to_owned(),
        );
    } else if !found.is_confirmed() {
        remarks.push(
            "The server was started, promoted or recovered since a node was last connected: the next one compares."
                .to_owned(),
        );
    }
    let hidden: Vec<&str> = [
        (rights.system, "pg_control_system()"),
        (rights.timeline, "pg_current_wal_lsn() or pg_walfile_name()"),
        (rights.started, "pg_postmaster_start_time()"),
    ]
    .into_iter()
    .filter_map(|(may, name)| (!may).then_some(name))
    .collect();
    if !hidden.is_empty() {
        remarks.push(format!(
            "The role may not call {}: what that would tell of a lost tail is not noticed.",
            hidden.join(", ")
        ));
    }
    if !checksums {
        remarks.push(
            "The server has data_checksums off: a damaged page may be served as if it were sound.".to_owned(),
        );
    }
    remarks
}
