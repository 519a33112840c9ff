//! The nodes, and the users that are connected to each. The list of nodes does not depend on the past.
//!
//! `nodes:until` has every node's name with the time, by the clock of Redis, at which it is gone; `nodes:known` has
//! `generation:` and the node's description of itself. `route:<user>` is a set of `generation:session:node`. The reader
//! decides which routes count: those of a living node under its present generation. So nothing needs to be removed
//! when a node dies, and a refresh costs one small call, not one for every session.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use redis::Script;

use super::link::{Repeatable, random_long};
use super::{Remote, STATE_TTL, milliseconds};
use crate::ephemeral::contract::{Heartbeat, Node, Presence, Route};
use crate::ephemeral::encode;
use crate::{SessionId, UserId};

/// Users in one round trip.
const BATCH_USERS: usize = 500;

/// How often a second node with the same name is logged.
const NAMESAKE_AGAIN: Duration = Duration::from_mins(1);

/// The result of a node's newest answered heartbeat, and whether an announcement failed since.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// The random name of the server's memory: a server that lost its memory has another one.
    server: Option<String>,
    /// The generation under which announcements are missing.
    missed: Option<u64>,
    /// The first and the last generation that this process sent, answered or not.
    said: Option<(u64, u64)>,
    /// When a second node with this name was last logged.
    namesake_said_at: Option<Instant>,
}

impl Heard {
    fn say(&mut self, generation: u64) {
        let (first, last) = self.said.unwrap_or((generation, generation));
        self.said = Some((first.min(generation), last.max(generation)));
    }

    fn complain(&mut self, name: &str, now: Instant) {
        let said = self.namesake_said_at;
        if said.is_some_and(|at| now.saturating_duration_since(at) < NAMESAKE_AGAIN) {
            return;
        }
        self.namesake_said_at = Some(now);
        log::error!(
            "another node is called {name}, too, and each hides the other: give every node a name of its own \
             (server.node or --node)"
        );
    }
}

/// Keys: when nodes are gone, what they are, the memory's name. Arguments: the node's name, what it is, its TTL, how
/// many there may be, a new name of the memory, the state's TTL.
static HEARTBEAT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local memory = redis.call('GET', KEYS[3])
if not memory then
    memory = ARGV[5]
    redis.call('SET', KEYS[3], memory)
end
redis.call('PEXPIRE', KEYS[3], ARGV[6])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
    redis.call('ZREM', KEYS[1], gone)
    redis.call('HDEL', KEYS[2], gone)
end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
    return redis.error_reply('FULL too many nodes')
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
local before = redis.call('HGET', KEYS[2], ARGV[1]) or ''
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3] * 2)
redis.call('PEXPIRE', KEYS[2], ARGV[3] * 2)
return {memory, string.match(before, '^(%d+):') or '0'}
",
    )
});

/// Keys: what nodes are, when they are gone, then each user's routes. Arguments: how many routes a user may have,
/// their TTL, then each route. Where a user has too many, those that count no more make room. Returns how many did
/// not fit.
static ANNOUNCE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function make_room(key)
    for _, route in ipairs(redis.call('SMEMBERS', key)) do
        local generation, node = string.match(route, '^(%d+):%d+:(.*)$')
        local known = redis.call('HGET', KEYS[1], node or '')
        local gone = tonumber(redis.call('ZSCORE', KEYS[2], node or '') or 0) <= now
        if gone or not known or string.match(known, '^(%d+):') ~= generation then
            redis.call('SREM', key, route)
        end
    end
end
local unfit = 0
for index = 3, #KEYS do
    local key, route = KEYS[index], ARGV[index]
    if redis.call('SISMEMBER', key, route) == 0 then
        if redis.call('SCARD', key) >= tonumber(ARGV[1]) then make_room(key) end
        if redis.call('SCARD', key) >= tonumber(ARGV[1]) then
            unfit = unfit + 1
        else
            redis.call('SADD', key, route)
        end
    end
    redis.call('PEXPIRE', key, ARGV[2])
end
return unfit
",
    )
});

