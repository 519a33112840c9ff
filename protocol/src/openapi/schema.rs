//! Messages and enumerations of the schema as JSON Schema (2020-12). What is written is narrower than what is read: a
//! message that stands in requests and in answers has a schema for each.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
    pub(super) fields: &'static [Field],
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
    pub(super) kind: Kind,
    pub(super) is_list: bool,
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Bool,
    U32,
    U64,
    Text,
    Bytes,
    Message(&'static str),
    Enumeration(&'static str),
}

/// An enumeration.
#[derive(Debug)]
pub(super) struct Enumeration {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
    pub(super) values: &'static [NamedNumber],
}

/// One value of an enumeration.
#[derive(Debug)]
pub(super) struct NamedNumber {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/schema.rs"));

/// A number as text.
const DIGITS: &str = "^[0-9]{1,20}$";
/// Base64 of either alphabet.
const BASE64: &str = "^[A-Za-z0-9+/_-]*={0,2}$";
/// 16 bytes in base64, the text of a UUID, or nothing.
const CLIENT_ID: &str =
    "^([A-Za-z0-9+/_-]{21}[AQgw](==)?|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})?$";
/// The field of that.
const CLIENT_ID_FIELD: &str = "client_msg_id";
/// Beside what the schema says of it.
const CLIENT_ID_OVER_HTTP: &str = "16 bytes in base64 or the text of a UUID, kept over retries. Without it the \
Idempotency-Key counts; without either the request gets a random one, and a retry is another request.";

/// Which way a message goes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Way {
    /// The server writes it.
    Out,
    /// The server reads it.
    In,
}

/// The schemas that something refers to.
#[derive(Debug, Default)]
pub(super) struct Schemas(BTreeSet<(&'static str, Way)>);

impl Schemas {
    /// A reference to the schema of a message.
    pub(super) fn reference(&mut self, name: &'static str, way: Way) -> Value {
        self.note(name, way);
        reference(&component(name, way))
    }

    /// Notes a message with everything that it holds.
    fn note(&mut self, name: &'static str, way: Way) {
        if !self.0.insert((name, way)) {
            return;
        }
        for field in fields(name) {
            if let Kind::Message(inner) = field.kind {
                self.note(inner, way);
            }
        }
    }

    /// All of them with the enumerations, by name.
    pub(super) fn into_components(self) -> Map<String, Value> {
        let mut all = BTreeMap::new();
        for (name, way) in self.0 {
            let Some(message) = MESSAGES.iter().find(|message| message.name == name) else {
                continue;
            };
            for field in message.fields {
                if let Kind::Enumeration(inner) = field.kind {
                    all.insert(component(inner, way), enumeration(inner, way));
                }
            }
            all.insert(component(name, way), object(message, way));
        }
        all.into_iter().collect()
    }
}

/// The fields of a message; none of one that does not exist.
fn fields(name: &str) -> &'static [Field] {
    let found = MESSAGES.iter().find(|message| message.name == name);
    found.map_or(&[], |message| message.fields)
}

/// Whether the message of a request has this field.
pub(super) fn has_client_id(name: &str) -> bool {
    fields(name).iter().any(|field| field.name == CLIENT_ID_FIELD)
}

/// The names of an enumeration's values.
pub(super) fn enumerators(name: &'static str) -> impl Iterator<Item = &'static str> {
    let found = ENUMERATIONS
        .iter()
        .filter(move |enumeration| enumeration.name == name);
    found
        .flat_map(|enumeration| enumeration.values)
        .map(|value| value.name)
}

/// The comment of a message.
pub(super) fn doc(name: &str) -> &'static str {
    let found = MESSAGES.iter().find(|message| message.name == name);
    found.map_or("", |message| message.doc)
}

/// What a schema is called: that of what is read has a name of its own, unless its message is never written.
fn component(name: &str, way: Way) -> String {
    match way {
        Way::In if !name.ends_with("Request") => format!("{name}Input"),
        Way::In | Way::Out => name.to_owned(),
    }
}

fn reference(component: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{component}")})
}

fn object(message: &Message, way: Way) -> Value {
    let properties: Map<String, Value> = message
        .fields
        .iter()
        .map(|field| (field.name.to_owned(), property(field, way)))
        .collect();
    described(json!({"type": "object", "properties": properties}), message.doc)
}

fn property(field: &Field, way: Way) -> Value {
    if way == Way::In && field.name == CLIENT_ID_FIELD {
        return json!({
            "type": ["string", "null"],
            "pattern": CLIENT_ID,
            "description": CLIENT_ID_OVER_HTTP,
        });
    }
    let one = value(field.kind, way, field.is_list);
    let value = match (field.is_list, way) {
        (false, _) => one,
        (true, Way::Out) => json!({"type": "array", "items": one}),
        (true, Way::In) => json!({"type": ["array", "null"], "items": one}),
    };
    described(value, field.doc)
}

/// One value. `null` is read as the default, but not where a list's entry is no number.
fn value(kind: Kind, way: Way, is_entry: bool) -> Value {
    let plain = |name: &str| match (way, is_entry) {
        (Way::In, false) => json!({"type": [name, "null"]}),
        (Way::In, true) | (Way::Out, _) => json!({"type": name}),
    };
    match (kind, way) {
        (Kind::Bool, _) => plain("boolean"),
        (Kind::Text, _) => plain("string"),
        (Kind::Bytes, Way::Out) => json!({"type": "string", "contentEncoding": "base64"}),
        (Kind::Bytes, Way::In) => {
            json!({"type": ["string", "null"], "contentEncoding": "base64", "pattern": BASE64})
        }
        (Kind::U32, Way::Out) => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
        (Kind::U64, Way::Out) => json!({"type": "string", "pattern": DIGITS}),
        (Kind::U32, Way::In) => number(u64::from(u32::MAX)),
        (Kind::U64, Way::In) => number(u64::MAX),
        (Kind::Message(name), Way::In) if !is_entry => {
            json!({"anyOf": [reference(&component(name, way)), {"type": "null"}]})
        }
        (Kind::Message(name) | Kind::Enumeration(name), _) => reference(&component(name, way)),
    }
}

/// A number as it may be given.
fn number(maximum: u64) -> Value {
    json!({"type": ["integer", "string", "null"], "minimum": 0, "maximum": maximum, "pattern": DIGITS})
}

fn enumeration(name: &str, way: Way) -> Value {
    let Some(enumeration) = ENUMERATIONS.iter().find(|enumeration| enumeration.name == name) else {
        return json!({});
    };
    let names: Vec<&str> = enumeration.values.iter().map(|value| value.name).collect();
    let numbers = json!({"type": "integer", "minimum": i32::MIN, "maximum": i32::MAX});
    let mut forms = vec![json!({"type": "string", "enum": names}), numbers];
    if way == Way::In {
        forms.push(json!({"type": "null"}));
    }
    let mut text = enumeration.doc.to_owned();
    for value in enumeration.values.iter().filter(|value| !value.doc.is_empty()) {
        text.push_str(&format!("\n\n- `{}`: {}", value.name, value.doc));
    }
    if way == Way::Out {
        text.push_str("\n\nA value that a newer release has named is written as its number.");
    }
    described(json!({"anyOf": forms}), text.trim())
}

/// Adds what the schema's comment says, if anything.
fn described(mut schema: Value, text: &str) -> Value {
    if let (false, Some(members)) = (text.is_empty(), schema.as_object_mut()) {
        members.insert("description".to_owned(), text.into());
    }
    schema
}
