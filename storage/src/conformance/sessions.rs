//! Sessions: how they begin, are displaced and end.

use super::{
    cases,
    world::{ANN, BOB, NOBODY, World},
};
use crate::{
    DeviceClass, DevicePolicy, NewSession, Outcome, Refused, Revoke, Session, SessionCreated, SessionId,
    Timestamp, TokenHash, UserId, Write,
};

cases![
    a_session_is_found_by_its_token,
    a_session_needs_a_user,
    ids_and_tokens_are_used_once,
    a_device_s_session_is_replaced,
    the_class_is_full,
    everything_is_full,
    the_class_goes_first,
    scripts_count_for_themselves,
    the_new_one_always_stays,
    the_least_recently_seen_goes,
    who_is_online_goes_last,
    one_session_ends,
    the_others_end,
    sessions_are_seen,
    ids_use_all_bits,
];

const WIDE: DevicePolicy = DevicePolicy {
    total: 10,
    mobile: 10,
    desktop: 10,
    web: 10,
    script: 10,
};

fn new(id: u64, user: UserId, class: DeviceClass, policy: DevicePolicy) -> NewSession {
    let mut token = [0; 32];
    token[..8].copy_from_slice(&id.to_be_bytes());
    NewSession {
        session: Session {
            id: SessionId(id),
            user,
            device_id: format!("device {id}"),
            class,
            device_name: format!("name {id}"),
            created_at: Timestamp(id),
            last_seen_at: Timestamp(id),
        },
        token_hash: TokenHash(token),
        policy,
        online: Vec::new(),
    }
}

fn create(world: &mut World, new: NewSession) -> Result<SessionCreated, Refused> {
    match world.write(Write::CreateSession(new))? {
        Outcome::Session(created) => Ok(created),
        other => panic!("{other:?}"),
    }
}

/// No sessions.
const NONE: [u64; 0] = [];

/// Creates a session and returns those that it displaces.
fn displaced(world: &mut World, id: u64, class: DeviceClass, policy: DevicePolicy) -> Vec<u64> {
    let created = create(world, new(id, ANN, class, policy)).expect("a session");
    assert_eq!(created.replaced, None);
    created.displaced.into_iter().map(|id| id.0).collect()
}

fn ids(world: &mut World, user: UserId) -> Vec<u64> {
    let sessions = world.reader.sessions(user).expect("sessions");
    sessions.into_iter().map(|session| session.id.0).collect()
}

fn touch(world: &mut World, touched: &[(u64, u64)]) {
    let touched = touched
        .iter()
        .map(|(id, at)| (SessionId(*id), Timestamp(*at)))
        .collect();
    assert_eq!(world.write(Write::TouchSessions(touched)), Ok(Outcome::Done));
}

fn a_session_is_found_by_its_token(world: &mut World) {
    world.people();
    let made = new(3, ANN, DeviceClass::Web, WIDE);
    let created = create(world, made.clone()).expect("a session");
    assert_eq!((created.replaced, created.displaced), (None, Vec::new()));
    let (session, user) = world
        .reader
        .session_by_token(&made.token_hash)
        .expect("an answer")
        .expect("one");
    assert_eq!((session, user.id), (made.session, ANN));
    assert_eq!(
        world
            .reader
            .session_by_token(&TokenHash([9; 32]))
            .expect("an answer"),
        None
    );
}

fn a_session_needs_a_user(world: &mut World) {
    world.people();
    let made = new(1, NOBODY, DeviceClass::Web, WIDE);
    assert_eq!(create(world, made), Err(Refused::NotFound));
}

fn ids_and_tokens_are_used_once(world: &mut World) {
    world.people();
    let made = new(1, ANN, DeviceClass::Web, WIDE);
    create(world, made.clone()).expect("a session");
    assert_eq!(create(world, made.clone()), Err(Refused::Conflict));
    let mut same_token = new(2, BOB, DeviceClass::Web, WIDE);
    same_token.token_hash = made.token_hash;
    assert_eq!(create(world, same_token), Err(Refused::Conflict));
    assert_eq!(ids(world, ANN), [1]);
}

