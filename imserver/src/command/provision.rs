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
    let mut writer = store.writer()?;
    let mut reader = store.reader()?;
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
                    .user_by_name(name)?
                    .ok_or_else(|| DaemonError::Refused(format!("the name {name} is taken by nobody")))?,
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
    Ok(store.close()?)
}

/// The number after the last one's.
fn end(arguments: &Provision) -> Result<u32, DaemonError> {
    let end = arguments
        .first
        .checked_add(arguments.count)
        .ok_or_else(|| DaemonError::refused("--first and --count are too large together"))?;
    // The last is the longest; all have the same characters otherwise.
    protocol::validate::account_name("name", &name(arguments, end - 1))
        .map_err(|refusal| DaemonError::Refused(format!("--prefix makes no names: {refusal}")))?;
    Ok(end)
}

fn name(arguments: &Provision, number: u32) -> String {
    protocol::validate::canonical_name(&format!("{}{number}", arguments.prefix))
}

fn hash_of(file: &Path) -> Result<String, DaemonError> {
    let text = std::fs::read_to_string(file)
        .map_err(DaemonError::because(format!("cannot read {}", file.display())))?;
    let password = text.trim_end_matches(['\r', '\n']);
    // What nobody could register with is no password here either.
    protocol::validate::new_password(password)
        .map_err(|refusal| DaemonError::Refused(format!("the password in {}: {refusal}", file.display())))?;
    Hashing::default()
        .hash(&protocol::validate::canonical_password(password))
        .ok_or_else(|| DaemonError::refused("the password cannot be hashed"))
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
    let random = |error: token::RandomError| DaemonError::failed(error.to_string(), error);
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
    Ok(writer.commit(changes)?)
}

fn unexpected(made: Result<Outcome, Refused>) -> DaemonError {
    match made {
        Err(refused) => DaemonError::Refused(format!("the store refused an account or session: {refused}")),
        Ok(_) => DaemonError::refused("the store answered another question"),
    }
}
