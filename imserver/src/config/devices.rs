//! `[devices]`: how many sessions a user may have.

use super::{Config, section::section, units::DAY};

section! {
    /// sessions a user may have; of those not connected the one not seen for longest goes first
    pub struct Devices in [devices] {
        /// in all
        total: u32 = 10, in 1..=1_000;
        /// telephones and tablets
        mobile: u32 = 5, in 1..=1_000;
        /// computers
        desktop: u32 = 5, in 1..=1_000;
        /// browsers
        web: u32 = 5, in 1..=1_000;
        /// scripts and bots; they count for themselves alone
        script: u32 = 20, in 1..=1_000;
        /// when a device was last seen is noted no more often; milliseconds
        seen_every_ms: u64 = 3_600_000, in 100..=DAY;
    }
}

impl Config {
    /// How many sessions a user may have.
    pub const fn device_policy(&self) -> storage::DevicePolicy {
        let Devices {
            total,
            mobile,
            desktop,
            web,
            script,
            ..
        } = self.devices;
        storage::DevicePolicy {
            total,
            mobile,
            desktop,
            web,
            script,
        }
    }
}