impl Presence for Remote {
    fn heartbeat(&self, node: &Node, now: Instant) -> Heartbeat {
        let mut known = format!("{}:", node.generation).into_bytes();
        known.extend(encode::node(node));
        let mut call = HEARTBEAT.prepare_invoke();
        call.key(self.shared_key("nodes", "until"))
            .key(self.shared_key("nodes", "known"))
            .key(self.shared_key("nodes", "memory"))
            .arg(&node.name)
            .arg(known)
            .arg(milliseconds(self.limits.node_ttl))
            .arg(self.limits.nodes_max)
            .arg(random_long())
            .arg(milliseconds(STATE_TTL));
        self.heard
            .lock()
            .entry(node.name.clone())
            .or_default()
            .say(node.generation);
        let answer: Option<(String, u64)> = self.link.call(now, Repeatable::Yes, |link| call.invoke(link));
        let Some((server, before)) = answer else {
            return Heartbeat::Unknown;
        };
        let mut heard = self.heard.lock();
        let heard = heard.entry(node.name.clone()).or_default();
        let lost = heard.server.as_ref() != Some(&server);
        // A node found in this node's place has its name and is alive: a predecessor would send nothing any more.
        let own = heard
            .said
            .is_some_and(|(first, last)| (first..=last).contains(&before));
        if !lost && before != 0 && !own {
            heard.complain(&node.name, now);
        }
        heard.server = Some(server);
        if lost {
            // Everything that was announced under this generation may be lost.
            heard.missed = heard.missed.max(Some(node.generation));
        }
        if heard.missed.is_some_and(|missed| missed >= node.generation) {
            return Heartbeat::Repeat;
        }
        heard.missed = None;
        Heartbeat::Kept
    }

    fn leave(&self, node: &Node, now: Instant) {
        let mut pipe = redis::pipe();
        pipe.cmd("ZREM")
            .arg(self.shared_key("nodes", "until"))
            .arg(&node.name)
            .ignore();
        pipe.cmd("HDEL")
            .arg(self.shared_key("nodes", "known"))
            .arg(&node.name)
            .ignore();
        let _: Option<()> = self.link.call(now, Repeatable::Yes, |link| pipe.query(link));
        self.heard.lock().remove(&node.name);
    }

    fn announce(&self, node: &Node, sessions: &[(UserId, SessionId)], now: Instant) -> bool {
        let mut complete = true;
        for batch in sessions.chunks(BATCH_USERS) {
            let mut call = ANNOUNCE.prepare_invoke();
            call.key(self.shared_key("nodes", "known"))
                .key(self.shared_key("nodes", "until"))
                .arg(self.limits.routes_per_user_max)
                .arg(milliseconds(self.limits.route_ttl));
            for (user, session) in batch {
                call.key(self.route_key(*user)).arg(member(node, *session));
            }
            let unfit: Option<u64> = self.link.call(now, Repeatable::Yes, |link| call.invoke(link));
            let Some(unfit) = unfit else {
                // The rest would most likely fail too, and each attempt takes time.
                self.note(node);
                return false;
            };
            complete &= unfit == 0;
        }
        complete
    }

    fn withdraw(&self, node: &Node, sessions: &[(UserId, SessionId)], now: Instant) -> bool {
        let said = sessions.chunks(BATCH_USERS).all(|batch| {
            let mut pipe = redis::pipe();
            for (user, session) in batch {
                pipe.cmd("SREM")
                    .arg(self.route_key(*user))
                    .arg(member(node, *session))
                    .ignore();
            }
            let done: Option<()> = self.link.call(now, Repeatable::Yes, |link| pipe.query(link));
            done.is_some()
        });
        if !said {
            self.note(node);
        }
        said
    }

