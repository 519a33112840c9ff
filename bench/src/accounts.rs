//! The accounts that a load is made with. They are made by `imserver provision`.

use std::{fs, path::Path};

use crate::BenchError;

/// The first accounts of a file that `imserver provision` wrote: user ids and session tokens.
pub(crate) fn read_tokens(path: &Path, count: usize) -> Result<Vec<(u64, String)>, BenchError> {
    let text = fs::read_to_string(path)?;
    let accounts: Vec<_> = text
        .lines()
        .take(count)
        .filter_map(|line| {
            let mut fields = line.split('\t').skip(1);
            Some((fields.next()?.parse().ok()?, fields.next()?.to_owned()))
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
    getrandom::fill(&mut bytes).map_err(|error| BenchError::Other(error.to_string()))?;
    Ok(u64::from_le_bytes(bytes))
}
