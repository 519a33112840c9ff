//! Which engines to store with, as URLs. They may hold passwords, so they never show themselves whole.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error};

/// A URL that may hold a password. Printed, it shows neither user nor password nor parameters.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// The whole of it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether nothing is set.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for SecretUrl {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl FromStr for SecretUrl {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.into())
    }
}

/// Scheme, hosts and path.
impl fmt::Display for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            return formatter.write_str(&self.0);
        };
        // A password may hold anything but the last `@`.
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        write!(formatter, "{scheme}://{rest}")
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{self}\"")
    }
}

impl<'de> Deserialize<'de> for SecretUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// Where to store.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum StoreUrl {
    /// The embedded store in `store.data_dir`.
    #[default]
    Default,
    /// `sqlite:PATH`: the embedded store in this file, or in the file `imserver.db` of this directory.
    Sqlite(PathBuf),
    /// `postgres://…`, as the documentation of PostgreSQL has it.
    Postgres(SecretUrl),
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Default);
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.into()));
        }
        match text.strip_prefix("sqlite:") {
            Some("") => Err("the store sqlite: names no file".to_owned()),
            Some(path) => {
                let path = path.strip_prefix("//").unwrap_or(path);
                if path.contains(['?', '#']) {
                    return Err("a store's sqlite:PATH takes no parameters".to_owned());
                }
                let file = PathBuf::from(path);
                if path.ends_with('/') || file.is_dir() {
                    Ok(Self::Sqlite(file.join("imserver.db")))
                } else {
                    Ok(Self::Sqlite(file))
                }
            }
            // Not repeated in the message: it may be a URL with a password.
            None => Err("a store is sqlite:PATH or postgres://USER@HOST/DATABASE".to_owned()),
        }
    }
}

/// As it is read, without a password.
impl fmt::Display for StoreUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::Sqlite(path) => write!(formatter, "sqlite:{}", path.display()),
            Self::Postgres(url) => url.fmt(formatter),
        }
    }
}

impl<'de> Deserialize<'de> for StoreUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_show_no_secrets() {
        for (url, shown) in [
            (
                "postgres://ann:pa@ss@db:5432/im?password=x",
                "postgres://db:5432/im",
            ),
            ("redis://:secret@cache:6379/2", "redis://cache:6379/2"),
            ("redis://cache", "redis://cache"),
            ("", ""),
        ] {
            let secret = SecretUrl::from(url);
            assert_eq!(secret.to_string(), shown);
            assert_eq!(format!("{secret:?}"), format!("\"{shown}\""));
            assert_eq!(secret.expose(), url);
        }
    }

    #[test]
    fn urls_are_read() {
        let sqlite = |path: &str| Ok(StoreUrl::Sqlite(PathBuf::from(path)));
        assert_eq!("".parse(), Ok(StoreUrl::Default));
        assert_eq!("sqlite:/var/lib/im.db".parse(), sqlite("/var/lib/im.db"));
        assert_eq!("sqlite:///var/lib/im.db".parse(), sqlite("/var/lib/im.db"));
        assert_eq!("sqlite:im.db".parse(), sqlite("im.db"));
        assert_eq!("sqlite:nowhere/".parse(), sqlite("nowhere/imserver.db"));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        assert_eq!(
            format!("sqlite:{path}").parse(),
            sqlite(&format!("{path}/imserver.db"))
        );
        let url = "postgresql://db/im";
        assert_eq!(url.parse(), Ok(StoreUrl::Postgres(url.into())));
        for wrong in ["sqlite:", "sqlite:a?mode=ro", "mysql://u:secret@h/d", "im.db"] {
            let error = wrong.parse::<StoreUrl>().unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
