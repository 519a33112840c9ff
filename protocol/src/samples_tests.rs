//! The samples are what they say: full, valid, and one for every command.

use serde_json::Value;

use super::*;
use crate::{Command, Encoding, validate};

#[path = "../tests/schema/mod.rs"]
mod schema;

use schema::Schema;

fn assert_full(schema: &Schema, message: &str, value: &Value, except: &[&str]) {
    for field in &schema.messages[message] {
        let Some(found) = value.get(&field.name) else {
            assert!(
                except.contains(&field.name.as_str()),
                "{message}.{} is not set in its sample",
                field.name
            );
            continue;
        };
        if schema.messages.contains_key(&field.kind) {
            let found = found.as_array().map_or(found, |list| &list[0]);
            assert_full(schema, &field.kind, found, except);
        }
    }
}

#[test]
fn every_field_of_every_sample_is_set() {
    let schema = Schema::read();
    let check = |message: &str, json: Bytes, except: &[&str]| {
        assert_full(&schema, message, &serde_json::from_slice(&json).unwrap(), except);
    };
    for request in requests() {
        // A media message is about no other one.
        let except = ["target_seq", "reaction"];
        check(
            request.command().message(),
            request.encode(Encoding::Json),
            &except,
        );
    }
    for reply in replies() {
        check(
            reply.command().response().unwrap(),
            reply.encode(Encoding::Json),
            &[],
        );
    }
    for push in pushes() {
        check(push.command().message(), push.encode(Encoding::Json), &[]);
    }
    assert_full(&schema, "Error", &serde_json::to_value(refusal().0).unwrap(), &[]);
}

#[test]
fn there_is_one_for_every_command() {
    let sorted = |mut all: Vec<Command>| {
        all.sort_by_key(|command| command.number());
        all
    };
    let asked = sorted(requests().iter().map(Request::command).collect());
    let answered = sorted(replies().iter().map(Reply::command).collect());
    assert_eq!(asked, Command::requests().collect::<Vec<_>>());
    assert_eq!(answered, asked);
    let pushed: Vec<_> = pushes().iter().map(Push::command).collect();
    assert_eq!(sorted(pushed), Command::pushes().collect::<Vec<_>>());
}

#[test]
fn the_requests_are_valid() {
    let limits = validate::Limits::default();
    for request in requests()
        .into_iter()
        .chain(sends().into_iter().map(Request::Send))
    {
        assert_eq!(validate::request(&request, &limits), Ok(()), "{request:?}");
    }
}

#[test]
fn the_schema_reader_sees_what_the_compiler_sees() {
    let schema = Schema::read();
    let numbers: Vec<_> = schema.messages["HeadsPush"]
        .iter()
        .map(|field| (field.name.as_str(), field.kind.as_str(), field.number))
        .collect();
    assert_eq!(
        numbers,
        [
            ("epoch", "uint64", 1),
            ("heads", "Head", 2),
            ("resync", "bool", 3)
        ]
    );
    for (name, number) in &schema.enumerations["ErrorCode"] {
        assert_eq!(ErrorCode::from_str_name(name).map(i32::from), Some(*number));
    }
    // The empty body is a message like any other.
    assert_eq!(Encoding::Json.encode(&v1::Empty {}), "{}");
}
