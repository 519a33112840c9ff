//! People on different nodes.

use std::time::Duration;

use protocol::{Push, v1};
use tests::harness::{Cluster, ClusterSetup, Daemon, Incoming, User, body, hello, login};

use super::until;

/// With Redis, by either way of hints, and without.
fn each_way() -> [Cluster; 3] {
    [
        ClusterSetup::nodes(2).start(),
        ClusterSetup::nodes(2)
            .config("[redis]\nhints = \"streams\"\n")
            .start(),
        ClusterSetup::nodes(2).without_redis().start(),
    ]
}

fn ann_and_bob(cluster: &Cluster) -> (User, User) {
    (cluster.nodes[0].register("ann"), cluster.nodes[1].register("bob"))
}

/// What is pushed until `last` came: the bodies, in order.
#[track_caller]
fn bodies_until(user: &mut User, last: &str) -> Vec<String> {
    let mut bodies = Vec::new();
    while bodies.last().is_none_or(|body: &String| body != last) {
        if let Push::EventsPush(page) = user.conn.push() {
            bodies.extend(page.events.iter().map(body));
        }
    }
    bodies
}

#[test]
fn users_on_different_nodes_chat() {
    for cluster in each_way() {
        let (mut ann, mut bob) = ann_and_bob(&cluster);
        let pair = ann.direct(bob.id);
        for number in 0..20 {
            ann.text(pair, &format!("ann {number}"));
            bob.text(pair, &format!("bob {number}"));
        }
        let expected: Vec<String> = (0..20)
            .flat_map(|number| [format!("ann {number}"), format!("bob {number}")])
            .collect();
        assert_eq!(ann.texts(pair), expected);
        for user in [&mut ann, &mut bob] {
            let mut bodies = bodies_until(user, "bob 19");
            bodies.sort();
            let mut all = expected.clone();
            all.sort();
            assert_eq!(bodies, all, "each once");
        }
    }
}

#[test]
fn devices_of_one_user_on_different_nodes_stay_in_step() {
    for cluster in each_way() {
        let (mut ann, mut bob) = ann_and_bob(&cluster);
        let mut other = cluster.nodes[1].login("ann", "second");
        let pair = ann.direct(bob.id);
        ann.text(pair, "one");
        assert_eq!(bodies_until(&mut other, "one"), ["one"]);
        bob.text(pair, "two");
        assert_eq!(bodies_until(&mut other, "two"), ["two"]);
        ann.get(v1::ReadRequest {
            conversation_id: pair,
            seq: 2,
        });
        loop {
            if let Push::CursorsPush(push) = other.conn.push() {
                let cursor = &push.cursors[0];
                if (cursor.user_id, cursor.read_seq) == (ann.id, 2) {
                    break;
                }
            }
        }
    }
}

#[test]
fn who_was_removed_on_one_node_hears_nothing_later_on_another() {
    for cluster in each_way() {
        let (mut ann, mut bob) = ann_and_bob(&cluster);
        let cat = cluster.nodes[1].register("cat");
        let group = ann.group("us", &[bob.id, cat.id]);
        ann.text(group, "all of us");
        assert_eq!(bodies_until(&mut bob, "all of us").last().unwrap(), "all of us");
        ann.remove(group, bob.id).unwrap();
        ann.text(group, "without bob");
        let direct = ann.direct(bob.id);
        ann.text(direct, "to bob");
        let bodies = bodies_until(&mut bob, "to bob");
        assert!(!bodies.contains(&"without bob".to_owned()), "{bodies:?}");
        assert!(bob.page(group, 1, 100).unwrap().events.len() <= 3);
    }
}

