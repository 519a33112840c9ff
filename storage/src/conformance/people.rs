//! Accounts and profiles.

use super::{
    cases,
    world::{ANN, BOB, CAT, NOBODY, World},
};
use crate::{Outcome, ProfileChange, Refused, Timestamp, User, UserId, Write};

cases![
    accounts_are_numbered,
    names_are_taken_once,
    people_are_found,
    profiles_change,
];

fn profile(user: UserId) -> ProfileChange {
    ProfileChange {
        user,
        display_name: None,
        avatar: None,
        status: None,
    }
}

fn update(world: &mut World, change: ProfileChange) -> Result<User, Refused> {
    match world.write(Write::UpdateProfile(change))? {
        Outcome::User(user) => Ok(user),
        other => panic!("{other:?}"),
    }
}

fn accounts_are_numbered(world: &mut World) {
    let ann = world.create("ann").expect("an account");
    let expected = User {
        id: ANN,
        name: "ann".to_owned(),
        display_name: "ann!".to_owned(),
        avatar: String::new(),
        status: String::new(),
        version: 1,
        created_at: Timestamp(5),
    };
    assert_eq!(ann, expected);
    assert_eq!(world.create("ann"), Err(Refused::NameTaken));
    assert_eq!(
        world.create("bob").expect("an account").id,
        BOB,
        "a refusal takes no number"
    );
}

fn names_are_taken_once(world: &mut World) {
    world.create("ann").expect("an account");
    // The caller says what is canonical: here these are three names.
    world.create("Ann").expect("an account");
    world.create("").expect("an account");
    for name in ["ann", "Ann", ""] {
        assert_eq!(world.create(name), Err(Refused::NameTaken));
    }
}

fn people_are_found(world: &mut World) {
    world.people();
    let ids = [CAT, NOBODY, ANN, UserId(0), UserId(u64::MAX)];
    let found: Vec<UserId> = world
        .reader
        .users(&ids)
        .expect("users")
        .into_iter()
        .map(|user| user.id)
        .collect();
    assert_eq!(found, [CAT, ANN], "in the order asked");
    let bob = world
        .reader
        .user_by_name("user2")
        .expect("an answer")
        .expect("bob");
    assert_eq!(bob.id, BOB);
    let account = world
        .reader
        .credentials("user2")
        .expect("an answer")
        .expect("bob");
    assert_eq!(
        (account.user, account.password_hash.as_str()),
        (bob, "hash of user2")
    );
    assert_eq!(world.reader.user_by_name("user9").expect("an answer"), None);
    assert_eq!(world.reader.credentials("user9").expect("an answer"), None);
}

fn profiles_change(world: &mut World) {
    world.people();
    let mut change = profile(ANN);
    change.avatar = Some("face".to_owned());
    let user = update(world, change.clone()).expect("changed");
    assert_eq!(
        (user.avatar.as_str(), user.display_name.as_str(), user.version),
        ("face", "user1!", 2)
    );
    assert_eq!(
        update(world, change).expect("the same").version,
        2,
        "nothing changed"
    );
    assert_eq!(update(world, profile(ANN)).expect("the same").version, 2);
    let mut change = profile(ANN);
    change.status = Some("away".to_owned());
    change.display_name = Some("Ann".to_owned());
    change.avatar = Some(String::new());
    let user = update(world, change).expect("changed");
    assert_eq!(
        (user.status.as_str(), user.avatar.as_str(), user.version),
        ("away", "", 3)
    );
    assert_eq!(world.reader.users(&[ANN]).expect("users"), [user]);
    assert_eq!(update(world, profile(NOBODY)), Err(Refused::NotFound));
}
