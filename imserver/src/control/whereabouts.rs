//! `where`: the nodes and devices that users are connected with.

use serde_json::Value;
use storage::{ReadError, Reader, User, UserId};

use crate::{
    observed::Observed,
    status::{UserWhereabouts, Whereabout, Whereabouts},
};

/// Users in one request, at most.
pub(crate) const USERS_MAX: usize = 1_000;

pub(super) fn answer(observed: &Observed, asked: Vec<String>) -> Result<Value, String> {
    if asked.len() > USERS_MAX {
        return Err(format!("at most {USERS_MAX} users at a time"));
    }
    let mut reader = observed.store.reader().map_err(|error| error.to_string())?;
    let found = whereabouts(observed, &mut *reader, asked).map_err(|error| error.to_string())?;
    serde_json::to_value(found).map_err(|error| error.to_string())
}

fn whereabouts(
    observed: &Observed,
    reader: &mut dyn Reader,
    asked: Vec<String>,
) -> Result<Whereabouts, ReadError> {
    let mut users = Vec::with_capacity(asked.len());
    for asked in asked {
        let user = find(reader, &asked)?;
        users.push((asked, user));
    }
    let ids: Vec<UserId> = users
        .iter()
        .filter_map(|(_, user)| user.as_ref().map(|user| user.id))
        .collect();
    let shared = &observed.shared;
    let elsewhere = shared.cluster.routes(&ids);
    let complete = elsewhere.is_some() || shared.cluster.status().is_none();
    let mut elsewhere = elsewhere.into_iter().flatten();
    let own = &shared.config.server.node;
    let mut all = Vec::with_capacity(users.len());
    for (asked, user) in users {
        let mut of_user = UserWhereabouts {
            asked,
            user_id: None,
            name: String::new(),
            connections: Vec::new(),
            last_seen_ms: 0,
        };
        if let Some(user) = user {
            shared.routes.of(user.id, |route| {
                of_user
                    .connections
                    .push(of_session(own, route.session.0, Some(route.is_away)));
            });
            // What this node has said of itself may be late.
            let others = elsewhere.next().unwrap_or_default();
            let others = others.into_iter().filter(|route| route.node != *own);
            of_user
                .connections
                .extend(others.map(|route| of_session(&route.node, route.session.0, None)));
            for session in reader.sessions(user.id)? {
                of_user.last_seen_ms = of_user.last_seen_ms.max(session.last_seen_at.0);
                for at in &mut of_user.connections {
                    if at.session_id == session.id.0 {
                        at.device_id.clone_from(&session.device_id);
                        at.device_name.clone_from(&session.device_name);
                    }
                }
            }
            of_user.connections.sort_unstable();
            of_user.user_id = Some(user.id.0);
            of_user.name = user.name;
        }
        all.push(of_user);
    }
    Ok(Whereabouts { complete, users: all })
}

fn of_session(node: &str, session_id: u64, away: Option<bool>) -> Whereabout {
    Whereabout {
        node: node.to_owned(),
        session_id,
        device_id: String::new(),
        device_name: String::new(),
        away,
    }
}

/// A user by name, or as `#ID`.
fn find(reader: &mut dyn Reader, asked: &str) -> Result<Option<User>, ReadError> {
    match asked.strip_prefix('#') {
        None => reader.user_by_name(&protocol::validate::canonical_name(asked)),
        Some(id) => match id.parse() {
            Ok(id) => Ok(reader.users(&[UserId(id)])?.pop()),
            Err(_) => Ok(None),
        },
    }
}
