//! Owns the table of commands: names, how many arguments they take, whether they may add data. Must never touch
//! a connection: a command is a function from the store and its arguments to a reply.

mod collections;
mod keys;
mod lists;
mod server;
mod sorted;
mod strings;
#[cfg(test)]
mod tests;

use crate::command::Command;
use crate::reply::{REPLY_BYTES_MAX, Reply};
use crate::store::{Store, WrongType};
use std::time::Instant;

/// No command has a longer name.
const NAME_BYTES_MAX: usize = 8;

/// Bytes of a client's own words that an error repeats.
const QUOTED_BYTES_MAX: usize = 128;

/// What a command works on.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) store: &'a mut Store,
    /// The time of this turn of the loop: looking at the clock for each command is not worth its price.
    pub(crate) now: Instant,
}

/// Why a command failed. The first word of the text is what clients go by.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arity(String),
    #[error("ERR DB index is out of range")]
    Database,
    #[error("ERR invalid expire time in '{0}' command")]
    ExpireTime(&'static str),
    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    Memory,
    #[error("ERR value is not a valid float")]
    NotFloat,
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    #[error("NOPROTO unsupported protocol version")]
    NoProtocol,
    #[error("ERR value is out of range, must be positive")]
    NotPositive,
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    #[error("ERR the reply is longer than {REPLY_BYTES_MAX} bytes")]
    ReplyTooLong,
    #[error("ERR syntax error")]
    Syntax,
    #[error("ERR unknown command '{name}', with args beginning with: {arguments}")]
    Unknown { name: String, arguments: String },
    #[error("ERR unknown subcommand '{0}'")]
    UnknownSubcommand(String),
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
}

impl From<WrongType> for Failure {
    fn from(WrongType: WrongType) -> Self {
        Self::WrongType
    }
}

type Outcome = Result<Reply, Failure>;
type Run = fn(&mut Context<'_>, &Command<'_>) -> Outcome;

/// How many arguments a command takes, its name included.
#[derive(Clone, Copy, Debug)]
enum Arity {
    Exactly(usize),
    AtLeast(usize),
    Between(usize, usize),
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
struct Entry {
    arity: Arity,
    /// It may make the store grow, so it is refused when that is full.
    adds: bool,
    run: Run,
}

/// Runs a command.
pub(crate) fn run(context: &mut Context<'_>, command: &Command<'_>) -> Reply {
    try_run(context, command).unwrap_or_else(Reply::Failure)
}

fn try_run(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let Some(entry) = find(command.argument(0)) else {
        return Err(unknown(command));
    };
    let fits = match entry.arity {
        Arity::Exactly(count) => command.len() == count,
        Arity::AtLeast(count) => command.len() >= count,
        Arity::Between(least, most) => (least..=most).contains(&command.len()),
    };
    if !fits {
        return Err(arity(command));
    }
    if entry.adds && context.store.is_full() {
        return Err(Failure::Memory);
    }
    (entry.run)(context, command)
}

fn find(name: &[u8]) -> Option<Entry> {
    use Arity::{AtLeast, Between, Exactly};
    let mut lower = [0; NAME_BYTES_MAX];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let (arity, adds, run): (Arity, bool, Run) = match &*lower {
        b"client" => (AtLeast(2), false, server::client),
        b"command" => (AtLeast(1), false, server::command),
        b"config" => (AtLeast(2), false, server::config),
        b"dbsize" => (Exactly(1), false, server::dbsize),
        b"decr" => (Exactly(2), true, strings::decr),
        b"del" => (AtLeast(2), false, keys::del),
        b"echo" => (Exactly(2), false, server::echo),
        b"exists" => (AtLeast(2), false, keys::exists),
        b"expire" => (Exactly(3), false, keys::expire),
        b"flushall" | b"flushdb" => (Between(1, 2), false, server::flush),
        b"get" => (Exactly(2), false, strings::get),
        b"hello" => (AtLeast(1), false, server::hello),
        b"hget" => (Exactly(3), false, collections::hget),
        b"hgetall" => (Exactly(2), false, collections::hgetall),
        b"hset" => (AtLeast(4), true, collections::hset),
        b"incr" => (Exactly(2), true, strings::incr),
        b"incrby" => (Exactly(3), true, strings::incrby),
        b"info" => (AtLeast(1), false, server::info),
        b"llen" => (Exactly(2), false, lists::llen),
        b"lpop" => (Between(2, 3), false, lists::lpop),
        b"lpush" => (AtLeast(3), true, lists::lpush),
        b"lrange" => (Exactly(4), false, lists::lrange),
        b"mget" => (AtLeast(2), false, strings::mget),
        b"mset" => (AtLeast(3), true, strings::mset),
        b"ping" => (Between(1, 2), false, server::ping),
        b"quit" => (AtLeast(1), false, server::quit),
        b"rpop" => (Between(2, 3), false, lists::rpop),
        b"rpush" => (AtLeast(3), true, lists::rpush),
        b"sadd" => (AtLeast(3), true, collections::sadd),
        b"scard" => (Exactly(2), false, collections::scard),
        b"select" => (Exactly(2), false, server::select),
        b"set" => (AtLeast(3), true, strings::set),
        b"smembers" => (Exactly(2), false, collections::smembers),
        b"spop" => (Between(2, 3), false, collections::spop),
        b"ttl" => (Exactly(2), false, keys::ttl),
        b"type" => (Exactly(2), false, keys::type_of),
        b"zadd" => (AtLeast(4), true, sorted::zadd),
        b"zcard" => (Exactly(2), false, sorted::zcard),
        b"zpopmin" => (Between(2, 3), false, sorted::zpopmin),
        b"zscore" => (Exactly(3), false, sorted::zscore),
        _ => return None,
    };
    Some(Entry { arity, adds, run })
}

/// The failure of a command with too few or too many arguments.
fn arity(command: &Command<'_>) -> Failure {
    Failure::Arity(quoted(command.argument(0)).to_lowercase())
}

fn unknown(command: &Command<'_>) -> Failure {
    let mut arguments = String::new();
    for argument in command.arguments_from(1) {
        if arguments.len() >= QUOTED_BYTES_MAX {
            break;
        }
        arguments.push_str(&format!("'{}' ", quoted(argument)));
    }
    Failure::Unknown {
        name: quoted(command.argument(0)),
        arguments,
    }
}

/// The beginning of what a client sent, to be repeated to it.
fn quoted(argument: &[u8]) -> String {
    let beginning = argument.get(..QUOTED_BYTES_MAX).unwrap_or(argument);
    String::from_utf8_lossy(beginning).into_owned()
}

/// How many of something an argument asks for.
fn count(argument: &[u8]) -> Result<usize, Failure> {
    usize::try_from(integer(argument)?).map_err(|_| Failure::NotPositive)
}

/// The integer an argument is. There is one way only to write each.
fn integer(argument: &[u8]) -> Result<i64, Failure> {
    let value = std::str::from_utf8(argument)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(Failure::NotInteger)?;
    if itoa::Buffer::new().format(value).as_bytes() == argument {
        Ok(value)
    } else {
        Err(Failure::NotInteger)
    }
}
