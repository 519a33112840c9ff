//! Reading the log: history, lists, sync; and what passes through a conversation without being stored.

use std::{collections::HashSet, sync::Arc};

use prost::Message;
use protocol::{
    ConversationClass, Encoding, MessageType, Push, Refusal, Reply, Request,
    v1::{self, ErrorClass, ErrorCode},
};
use storage::{
    Changes, ConversationId, ConversationView, CursorView, Direction, EventPage, Position, ReadError,
    Refused, Seq, Snapshot, Testimony, UserId,
};

use super::{
    append,
    question::{Worker, unavailable},
    wire,
};
use crate::{
    clock,
    delivery::planner,
    gateway::Established,
    recent::Newest,
    reply::{Effect, ReplyTo},
    token::Presented,
};

/// Newest events that a sync brings along for one conversation, at most.
const SYNC_PAGE_EVENTS: usize = 20;
/// Conversations in one page of a list, at most.
const LIST_PAGE: usize = 200;
/// Changes in one answer to a sync, at most.
const SYNC_CHANGES: usize = 500;
/// Members in one page, at most.
const MEMBERS_PAGE: usize = 500;

fn not_found(reply: ReplyTo) {
    reply.refuse(&Refusal::new(ErrorCode::NotFound, "no such conversation"));
}

fn at_most(limit: u32, most: usize) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX).min(most)
}

pub(super) fn history(worker: &mut Worker, who: Established, request: &v1::HistoryRequest, reply: ReplyTo) {
    let epoch = worker.context.epoch;
    if request.epoch != 0 && request.epoch != epoch {
        return reply.refuse(
            &Refusal::new(ErrorCode::EpochMismatch, "this epoch is over: sync anew").with_field("epoch"),
        );
    }
    let Ok(from) = i64::try_from(request.from_seq) else {
        return reply.refuse(&Refusal::invalid("from_seq", "is not a seq"));
    };
    let forward = request.direction() == v1::Direction::Forward;
    let limits = worker.page;
    let page = worker.reader.events(
        who.user,
        ConversationId(request.conversation_id),
        Seq(if forward { from.max(1) as u64 } else { from as u64 }),
        if forward {
            Direction::Forward
        } else {
            Direction::Backward
        },
        at_most(request.limit, limits.events),
        limits.bytes,
    );
    let page = match page {
        Ok(Some(page)) => page,
        Ok(None) => return not_found(reply),
        Err(error) => return unavailable(&error, reply),
    };
    if request.from_seq > page.head.0.saturating_add(1) {
        // Whoever asks for what follows a seq says that it has that.
        let refusal = Refusal::new(ErrorCode::OutOfRange, "beyond the head").with_field("from_seq");
        return reply.refuse_and(&refusal, Effect::StartOver);
    }
    let mut raw = wire::page(&page, request.conversation_id, epoch, clock::wall());
    wire::fit(&mut raw, forward);
    match reply.encoding() {
        Encoding::Json => reply.ok(&Reply::History(v1::HistoryResponse {
            page: Some(raw.to_page()),
        })),
        Encoding::Protobuf => {
            let kind = MessageType::response(protocol::Command::History.number());
            let frame = protocol::protobuf_frame(kind, reply.seq(), &RawHistory { page: Some(raw) });
            reply.frame(frame);
        }
    }
}

/// [`v1::HistoryResponse`] over a raw page: the same bytes.
#[derive(Clone, PartialEq, Message)]
struct RawHistory {
    #[prost(message, optional, tag = "1")]
    page: Option<protocol::RawPage>,
}

pub(super) fn sync(worker: &mut Worker, who: Established, request: &v1::SyncRequest, reply: ReplyTo) {
    let answer = try_sync(worker, who, request);
    answer_sync(worker, who, answer, reply);
}

/// A sync of a device that has said that it has more than there is: answered as one of another past. Whether that is so
/// for others cannot be concluded from it: anybody can say such a thing.
pub(super) fn start_over(worker: &mut Worker, who: Established, limit: u32, reply: ReplyTo) {
    let answer = changes(worker, who, Since::OtherPast, limit).map(Ok);
    answer_sync(worker, who, answer, reply);
}

