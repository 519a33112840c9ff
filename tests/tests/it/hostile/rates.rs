//! Rates and shares belong to users and addresses: neither a new connection nor another session renews them, and
//! what one user fills is not refused to others.

use std::time::Instant;

use protocol::{
    Encoding, MessageType,
    v1::{self, ErrorCode},
};
use tests::harness::{Connection, PATIENCE, Setup, User, hello, message_id, text};

use super::Stage;

/// What a rate of one a second allows from `began` on, with this burst.
fn allowed(burst: u64, began: Instant) -> u64 {
    burst + 1 + began.elapsed().as_secs()
}

/// The id of a group that nobody has made.
const fn nobodys_group(number: u64) -> u64 {
    1 << 61 | number
}

fn delivered(conversations: impl Iterator<Item = u64>) -> v1::DeliveredRequest {
    let up_to = conversations.map(|conversation_id| v1::Head {
        conversation_id,
        seq: 1,
    });
    v1::DeliveredRequest {
        up_to: up_to.collect(),
    }
}

#[test]
fn connections_of_one_token_at_once_have_one_rate() {
    let daemon = Setup::config("[limits]\nexempt = []\nsends_per_second = 1\nsends_burst = 10\n").start();
    let ada = daemon.register("ada");
    let began = Instant::now();
    let mut sent = 0;
    // Each connection takes the place of the one before, which may have sent meanwhile.
    let mut devices: Vec<User> = (0..8).map(|_| ada.resumed()).collect();
    let mut open: Vec<(usize, u16)> = Vec::new();
    for (index, device) in devices.iter_mut().enumerate() {
        let own = device.own();
        for _ in 0..10 {
            let (seq, frame) = device.conn.frame(text(own, "again"));
            if device.conn.try_write(&frame).is_ok() {
                open.push((index, seq));
            }
        }
    }
    for (index, seq) in open {
        if index == devices.len() - 1 {
            sent += u64::from(devices[index].conn.answer_any(seq).is_ok());
        }
    }
    let mut last = daemon.login("ada", "another");
    let own = last.own();
    while last.ask(text(own, "again")).is_ok() {
        sent += 1;
    }
    let stored = last.view(own).head_seq;
    assert!(sent <= stored, "{sent} of {stored}");
    let allowed = allowed(10, began);
    assert!(stored <= allowed, "{stored} sent where {allowed} may be");
}

#[test]
fn a_resume_costs_its_user_a_request_on_however_many_connections() {
    let daemon =
        Setup::config("[limits]\nexempt = []\nrequests_per_second = 1\nrequests_burst = 10\n").start();
    let ada = daemon.register("ada");
    daemon.register("bob");
    let began = Instant::now();
    let mut resumed = 0;
    let mut refused = 0;
    for _ in 0..30 {
        let mut conn = daemon.connect();
        match conn.ask(ada.hello_again()) {
            Ok(welcome) => {
                assert!(welcome.session.is_some());
                resumed += 1;
            }
            Err(refusal) => {
                assert_eq!(refusal.code(), ErrorCode::RateLimited);
                assert!(refusal.retry_after_ms > 0);
                refused += 1;
                // The connection stays, and may say hello again.
                conn.ask(hello("another")).unwrap();
            }
        }
    }
    let allowed = allowed(10, began);
    assert!(
        resumed <= allowed && refused > 0,
        "{resumed} resumed, {refused} refused"
    );
    // It is the user's; others at the same address go on.
    daemon.login("bob", "another").get(v1::ListDevicesRequest {});
}

