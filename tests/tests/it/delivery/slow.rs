//! Those who do not read: bounded, harmless, and told where to go on.

use std::{collections::BTreeMap, net::TcpStream};

use bytes::Bytes;
use protocol::{Push, Reply, v1};
use tests::harness::{Connection, Incoming, Setup, User, text};

const MIB: u64 = 1024 * 1024;

/// Those who do not read do not ping either, and are not to be closed for that where this is not the subject.
const PATIENT: &str = "[timeouts]\nidle_ms = 3600000\n";

/// Sends so many texts of so many bytes, as many in flight as the daemon reads.
fn send_many(user: &mut User, conversation: u64, count: usize, bytes: usize) {
    const WINDOW: usize = 32;
    let body = "x".repeat(bytes);
    let mut open = std::collections::VecDeque::new();
    for _ in 0..count {
        open.push_back(user.conn.submit(text(conversation, &body)));
        if open.len() == WINDOW {
            let seq = open.pop_front().unwrap();
            user.conn.answer::<v1::SendRequest>(seq).unwrap();
            drain(user);
        }
    }
    for seq in open {
        user.conn.answer::<v1::SendRequest>(seq).unwrap();
    }
    drain(user);
}

/// A sender is pushed its own messages; here they are not looked at.
fn drain(user: &mut User) {
    while user.conn.has_kept() {
        user.conn.next();
    }
}