fn answer_sync(worker: &Worker, who: Established, answer: Result<Synced, ReadError>, reply: ReplyTo) {
    match answer {
        Ok(Ok((response, up_to))) => {
            let effect = if response.more {
                Effect::None
            } else {
                // From here on the device is told of everything as it happens.
                worker.context.cluster.forget_recent(vec![who.user]);
                Effect::Synced(up_to)
            };
            reply.ok_and(&Reply::Sync(response), effect);
        }
        Ok(Err(refusal)) => reply.refuse(&refusal),
        Err(error) => unavailable(&error, reply),
    }
}

type Synced = Result<(v1::SyncResponse, Snapshot), Refusal>;

/// What a device that syncs has.
enum Since {
    /// This much of the log; nothing, if it is new.
    Known(Snapshot),
    /// Something of another past.
    OtherPast,
}

fn try_sync(worker: &mut Worker, who: Established, request: &v1::SyncRequest) -> Result<Synced, ReadError> {
    let since = if request.token.is_empty() {
        Since::Known(Snapshot::default())
    } else {
        match worker.context.tokens.presented(&request.token) {
            Presented::Invalid => {
                let refusal = Refusal::invalid("token", "is not a sync token of this server");
                return Ok(Err(refusal));
            }
            Presented::OtherPast => Since::OtherPast,
            Presented::Signed(claim, snapshot) => match worker.reader.testimony(claim)? {
                Testimony::Known => Since::Known(snapshot),
                Testimony::Witness => return Ok(Err(lost_tail(worker))),
            },
        }
    };
    changes(worker, who, since, request.limit).map(Ok)
}

fn changes(
    worker: &mut Worker,
    who: Established,
    since: Since,
    limit: u32,
) -> Result<(v1::SyncResponse, Snapshot), ReadError> {
    let (since, restarted) = match since {
        Since::Known(since) => (since, false),
        Since::OtherPast => (Snapshot::default(), true),
    };
    let limit = at_most(limit, SYNC_CHANGES.min(worker.page.entries));
    let mut changes = worker.reader.changes(who.user, &since, limit)?;
    told_counts(worker, who.user, &mut changes.conversations)?;
    told_moves(worker, who.user, &mut changes.cursors)?;
    let pages = if restarted {
        Vec::new()
    } else {
        newest_pages(worker, who, &since, &changes)?
    };
    let Changes {
        conversations,
        cursors,
        up_to,
        more,
    } = changes;
    let response = v1::SyncResponse {
        token: worker.context.tokens.sync_token(&up_to).into(),
        epoch: worker.context.epoch,
        conversations: conversations.iter().map(wire::conversation).collect(),
        pages,
        cursors: cursors.iter().map(wire::cursor).collect(),
        more,
        restarted,
    };
    Ok((response, up_to))
}

/// A device has a token that only this past could have signed, about something that this past does not have: its tail
/// was lost, and nothing else noticed. Others have cursors from that tail, too, and would take what comes in its place
/// for what they know: so the epoch ends for all of them.
fn lost_tail(worker: &Worker) -> Refusal {
    let why = "a device was told of commits that the store does not have";
    if let Err(error) = worker.context.store.begin_past(why) {
        log::error!("a new epoch could not be begun: {error}");
    }
    Refusal::new(ErrorCode::Unavailable, "the server starts over").with_class(ErrorClass::Retry)
}

