//! The admin listener: who gets what, and whether the daemon says that it can serve.

use tests::harness::Setup;

use super::{admin_of, get};
use crate::cluster::until;

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn metrics_status_and_health_are_answered() {
    let mut daemon = Setup::config(&format!("{ADMIN}[timeouts]\ndrain_ms = 60000\n")).start();
    let admin = admin_of(&daemon);
    let _ann = daemon.register("ann");
    let (_, text) = get(admin, "/metrics", "");
    assert!(
        text.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"),
        "{text}"
    );
    assert!(
        text.contains("\nimserver_sessions 1\n") && !text.contains("# EOF"),
        "{text}"
    );
    let (_, open) = get(
        admin,
        "/metrics",
        "Accept: application/openmetrics-text; version=1.0.0\r\n",
    );
    assert!(
        open.contains("Content-Type: application/openmetrics-text"),
        "{open}"
    );
    assert!(open.ends_with("# EOF\n"), "{open}");
    let (code, status) = get(admin, "/debug/status", "");
    let status: serde_json::Value = serde_json::from_str(status.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((code, &status["sessions"]), (200, &1.into()), "{status}");
    assert_eq!(status["admin_address"], admin.to_string());
    assert_eq!(get(admin, "/healthz", "").0, 200);
    assert_eq!(get(admin, "/readyz", "").0, 200);
    assert_eq!(get(admin, "/", "").0, 404);
    // A chat client is no HTTP client.
    let (code, _) = get(admin, "/metrics", "bad header\r\n");
    assert_eq!(code, 400);
    daemon.ask_to_end();
    assert_eq!(daemon.ended().code(), Some(0));
    assert!(std::net::TcpStream::connect(admin).is_err());
}

#[test]
fn beyond_loopback_a_token_is_needed() {
    let refused = |config: &str| {
        let ended = Setup::config(config).try_start().unwrap_err();
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        ended.stderr
    };
    let said = refused("[admin]\nlisten = \"0.0.0.0:0\"\n");
    assert!(said.contains("admin.token_file"), "{said}");
    let said = refused("[admin]\nlisten = \"9100\"\n");
    assert!(said.contains("admin.listen"), "{said}");
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("token");
    let config = format!(
        "[admin]\nlisten = \"0.0.0.0:0\"\ntoken_file = {:?}\n",
        file.display().to_string()
    );
    assert!(refused(&config).contains("cannot read"), "the file is missing");
    std::fs::write(&file, " \n").unwrap();
    assert!(refused(&config).contains("holds no token"));
    std::fs::write(&file, "sesame\n").unwrap();
    let daemon = Setup::config(&config).start();
    let mut admin = admin_of(&daemon);
    admin.set_ip([127, 0, 0, 1].into());
    assert_eq!(get(admin, "/metrics", "").0, 401);
    assert_eq!(get(admin, "/metrics", "Authorization: Bearer sesam\r\n").0, 401);
    assert_eq!(get(admin, "/metrics", "Authorization: Bearer sesame\r\n").0, 200);
    assert_eq!(get(admin, "/readyz", "").0, 200);
}

#[test]
fn a_node_without_its_database_is_alive_and_not_ready() {
    let mut cluster = tests::harness::ClusterSetup::nodes(1)
        .without_redis()
        .config(ADMIN)
        .allow_errors()
        .start();
    let admin = admin_of(&cluster.nodes[0]);
    assert_eq!(get(admin, "/readyz", "").0, 200);
    cluster.postgres.kill().unwrap();
    until("it is not ready", || get(admin, "/readyz", "").0 == 503);
    assert_eq!(get(admin, "/healthz", "").0, 200);
    assert_eq!(get(admin, "/metrics", "").0, 200);
    cluster.postgres.start_again().unwrap();
    until("it is ready again", || get(admin, "/readyz", "").0 == 200);
}

#[test]
fn a_refusal_names_the_line_of_the_log() {
    let daemon = Setup::config("[log]\nlevel = \"debug\"\n").start();
    let mut ann = daemon.register("ann");
    let refused = ann
        .ask(protocol::v1::FindUserRequest {
            name: "nobody".into(),
        })
        .unwrap_err();
    let other = ann.page(1, 1, 1).unwrap_err();
    assert_ne!(refused.request_id, other.request_id);
    assert!(refused.request_id.len() >= 16, "{refused:?}");
    let line = format!("request {} (find_user, number ", refused.request_id);
    until("it is logged", || {
        daemon.log().iter().any(|other| other.contains(&line))
    });
    let mut stranger = daemon.connect();
    stranger.write(b"\0\0\0\0\x0b\xb9\0\x05");
    let refused = stranger.refusal_of(5);
    let line = format!("request {} (answered by the loop, number 5 ", refused.request_id);
    until("it is logged, too", || {
        daemon.log().iter().any(|other| other.contains(&line))
    });
}
