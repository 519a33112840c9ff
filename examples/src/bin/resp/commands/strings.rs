//! Owns the commands on strings. Must never change a key before all arguments were found right.

use super::{Context, Failure, Outcome, arity, integer};
use crate::command::Command;
use crate::reply::Reply;
use crate::store::{Deadline, Shared};
use std::time::{Duration, Instant};

pub(super) fn get(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let text = context.store.text(context.now, command.argument(1))?;
    Ok(Reply::bulk(text))
}

pub(super) fn mget(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let values = command.arguments_from(1).map(|key| {
        // A value of another type counts as none here.
        let text = context.store.text(context.now, key).unwrap_or_default();
        text.map(Shared::clone)
    });
    Ok(Reply::Array(values.collect()))
}

pub(super) fn mset(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    if command.len().is_multiple_of(2) {
        return Err(arity(command));
    }
    for (key, value) in command.pairs_from(1) {
        context
            .store
            .set_text(context.now, key, value.into(), Deadline::Never);
    }
    Ok(Reply::OK)
}

pub(super) fn set(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let (key, value) = (command.argument(1), command.argument(2));
    let options = match command.len() {
        3 => Options::default(),
        _ => Options::parse(context.now, command)?,
    };
    if let Some(present) = options.only_if_present
        && context.store.get(context.now, key).is_some() != present
    {
        return Ok(Reply::Null);
    }
    let deadline = options.deadline.unwrap_or(Deadline::Never);
    context.store.set_text(context.now, key, value.into(), deadline);
    Ok(Reply::OK)
}

pub(super) fn incr(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    add(context, command.argument(1), 1)
}

pub(super) fn decr(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    add(context, command.argument(1), -1)
}

pub(super) fn incrby(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    add(context, command.argument(1), integer(command.argument(2))?)
}

fn add(context: &mut Context<'_>, key: &[u8], difference: i64) -> Outcome {
    let before = match context.store.text(context.now, key)? {
        Some(text) => integer(text)?,
        None => 0,
    };
    let after = before.checked_add(difference).ok_or(Failure::Overflow)?;
    let text = itoa::Buffer::new().format(after).as_bytes().into();
    context.store.set_text(context.now, key, text, Deadline::Keep);
    Ok(Reply::Integer(after))
}

/// What may follow the value in `SET`.
#[derive(Debug, Default)]
struct Options {
    deadline: Option<Deadline>,
    /// `Some(false)` is NX, `Some(true)` is XX.
    only_if_present: Option<bool>,
}

impl Options {
    fn parse(now: Instant, command: &Command<'_>) -> Result<Self, Failure> {
        let mut options = Self::default();
        let mut arguments = command.arguments_from(3);
        while let Some(option) = arguments.next() {
            if option.eq_ignore_ascii_case(b"nx") && options.only_if_present != Some(true) {
                options.only_if_present = Some(false);
            } else if option.eq_ignore_ascii_case(b"xx") && options.only_if_present != Some(false) {
                options.only_if_present = Some(true);
            } else if options.deadline.is_some() {
                return Err(Failure::Syntax);
            } else if option.eq_ignore_ascii_case(b"keepttl") {
                options.deadline = Some(Deadline::Keep);
            } else {
                let unit = if option.eq_ignore_ascii_case(b"ex") {
                    Duration::from_secs
                } else if option.eq_ignore_ascii_case(b"px") {
                    Duration::from_millis
                } else {
                    return Err(Failure::Syntax);
                };
                let count = integer(arguments.next().ok_or(Failure::Syntax)?)?;
                let after = u64::try_from(count).ok().filter(|count| *count > 0).map(unit);
                let at = after.and_then(|after| now.checked_add(after));
                options.deadline = Some(Deadline::At(at.ok_or(Failure::ExpireTime("set"))?));
            }
        }
        Ok(options)
    }
}
