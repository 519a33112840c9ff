//! Which sessions of a user end when a new one is created or a revocation is ordered.

use crate::{
    types::{DeviceClass, Session, SessionId, Timestamp},
    write::{NewSession, Revoke, SessionCreated},
};

/// The user's other sessions that a new one displaces: that of the same device, then those beyond the policy, first of
/// the class, then of all. Scripts are not among all.
pub(crate) fn make_room(mut others: Vec<Session>, new: &NewSession) -> SessionCreated {
    let session = &new.session;
    let same_device = others
        .iter()
        .position(|other| other.device_id == session.device_id);
    let replaced = same_device.map(|index| others.remove(index).id);
    let of_class = new.policy.of(session.class);
    let mut displaced = displace(&mut others, new, |class| class == session.class, of_class);
    if session.class != DeviceClass::Script {
        let total = new.policy.total;
        displaced.extend(displace(
            &mut others,
            new,
            |class| class != DeviceClass::Script,
            total,
        ));
    }
    SessionCreated { replaced, displaced }
}

/// Removes the least recently seen of a user's other sessions of these classes, until there are at most `limit` with the
/// new one. Connected sessions go after all others.
fn displace(
    others: &mut Vec<Session>,
    new: &NewSession,
    of: impl Fn(DeviceClass) -> bool,
    limit: u32,
) -> Vec<SessionId> {
    let mut counted: Vec<(bool, Timestamp, SessionId)> = others
        .iter()
        .filter(|session| of(session.class))
        .map(|session| {
            let is_online = new.online.contains(&session.id);
            (is_online, session.last_seen_at, session.id)
        })
        .collect();
    counted.sort_unstable();
    let excess = (counted.len() + 1).saturating_sub(limit as usize);
    let displaced: Vec<SessionId> = counted.into_iter().take(excess).map(|(.., id)| id).collect();
    others.retain(|session| !displaced.contains(&session.id));
    displaced
}

/// The user's sessions that a revocation ends.
pub(crate) fn ended_by(revoke: Revoke, sessions: &[Session]) -> Vec<SessionId> {
    let ends = |id: SessionId| match revoke {
        Revoke::One(_, one) => id == one,
        Revoke::Others(_, kept) => id != kept,
    };
    let ids = sessions.iter().map(|session| session.id);
    ids.filter(|id| ends(*id)).collect()
}
