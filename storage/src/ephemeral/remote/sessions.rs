//! Cached sessions. [`SessionCache`] explains why an ended one does not come back. Finding and ending are scripts, so
//! that each is one step.
//!
//! An entry is `generation:number:user:session:` and the session, or nothing if the token has none. The number of ends
//! is stored with a random generation: a server that lost its memory counts from the beginning, and its numbers must
//! differ from the old ones.

use std::time::Instant;

use redis::{Script, Value};
use std::sync::LazyLock;

use super::link::{Repeatable, random_long};
use super::{OWED_MAX, Owed, Remote, STATE_TTL, hexadecimal, jittered, milliseconds};
use crate::ephemeral::contract::{Ended, Lookup, SessionCache, Ticket};
use crate::ephemeral::encode;
use crate::{Session, TokenHash, User};

/// The generation and the number of ends, begun with a new generation where there are none.
macro_rules! state {
    () => {
        "
local function state(key, fresh, ttl)
    local known = redis.call('HMGET', key, 'generation', 'ends')
    if not known[1] then
        redis.call('HSET', key, 'generation', fresh, 'ends', 0)
        known = {fresh, '0'}
    end
    redis.call('PEXPIRE', key, ttl)
    return known[1], known[2]
end
"
    };
}

/// Keys: the entry, the state, the token's end. Arguments: a new generation, the state's TTL, what the names of
/// other ends begin with.
static FIND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        state!(),
        "
local generation, ends = state(KEYS[2], ARGV[1], ARGV[2])
local entry = redis.call('GET', KEYS[1])
if entry then
    local of, number, user, session, from = string.match(entry, '^(%d+):(%d+):(%d*):(%d*):()')
    if of == generation then
        local concerning = {KEYS[3]}
        if user ~= '' then
            concerning[2] = ARGV[3] .. 'user:' .. user
            concerning[3] = ARGV[3] .. 'session:' .. session
        end
        local newest = 0
        for _, found in ipairs(redis.call('MGET', unpack(concerning))) do
            if found and tonumber(found) > newest then newest = tonumber(found) end
        end
        if tonumber(number) >= newest then return {string.sub(entry, from)} end
    end
end
return {generation, ends}
"
    ))
});

/// Keys: the end, the state. Arguments: a new generation, the state's TTL, the end's TTL. Redis lets a script that has
/// written go on even where memory is full, and prolonging the state is a write: so ends are noted then as well.
static END: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        state!(),
        "
state(KEYS[2], ARGV[1], ARGV[2])
local number = redis.call('HINCRBY', KEYS[2], 'ends', 1)
redis.call('SET', KEYS[1], number, 'PX', ARGV[3])
return 1
"
    ))
});

impl SessionCache for Remote {
    fn find(&self, token: &TokenHash, now: Instant) -> Lookup {
        if !self.pay(now) {
            return Lookup::Unknown(None);
        }
        let mut call = FIND.prepare_invoke();
        call.key(self.key("session", &hexadecimal(&token.0)))
            .key(self.sessions_state())
            .key(self.end_key(&Ended::Token(token.0)))
            .arg(random_long())
            .arg(milliseconds(STATE_TTL))
            .arg(self.key("ended", ""));
        let answer: Option<Vec<Value>> = self.link.call(now, Repeatable::Yes, |link| call.invoke(link));
        match answer.as_deref() {
            Some([Value::BulkString(cached)]) if cached.is_empty() => Lookup::Absent,
            Some([Value::BulkString(cached)]) => match encode::read_session(cached) {
                Some(found) => Lookup::Found(Box::new(found)),
                None => Lookup::Unknown(None),
            },
            Some([generation, number]) => Lookup::Unknown(ticket(generation, number, now)),
            _ => Lookup::Unknown(None),
        }
    }

    fn keep(&self, token: &TokenHash, found: Option<(&Session, &User)>, ticket: Ticket, now: Instant) {
        if now.saturating_duration_since(ticket.taken) > self.limits.lookup_max || !self.pay(now) {
            return;
        }
        let (generation, number) = (ticket.generation, ticket.number);
        let (entry, ttl) = match found {
            Some((session, user)) => {
                let head = format!("{generation}:{number}:{}:{}:", session.user.0, session.id.0);
                let entry = [head.as_bytes(), &encode::session(session, user)].concat();
                (entry, self.limits.session_ttl)
            }
            None => (
                format!("{generation}:{number}:::").into_bytes(),
                self.limits.absent_ttl,
            ),
        };
        // Whoever reads the entry decides whether it counts.
        let mut keep = redis::cmd("SET");
        keep.arg(self.key("session", &hexadecimal(&token.0)))
            .arg(entry)
            .arg("PX")
            .arg(jittered(ttl));
        let _: Option<()> = self.link.call(now, Repeatable::Yes, |link| keep.query(link));
    }

    fn end(&self, ended: Ended, now: Instant) {
        // Noted as untold first: a look-up of this node in between must not find the session that has just ended.
        self.owed.lock().add(ended);
        self.pay(now);
    }
}

impl Owed {
    fn add(&mut self, ended: Ended) {
        self.version += 1;
        if self.ends.len() < OWED_MAX || self.ends.contains_key(&ended) {
            self.ends.insert(ended, self.version);
        } else {
            self.all = Some(self.version);
        }
    }

    fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.all.is_none()
    }

    /// Removes the ends that were told, unless they were added again meanwhile.
    fn remove(&mut self, told: &Self) {
        self.ends
            .retain(|ended, version| told.ends.get(ended) != Some(version));
        if self.all == told.all {
            self.all = None;
        }
    }
}

impl Remote {
    /// Tells Redis all untold ends. False: some are still untold, so no cache entry may be used.
    fn pay(&self, now: Instant) -> bool {
        let owed = self.owed.lock().clone();
        if owed.is_empty() {
            return true;
        }
        let told = owed.all.is_none() && owed.ends.keys().all(|ended| self.tell(ended, now));
        if !told && !self.forget_all(now) {
            return false;
        }
        let mut rest = self.owed.lock();
        rest.remove(&owed);
        rest.is_empty()
    }

    fn tell(&self, ended: &Ended, now: Instant) -> bool {
        let until = self.limits.lookup_max + self.limits.session_ttl.max(self.limits.absent_ttl);
        let mut call = END.prepare_invoke();
        call.key(self.end_key(ended))
            .key(self.sessions_state())
            .arg(random_long())
            .arg(milliseconds(STATE_TTL))
            .arg(milliseconds(until));
        let told: Option<u8> = self.link.call(now, Repeatable::Yes, |link| call.invoke(link));
        told.is_some()
    }

    /// Deletes the state: no entry and no ticket counts without it.
    fn forget_all(&self, now: Instant) -> bool {
        let mut forget = redis::cmd("DEL");
        forget.arg(self.sessions_state());
        let done: Option<u8> = self.link.call(now, Repeatable::Yes, |link| forget.query(link));
        done.is_some()
    }

    fn sessions_state(&self) -> String {
        self.key("sessions", "state")
    }

    fn end_key(&self, ended: &Ended) -> String {
        let name = match ended {
            Ended::User(user) => format!("user:{}", user.0),
            Ended::Session(session) => format!("session:{}", session.0),
            Ended::Token(token) => format!("token:{}", hexadecimal(token)),
        };
        self.key("ended", &name)
    }
}

fn ticket(generation: &Value, number: &Value, now: Instant) -> Option<Ticket> {
    let read = |value: &Value| redis::from_redis_value_ref::<u64>(value).ok();
    Some(Ticket {
        generation: read(generation)?,
        number: read(number)?,
        taken: now,
    })
}
