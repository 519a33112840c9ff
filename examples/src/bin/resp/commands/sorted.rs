//! Owns the commands on sorted sets. Must never change one if a score of the command is none.

use super::{Context, Failure, Outcome, arity};
use crate::command::Command;
use crate::reply::Reply;
use crate::store::{MEMBER_OVERHEAD_BYTES, Score, Sorted};

pub(super) fn zadd(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    if !command.len().is_multiple_of(2) {
        return Err(arity(command));
    }
    let scores: Vec<Score> = command
        .pairs_from(2)
        .map(|(text, _)| score(text))
        .collect::<Result<_, _>>()?;
    let added = context
        .store
        .update(context.now, command.argument(1), |sorted: &mut Sorted, bytes| {
            let mut added = 0;
            for (score, (_, member)) in scores.iter().zip(command.pairs_from(2)) {
                if sorted.insert(member.into(), *score) {
                    *bytes += 2 * (member.len() + MEMBER_OVERHEAD_BYTES);
                    added += 1;
                }
            }
            added
        })?;
    Ok(Reply::Integer(added))
}

pub(super) fn zcard(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let sorted = context.store.read::<Sorted>(context.now, command.argument(1))?;
    Ok(Reply::count(sorted.map_or(0, Sorted::len)))
}

pub(super) fn zscore(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let sorted = context.store.read::<Sorted>(context.now, command.argument(1))?;
    let score = sorted.and_then(|sorted| sorted.score(command.argument(2)));
    Ok(score.map_or(Reply::Null, |score| {
        Reply::Bulk(score.get().to_string().into_bytes().into())
    }))
}

pub(super) fn zpopmin(context: &mut Context<'_>, command: &Command<'_>) -> Outcome {
    let several = command.len() > 2;
    let count = if several {
        super::count(command.argument(2))?
    } else {
        1
    };
    let members = context
        .store
        .update(context.now, command.argument(1), |sorted: &mut Sorted, bytes| {
            let popped = std::iter::from_fn(|| sorted.pop_first()).take(count);
            popped
                .map(|(member, score)| {
                    *bytes -= 2 * (member.len() + MEMBER_OVERHEAD_BYTES);
                    (member, score.get())
                })
                .collect()
        })?;
    Ok(Reply::Scored { members, several })
}

fn score(text: &[u8]) -> Result<Score, Failure> {
    let value = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    value.and_then(Score::new).ok_or(Failure::NotFloat)
}