#[test]
fn pings_and_unknown_commands_are_not_renewed_by_reconnecting() {
    let daemon =
        Setup::config("[limits]\nexempt = []\nrequests_per_second = 1\nrequests_burst = 20\n").start();
    let mut ada = daemon.register("ada");
    let began = Instant::now();
    let (mut pongs, mut unknown) = (0, 0);
    for _ in 0..4 {
        while ada.conn.ask(v1::Ping {}).is_ok() {
            pongs += 1;
        }
        for seq in 1_000..1_010 {
            ada.conn.write_frame(MessageType::request(9_999), seq, &b""[..]);
            let code = ada.conn.refusal_of(seq).code();
            unknown += u64::from(code == ErrorCode::UnknownCommand);
        }
        // A resume costs one, too.
        let mut conn = daemon.connect();
        while let Err(refusal) = conn.ask(ada.hello_again()) {
            assert_eq!(refusal.code(), ErrorCode::RateLimited);
            assert!(began.elapsed() < PATIENCE);
            conn = daemon.connect();
        }
        ada.conn = conn;
    }
    let allowed = allowed(20, began);
    assert!(pongs <= allowed, "{pongs} pongs where {allowed} may be");
    assert!(unknown <= allowed, "{unknown} answered where {allowed} may be");
}

#[test]
fn before_a_login_an_address_has_one_rate() {
    let daemon = Setup::config(
        "[limits]\nexempt = []\nhellos_per_address = 5\nrequests_per_second = 1\nrequests_burst = 20\n",
    )
    .start();
    let mut conns: Vec<Connection> = (0..10).map(|_| daemon.connect()).collect();
    let welcomed = conns
        .iter_mut()
        .filter_map(|conn| match conn.ask(hello("stranger")) {
            Ok(_) => Some(()),
            Err(refusal) => {
                assert_eq!(refusal.code(), ErrorCode::RateLimited);
                assert!(refusal.retry_after_ms > 0);
                None
            }
        })
        .count();
    assert_eq!(welcomed, 5);
    let began = Instant::now();
    let mut pongs = 0;
    for mut conn in conns {
        while conn.ask(v1::Ping {}).is_ok() {
            pongs += 1;
        }
    }
    let allowed = allowed(20, began);
    assert!(pongs <= allowed, "{pongs} pongs where {allowed} may be");
}

#[test]
fn an_address_has_a_share_of_the_connections_and_hears_so() {
    let daemon = Setup::config("[limits]\nexempt = []\nconnections_per_address = 3\n").start();
    let mut ada = daemon.register("ada");
    let others = [daemon.connect(), daemon.connect()];
    let mut turned_away = daemon.connect();
    turned_away.submit(hello("stranger"));
    let refusal = turned_away.refusal();
    assert_eq!(refusal.code(), ErrorCode::Overloaded);
    assert!(refusal.retry_after_ms > 0);
    turned_away.end();
    ada.get(v1::Ping {});
    drop(others);
    let until = Instant::now() + PATIENCE;
    while daemon.connect().try_ask(hello("stranger")).is_none() {
        assert!(Instant::now() < until, "no room came free");
    }
}

#[test]
fn whoever_comes_to_a_full_server_hears_so() {
    let daemon = Setup::config("[limits]\nconnections = 32\n").start();
    let mut ada = daemon.register("ada");
    let mut others: Vec<Connection> = (0..31).map(|_| daemon.connect()).collect();
    for conn in &mut others {
        conn.ask(hello("stranger")).unwrap();
    }
    for _ in 0..40 {
        let mut turned_away = daemon.connect();
        turned_away.submit(hello("stranger"));
        let refusal = turned_away.refusal();
        assert_eq!(refusal.code(), ErrorCode::Overloaded);
        assert!(refusal.retry_after_ms > 0);
        turned_away.end();
    }
    // Whoever says nothing for a while is told nothing; half a frame is enough to be told.
    daemon.connect().end();
    let mut begun = daemon.connect();
    begun.write(&[0]);
    assert_eq!(begun.refusal().code(), ErrorCode::Overloaded);
    begun.end();
    ada.get(v1::Ping {});
    drop(others);
    let until = Instant::now() + PATIENCE;
    while daemon.connect().try_ask(hello("stranger")).is_none() {
        assert!(Instant::now() < until, "no room came free");
    }
}

