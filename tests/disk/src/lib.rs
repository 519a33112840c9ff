//! The embedded store on a disk that fails: calls that fail as Linux lets them fail, power cuts at every flush,
//! bits that flip, processes that are killed at every call.
//!
//! It owns a library in C that is preloaded below a process ([`fault`]), the reading of its record ([`trace`]), and a
//! model of the system's page cache that computes from the record what a disk may hold afterwards ([`cache`],
//! [`images`]), and tells which of that is the same database ([`content`]). It must never take the store's own word for what was acknowledged: that comes from clients, or from
//! the reference model of the storage crate ([`script`]).
//!
//! A short selection runs with every test run; `DISASTERS=all` runs all of it. Each test prints how many disasters
//! it made and how many messages it checked.

pub mod answers;
pub mod cache;
pub mod content;
pub mod fault;
pub mod images;
pub mod script;
pub mod trace;

/// Whether everything is to be run, and not the short selection.
pub fn in_full() -> bool {
    std::env::var_os("DISASTERS").is_some_and(|value| value == "all")
}

/// A directory that costs no disk, where the system has one; its path is canonical.
///
/// # Panics
/// There is no place for temporary files.
pub fn directory() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        std::env::temp_dir().canonicalize().and_then(tempfile::tempdir_in)
    };
    made.expect("a temporary directory")
}
