//! Whether a start failed for lack of room: SQLite calls many of those errors "disk I/O error".

use std::path::Path;

use crate::error::OpenError;

/// With less room than this a store cannot be opened: its shared memory and the first pages of its log need it.
const ROOM_NEEDED: u64 = 256 * 1024;

/// Texts of errors that a full disk may cause.
const SUSPECT: [&str; 5] = [
    "disk I/O error",
    "unable to open database file",
    "is full",
    "No space left",
    "quota exceeded",
];

/// The error, with the cause and the remedy if the disk is full.
pub(super) fn explained(error: OpenError, path: &Path) -> OpenError {
    let said = error.to_string();
    if !SUSPECT.iter().any(|part| said.contains(part)) {
        return error;
    }
    let out_of_room = said.contains("No space left") || said.contains("quota exceeded");
    match free(path) {
        Some(bytes) if bytes < ROOM_NEEDED || out_of_room => OpenError::failed(
            format!(
                "the disk of {} is full ({bytes} bytes are free): make room, then start again ({said})",
                path.display()
            ),
            error,
        ),
        _ => error,
    }
}

/// Bytes that this user may still write there.
fn free(path: &Path) -> Option<u64> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let state = rustix::fs::statvfs(directory).ok()?;
    Some(state.f_bavail.saturating_mul(state.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_come_of_a_full_disk_is_explained() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("imserver.db");
        let explain = |said: &str| explained(OpenError::Refused(said.to_owned()), &path).to_string();
        let full = explain("x cannot be made: No space left on device (os error 28)");
        assert!(
            full.starts_with("the disk of ") && full.contains("make room"),
            "{full}"
        );
        // The disk of tests has room, so another cause is right.
        for other in ["disk I/O error", "another imserver uses x"] {
            assert_eq!(explain(other), other);
        }
    }
}