#[test]
fn a_session_that_was_ended_on_one_node_ends_on_another() {
    for cluster in each_way() {
        let mut ann = cluster.nodes[0].register("ann");
        let mut other = cluster.nodes[1].login("ann", "second");
        assert_eq!(ann.get(v1::LogoutOthersRequest {}).sessions, 1);
        let go_away = loop {
            match other.conn.next() {
                Incoming::Push(Push::GoAway(go_away)) => break go_away,
                Incoming::End => panic!("without a word"),
                _ => {}
            }
        };
        assert_eq!(go_away.reason(), v1::GoAwayReason::Revoked);
        // And is not resumed anywhere.
        for node in &cluster.nodes {
            let mut conn = node.connect();
            let refusal = conn.ask(other.hello_again()).unwrap_err();
            assert_eq!(refusal.code(), v1::ErrorCode::Unauthenticated);
        }
    }
}

#[test]
fn a_profile_that_was_changed_on_one_node_is_seen_on_another() {
    for cluster in each_way() {
        let (mut ann, mut bob) = ann_and_bob(&cluster);
        let ids = vec![ann.id];
        let mut shown = || {
            let users = bob
                .get(v1::GetUsersRequest {
                    user_ids: ids.clone(),
                })
                .users;
            users[0].display_name.clone()
        };
        assert_eq!(shown(), "ann");
        ann.get(v1::UpdateProfileRequest {
            display_name: Some("Ann B.".to_owned()),
            ..v1::UpdateProfileRequest::default()
        });
        until("the new name", || shown() == "Ann B.");
    }
}

#[test]
fn typing_is_seen_on_other_nodes() {
    let cluster = ClusterSetup::nodes(2).start();
    let (mut ann, mut bob) = ann_and_bob(&cluster);
    let pair = ann.direct(bob.id);
    ann.text(pair, "hello");
    assert_eq!(bodies_until(&mut bob, "hello"), ["hello"]);
    // A hint may be lost while the nodes are still finding each other.
    until("typing", || {
        ann.get(v1::TypingRequest {
            conversation_id: pair,
            typing: true,
        });
        let pushed = bob.conn.poll(Duration::from_millis(200));
        matches!(pushed, Some(Incoming::Push(Push::TypingPush(_))))
    });
}

#[test]
fn a_session_that_moves_to_another_node_leaves_the_first() {
    let cluster = ClusterSetup::nodes(2).start();
    let mut ann = cluster.nodes[0].register("ann");
    ann.address = cluster.nodes[1].address();
    let mut moved = None;
    until("replaced", || {
        moved = Some(ann.resumed());
        match ann.conn.poll(Duration::from_millis(200)) {
            Some(Incoming::Push(Push::GoAway(go_away))) => {
                assert_eq!(go_away.reason(), v1::GoAwayReason::Replaced);
                true
            }
            other => {
                assert_eq!(other, None);
                false
            }
        }
    });
    let mut moved = moved.unwrap();
    let own = moved.own();
    moved.text(own, "here");
}

#[test]
fn devices_are_shown_online_wherever_they_are() {
    let mut cluster = ClusterSetup::nodes(2).start();
    let mut ann = cluster.nodes[0].register("ann");
    let other = cluster.nodes[1].login("ann", "second");
    let mut online = || {
        let devices = ann.get(v1::ListDevicesRequest {}).sessions;
        let online = devices.iter().filter(|device| device.online);
        online.map(|device| device.session_id).collect::<Vec<_>>()
    };
    until("both online", || online().len() == 2);
    // In order, so that the routes go at once; a node that is killed takes them along when it is missed.
    drop(other);
    until("one online", || online().len() == 1);
    cluster.nodes[1].ask_to_end();
    cluster.nodes[1].ended();
}

#[test]
fn a_node_that_drains_names_the_others() {
    let mut cluster = ClusterSetup::nodes(2).start();
    let mut ann = cluster.nodes[0].register("ann");
    let other = cluster.nodes[1].address().to_string();
    until("the nodes know each other", || listed(&cluster).len() == 2);
    // The second has been learnt of by the first with its next heartbeat.
    let mut named = Vec::new();
    until("an address", || {
        let go_away = drained(&mut cluster.nodes[0], &mut ann);
        named = go_away.addresses;
        cluster.nodes[0].start_again();
        ann = ann.resumed();
        !named.is_empty()
    });
    assert_eq!(named, [other]);
}

