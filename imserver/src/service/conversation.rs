//! Conversations as their people see them: lists, and one or several by id.

use std::collections::HashSet;

use protocol::{Refusal, Reply, v1};
use storage::{ConversationId, ConversationView, CursorView, Position, UserId};

use super::{
    told,
    work::{Asking, Failure, Size, Work, at_most},
};
use crate::{principal::Principal, wire};

/// Conversations in one page of a list, at most.
const LIST_PAGE: usize = 200;

pub(super) fn list(who: Principal, list: v1::ListConversationsRequest) -> Work {
    Work::ask(Size::List(list.limit), move |asking| {
        let response = page(asking, who.user, &list)?;
        Ok(Reply::ListConversations(response).into())
    })
}

fn page(
    asking: &mut Asking<'_>,
    user: UserId,
    request: &v1::ListConversationsRequest,
) -> Result<v1::ListConversationsResponse, Failure> {
    let tokens = &asking.context.tokens;
    let before = if request.before.is_empty() {
        None
    } else {
        let Some(position) = tokens.page_end(&request.before) else {
            return Err(Refusal::invalid("before", "is not from a page of this server").into());
        };
        Some(position)
    };
    // Before the first page is read: what changes meanwhile comes by a sync from here.
    let token = match before {
        None => Some(asking.reader.snapshot()?),
        Some(_) => None,
    };
    let limit = at_most(request.limit, LIST_PAGE.min(asking.page.entries));
    let mut views = asking.reader.conversations(user, before, limit + 1)?;
    let more = views.len() > limit;
    views.truncate(limit);
    told::counts(asking, user, &mut views)?;
    let tokens = &asking.context.tokens;
    Ok(v1::ListConversationsResponse {
        before: views
            .last()
            .map(|view| tokens.page_mark(view.head_position).into())
            .unwrap_or_default(),
        conversations: views.iter().map(wire::conversation).collect(),
        more,
        sync_token: token
            .map(|snapshot| tokens.sync_token(&snapshot).into())
            .unwrap_or_default(),
        epoch: asking.context.epoch,
    })
}

pub(super) fn get(who: Principal, get: v1::GetConversationRequest) -> Work {
    Work::ask(Size::Short, move |asking| {
        let response = one(asking, who.user, ConversationId(get.conversation_id))?;
        Ok(Reply::GetConversation(response).into())
    })
}

fn one(
    asking: &mut Asking<'_>,
    user: UserId,
    id: ConversationId,
) -> Result<v1::GetConversationResponse, Failure> {
    let mut views: Vec<ConversationView> = asking.reader.conversation(user, id)?.into_iter().collect();
    told::counts(asking, user, &mut views)?;
    let Some(view) = views.pop() else {
        return Err(Failure::not_found("no such conversation"));
    };
    let shown = asking.context.config.groups.receipts_up_to;
    let mut cursors = Vec::new();
    if view.member && view.member_count <= shown {
        let members = asking
            .reader
            .members(user, id, UserId(0), shown as usize)?
            .unwrap_or_default();
        cursors = members
            .iter()
            .map(|member| {
                // One's own may have been told and not be written yet.
                let own = member.user.id == user;
                wire::cursor(&CursorView {
                    conversation: id,
                    user: member.user.id,
                    delivered: if own { view.delivered } else { member.delivered },
                    read: if own { view.read } else { member.read },
                    position: Position(0),
                })
            })
            .collect();
    }
    Ok(v1::GetConversationResponse {
        conversation: Some(wire::conversation(&view)),
        cursors,
        epoch: asking.context.epoch,
    })
}

pub(super) fn get_several(who: Principal, get: v1::GetConversationsRequest) -> Work {
    Work::ask(Size::Named(get.conversation_ids.len()), move |asking| {
        let mut seen = HashSet::new();
        let asked = get.conversation_ids.into_iter().filter(|id| seen.insert(*id));
        let asked: Vec<ConversationId> = asked.map(ConversationId).collect();
        let mut views = asking.reader.conversations_of(who.user, &asked)?;
        told::counts(asking, who.user, &mut views)?;
        let response = v1::GetConversationsResponse {
            conversations: views.iter().map(wire::conversation).collect(),
            epoch: asking.context.epoch,
        };
        Ok(Reply::GetConversations(response).into())
    })
}
