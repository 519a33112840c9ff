//! The words of names: a change leaves none of the old name behind.

use postgres::{Client, NoTls};
use storage::{NewUser, ProfileChange, Store, Timestamp, UserId, Write, postgres::PostgresStore};

use crate::database;

#[test]
fn a_changed_name_has_its_own_words_alone() {
    let options = database::fresh();
    let url = options.url.clone();
    let store = PostgresStore::open(options).unwrap();
    let mut writer = store.writer().unwrap();
    let named = |name: &str| {
        Write::UpdateProfile(ProfileChange {
            user: UserId(1),
            display_name: Some(name.to_owned()),
            avatar: None,
            status: None,
        })
    };
    let create = Write::CreateUser(NewUser {
        name: "ann".to_owned(),
        display_name: "Ann Old".to_owned(),
        password_hash: String::new(),
        at: Timestamp(1),
    });
    writer.commit(&[create]).unwrap().remove(0).unwrap();
    let mut client = Client::connect(&url, NoTls).unwrap();
    for (name, words) in [
        ("New Old 明", ["ann", "new", "old", "明"]),
        ("a b c", ["a", "ann", "b", "c"]),
    ] {
        writer.commit(&[named(name)]).unwrap().remove(0).unwrap();
        let rows = client
            .query("SELECT word FROM user_words WHERE user_id = 1 ORDER BY word", &[])
            .unwrap();
        let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(found, words);
    }
    store.close().unwrap();
}