/// The new events of each changed conversation where they are few: saves the client a round trip. Of a user who was
/// away for a while they may be in the list that was kept for that; whatever it does not know is read from the store.
fn newest_pages(
    worker: &mut Worker,
    who: Established,
    since: &Snapshot,
    changes: &Changes,
) -> Result<Vec<v1::Page>, ReadError> {
    let now = clock::wall();
    let (log_id, epoch) = (worker.context.log_id, worker.context.epoch);
    let is_asked = !changes.conversations.is_empty() && *since != Snapshot::default();
    let list = if is_asked {
        worker.context.cluster.recent(who.user, log_id, epoch)
    } else {
        None
    };
    let mut budget = worker.page.bytes;
    let mut pages = Vec::new();
    for view in &changes.conversations {
        if budget == 0 {
            break;
        }
        let known = list.as_ref().map_or(Newest::Unknown, |list| {
            list.newest(view, since, who.session, SYNC_PAGE_EVENTS, (epoch, now))
        });
        let raw = match known {
            Newest::Page(raw) => {
                worker.context.cluster.recent_page();
                raw
            }
            Newest::TooMany => continue,
            Newest::Unknown => match stored_page(worker, who.user, since, view, budget)? {
                Some(page) => wire::page(&page, view.id.0, epoch, now),
                None => continue,
            },
        };
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
    worker: &mut Worker,
    user: UserId,
    since: &Snapshot,
    view: &ConversationView,
    budget: usize,
) -> Result<Option<EventPage>, ReadError> {
    let Some(page) = worker.reader.events(
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

pub(super) fn list(
    worker: &mut Worker,
    who: Established,
    request: &v1::ListConversationsRequest,
    reply: ReplyTo,
) {
    match try_list(worker, who.user, request) {
        Ok(Ok(response)) => reply.ok(&Reply::ListConversations(response)),
        Ok(Err(refusal)) => reply.refuse(&refusal),
        Err(error) => unavailable(&error, reply),
    }
}

fn try_list(
    worker: &mut Worker,
    user: UserId,
    request: &v1::ListConversationsRequest,
) -> Result<Result<v1::ListConversationsResponse, Refusal>, ReadError> {
    let tokens = &worker.context.tokens;
    let before = if request.before.is_empty() {
        None
    } else {
        match tokens.page_end(&request.before) {
            Some(position) => Some(position),
            None => {
                return Ok(Err(Refusal::invalid(
                    "before",
                    "is not from a page of this server",
                )));
            }
        }
    };
    // Before the first page is read: what changes meanwhile comes by a sync from here.
    let token = match before {
        None => Some(worker.reader.snapshot()?),
        Some(_) => None,
    };
    let limit = at_most(request.limit, LIST_PAGE.min(worker.page.entries));
    let mut views = worker.reader.conversations(user, before, limit + 1)?;
    let more = views.len() > limit;
    views.truncate(limit);
    told_counts(worker, user, &mut views)?;
    let tokens = &worker.context.tokens;
    Ok(Ok(v1::ListConversationsResponse {
        before: views
            .last()
            .map(|view| tokens.page_mark(view.head_position).into())
            .unwrap_or_default(),
        conversations: views.iter().map(wire::conversation).collect(),
        more,
        sync_token: token
            .map(|snapshot| tokens.sync_token(&snapshot).into())
            .unwrap_or_default(),
        epoch: worker.context.epoch,
    }))
}

pub(super) fn get(
    worker: &mut Worker,
    who: Established,
    request: &v1::GetConversationRequest,
    reply: ReplyTo,
) {
    match try_get(worker, who.user, ConversationId(request.conversation_id)) {
        Ok(Some(response)) => reply.ok(&Reply::GetConversation(response)),
        Ok(None) => not_found(reply),
        Err(error) => unavailable(&error, reply),
    }
}

fn try_get(
    worker: &mut Worker,
    user: UserId,
    id: ConversationId,
) -> Result<Option<v1::GetConversationResponse>, ReadError> {
    let mut views: Vec<ConversationView> = worker.reader.conversation(user, id)?.into_iter().collect();
    told_counts(worker, user, &mut views)?;
    let Some(view) = views.pop() else {
        return Ok(None);
    };
    let shown = worker.context.config.groups.receipts_up_to;
    let mut cursors = Vec::new();
    if view.member && view.member_count <= shown {
        let members = worker
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
    Ok(Some(v1::GetConversationResponse {
        conversation: Some(wire::conversation(&view)),
        cursors,
        epoch: worker.context.epoch,
    }))
}

pub(super) fn get_several(
    worker: &mut Worker,
    who: Established,
    request: &v1::GetConversationsRequest,
    reply: ReplyTo,
) {
    match try_get_several(worker, who.user, &request.conversation_ids) {
        Ok(response) => reply.ok(&Reply::GetConversations(response)),
        Err(error) => unavailable(&error, reply),
    }
}

fn try_get_several(
    worker: &mut Worker,
    user: UserId,
    asked: &[u64],
) -> Result<v1::GetConversationsResponse, ReadError> {
    let mut seen = HashSet::new();
    let asked = asked.iter().copied().filter(|id| seen.insert(*id));
    let asked: Vec<ConversationId> = asked.map(ConversationId).collect();
    let mut views = worker.reader.conversations_of(user, &asked)?;
    told_counts(worker, user, &mut views)?;
    Ok(v1::GetConversationsResponse {
        conversations: views.iter().map(wire::conversation).collect(),
        epoch: worker.context.epoch,
    })
}

/// What a user has told this node of their own cursors counts in whatever they are answered, also before it is written.
fn told_counts(worker: &mut Worker, user: UserId, views: &mut [ConversationView]) -> Result<(), ReadError> {
    let ids = views.iter().map(|view| view.id);
    let told = worker.context.lane.lazy().told(user, ids);
    for moved in told {
        let Some(view) = views.iter_mut().find(|view| view.id == moved.conversation) else {
            continue;
        };
        let read = moved.read.min(view.head);
        view.delivered = view.delivered.max(moved.delivered.min(view.head)).max(read);
        if read <= view.read {
            continue;
        }
        view.read = read;
        let ordinal = if read == view.head {
            view.head_ordinal
        } else {
            // The last that the user sees up to there; of an earlier stay it does not matter.
            let page = worker
                .reader
                .events(user, view.id, read, Direction::Backward, 1, 0)?;
            let last = page.and_then(|page| page.events.last().map(|view| view.event.ordinal));
            last.unwrap_or_default()
        };
        view.unread = view
            .unread
            .min(view.head_ordinal.saturating_sub(ordinal.max(view.joined_ordinal)));
    }
    Ok(())
}

/// The same for the user's own cursors among those that moved.
fn told_moves(worker: &mut Worker, user: UserId, cursors: &mut [CursorView]) -> Result<(), ReadError> {
    let own = cursors.iter().filter(|cursor| cursor.user == user);
    let told = worker
        .context
        .lane
        .lazy()
        .told(user, own.map(|cursor| cursor.conversation));
    for moved in told {
        let Some(view) = worker.reader.conversation(user, moved.conversation)? else {
            continue;
        };
        let of_this =
            |cursor: &&mut CursorView| cursor.user == user && cursor.conversation == moved.conversation;
        if let Some(cursor) = cursors.iter_mut().find(of_this) {
            cursor.read = cursor.read.max(moved.read.min(view.head));
            cursor.delivered = cursor
                .delivered
                .max(moved.delivered.min(view.head))
                .max(cursor.read);
        }
    }
    Ok(())
}

pub(super) fn members(
    worker: &mut Worker,
    who: Established,
    request: &v1::ListMembersRequest,
    reply: ReplyTo,
) {
    let id = ConversationId(request.conversation_id);
    let limit = at_most(request.limit, MEMBERS_PAGE.min(worker.page.entries));
    match worker
        .reader
        .members(who.user, id, UserId(request.after_user_id), limit + 1)
    {
        Ok(Some(mut members)) => {
            let more = members.len() > limit;
            members.truncate(limit);
            let told = worker.context.lane.lazy().told(who.user, std::iter::once(id));
            for (own, told) in members
                .iter_mut()
                .filter(|member| member.user.id == who.user)
                .zip(told)
            {
                // What goes beyond the head is cut where it is written, and comes back so.
                own.read = own.read.max(told.read);
                own.delivered = own.delivered.max(told.delivered).max(own.read);
            }
            let members = members.iter().map(wire::member).collect();
            reply.ok(&Reply::ListMembers(v1::ListMembersResponse { members, more }));
        }
        Ok(None) => not_found(reply),
        Err(error) => unavailable(&error, reply),
    }
}

pub(super) fn typing(worker: &mut Worker, who: Established, request: &v1::TypingRequest, reply: ReplyTo) {
    let push = Push::TypingPush(v1::TypingPush {
        conversation_id: request.conversation_id,
        user_id: who.user.0,
        typing: request.typing,
    });
    let id = ConversationId(request.conversation_id);
    let answer = Reply::Typing(v1::Empty {});
    let shown = worker.context.config.groups.receipts_up_to;
    pass_on(worker, who, id, Some(&push), Some(shown), &answer, reply);
}

pub(super) fn send_transient(worker: &mut Worker, who: Established, send: v1::SendRequest, reply: ReplyTo) {
    match stored_before(worker, who.user, &send) {
        Ok(Ok(None)) => {}
        Ok(Ok(Some(answer))) => return reply.ok(&Reply::Send(answer)),
        Ok(Err(refusal)) => return reply.refuse(&refusal),
        Err(error) => return unavailable(&error, reply),
    }
    let id = ConversationId(send.conversation_id);
    let now = clock::wall().0;
    let answer = Reply::Send(v1::SendResponse {
        conversation_id: send.conversation_id,
        epoch: worker.context.epoch,
        sent_at_ms: now,
        ..v1::SendResponse::default()
    });
    let expires_at = send.content.as_ref().map_or(0, |content| content.expires_at_ms);
    let push = Push::TransientPush(v1::TransientPush {
        conversation_id: send.conversation_id,
        sender_id: who.user.0,
        kind: send.kind,
        content: send.content,
        client_msg_id: send.client_msg_id,
    });
    // From that time on its body is shown to nobody: so it is for nobody.
    let push = (expires_at == 0 || expires_at > now).then_some(&push);
    pass_on(worker, who, id, push, None, &answer, reply);
}

/// Whether what is not to be stored was stored before under the same client id: then that is the answer. And whether
/// what it replies to is there.
fn stored_before(
    worker: &mut Worker,
    user: UserId,
    send: &v1::SendRequest,
) -> Result<Result<Option<v1::SendResponse>, Refusal>, ReadError> {
    let limits = worker.context.config.session_rules().validation;
    let mut request = Request::Send(send.clone());
    let append = match append::from_request(user, &mut request, clock::wall(), &limits) {
        Ok(Some(append)) => append,
        Ok(None) => return Ok(Ok(None)),
        Err(refusal) => return Ok(Err(refusal)),
    };
    let id = append.conversation;
    if let Some((event, fingerprint)) = worker.reader.made_by(id, user, append.client_id)? {
        if fingerprint != append.fingerprint {
            return Ok(Err(wire::refused(Refused::Conflict)));
        }
        return Ok(Ok(Some(wire::sent(&event, true, worker.context.epoch))));
    }
    let reply_to = send.content.as_ref().map_or(0, |content| content.reply_to);
    if reply_to != 0 {
        let page = worker
            .reader
            .events(user, id, Seq(reply_to), Direction::Forward, 1, 0)?;
        let first = page.and_then(|page| page.events.into_iter().next());
        let is_there = first.is_some_and(|view| {
            let event = &view.event;
            event.seq == Seq(reply_to) && event.kind.is_displayable()
        });
        if !is_there {
            return Ok(Err(wire::refused(Refused::NotFound)));
        }
    }
    Ok(Ok(None))
}

/// Pushes what is not stored to the members who are online, if `who` is one of them; without a push only answers.
fn pass_on(
    worker: &mut Worker,
    who: Established,
    id: ConversationId,
    push: Option<&Push>,
    members_max: Option<u32>,
    answer: &Reply,
    reply: ReplyTo,
) {
    let members = match present_members(worker, who.user, id, members_max) {
        Ok(Ok(members)) => members,
        Ok(Err(refusal)) => return reply.refuse(&refusal),
        Err(error) => return unavailable(&error, reply),
    };
    if let Some(push) = push {
        let context = &worker.context;
        let loops = context.outboxes.loops();
        context.cluster.transient(&members, push);
        let except = Some(reply.conn());
        let deliveries = planner::transient(&context.routes, loops, members.iter().copied(), except, push);
        context.outboxes.post_transient(deliveries);
    }
    reply.ok(answer);
}

/// Members at this moment, or none of them where the group is larger than `members_max`. Of two people and of one that
/// is known without a first message.
fn present_members(
    worker: &mut Worker,
    user: UserId,
    id: ConversationId,
    members_max: Option<u32>,
) -> Result<Result<Arc<[UserId]>, Refusal>, ReadError> {
    let not_found = || Refusal::new(ErrorCode::NotFound, "no such conversation");
    match protocol::ConversationId::parse(id.0).map(protocol::ConversationId::class) {
        Some(ConversationClass::Group) => {}
        Some(ConversationClass::Own { user: owner }) if UserId(owner) == user => {
            return Ok(Ok(Arc::new([user])));
        }
        Some(ConversationClass::Direct { low, high }) => {
            let both = [UserId(low), UserId(high)];
            let exist = both.contains(&user) && worker.reader.users(&both)?.len() == both.len();
            return Ok(if exist {
                Ok(Arc::new(both))
            } else {
                Err(not_found())
            });
        }
        _ => return Ok(Err(not_found())),
    }
    let Some(view) = worker.reader.conversation(user, id)? else {
        return Ok(Err(not_found()));
    };
    if let Some(refusal) = closed_to(&view) {
        return Ok(Err(refusal));
    }
    if members_max.is_some_and(|max| view.member_count > max) {
        return Ok(Ok(Arc::new([])));
    }
    worker.reader.members_at(id, view.roster).map(Ok)
}

fn closed_to(view: &ConversationView) -> Option<Refusal> {
    if !view.member {
        Some(Refusal::new(ErrorCode::Forbidden, "not a member any more"))
    } else if view.disbanded {
        Some(Refusal::new(ErrorCode::Gone, "the group is disbanded"))
    } else {
        None
    }
}
