//! Whom a server runs as. PostgreSQL refuses to run as root.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::{Result, ServiceError};

/// The accounts that root lends PostgreSQL, the better one first.
const LENT: [&str; 2] = ["postgres", "nobody"];

/// Another account than ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account for a program that refuses root: none if we are not root.
    pub(crate) fn unprivileged() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let accounts = std::fs::read_to_string("/etc/passwd")
            .map_err(ServiceError::because("cannot read the list of accounts"))?;
        let found = LENT.iter().find_map(|name| Self::named(&accounts, name));
        let missing = || {
            ServiceError::new(
                "PostgreSQL refuses to run as root, and there is no account `postgres` or `nobody`",
            )
        };
        found.map(Some).ok_or_else(missing)
    }

    fn named(accounts: &str, name: &str) -> Option<Self> {
        let mut fields = accounts
            .lines()
            .map(|line| line.split(':'))
            .find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Self { uid, gid })
    }

    /// Makes it the owner of a file or directory.
    pub(crate) fn own(self, path: &Path) -> Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
            .map_err(ServiceError::because("cannot give a directory away"))
    }

    /// Has the command run as this account.
    pub(crate) fn run(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let accounts =
            "root:x:0:0:root:/root:/bin/sh\nnobody2:x:1:2::/:/\nnobody:x:65534:65533:n:/:/\nbad:x:a:b";
        let nobody = Account {
            uid: 65534,
            gid: 65533,
        };
        assert_eq!(Account::named(accounts, "nobody"), Some(nobody));
        assert_eq!(Account::named(accounts, "postgres"), None);
        assert_eq!(Account::named(accounts, "bad"), None);
    }
}
