//! Rates that all nodes share, by the clock of Redis.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use redis::Script;

use super::Remote;
use super::link::Repeatable;
use crate::ephemeral::contract::{self, Rate, RateLimits, Taken};

/// Key: what is due. Arguments: the distance and the tolerance in microseconds, how many are taken. Returns how long
/// to wait in microseconds; 0: taken.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + ARGV[1] * ARGV[3]
local wait = due - ARGV[2] - now
if wait > 0 then return string.format('%.0f', wait) end
redis.call('SET', KEYS[1], string.format('%.0f', due), 'PX', string.format('%.0f', math.ceil((due - now) / 1000)))
return '0'
",
    )
});

impl RateLimits for Remote {
    fn take(&self, key: &str, rate: Rate, count: u32, now: Instant) -> Taken {
        if count > rate.burst.max(1) {
            return Taken::Refused {
                retry_after: Duration::MAX,
            };
        }
        if count == 0 {
            return Taken::Allowed;
        }
        let (every, tolerance) = contract::microseconds(rate);
        let mut call = TAKE.prepare_invoke();
        call.key(self.key("rate", key))
            .arg(every)
            .arg(tolerance)
            .arg(count);
        let answer: Option<String> = self.link.call(now, Repeatable::No, |link| call.invoke(link));
        match answer.and_then(|wait| wait.parse().ok()) {
            Some(0) => Taken::Allowed,
            Some(wait) => Taken::Refused {
                retry_after: Duration::from_micros(wait).max(Duration::from_millis(1)),
            },
            None => self.local.take(key, rate, count, now),
        }
    }
}
