//! Whether a start failed for lack of room: SQLite calls many of those errors "disk I/O error".

use std::{error::Error, io, path::Path};

use rusqlite::ErrorCode;

use super::failure::Failure;
use crate::error::OpenError;

/// With less room than this a store cannot be opened: its shared memory and the first pages of its log need it.
const ROOM_NEEDED: u64 = 256 * 1024;

/// Whether lack of room is the cause of an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cause {
    /// The system or SQLite says so.
    Room,
    /// It has this error where there is no room, and for other reasons.
    PerhapsRoom,
    Other,
}

/// The error, with the cause and the remedy if the disk is full.
pub(super) fn explained(error: OpenError, path: &Path) -> OpenError {
    let free = free(path);
    let is_full = match cause(&error) {
        Cause::Room => true,
        Cause::PerhapsRoom => free.is_some_and(|bytes| bytes < ROOM_NEEDED),
        Cause::Other => false,
    };
    if !is_full {
        return error;
    }
    let free = free.map_or_else(String::new, |bytes| format!(" ({bytes} bytes are free)"));
    OpenError::failed(
        format!(
            "the disk of {} is full{free}: make room, then start again ({error})",
            path.display()
        ),
        error,
    )
}

/// What the first error of the chain says that has a code.
fn cause(error: &OpenError) -> Cause {
    std::iter::successors(error.source(), |&cause| cause.source())
        .find_map(of_one)
        .unwrap_or(Cause::Other)
}

fn of_one(error: &(dyn Error + 'static)) -> Option<Cause> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        let is_room = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        );
        return Some(if is_room { Cause::Room } else { Cause::Other });
    }
    let code = match error.downcast_ref::<Failure>() {
        Some(failure) => failure.code(),
        None => error
            .downcast_ref::<rusqlite::Error>()
            .and_then(rusqlite::Error::sqlite_error_code),
    }?;
    Some(if code == ErrorCode::DiskFull {
        Cause::Room
    } else if matches!(code, ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) {
        Cause::PerhapsRoom
    } else {
        Cause::Other
    })
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
    use rusqlite::ffi;

    use super::*;

    fn failed(cause: impl Into<crate::error::Cause>) -> OpenError {
        OpenError::failed("x cannot be made".to_owned(), cause)
    }

    fn sqlite(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn codes_tell_whether_room_lacks_however_deep_they_lie() {
        for (error, expected) in [
            (failed(io::Error::from(io::ErrorKind::StorageFull)), Cause::Room),
            (failed(io::Error::from(io::ErrorKind::QuotaExceeded)), Cause::Room),
            (failed(io::Error::from(io::ErrorKind::NotFound)), Cause::Other),
            (failed(sqlite(ffi::SQLITE_FULL)), Cause::Room),
            (
                failed(failed(sqlite(ffi::SQLITE_IOERR_SHMSIZE))),
                Cause::PerhapsRoom,
            ),
            (
                failed(Failure::from(sqlite(ffi::SQLITE_IOERR))),
                Cause::PerhapsRoom,
            ),
            (
                Failure::from(sqlite(ffi::SQLITE_CANTOPEN)).unusable(Path::new("x")),
                Cause::PerhapsRoom,
            ),
            (failed(sqlite(ffi::SQLITE_BUSY)), Cause::Other),
            // A text is no reason.
            (
                OpenError::Refused("disk I/O error: the disk is full".to_owned()),
                Cause::Other,
            ),
        ] {
            assert_eq!(cause(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn only_a_full_disk_is_explained() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("imserver.db");
        let full = explained(failed(io::Error::from(io::ErrorKind::StorageFull)), &path);
        let full = full.to_string();
        assert!(
            full.starts_with("the disk of ") && full.contains("make room"),
            "{full}"
        );
        // The disk of tests has room, so another cause is right.
        let other = explained(failed(sqlite(ffi::SQLITE_IOERR)), &path);
        assert_eq!(other.to_string(), "x cannot be made");
    }
}
