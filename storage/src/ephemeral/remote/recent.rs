//! Recent events: one hash a user, with the token since which it is complete, the number of events, their bytes, and
//! the events under their numbers.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Instant;

use redis::Script;

use super::link::Repeatable;
use super::{Remote, jittered};
use crate::UserId;
use crate::ephemeral::contract::{Recent, RecentEvent};
use crate::ephemeral::encode;

/// Key: the list. Arguments: how many events it may have, of how many bytes, its TTL, the bytes of the new events,
/// the events.
static ADD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local known = redis.call('HMGET', KEYS[1], 'count', 'bytes')
if not known[1] then return 0 end
local count, bytes = tonumber(known[1]), known[2] + ARGV[4]
if count + #ARGV - 4 > tonumber(ARGV[1]) or bytes > tonumber(ARGV[2]) then
    redis.call('DEL', KEYS[1])
    return 0
end
for index = 5, #ARGV do
    count = count + 1
    redis.call('HSET', KEYS[1], count, ARGV[index])
end
redis.call('HSET', KEYS[1], 'count', count, 'bytes', bytes)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
",
    )
});

impl Recent for Remote {
    fn begin(&self, user: UserId, since: &[u8], now: Instant) -> bool {
        if since.len() > self.limits.recent_bytes_max {
            return false;
        }
        let key = self.recent_key(user);
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.cmd("DEL").arg(&key).ignore();
        pipe.cmd("HSET").arg(&key);
        pipe.arg("since")
            .arg(since)
            .arg("count")
            .arg(0)
            .arg("bytes")
            .arg(0)
            .ignore();
        pipe.cmd("PEXPIRE")
            .arg(&key)
            .arg(jittered(self.limits.recent_ttl))
            .ignore();
        let done: Option<()> = self.link.call(now, Repeatable::Yes, |link| pipe.query(link));
        done.is_some()
    }

    fn add(&self, user: UserId, events: &[RecentEvent], now: Instant) -> bool {
        if events.len() > self.limits.recent_events_max {
            self.clear(user, now);
            return true;
        }
        let bytes: usize = events.iter().map(|event| event.bytes.len()).sum();
        let mut call = ADD.prepare_invoke();
        call.key(self.recent_key(user))
            .arg(self.limits.recent_events_max)
            .arg(self.limits.recent_bytes_max)
            .arg(jittered(self.limits.recent_ttl))
            .arg(bytes);
        for event in events {
            call.arg(encode::event(event));
        }
        let done: Option<u8> = self.link.call(now, Repeatable::No, |link| call.invoke(link));
        if done.is_none() {
            // A list with a gap must not pass for complete. If this is not heard either, comparing with the heads
            // shows it.
            self.clear(user, now);
        }
        done.is_some()
    }

    fn recent(&self, user: UserId, covers: &dyn Fn(&[u8]) -> bool, now: Instant) -> Option<Vec<RecentEvent>> {
        let mut ask = redis::cmd("HGETALL");
        ask.arg(self.recent_key(user));
        let list: HashMap<String, Vec<u8>> = self.link.call(now, Repeatable::Yes, |link| ask.query(link))?;
        if !covers(list.get("since")?) {
            return None;
        }
        let count: usize = std::str::from_utf8(list.get("count")?).ok()?.parse().ok()?;
        if count > self.limits.recent_events_max {
            return None;
        }
        (1..=count)
            .map(|number| encode::read_event(list.get(&number.to_string())?))
            .collect()
    }

    fn clear(&self, user: UserId, now: Instant) {
        let mut clear = redis::cmd("DEL");
        clear.arg(self.recent_key(user));
        let _: Option<u8> = self.link.call(now, Repeatable::Yes, |link| clear.query(link));
    }
}

impl Remote {
    fn recent_key(&self, user: UserId) -> String {
        self.key("offline", &user.0.to_string())
    }
}
