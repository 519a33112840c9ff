//! A profile directory: who this device is, its session, how far it has got, and the names it knows.
//!
//! It owns those files, and a lock that keeps two programs from using one profile at once: a session has
//! one live connection, so they would only displace each other. It must never lose anything silently: a
//! file that cannot be read is an error that names it.
//!
//! | file | content |
//! |---|---|
//! | `account.json` | server, device id, session token, user (mode 0600, like all of them) |
//! | `sync.json` | epoch, sync token, cursors and the last event at each |
//! | `applied.log` | events that were applied since, a line each, not flushed to the disk |
//! | `sent.json` | client ids that this device has sent, a cache |
//! | `names.json` | names of users and groups, a cache |
//! | `lock` | held by the program that uses the profile |
//!
//! Files are replaced as a whole: written beside, flushed where it matters, renamed.

mod applied;
mod files;
mod lock;
mod profile;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use bytes::Bytes;

pub use profile::{Account, Names, Profile, SessionRecord, TrustRecord};

/// Client ids remembered as sent by this device.
pub const SENT_MAX: usize = 2_000;
/// Names remembered, users and groups each.
pub const NAMES_MAX: usize = 10_000;

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system says no.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it says.
        error: std::io::Error,
    },
    /// A file is not what this program has written. Nothing was changed.
    #[error("{}: damaged or of another version: {reason}", path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another program uses the profile.
    #[error("the profile {} is in use by {holder}", path.display())]
    Locked {
        /// The profile.
        path: PathBuf,
        /// Which program, as far as it says.
        holder: String,
    },
}

fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<Bytes> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let pair = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.iter().map(pair).collect()
}
