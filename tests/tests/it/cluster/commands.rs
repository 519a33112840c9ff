//! `imserver provision`, `backup`, `restore` and `copy`, as a person runs them.

use std::ffi::OsString;

use protocol::v1::{self, EventKind};
use tests::harness::{ClusterSetup, Connection, Daemon, Ended, Setup, User, hello, message_id, text};

fn run(arguments: &[&str]) -> Ended {
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    Daemon::run_to_end(&arguments)
}

#[track_caller]
fn succeeds(arguments: &[&str]) -> String {
    let ended = run(arguments);
    assert!(ended.status.success(), "{ended:?}");
    ended.stdout
}

#[track_caller]
fn fails(arguments: &[&str]) -> String {
    let ended = run(arguments);
    assert!(!ended.status.success(), "{ended:?}");
    assert_eq!(
        (ended.stdout.as_str(), ended.stderr.lines().count()),
        ("", 1),
        "{ended:?}"
    );
    ended.stderr
}

/// Whose token is good for a session.
fn resume(daemon: &Daemon, line: &str) -> (String, u64) {
    let fields: Vec<&str> = line.split('\t').collect();
    let mut conn: Connection = daemon.connect();
    let welcome = conn.ask(v1::Hello {
        session_token: fields[2].to_owned(),
        ..hello("provisioned")
    });
    let user = welcome.unwrap().session.unwrap().user.unwrap();
    assert_eq!(
        (user.name.as_str(), user.user_id.to_string().as_str()),
        (fields[0], fields[1])
    );
    (user.name, user.user_id)
}

#[test]
fn provisioned_accounts_have_sessions() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}/imserver.db", directory.path().display());
    let lines = succeeds(&[
        "provision",
        "--count",
        "700",
        "--prefix",
        "load-",
        "--store",
        &store,
    ]);
    assert_eq!(lines.lines().count(), 700);
    // Again, and more: the accounts stay, their sessions are new ones.
    let again = succeeds(&[
        "provision",
        "--count",
        "701",
        "--prefix",
        "load-",
        "--store",
        &store,
    ]);
    let daemon = Setup {
        data_dir: Some(directory.path().to_owned()),
        ..Setup::default()
    }
    .start();
    let again: Vec<&str> = again.lines().collect();
    assert_eq!(resume(&daemon, again[0]), ("load-1".to_owned(), 1));
    assert_eq!(resume(&daemon, again[700]), ("load-701".to_owned(), 701));
    let mut conn = daemon.connect();
    let old = lines.lines().next().unwrap().split('\t').nth(2).unwrap();
    let refusal = conn.ask(v1::Hello {
        session_token: old.to_owned(),
        ..hello("provisioned")
    });
    assert_eq!(refusal.unwrap_err().code(), v1::ErrorCode::Unauthenticated);
    // Nobody knows their password.
    let refusal = conn.ask(v1::LoginRequest {
        name: "load-1".to_owned(),
        password: "!".repeat(8),
    });
    assert!(refusal.is_err());
    assert!(
        fails(&[
            "provision",
            "--count",
            "1",
            "--prefix",
            "no name",
            "--store",
            &store
        ])
        .contains("--prefix")
    );
}

#[test]
fn accounts_are_provisioned_in_postgresql_beside_running_nodes() {
    let cluster = ClusterSetup::nodes(1).without_redis().start();
    let lines = succeeds(&[
        "provision",
        "--count",
        "3",
        "--prefix",
        "p",
        "--store",
        &cluster.store,
    ]);
    for line in lines.lines() {
        resume(&cluster.nodes[0], line);
    }
}

