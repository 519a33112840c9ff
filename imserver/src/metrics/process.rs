//! The process as the system sees it, read from `/proc` when it is shown. Elsewhere only its start is known.

use super::{exposition::Shown, table};

/// What the system says of this process; what it does not say is `None`.
#[derive(Clone, Copy, Debug, Default)]
struct Process {
    cpu_seconds: Option<f64>,
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    threads: Option<u64>,
    descriptors: Option<u64>,
}

impl Process {
    fn read() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let descriptors = std::fs::read_dir("/proc/self/fd").ok();
        Self {
            // One of them is that of the listing.
            descriptors: descriptors.map(|entries| (entries.count() as u64).saturating_sub(1)),
            ..Self::parse(
                &stat,
                rustix::param::clock_ticks_per_second(),
                rustix::param::page_size() as u64,
            )
        }
    }

    /// Of proc(5)'s `/proc/pid/stat`. The name of the program may contain anything, so the fields count from its end.
    fn parse(stat: &str, ticks_per_second: u64, page_bytes: u64) -> Self {
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_ascii_whitespace().collect())
            .unwrap_or_default();
        // The state is field 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let cpu = field(14).zip(field(15)).map(|(user, system)| user + system);
        Self {
            cpu_seconds: cpu.map(|ticks| ticks as f64 / ticks_per_second.max(1) as f64),
            threads: field(20),
            virtual_bytes: field(23),
            resident_bytes: field(24).map(|pages| pages.saturating_mul(page_bytes)),
            descriptors: None,
        }
    }
}

/// Shows the process, which began at this time in milliseconds since 1970.
pub(super) fn show(shown: &mut Shown, started_at_ms: u64) {
    let process = Process::read();
    let known = |value: Option<u64>| value.map(|value| (vec![], value as f64));
    shown.numbers(
        &table::PROCESS_CPU,
        process.cpu_seconds.map(|value| (vec![], value)),
    );
    shown.numbers(&table::PROCESS_RESIDENT, known(process.resident_bytes));
    shown.numbers(&table::PROCESS_VIRTUAL, known(process.virtual_bytes));
    shown.numbers(&table::PROCESS_FDS, known(process.descriptors));
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    shown.numbers(&table::PROCESS_FDS_MAX, known(limit.current));
    shown.numbers(&table::PROCESS_THREADS, known(process.threads));
    shown.number(&table::PROCESS_START, started_at_ms as f64 / 1_000.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_count_from_the_end_of_the_name() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 150 13 14 15 16 9 18 19 4096000 77 22 23\n";
        let process = Process::parse(stat, 100, 4_096);
        assert_eq!(process.cpu_seconds, Some(4.0));
        assert_eq!(process.threads, Some(9));
        assert_eq!(process.virtual_bytes, Some(4_096_000));
        assert_eq!(process.resident_bytes, Some(77 * 4_096));
        let nothing = Process::parse("", 100, 4_096);
        assert_eq!((nothing.cpu_seconds, nothing.threads), (None, None));
    }
}
