//! The samples are what they say: full, valid, and one for every command.

use serde_json::Value;

use super::*;
use crate::{Command, Encoding, validate};

#[path = "../tests/schema/mod.rs"]
mod schema;

use schema::Schema;

/// The schema's message of each body, by the type's own name.
fn message_name<T>(_: &T) -> &'static str {
    std::any::type_name::<T>().rsplit("::").next().unwrap()
}

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

macro_rules! each_body {
    ($enum:ident, $value:expr, $check:expr, $($command:ident)*) => {
        match $value {
            $($enum::$command(body) => $check(message_name(body), serde_json::to_value(body).unwrap()),)*
        }
    };
}

#[test]
fn every_field_of_every_sample_is_set() {
    let schema = Schema::read();
    let check = |except: &'static [&'static str]| {
        let schema = &schema;
        move |name: &str, value: Value| assert_full(schema, name, &value, except)
    };
    for request in requests() {
        // A media message is about no other one.
        each_body!(Request, &request, check(&["target_seq", "reaction"]),
            Hello Ping Register Login Logout LogoutOthers ListDevices GetUsers FindUser UpdateProfile Send History
            Sync ListConversations GetConversation GetConversations Delivered Read CreateGroup AddMembers RemoveMember LeaveGroup
            SetRole RenameGroup DisbandGroup ListMembers Typing);
    }
    for reply in replies() {
        each_body!(Reply, &reply, check(&[]),
            Hello Ping Register Login Logout LogoutOthers ListDevices GetUsers FindUser UpdateProfile Send History
            Sync ListConversations GetConversation GetConversations Delivered Read CreateGroup AddMembers RemoveMember LeaveGroup
            SetRole RenameGroup DisbandGroup ListMembers Typing);
    }
    for push in pushes() {
        each_body!(Push, &push, check(&[]),
            GoAway EventsPush HeadsPush CursorsPush TransientPush TypingPush);
    }
    assert_full(&schema, "Error", &serde_json::to_value(refusal().0).unwrap(), &[]);
}

#[test]
fn there_is_one_for_every_command() {
    let commands = |push| {
        Command::ALL
            .iter()
            .copied()
            .filter(move |command| command.is_push() == push)
    };
    let sorted = |mut all: Vec<Command>| {
        all.sort_by_key(|command| command.number());
        all
    };
    let asked = sorted(requests().iter().map(Request::command).collect());
    let answered = sorted(replies().iter().map(Reply::command).collect());
    assert_eq!(asked, commands(false).collect::<Vec<_>>());
    assert_eq!(answered, asked);
    let pushed: Vec<_> = pushes().iter().map(Push::command).collect();
    assert_eq!(sorted(pushed), commands(true).collect::<Vec<_>>());
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