fn a_device_s_session_is_replaced(world: &mut World) {
    world.people();
    create(world, new(1, ANN, DeviceClass::Web, WIDE)).expect("a session");
    let mut again = new(2, ANN, DeviceClass::Mobile, WIDE);
    again.session.device_id = "device 1".to_owned();
    let created = create(world, again).expect("a session");
    assert_eq!(
        (created.replaced, created.displaced),
        (Some(SessionId(1)), Vec::new())
    );
    assert_eq!(ids(world, ANN), [2]);
    // Another user's device with that id is another device.
    let mut of_bob = new(3, BOB, DeviceClass::Mobile, WIDE);
    of_bob.session.device_id = "device 1".to_owned();
    assert_eq!(create(world, of_bob).expect("a session").replaced, None);
    assert_eq!(ids(world, ANN), [2]);
    // The replaced session makes room: no other is displaced.
    let mut narrow = new(4, ANN, DeviceClass::Mobile, DevicePolicy { total: 1, ..WIDE });
    narrow.session.device_id = "device 1".to_owned();
    let created = create(world, narrow).expect("a session");
    assert_eq!(
        (created.replaced, created.displaced),
        (Some(SessionId(2)), Vec::new())
    );
}

fn the_class_is_full(world: &mut World) {
    world.people();
    let policy = DevicePolicy { mobile: 2, ..WIDE };
    assert_eq!(displaced(world, 1, DeviceClass::Mobile, policy), NONE);
    assert_eq!(displaced(world, 2, DeviceClass::Desktop, policy), NONE);
    assert_eq!(displaced(world, 3, DeviceClass::Mobile, policy), NONE);
    assert_eq!(displaced(world, 4, DeviceClass::Mobile, policy), [1]);
    assert_eq!(ids(world, ANN), [2, 3, 4]);
    let one = DevicePolicy { mobile: 1, ..WIDE };
    assert_eq!(displaced(world, 5, DeviceClass::Mobile, one), [3, 4]);
}

fn everything_is_full(world: &mut World) {
    world.people();
    let policy = DevicePolicy { total: 2, ..WIDE };
    assert_eq!(displaced(world, 1, DeviceClass::Mobile, policy), NONE);
    assert_eq!(displaced(world, 2, DeviceClass::Other, policy), NONE);
    assert_eq!(displaced(world, 3, DeviceClass::Web, policy), [1]);
    create(world, new(9, BOB, DeviceClass::Web, policy)).expect("a session");
    assert_eq!((ids(world, ANN), ids(world, BOB)), (vec![2, 3], vec![9]));
}

fn the_class_goes_first(world: &mut World) {
    world.people();
    for (id, class) in [
        (1, DeviceClass::Web),
        (2, DeviceClass::Mobile),
        (3, DeviceClass::Web),
    ] {
        assert_eq!(displaced(world, id, class, WIDE), NONE);
    }
    let policy = DevicePolicy {
        total: 2,
        mobile: 1,
        ..WIDE
    };
    assert_eq!(displaced(world, 4, DeviceClass::Mobile, policy), [2, 1]);
    assert_eq!(ids(world, ANN), [3, 4]);
}

fn scripts_count_for_themselves(world: &mut World) {
    world.people();
    let policy = DevicePolicy {
        total: 2,
        script: 2,
        ..WIDE
    };
    for (id, class) in [
        (1, DeviceClass::Web),
        (2, DeviceClass::Script),
        (3, DeviceClass::Mobile),
        (4, DeviceClass::Script),
    ] {
        assert_eq!(displaced(world, id, class, policy), NONE);
    }
    assert_eq!(displaced(world, 5, DeviceClass::Script, policy), [2]);
    assert_eq!(displaced(world, 6, DeviceClass::Desktop, policy), [1]);
    assert_eq!(ids(world, ANN), [3, 4, 5, 6]);
}

