//! `[timeouts]`: how long things may take. What the protocol has numbers for begins with those.

use std::time::Duration;

use protocol::limits;

use super::{Config, ConfigError, section::section, units::HOUR};

section! {
    /// in milliseconds
    pub struct Timeouts in [timeouts] {
        /// from accept to authenticated; what arrives does not extend it
        handshake_ms: u64 = limits::HANDSHAKE_MS.into(), in 100..=600_000;
        /// for a frame to become whole
        frame_ms: u64 = 30_000, in 100..=600_000;
        /// a client pings when it has sent nothing for this long
        heartbeat_ms: u32 = limits::HEARTBEAT_MS, in limits::HEARTBEAT_MS_MIN.into()..=600_000;
        /// a silent connection is closed
        idle_ms: u32 = limits::IDLE_MS, in limits::IDLE_MS_MIN.into()..=limits::IDLE_MS_MAX.into();
        /// a connection that takes nothing of what is queued for it is closed
        write_stall_ms: u64 = 120_000, in 100..=HOUR;
        /// a drain takes this long at most
        drain_ms: u64 = 10_000, in 0..=HOUR;
        /// who has no connection left is shown as before for this long: within it a reconnect shows nothing
        presence_grace_ms: u64 = 30_000, in 0..=HOUR;
        /// clients told to come back are spread over this long
        reconnect_spread_ms: u32 = 2_000, in 0..=600_000;
    }
}

impl Timeouts {
    /// What no range says.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.idle_ms > self.heartbeat_ms {
            return Ok(());
        }
        Err(ConfigError::Refused(format!(
            "timeouts.idle_ms is {}, but must be above timeouts.heartbeat_ms, which is {}",
            self.idle_ms, self.heartbeat_ms
        )))
    }
}

impl Config {
    /// The drain deadline.
    pub const fn drain(&self) -> Duration {
        Duration::from_millis(self.timeouts.drain_ms)
    }
}
