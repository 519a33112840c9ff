//! No secret in a `Debug`, in whatever it is wrapped.

use crate::{Reply, Request, samples};

#[test]
fn secrets_are_not_shown() {
    let requests = samples::requests()
        .into_iter()
        .map(|request| format!("{request:?} {request:#?}"));
    let replies = samples::replies()
        .into_iter()
        .map(|reply| format!("{reply:?} {reply:#?}"));
    for shown in requests.chain(replies) {
        assert!(
            !shown.contains("correct horse") && !shown.contains("c2Vzc2lvbi10b2tlbg"),
            "{shown}"
        );
    }
}

#[test]
fn everything_else_is() {
    let hello = samples::requests().remove(0);
    let shown = format!("{hello:?}");
    for part in [
        "1229804337",
        "laptop-01",
        "sample 1.0",
        "session_token: hidden",
        "version_min: 1",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
    let welcome = format!("{:?}", samples::replies().remove(0));
    for part in [
        "Anna",
        "session_id: 77",
        "token: hidden",
        "epoch: 18364758544493064720",
    ] {
        assert!(welcome.contains(part), "{welcome}");
    }
    let login = format!("{:?}", Request::Login(crate::v1::LoginRequest::default()));
    assert_eq!(login, r#"Login(LoginRequest { name: "", password: absent })"#);
    let session = format!("{:?}", Reply::Login(crate::v1::Session::default()));
    assert!(session.contains("token: absent"), "{session}");
}
