//! The units that ranges are written in.

pub(super) const KIB: u64 = 1024;
pub(super) const MIB: u64 = 1024 * KIB;
pub(super) const MILLION: u64 = 1_000_000;
/// In milliseconds.
pub(super) const HOUR: u64 = 3_600_000;
/// In milliseconds.
pub(super) const DAY: u64 = 24 * HOUR;
