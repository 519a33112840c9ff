//! Owns the commands on sets and hashes. Must never change one whose arguments are incomplete.

use super::{Context, Outcome, arity};
use crate::command::Command;
use crate::reply::Reply;
use crate::store::{Hash, MEMBER_OVERHEAD_BYTES, Set, Shared};

pub(super) fn sadd(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let added = context
        .store
        .update(context.now, command.argument(1), |set: &mut Set, bytes| {
            let mut added = 0;
            for member in command.arguments_from(2) {
                if !set.contains(member) {
                    set.insert(member.into());
                    *bytes += member.len() + MEMBER_OVERHEAD_BYTES;
                    added += 1;
                }
            }
            added
        })?;
    Ok(Reply::Integer(added))
}

pub(super) fn scard(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let set = context.store.read::<Set>(context.now, command.argument(1))?;
    Ok(Reply::count(set.map_or(0, Set::len)))
}

pub(super) fn smembers(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let set = context.store.read::<Set>(context.now, command.argument(1))?;
    let members = set.into_iter().flatten().cloned().map(Some);
    Ok(Reply::Members(members.collect()))
}

/// Takes members out, whichever come first.
pub(super) fn spop(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let several = command.len() > 2;
    let count = if several {
        super::count(command.argument(2))?
    } else {
        1
    };
    let popped = context
        .store
        .update(context.now, command.argument(1), |set: &mut Set, bytes| {
            let members: Vec<Shared> = set.iter().take(count).cloned().collect();
            for member in &members {
                set.remove(member);
                *bytes -= member.len() + MEMBER_OVERHEAD_BYTES;
            }
            members
        })?;
    Ok(if several {
        Reply::Members(popped.into_iter().map(Some).collect())
    } else {
        Reply::bulk(popped.first())
    })
}

pub(super) fn hset(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    if !command.len().is_multiple_of(2) {
        return Err(arity(command));
    }
    let added = context
        .store
        .update(context.now, command.argument(1), |hash: &mut Hash, bytes| {
            let mut added = 0;
            for (field, value) in command.pairs_from(2) {
                *bytes += value.len();
                if let Some(place) = hash.get_mut(field) {
                    *bytes -= place.len();
                    *place = value.into();
                } else {
                    hash.insert(field.into(), value.into());
                    *bytes += field.len() + MEMBER_OVERHEAD_BYTES;
                    added += 1;
                }
            }
            added
        })?;
    Ok(Reply::Integer(added))
}

pub(super) fn hget(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let hash = context.store.read::<Hash>(context.now, command.argument(1))?;
    Ok(Reply::bulk(hash.and_then(|hash| hash.get(command.argument(2)))))
}

pub(super) fn hgetall(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let hash = context.store.read::<Hash>(context.now, command.argument(1))?;
    let pairs = hash.into_iter().flatten();
    let both = pairs.flat_map(|(field, value)| [field, value]);
    Ok(Reply::Map(both.map(|text| Some(Shared::clone(text))).collect()))
}
