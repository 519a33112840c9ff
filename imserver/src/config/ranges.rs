//! The range of every number of the configuration, in one table that a test walks key by key.

use protocol::limits::{HEARTBEAT_MS_MIN, IDLE_MS_MAX, IDLE_MS_MIN};

use super::{Config, ConfigError};

/// A key with its value and what it may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Range {
    /// `section.key`.
    pub key: &'static str,
    /// What is configured.
    pub value: u64,
    /// The smallest that is allowed.
    pub least: u64,
    /// The largest that is allowed.
    pub most: u64,
}

impl Range {
    /// # Errors
    /// The value is out of the range; the message names key, value and range.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Self {
            key,
            value,
            least,
            most,
        } = *self;
        if (least..=most).contains(&value) {
            return Ok(());
        }
        Err(ConfigError(format!(
            "{key} is {value}, but must be {least} to {most}"
        )))
    }
}

const fn range(key: &'static str, value: u64, least: u64, most: u64) -> Range {
    Range {
        key,
        value,
        least,
        most,
    }
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// An hour, in milliseconds.
const HOUR: u64 = 3_600_000;
/// A day, in milliseconds.
const DAY: u64 = 24 * HOUR;
const MILLION: u64 = 1_000_000;

impl Config {
    /// Every number that can be set.
    pub fn ranges(&self) -> Vec<Range> {
        let mut all = self.server_ranges();
        all.extend(self.engine_ranges());
        all.extend(self.limit_ranges());
        all.extend(self.rule_ranges());
        all
    }

    fn server_ranges(&self) -> Vec<Range> {
        let server = &self.server;
        vec![
            range("server.loops", server.loops as u64, 0, 255),
            range("server.workers", server.workers as u64, 0, 1_024),
            range("server.hashers", server.hashers as u64, 0, 256),
        ]
    }

    fn engine_ranges(&self) -> Vec<Range> {
        let (store, redis) = (&self.store, &self.redis);
        vec![
            range("store.lanes", store.lanes as u64, 0, 64),
            range("store.connections", store.connections as u64, 0, 1_024),
            range("store.connections_idle", store.connections_idle as u64, 0, 1_024),
            range("store.acquire_ms", store.acquire_ms, 10, 60_000),
            range("store.idle_ms", store.idle_ms, 1_000, DAY),
            range("store.lifetime_ms", store.lifetime_ms, 10_000, DAY),
            range("store.leak_ms", store.leak_ms, 1_000, DAY),
            range("store.connect_ms", store.connect_ms, 10, 60_000),
            range("store.statement_ms", store.statement_ms, 100, 600_000),
            range("store.lock_ms", store.lock_ms, 10, 600_000),
            range("store.request_ms", store.request_ms, 100, 60_000),
            range("redis.connect_ms", redis.connect_ms, 10, 60_000),
            range("redis.read_ms", redis.read_ms, 10, 60_000),
            range("redis.write_ms", redis.write_ms, 10, 60_000),
            range("cluster.follow_ms", self.cluster.follow_ms, 10, 10_000),
        ]
    }

    fn limit_ranges(&self) -> Vec<Range> {
        let limits = &self.limits;
        let small = |key, value: u32, least| range(key, u64::from(value), least, MILLION);
        // A text shares its frame with the fields around it.
        let text_most = u64::from(limits.frame_bytes).saturating_sub(KIB).max(1);
        vec![
            range("limits.frame_bytes", u64::from(limits.frame_bytes), 4 * KIB, MIB),
            range(
                "limits.frame_bytes_unauthenticated",
                u64::from(limits.frame_bytes_unauthenticated),
                KIB,
                64 * KIB,
            ),
            range("limits.text_bytes", limits.text_bytes as u64, 1, text_most),
            range(
                "limits.requests_in_flight",
                u64::from(limits.requests_in_flight),
                1,
                1_024,
            ),
            range("limits.page_events", u64::from(limits.page_events), 1, 10_000),
            range("limits.page_bytes", limits.page_bytes as u64, KIB, 512 * KIB),
            range(
                "limits.push_queue_bytes",
                limits.push_queue_bytes as u64,
                4 * KIB,
                64 * MIB,
            ),
            range("limits.queued_bytes", limits.queued_bytes as u64, MIB, MIB * MIB),
            small("limits.sends_per_second", limits.sends_per_second, 1),
            small("limits.sends_burst", limits.sends_burst, 1),
            small("limits.requests_per_second", limits.requests_per_second, 1),
            small("limits.requests_burst", limits.requests_burst, 1),
            small("limits.people_per_minute", limits.people_per_minute, 1),
            small("limits.people_burst", limits.people_burst, 1),
            small("limits.receipts_per_second", limits.receipts_per_second, 1),
            small("limits.receipts_burst", limits.receipts_burst, 1),
            range(
                "limits.connections_per_address",
                limits.connections_per_address as u64,
                0,
                16_000_000,
            ),
            small("limits.hellos_per_address", limits.hellos_per_address, 0),
            small("limits.passwords_per_address", limits.passwords_per_address, 0),
            small("limits.passwords_per_account", limits.passwords_per_account, 0),
            small(
                "limits.unknown_commands_per_minute",
                limits.unknown_commands_per_minute,
                0,
            ),
            range("limits.lane_queue", limits.lane_queue as u64, 16, MILLION),
            range("limits.lane_batch", limits.lane_batch as u64, 1, 10_000),
            range("limits.worker_queue", limits.worker_queue as u64, 16, MILLION),
            range("limits.hash_queue", limits.hash_queue as u64, 1, 4_096),
            range("limits.connections", limits.connections as u64, 0, 16 * MILLION),
        ]
    }

    fn rule_ranges(&self) -> Vec<Range> {
        let (groups, devices, timeouts) = (&self.groups, &self.devices, &self.timeouts);
        let of_device = |key, value: u32| range(key, u64::from(value), 1, 1_000);
        vec![
            range("groups.members", u64::from(groups.members), 2, MILLION),
            range("groups.per_user", u64::from(groups.per_user), 1, MILLION),
            range("groups.put_into", u64::from(groups.put_into), 1, MILLION),
            range(
                "groups.put_back_after_ms",
                groups.put_back_after_ms,
                0,
                31_536_000_000,
            ),
            range(
                "groups.receipts_up_to",
                u64::from(groups.receipts_up_to),
                0,
                10_000,
            ),
            of_device("devices.total", devices.total),
            of_device("devices.mobile", devices.mobile),
            of_device("devices.desktop", devices.desktop),
            of_device("devices.web", devices.web),
            range("devices.seen_every_ms", devices.seen_every_ms, 100, 86_400_000),
            range("timeouts.handshake_ms", timeouts.handshake_ms, 100, 600_000),
            range("timeouts.frame_ms", timeouts.frame_ms, 100, 600_000),
            range(
                "timeouts.heartbeat_ms",
                u64::from(timeouts.heartbeat_ms),
                HEARTBEAT_MS_MIN.into(),
                600_000,
            ),
            range(
                "timeouts.idle_ms",
                u64::from(timeouts.idle_ms),
                IDLE_MS_MIN.into(),
                IDLE_MS_MAX.into(),
            ),
            range("timeouts.write_stall_ms", timeouts.write_stall_ms, 100, HOUR),
            range("timeouts.drain_ms", timeouts.drain_ms, 0, HOUR),
            range(
                "timeouts.reconnect_spread_ms",
                u64::from(timeouts.reconnect_spread_ms),
                0,
                600_000,
            ),
        ]
    }
}
