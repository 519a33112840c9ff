//! PostgreSQL stopped, restarted, cut off, locked, full: nothing false is acknowledged, connections stay, and what
//! was sent is stored once when it is back.

use protocol::v1::{self, ErrorCode};
use services::{PostgresSetup, RedisSetup};
use tests::harness::{Cluster, ClusterSetup, Setup, text};

use super::{reads_again, send_until_stored, until};

fn alone() -> Cluster {
    ClusterSetup::nodes(1).without_redis().allow_errors().start()
}

#[test]
fn while_it_is_stopped_writes_and_reads_are_refused_and_connections_stay() {
    let mut cluster = alone();
    let mut ann = cluster.nodes[0].register("ann");
    let own = ann.own();
    ann.text(own, "before");
    cluster.postgres.stop_immediate().unwrap();
    for _ in 0..3 {
        let refusal = ann.ask(text(own, "never")).unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::Unavailable);
        assert!(refusal.retry_after_ms > 0);
        let refusal = ann.page(own, 1, 10).unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::Unavailable);
    }
    // What needs no store is answered.
    ann.get(v1::Ping::default());
    until("the state is logged", || {
        cluster.nodes[0].ask_for_status();
        let says =
            |line: &String| line.contains("PostgreSQL: reading open, ") && line.contains("; writing open");
        cluster.nodes[0].log().iter().any(says)
    });
    let request = text(own, "after");
    assert!(ann.ask(request.clone()).is_err());
    cluster.postgres.start_again().unwrap();
    let (sent, _) = send_until_stored(&mut ann, &request);
    assert_eq!(sent.seq, 2);
    reads_again(&mut ann);
    assert_eq!(ann.texts(own), ["before", "after"]);
    // New sessions too.
    let bob = cluster.nodes[0].register("bob");
    assert_eq!(bob.id, 2);
    // Each change is said once.
    let said = |what: &str| {
        let says = |line: &&String| line.contains(what);
        cluster.nodes[0].log().iter().filter(says).count()
    };
    until("all is as before", || {
        ann.text(own, "more");
        reads_again(&mut ann);
        said("(writing) is asked as usual again") == 1 && said("(reading) is asked as usual again") == 1
    });
    for kind in ["(reading)", "(writing)"] {
        assert_eq!(said(&format!("{kind} does not answer")), 1, "{kind}");
        assert_eq!(said(&format!("{kind} answers again")), 1, "{kind}");
    }
}

/// The id that a client is told leads to the line that tells why, at the level at which a daemon runs.
#[test]
fn the_cause_of_a_refusal_is_logged_with_its_id() {
    let mut cluster = alone();
    let mut ann = cluster.nodes[0].register("ann");
    let own = ann.own();
    ann.text(own, "before");
    cluster.postgres.stop_immediate().unwrap();
    let read = ann.page(own, 1, 10).unwrap_err().request_id;
    until("the question's cause is logged", || {
        let mut lines = cluster.nodes[0].log().into_iter();
        lines.any(|line| {
            line.contains("the store did not answer: ") && line.contains(&format!("(request {read})"))
        })
    });
    let written = ann.ask(text(own, "never")).unwrap_err().request_id;
    let id_of = |mark: &str, before: &str, behind: &str| {
        let line = cluster.nodes[0]
            .log()
            .into_iter()
            .find(|line| line.contains(mark))?;
        let id = line.split(before).nth(1)?.split(behind).next()?;
        Some(id.to_owned())
    };
    until("the write's cause is logged", || {
        let from = id_of(
            "a batch was not committed: ",
            "(requests that are refused from ",
            " on)",
        );
        from.is_some_and(|from| from.len() == written.len() && from <= written)
    });
    cluster.postgres.start_again().unwrap();
    send_until_stored(&mut ann, &text(own, "after"));
    until("the end is logged", || {
        let before = id_of("takes writes again", "(requests that were refused before ", ")");
        before.is_some_and(|before| before > written)
    });
}

#[test]
fn a_restart_in_the_middle_of_sending_neither_loses_nor_doubles() {
    let mut cluster = alone();
    let mut ann = cluster.nodes[0].register("ann");
    let own = ann.own();
    let mut expected = Vec::new();
    for round in 0..3 {
        for number in 0..40 {
            let body = format!("{round} {number}");
            if number == 20 {
                cluster.postgres.restart_immediate().unwrap();
            }
            send_until_stored(&mut ann, &text(own, &body));
            expected.push(body);
        }
    }
    reads_again(&mut ann);
    assert_eq!(ann.texts(own), expected);
}

#[test]
fn connections_that_are_cut_are_made_again() {
    let cluster = alone();
    let mut ann = cluster.nodes[0].register("ann");
    let own = ann.own();
    for number in 1..=10 {
        cluster.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'imserver %'",
        );
        let (sent, _) = send_until_stored(&mut ann, &text(own, "again"));
        assert_eq!(sent.seq, number);
    }
    reads_again(&mut ann);
    assert_eq!(ann.texts(own).len(), 10);
}

#[test]
fn a_lock_that_somebody_holds_is_given_up_on_with_an_answer() {
    let cluster = ClusterSetup::nodes(1)
        .without_redis()
        .allow_errors()
        .config("[store]\nlock_ms = 300\nstatement_ms = 600\nrequest_ms = 600\n")
        .start();
    let mut ann = cluster.nodes[0].register("ann");
    let own = ann.own();
    ann.text(own, "before");
    let request = text(own, "held");
    {
        let mut client = cluster.client();
        let mut held = client.transaction().unwrap();
        held.execute(
            "SELECT 1 FROM conversations WHERE id = $1 FOR UPDATE",
            &[&(own as i64)],
        )
        .unwrap();
        let refusal = ann.ask(request.clone()).unwrap_err();
        assert_eq!(refusal.code(), ErrorCode::Unavailable);
        held.rollback().unwrap();
    }
    let (sent, _) = send_until_stored(&mut ann, &request);
    assert_eq!((sent.seq, sent.duplicate), (2, false));
}

