//! Verification codes: the hash of the code and how often it was tried. Redis has neither the code nor its
//! recipient in a readable form.

use std::sync::LazyLock;
use std::time::Instant;

use redis::Script;

use super::link::Repeatable;
use super::{Remote, hexadecimal, milliseconds};
use crate::ephemeral::contract::{Checked, Codes};
use crate::ephemeral::memory::code_hash;

/// Key: the code. Arguments: the hash of what was tried, how many tries there are. Returns the tries
/// that are left, or 'right', or 'none'.
static CHECK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local hash = redis.call('HGET', KEYS[1], 'hash')
if not hash then return 'none' end
if hash == ARGV[1] then
    redis.call('DEL', KEYS[1])
    return 'right'
end
local left = tonumber(ARGV[2]) - redis.call('HINCRBY', KEYS[1], 'tries', 1)
if left <= 0 then
    redis.call('DEL', KEYS[1])
    left = 0
end
return tostring(left)
",
    )
});

impl Codes for Remote {
    fn issue(&self, purpose: &str, code: &str, now: Instant) -> bool {
        let key = self.code_key(purpose);
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.cmd("DEL").arg(&key).ignore();
        pipe.cmd("HSET").arg(&key);
        pipe.arg("hash")
            .arg(hexadecimal(&code_hash(&self.limits, purpose, code)));
        pipe.arg("tries").arg(0).ignore();
        pipe.cmd("PEXPIRE")
            .arg(&key)
            .arg(milliseconds(self.limits.code_ttl))
            .ignore();
        let done: Option<()> = self.link.call(now, Repeatable::Yes, |link| pipe.query(link));
        done.is_some()
    }

    fn check(&self, purpose: &str, code: &str, now: Instant) -> Checked {
        let mut call = CHECK.prepare_invoke();
        call.key(self.code_key(purpose))
            .arg(hexadecimal(&code_hash(&self.limits, purpose, code)))
            .arg(self.limits.code_attempts_max);
        let answer: Option<String> = self.link.call(now, Repeatable::No, |link| call.invoke(link));
        match answer.as_deref() {
            Some("none") => Checked::NoCode,
            Some("right") => Checked::Right,
            Some(left) => left
                .parse()
                .map_or(Checked::Unknown, |left| Checked::Wrong { left }),
            None => Checked::Unknown,
        }
    }
}

impl Remote {
    fn code_key(&self, purpose: &str) -> String {
        self.key("code", &hexadecimal(&code_hash(&self.limits, purpose, "")))
    }
}
