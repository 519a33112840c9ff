//! Sync: what changed since a token.

use prost::Message;
use protocol::{Refusal, Reply, v1};
use storage::{Changes, ConversationView, Direction, EventPage, ReadError, Seq, Snapshot, Testimony, UserId};

use super::{
    told,
    work::{Answer, Ask, Asking, Body, ENTRIES_MAX, Failure, Size, Work, at_most},
};
use crate::{
    message::{Effect, Reached},
    metrics::Asked,
    principal::Principal,
    token::Presented,
    wire,
};

/// Newest events that a sync brings along for one conversation, at most.
const SYNC_PAGE_EVENTS: usize = 20;
/// Changes in one answer to a sync, at most.
const SYNC_CHANGES: usize = ENTRIES_MAX;

pub(super) fn sync(who: Principal, sync: v1::SyncRequest) -> Work {
    Work::Ask(Ask {
        size: Size::Changes(sync.limit),
        is_sync: true,
        asked: Asked::default(),
        question: Box::new(move |asking| answer(asking, who, &sync)),
    })
}

/// What a device that syncs has.
enum Since {
    /// This much of the log; nothing, if it is new.
    Known(Snapshot),
    /// Something of another past.
    OtherPast,
}

fn answer(asking: &mut Asking<'_>, who: Principal, request: &v1::SyncRequest) -> Result<Answer, Failure> {
    let since = since(asking, request)?;
    let (response, up_to) = changes(asking, who, since, request.limit)?;
    let reached = if response.more {
        Reached::Part(Box::new(response.token.clone()))
    } else {
        // From here on the device is told of everything as it happens.
        Reached::All(up_to)
    };
    Ok(Answer {
        body: Body::Reply(Reply::Sync(response)),
        effect: Effect::Synced {
            reached,
            started_over: asking.starts_over,
        },
        relay: None,
    })
}

fn since(asking: &mut Asking<'_>, request: &v1::SyncRequest) -> Result<Since, Failure> {
    if request.token.is_empty() {
        return Ok(Since::Known(Snapshot::default()));
    }
    match asking.context.tokens.presented(&request.token) {
        // What is no token is refused as such, and starts nothing over.
        Presented::Invalid => Err(Refusal::invalid("token", "is not a sync token of this server").into()),
        Presented::OtherPast => Ok(Since::OtherPast),
        // The device has said that it has more than there is: it is answered as one of another past. Whether that is so
        // for others cannot be concluded from it: anybody can say such a thing.
        Presented::Signed(..) if asking.starts_over => Ok(Since::OtherPast),
        Presented::Signed(claim, snapshot) => match asking.reader.testimony(claim)? {
            Testimony::Known => Ok(Since::Known(snapshot)),
            Testimony::Witness => Err(Failure::LostTail),
        },
    }
}

fn changes(
    asking: &mut Asking<'_>,
    who: Principal,
    since: Since,
    limit: u32,
) -> Result<(v1::SyncResponse, Snapshot), ReadError> {
    let (since, restarted) = match since {
        Since::Known(since) => (since, false),
        Since::OtherPast => (Snapshot::default(), true),
    };
    let limit = at_most(limit, SYNC_CHANGES.min(asking.page.entries));
    let mut changes = asking.reader.changes(who.user, &since, limit)?;
    told::counts(asking, who.user, &mut changes.conversations)?;
    told::moves(asking, who.user, &mut changes.cursors)?;
    let pages = if restarted {
        Vec::new()
    } else {
        newest_pages(asking, who, &since, &changes)?
    };
    let Changes {
        conversations,
        cursors,
        up_to,
        more,
    } = changes;
    let response = v1::SyncResponse {
        token: asking.context.tokens.sync_token(&up_to).into(),
        epoch: asking.context.epoch,
        conversations: conversations.iter().map(wire::conversation).collect(),
        pages,
        cursors: cursors.iter().map(wire::cursor).collect(),
        more,
        restarted,
    };
    Ok((response, up_to))
}

/// The new events of each changed conversation where they are few: saves the client a round trip.
fn newest_pages(
    asking: &mut Asking<'_>,
    who: Principal,
    since: &Snapshot,
    changes: &Changes,
) -> Result<Vec<v1::Page>, ReadError> {
    let mut budget = asking.page.bytes;
    let mut pages = Vec::new();
    for view in &changes.conversations {
        if budget == 0 {
            break;
        }
        let Some(page) = stored_page(asking, who.user, since, view, budget)? else {
            continue;
        };
        let raw = wire::page(&page, view.id.0, asking.context.epoch, asking.now);
        // What is not brought along is pulled: the head says that it is there.
        let Some(left) = budget.checked_sub(raw.encoded_len()) else {
            continue;
        };
        budget = left;
        pages.push(raw.to_page());
    }
    Ok(pages)
}

/// The new events of a conversation, if they fit one page.
fn stored_page(
    asking: &mut Asking<'_>,
    user: UserId,
    since: &Snapshot,
    view: &ConversationView,
    budget: usize,
) -> Result<Option<EventPage>, ReadError> {
    let Some(page) = asking.reader.events(
        user,
        view.id,
        view.head,
        Direction::Backward,
        SYNC_PAGE_EVENTS,
        budget,
    )?
    else {
        return Ok(None);
    };
    let old = page
        .events
        .iter()
        .rposition(|event| since.covers(event.event.position));
    Ok(match old {
        Some(old) => Some(EventPage {
            from: Seq(page
                .events
                .get(old)
                .map_or(page.from.0, |event| event.event.seq.0 + 1)),
            events: page.events.into_iter().skip(old + 1).collect(),
            ..page
        }),
        // All are new: worth sending only if nothing new lies before them.
        None => (page.from <= view.first).then_some(page),
    })
}
