//! Somebody is away for a while: what came meanwhile waits in Redis for the sync of their return, as far as it is
//! there and still true.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use protocol::v1::{self, EventKind};
use tests::harness::{Cluster, ClusterSetup, User, body};

use super::until;

/// Ann is on one node; Bob, who has heard of her before, was on the other.
struct Absence {
    cluster: Cluster,
    ann: User,
    bob: User,
    pair: u64,
    token: bytes::Bytes,
}

impl Absence {
    fn begin() -> Self {
        Self::over(ClusterSetup::nodes(2))
    }

    fn over(setup: ClusterSetup) -> Self {
        let cluster = setup.start();
        let mut ann = cluster.nodes[0].register("ann");
        let bob = cluster.nodes[1].register("bob");
        let pair = ann.direct(bob.id);
        ann.text(pair, "before");
        let mut absence = Self {
            cluster,
            ann,
            bob,
            pair,
            token: bytes::Bytes::new(),
        };
        absence.token = absence.sync().token;
        assert!(!absence.list_has("since"), "nobody is away");
        absence.go_away();
        absence
    }

    /// What Bob gets for his newest token.
    fn sync(&mut self) -> v1::SyncResponse {
        let sync = self.bob.get(v1::SyncRequest {
            token: self.token.clone(),
            limit: 100,
        });
        assert!(!sync.more && !sync.restarted);
        sync
    }

    fn go_away(&mut self) {
        // Only the session is needed on; nobody says hello on this connection.
        self.bob.conn = self.cluster.nodes[1].connect();
        until("the list was begun", || self.list_has("since"));
    }

    /// On the given node.
    fn come_back(&mut self, node: usize) -> v1::SyncResponse {
        self.bob.address = self.cluster.nodes[node].address();
        self.bob = self.bob.resumed();
        self.sync()
    }

    /// Redis's answer to a command.
    fn redis(&self, command: &str) -> String {
        let address = self.cluster.redis.as_ref().unwrap().address();
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .write_all(format!("{command}\r\nQUIT\r\n").as_bytes())
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Whether Bob's list has this text, be it a body or part of the list itself.
    fn list_has(&self, text: &str) -> bool {
        // The key names the store's past as well; there is one.
        let keys = self.redis(&format!("KEYS imserver:*:offline:{}", self.bob.id));
        let key = keys
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with("imserver:"));
        key.is_some_and(|key| self.redis(&format!("HGETALL {key}")).contains(text))
    }

    /// Ann says something and it is in Bob's list.
    fn said(&mut self, text: &str) -> u64 {
        let seq = self.ann.text(self.pair, text).seq;
        until("it is in the list", || self.list_has(text));
        seq
    }

    fn status_says(&self, node: usize, text: &str) {
        let node = &self.cluster.nodes[node];
        until(text, || {
            node.ask_for_status();
            node.log().iter().any(|line| line.contains(text))
        });
    }
}

fn bodies(sync: &v1::SyncResponse) -> Vec<String> {
    sync.pages
        .iter()
        .flat_map(|page| &page.events)
        .map(body)
        .collect()
}

#[test]
fn what_came_meanwhile_comes_from_the_list() {
    for node in [1, 0] {
        let mut absence = Absence::begin();
        for text in ["one", "two", "three"] {
            absence.said(text);
        }
        let sync = absence.come_back(node);
        assert_eq!(bodies(&sync), ["one", "two", "three"]);
        let page = &sync.pages[0];
        assert_eq!((page.from_seq, page.to_seq, page.head_seq), (2, 4, 4));
        assert_eq!(page.epoch, absence.bob.epoch);
        let stored = absence.bob.page(absence.pair, 2, 100).unwrap();
        assert_eq!(page.events, stored.events);
        absence.status_says(node, "1 lists found");
        absence.status_says(node, "1 pages from them, 0 events dropped");
        until("the list ended", || !absence.list_has("since"));

        // And once more, from what that sync said.
        absence.token = sync.token;
        absence.cluster.nodes.swap(1, node);
        absence.go_away();
        absence.said("four");
        assert_eq!(bodies(&absence.come_back(0)), ["four"]);
    }
}

#[test]
fn what_was_recalled_meanwhile_is_nowhere() {
    let mut absence = Absence::begin();
    absence.said("harmless");
    let secret = absence.said("secret");
    let pair = absence.pair;
    absence.ann.about(EventKind::Recall, pair, secret, "").unwrap();
    until("it is gone from Redis", || !absence.list_has("secret"));
    let sync = absence.come_back(1);
    assert!(!format!("{sync:?}").contains("secret"));
    let page = &sync.pages[0];
    let recalled: Vec<bool> = page.events.iter().map(|event| event.recalled).collect();
    assert_eq!(recalled, [false, true, false]);
    assert_eq!(page.events[2].kind(), EventKind::Recall);
    absence.status_says(1, "0 pages from them");
}

#[test]
fn what_was_edited_meanwhile_is_read_from_the_store() {
    let mut absence = Absence::begin();
    let first = absence.said("first");
    let pair = absence.pair;
    absence.ann.about(EventKind::Edit, pair, first, "edited").unwrap();
    absence.said("last");
    let sync = absence.come_back(1);
    assert_eq!(bodies(&sync), ["first", "edited", "last"]);
    assert!(sync.pages[0].events[0].revision.is_some());
    absence.status_says(1, "1 lists found, 0 not found, 0 pages from them");
}

#[test]
fn without_a_list_everything_comes_all_the_same() {
    let mut absence = Absence::begin();
    absence.said("one");
    absence.cluster.redis.as_ref().unwrap().flush().unwrap();
    absence.ann.text(absence.pair, "two");
    assert_eq!(bodies(&absence.come_back(1)), ["one", "two"]);
    absence.status_says(1, "0 lists found, 1 not found");
}

#[test]
fn what_a_small_group_said_comes_from_the_list_too() {
    let mut absence = Absence::begin();
    let group = absence.ann.group("us", &[absence.bob.id]);
    absence.ann.text(group, "hello, us");
    absence.said("hello");
    until("the group's is there", || absence.list_has("hello, us"));
    let sync = absence.come_back(1);
    let of_group = sync
        .pages
        .iter()
        .find(|page| page.conversation_id == group)
        .unwrap();
    assert_eq!(of_group.events, absence.bob.page(group, 1, 100).unwrap().events);
    absence.status_says(1, "2 pages from them");
}

#[test]
fn without_redis_everything_comes_all_the_same() {
    let mut absence = Absence::over(ClusterSetup::nodes(2).allow_errors());
    absence.said("one");
    absence.cluster.redis.as_mut().unwrap().stop().unwrap();
    absence.ann.text(absence.pair, "two");
    assert_eq!(bodies(&absence.come_back(1)), ["one", "two"]);
    absence.status_says(1, "0 lists found, 1 not found");
    // What is committed while nobody answers is counted.
    absence.bob.conn = absence.cluster.nodes[1].connect();
    until("dropped", || {
        absence.ann.text(absence.pair, "three");
        absence.cluster.nodes[0].ask_for_status();
        let dropped = |line: &String| line.contains("recent events:") && !line.contains(" 0 events dropped");
        absence.cluster.nodes[0].log().iter().any(dropped)
    });
}