#[test]
fn a_server_that_takes_no_writes_is_told_apart() {
    let cluster = alone();
    let mut ann = cluster.nodes[0].register("ann");
    let own = ann.own();
    ann.text(own, "before");
    let database = cluster.store.rsplit('/').next().unwrap().to_owned();
    cluster.sql_elsewhere(&format!(
        "ALTER DATABASE \"{database}\" SET default_transaction_read_only = on"
    ));
    cluster.sql_elsewhere(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name LIKE 'imserver %'",
    );
    let request = text(own, "after");
    until("refused", || ann.ask(request.clone()).is_err());
    cluster.sql_elsewhere(&format!(
        "ALTER DATABASE \"{database}\" RESET default_transaction_read_only"
    ));
    let (sent, _) = send_until_stored(&mut ann, &request);
    assert!(sent.seq == 2);
    reads_again(&mut ann);
    assert_eq!(ann.texts(own), ["before", "after"]);
}

#[test]
fn an_answer_that_is_lost_on_the_way_is_found_out() {
    // Between the daemon and PostgreSQL stands a proxy that can swallow what comes back.
    let cluster = ClusterSetup::nodes(0).without_redis().start();
    let proxy = super::wire::Wire::to(cluster.postgres.address());
    let store = cluster.store.replace(
        &cluster.postgres.address().to_string(),
        &proxy.address().to_string(),
    );
    let daemon = Setup {
        store: Some(store),
        errors_allowed: true,
        ..Setup::default()
    }
    .start();
    let mut ann = daemon.register("ann");
    let own = ann.own();
    ann.text(own, "before");
    for round in 0..5 {
        proxy.swallow_answers();
        let request = text(own, &format!("swallowed {round}"));
        let seq = ann.conn.submit(request.clone());
        // The request has gone to the server, and its answer is lost with the connection.
        proxy.wait_swallowed();
        proxy.cut();
        match ann.conn.answer::<v1::SendRequest>(seq) {
            Ok(sent) => assert_eq!(sent.seq, 2 + round),
            Err(refusal) => assert_eq!(refusal.code(), ErrorCode::Unavailable),
        }
        let (sent, _) = send_until_stored(&mut ann, &request);
        assert_eq!(sent.seq, 2 + round);
    }
    reads_again(&mut ann);
    assert_eq!(ann.texts(own).len(), 6);
}

#[test]
fn without_it_the_daemon_says_what_it_wants() {
    let mut postgres = PostgresSetup::default().start().unwrap();
    let store = postgres.database().unwrap();
    postgres.stop().unwrap();
    let arguments = [
        "--store".into(),
        store.into(),
        "--listen".into(),
        "127.0.0.1:0".into(),
    ];
    let ended = tests::harness::Daemon::run_to_end(&arguments);
    assert!(!ended.status.success());
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("PostgreSQL"), "{ended:?}");
}

#[test]
fn passwords_come_from_files_and_are_shown_to_nobody() {
    const OF_POSTGRES: &str = "canary-of-postgres";
    const OF_REDIS: &str = "canary-of-redis";
    let postgres = PostgresSetup {
        password: Some(OF_POSTGRES.to_owned()),
        ..PostgresSetup::default()
    };
    let redis = RedisSetup {
        password: Some(OF_REDIS.to_owned()),
        ..RedisSetup::default()
    };
    let (postgres, redis) = (postgres.start().unwrap(), redis.start().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let without = |url: String, password: &str| url.replace(&format!(":{password}@"), "@");
    let setup = |of_postgres: &str| Setup {
        store: Some(without(postgres.database().unwrap(), OF_POSTGRES)),
        redis: Some(without(redis.url(), OF_REDIS).replace("//@", "//")),
        config: format!(
            "[log]\nlevel = \"trace\"\n[store]\npassword_file = {:?}\n[redis]\npassword_file = {:?}\n",
            file("store", of_postgres),
            file("redis", &format!("{OF_REDIS}\n")),
        ),
        ..Setup::default()
    };
    let daemon = setup(OF_POSTGRES).start();
    let mut ann = daemon.register("ann");
    ann.text(ann.own(), "hello");
    until("the node is known to Redis", || {
        let arguments = ["nodes".into(), "--redis".into(), redis.url().into()];
        tests::harness::Daemon::run_to_end(&arguments)
            .stdout
            .lines()
            .count()
            == 1
    });
    until("the state is logged", || {
        daemon.ask_for_status();
        let says = |line: &String| line.contains("PostgreSQL: reading") && line.contains("Redis:");
        daemon.log().iter().any(says)
    });
    for line in daemon.log() {
        assert!(!line.contains("canary"), "{line}");
    }
    let wrong = setup("canary-that-is-wrong");
    let config = directory.path().join("wrong.toml");
    std::fs::write(&config, &wrong.config).unwrap();
    let arguments = [
        "--config".into(),
        config.into(),
        "--store".into(),
        wrong.store.unwrap().into(),
        "--listen".into(),
        "127.0.0.1:0".into(),
    ];
    let ended = tests::harness::Daemon::run_to_end(&arguments);
    assert!(!ended.status.success());
    assert!(
        ended.stderr.contains("password") && !ended.stderr.contains("canary"),
        "{ended:?}"
    );
}
