//! What a user has told this node of their own cursors counts in whatever they are answered, also before it is written.

use storage::{ConversationId, ConversationView, CursorView, Direction, MemberView, ReadError, UserId};

use super::work::Asking;

/// In what they see of conversations.
pub(super) fn counts(
    asking: &mut Asking<'_>,
    user: UserId,
    views: &mut [ConversationView],
) -> Result<(), ReadError> {
    let ids = views.iter().map(|view| view.id);
    let told = asking.context.lazy.told(user, ids);
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
            let page = asking
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

/// In the user's own among the cursors that moved.
pub(super) fn moves(
    asking: &mut Asking<'_>,
    user: UserId,
    cursors: &mut [CursorView],
) -> Result<(), ReadError> {
    let own = cursors.iter().filter(|cursor| cursor.user == user);
    let told = asking
        .context
        .lazy
        .told(user, own.map(|cursor| cursor.conversation));
    for moved in told {
        let Some(view) = asking.reader.conversation(user, moved.conversation)? else {
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

/// In the user's own entry among the members of a conversation.
pub(super) fn member(
    asking: &mut Asking<'_>,
    user: UserId,
    conversation: ConversationId,
    members: &mut [MemberView],
) -> Result<(), ReadError> {
    let Some(own) = members.iter_mut().find(|member| member.user.id == user) else {
        return Ok(());
    };
    let told = asking.context.lazy.told(user, std::iter::once(conversation));
    for moved in told {
        let Some(view) = asking.reader.conversation(user, conversation)? else {
            continue;
        };
        own.read = own.read.max(moved.read.min(view.head));
        own.delivered = own.delivered.max(moved.delivered.min(view.head)).max(own.read);
    }
    Ok(())
}