fn the_new_one_always_stays(world: &mut World) {
    world.people();
    let nothing = DevicePolicy {
        total: 0,
        mobile: 0,
        desktop: 0,
        web: 0,
        script: 0,
    };
    assert_eq!(displaced(world, 2, DeviceClass::Web, nothing), NONE);
    let mut older = new(1, ANN, DeviceClass::Web, nothing);
    older.session.last_seen_at = Timestamp(0);
    let created = create(world, older).expect("a session");
    assert_eq!(created.displaced, [SessionId(2)]);
    assert_eq!(ids(world, ANN), [1]);
}

fn the_least_recently_seen_goes(world: &mut World) {
    world.people();
    for id in 1..=3 {
        assert_eq!(displaced(world, id, DeviceClass::Desktop, WIDE), NONE);
    }
    touch(world, &[(1, 50), (2, u64::MAX), (3, 40)]);
    let policy = DevicePolicy { desktop: 2, ..WIDE };
    assert_eq!(displaced(world, 60, DeviceClass::Desktop, policy), [3, 1]);
    assert_eq!(ids(world, ANN), [2, 60]);
}

fn who_is_online_goes_last(world: &mut World) {
    world.people();
    for id in 1..=4 {
        assert_eq!(displaced(world, id, DeviceClass::Desktop, WIDE), NONE);
    }
    touch(world, &[(3, 50), (4, 40)]);
    let policy = DevicePolicy { desktop: 2, ..WIDE };
    let mut fifth = new(5, ANN, DeviceClass::Desktop, policy);
    // No session has the id 9.
    fifth.online = [4, 1, 9].map(SessionId).to_vec();
    let created = create(world, fifth).expect("a session");
    assert_eq!(created.displaced, [2, 3, 1].map(SessionId));
    assert_eq!(ids(world, ANN), [4, 5]);
}

fn one_session_ends(world: &mut World) {
    world.people();
    for id in 1..=2 {
        create(world, new(id, ANN, DeviceClass::Web, WIDE)).expect("a session");
    }
    let mut revoke = |user, id| world.write(Write::RevokeSessions(Revoke::One(user, SessionId(id))));
    assert_eq!(revoke(BOB, 1), Ok(Outcome::Revoked(Vec::new())), "not Bob's");
    assert_eq!(revoke(ANN, 1), Ok(Outcome::Revoked(vec![SessionId(1)])));
    assert_eq!(revoke(ANN, 1), Ok(Outcome::Revoked(Vec::new())));
    assert_eq!(ids(world, ANN), [2]);
    let token = new(1, ANN, DeviceClass::Web, WIDE).token_hash;
    assert_eq!(world.reader.session_by_token(&token).expect("an answer"), None);
}

fn the_others_end(world: &mut World) {
    world.people();
    for id in 1..=3 {
        create(world, new(id, ANN, DeviceClass::Web, WIDE)).expect("a session");
    }
    create(world, new(4, BOB, DeviceClass::Web, WIDE)).expect("a session");
    let mut revoke = |user, id| world.write(Write::RevokeSessions(Revoke::Others(user, SessionId(id))));
    assert_eq!(
        revoke(ANN, 2),
        Ok(Outcome::Revoked(vec![SessionId(1), SessionId(3)]))
    );
    assert_eq!(revoke(ANN, 2), Ok(Outcome::Revoked(Vec::new())));
    assert_eq!((ids(world, ANN), ids(world, BOB)), (vec![2], vec![4]));
}

fn sessions_are_seen(world: &mut World) {
    world.people();
    create(world, new(5, ANN, DeviceClass::Web, WIDE)).expect("a session");
    for (at, expected) in [(9, 9), (7, 9), (12, 12)] {
        touch(world, &[(99, 1), (5, at)]);
        let sessions = world.reader.sessions(ANN).expect("sessions");
        assert_eq!(sessions[0].last_seen_at, Timestamp(expected));
    }
}

fn ids_use_all_bits(world: &mut World) {
    world.people();
    for id in [u64::MAX, 1, 1 << 63, 1 << 40] {
        create(world, new(id, ANN, DeviceClass::Web, WIDE)).expect("a session");
    }
    assert_eq!(ids(world, ANN), [1, 1 << 40, 1 << 63, u64::MAX]);
}
