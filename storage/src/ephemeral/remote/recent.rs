//! Recent events: one hash a user, with the token since which it is complete, the number of events, their bytes, and
//! the events under their numbers.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::LazyLock;
use std::time::Instant;

use redis::Script;

use super::link::Repeatable;
use super::{Remote, jittered};
use crate::UserId;
use crate::ephemeral::contract::{Recent, RecentAddition, RecentEvent, RecentList};
use crate::ephemeral::encode;

/// Additions to lists in one round trip, at most.
const BATCH_ADDITIONS: usize = 2_000;
/// And bytes of events, unless it is one event.
const BATCH_BYTES: usize = 1024 * 1024;
/// Lists ended in one round trip, at most.
const BATCH_USERS: usize = 500;

/// Keys: the lists. Arguments: how many events each may have, of how many bytes, its TTL, the number of events, the
/// events, and for each list how many bytes it gets and the numbers of its events.
static ADD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local events = tonumber(ARGV[4])
for place, key in ipairs(KEYS) do
    local known = redis.call('HMGET', key, 'count', 'bytes')
    if known[1] then
        local count, bytes, fields = tonumber(known[1]), nil, {}
        for number in string.gmatch(ARGV[4 + events + place], '%d+') do
            if not bytes then
                bytes = known[2] + number
            else
                count = count + 1
                fields[#fields + 1] = count
                fields[#fields + 1] = ARGV[4 + number]
            end
        end
        if count > tonumber(ARGV[1]) or bytes > tonumber(ARGV[2]) then
            redis.call('DEL', key)
        else
            redis.call('HSET', key, 'count', count, 'bytes', bytes, unpack(fields))
            redis.call('PEXPIRE', key, ARGV[3])
        end
    end
end
return 1
",
    )
});

/// What one round trip adds.
#[derive(Debug, Default)]
struct Batch<'a> {
    events: Vec<&'a RecentEvent>,
    lists: BTreeMap<UserId, Share>,
    additions: usize,
    bytes: usize,
}

/// What one list gets of a batch.
#[derive(Debug, Default)]
struct Share {
    bytes: usize,
    /// The places of its events in the batch, from 1, as text.
    numbers: String,
}

impl<'a> Batch<'a> {
    fn takes(&self, event: &RecentEvent) -> bool {
        self.additions < BATCH_ADDITIONS
            && (self.events.is_empty() || self.bytes + event.bytes.len() <= BATCH_BYTES)
    }

    /// The number of the event, which is now among the batch's.
    fn enter(&mut self, event: &'a RecentEvent) -> usize {
        self.events.push(event);
        self.bytes += event.bytes.len();
        self.events.len()
    }

    fn share(&mut self, user: UserId, event: &RecentEvent, number: usize) {
        let share = self.lists.entry(user).or_default();
        share.bytes += event.bytes.len();
        let _ = write!(share.numbers, " {number}");
        self.additions += 1;
    }
}

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

    fn add(&self, additions: &[RecentAddition], now: Instant) -> bool {
        let mut made = true;
        let mut batch = Batch::default();
        for RecentAddition { event, users } in additions {
            let mut entered = None;
            for user in users {
                let takes = match entered {
                    Some(_) => batch.additions < BATCH_ADDITIONS,
                    None => batch.takes(event),
                };
                if !takes {
                    made &= self.add_batch(&std::mem::take(&mut batch), now);
                    entered = None;
                }
                let number = *entered.get_or_insert_with(|| batch.enter(event));
                batch.share(*user, event, number);
            }
        }
        made & self.add_batch(&batch, now)
    }

    fn recent(&self, user: UserId, now: Instant) -> Option<RecentList> {
        let mut ask = redis::cmd("HGETALL");
        ask.arg(self.recent_key(user));
        let mut list: HashMap<String, Vec<u8>> =
            self.link.call(now, Repeatable::Yes, |link| ask.query(link))?;
        let since = list.remove("since")?;
        let count: usize = std::str::from_utf8(list.get("count")?).ok()?.parse().ok()?;
        if count > self.limits.recent_events_max {
            return None;
        }
        let events = (1..=count)
            .map(|number| encode::read_event(list.get(&number.to_string())?))
            .collect::<Option<_>>()?;
        Some(RecentList { since, events })
    }

    fn clear(&self, users: &[UserId], now: Instant) -> bool {
        users.chunks(BATCH_USERS).all(|users| {
            let mut clear = redis::cmd("DEL");
            for user in users {
                clear.arg(self.recent_key(*user));
            }
            let done: Option<u64> = self.link.call(now, Repeatable::Yes, |link| clear.query(link));
            done.is_some()
        })
    }
}

impl Remote {
    fn recent_key(&self, user: UserId) -> String {
        self.key("offline", &user.0.to_string())
    }

    fn add_batch(&self, batch: &Batch<'_>, now: Instant) -> bool {
        if batch.lists.is_empty() {
            return true;
        }
        let mut call = ADD.prepare_invoke();
        call.arg(self.limits.recent_events_max)
            .arg(self.limits.recent_bytes_max)
            .arg(jittered(self.limits.recent_ttl))
            .arg(batch.events.len());
        for event in &batch.events {
            call.arg(encode::event(event));
        }
        for (user, share) in &batch.lists {
            call.key(self.recent_key(*user))
                .arg(format!("{}{}", share.bytes, share.numbers));
        }
        // Not repeated: it would add twice. What is lost instead leaves a gap, which comparing with heads shows.
        let done: Option<u8> = self.link.call(now, Repeatable::No, |link| call.invoke(link));
        done.is_some()
    }
}
