//! The description of the calls as OpenAPI 3.1: what `POST /v1/call/NAME` takes and answers, made from the table of
//! commands and from the schema with its comments, and the other paths of the HTTP door. It must never name a command:
//! what a row of the table has is all there is to know.

mod operations;
mod schema;

use serde_json::{Map, Value, json};

use crate::{Command, Domain, VERSION, v1::ErrorCode};

/// The version of the specification that the document follows.
const SPECIFICATION: &str = "3.1.0";

/// What a reader should know before anything else.
const ABOUT: &str = "Calls of imserver: one command each, as JSON. Names are as written here; camelCase is read, too. \
A member that is absent or null has its default: 0, false, \"\", an empty list, and the enumeration's first value. \
Members that have their default are left out of answers, and members that are not known are ignored. Numbers of 64 \
bits are written as strings of digits, and read as numbers, too. Bytes are base64. Chat as such (pushes, heartbeats) \
goes over the stream of events, over a WebSocket at /v1/socket, or over the native protocol.";

/// The document.
///
/// `status_of` is the status that each refusal is answered with.
#[must_use]
pub fn document(status_of: impl Fn(ErrorCode) -> u16) -> Value {
    let refusals = operations::refusals(status_of);
    let mut paths = Map::new();
    let calls = Command::ALL
        .iter()
        .copied()
        .filter(|command| command.is_callable());
    let mut schemas = schema::Schemas::default();
    for command in calls {
        let path = format!("/v1/call/{}", command.name());
        paths.insert(path, operations::call(command, &refusals, &mut schemas));
    }
    paths.extend(operations::others(&refusals, &mut schemas));
    let tags = Domain::ALL.iter().map(|domain| {
        let name = format!("{domain:?}").to_lowercase();
        json!({"name": name, "description": domain.summary()})
    });
    let tags: Vec<Value> = tags.collect();
    let version = format!("{VERSION}.0.0");
    json!({
        "openapi": SPECIFICATION,
        "info": {"title": "imserver", "version": version, "description": ABOUT},
        "servers": [{"url": "/"}],
        "tags": tags,
        "security": [{"session": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.into_components(),
            "responses": operations::refused(&refusals),
            "securitySchemes": {
                "session": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token in the answer to register or login.",
                },
                "ticket": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "ticket",
                    "description": "From /v1/events/ticket: good once and for 30 seconds.",
                },
            },
        },
    })
}

#[cfg(test)]
mod tests;
