//! Enumerated fields in JSON: names, numbers, and numbers from the future.

use super::*;
use crate::v1::Role;

fn read(text: &str) -> Result<Open<Role>, serde_json::Error> {
    serde_json::from_str(text)
}

#[test]
fn a_name_and_its_number_are_the_same_value() {
    assert_eq!(read(r#""ROLE_ADMIN""#).unwrap().number(), 2);
    assert_eq!(read("2").unwrap().number(), 2);
}

#[test]
fn an_unknown_number_stays_what_it_is() {
    for number in [99, -1, i32::MAX, i32::MIN] {
        let open = read(&number.to_string()).unwrap();
        assert_eq!(open.number(), number);
        assert_eq!(serde_json::to_string(&open).unwrap(), number.to_string());
    }
}

#[test]
fn a_known_value_is_written_as_its_name() {
    assert_eq!(
        serde_json::to_string(&Open::Known(Role::Owner)).unwrap(),
        r#""ROLE_OWNER""#
    );
}

#[test]
fn what_is_no_such_value_is_refused() {
    for text in [
        r#""ROLE_KING""#,
        r#""2""#,
        "2147483648",
        "-2147483649",
        "18446744073709551615",
        "1.5",
        "[]",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}

fn number(text: &str) -> Result<u64, serde_json::Error> {
    serde_json::from_str::<Number<u64>>(text).map(|number| number.0)
}

#[test]
fn a_whole_number_is_read_however_it_is_written() {
    for (text, expected) in [
        ("10", 10),
        ("10.0", 10),
        ("1e1", 10),
        ("1E+1", 10),
        ("100e-1", 10),
        (r#""10""#, 10),
        (r#""10.0""#, 10),
        (r#""1e1""#, 10),
        ("-0.0", 0),
        ("null", 0),
        ("9007199254740992.0", 9_007_199_254_740_992),
        ("18446744073709551615", u64::MAX),
        (r#""18446744073709551615""#, u64::MAX),
    ] {
        assert_eq!(number(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn no_number_is_read_as_another_one() {
    for text in [
        "1.5",
        "-1",
        "-1.0",
        "1e400",
        "1e20",
        "9007199254740993.0",
        "9007199254740994.0",
        r#""""#,
        r#"" 1""#,
        r#""0x10""#,
        r#""1.5""#,
        r#""NaN""#,
        r#""inf""#,
        "true",
        "[]",
        "{}",
        "18446744073709551616",
        r#""18446744073709551616""#,
    ] {
        let refused = number(text).unwrap_err().to_string();
        assert!(
            !refused.contains("::") && !refused.contains("variant"),
            "{text}: {refused}"
        );
    }
    assert!(serde_json::from_str::<Number<u32>>("4294967296").is_err());
}

#[test]
fn null_is_the_default_everywhere() {
    use crate::{Encoding, v1};
    let request: v1::SendRequest = Encoding::Json
        .decode(Bytes::from_static(
            br#"{"conversation_id":null,"client_msg_id":null,"kind":null,"content":null,"reaction":null,"quality":null}"#,
        ))
        .unwrap();
    assert_eq!(request, v1::SendRequest::default());
    let content: v1::Content = Encoding::Json
        .decode(Bytes::from_static(
            br#"{"mentions":null,"blob":null,"priority":null,"body":null}"#,
        ))
        .unwrap();
    assert_eq!(content, v1::Content::default());
}

#[test]
fn the_field_that_cannot_be_read_is_named() {
    use crate::{Encoding, v1};
    for (body, field) in [
        (r#"{"conversation_id":"x"}"#, "conversation_id"),
        (r#"{"conversationId":1.5}"#, "conversation_id"),
        (r#"{"content":{"mentions":[1,true]}}"#, "content.mentions"),
        (r#"{"content":{"blob":{"blobId":7}}}"#, "content.blob.blob_id"),
        (r#"{"kind":"EVENT_KIND_SONG"}"#, "kind"),
        (r#"{"client_msg_id":"!"}"#, "client_msg_id"),
        (r#"{"kind":1"#, ""),
        ("nonsense", ""),
    ] {
        let refused = Encoding::Json
            .decode::<v1::SendRequest>(Bytes::copy_from_slice(body.as_bytes()))
            .unwrap_err();
        assert_eq!(refused.0.field, field, "{body}: {}", refused.0.message);
    }
}
