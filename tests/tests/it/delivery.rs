//! What a receiver gets who was away, who reads slowly, or who does not read at all.

use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::{Push, v1};
use tests::harness::{Daemon, Incoming, PATIENCE, Setup, User, text};

/// Everything a sync brings, page after page; the last token.
fn sync(user: &mut User, token: Bytes) -> (Vec<v1::Conversation>, Bytes) {
    let mut conversations = Vec::new();
    let mut token = token;
    loop {
        let answer = user.get(v1::SyncRequest { token, limit: 100 });
        conversations.extend(answer.conversations);
        token = answer.token;
        if !answer.more {
            return (conversations, token);
        }
    }
}

#[test]
fn who_was_away_learns_exactly_what_changed() {
    let daemon = Daemon::start();
    let [mut alice, mut bob, mut carol] = daemon.register_all(["alice", "bob", "carol"]);
    let with_bob = alice.direct(bob.id);
    alice.text(with_bob, "before");
    carol.text(carol.direct(bob.id), "before");
    let (_, token) = sync(&mut bob, Bytes::new());
    drop(bob.conn);
    let mut bob_away = Vec::new();
    for number in 0..30 {
        bob_away.push(alice.text(with_bob, &format!("away {number}")).seq);
    }
    let mut bob = daemon.login("bob", "first");
    let (changed, token) = sync(&mut bob, token);
    assert_eq!(changed.len(), 1, "only one conversation changed: {changed:?}");
    assert_eq!((changed[0].conversation_id, changed[0].head_seq), (with_bob, 31));
    let page = bob.page(with_bob, 2, 100).unwrap();
    assert_eq!(
        page.events.iter().map(|event| event.seq).collect::<Vec<_>>(),
        bob_away
    );
    let (changed, _) = sync(&mut bob, token);
    assert_eq!(changed, []);
}

/// A receiver that reads nothing while thousands of messages come costs bounded memory and hurts nobody, is
/// told heads instead of events when it reads again, and finds everything in the log.
#[test]
fn a_slow_reader_gets_heads_and_loses_nothing() {
    const MESSAGES: u64 = 3_000;
    const BODY: usize = 4_000;
    let daemon = Setup::config("[limits]\npush_queue_bytes = 65536\n").start();
    let [mut alice, mut slow, mut carol] = daemon.register_all(["alice", "slow", "carol"]);
    let (_, token) = sync(&mut slow, Bytes::new());
    let conversation = alice.direct(slow.id);
    let body = "x".repeat(BODY);
    let before = daemon.memory();
    for _ in 0..MESSAGES {
        alice.text(conversation, &body);
    }
    // 12 MB were pushed at it; the sockets' buffers took some, the queue its limit, and the rest was not kept.
    if let (Some(before), Some(after)) = (before, daemon.memory()) {
        let grown = after.saturating_sub(before);
        assert!(grown < 64 * 1024 * 1024, "the daemon grew by {grown} bytes");
    }
    // The others are served meanwhile.
    let with_carol = alice.direct(carol.id);
    alice.text(with_carol, "you are not slow");
    assert_eq!(carol.pushed().conversation_id, with_carol);

    let mut applied = 0;
    let mut head = 0;
    let mut newest_token = token;
    while head < MESSAGES && applied < MESSAGES {
        match slow.conn.poll(Duration::from_secs(20)) {
            Some(Incoming::Push(Push::EventsPush(page))) => {
                assert_eq!(
                    page.from_seq,
                    applied + 1,
                    "what is pushed is without a hole until heads begin"
                );
                applied = page.to_seq;
            }
            Some(Incoming::Push(Push::HeadsPush(heads))) => {
                head = heads.heads.iter().map(|head| head.seq).max().unwrap_or(0);
                assert!(head > applied || heads.resync);
            }
            other => panic!("{other:?} after {applied} of {MESSAGES}"),
        }
    }
    assert!(applied < MESSAGES, "it was never behind: the test proves nothing");
    assert_eq!(head, MESSAGES);
    // The pong's token covers what was pushed and the heads, and a sync from it finds nothing new.
    let pong = slow.get(v1::Ping {});
    if !pong.sync_token.is_empty() {
        newest_token = pong.sync_token;
    }
    let mut seqs: Vec<u64> = Vec::new();
    while applied < head {
        let page = slow.page(conversation, applied + 1, 500).unwrap();
        seqs.extend(page.events.iter().map(|event| event.seq));
        applied = page.to_seq;
    }
    assert!(seqs.is_sorted() && seqs.last() == Some(&MESSAGES));
    let (changed, _) = sync(&mut slow, newest_token);
    assert_eq!(changed, [], "the token spoke for everything");
}

#[test]
fn a_reader_that_takes_nothing_at_all_is_closed_in_the_end() {
    let daemon =
        Setup::config("[limits]\npush_queue_bytes = 65536\n[timeouts]\nwrite_stall_ms = 500\n").start();
    let [mut alice, stuck] = daemon.register_all(["alice", "stuck"]);
    let conversation = alice.direct(stuck.id);
    let body = "x".repeat(4_000);
    for _ in 0..3_000 {
        alice.text(conversation, &body);
    }
    // It is closed without having read a byte; another device of the user sees it go.
    let mut second = daemon.login("stuck", "second");
    let until = Instant::now() + PATIENCE;
    loop {
        let sessions = second.get(v1::ListDevicesRequest {}).sessions;
        if sessions.iter().all(|session| session.current || !session.online) {
            break;
        }
        assert!(Instant::now() < until, "it is still connected");
    }
    // The session is still good, and the log has everything.
    let mut stuck = stuck.resumed();
    let last = stuck.view(conversation).head_seq;
    assert_eq!(last, 3_000);
}

#[test]
fn every_device_of_every_member_is_pushed_to() {
    let daemon = Daemon::start();
    let [mut alice, mut bob] = daemon.register_all(["alice", "bob"]);
    let mut others = [daemon.login("alice", "second"), daemon.login("bob", "second")];
    let conversation = alice.direct(bob.id);
    let sent = alice.get(text(conversation, "to all of you"));
    for device in [&mut alice, &mut bob].into_iter().chain(&mut others) {
        let event = device.pushed();
        assert_eq!((event.conversation_id, event.seq), (conversation, sent.seq));
    }
}
