//! Fixes the thresholds of glibc's allocator, so that the memory of a burst goes back to the system after it.
//!
//! Left alone, glibc raises its threshold for separate mappings up to 32 MiB as large blocks are freed. From then on they
//! come from heaps, which give back their ends only. glibc reads these settings from the environment when a program
//! starts, and nowhere else without unsafe code; so the daemon replaces itself once, before it opens anything. It must
//! never do that where the operator has chosen settings, and never twice.

/// What glibc reads them from.
const VARIABLE: &str = "GLIBC_TUNABLES";
/// Blocks from 128 KiB are mappings of their own (what glibc begins with), heaps give back what is free at their ends
/// from 1 MiB, and threads share four heaps.
const SETTINGS: &str =
    "glibc.malloc.mmap_threshold=131072:glibc.malloc.trim_threshold=1048576:glibc.malloc.arena_max=4";

/// Replaces the process by itself with these settings, unless the environment has some. Returns where that is not needed
/// or not possible; the process then works the same, and keeps more memory after a burst.
///
/// No thread may have been started yet.
pub fn fix_allocator() {
    if cfg!(all(target_os = "linux", target_env = "gnu")) && std::env::var_os(VARIABLE).is_none() {
        start_again();
    }
}

#[cfg(unix)]
fn start_again() {
    use std::os::unix::process::CommandExt as _;
    let mut arguments = std::env::args_os();
    let (Ok(program), Some(name)) = (std::env::current_exe(), arguments.next()) else {
        return;
    };
    let _not_possible = std::process::Command::new(program)
        .arg0(name)
        .args(arguments)
        .env(VARIABLE, SETTINGS)
        .exec();
}

#[cfg(not(unix))]
fn start_again() {}

#[cfg(test)]
mod tests {
    use super::*;

    /// glibc ignores all of them when it does not understand one.
    #[test]
    fn the_guide_names_the_same_settings() {
        let guide = include_str!("../../docs/OPERATIONS.md");
        assert!(guide.contains(&format!("{VARIABLE}={SETTINGS}\n")));
    }
}
