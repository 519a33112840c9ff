//! Somebody is away for a while and comes back to one node or another: what came meanwhile comes with the sync of their
//! return, as the store shows it now.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use protocol::v1::{self, EventKind};
use tests::harness::{Cluster, ClusterSetup, User, body};

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
        let cluster = ClusterSetup::nodes(2).start();
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
}

fn bodies(sync: &v1::SyncResponse) -> Vec<String> {
    sync.pages
        .iter()
        .flat_map(|page| &page.events)
        .map(body)
        .collect()
}

#[test]
fn what_came_meanwhile_comes_on_either_node() {
    for node in [1, 0] {
        let mut absence = Absence::begin();
        for text in ["one", "two", "three"] {
            absence.ann.text(absence.pair, text);
        }
        let sync = absence.come_back(node);
        assert_eq!(bodies(&sync), ["one", "two", "three"]);
        let page = &sync.pages[0];
        assert_eq!((page.from_seq, page.to_seq, page.head_seq), (2, 4, 4));
        assert_eq!(page.epoch, absence.bob.epoch);
        let stored = absence.bob.page(absence.pair, 2, 100).unwrap();
        assert_eq!(page.events, stored.events);

        // And once more, from what that sync said.
        absence.token = sync.token;
        absence.cluster.nodes.swap(1, node);
        absence.go_away();
        absence.ann.text(absence.pair, "four");
        assert_eq!(bodies(&absence.come_back(0)), ["four"]);
    }
}

#[test]
fn what_was_recalled_meanwhile_is_nowhere() {
    let mut absence = Absence::begin();
    let pair = absence.pair;
    absence.ann.text(pair, "harmless");
    let secret = absence.ann.text(pair, "secret").seq;
    absence.ann.about(EventKind::Recall, pair, secret, "").unwrap();
    let sync = absence.come_back(1);
    assert!(!format!("{sync:?}").contains("secret"));
    let page = &sync.pages[0];
    let recalled: Vec<bool> = page.events.iter().map(|event| event.recalled).collect();
    assert_eq!(recalled, [false, true, false]);
    assert_eq!(page.events[2].kind(), EventKind::Recall);
}

#[test]
fn what_was_edited_meanwhile_comes_as_it_is_now() {
    let mut absence = Absence::begin();
    let pair = absence.pair;
    let first = absence.ann.text(pair, "first").seq;
    absence.ann.about(EventKind::Edit, pair, first, "edited").unwrap();
    absence.ann.text(pair, "last");
    let sync = absence.come_back(1);
    assert_eq!(bodies(&sync), ["first", "edited", "last"]);
    assert!(sync.pages[0].events[0].revision.is_some());
}

#[test]
fn redis_holds_no_body() {
    let mut absence = Absence::begin();
    let group = absence.ann.group("us", &[absence.bob.id]);
    absence.ann.text(group, "canary in a group");
    absence.ann.text(absence.pair, "canary of two");
    for key in absence.redis("KEYS *").lines().map(str::trim) {
        if key.starts_with("imserver:") {
            let dumped = absence.redis(&format!("DUMP {key}"));
            assert!(!dumped.contains("canary"), "{key} holds a body");
        }
    }
    absence.cluster.redis.as_ref().unwrap().flush().unwrap();
    let sync = absence.come_back(1);
    assert_eq!(
        bodies(&sync)
            .iter()
            .filter(|body| body.starts_with("canary"))
            .count(),
        2
    );
}
