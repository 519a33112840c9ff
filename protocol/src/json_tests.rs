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
        "null",
        "[]",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}