#[test]
fn one_who_never_reads_costs_little_and_gets_everything_in_the_end() {
    const MESSAGES: u64 = 20_000;
    let daemon = Setup::config(PATIENT).start();
    let [mut ada, mut bob, mut cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let conversation = ada.direct(bob.id);
    // So that there is something to be found in the first sync's token.
    let mut token = bob
        .get(v1::SyncRequest {
            token: Bytes::new(),
            limit: 10,
        })
        .token;
    let before = daemon.memory();
    // 20 MB for bob, of which he reads nothing.
    for _ in 0..20 {
        send_many(&mut ada, conversation, MESSAGES as usize / 20, 1_000);
        cyd.text(cyd.own(), "not disturbed");
        assert_eq!(cyd.pushed().kind(), v1::EventKind::Text);
    }
    if let (Some(before), Some(after)) = (before, daemon.memory()) {
        let grown = after.saturating_sub(before);
        assert!(grown < 80 * MIB, "{grown} bytes");
    }
    // Now he reads: first what was on its way, in order; then a head in place of what did not fit.
    let mut last = 0;
    let told = loop {
        match bob.conn.push() {
            Push::EventsPush(page) => {
                assert_eq!(page.from_seq, last + 1);
                last = page.to_seq;
            }
            Push::HeadsPush(heads) => break heads,
            other => panic!("{other:?}"),
        }
    };
    assert!(last < MESSAGES, "most of it did not fit");
    if !told.resync {
        assert_eq!(told.heads.len(), 1);
        assert_eq!(told.heads[0].conversation_id, conversation);
    }
    // By sync and history, the rest exactly once.
    let sync = bob.get(v1::SyncRequest {
        token: token.clone(),
        limit: 10,
    });
    assert_eq!(sync.conversations[0].head_seq, MESSAGES);
    token = sync.token;
    while last < MESSAGES {
        let page = bob.page(conversation, last + 1, 500).unwrap();
        for event in &page.events {
            assert_eq!(event.seq, last + 1);
            last = event.seq;
        }
    }
    // And from here on pushes again.
    ada.text(conversation, "still there?");
    loop {
        match bob.conn.push() {
            Push::EventsPush(page) if page.to_seq == MESSAGES + 1 => break,
            Push::EventsPush(_) | Push::HeadsPush(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let sync = bob.get(v1::SyncRequest { token, limit: 10 });
    assert_eq!(sync.conversations.len(), 1);
}

/// Reads until the answer to a ping, and returns the newest cursor of each user that was pushed.
fn cursors_until_in_step(user: &mut User) -> (BTreeMap<u64, u64>, Bytes) {
    let mut cursors = BTreeMap::new();
    loop {
        let ping = user.conn.submit(v1::Ping {});
        let mut told = false;
        loop {
            match user.conn.next() {
                Incoming::Push(Push::CursorsPush(push)) => {
                    told = true;
                    for cursor in push.cursors {
                        let read = cursors.entry(cursor.user_id).or_default();
                        *read = cursor.read_seq.max(*read);
                    }
                }
                Incoming::Push(_) => told = true,
                Incoming::Reply(seq, reply) if seq == ping => match *reply {
                    Reply::Ping(pong) if !told && !pong.sync_token.is_empty() => {
                        return (cursors, pong.sync_token);
                    }
                    _ => break,
                },
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn cursors_that_did_not_fit_come_later() {
    const MESSAGES: usize = 3_000;
    let daemon = Setup::config(PATIENT).start();
    let [mut ada, mut bob, mut cyd] = daemon.register_all(["ada", "bob", "cyd"]);
    let (flood, quiet) = (ada.direct(bob.id), cyd.direct(bob.id));
    bob.text(quiet, "seen?");
    bob.get(v1::SyncRequest {
        token: Bytes::new(),
        limit: 10,
    });
    // Of which bob reads nothing, so that what comes now does not fit.
    send_many(&mut ada, flood, MESSAGES, 4_000);
    cyd.get(v1::ReadRequest {
        conversation_id: quiet,
        seq: 1,
    });
    // It is written when cyd is told of it.
    let moved = loop {
        if let Push::CursorsPush(push) = cyd.conn.push() {
            break push.cursors[0];
        }
    };
    assert_eq!((moved.user_id, moved.read_seq), (cyd.id, 1));
    let (cursors, token) = cursors_until_in_step(&mut bob);
    assert_eq!(cursors.get(&cyd.id), Some(&1), "{cursors:?}");
    // So the token may cover it.
    let sync = bob.get(v1::SyncRequest { token, limit: 10 });
    assert!(sync.cursors.is_empty(), "{sync:?}");
}

#[test]
fn one_who_takes_no_byte_for_long_is_closed_and_loses_nothing() {
    const MESSAGES: u64 = 4_000;
    let daemon = Setup::config(&format!("{PATIENT}write_stall_ms = 500\n")).start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    send_many(&mut ada, conversation, MESSAGES as usize, 4_000);
    // Until it is closed, bob is listed as online.
    let bobs = |bob: &mut User| bob.get(v1::ListDevicesRequest {}).sessions;
    let mut other = daemon.login("bob", "other");
    while bobs(&mut other)
        .iter()
        .any(|session| session.session_id == bob.session && session.online)
    {}
    let mut last = 0;
    loop {
        match bob.conn.next() {
            Incoming::Push(Push::EventsPush(page)) => {
                assert_eq!(page.from_seq, last + 1);
                last = page.to_seq;
            }
            Incoming::Push(Push::HeadsPush(_)) => {}
            Incoming::End => break,
            other => panic!("{other:?}"),
        }
    }
    let mut bob = bob.resumed();
    assert_eq!(bob.history(conversation).len() as u64, MESSAGES);
}

#[test]
fn a_pongs_token_does_not_run_ahead_of_what_was_written() {
    const MESSAGES: usize = 4_000;
    let daemon = Setup::config(&format!("[limits]\npush_queue_bytes = 65536\n{PATIENT}")).start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    bob.get(v1::SyncRequest {
        token: Bytes::new(),
        limit: 10,
    });
    send_many(&mut ada, conversation, MESSAGES, 4_000);
    // The ping's answer is behind everything that was queued before it.
    let seq = bob.conn.submit(v1::Ping {});
    let mut known: BTreeMap<u64, u64> = BTreeMap::new();
    let pong = loop {
        match bob.conn.next() {
            Incoming::Push(Push::EventsPush(page)) => {
                known.insert(page.conversation_id, page.to_seq);
            }
            Incoming::Push(Push::HeadsPush(heads)) => {
                for head in heads.heads {
                    known.insert(head.conversation_id, head.seq);
                }
            }
            Incoming::Reply(answered, reply) if answered == seq => match *reply {
                Reply::Ping(pong) => break pong,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    };
    let known = known.get(&conversation).copied().unwrap_or(0);
    // Whatever the token does not cover, a sync from it brings: nothing falls between the two.
    let sync = bob.get(v1::SyncRequest {
        token: pong.sync_token,
        limit: 10,
    });
    let head = MESSAGES as u64;
    let brought = sync.conversations.iter().any(|view| view.head_seq == head);
    assert!(
        brought || known == head,
        "known up to {known} of {head}, and the token covers the rest"
    );
}

#[test]
fn many_conversations_at_once_become_one_word_to_sync() {
    const GROUPS: usize = 400;
    let daemon = Setup::config(&format!("[limits]\npush_queue_bytes = 16384\n{PATIENT}")).start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    bob.get(v1::SyncRequest {
        token: Bytes::new(),
        limit: 10,
    });
    let bob_id = bob.id;
    let groups: Vec<u64> = (0..GROUPS)
        .map(|number| ada.group(&number.to_string(), &[bob_id]))
        .collect();
    // The buffers of the sockets, up to 37 MB on some systems, have to be full before anything is owed.
    let direct = ada.direct(bob_id);
    send_many(&mut ada, direct, 10_000, 4_000);
    for group in &groups {
        ada.text(*group, "one word");
        drain(&mut ada);
    }
    let mut heads = BTreeMap::new();
    let mut resync = false;
    while !resync {
        match bob.conn.push() {
            Push::EventsPush(page) => {
                heads.insert(page.conversation_id, page.to_seq);
            }
            Push::HeadsPush(push) => {
                heads.extend(push.heads.iter().map(|head| (head.conversation_id, head.seq)));
                resync = push.resync;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(
        groups.iter().any(|group| heads[group] < 2),
        "not all of them were named"
    );
    // Until he has synced, no pong's token speaks for what he was not told.
    let mut token = bob.get(v1::Ping {}).sync_token;
    loop {
        let sync = bob.get(v1::SyncRequest { token, limit: 100 });
        heads.extend(
            sync.conversations
                .iter()
                .map(|view| (view.conversation_id, view.head_seq)),
        );
        token = sync.token;
        if !sync.more {
            break;
        }
    }
    assert_eq!((heads.len(), heads[&direct]), (GROUPS + 1, 10_000));
    assert!(groups.iter().all(|group| heads[group] == 2));
    // Settled: pushes come again.
    ada.text(groups[7], "after");
    loop {
        match bob.conn.push() {
            Push::EventsPush(page) if page.conversation_id == groups[7] && page.to_seq == 3 => break,
            Push::HeadsPush(push)
                if push
                    .heads
                    .iter()
                    .any(|head| (head.conversation_id, head.seq) == (groups[7], 3)) =>
            {
                break;
            }
            Push::EventsPush(_) | Push::HeadsPush(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn one_who_vanished_without_a_word_costs_nobody_anything() {
    let daemon = Setup::config("[timeouts]\nheartbeat_ms = 200\nidle_ms = 1000\n").start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let conversation = ada.direct(bob.id);
    // Half open: the socket is there, and nobody is behind it.
    let vanished: TcpStream = bob.conn.stream().try_clone().unwrap();
    let mut online = true;
    let mut other: Option<User> = None;
    while online {
        ada.text(conversation, "hello?");
        ada.pushed();
        let other = other.get_or_insert_with(|| daemon.login("bob", "other"));
        let sessions = other.get(v1::ListDevicesRequest {}).sessions;
        online = sessions
            .iter()
            .any(|session| session.session_id == bob.session && session.online);
    }
    drop(vanished);
    // What was on its way when it was given up is in order and ends with why.
    let rest = bob.conn.rest();
    assert!(
        matches!(rest.last(), Some(Incoming::Push(Push::GoAway(go_away))) if go_away.reason() == v1::GoAwayReason::Idle)
    );
    let mut bob = bob.resumed();
    assert_eq!(bob.history(conversation).len(), ada.history(conversation).len());
}

#[test]
fn answers_that_are_not_read_are_bounded() {
    let daemon = Setup::config("[timeouts]\nwrite_stall_ms = 500\n").start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let own = ada.own();
    send_many(&mut ada, own, 200, 1_000);
    let before = daemon.memory();
    // History after history, nothing of it read, until the daemon gives up.
    ada.conn
        .stream()
        .set_write_timeout(Some(std::time::Duration::from_millis(100)))
        .unwrap();
    let request = v1::HistoryRequest {
        conversation_id: own,
        from_seq: 1,
        limit: 500,
        ..v1::HistoryRequest::default()
    };
    let closed = std::iter::repeat_with(|| {
        let (_, frame) = ada.conn.frame(request);
        write_all_or_stall(&mut ada.conn, &frame)
    })
    .any(|outcome| outcome == Wrote::Closed);
    assert!(closed);
    if let (Some(before), Some(after)) = (before, daemon.memory()) {
        let grown = after.saturating_sub(before);
        assert!(grown < 48 * MIB, "{grown} bytes");
    }
    bob.text(bob.own(), "not disturbed");
}

#[derive(PartialEq)]
enum Wrote {
    All,
    Closed,
}

/// Writes a frame whole, however long the daemon does not read.
fn write_all_or_stall(conn: &mut Connection, bytes: &[u8]) -> Wrote {
    use std::io::{ErrorKind, Write};
    let mut rest = bytes;
    while !rest.is_empty() {
        match conn.stream().write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return Wrote::Closed,
        }
    }
    Wrote::All
}
