//! Redis stopped, flushed, frozen, restarted, full: messages go on, nobody is logged out, and what it held comes
//! back.

use protocol::{
    Push,
    v1::{self, ErrorCode},
};
use services::{Redis, RedisSetup};
use tests::harness::{Cluster, ClusterSetup, Daemon, Incoming, User, body, hello, login, text};

use super::until;

struct Stage {
    cluster: Cluster,
    ann: User,
    bob: User,
    said: u32,
}

impl Stage {
    fn new(setup: ClusterSetup) -> Self {
        let cluster = setup.start();
        let ann = cluster.nodes[0].register("ann");
        let bob = cluster.nodes[1].register("bob");
        let mut stage = Self {
            cluster,
            ann,
            bob,
            said: 0,
        };
        stage.messages_go_on();
        stage.presence_is_known();
        stage
    }

    fn redis(&mut self) -> &mut Redis {
        self.cluster.redis.as_mut().unwrap()
    }

    /// From one node to the other, each once and in order.
    fn messages_go_on(&mut self) {
        let pair = self.ann.direct(self.bob.id);
        for _ in 0..5 {
            self.said += 1;
            let expected = self.said.to_string();
            self.ann.get(text(pair, &expected));
            let event = loop {
                match self.bob.conn.next() {
                    Incoming::Push(Push::EventsPush(mut page)) => break page.events.remove(0),
                    Incoming::Push(Push::CursorsPush(_)) => {}
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!((body(&event), event.seq), (expected, u64::from(self.said)));
        }
    }

    /// Every session is resumed on the node it did not have.
    fn nobody_is_logged_out(&self) {
        for (user, node) in [(&self.ann, 1), (&self.bob, 0)] {
            let mut other = self.cluster.nodes[node].login(&user.name, "third");
            other.conn = self.cluster.nodes[node].connect();
            let welcome = other.conn.ask(other.hello_again()).unwrap();
            assert_eq!(welcome.session.unwrap().session_id, other.session);
            other.get(v1::LogoutRequest {});
        }
    }

    /// What only Redis can know: a device on the other node.
    fn presence_is_known(&mut self) {
        let other = self.cluster.nodes[1].login("ann", "second");
        let ann = &mut self.ann;
        until("the other device is seen", || {
            let devices = ann.get(v1::ListDevicesRequest {}).sessions;
            let mut second = devices.iter().filter(|device| device.session_id == other.session);
            second.all(|device| device.online)
        });
    }
}

#[test]
fn stopped_and_started_again() {
    let mut stage = Stage::new(ClusterSetup::nodes(2).allow_errors());
    stage.redis().stop().unwrap();
    stage.messages_go_on();
    stage.nobody_is_logged_out();
    stage.messages_go_on();
    stage.redis().start_again().unwrap();
    stage.messages_go_on();
    stage.presence_is_known();
    stage.nobody_is_logged_out();
}

#[test]
fn killed_and_started_again() {
    let mut stage = Stage::new(ClusterSetup::nodes(2).allow_errors());
    for _ in 0..3 {
        stage.redis().kill().unwrap();
        stage.redis().start_again().unwrap();
        stage.messages_go_on();
    }
    stage.presence_is_known();
    stage.nobody_is_logged_out();
}

#[test]
fn flushed() {
    let mut stage = Stage::new(ClusterSetup::nodes(2).allow_errors());
    for _ in 0..3 {
        stage.redis().flush().unwrap();
        stage.messages_go_on();
    }
    stage.nobody_is_logged_out();
    stage.presence_is_known();
}

#[test]
fn frozen_for_a_while() {
    let mut stage = Stage::new(ClusterSetup::nodes(2).allow_errors());
    stage.redis().freeze();
    stage.messages_go_on();
    stage.nobody_is_logged_out();
    stage.redis().thaw();
    stage.messages_go_on();
    stage.presence_is_known();
}

#[test]
fn full() {
    let full = RedisSetup {
        maxmemory_bytes: Some(1),
        ..RedisSetup::default()
    };
    let mut cluster = ClusterSetup::nodes(0).allow_errors().start();
    cluster.redis = Some(full.start().unwrap());
    cluster.add_node();
    cluster.add_node();
    let ann = cluster.nodes[0].register("ann");
    let bob = cluster.nodes[1].register("bob");
    let mut stage = Stage {
        cluster,
        ann,
        bob,
        said: 0,
    };
    stage.messages_go_on();
    stage.nobody_is_logged_out();
}

/// Of a wrong password.
fn guess(node: &Daemon) -> ErrorCode {
    let mut conn = node.connect();
    conn.ask(hello("guesser")).unwrap();
    let request = v1::LoginRequest {
        password: "guess".to_owned(),
        ..login("ann")
    };
    conn.ask(request).unwrap_err().code()
}

#[test]
fn passwords_are_counted_together() {
    let limits = "[limits]\nexempt = []\npasswords_per_address = 0\npasswords_per_account = 3\n";
    let mut cluster = ClusterSetup::nodes(2).config(limits).allow_errors().start();
    cluster.nodes[0].register("ann");
    let guesses = [0, 1, 0, 1, 0].map(|node| guess(&cluster.nodes[node]));
    let (wrong, limited) = (ErrorCode::BadCredentials, ErrorCode::RateLimited);
    assert_eq!(guesses, [wrong, wrong, wrong, limited, limited]);
    // Without it each node counts by itself.
    cluster.redis.as_mut().unwrap().stop().unwrap();
    let guesses = [1, 1, 1, 1].map(|node| guess(&cluster.nodes[node]));
    assert_eq!(guesses, [wrong, wrong, wrong, limited]);
}