fn drained(node: &mut Daemon, user: &mut User) -> v1::GoAway {
    node.ask_to_end();
    let go_away = loop {
        match user.conn.next() {
            Incoming::Push(Push::GoAway(go_away)) => break go_away,
            Incoming::End => panic!("without a word"),
            _ => {}
        }
    };
    assert_eq!(go_away.reason(), v1::GoAwayReason::Draining);
    user.conn.rest();
    assert!(node.ended().success());
    go_away
}

/// What `imserver nodes` prints.
fn listed(cluster: &Cluster) -> Vec<String> {
    let redis = cluster.redis.as_ref().unwrap().url();
    let arguments = ["nodes".into(), "--redis".into(), redis.into()];
    let ended = Daemon::run_to_end(&arguments);
    assert!(ended.status.success(), "{ended:?}");
    ended.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn nodes_are_listed_and_go_with_their_process() {
    let mut cluster = ClusterSetup::nodes(2).start();
    until("two nodes", || listed(&cluster).len() == 2);
    let lines = listed(&cluster);
    for (index, line) in lines.iter().enumerate() {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields[0], format!("node{index}"));
        assert_eq!(fields[1], cluster.nodes[index].address().to_string());
        assert!(fields[2].parse::<u64>().unwrap() > 1_600_000_000_000);
    }
    cluster.nodes[1].ask_to_end();
    assert!(cluster.nodes[1].ended().success());
    assert_eq!(listed(&cluster).len(), 1);
}

/// A desktop's session on a node.
fn desktop(node: &Daemon, device: &str) -> User {
    let mut conn = node.connect();
    let mut hello = hello(device);
    if let Some(device) = &mut hello.device {
        device.class = v1::DeviceClass::Desktop.into();
    }
    conn.ask(hello).unwrap();
    let session = conn.ask(login("ann")).unwrap();
    User::of(node.address(), conn, device, session)
}

#[test]
fn a_device_in_use_on_one_node_stays_when_another_logs_in_elsewhere() {
    let setups = [
        ClusterSetup::nodes(2),
        // Without a Redis, what the nodes know of each other's devices is when they were last seen.
        ClusterSetup::nodes(2)
            .config("[devices]\nseen_every_ms = 100\n")
            .without_redis(),
    ];
    for setup in setups {
        let cluster = setup.start();
        let mut ann = cluster.nodes[0].register("ann");
        let mut in_use = desktop(&cluster.nodes[1], "in-use");
        // With ann's first these are as many as there may be.
        let unused: Vec<User> = (2..=4)
            .map(|number| desktop(&cluster.nodes[1], &format!("device-{number}")))
            .collect();
        let unused: Vec<u64> = unused.into_iter().map(|user| user.session).collect();
        until("the others are away, and the one in use was seen since", || {
            in_use.get(v1::Ping {});
            let sessions = ann.get(v1::ListDevicesRequest {}).sessions;
            let (away, others): (Vec<_>, Vec<_>) = sessions
                .into_iter()
                .partition(|session| unused.contains(&session.session_id));
            let last = away.iter().map(|session| session.last_seen_at_ms).max();
            away.iter().all(|session| !session.online)
                && others
                    .iter()
                    .filter(|session| session.session_id == in_use.session)
                    .all(|session| session.online || Some(session.last_seen_at_ms) > last)
        });
        desktop(&cluster.nodes[0], "device-6");
        in_use.get(v1::ListDevicesRequest {});
        let sessions = ann.get(v1::ListDevicesRequest {}).sessions;
        let ids: Vec<u64> = sessions.iter().map(|session| session.session_id).collect();
        assert!(
            ids.contains(&in_use.session) && !ids.contains(&unused[0]),
            "{ids:?}"
        );
    }
}
