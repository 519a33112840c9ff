//! One who wants everything, beside somebody who wants a little. Whoever is served when is told by what was answered
//! before what, never by a clock.

use std::{
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use protocol::{
    Encoding, MessageType,
    v1::{self, ErrorCode},
};
use tests::harness::{Connection, Daemon, Incoming, PATIENCE, Setup, User, hello, login, message_id, text};

use super::Stage;

const MIB: u64 = 1024 * 1024;
const SESSIONS: usize = 5;
const IN_FLIGHT: usize = 32;

/// A conversation with a page of history, by somebody with many sessions.
fn attacker(daemon: &Daemon, name: &str, sessions: usize) -> (Vec<User>, u64) {
    let first = daemon.register(name);
    let conversation = first.own();
    let mut devices = vec![first];
    for device in 1..sessions {
        devices.push(daemon.login(name, &format!("device-{device}")));
    }
    for _ in 0..20 {
        let sends: Vec<u16> = (0..25)
            .map(|number| {
                devices[0]
                    .conn
                    .submit(text(conversation, &format!("{number:2}: {}", "x".repeat(120))))
            })
            .collect();
        for seq in sends {
            devices[0].conn.answer_any(seq).unwrap();
        }
    }
    (devices, conversation)
}

fn page(conversation_id: u64) -> v1::HistoryRequest {
    v1::HistoryRequest {
        conversation_id,
        from_seq: 1,
        limit: 500,
        ..v1::HistoryRequest::default()
    }
}

/// Asks for as many pages as may be unanswered; their seqs.
fn ask_for_pages(conn: &mut Connection, conversation: u64) -> Vec<u16> {
    (0..IN_FLIGHT).map(|_| conn.submit(page(conversation))).collect()
}

#[test]
fn a_stranger_does_not_wait_for_a_user_with_many_sessions() {
    let mut stage = Stage::with("[server]\nworkers = 2\n[limits]\nrequests_in_flight = 32\n");
    let (devices, conversation) = attacker(&stage.daemon, "mallory", SESSIONS);
    let answered = Arc::new(AtomicUsize::new(0));
    let readers: Vec<_> = devices
        .into_iter()
        .map(|mut device| {
            let answered = Arc::clone(&answered);
            ask_for_pages(&mut device.conn, conversation);
            thread::spawn(move || {
                let mut left = IN_FLIGHT;
                while left > 0 {
                    if let Incoming::Reply(..) = device.conn.next() {
                        left -= 1;
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();
    stage.still_serves();
    let before = answered.load(Ordering::SeqCst);
    for reader in readers {
        reader.join().unwrap();
    }
    let all = SESSIONS * IN_FLIGHT;
    assert_eq!(answered.load(Ordering::SeqCst), all, "nothing is lost");
    assert!(
        before < all / 2,
        "{before} of {all} pages came before a stranger's"
    );
    stage.still_serves();
}

#[test]
fn who_reads_late_gets_all_answers() {
    // More than what is kept for answers beyond the limit, and what the system takes.
    let mut stage = Stage::with("[limits]\nrequests_in_flight = 96\n");
    let (devices, conversation) = attacker(&stage.daemon, "ada", 1);
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let mut conn = stage.daemon.connect();
        conn.encoding = encoding;
        conn.ask(devices[0].hello_again()).unwrap();
        let seqs: Vec<u16> = (0..96).map(|_| conn.submit(page(conversation))).collect();
        // Time enough to make all the answers, were they made before anybody takes them.
        for _ in 0..600 {
            stage.still_serves();
        }
        for seq in seqs {
            conn.answer_any(seq).unwrap();
        }
        conn.ask(v1::Ping {}).unwrap();
    }
    stage.still_serves();
}

#[test]
fn answers_that_nobody_reads_stay_within_the_budget() {
    const ACCOUNTS: usize = 8;
    const BUDGET: u64 = 8 * MIB;
    let mut stage = Stage::with(&format!("[limits]\nqueued_bytes = {BUDGET}\n"));
    let mut conns = Vec::new();
    for account in 0..ACCOUNTS {
        let (devices, conversation) = attacker(&stage.daemon, &format!("mallory{account}"), SESSIONS);
        for device in devices {
            let mut conn = stage.daemon.connect();
            conn.encoding = Encoding::Json;
            conn.ask(device.hello_again()).unwrap();
            conns.push((conn, conversation));
        }
    }
    stage.still_serves();
    let before = stage.daemon.memory();
    let asked: Vec<Vec<u16>> = conns
        .iter_mut()
        .map(|(conn, conversation)| ask_for_pages(conn, *conversation))
        .collect();
    for _ in 0..200 {
        stage.still_serves();
        let grown = super::floods::grown(&stage.daemon, before);
        // What the workers and the allocator have beside.
        assert!(grown < BUDGET + 16 * MIB, "{grown} bytes");
    }
    for ((conn, _), seqs) in conns.iter_mut().zip(asked) {
        for seq in seqs {
            conn.answer_any(seq).unwrap();
        }
    }
    stage.still_serves();
}

#[test]
fn questions_of_connections_that_are_gone_are_not_answered() {
    let mut stage = Stage::with("[server]\nworkers = 1\n");
    let (devices, conversation) = attacker(&stage.daemon, "mallory", 1);
    const ROUNDS: usize = 20;
    for _ in 0..ROUNDS {
        let mut conn = stage.daemon.connect();
        conn.ask(devices[0].hello_again()).unwrap();
        ask_for_pages(&mut conn, conversation);
        drop(conn);
    }
    stage.still_serves();
    stage.daemon.ask_for_status();
    let answered = questions_answered(&stage.daemon);
    assert!(
        answered < ROUNDS * IN_FLIGHT / 2,
        "{answered} questions were answered"
    );
    stage.still_serves();
}

/// From the line that says how everything is.
fn questions_answered(daemon: &Daemon) -> usize {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let log = daemon.log();
        let said = log
            .iter()
            .filter_map(|line| line.split_once(" questions answered"))
            .next_back();
        if let Some((before, _)) = said {
            return before.rsplit(' ').next().unwrap().parse().unwrap();
        }
        thread::yield_now();
    }
    panic!("no status was logged");
}

#[test]
fn questions_that_have_not_begun_are_refused_when_the_server_goes_away() {
    let mut daemon = Setup::config("[server]\nworkers = 1\n[timeouts]\ndrain_ms = 3600000\n").start();
    let (mut devices, conversation) = attacker(&daemon, "ada", 1);
    let seqs = ask_for_pages(&mut devices[0].conn, conversation);
    let first = devices[0].conn.answer_any(seqs[0]);
    assert!(first.is_ok());
    daemon.ask_to_end();
    for seq in &seqs[1..] {
        match devices[0].conn.answer_any(*seq) {
            Ok(_) => {}
            Err(refusal) => assert_eq!(refusal.code(), ErrorCode::Draining),
        }
    }
    assert!(daemon.ended().success());
}

#[test]
fn wrong_passwords_keep_no_memory() {
    let mut stage = Stage::with("[server]\nhashers = 1\n[timeouts]\nhandshake_ms = 600000\n");
    stage.daemon.register("ada");
    let before = stage.daemon.memory();
    let mut conns: Vec<Connection> = (0..4).map(|_| stage.welcomed()).collect();
    for round in 0..20 {
        let asked: Vec<u16> = conns
            .iter_mut()
            .map(|conn| {
                conn.submit(v1::LoginRequest {
                    password: format!("wrong {round}"),
                    ..login("ada")
                })
            })
            .collect();
        for (conn, seq) in conns.iter_mut().zip(asked) {
            let code = conn.refusal_of(seq).code();
            assert!(
                matches!(code, ErrorCode::BadCredentials | ErrorCode::Overloaded),
                "{code:?}"
            );
        }
    }
    stage.still_serves();
    let grown = super::floods::grown(&stage.daemon, before);
    assert!(grown < 10 * MIB, "{grown} bytes beyond what the hasher had");
}

#[test]
fn a_storm_of_wrong_passwords_leaves_right_ones_a_share() {
    const STORM: usize = 40;
    let mut stage =
        Stage::with("[server]\nhashers = 1\n[limits]\nhash_queue = 16\n[timeouts]\nhandshake_ms = 600000\n");
    let ada = stage.daemon.register("ada");
    stage.daemon.register("bob");
    let mut storm: Vec<(Connection, u16)> = (0..STORM).map(|_| (stage.welcomed(), 0)).collect();
    let mut honest = stage.welcomed();
    for (conn, seq) in &mut storm {
        *seq = conn.submit(v1::LoginRequest {
            password: "wrong".to_owned(),
            ..login("bob")
        });
    }
    let session = honest.ask(login("ada")).unwrap();
    assert_eq!(session.user.unwrap().user_id, ada.id);
    // The right one did not wait for all of the storm: some of it is still to be refused.
    let waiting = storm
        .iter()
        .filter(|(conn, _)| {
            conn.stream().set_nonblocking(true).unwrap();
            let peeked = conn.stream().peek(&mut [0; 1]);
            conn.stream().set_nonblocking(false).unwrap();
            peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
        })
        .count();
    assert!(waiting >= 2, "{waiting} wait");
    for (conn, seq) in &mut storm {
        let refusal = conn.refusal_of(*seq);
        match refusal.code() {
            ErrorCode::BadCredentials => {}
            ErrorCode::Overloaded => assert!(refusal.retry_after_ms > 0),
            other => panic!("{other:?}"),
        }
    }
    stage.still_serves();
}

#[test]
fn a_login_that_cannot_be_served_in_time_is_refused_at_once() {
    let daemon = Setup::config(
        "[timeouts]\nhandshake_ms = 1000\n[server]\nhashers = 1\n[limits]\nhash_queue = 4096\n",
    )
    .start();
    daemon.register("ada");
    let mut storm: Vec<(Connection, u16)> = (0..150)
        .map(|_| {
            let mut conn = daemon.connect();
            conn.ask(hello("one")).unwrap();
            let seq = conn.submit(v1::LoginRequest {
                password: "wrong".to_owned(),
                ..login("ada")
            });
            (conn, seq)
        })
        .collect();
    // Every one of them hears something before its handshake is over.
    for (conn, seq) in &mut storm {
        let code = conn.refusal_of(*seq).code();
        assert!(
            matches!(code, ErrorCode::BadCredentials | ErrorCode::Overloaded),
            "{code:?}"
        );
    }
}

#[test]
fn people_are_charged_for_one_by_one_and_reconnecting_gives_nothing_back() {
    let daemon = Setup::config("[limits]\nexempt = []\npeople_per_minute = 1\npeople_burst = 5\n").start();
    let [mut ada, bob, cy, dee] = daemon.register_all(["ada", "bob", "cy", "dee"]);
    let create = |users: &[u64]| v1::CreateGroupRequest {
        client_msg_id: message_id(),
        name: "group".to_owned(),
        user_ids: users.to_vec(),
    };
    ada.get(create(&[bob.id, cy.id, dee.id]));
    let refusal = ada.ask(create(&[bob.id, cy.id, dee.id])).unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::RateLimited);
    assert!(refusal.retry_after_ms > 0);
    let mut again = ada.resumed();
    assert_eq!(
        again.refused(create(&[bob.id, cy.id, dee.id])),
        ErrorCode::RateLimited
    );
    let group = again.get(create(&[bob.id])).conversation_id;
    again.get(v1::AddMembersRequest {
        client_msg_id: message_id(),
        conversation_id: group,
        user_ids: vec![cy.id],
    });
    let mut elsewhere = daemon.login("ada", "second");
    assert_eq!(
        elsewhere.refused(v1::AddMembersRequest {
            client_msg_id: message_id(),
            conversation_id: group,
            user_ids: vec![dee.id],
        }),
        ErrorCode::RateLimited
    );
}

#[test]
fn connections_of_a_user_share_their_rates_however_often_they_are_made() {
    let daemon = Setup::config(
        "[limits]\nexempt = []\nsends_per_second = 1\nsends_burst = 10\nrequests_per_second = 1\nrequests_burst = 20\n",
    )
    .start();
    let mut ada = daemon.register("ada");
    let own = ada.own();
    let mut sent = 0;
    let began = Instant::now();
    for _ in 0..8 {
        while ada.ask(text(own, "again")).is_ok() {
            sent += 1;
        }
        ada = ada.resumed();
    }
    let allowed = 11 + began.elapsed().as_secs();
    assert!(sent <= allowed, "{sent} sent where {allowed} may be");
}

#[test]
fn what_is_malformed_and_pings_are_rated() {
    let daemon =
        Setup::config("[limits]\nexempt = []\nrequests_per_second = 1\nrequests_burst = 10\n").start();
    let mut ada = daemon.register("ada");
    let command = protocol::Command::History.number();
    let codes: Vec<ErrorCode> = (0..50_u16)
        .map(|number| {
            let seq = 1_000 + number;
            ada.conn
                .write_frame(MessageType::request(command), seq, &b"\xff\xff"[..]);
            ada.conn.refusal_of(seq).code()
        })
        .collect();
    assert!(codes.contains(&ErrorCode::RateLimited), "{codes:?}");
    let pongs = (0..50).filter(|_| ada.conn.ask(v1::Ping {}).is_ok()).count();
    assert!(pongs < 40, "{pongs} of 50 pings");
}

#[test]
fn half_a_frame_and_the_end_lose_no_answer() {
    let mut stage = Stage::new();
    let (devices, conversation) = attacker(&stage.daemon, "ada", 1);
    let mut ada = devices[0].resumed();
    let mut bytes = Vec::new();
    let mut seqs = Vec::new();
    for _ in 0..5 {
        let (seq, frame) = ada.conn.frame(page(conversation));
        bytes.extend_from_slice(&frame);
        seqs.push(seq);
    }
    let (_, half) = ada.conn.frame(page(conversation));
    bytes.extend_from_slice(&half[..half.len() / 2]);
    ada.conn.write(&bytes);
    ada.conn.finish();
    for seq in seqs {
        ada.conn.answer_any(seq).unwrap();
    }
    ada.conn.end();
    stage.still_serves();
}

#[test]
fn who_is_closed_for_not_reading_is_reset() {
    let mut stage = Stage::with("[timeouts]\nwrite_stall_ms = 300\n");
    let (devices, conversation) = attacker(&stage.daemon, "mallory", 1);
    let mut conn = stage.daemon.connect();
    conn.encoding = Encoding::Json;
    conn.ask(devices[0].hello_again()).unwrap();
    ask_for_pages(&mut conn, conversation);
    // The system says so without being read: what it kept for this peer is gone.
    let until = Instant::now() + PATIENCE;
    let broken = loop {
        if let Some(error) = conn.stream().take_error().unwrap() {
            break error.kind() == ErrorKind::ConnectionReset || error.kind() == ErrorKind::BrokenPipe;
        }
        assert!(Instant::now() < until, "the connection was not reset");
        thread::park_timeout(Duration::from_millis(5));
    };
    assert!(broken);
    stage.still_serves();
}

#[test]
fn all_accounts_cannot_be_listed_quickly() {
    let daemon = Setup::config(
        "[limits]\nexempt = []\nprofiles_per_minute = 1\nsearches_per_minute = 1\nsearches_burst = 3\n",
    )
    .start();
    let [mut ada, mut bob] = daemon.register_all(["ada", "bob"]);
    let mut listed = 0;
    for first in (1..100_000).step_by(500) {
        let user_ids: Vec<u64> = (first..first + 500).collect();
        match ada.ask(v1::GetUsersRequest { user_ids }) {
            Ok(_) => listed += 500,
            Err(refusal) => {
                assert_eq!(refusal.code(), ErrorCode::RateLimited);
                break;
            }
        }
    }
    assert_eq!(listed, 2_000);
    let name = "bob".to_owned();
    assert_eq!(
        ada.refused(v1::FindUserRequest { name: name.clone() }),
        ErrorCode::RateLimited
    );
    let search = v1::SearchUsersRequest {
        query: name,
        limit: 20,
    };
    for _ in 0..3 {
        ada.get(search.clone());
    }
    assert_eq!(ada.refused(search.clone()), ErrorCode::RateLimited);
    let mut elsewhere = daemon.login("ada", "second");
    assert_eq!(elsewhere.refused(search.clone()), ErrorCode::RateLimited);
    bob.get(search);
}
