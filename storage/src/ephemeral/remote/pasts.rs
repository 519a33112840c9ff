//! Reports of nodes about a past: `past:<log id>` has, for each generation, the newest position that any node reported.
//! Numbers have a fixed number of digits, so that scripts can compare them as text: scripts have only floating-point
//! numbers.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use redis::Script;

use super::link::Repeatable;
use super::{Remote, milliseconds};
use crate::ephemeral::contract::Pasts;
use crate::{Claim, Generation, Position};

/// How long reports are kept: longer than a store may stand still without an operator who looks at its past.
const TTL: Duration = Duration::from_hours(30 * 24);
/// Generations of one past, at most: starts of the server within the time above. Beyond it all but the newest go.
const GENERATIONS_MAX: usize = 256;

/// Keys: the past. Arguments: generation, position, its TTL, how many generations there may be.
static REMEMBER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local known = redis.call('HGET', KEYS[1], ARGV[1])
if not known and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then
    redis.call('DEL', KEYS[1])
end
if not known or known < ARGV[2] then
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
",
    )
});

impl Pasts for Remote {
    fn remember(&self, log_id: u64, claim: Claim, now: Instant) -> bool {
        let mut call = REMEMBER.prepare_invoke();
        call.key(self.past_key(log_id))
            .arg(digits(claim.generation.0))
            .arg(digits(claim.ceiling.0))
            .arg(milliseconds(TTL))
            .arg(GENERATIONS_MAX);
        let done: Option<u64> = self.link.call(now, Repeatable::Yes, |link| call.invoke(link));
        done.is_some()
    }

    fn remembered(&self, log_id: u64, now: Instant) -> Option<Vec<Claim>> {
        let mut ask = redis::cmd("HGETALL");
        ask.arg(self.past_key(log_id));
        let found: Vec<(String, String)> = self.link.call(now, Repeatable::Yes, |link| ask.query(link))?;
        let claim = |(generation, ceiling): (String, String)| {
            Some(Claim {
                generation: Generation(generation.parse().ok()?),
                ceiling: Position(ceiling.parse().ok()?),
            })
        };
        Some(found.into_iter().filter_map(claim).collect())
    }
}

impl Remote {
    fn past_key(&self, log_id: u64) -> String {
        self.shared_key("past", &format!("{log_id:016x}"))
    }
}

fn digits(number: u64) -> String {
    format!("{number:020}")
}
