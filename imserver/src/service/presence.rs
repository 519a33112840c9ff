//! Presence: whom a connection watches, and whether somebody is at it. What a worker finds out here the thread of presence
//! answers with.

use protocol::{Reply, v1};
use storage::UserId;

use super::work::{Answer, Body, Size, Work};
use crate::{message::Effect, principal::Principal};

pub(super) fn watch(who: Principal, watch: v1::WatchPresenceRequest) -> Work {
    Work::ask(Size::Named(watch.user_ids.len()), move |asking| {
        let users: Vec<UserId> = watch.user_ids.into_iter().map(UserId).collect();
        let presence = &asking.context.presence;
        let watching = presence.prepare(asking.reader, who.user, &users)?;
        Ok(Answer {
            body: Body::Watching(Box::new(watching)),
            effect: Effect::None,
            relay: None,
        })
    })
}

pub(super) const fn set_away(set: &v1::SetAwayRequest) -> Work {
    Work::Away(set.away, Reply::SetAway(v1::Empty {}))
}
