//! Writes the schema as constants of Rust, with its comments: what `src/openapi/` describes the calls from.

use std::{collections::HashMap, error::Error, fmt::Write};

use protox::prost_reflect::prost_types::{
    FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

/// Numbers of fields of the descriptor: how the places of comments are named.
const MESSAGES: i32 = 4;
const ENUMERATIONS: i32 = 5;
const PARTS: i32 = 2;

/// The code of the two tables: `MESSAGES` and `ENUMERATIONS`.
pub(crate) fn tables(descriptors: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let (mut messages, mut enumerations) = (String::new(), String::new());
    for file in &descriptors.file {
        let comments = comments(file);
        let comment = |path: &[i32]| comments.get(path).map_or("", String::as_str);
        for (index, message) in (0..).zip(&file.message_type) {
            if !message.nested_type.is_empty() || !message.enum_type.is_empty() {
                return Err(format!("{} has types of its own", message.name()).into());
            }
            let doc = comment(&[MESSAGES, index]);
            write!(
                messages,
                "Message {{ name: {:?}, doc: {doc:?}, fields: &[",
                message.name()
            )?;
            for (place, field) in (0..).zip(&message.field) {
                let doc = comment(&[MESSAGES, index, PARTS, place]);
                let (name, kind) = (field.name(), kind(field)?);
                let is_list = field.label() == Label::Repeated;
                write!(
                    messages,
                    "Field {{ name: {name:?}, doc: {doc:?}, kind: {kind}, is_list: {is_list} }}, "
                )?;
            }
            messages.push_str("] },\n");
        }
        for (index, enumeration) in (0..).zip(&file.enum_type) {
            let (name, doc) = (enumeration.name(), comment(&[ENUMERATIONS, index]));
            write!(
                enumerations,
                "Enumeration {{ name: {name:?}, doc: {doc:?}, values: &["
            )?;
            for (place, value) in (0..).zip(&enumeration.value) {
                let doc = comment(&[ENUMERATIONS, index, PARTS, place]);
                write!(
                    enumerations,
                    "NamedNumber {{ name: {:?}, doc: {doc:?} }}, ",
                    value.name()
                )?;
            }
            enumerations.push_str("] },\n");
        }
    }
    Ok(format!(
        "/// The messages of the schema.\nstatic MESSAGES: &[Message] = &[\n{messages}];\n\
         /// Its enumerations.\nstatic ENUMERATIONS: &[Enumeration] = &[\n{enumerations}];\n"
    ))
}

/// The comment before each thing, on one line.
fn comments(file: &FileDescriptorProto) -> HashMap<Vec<i32>, String> {
    let info = file.source_code_info.as_ref();
    info.into_iter()
        .flat_map(|info| &info.location)
        .filter_map(|location| {
            let words: Vec<&str> = location.leading_comments().split_whitespace().collect();
            (!words.is_empty()).then(|| (location.path.clone(), words.join(" ")))
        })
        .collect()
}

fn kind(field: &FieldDescriptorProto) -> Result<String, Box<dyn Error>> {
    let named = |kind: &str| {
        let name = field.type_name().rsplit('.').next().unwrap_or_default();
        format!("Kind::{kind}({name:?})")
    };
    Ok(match field.r#type() {
        Type::Bool => "Kind::Bool".to_owned(),
        Type::Uint32 | Type::Fixed32 => "Kind::U32".to_owned(),
        Type::Uint64 => "Kind::U64".to_owned(),
        Type::String => "Kind::Text".to_owned(),
        Type::Bytes => "Kind::Bytes".to_owned(),
        Type::Message => named("Message"),
        Type::Enum => named("Enumeration"),
        other => {
            let message = format!(
                "{}: the description of calls knows no {other:?} yet",
                field.name()
            );
            return Err(message.into());
        }
    })
}