#[test]
fn a_backup_of_a_running_daemon_is_restored() {
    let daemon = Daemon::start();
    let mut ann = daemon.register("ann");
    let own = ann.own();
    for number in 0..10 {
        ann.text(own, &number.to_string());
    }
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let store = format!("sqlite:{}", daemon.database().display());
    let said = succeeds(&["backup", "--to", &path("backup.db"), "--store", &store]);
    assert!(said.contains("1 accounts, 1 conversations, 10 events"), "{said}");
    ann.text(own, "after the backup");
    fails(&["backup", "--to", &path("backup.db"), "--store", &store]);
    let restored = format!("sqlite:{}", path("restored/imserver.db"));
    succeeds(&["restore", "--from", &path("backup.db"), "--store", &restored]);
    fails(&["restore", "--from", &path("backup.db"), "--store", &restored]);
    let daemon = Setup {
        data_dir: Some(directory.path().join("restored")),
        ..Setup::default()
    }
    .start();
    let mut again = daemon.login("ann", "other");
    assert_eq!(again.texts(own).len(), 10);
    assert_ne!(
        again.epoch, ann.epoch,
        "what came after the backup is lost, and devices are told so"
    );
}

/// What a person sees of their conversations.
fn seen(user: &mut User, conversations: &[u64]) -> Vec<(v1::Conversation, Vec<v1::Event>)> {
    conversations
        .iter()
        .map(|id| (user.view(*id), user.history(*id)))
        .collect()
}

#[test]
fn a_copied_store_goes_on_in_postgresql() {
    // Embedded, whatever the other tests store in.
    let directory = tempfile::tempdir().unwrap();
    let setup = || Setup {
        data_dir: Some(directory.path().to_owned()),
        ..Setup::default()
    };
    let from = format!("sqlite:{}", directory.path().display());
    let to = services::fresh_database().unwrap();
    let mut daemon = setup().start();
    let [mut ann, mut bob, mut cid] = daemon.register_all(["ann", "bob", "cid"]);
    let (direct, group) = (ann.direct(bob.id), ann.group("friends", &[bob.id, cid.id]));
    for number in 0..20 {
        ann.text(direct, &format!("to bob {number}"));
        bob.text(group, &format!("to all {number}"));
    }
    let target = bob.text(group, "to be changed").seq;
    bob.about(EventKind::Edit, group, target, "changed").unwrap();
    ann.about(EventKind::Reaction, group, target, "+1").unwrap();
    let erased = bob.text(group, "to be recalled").seq;
    bob.about(EventKind::Recall, group, erased, "").unwrap();
    cid.leave(group).unwrap();
    let request = v1::SendRequest {
        client_msg_id: message_id(),
        ..text(direct, "sent twice")
    };
    let sent = ann.get(request.clone());
    // In use, it is not copied, and neither is the one for the other.
    assert!(fails(&["copy", "--from", &from, "--to", &to]).contains("another imserver uses"));
    assert!(fails(&["copy", "--from", &to, "--to", &from]).contains("--from"));
    assert!(fails(&["copy", "--from", &from, "--to", &from]).contains("--to"));
    let conversations = [direct, group];
    let before = [&mut ann, &mut bob].map(|user| seen(user, &conversations));
    daemon.ask_to_end();
    assert!(daemon.ended().success());

    let said = succeeds(&["copy", "--from", &from, "--to", &to]);
    assert!(
        said.starts_with("copied and compared: 3 accounts, 3 sessions, 2 conversations, 48 events"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(fails(&["copy", "--from", &from, "--to", &to]).contains("not empty"));

    let daemon = Setup {
        store: Some(to),
        ..Setup::default()
    }
    .start();
    let [mut ann, mut bob] = [ann, bob].map(|user| {
        User {
            address: daemon.address(),
            ..user
        }
        .resumed()
    });
    let after = [&mut ann, &mut bob].map(|user| seen(user, &conversations));
    assert_eq!(before, after);
    let mut cid = daemon.login("cid", "second");
    assert_eq!(cid.history(group).last().unwrap().kind(), EventKind::MemberLeft);
    // What was sent before is known, and what comes follows it.
    let again = ann.get(request);
    assert_eq!((again.seq, again.duplicate), (sent.seq, true));
    assert_eq!(ann.text(direct, "after the move").seq, sent.seq + 1);
    assert_eq!(bob.texts(direct).last().unwrap(), "after the move");
    assert_eq!(daemon.register("dan").id, cid.id + 1);
}
