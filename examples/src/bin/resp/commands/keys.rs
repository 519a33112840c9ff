//! Owns the commands on keys, whatever they hold. Must never look into a value.

use super::{Context, Failure, Outcome, integer};
use crate::command::Command;
use crate::reply::Reply;
use crate::store::Value;
use std::time::Duration;

pub(super) fn del(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let keys = command.arguments_from(1);
    let removed = keys.filter(|key| context.store.remove(context.now, key)).count();
    Ok(Reply::count(removed))
}

pub(super) fn exists(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let keys = command.arguments_from(1);
    let found = keys
        .filter(|key| context.store.get(context.now, key).is_some())
        .count();
    Ok(Reply::count(found))
}

pub(super) fn type_of(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let name = match context.store.get(context.now, command.argument(1)) {
        None => "none",
        Some(Value::Text(_)) => "string",
        Some(Value::List(_)) => "list",
        Some(Value::Set(_)) => "set",
        Some(Value::Hash(_)) => "hash",
        Some(Value::Sorted(_)) => "zset",
    };
    Ok(Reply::Status(name))
}

pub(super) fn expire(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let (now, key) = (context.now, command.argument(1));
    let seconds = integer(command.argument(2))?;
    if context.store.get(now, key).is_none() {
        return Ok(Reply::Integer(0));
    }
    match u64::try_from(seconds) {
        Ok(seconds) if seconds > 0 => {
            let at = now.checked_add(Duration::from_secs(seconds));
            let at = at.ok_or(Failure::ExpireTime("expire"))?;
            context.store.set_deadline(now, key, Some(at));
        }
        // Its time was over before the command came.
        _ => {
            context.store.remove(now, key);
        }
    }
    Ok(Reply::Integer(1))
}

pub(super) fn ttl(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let seconds = match context.store.deadline(context.now, command.argument(1)) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => {
            let left = at.saturating_duration_since(context.now);
            let rounded = left.saturating_add(Duration::from_millis(500));
            i64::try_from(rounded.as_secs()).unwrap_or(i64::MAX)
        }
    };
    Ok(Reply::Integer(seconds))
}
