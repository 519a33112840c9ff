//! Presence over nodes.

use std::time::{Duration, Instant};

use protocol::{
    Push,
    v1::{self, PresenceState},
};
use tests::harness::{Cluster, ClusterSetup, Incoming, User, message_id};

use super::until;

/// How long a node without a heartbeat counts as alive, and the time to find out that it does not any more.
const TIME_TO_LIVE: Duration = Duration::from_secs(32);

/// How soon a friend on another node sees a change.
const CHANGE: Duration = Duration::from_secs(1);

fn set_away(user: &mut User, away: bool) {
    user.get(v1::SetAwayRequest { away });
}

fn watched(user: &mut User) -> PresenceState {
    let user_ids = vec![user.id];
    let told = user.get(v1::WatchPresenceRequest { user_ids });
    told.presences[0].state()
}

#[track_caller]
fn told(user: &mut User) -> PresenceState {
    match user.conn.push() {
        Push::PresencePush(presence) => presence.state(),
        other => panic!("{other:?}"),
    }
}

/// Ada's phone on the first node, where nobody is at it, and her laptop on the second one; the phone watches, and the
/// nodes have found each other.
fn phone_and_laptop(cluster: &Cluster) -> (User, User) {
    let mut phone = cluster.nodes[0].register("ada");
    set_away(&mut phone, true);
    let mut laptop = cluster.nodes[1].login("ada", "laptop");
    until("the laptop", || watched(&mut phone) == PresenceState::Online);
    // A hint may be lost while the nodes are still finding each other.
    let mut away = false;
    until("a hint", || {
        away = !away;
        set_away(&mut laptop, away);
        let pushed = phone.conn.poll(Duration::from_millis(1_500));
        matches!(pushed, Some(Incoming::Push(Push::PresencePush(_))))
    });
    set_away(&mut laptop, false);
    until("quiet", || {
        let pushed = phone.conn.poll(Duration::from_millis(1_500));
        pushed.is_none() && watched(&mut phone) == PresenceState::Online
    });
    (phone, laptop)
}

#[test]
fn a_device_on_another_node_is_seen_to_go_away_and_come_back() {
    for hints in ["pubsub", "streams"] {
        let config = format!("[redis]\nhints = \"{hints}\"\n[timeouts]\npresence_grace_ms = 0\n");
        let cluster = ClusterSetup::nodes(2).config(&config).start();
        let (mut phone, mut laptop) = phone_and_laptop(&cluster);
        set_away(&mut laptop, true);
        assert_eq!(told(&mut phone), PresenceState::Away);
        // Whoever begins to watch while it is so is told so, too.
        watched(&mut phone);
        until("away is asked after", || {
            watched(&mut phone) == PresenceState::Away
        });
        set_away(&mut laptop, false);
        assert_eq!(told(&mut phone), PresenceState::Online);
        drop(laptop);
        assert_eq!(told(&mut phone), PresenceState::Away);
        let _laptop = cluster.nodes[1].login("ada", "laptop");
        assert_eq!(told(&mut phone), PresenceState::Online);
    }
}

/// Two who are friends, on the first two nodes; Ada watches Bob, and sees him.
fn friends(cluster: &Cluster) -> (User, User, v1::WatchPresenceRequest) {
    let mut ada = cluster.nodes[0].register("ada");
    let mut bob = cluster.nodes[1].register("bob");
    for (one, other) in [(&mut ada, bob.id), (&mut bob, 1)] {
        // Who asks whom who has asked says yes.
        one.get(v1::RequestFriendRequest {
            client_msg_id: message_id(),
            user_id: other,
            greeting: String::new(),
        });
    }
    let watch = v1::WatchPresenceRequest {
        user_ids: vec![bob.id],
    };
    until("Ada sees Bob", || {
        ada.get(watch.clone()).presences[0].state() == PresenceState::Online
    });
    (ada, bob, watch)
}

/// What a friend is told next, which is not what they were told last.
#[track_caller]
fn told_otherwise(user: &mut User, last: PresenceState) -> PresenceState {
    loop {
        match user.conn.push() {
            Push::PresencePush(presence) if presence.state() != last => return presence.state(),
            // Events of the friendship, and what a hint repeats.
            _ => {}
        }
    }
}

#[test]
fn a_friend_on_another_node_sees_every_change_and_a_former_friend_none() {
    let config = "[timeouts]\npresence_grace_ms = 0\n";
    let cluster = ClusterSetup::nodes(2).config(config).start();
    let (mut ada, mut bob, watch) = friends(&cluster);
    let changed_at = Instant::now();
    set_away(&mut bob, true);
    assert_eq!(
        told_otherwise(&mut ada, PresenceState::Online),
        PresenceState::Away
    );
    let took = changed_at.elapsed();
    // Only where it is measured at leisure.
    if std::env::var("DISASTERS").is_ok_and(|wanted| wanted == "all") {
        assert!(took <= CHANGE, "{took:?}");
    }
    set_away(&mut bob, false);
    assert_eq!(
        told_otherwise(&mut ada, PresenceState::Away),
        PresenceState::Online
    );
    let again = bob.hello_again();
    drop(bob);
    assert_eq!(
        told_otherwise(&mut ada, PresenceState::Online),
        PresenceState::Offline
    );
    let mut conn = cluster.nodes[1].connect();
    conn.ask(again).unwrap();
    assert_eq!(
        told_otherwise(&mut ada, PresenceState::Offline),
        PresenceState::Online
    );
    conn.ask(v1::RemoveFriendRequest {
        client_msg_id: message_id(),
        user_id: ada.id,
    })
    .unwrap();
    assert_eq!(
        told_otherwise(&mut ada, PresenceState::Online),
        PresenceState::Offline
    );
    conn.ask(v1::SetAwayRequest { away: true }).unwrap();
    assert_eq!(ada.get(watch).presences[0].last_seen_ms, 0);
    let later = ada.pushes_so_far();
    let presences = later.iter().filter(|push| matches!(push, Push::PresencePush(_)));
    assert_eq!(presences.count(), 0, "{later:?}");
}

#[test]
fn a_reconnect_to_another_node_shows_nothing() {
    let cluster = ClusterSetup::nodes(3).start();
    let (mut ada, mut bob, watch) = friends(&cluster);
    ada.pushes_so_far();
    for node in [2, 1, 2] {
        bob.address = cluster.nodes[node].address();
        let back = bob.resumed();
        drop(std::mem::replace(&mut bob, back));
    }
    // However long that took, up to the grace of half a minute.
    assert_eq!(ada.pushes_so_far(), []);
    assert_eq!(ada.get(watch).presences[0].state(), PresenceState::Online);
    assert_eq!(ada.pushes_so_far(), []);
}

#[test]
fn users_of_a_killed_node_are_offline_within_its_time_to_live() {
    let mut cluster = ClusterSetup::nodes(2).start();
    let (mut phone, _laptop) = phone_and_laptop(&cluster);
    let killed_at = Instant::now();
    cluster.nodes[1].kill();
    assert_eq!(told(&mut phone), PresenceState::Away);
    let took = killed_at.elapsed();
    // Only where it is measured at leisure.
    if std::env::var("DISASTERS").is_ok_and(|wanted| wanted == "all") {
        assert!(took <= TIME_TO_LIVE, "{took:?}");
    }
}
