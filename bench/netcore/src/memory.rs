//! Owns the memory of processes and of the kernel, read from `/proc`. Must never change what it looks at.

use std::fs;
use std::io;

const KIB: u64 = 1024;

/// Pages as `/proc/net/sockstat` counts them.
const PAGE_BYTES: u64 = 4096;

/// Memory that a process has for itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct UserMemory {
    /// Resident bytes that belong to no file.
    pub anonymous: u64,
    /// All resident bytes, those of the program and its libraries too: what most tools show.
    pub resident: u64,
    /// Resident bytes, shared ones in parts.
    pub proportional: u64,
}

impl UserMemory {
    /// What process `pid` has now.
    ///
    /// # Errors
    /// There is no such process, or `/proc` is not what it is on Linux.
    pub fn of(pid: u32) -> io::Result<Self> {
        Ok(Self {
            anonymous: kibibytes(&format!("/proc/{pid}/status"), "RssAnon:")?,
            resident: kibibytes(&format!("/proc/{pid}/status"), "VmRSS:")?,
            proportional: kibibytes(&format!("/proc/{pid}/smaps_rollup"), "Pss:")?,
        })
    }

    /// The sum over some processes.
    ///
    /// # Errors
    /// As [`UserMemory::of`].
    pub fn sum(pids: impl IntoIterator<Item = u32>) -> io::Result<Self> {
        pids.into_iter().try_fold(Self::default(), |sum, pid| {
            let one = Self::of(pid)?;
            Ok(Self {
                anonymous: sum.anonymous + one.anonymous,
                resident: sum.resident + one.resident,
                proportional: sum.proportional + one.proportional,
            })
        })
    }
}

/// Memory of the whole machine: differences are as good as the machine is quiet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KernelMemory {
    /// Bytes that programs could still have; unlike free ones, these do not change when files are cached.
    pub available: u64,
    /// Bytes of kernel objects, sockets and files among them.
    pub slab: u64,
    /// Bytes of data in the buffers of TCP sockets.
    pub tcp_buffers: u64,
}

impl KernelMemory {
    /// What is in use now.
    ///
    /// # Errors
    /// `/proc` is not what it is on Linux.
    pub fn now() -> io::Result<Self> {
        let sockets = fs::read_to_string("/proc/net/sockstat")?;
        let pages = parse_tcp_pages(&sockets).ok_or_else(|| malformed("sockstat"))?;
        Ok(Self {
            available: kibibytes("/proc/meminfo", "MemAvailable:")?,
            slab: kibibytes("/proc/meminfo", "Slab:")?,
            tcp_buffers: pages * PAGE_BYTES,
        })
    }
}

fn kibibytes(path: &str, name: &str) -> io::Result<u64> {
    parse_kibibytes(&fs::read_to_string(path)?, name).ok_or_else(|| malformed(name))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} cannot be read"))
}

/// The bytes of a line like `Slab:   120 kB`.
fn parse_kibibytes(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value
        .trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(KIB)
}

/// The pages of a line like `TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 3`.
fn parse_tcp_pages(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_ascii_whitespace();
    words.find(|word| *word == "mem")?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_by_its_whole_name() {
        let text = "SReclaimable:  7 kB\nSlab:      120 kB\nPss_Anon:  4 kB\nPss:  9 kB\n";
        assert_eq!(parse_kibibytes(text, "Slab:"), Some(120 * 1024));
        assert_eq!(parse_kibibytes(text, "Pss:"), Some(9 * 1024));
        assert_eq!(parse_kibibytes(text, "RssAnon:"), None);
        assert_eq!(parse_kibibytes("Slab: many kB", "Slab:"), None);
    }

    #[test]
    fn the_pages_of_tcp_are_not_those_of_udp() {
        let text = "sockets: used 9\nUDP: inuse 1 mem 5\nTCP: inuse 5 orphan 0 tw 0 alloc 7 mem 3\n";
        assert_eq!(parse_tcp_pages(text), Some(3));
        assert_eq!(parse_tcp_pages("TCP: inuse 5"), None);
    }

    #[test]
    fn this_process_and_kernel_have_some() {
        let one = UserMemory::of(std::process::id()).expect("a process that lives");
        assert!(one.anonymous > 0 && one.proportional > 0);
        assert!(one.resident > one.anonymous);
        let kernel = KernelMemory::now().expect("a kernel");
        assert!(kernel.slab > 0);
    }
}
