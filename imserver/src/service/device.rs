//! A user's devices: which sessions there are, and how they end.

use protocol::{
    Reply,
    v1::{self, GoAwayReason},
};
use storage::{Outcome, Revoke, SessionId, Write, ephemeral::Ended};

use super::work::{Size, Work};
use crate::{
    cluster::ClusterHandle,
    lane::{Done, other_outcome},
    message::Effect,
    principal::Principal,
    wire,
};

pub(super) fn list_devices(who: Principal) -> Work {
    Work::ask(Size::Short, move |asking| {
        let sessions = asking.reader.sessions(who.user)?;
        let context = asking.context;
        let elsewhere = context.cluster.sessions_online(who.user).unwrap_or_default();
        let sessions = sessions
            .into_iter()
            .map(|session| v1::DeviceSession {
                session_id: session.id.0,
                created_at_ms: session.created_at.0,
                last_seen_at_ms: session.last_seen_at.0,
                online: elsewhere.contains(&session.id) || context.routes.is_online(who.user, session.id),
                current: session.id == who.session,
                device: Some(v1::Device {
                    device_id: session.device_id,
                    class: wire::wire_device_class(session.class).into(),
                    name: session.device_name,
                }),
            })
            .collect();
        Ok(Reply::ListDevices(v1::ListDevicesResponse { sessions }).into())
    })
}

pub(super) fn logout(who: Principal) -> Work {
    let revoke = Revoke::One(who.user, who.session);
    Work::write(Write::RevokeSessions(revoke), |outcome, aftermath| {
        let Outcome::Revoked(sessions) = outcome else {
            return Err(other_outcome());
        };
        forget(aftermath.cluster, &sessions);
        // The loop itself ends the connection, after this answer.
        aftermath.routes.note_revocation(&sessions);
        Ok(Done::Answer(Reply::Logout(v1::Empty {}), Effect::LoggedOut))
    })
}

pub(super) fn logout_others(who: Principal) -> Work {
    let revoke = Revoke::Others(who.user, who.session);
    Work::write(Write::RevokeSessions(revoke), move |outcome, aftermath| {
        let Outcome::Revoked(sessions) = outcome else {
            return Err(other_outcome());
        };
        forget(aftermath.cluster, &sessions);
        aftermath
            .routes
            .revoke(who.user, &sessions, GoAwayReason::Revoked);
        let sessions = u32::try_from(sessions.len()).unwrap_or(u32::MAX);
        let reply = Reply::LogoutOthers(v1::LogoutOthersResponse { sessions });
        Ok(Done::Answer(reply, Effect::None))
    })
}

/// Other nodes answer for these sessions no more from what they cache.
pub(super) fn forget(cluster: &ClusterHandle, sessions: &[SessionId]) {
    for session in sessions {
        cluster.ended(Ended::Session(*session));
    }
}
