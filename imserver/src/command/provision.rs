//! `imserver provision`: accounts with sessions, in batches, straight into the store.

use std::{io::Write, path::Path};

use storage::{
    DeviceClass, DevicePolicy, NewSession, NewUser, Outcome, Refused, Session, User, Write as Change, Writer,
};

use super::cannot_write;
use crate::{
    clock,
    config::{Config, Provision},
    error::DaemonError,
    service::hashing::{Hashing, NO_PASSWORD},
    stores,
    token::{self, SessionToken},
};

/// Writes of one transaction.
const BATCH: usize = 512;
/// The device that the sessions are of; making them again replaces them.
const DEVICE: &str = "provisioned";

/// Makes the accounts that are not there yet, and a session for each.
pub(super) fn run(arguments: &Provision, config: &Config, output: &mut dyn Write) -> Result<(), DaemonError> {
    let end = end(arguments)?;
    let password_hash = match &arguments.password_file {
        Some(file) => hash_of(file)?,
        None => NO_PASSWORD.to_owned(),
    };
    let store = stores::open(config)?;
    let open_error = |error: storage::OpenError| DaemonError(error.to_string());
    let mut writer = store.writer().map_err(open_error)?;
    let mut reader = store.reader().map_err(open_error)?;
    let policy = config.device_policy();
    for first in (arguments.first..end).step_by(BATCH) {
        let last = end.min(first.saturating_add(BATCH as u32));
        let names: Vec<String> = (first..last).map(|number| name(arguments, number)).collect();
        let accounts: Vec<Change> = names.iter().map(|name| account(name, &password_hash)).collect();
        let mut users = Vec::with_capacity(names.len());
        for (name, made) in names.iter().zip(commit(writer.as_mut(), &accounts)?) {
            users.push(match made {
                Ok(Outcome::User(user)) => user,
                Err(Refused::NameTaken) => reader
                    .user_by_name(name)
                    .map_err(|error| DaemonError(error.to_string()))?
                    .ok_or_else(|| DaemonError(format!("the name {name} is taken by nobody")))?,
                other => return Err(unexpected(other)),
            });
        }
        let mut sessions = Vec::with_capacity(users.len());
        let mut tokens = Vec::with_capacity(users.len());
        for user in &users {
            let (session, token) = session(user, policy)?;
            sessions.push(session);
            tokens.push(token);
        }
        for made in commit(writer.as_mut(), &sessions)? {
            if !matches!(made, Ok(Outcome::Session(_))) {
                return Err(unexpected(made));
            }
        }
        for (user, token) in users.iter().zip(tokens) {
            writeln!(output, "{}\t{}\t{}", user.name, user.id.0, token.into_text()).map_err(cannot_write)?;
        }
    }
    output.flush().map_err(cannot_write)?;
    drop((writer, reader));
    store.close().map_err(open_error)
}

/// The number after the last one's.
fn end(arguments: &Provision) -> Result<u32, DaemonError> {
    let end = arguments
        .first
        .checked_add(arguments.count)
        .ok_or_else(|| DaemonError("--first and --count are too large together".to_owned()))?;
    // The last is the longest; all have the same characters otherwise.
    protocol::validate::account_name("name", &name(arguments, end - 1))
        .map_err(|refusal| DaemonError(format!("--prefix makes no names: {refusal}")))?;
    Ok(end)
}

fn name(arguments: &Provision, number: u32) -> String {
    protocol::validate::canonical_name(&format!("{}{number}", arguments.prefix))
}

fn hash_of(file: &Path) -> Result<String, DaemonError> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| DaemonError(format!("cannot read {}: {error}", file.display())))?;
    let password = text.trim_end_matches(['\r', '\n']);
    // What nobody could register with is no password here either.
    protocol::validate::new_password(password)
        .map_err(|refusal| DaemonError(format!("the password in {}: {refusal}", file.display())))?;
    Hashing::default()
        .hash(&protocol::validate::canonical_password(password))
        .ok_or_else(|| DaemonError("the password cannot be hashed".to_owned()))
}

fn account(name: &str, password_hash: &str) -> Change {
    Change::CreateUser(NewUser {
        name: name.to_owned(),
        display_name: name.to_owned(),
        password_hash: password_hash.to_owned(),
        at: clock::wall(),
    })
}

fn session(user: &User, policy: DevicePolicy) -> Result<(Change, SessionToken), DaemonError> {
    let random = |error: token::RandomError| DaemonError(error.to_string());
    let token = SessionToken::generate().map_err(random)?;
    let at = clock::wall();
    let session = Session {
        id: token::random_session_id().map_err(random)?,
        user: user.id,
        device_id: DEVICE.to_owned(),
        class: DeviceClass::Other,
        device_name: DEVICE.to_owned(),
        created_at: at,
        last_seen_at: at,
    };
    let new = NewSession {
        session,
        token_hash: token.hash(),
        policy,
        online: Vec::new(),
    };
    Ok((Change::CreateSession(new), token))
}

fn commit(writer: &mut dyn Writer, changes: &[Change]) -> Result<Vec<Result<Outcome, Refused>>, DaemonError> {
    writer
        .commit(changes)
        .map_err(|error| DaemonError(format!("the store did not take it: {error}")))
}

fn unexpected(made: Result<Outcome, Refused>) -> DaemonError {
    match made {
        Err(refused) => DaemonError(format!("the store refused an account or session: {refused}")),
        Ok(_) => DaemonError("the store answered another question".to_owned()),
    }
}
