//! The accounts that a load is made with: those that `imserver provision` made, or some that are registered
//! before anything is measured.

use std::{fs, net::SocketAddr, path::Path};

use crate::{BenchError, client::Client, dialect::Account};

/// Accounts that are registered at most: each costs the server a password hash on purpose.
const REGISTERED_MAX: usize = 2_000;

/// The accounts of a file that `imserver provision` wrote, `count` of them behind the first `skip`.
pub(crate) fn read(path: &Path, skip: usize, count: usize) -> Result<Vec<Account>, BenchError> {
    let text = fs::read_to_string(path)
        .map_err(|error| BenchError::Other(format!("cannot read {}: {error}", path.display())))?;
    let accounts = parse(text.lines().skip(skip).take(count));
    if accounts.len() < count {
        return Err(BenchError::Other(format!(
            "{} has {} accounts behind the first {skip}, {count} are needed",
            path.display(),
            accounts.len()
        )));
    }
    Ok(accounts)
}

/// All accounts of a file.
pub(crate) fn read_all(path: &Path) -> Result<Vec<Account>, BenchError> {
    let text = fs::read_to_string(path)
        .map_err(|error| BenchError::Other(format!("cannot read {}: {error}", path.display())))?;
    Ok(parse(text.lines()))
}

/// Accounts from lines of name, user id, session token and, if they are there, password and number. Anything
/// else is passed over.
pub(crate) fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Account> {
    let account = |(index, line): (usize, &str)| {
        let mut fields = line.split('\t');
        Some(Account {
            name: fields.next()?.to_owned(),
            user: fields.next()?.parse().ok()?,
            token: fields.next()?.to_owned(),
            password: fields.next().unwrap_or_default().to_owned(),
            index: fields
                .next()
                .and_then(|number| number.parse().ok())
                .unwrap_or(index),
            groups: Vec::new(),
        })
    };
    lines.enumerate().filter_map(account).collect()
}

/// What [`parse`] reads.
pub(crate) fn to_line(account: &Account) -> String {
    let Account {
        name,
        user,
        token,
        password,
        index,
        ..
    } = account;
    format!("{name}\t{user}\t{token}\t{password}\t{index}")
}

/// Registers accounts under names that nobody has.
pub(crate) fn register(server: SocketAddr, count: usize) -> Result<Vec<Account>, BenchError> {
    if count > REGISTERED_MAX {
        return Err(BenchError::Other(format!(
            "{count} accounts are needed: make them with `imserver provision` and give its output as --accounts"
        )));
    }
    let (run, password) = (random()? >> 20, format!("{:016x}", random()?));
    (0..count)
        .map(|index| {
            let name = format!("imbench-{run:x}-{index}");
            let session = Client::register(server, &name, &password)?;
            Ok(Account {
                index,
                user: session.user.map_or(0, |user| user.user_id),
                name,
                token: session.token,
                password: password.clone(),
                groups: Vec::new(),
            })
        })
        .collect()
}

/// Accounts at servers that ask nobody who they are: `count` numbers behind the first `skip`.
pub(crate) fn numbered(skip: usize, count: usize) -> Vec<Account> {
    let account = |index| Account {
        index,
        user: index as u64 + 1,
        name: format!("imbench-{index}"),
        ..Account::default()
    };
    (skip..skip + count).map(account).collect()
}

pub(crate) fn random() -> Result<u64, BenchError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| BenchError::Other(error.to_string()))?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_are_written() {
        let accounts = parse(["b0\t7\ttoken", "", "b1\t8\tother\tsecret"].into_iter());
        let read: Vec<_> = accounts
            .iter()
            .map(|account| (account.index, account.name.as_str(), account.user))
            .collect();
        assert_eq!(read, [(0, "b0", 7), (2, "b1", 8)]);
        let again = parse(std::iter::once(to_line(&accounts[1]).as_str()));
        let Account {
            index,
            token,
            password,
            ..
        } = &again[0];
        assert_eq!(
            (*index, token.as_str(), password.as_str()),
            (2, "other", "secret")
        );
    }
}
