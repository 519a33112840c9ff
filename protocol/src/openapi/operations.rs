//! The paths of the document: what is asked where, with what, and what is answered.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::schema::{self, Schemas, Way};
use crate::{Command, Kind, v1::ErrorCode};

/// Statuses with the codes that are answered with them.
pub(super) type Refusals = BTreeMap<u16, Vec<&'static str>>;

/// Refusals of the HTTP door alone, before it knows what a request is about.
const OF_HTTP: [(u16, &str); 2] = [(414, "ERROR_CODE_PROTOCOL"), (431, "ERROR_CODE_PROTOCOL")];
/// The refusal that asks who the caller is.
const UNAUTHORIZED: u16 = 401;
/// The statuses that may say when to come back.
const COME_BACK: [u16; 3] = [429, 500, 503];
/// The event of a stream that brings what was missed: the answer to this command.
const MISSED: Command = Command::Sync;
/// A UUID, perhaps in quotation marks, as structured headers have it.
const KEY: &str = "^\"?[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\"?$";

/// All refusals by status.
pub(super) fn refusals(status_of: impl Fn(ErrorCode) -> u16) -> Refusals {
    let mut all = Refusals::new();
    let codes = schema::enumerators("ErrorCode").map(|name| (name, ErrorCode::from_str_name(name)));
    for (name, code) in codes {
        if let Some(code) = code.filter(|code| *code != ErrorCode::Unspecified) {
            all.entry(status_of(code)).or_default().push(name);
        }
    }
    for (status, name) in OF_HTTP {
        all.entry(status).or_default().push(name);
    }
    all
}

/// The responses that refuse, by name.
pub(super) fn refused(refusals: &Refusals) -> Map<String, Value> {
    let response = |status: u16, codes: &[&str]| {
        let mut headers = Map::new();
        if status == UNAUTHORIZED {
            let scheme = json!({"schema": {"type": "string"}, "description": "Bearer"});
            headers.insert("WWW-Authenticate".to_owned(), scheme);
        }
        if COME_BACK.contains(&status) {
            let seconds = json!({
                "schema": {"type": "integer", "minimum": 1},
                "description": "Seconds until a repetition is of use.",
            });
            headers.insert("Retry-After".to_owned(), seconds);
        }
        json!({
            "description": format!("Refused: {}", codes.join(", ")),
            "headers": headers,
            "content": content(&json!({"$ref": "#/components/schemas/Error"})),
        })
    };
    let all = refusals.iter();
    all.map(|(status, codes)| (name_of(*status), response(*status, codes)))
        .collect()
}

fn name_of(status: u16) -> String {
    format!("Refused{status}")
}

fn content(schema: &Value) -> Value {
    json!({"application/json": {"schema": schema}})
}

/// The responses of an operation: this one, and the refusals.
fn responses(ok: Value, refusals: &Refusals) -> Map<String, Value> {
    let refused = refusals.keys().map(|status| {
        let name = name_of(*status);
        (
            status.to_string(),
            json!({"$ref": format!("#/components/responses/{name}")}),
        )
    });
    [("200".to_owned(), ok)].into_iter().chain(refused).collect()
}

/// The path of a command.
pub(super) fn call(command: Command, refusals: &Refusals, schemas: &mut Schemas) -> Value {
    let message = command.message();
    let mut request = schemas.reference(message, Way::In);
    let mut operation = Map::new();
    operation.insert("operationId".to_owned(), command.name().into());
    operation.insert("summary".to_owned(), command.summary().into());
    let domain = format!("{:?}", command.domain()).to_lowercase();
    operation.insert("tags".to_owned(), json!([domain]));
    let text = schema::doc(message);
    if !text.is_empty() {
        operation.insert("description".to_owned(), text.into());
    }
    if command.kind() == Some(Kind::Open) {
        let device = schemas.reference("Device", Way::In);
        let named = json!({
            "anyOf": [device, {"type": "null"}],
            "description": "Which device the session is of; without it, a script's.",
        });
        request = json!({"allOf": [request, {"type": "object", "properties": {"device": named}}]});
    }
    if command.is_for_anyone() {
        operation.insert("security".to_owned(), json!([]));
    }
    if command.kind() == Some(Kind::Append) && schema::has_client_id(message) {
        let key = json!({
            "name": "Idempotency-Key",
            "in": "header",
            "required": false,
            "schema": {"type": "string", "pattern": KEY},
            "description": "A UUID that counts as client_msg_id where the body has none.",
        });
        operation.insert("parameters".to_owned(), json!([key]));
    }
    let body = json!({"required": false, "content": content(&request)});
    operation.insert("requestBody".to_owned(), body);
    let response = command.response().unwrap_or_default();
    let doc = match schema::doc(response) {
        "" => "Done.",
        doc => doc,
    };
    let ok = json!({
        "description": doc,
        "content": content(&schemas.reference(response, Way::Out)),
    });
    operation.insert("responses".to_owned(), responses(ok, refusals).into());
    json!({"post": operation})
}

