//! Tokens that are not, or no longer, good.

use protocol::v1::{self, ErrorCode};
use tests::harness::{Daemon, hello, refused, unnamed};

#[test]
fn a_bad_token_is_refused_however_it_is_bad() {
    let daemon = Daemon::start();
    let ada = daemon.register("ada");
    let good = ada.token.clone();
    let mut flipped = good.clone().into_bytes();
    let last = flipped.len() - 1;
    flipped[last] = if flipped[last] == b'0' { b'1' } else { b'0' };
    let bad = [
        good[..good.len() - 1].to_owned(),
        format!("{good}0"),
        String::from_utf8(flipped).unwrap(),
        good.to_uppercase(),
        good.replace("imt1_", ""),
        "imt1_".to_owned(),
        "' OR 1=1 --".to_owned(),
        "*".to_owned(),
        "\0".to_owned(),
    ];
    let mut answers = Vec::new();
    for token in bad {
        let mut conn = daemon.connect();
        let hello = v1::Hello {
            session_token: token,
            ..hello("first")
        };
        answers.push(unnamed(conn.ask(hello).unwrap_err()));
        // The connection may go on to log in.
        conn.ask(v1::Ping {}).unwrap();
    }
    assert_eq!(answers[0].code(), ErrorCode::Unauthenticated);
    answers.dedup();
    assert_eq!(answers.len(), 1, "nothing tells them apart: {answers:?}");
    ada.resumed();
}

#[test]
fn a_token_that_is_too_long_is_refused_before_it_is_looked_up() {
    let daemon = Daemon::start();
    for (bytes, code) in [
        (256, ErrorCode::Unauthenticated),
        (257, ErrorCode::Invalid),
        (64 * 1024, ErrorCode::FrameTooLarge),
    ] {
        let mut conn = daemon.connect();
        let hello = v1::Hello {
            session_token: "x".repeat(bytes),
            ..hello("first")
        };
        let (seq, frame) = conn.frame(hello);
        // A frame that is too large is refused at its header: the rest may meet a closed connection.
        let _ = conn.try_write(&frame);
        let refusal = conn.refusal_of(seq);
        assert_eq!(refusal.code(), code, "{bytes} bytes");
    }
}

#[test]
fn a_token_belongs_to_its_device_only_by_name() {
    // A session is found by its token; what the device calls itself meanwhile changes nothing about whose it is.
    let daemon = Daemon::start();
    let ada = daemon.register("ada");
    let hello = v1::Hello {
        session_token: ada.token.clone(),
        ..hello("another-name")
    };
    let session = daemon.connect().ask(hello).unwrap().session.unwrap();
    assert_eq!(session.session_id, ada.session);
    let mut ada = ada.resumed();
    let devices = ada.get(v1::ListDevicesRequest {}).sessions;
    assert_eq!(devices[0].device.as_ref().unwrap().device_id, "first");
}

#[test]
fn a_revoked_token_stays_revoked_after_a_restart() {
    let mut daemon = Daemon::start();
    let mut ada = daemon.register("ada");
    let mut kept = daemon.login("ada", "second");
    ada.get(v1::LogoutRequest {});
    daemon.restart();
    assert_eq!(
        refused(daemon.connect().ask(ada.hello_again())),
        ErrorCode::Unauthenticated
    );
    kept = kept.resumed();
    kept.get(v1::ListDevicesRequest {});
}