    fn routes(&self, users: &[UserId], now: Instant) -> Option<Vec<Vec<Route>>> {
        let mut routes = Vec::with_capacity(users.len());
        for batch in users.chunks(BATCH_USERS) {
            let mut pipe = redis::pipe();
            self.ask_nodes(&mut pipe);
            for user in batch {
                pipe.cmd("SMEMBERS").arg(self.route_key(*user));
            }
            let answers: Vec<redis::Value> = self.link.call(now, Repeatable::Yes, |link| pipe.query(link))?;
            let (of_nodes, of_users) = answers.split_at_checked(3)?;
            let living = living(of_nodes)?;
            let counting: HashMap<&str, u64> = living
                .iter()
                .map(|node| (node.name.as_str(), node.generation))
                .collect();
            for members in of_users {
                let members: Vec<String> = redis::from_redis_value_ref(members).ok()?;
                let parsed = members.iter().filter_map(|member| route(member));
                let mut counted: Vec<Route> = parsed
                    .filter(|(route, generation)| counting.get(route.node.as_str()) == Some(generation))
                    .map(|(route, _)| route)
                    .collect();
                counted.sort_unstable();
                routes.push(counted);
            }
        }
        Some(routes)
    }

    fn nodes(&self, now: Instant) -> Option<Vec<Node>> {
        let mut pipe = redis::pipe();
        self.ask_nodes(&mut pipe);
        let answers: Vec<redis::Value> = self.link.call(now, Repeatable::Yes, |link| pipe.query(link))?;
        living(&answers)
    }
}

impl Remote {
    /// The living nodes, by name. An error that keeps nodes from announcing themselves is an error here, and no empty
    /// list.
    ///
    /// # Errors
    /// A sentence: that Redis does not answer, or its error, and the remedy.
    pub fn list_nodes(&self, now: Instant) -> Result<Vec<Node>, String> {
        self.rehearse(now)?;
        let mut pipe = redis::pipe();
        self.ask_nodes(&mut pipe);
        let answers: Vec<redis::Value> = self.link.ask(now, |link| pipe.query(link))?;
        living(&answers).ok_or_else(|| "Redis answers with what imserver did not write".to_owned())
    }

    fn route_key(&self, user: UserId) -> String {
        self.key("route", &user.0.to_string())
    }

    /// The three commands whose answers [`living`] reads.
    fn ask_nodes(&self, pipe: &mut redis::Pipeline) {
        pipe.cmd("TIME");
        pipe.cmd("ZRANGE")
            .arg(self.shared_key("nodes", "until"))
            .arg(0)
            .arg(-1)
            .arg("WITHSCORES");
        pipe.cmd("HGETALL").arg(self.shared_key("nodes", "known"));
    }

    /// Remembers that an announcement failed.
    fn note(&self, node: &Node) {
        let mut heard = self.heard.lock();
        let heard = heard.entry(node.name.clone()).or_default();
        heard.missed = heard.missed.max(Some(node.generation));
    }
}

/// A session's entry among a user's routes.
fn member(node: &Node, session: SessionId) -> String {
    format!("{}:{}:{}", node.generation, session.0, node.name)
}

fn route(member: &str) -> Option<(Route, u64)> {
    let mut parts = member.splitn(3, ':');
    let generation = parts.next()?.parse().ok()?;
    let session = SessionId(parts.next()?.parse().ok()?);
    let node = parts.next()?.to_owned();
    Some((Route { node, session }, generation))
}

/// The living nodes, by name.
fn living(answers: &[redis::Value]) -> Option<Vec<Node>> {
    let [time, until, known] = answers else {
        return None;
    };
    let (seconds, micros): (u64, u64) = redis::from_redis_value_ref(time).ok()?;
    let now = seconds.checked_mul(1_000)?.checked_add(micros / 1_000)?;
    let until: HashMap<String, f64> = redis::from_redis_value_ref(until).ok()?;
    let known: HashMap<String, Vec<u8>> = redis::from_redis_value_ref(known).ok()?;
    let mut nodes: Vec<Node> = until
        .into_iter()
        .filter(|(_, until)| *until > now as f64)
        .filter_map(|(name, _)| {
            let value = known.get(&name)?;
            let from = value.iter().position(|byte| *byte == b':')?;
            encode::read_node(value.get(from + 1..)?)
        })
        .collect();
    nodes.sort_unstable();
    Some(nodes)
}
