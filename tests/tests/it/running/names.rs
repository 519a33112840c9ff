//! Names of accounts and groups through every way in, and passwords as they are typed.

use protocol::v1::{self, ErrorCode};
use tests::harness::{Connection, Daemon, hello, message_id};

/// A connection that has greeted.
fn greeted(daemon: &Daemon) -> Connection {
    let mut conn = daemon.connect();
    conn.ask(hello("first")).unwrap();
    conn
}

fn register(
    daemon: &Daemon,
    name: &str,
    password: &str,
    display_name: &str,
) -> Result<v1::Session, v1::Error> {
    greeted(daemon).ask(v1::RegisterRequest {
        name: name.to_owned(),
        password: password.to_owned(),
        display_name: display_name.to_owned(),
    })
}

#[test]
fn nobody_takes_a_name_that_is_not_for_people() {
    let daemon = Daemon::start();
    for name in [
        "self",
        "Admin",
        "r00t",
        "every.one",
        "imserver",
        "lmserver",
        "user-1",
        "\u{ff41}dmin",
        "an\u{200b}n",
    ] {
        let error = register(&daemon, name, "long enough", "").unwrap_err();
        assert_eq!(
            (error.code(), error.field.as_str()),
            (ErrorCode::Invalid, "name"),
            "{name}: {error:?}"
        );
    }
    register(&daemon, "selfish", "long enough", "").unwrap();
}

#[test]
fn what_cannot_be_seen_is_in_no_name() {
    let daemon = Daemon::start();
    let mut ann = daemon.register("ann");
    let group = ann.group("friends", &[]);
    for hidden in [
        "a\u{200b}b",
        "a\u{2060}",
        "\u{3164}x",
        "a\u{2800}b",
        "\u{e000}x",
        "a\u{fe00}b",
        "\u{301}a",
        "a\u{e0041}",
    ] {
        let error = register(&daemon, "bob", "long enough", hidden).unwrap_err();
        assert_eq!(error.field, "display_name", "{hidden:?}");
        let profile = v1::UpdateProfileRequest {
            display_name: Some(hidden.to_owned()),
            ..v1::UpdateProfileRequest::default()
        };
        assert_eq!(
            ann.conn.ask(profile).unwrap_err().field,
            "display_name",
            "{hidden:?}"
        );
        let create = v1::CreateGroupRequest {
            client_msg_id: message_id(),
            name: hidden.to_owned(),
            user_ids: Vec::new(),
        };
        assert_eq!(ann.conn.ask(create).unwrap_err().field, "name", "{hidden:?}");
        let rename = v1::RenameGroupRequest {
            conversation_id: group,
            client_msg_id: message_id(),
            name: hidden.to_owned(),
        };
        assert_eq!(ann.conn.ask(rename).unwrap_err().field, "name", "{hidden:?}");
        let mut greeting = hello("first");
        greeting.device.as_mut().unwrap().name = hidden.to_owned();
        assert!(daemon.connect().ask(greeting).is_err(), "{hidden:?}");
    }
    // A group is not called by the id of another one.
    let rename = v1::RenameGroupRequest {
        conversation_id: group,
        client_msg_id: message_id(),
        name: group.to_string(),
    };
    assert_eq!(ann.conn.ask(rename).unwrap_err().field, "name");
    ann.group(
        "\u{2764}\u{fe0f} \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
        &[],
    );
}

#[test]
fn a_password_is_one_however_its_letters_are_composed() {
    let daemon = Daemon::start();
    register(&daemon, "ann", "gr\u{fc}ezi mitenand", "").unwrap();
    let login = |password: &str| {
        let mut conn = daemon.connect();
        conn.ask(hello("second")).unwrap();
        conn.ask(v1::LoginRequest {
            name: "ann".to_owned(),
            password: password.to_owned(),
        })
    };
    for same in [
        "gr\u{fc}ezi mitenand",
        "gru\u{308}ezi mitenand",
        "gr\u{fc}ezi\u{a0}mitenand",
    ] {
        login(same).unwrap();
    }
    assert_eq!(
        login("gruezi mitenand").unwrap_err().code(),
        ErrorCode::BadCredentials
    );
}