#[test]
fn receipts_for_what_is_not_ones_own_refuse_nobody_elses() {
    const SESSIONS: u64 = 4;
    const ROUNDS: u64 = 30;
    let mut stage = Stage::new();
    stage.daemon.register("mallory");
    let mut mallories: Vec<User> = (0..SESSIONS)
        .map(|number| stage.daemon.login("mallory", &format!("device-{number}")))
        .collect();
    let [mut ada, mut bob] = stage.daemon.register_all(["ada", "bob"]);
    let direct = ada.direct(bob.id);
    let seq = ada.text(direct, "hello").seq;
    let mut asked = Vec::new();
    for round in 0..ROUNDS {
        for (index, mallory) in mallories.iter_mut().enumerate() {
            let first = (round * SESSIONS + index as u64) * 1_000;
            let (seq, frame) = mallory
                .conn
                .frame(delivered((first..first + 1_000).map(nobodys_group)));
            asked.push((index, seq, frame));
        }
    }
    for (index, _, frame) in &asked {
        mallories[*index].conn.write(frame);
    }
    // Whatever is still to be written of mallory's.
    for _ in 0..20 {
        bob.get(v1::ReadRequest {
            conversation_id: direct,
            seq,
        });
        ada.get(v1::ReadRequest {
            conversation_id: ada.own(),
            seq: 1,
        });
    }
    for (index, seq, _) in asked {
        let _ = mallories[index].conn.answer_any(seq);
    }
    // The last of bob's is written although mallory's wait.
    let until = Instant::now() + PATIENCE;
    let head = ada.view(direct).head_seq;
    loop {
        let asked = ada.get(v1::GetConversationRequest {
            conversation_id: direct,
        });
        if asked
            .cursors
            .iter()
            .any(|cursor| cursor.user_id == bob.id && cursor.read_seq == head)
        {
            break;
        }
        assert!(Instant::now() < until, "{asked:?}");
    }
    stage.still_serves();
}

#[test]
fn receipts_are_charged_for_one_by_one() {
    let daemon =
        Setup::config("[limits]\nexempt = []\nreceipts_per_second = 1\nreceipts_burst = 100\n").start();
    let mut ada = daemon.register("ada");
    ada.get(delivered((1..=60).map(nobodys_group)));
    let refusal = ada.ask(delivered((1..=60).map(nobodys_group))).unwrap_err();
    assert_eq!(refusal.code(), ErrorCode::RateLimited);
    assert!(refusal.retry_after_ms > 0);
    assert_eq!(
        ada.resumed().refused(delivered((1..=60).map(nobodys_group))),
        ErrorCode::RateLimited
    );
    ada.resumed().get(delivered((1..=30).map(nobodys_group)));
}

/// Whatever is too long before a login is answered, in every way it can arrive.
#[test]
fn what_is_too_long_before_a_login_is_told_so() {
    let mut stage = Stage::new();
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        for people in [500, 1_000] {
            for cut in [0, 8, 9, 1_000] {
                let mut conn = stage.daemon.connect();
                conn.encoding = encoding;
                conn.ask(hello("stranger")).unwrap();
                let (_, frame) = conn.frame(v1::CreateGroupRequest {
                    client_msg_id: message_id(),
                    name: "x".repeat(100),
                    user_ids: (0..people).map(|number| 1_000_000_000 + number).collect(),
                });
                assert!(frame.len() > 4_096 || encoding == Encoding::Protobuf);
                if frame.len() <= 4_096 + 8 {
                    continue;
                }
                let (first, rest) = frame.split_at(cut);
                conn.write(first);
                let _ = conn.try_write(rest);
                let refusal = conn.refusal();
                assert_eq!(
                    refusal.code(),
                    ErrorCode::FrameTooLarge,
                    "{encoding:?} {people} {cut}"
                );
                conn.end();
            }
        }
    }
    stage.still_serves();
}
