//! The past of a store in PostgreSQL, by command and by the word that nodes leave in Redis.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
};

use tests::harness::{Cluster, ClusterSetup, Daemon, text};

use super::until;

fn command(cluster: &Cluster, words: &[&str]) -> (bool, String) {
    let mut arguments: Vec<OsString> = words.iter().map(OsString::from).collect();
    arguments.extend(["--store".into(), cluster.store.clone().into()]);
    let ended = Daemon::run_to_end(&arguments);
    (ended.status.success(), ended.stdout + &ended.stderr)
}

fn epoch(cluster: &Cluster) -> i64 {
    let row = cluster.client().query_one("SELECT epoch FROM store", &[]);
    row.unwrap().get(0)
}

#[test]
fn the_past_is_shown_and_renewed_beside_a_node_that_runs() {
    let mut cluster = ClusterSetup::nodes(1).without_redis().allow_errors().start();
    let mut ann = cluster.nodes[0].register("ann");
    let own = ann.own();
    ann.get(text(own, "before"));
    let before = epoch(&cluster);
    let (shown, said) = command(&cluster, &["past", "show"]);
    assert!(shown && said.contains(&format!("epoch {before}")), "{said}");
    assert!(
        said.contains("a new store") && said.contains("this past"),
        "{said}"
    );
    let (done, said) = command(&cluster, &["past", "new"]);
    assert!(!done && said.contains("Nodes that use the store end"), "{said}");
    assert_eq!(epoch(&cluster), before, "nobody has said yes");
    let (kept, said) = command(&cluster, &["past", "keep", "--yes"]);
    assert!(kept && epoch(&cluster) == before, "{said}");
    let (done, said) = command(&cluster, &["past", "new", "--yes", "--why", "it was put back"]);
    assert!(done && said.contains("it was put back"), "{said}");
    assert_ne!(epoch(&cluster), before);
    // The node finds out by its next transaction, if not before.
    let answer = ann.conn.try_ask(text(own, "after"));
    assert!(answer.is_none(), "{answer:?}");
    assert_eq!(cluster.nodes[0].ended().code(), Some(70));
}

/// All of it was put back together, the node's memory included; only Redis was not.
#[test]
fn word_in_redis_of_what_is_missing_begins_a_new_past() {
    let mut cluster = ClusterSetup::nodes(1).allow_errors().start();
    let mut ann = cluster.nodes[0].register("ann");
    let own = ann.own();
    ann.get(text(own, "kept"));
    cluster.nodes.clear();
    cluster.postgres.stop().unwrap();
    let copy = cluster.postgres.copy_data().unwrap();
    cluster.postgres.start_again().unwrap();
    cluster.add_node();
    let mut ann = cluster.nodes[0].login("ann", "another");
    ann.get(text(own, "lost"));
    let row = cluster
        .client()
        .query_one(
            "SELECT generation, log_id, (SELECT max(position) FROM events) FROM store",
            &[],
        )
        .unwrap();
    let (generation, log_id, newest): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    let before = epoch(&cluster);
    // A node says at its start what it finds, and then at every heartbeat.
    cluster.nodes[0].restart();
    let key = format!("imserver:past:{log_id:016x}");
    let redis = cluster.redis.as_ref().unwrap().url();
    until("word of it", || {
        let told = ask(&redis, &format!("HGET {key} {generation:020}"));
        told.and_then(|told| told.parse::<i64>().ok()) >= Some(newest)
    });
    cluster.nodes.clear();
    cluster.postgres.put_back(&copy).unwrap();
    cluster.postgres.start_again().unwrap();
    assert_eq!(epoch(&cluster), before);
    cluster.add_node();
    assert_ne!(epoch(&cluster), before);
    let (_, said) = command(&cluster, &["past", "show"]);
    assert!(said.contains("left word in Redis"), "{said}");
    // It lives in the new past, and says so in its turn.
    let mut ann = cluster.nodes[0].login("ann", "third");
    ann.get(text(own, "after"));
}

/// The text that Redis answers, if it is one.
fn ask(url: &str, command: &str) -> Option<String> {
    let (_, place) = url.split_once("://")?;
    let address = place.trim_end_matches('/').rsplit('@').next()?;
    let address = address.split('/').next()?;
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
    let mut lines = BufReader::new(stream).lines();
    let length = lines.next()?.ok()?;
    if length == "$-1" {
        return None;
    }
    lines.next()?.ok()
}