/// The paths beside the calls.
pub(super) fn others(refusals: &Refusals, schemas: &mut Schemas) -> Vec<(String, Value)> {
    // What every refusal is.
    schemas.reference("Error", Way::Out);
    let ticket = object_of(&json!({"ticket": {"type": "string"}}));
    let ticket = json!({
        "operationId": "events_ticket",
        "summary": "A ticket for the stream of events, for whoever cannot send a header.",
        "responses": responses(
            json!({"description": "Good once and for 30 seconds.", "content": content(&ticket)}),
            refusals,
        ),
    });
    let health = |id: &str, summary: &str, responses: Value| json!({"operationId": id, "summary": summary, "security": [], "responses": responses});
    let status = |description: &str, name: &str| {
        let schema = object_of(&json!({"status": {"const": name}}));
        json!({"description": description, "content": content(&schema)})
    };
    let turns = json!({"200": status("It does.", "ok")});
    let serves = json!({
        "200": status("It can.", "ok"),
        "503": {
            "description": "Not now.",
            "content": content(&object_of(&json!({"status": {"type": "string"}}))),
        },
    });
    let document = json!({
        "200": {"description": "The document.", "content": content(&json!({"type": "object"}))},
        "304": {"description": "It is still that of If-None-Match."},
    });
    let get = |path: &str, operation: Value| (path.to_owned(), json!({"get": operation}));
    vec![
        get("/v1/events", stream(refusals, schemas)),
        ("/v1/events/ticket".to_owned(), json!({"post": ticket})),
        get("/v1/openapi.json", health("openapi", "This document.", document)),
        get("/healthz", health("healthz", "Whether the process turns.", turns)),
        get("/readyz", health("readyz", "Whether it can serve.", serves)),
    ]
}

fn object_of(properties: &Value) -> Value {
    let names = properties.as_object().into_iter().flat_map(Map::keys);
    let names: Vec<&String> = names.collect();
    json!({"type": "object", "properties": properties, "required": names})
}

/// The stream of events. Its events are named after the pushes.
fn stream(refusals: &Refusals, schemas: &mut Schemas) -> Value {
    let mut events = Map::new();
    for push in Command::pushes() {
        let data = schemas.reference(push.message(), Way::Out);
        let said = json!({"description": push.summary(), "data": data});
        events.insert(push.name().to_owned(), said);
    }
    let missed = json!({
        "description": "What was missed, in one or more events, first of all.",
        "data": schemas.reference(MISSED.response().unwrap_or_default(), Way::Out),
    });
    events.insert(MISSED.name().to_owned(), missed);
    let ok = json!({
        "description": "Server-sent events. An event is named as in x-events; its data is that schema as JSON.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "x-events": events,
    });
    let parameter = |name: &str, place: &str, text: &str| {
        json!({
            "name": name,
            "in": place,
            "required": false,
            "schema": {"type": "string"},
            "description": text,
        })
    };
    json!({
        "operationId": "events",
        "summary": "What the session sees, as it happens.",
        "description": "Begins where since or Last-Event-ID says, else now. The id of the stream is the sync token.",
        "security": [{"session": []}, {"ticket": []}],
        "parameters": [
            parameter("since", "query", "A sync token; empty: everything."),
            parameter("Last-Event-ID", "header", "As since; counts before it."),
        ],
        "responses": responses(ok, refusals),
    })
}
