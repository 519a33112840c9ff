//! Where the programs are.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, ServiceError};

/// Where Debian and its kin keep PostgreSQL, one directory a version.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";

/// The programs of one version of PostgreSQL.
#[derive(Clone, Debug)]
pub(crate) struct Postgres {
    directory: PathBuf,
}

impl Postgres {
    /// Those in the search path, else the newest installed.
    pub(crate) fn find() -> Result<Self> {
        Self::find_in(&search_path(), Path::new(POSTGRES_VERSIONS))
    }

    fn find_in(search: &[PathBuf], versions: &Path) -> Result<Self> {
        // A link in the search path leads to where the other programs are.
        let linked = search
            .iter()
            .filter_map(|directory| directory.join("postgres").canonicalize().ok())
            .filter_map(|path| path.parent().map(Path::to_path_buf));
        let mut newest: Vec<(u32, PathBuf)> = std::fs::read_dir(versions)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let version = entry.file_name().to_str()?.parse().ok()?;
                Some((version, entry.path().join("bin")))
            })
            .collect();
        newest.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        linked
            .chain(newest.into_iter().map(|(_, directory)| directory))
            .find(|directory| {
                [
                    "initdb",
                    "postgres",
                    "psql",
                    "pg_isready",
                    "pg_ctl",
                    "pg_basebackup",
                    "pg_dump",
                ]
                .iter()
                .all(|name| directory.join(name).is_file())
            })
            .map(|directory| Self { directory })
            .ok_or_else(|| {
                ServiceError::new(
                    "PostgreSQL (initdb, postgres, psql) is missing: install the package `postgresql` \
                     (`postgresql-server` on Fedora)",
                )
            })
    }

    /// One of them.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.directory.join(name));
        // What the environment says about somebody's own server is not meant for ours.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("PG") {
                command.env_remove(variable);
            }
        }
        // Wherever the test runs, the account of the server may not be allowed.
        command.current_dir("/");
        command
    }
}

/// The pooler of connections to PostgreSQL, if it is installed.
pub(crate) fn pgbouncer() -> Option<PathBuf> {
    let mut directories = search_path();
    directories.push(PathBuf::from("/usr/sbin"));
    let mut paths = directories.iter().map(|directory| directory.join("pgbouncer"));
    paths.find(|path| path.is_file())
}

/// The server of Redis.
pub(crate) fn redis() -> Result<PathBuf> {
    redis_in(&search_path())
}

fn redis_in(search: &[PathBuf]) -> Result<PathBuf> {
    search
        .iter()
        .map(|directory| directory.join("redis-server"))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            ServiceError::new(
                "Redis (redis-server) is missing: install the package `redis-server` (`redis` on Fedora and Alpine)",
            )
        })
}

/// The terminal in which the full screen of `im` is driven.
pub(crate) fn tmux() -> Result<PathBuf> {
    tmux_in(&search_path())
}

fn tmux_in(search: &[PathBuf]) -> Result<PathBuf> {
    search
        .iter()
        .map(|directory| directory.join("tmux"))
        .find(|path| path.is_file())
        .ok_or_else(|| ServiceError::new("tmux is missing: install the package `tmux`"))
}

/// What runs the client that was written from the document alone.
pub(crate) fn python() -> Result<PathBuf> {
    python_in(&search_path())
}

fn python_in(search: &[PathBuf]) -> Result<PathBuf> {
    search
        .iter()
        .map(|directory| directory.join("python3"))
        .find(|path| path.is_file())
        .ok_or_else(|| ServiceError::new("python3 is missing: install the package `python3`"))
}

fn search_path() -> Vec<PathBuf> {
    let path: OsString = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(bin: &Path) {
        std::fs::create_dir_all(bin).expect("a directory");
        for name in [
            "initdb",
            "postgres",
            "psql",
            "pg_isready",
            "pg_ctl",
            "pg_basebackup",
            "pg_dump",
        ] {
            std::fs::write(bin.join(name), "").expect("a file");
        }
    }

    #[test]
    fn the_search_path_comes_first_and_then_the_newest_version() {
        let root = tempfile::tempdir().expect("a directory");
        let top = root.path().canonicalize().expect("a path");
        let versions = top.join("versions");
        for version in ["9", "15", "backup"] {
            installed(&versions.join(version).join("bin"));
        }
        let found = Postgres::find_in(&[], &versions).expect("found");
        assert_eq!(found.directory, versions.join("15/bin"));

        let linked = top.join("linked");
        std::fs::create_dir(&linked).expect("a directory");
        std::os::unix::fs::symlink(versions.join("9/bin/postgres"), linked.join("postgres")).expect("a link");
        let found = Postgres::find_in(&[linked], &versions).expect("found");
        assert_eq!(found.directory, versions.join("9/bin"));
    }

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let empty = tempfile::tempdir().expect("a directory");
        let search = [empty.path().to_path_buf()];
        let error = Postgres::find_in(&search, empty.path()).expect_err("nothing here");
        assert!(
            error.to_string().contains("install the package `postgresql`"),
            "{error}"
        );
        let error = redis_in(&search).expect_err("nothing here");
        assert!(
            error.to_string().contains("install the package `redis-server`"),
            "{error}"
        );
        let error = python_in(&search).expect_err("nothing here");
        assert!(
            error.to_string().contains("install the package `python3`"),
            "{error}"
        );
        let error = tmux_in(&search).expect_err("nothing here");
        assert!(
            error.to_string().contains("install the package `tmux`"),
            "{error}"
        );
    }
}
