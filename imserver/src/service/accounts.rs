//! Profiles and devices.

use protocol::{
    Refusal, Reply,
    v1::{self, ErrorCode},
    validate,
};
use storage::UserId;

use super::{
    question::{Worker, unavailable},
    wire,
};
use crate::{gateway::Established, reply::ReplyTo};

pub(super) fn list_devices(worker: &mut Worker, who: Established, reply: ReplyTo) {
    let sessions = match worker.reader.sessions(who.user) {
        Ok(sessions) => sessions,
        Err(error) => return unavailable(&error, reply),
    };
    let elsewhere = worker
        .context
        .cluster
        .sessions_online(who.user)
        .unwrap_or_default();
    let sessions = sessions
        .into_iter()
        .map(|session| v1::DeviceSession {
            session_id: session.id.0,
            created_at_ms: session.created_at.0,
            last_seen_at_ms: session.last_seen_at.0,
            online: elsewhere.contains(&session.id) || worker.context.routes.is_online(who.user, session.id),
            current: session.id == who.session,
            device: Some(v1::Device {
                device_id: session.device_id,
                class: wire::wire_device_class(session.class).into(),
                name: session.device_name,
            }),
        })
        .collect();
    reply.ok(&Reply::ListDevices(v1::ListDevicesResponse { sessions }));
}

pub(super) fn get_users(worker: &mut Worker, get: &v1::GetUsersRequest, reply: ReplyTo) {
    let mut ids: Vec<UserId> = get.user_ids.iter().copied().map(UserId).collect();
    ids.sort_unstable();
    ids.dedup();
    match worker.reader.users(&ids) {
        Ok(users) => {
            reply.ok(&Reply::GetUsers(v1::GetUsersResponse {
                users: users.iter().map(wire::user).collect(),
            }));
        }
        Err(error) => unavailable(&error, reply),
    }
}

pub(super) fn find_user(worker: &mut Worker, find: &v1::FindUserRequest, reply: ReplyTo) {
    match worker.reader.user_by_name(&validate::canonical_name(&find.name)) {
        Ok(Some(user)) => {
            reply.ok(&Reply::FindUser(v1::FindUserResponse {
                user: Some(wire::user(&user)),
            }));
        }
        Ok(None) => reply.refuse(&Refusal::new(ErrorCode::NotFound, "no user of that name")),
        Err(error) => unavailable(&error, reply),
    }
}
