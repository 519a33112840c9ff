use std::collections::BTreeSet;

use serde_json::Value;

use super::document;
use crate::{Command, Encoding, Kind, Reply, Request, samples, v1::ErrorCode};

fn written() -> Value {
    document(|code| {
        if code == ErrorCode::Unauthenticated {
            401
        } else {
            400
        }
    })
}

#[test]
fn every_callable_command_is_described_and_nothing_else_is() {
    let document = written();
    let paths = document["paths"].as_object().expect("paths");
    let described: BTreeSet<&str> = paths
        .keys()
        .filter_map(|path| path.strip_prefix("/v1/call/"))
        .collect();
    let callable: BTreeSet<&str> = Command::ALL
        .iter()
        .filter(|command| command.is_callable())
        .map(|command| command.name())
        .collect();
    assert_eq!(described, callable);
    for command in Command::ALL.iter().filter(|command| command.is_callable()) {
        let operation = &paths[&format!("/v1/call/{}", command.name())]["post"];
        assert_eq!(operation["operationId"], command.name());
        assert!(!operation["summary"].as_str().expect("a summary").is_empty());
        assert_eq!(
            operation["security"].is_array(),
            command.is_for_anyone(),
            "{command:?}"
        );
        let key = &operation["parameters"][0]["name"];
        assert_eq!(
            key == "Idempotency-Key",
            command.kind() == Some(Kind::Append),
            "{command:?}"
        );
        let statuses: Vec<&String> = operation["responses"].as_object().expect("some").keys().collect();
        assert_eq!(statuses, ["200", "400", "401", "414", "431"]);
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = written();
    let mut found = 0;
    let mut left = vec![&document];
    while let Some(value) = left.pop() {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').expect("within the document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
            found += 1;
        }
        match value {
            Value::Array(values) => left.extend(values),
            Value::Object(members) => left.extend(members.values()),
            _ => {}
        }
    }
    assert!(found > 100, "{found}");
}

#[test]
fn what_is_written_and_read_are_members_that_are_described() {
    let document = written();
    let operation = |command: Command| &document["paths"][format!("/v1/call/{}", command.name())]["post"];
    for request in samples::requests()
        .iter()
        .filter(|request| request.command().is_callable())
    {
        let body = serde_json::from_slice(&Request::encode(request, Encoding::Json)).expect("JSON");
        let schema = &operation(request.command())["requestBody"]["content"]["application/json"]["schema"];
        check(&document, schema, &body, request.command().name());
    }
    for reply in samples::replies()
        .iter()
        .filter(|reply| reply.command().is_callable())
    {
        let body = serde_json::from_slice(&Reply::encode(reply, Encoding::Json)).expect("JSON");
        let schema = &operation(reply.command())["responses"]["200"]["content"]["application/json"]["schema"];
        check(&document, schema, &body, reply.command().name());
    }
    let events = &document["paths"]["/v1/events"]["get"]["responses"]["200"]["x-events"];
    for push in samples::pushes() {
        let body = serde_json::from_slice(&push.encode(Encoding::Json)).expect("JSON");
        let name = push.command().name();
        check(&document, &events[name]["data"], &body, name);
    }
}

/// Checks types and members as far as the document uses JSON Schema.
fn check(document: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let found = document.pointer(reference.strip_prefix('#').expect("a pointer"));
        return check(document, found.expect("a schema"), value, place);
    }
    if let Some(all) = schema.get("allOf").and_then(Value::as_array) {
        return check(document, &all[0], value, place);
    }
    if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
        return check(document, &any[0], value, place);
    }
    let name = match value {
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Null => "null",
    };
    let kinds = &schema["type"];
    let is_allowed = match kinds.as_array() {
        Some(kinds) => kinds.iter().any(|kind| kind == name),
        None => kinds == name,
    };
    assert!(is_allowed, "{place}: {value} for {schema}");
    match value {
        Value::Array(entries) => {
            for entry in entries {
                check(document, &schema["items"], entry, place);
            }
        }
        Value::Object(members) => {
            for (member, value) in members {
                let place = format!("{place}.{member}");
                let schema = schema["properties"].get(member);
                check(
                    document,
                    schema.unwrap_or_else(|| panic!("{place}")),
                    value,
                    &place,
                );
            }
        }
        _ => {}
    }
}
