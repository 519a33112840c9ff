//! Profiles and finding people.

use protocol::v1::{self, ErrorCode};
use tests::harness::Daemon;

#[test]
fn people_are_found_by_name_in_any_case() {
    let daemon = Daemon::start();
    let [mut ada, bob] = daemon.register_all(["ada", "Bob.B"]);
    for name in ["bob.b", "BOB.B", "Bob.B"] {
        let user = ada
            .get(v1::FindUserRequest {
                name: name.to_owned(),
            })
            .user
            .unwrap();
        assert_eq!(
            (user.user_id, user.name.as_str(), user.display_name.as_str()),
            (bob.id, "bob.b", "Bob.B")
        );
    }
    for name in ["bob", "bob.b2", "b"] {
        assert_eq!(
            ada.refused(v1::FindUserRequest {
                name: name.to_owned()
            }),
            ErrorCode::NotFound
        );
    }
    for name in ["", "no such", "bob%"] {
        assert_eq!(
            ada.refused(v1::FindUserRequest {
                name: name.to_owned()
            }),
            ErrorCode::Invalid
        );
    }
}

#[test]
fn people_are_found_by_id_and_unknown_ones_are_left_out() {
    let daemon = Daemon::start();
    let [mut ada, bob, cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let get = v1::GetUsersRequest {
        user_ids: vec![cyd.id, 5_555, bob.id, cyd.id],
    };
    let mut names: Vec<String> = ada.get(get).users.into_iter().map(|user| user.name).collect();
    names.sort();
    assert_eq!(names, ["bob", "cyd"]);
    assert_eq!(
        ada.refused(v1::GetUsersRequest { user_ids: vec![] }),
        ErrorCode::Invalid
    );
}

#[test]
fn a_profile_changes_where_it_is_told_to() {
    let daemon = Daemon::start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let update = v1::UpdateProfileRequest {
        display_name: Some("Ada Lovelace".to_owned()),
        avatar: None,
        status: Some("at the engine".to_owned()),
    };
    let first = ada.get(update).user.unwrap();
    assert_eq!(
        (first.display_name.as_str(), first.status.as_str()),
        ("Ada Lovelace", "at the engine")
    );
    let update = v1::UpdateProfileRequest {
        avatar: Some("blob:1".to_owned()),
        status: Some(String::new()),
        display_name: None,
    };
    let second = ada.get(update).user.unwrap();
    assert_eq!(
        (
            second.display_name.as_str(),
            second.avatar.as_str(),
            second.status.as_str()
        ),
        ("Ada Lovelace", "blob:1", "")
    );
    assert!(second.version > first.version);
    let seen = bob
        .get(v1::FindUserRequest {
            name: "ada".to_owned(),
        })
        .user
        .unwrap();
    assert_eq!(seen, second);
    let get = v1::GetUsersRequest {
        user_ids: vec![ada.id],
    };
    assert_eq!(bob.get(get).users, [second]);
}

#[test]
fn a_profile_survives_a_restart() {
    let mut daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let update = v1::UpdateProfileRequest {
        status: Some("back soon".to_owned()),
        ..v1::UpdateProfileRequest::default()
    };
    let user = ada.get(update).user.unwrap();
    daemon.restart();
    let welcome = daemon.connect().ask(ada.hello_again()).unwrap();
    assert_eq!(welcome.session.unwrap().user.unwrap(), user);
}

#[test]
fn people_are_found_by_words_of_their_names_and_exactly_this_name_first() {
    let daemon = Daemon::start();
    let [mut ada, bobby, mut bob] = daemon.register_all(["ada", "bobby", "bob"]);
    bob.get(v1::UpdateProfileRequest {
        display_name: Some("王小明 Lee".to_owned()),
        ..v1::UpdateProfileRequest::default()
    });
    let mut search = |query: &str, limit| {
        let found = ada.get(v1::SearchUsersRequest {
            query: query.to_owned(),
            limit,
        });
        let ids: Vec<u64> = found.users.iter().map(|user| user.user_id).collect();
        (ids, found.more)
    };
    assert_eq!(search("BOB", 9), (vec![bob.id, bobby.id], false));
    assert_eq!(search("bob", 1), (vec![bob.id], true));
    assert_eq!(search("bobb", 9), (vec![bobby.id], false));
    assert_eq!(search("lee 小明", 9), (vec![bob.id], false));
    assert_eq!(search("明", 9), (vec![bob.id], false));
    for nobody in ["obby", "b%b", "%bx%", "__", "bob x", "*"] {
        let asked = v1::SearchUsersRequest {
            query: nobody.to_owned(),
            limit: 9,
        };
        match ada.ask(asked) {
            Ok(found) => assert_eq!(found, v1::SearchUsersResponse::default(), "{nobody}"),
            Err(refusal) => assert_eq!(refusal.code(), ErrorCode::Invalid, "{nobody}"),
        }
    }
}
