//! Offline, then online: everything once, in order.

use std::collections::BTreeMap;

use bytes::Bytes;
use protocol::{Push, v1};
use tests::harness::{Daemon, User, body, text};

/// A device as simple as one can be: it applies what is next and pulls what is missing.
struct Follower {
    user: User,
    token: Bytes,
    applied: BTreeMap<u64, Vec<String>>,
    cursors: BTreeMap<u64, u64>,
}

impl Follower {
    fn new(user: User) -> Self {
        Self {
            user,
            token: Bytes::new(),
            applied: BTreeMap::new(),
            cursors: BTreeMap::new(),
        }
    }

    fn apply(&mut self, page: &v1::Page) {
        let cursor = self.cursors.entry(page.conversation_id).or_default();
        if page.from_seq > *cursor + 1 || page.to_seq <= *cursor {
            return;
        }
        for event in page.events.iter().filter(|event| event.seq > *cursor) {
            self.applied
                .entry(page.conversation_id)
                .or_default()
                .push(body(event));
        }
        *cursor = page.to_seq;
    }

    /// As a device does when it comes back: sync, pages, and history for the rest.
    fn catch_up(&mut self) {
        loop {
            let sync = self.user.get(v1::SyncRequest {
                token: self.token.clone(),
                limit: 50,
            });
            assert!(!sync.restarted);
            sync.pages.iter().for_each(|page| self.apply(page));
            for view in &sync.conversations {
                while self.cursors.get(&view.conversation_id).copied().unwrap_or(0) < view.head_seq {
                    let from = self.cursors.get(&view.conversation_id).copied().unwrap_or(0) + 1;
                    let page = self.user.page(view.conversation_id, from, 30).unwrap();
                    self.apply(&page);
                }
            }
            self.token = sync.token;
            if !sync.more {
                return;
            }
        }
    }

    /// Takes pushes until a conversation has come so far.
    fn follow(&mut self, conversation: u64, head: u64) {
        while self.cursors.get(&conversation).copied().unwrap_or(0) < head {
            match self.user.conn.push() {
                Push::EventsPush(page) => self.apply(&page),
                Push::HeadsPush(_) => self.catch_up(),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn what_was_said_while_one_was_away_comes_once_and_in_order() {
    let daemon = Daemon::start();
    let [mut ada, bob] = daemon.register_all(["ada", "bob"]);
    let direct = ada.direct(bob.id);
    let group = ada.group("us", &[bob.id]);
    let mut bob = Follower::new(bob);
    bob.catch_up();
    let mut expected = Vec::new();
    for round in 0..5 {
        // Away: the connection goes, the session stays.
        bob.user.conn.finish();
        while bob.user.conn.next() != tests::harness::Incoming::End {}
        for number in 0..60 {
            let said = format!("{round}.{number}");
            ada.text(direct, &said);
            ada.text(group, &said);
            expected.push(said);
        }
        bob.user = bob.user.resumed();
        bob.catch_up();
        // Online: what is said now is pushed.
        let said = format!("{round}, live");
        let head = ada.text(direct, &said).seq;
        bob.follow(direct, head);
        let head = ada.text(group, &said).seq;
        bob.follow(group, head);
        expected.push(said);
    }
    assert_eq!(bob.applied[&direct], expected);
    assert_eq!(
        bob.applied[&group][1..],
        expected[..],
        "after the event that made it"
    );
}

#[test]
fn a_second_device_gets_everything_too() {
    let daemon = Daemon::start();
    let [mut ada, bob] = daemon.register_all(["ada", "bob"]);
    let direct = ada.direct(bob.id);
    let mut first = Follower::new(bob);
    first.catch_up();
    for number in 0..100 {
        ada.text(direct, &number.to_string());
    }
    let mut second = Follower::new(daemon.login("bob", "second"));
    second.catch_up();
    first.follow(direct, 100);
    let expected: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(first.applied[&direct], expected);
    assert_eq!(second.applied[&direct], expected);
}

#[test]
fn coming_back_in_the_middle_of_a_stream_misses_nothing() {
    let daemon = Daemon::start();
    let [mut ada, bob] = daemon.register_all(["ada", "bob"]);
    let direct = ada.direct(bob.id);
    let writer = std::thread::spawn(move || {
        let seqs: Vec<u16> = (0..2_000)
            .map(|number| ada.conn.submit(text(direct, &number.to_string())))
            .collect();
        for seq in seqs {
            ada.conn.answer::<v1::SendRequest>(seq).unwrap();
        }
    });
    let mut bob = Follower::new(bob);
    let mut times = 0;
    while bob.cursors.get(&direct).copied().unwrap_or(0) < 2_000 {
        bob.catch_up();
        let head = bob.cursors.get(&direct).copied().unwrap_or(0);
        bob.follow(direct, (head + 50).min(2_000));
        bob.user = bob.user.resumed();
        times += 1;
    }
    writer.join().unwrap();
    assert!(times > 1);
    let expected: Vec<String> = (0..2_000).map(|number| number.to_string()).collect();
    assert_eq!(bob.applied[&direct], expected);
}
