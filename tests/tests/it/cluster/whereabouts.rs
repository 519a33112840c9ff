//! `imserver where`: on which nodes and with which devices users are, asked of either node for many users in one call.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use protocol::v1;
use serde_json::Value;
use tests::harness::{Cluster, ClusterSetup, Daemon, Ended, PASSWORD, Setup, User, hello};

use super::until;

/// Accounts that are asked about: as many as one call may name.
const ACCOUNTS: usize = 1_000;
/// Of these one in so many is connected, to the nodes in turn.
const CONNECTED_EVERY: usize = 25;

fn section(socket: &Path) -> String {
    format!("[control]\nsocket = {:?}\n", socket.display().to_string())
}

/// Two nodes, each with its control socket.
fn two_nodes(sockets: &[PathBuf; 2]) -> Cluster {
    let mut cluster = ClusterSetup::nodes(1)
        .config(&section(&sockets[0]))
        .allow_errors()
        .start();
    let second = Setup {
        config: section(&sockets[1]),
        ..cluster.node_setup()
    };
    cluster.nodes.push(second.start());
    cluster
}

fn find(node: &Daemon, asked: &[String], flags: &[&str]) -> Ended {
    let config = node.config_file().display().to_string();
    let fixed = ["--config", &config, "where"];
    let asked = asked.iter().map(String::as_str);
    let arguments = fixed.into_iter().chain(asked).chain(flags.iter().copied());
    Daemon::run_to_end(&arguments.map(Into::into).collect::<Vec<_>>())
}

/// A user, and the devices with their nodes.
type Found = (String, BTreeMap<String, String>);

/// Whether everybody was asked, and of each who was asked about node and device of each connection.
fn found(node: &Daemon, asked: &[String]) -> (bool, Vec<Found>) {
    let ended = find(node, asked, &["--json"]);
    let said: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let is_complete = said["complete"].as_bool().unwrap();
    let code = if is_complete { 0 } else { 1 };
    assert_eq!(ended.status.code(), Some(code), "{ended:?}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let users = said["users"].as_array().unwrap().iter();
    let users = users.map(|user| {
        let at = user["connections"].as_array().unwrap().iter();
        let at = at.map(|at| (text(&at["device_id"]), text(&at["node"])));
        (text(&user["asked"]), at.collect())
    });
    (is_complete, users.collect())
}

/// A session with this token, on this node.
fn resumed(node: &Daemon, token: &str) -> User {
    let mut conn = node.connect();
    let hello = v1::Hello {
        session_token: token.to_owned(),
        ..hello("provisioned")
    };
    let session = conn.ask(hello).unwrap().session.unwrap();
    User::of(node.address(), conn, "provisioned", session)
}

#[test]
fn either_node_says_where_a_thousand_users_are() {
    let place = tempfile::tempdir().unwrap();
    let mut cluster = two_nodes(&["one", "two"].map(|name| place.path().join(name)));
    let password = place.path().join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let (count, password) = (ACCOUNTS.to_string(), password.display().to_string());
    let provision = [
        "provision",
        "--count",
        &count,
        "--prefix",
        "u",
        "--store",
        &cluster.store,
        "--password-file",
        &password,
    ];
    let made = Daemon::run_to_end(&provision.map(Into::into));
    assert!(made.status.success(), "{made:?}");
    let accounts: Vec<Vec<&str>> = made
        .stdout
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let mut expected = Vec::new();
    let mut connected = Vec::new();
    for (at, account) in accounts.iter().enumerate() {
        let asked = if at % 2 == 0 {
            account[0].to_owned()
        } else {
            format!("#{}", account[1])
        };
        let mut devices = BTreeMap::new();
        if at % CONNECTED_EVERY == 0 {
            let node = at / CONNECTED_EVERY % 2;
            connected.push(resumed(&cluster.nodes[node], account[2]));
            devices.insert("provisioned".to_owned(), format!("node{node}"));
        }
        expected.push((asked, devices));
    }
    // The first one has a device on the other node, too.
    let laptop = cluster.nodes[1].login(accounts[0][0], "laptop");
    expected[0].1.insert("laptop".to_owned(), "node1".to_owned());
    let asked: Vec<String> = expected.iter().map(|(asked, _)| asked.clone()).collect();
    for node in &cluster.nodes {
        until("all are where they are", || {
            found(node, &asked) == (true, expected.clone())
        });
    }
    let lines = find(&cluster.nodes[0], &asked, &[]).stdout;
    assert_eq!(
        lines.lines().filter(|line| line.ends_with("\toffline")).count(),
        ACCOUNTS - connected.len()
    );
    assert_eq!(
        lines.lines().filter(|line| line.contains("\tnode1\t")).count(),
        connected.len() / 2 + 1
    );
    let beyond = [&asked[..], &asked[..1]].concat();
    let refused = find(&cluster.nodes[0], &beyond, &[]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");

    // A device that goes is gone on the other node, too.
    drop(laptop);
    expected[0].1.remove("laptop");
    until("the laptop is gone", || {
        found(&cluster.nodes[0], &asked) == (true, expected.clone())
    });

    // Without Redis each node knows its own people, and says that others are missing.
    cluster.redis.as_mut().unwrap().stop().unwrap();
    for (number, node) in cluster.nodes.iter().enumerate() {
        let own = format!("node{number}");
        let mut expected = expected.clone();
        for (_, devices) in &mut expected {
            devices.retain(|_, node| *node == own);
        }
        until("nobody else is known", || {
            found(node, &asked) == (false, expected.clone())
        });
    }
}
