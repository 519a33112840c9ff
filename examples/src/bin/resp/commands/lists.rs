//! Owns the commands on lists. Must never go through a list further than what was asked for.

use super::{Context, Outcome, integer};
use crate::command::Command;
use crate::reply::Reply;
use crate::store::{List, MEMBER_OVERHEAD_BYTES, Shared};

pub(super) fn lpush(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    push(context, command, List::push_front)
}

pub(super) fn rpush(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    push(context, command, List::push_back)
}

fn push(context: &mut Context<'_>, command: &Command<'_>, place: fn(&mut List, Shared)) -> Outcome {
    let length = context
        .store
        .update(context.now, command.argument(1), |list: &mut List, bytes| {
            for item in command.arguments_from(2) {
                *bytes += cost(item);
                place(list, item.into());
            }
            list.len()
        })?;
    Ok(Reply::count(length))
}

pub(super) fn lpop(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    pop(context, command, List::pop_front)
}

pub(super) fn rpop(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    pop(context, command, List::pop_back)
}

fn pop(context: &mut Context<'_>, command: &Command<'_>, place: fn(&mut List) -> Option<Shared>) -> Outcome {
    let count = match command.len() {
        2 => None,
        _ => Some(super::count(command.argument(2))?),
    };
    let popped = context
        .store
        .update(context.now, command.argument(1), |list: &mut List, bytes| {
            if list.is_empty() {
                return None;
            }
            let taken = count.unwrap_or(1).min(list.len());
            let items: Vec<_> = std::iter::from_fn(|| place(list)).take(taken).collect();
            *bytes -= items.iter().map(|item| cost(item)).sum::<usize>();
            Some(items)
        })?;
    Ok(match (popped, count) {
        (None, None) => Reply::Null,
        (None, Some(_)) => Reply::NullArray,
        (Some(items), None) => Reply::bulk(items.first()),
        (Some(items), Some(_)) => Reply::Array(items.into_iter().map(Some).collect()),
    })
}

pub(super) fn llen(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let list = context.store.read::<List>(context.now, command.argument(1))?;
    Ok(Reply::count(list.map_or(0, List::len)))
}

pub(super) fn lrange(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let (first, last) = (integer(command.argument(2))?, integer(command.argument(3))?);
    let Some(list) = context.store.read::<List>(context.now, command.argument(1))? else {
        return Ok(Reply::Array(Vec::new()));
    };
    let from = position(first, list.len());
    let to = position(last.saturating_add(1), list.len());
    // An end of -1 is the last item, and what follows it is the length, not the beginning.
    let to = if last == -1 { list.len() } else { to };
    let range = from..to.max(from);
    Ok(Reply::Array(list.range(range).cloned().map(Some).collect()))
}

/// Where `index` is in a list of `length` items; a negative one counts from the end.
fn position(index: i64, length: usize) -> usize {
    let distance = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
    if index < 0 {
        length.saturating_sub(distance)
    } else {
        distance.min(length)
    }
}

const fn cost(item: &[u8]) -> usize {
    item.len() + MEMBER_OVERHEAD_BYTES
}
