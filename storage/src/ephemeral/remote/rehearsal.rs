//! Tests whether Redis permits every command that a node needs: each is tried on a key of its own.

use std::sync::LazyLock;
use std::time::Instant;

use redis::Script;

use super::Remote;
use super::link::random_long;

/// The keys of an interrupted check expire after this.
const MILLISECONDS: u64 = 10_000;

/// Keys: three that are used for nothing else. Arguments: a channel, and the keys' TTL. It uses every command that the
/// other scripts and calls use.
static CHECK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
redis.call('TIME')
redis.call('SET', KEYS[1], 1)
redis.call('INCR', KEYS[1])
redis.call('GET', KEYS[1])
redis.call('MGET', KEYS[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'a', 1)
redis.call('HINCRBY', KEYS[1], 'a', 1)
redis.call('HGET', KEYS[1], 'a')
redis.call('HMGET', KEYS[1], 'a')
redis.call('HLEN', KEYS[1])
redis.call('HGETALL', KEYS[1])
redis.call('HDEL', KEYS[1], 'a')
redis.call('ZADD', KEYS[2], 1, 'a')
redis.call('ZSCORE', KEYS[2], 'a')
redis.call('ZCARD', KEYS[2])
redis.call('ZRANGE', KEYS[2], 0, -1)
redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', 1)
redis.call('ZREM', KEYS[2], 'a')
redis.call('SADD', KEYS[3], 'a')
redis.call('SISMEMBER', KEYS[3], 'a')
redis.call('SCARD', KEYS[3])
redis.call('SMEMBERS', KEYS[3])
redis.call('SREM', KEYS[3], 'a')
redis.call('PUBLISH', ARGV[1], '')
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
return 1
",
    )
});

impl Remote {
    /// Tries every command that a node needs.
    ///
    /// # Errors
    /// A sentence: that Redis does not answer, or its error, and the remedy.
    pub fn rehearse(&self, now: Instant) -> Result<(), String> {
        let random = random_long();
        let key = |number: u8| self.shared_key("check", &format!("{random:016x}:{number}"));
        let mut call = CHECK.prepare_invoke();
        call.key(key(1))
            .key(key(2))
            .key(key(3))
            .arg(self.shared_key("hints", "check"))
            .arg(MILLISECONDS);
        self.link.ask(now, |link| call.invoke::<u8>(link)).map(drop)
    }
}
