//! Accounts with sessions, written straight into a store that no daemon has open: hashing a password for
//! each of ten thousand logins would measure argon2.

use std::{
    fs,
    io::Write,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use sha2::{Digest, Sha256};
use storage::{
    DeviceClass, DevicePolicy, NewSession, NewUser, Outcome, Session, SessionId, Store, Timestamp, TokenHash,
    User, Write as StoreWrite, Writer,
    sqlite::{SqliteOptions, SqliteStore},
};

use crate::{BenchError, report::Report};

const BATCH: usize = 1_000;
const POLICY: DevicePolicy = DevicePolicy {
    total: 10,
    mobile: 10,
    desktop: 10,
    web: 10,
};

pub(crate) fn run(data_dir: &Path, count: usize, tokens: &Path) -> Result<Report, BenchError> {
    fs::create_dir_all(data_dir)?;
    let store = SqliteStore::open(SqliteOptions::new(data_dir.join("imserver.db"))).map_err(other)?;
    let mut writer = store.writer().map_err(other)?;
    let mut file = std::io::BufWriter::new(fs::File::create(tokens)?);
    let run = random()?;
    for first in (0..count).step_by(BATCH) {
        let last = (first + BATCH).min(count);
        let users = create_users(&mut *writer, run, first..last)?;
        for token in create_sessions(&mut *writer, &users)? {
            writeln!(file, "{} {}", token.1, token.0)?;
        }
    }
    file.flush()?;
    drop(writer);
    store.close().map_err(other)?;
    let mut report = Report::default();
    report.add("accounts", count);
    Ok(report)
}

fn create_users(
    writer: &mut dyn Writer,
    run: u64,
    indexes: std::ops::Range<usize>,
) -> Result<Vec<User>, BenchError> {
    let at = now();
    let writes: Vec<_> = indexes
        .map(|index| {
            StoreWrite::CreateUser(NewUser {
                name: format!("b{run:x}-{index}").chars().take(32).collect(),
                display_name: format!("bench {index}"),
                // No password verifies against this.
                password_hash: "!".to_owned(),
                at,
            })
        })
        .collect();
    let outcomes = writer.commit(&writes).map_err(other)?;
    outcomes
        .into_iter()
        .map(|outcome| match outcome {
            Ok(Outcome::User(user)) => Ok(user),
            unexpected => Err(BenchError::Other(format!("no account: {unexpected:?}"))),
        })
        .collect()
}

/// Tokens with their users' ids.
fn create_sessions(writer: &mut dyn Writer, users: &[User]) -> Result<Vec<(String, u64)>, BenchError> {
    let at = now();
    let (mut writes, mut tokens) = (Vec::new(), Vec::new());
    for user in users {
        let token = format!(
            "imt1_{:016x}{:016x}{:016x}{:016x}",
            random()?,
            random()?,
            random()?,
            random()?
        );
        let session = Session {
            id: SessionId(random()? >> 1),
            user: user.id,
            device_id: "bench".to_owned(),
            class: DeviceClass::Other,
            device_name: String::new(),
            created_at: at,
            last_seen_at: at,
        };
        let token_hash = TokenHash(Sha256::digest(token.as_bytes()).into());
        writes.push(StoreWrite::CreateSession(NewSession {
            session,
            token_hash,
            policy: POLICY,
        }));
        tokens.push((token, user.id.0));
    }
    for outcome in writer.commit(&writes).map_err(other)? {
        outcome.map_err(other)?;
    }
    Ok(tokens)
}

/// The accounts of a tokens file: user ids and session tokens.
pub(crate) fn read_tokens(path: &Path, count: usize) -> Result<Vec<(u64, String)>, BenchError> {
    let text = fs::read_to_string(path)?;
    let accounts: Vec<_> = text
        .lines()
        .take(count)
        .filter_map(|line| {
            let (id, token) = line.split_once(' ')?;
            Some((id.parse().ok()?, token.to_owned()))
        })
        .collect();
    if accounts.len() < count {
        return Err(BenchError::Other(format!(
            "{} has {} accounts, {count} needed",
            path.display(),
            accounts.len()
        )));
    }
    Ok(accounts)
}

pub(crate) fn random() -> Result<u64, BenchError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(other)?;
    Ok(u64::from_le_bytes(bytes))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(0))
}

fn other(error: impl std::fmt::Display) -> BenchError {
    BenchError::Other(error.to_string())
}
