//! Every code, with what a client may conclude from it.

use super::*;

/// Code, class, retry-after in milliseconds, whom it blames.
const TABLE: [(ErrorCode, ErrorClass, u32, Blame); 25] = {
    use Blame::{Client, Server};
    use ErrorClass::{NotApplied, Retry, UnknownOutcome};
    [
        (ErrorCode::Unspecified, UnknownOutcome, 0, Server),
        (ErrorCode::Internal, UnknownOutcome, 500, Server),
        (ErrorCode::Unavailable, Retry, 500, Server),
        (ErrorCode::Overloaded, Retry, 500, Server),
        (ErrorCode::RateLimited, Retry, 1_000, Client),
        (ErrorCode::Draining, Retry, 1_000, Server),
        (ErrorCode::ResourceExhausted, Retry, 5_000, Server),
        (ErrorCode::Protocol, NotApplied, 0, Client),
        (ErrorCode::FrameTooLarge, NotApplied, 0, Client),
        (ErrorCode::UnsupportedVersion, NotApplied, 0, Client),
        (ErrorCode::UnknownCommand, NotApplied, 0, Client),
        (ErrorCode::Invalid, NotApplied, 0, Client),
        (ErrorCode::TooMany, NotApplied, 0, Client),
        (ErrorCode::Timeout, NotApplied, 0, Client),
        (ErrorCode::Unauthenticated, NotApplied, 0, Client),
        (ErrorCode::BadCredentials, NotApplied, 0, Client),
        (ErrorCode::NameTaken, NotApplied, 0, Client),
        (ErrorCode::Forbidden, NotApplied, 0, Client),
        (ErrorCode::NotFound, NotApplied, 0, Client),
        (ErrorCode::RegistrationClosed, NotApplied, 0, Client),
        (ErrorCode::Conflict, NotApplied, 0, Client),
        (ErrorCode::EpochMismatch, NotApplied, 0, Client),
        (ErrorCode::OutOfRange, NotApplied, 0, Client),
        (ErrorCode::Gone, NotApplied, 0, Client),
        (ErrorCode::LimitReached, NotApplied, 0, Client),
    ]
};

#[test]
fn every_code_has_its_class_and_its_retry_after() {
    let listed: Vec<_> = TABLE.iter().map(|row| row.0).collect();
    let all: Vec<_> = (0..1_000)
        .filter_map(|number| ErrorCode::try_from(number).ok())
        .collect();
    assert_eq!(listed, all, "the table lists every code");
    for (code, class, retry_after_ms, blame) in TABLE {
        let refusal = Refusal::new(code, "why");
        assert_eq!(refusal.code(), code);
        assert_eq!(refusal.0.class(), class, "{code:?}");
        assert_eq!(refusal.0.retry_after_ms, retry_after_ms, "{code:?}");
        assert_eq!(refusal.blame(), blame, "{code:?}");
        assert_eq!(
            (refusal.0.message.as_str(), refusal.0.field.as_str()),
            ("why", "")
        );
    }
}

#[test]
fn what_asks_to_be_repeated_says_when() {
    for (code, class, retry_after_ms, _) in TABLE {
        assert!(class != ErrorClass::Retry || retry_after_ms > 0, "{code:?}");
    }
}

#[test]
fn a_code_of_a_newer_release_is_nobodys_success() {
    let newer = Refusal(Error {
        code: 9_999,
        class: ErrorClass::Retry.into(),
        ..Error::default()
    });
    assert_eq!(newer.code(), ErrorCode::Unspecified);
    assert_eq!(newer.0.class(), ErrorClass::Retry, "the class still counts");
    assert_eq!(newer.blame(), Blame::Server);
}

#[test]
fn the_parts_can_be_replaced() {
    let refusal = Refusal::invalid("name", "is missing")
        .with_class(ErrorClass::Retry)
        .with_retry_after_ms(7);
    assert_eq!(refusal.code(), ErrorCode::Invalid);
    assert_eq!((refusal.0.field.as_str(), refusal.0.retry_after_ms), ("name", 7));
    assert_eq!(refusal.0.class(), ErrorClass::Retry);
    assert_eq!(refusal.to_string(), "ERROR_CODE_INVALID: is missing");
}

#[test]
fn a_long_message_is_cut_between_characters() {
    let exact = "x".repeat(ERROR_MESSAGE_BYTES_MAX);
    assert_eq!(Refusal::new(ErrorCode::Invalid, exact.clone()).0.message, exact);
    let long = Refusal::new(ErrorCode::Invalid, "€".repeat(1_000));
    assert_eq!(long.0.message, "€".repeat(ERROR_MESSAGE_BYTES_MAX / 3));
}

#[test]
fn a_message_echoes_nothing_that_changes_a_screen() {
    let echoed = "unknown field `\u{1b}[31m\r\n\u{9b}\u{202e}\u{2066}\u{7f}\0`, expected `x`";
    let refusal = Refusal::new(ErrorCode::Invalid, echoed);
    let marks = "\u{fffd}".repeat(7);
    let shown = format!("unknown field `\u{fffd}[31m{marks}`, expected `x`");
    assert_eq!(refusal.0.message, shown);
    assert_eq!(
        Refusal::new(ErrorCode::Invalid, "größer 好").0.message,
        "größer 好"
    );
}
