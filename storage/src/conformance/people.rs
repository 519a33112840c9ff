//! Accounts and profiles.

use super::{
    cases,
    world::{ANN, BOB, CAT, NOBODY, World},
};
use crate::{FoundPeople, Outcome, PeopleQuery, ProfileChange, Refused, Timestamp, User, UserId, Write};

cases![
    accounts_are_numbered,
    names_are_taken_once,
    people_are_found,
    profiles_change,
    people_are_found_by_words,
    a_search_that_finds_many_says_so,
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

fn found(world: &mut World, query: &str, limit: usize) -> (Vec<u64>, bool) {
    let query = PeopleQuery::new(query).expect("a query");
    let found = world.reader.people(&query, limit).expect("an answer");
    (found.users.iter().map(|user| user.id.0).collect(), found.more)
}

fn people_are_found_by_words(world: &mut World) {
    world.people();
    let mut change = profile(BOB);
    change.display_name = Some("Robert 王小明 O'Neil".to_owned());
    let bob = update(world, change).expect("changed");
    for query in ["ROB", "oneil", "neil", "小明", "王 robert", "user2"] {
        let expected = if query == "oneil" { vec![] } else { vec![BOB.0] };
        assert_eq!(found(world, query, 9), (expected, false), "{query}");
    }
    let all = found(world, "user", 9).0;
    assert_eq!(all.first_chunk(), Some(&[ANN.0, BOB.0, CAT.0]));
    assert_eq!(found(world, "user", 2), (vec![ANN.0, BOB.0], true));
    assert_eq!(found(world, "user", 0), (vec![ANN.0], true), "0 counts as 1");
    for query in ["obert", "user2!9", "%%", "__", "us%x", "明小"] {
        if let Some(query) = PeopleQuery::new(query) {
            assert_eq!(
                world.reader.people(&query, 9).expect("an answer"),
                FoundPeople::default()
            );
        }
    }
    let query = PeopleQuery::new("robert").expect("a query");
    assert_eq!(
        world.reader.people(&query, 9).expect("an answer").users,
        [bob],
        "all of it"
    );
    // The words of a name that was changed lead nowhere, those that are still there do.
    let mut change = profile(BOB);
    change.display_name = Some("robert".to_owned());
    update(world, change).expect("changed");
    assert_eq!(found(world, "neil", 9), (vec![], false));
    assert_eq!(found(world, "小", 9), (vec![], false));
    assert_eq!(found(world, "robert", 9), (vec![BOB.0], false));
    assert_eq!(found(world, "user2", 9), (vec![BOB.0], false));
}

fn a_search_that_finds_many_says_so(world: &mut World) {
    for number in 0..30 {
        world.create(&format!("many{number}")).expect("an account");
    }
    let (first, more) = found(world, "many", 20);
    assert_eq!((first.len(), more), (20, true));
    assert!(!found(world, "many", 30).1);
    assert_eq!(found(world, "many29", 20), (vec![30], false));
}
