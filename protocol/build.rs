//! Compiles the schema in pure Rust: no `protoc` needs to be installed.

#[path = "build/schema.rs"]
mod schema;

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use prost_build::Config;
use protox::prost_reflect::prost_types::{FileDescriptorSet, field_descriptor_proto::Type};

const FILES: [&str; 7] = [
    "common.proto",
    "session.proto",
    "account.proto",
    "people.proto",
    "message.proto",
    "group.proto",
    "presence.proto",
];

/// Messages that hold a password or a token: `src/redact.rs` writes their `Debug`, without the secret.
const SECRETIVE: [&str; 4] = ["Hello", "Session", "RegisterRequest", "LoginRequest"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;

    let mut config = Config::new();
    // Bodies are cut out of the received frame without copying them.
    config.bytes(["."]);
    config.skip_debug(SECRETIVE.map(|name| format!(".im.v1.{name}")));
    config.compile_fds(descriptors.clone())?;

    let mut json = pbjson_build::Builder::new();
    for file in &descriptors.file {
        json.register_file_descriptor(file.clone());
    }
    let directory = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(directory.join("schema.rs"), schema::tables(&descriptors)?)?;
    json.out_dir(&directory)
        .preserve_proto_field_names()
        .ignore_unknown_fields()
        .build(&[".im.v1"])?;
    open_enumerations(&directory.join("im.v1.serde.rs"), enumerated_fields(&descriptors))
}

fn enumerated_fields(descriptors: &FileDescriptorSet) -> usize {
    let messages = descriptors.file.iter().flat_map(|file| &file.message_type);
    let fields = messages.flat_map(|message| &message.field);
    fields.filter(|field| field.r#type() == Type::Enum).count()
}

/// The generated JSON code refuses to write, and to read, a number that its enumeration does not name. A
/// field may hold such a number: it came from a newer release. So both places go through
/// `crate::json::Open`, which keeps the number. Fails when the generated code is not what this expects.
fn open_enumerations(file: &Path, expected: usize) -> Result<(), Box<dyn Error>> {
    const WRITE: &str = r#".map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", "#;
    const READ: (&str, &str) = ("Some(map_.next_value::<", ">()? as i32);");

    let (mut written, mut read) = (0, 0);
    let mut code = String::new();
    for line in fs::read_to_string(file)?.lines() {
        if let Some(number) = line.trim().strip_prefix(WRITE) {
            let number = number.trim_end_matches(")))?;");
            code += &format!(".map_or(crate::json::Open::Unknown({number}), crate::json::Open::Known);");
            written += 1;
        } else if let Some((field, rest)) = line.split_once(READ.0)
            && let Some(name) = rest.strip_suffix(READ.1)
        {
            code += &format!("{field}Some(map_.next_value::<crate::json::Open<{name}>>()?.number());");
            read += 1;
        } else {
            code += line;
        }
        code.push('\n');
    }
    if written != expected || read != expected {
        let found = format!("{written} written and {read} read");
        return Err(format!("{expected} enumerated fields in the schema, {found} in the JSON code").into());
    }
    fs::write(file, as_the_mapping_says(&code)?)?;
    Ok(())
}

/// What JSON may say instead of a value, by the mapping of proto3: `null` is the default, and a whole number may have a
/// fraction of zeros or an exponent. Fails when the generated code is not what this expects.
fn as_the_mapping_says(code: &str) -> Result<String, Box<dyn Error>> {
    const REPLACED: [(&str, &str); 4] = [
        (
            "map_.next_value::<Vec<::pbjson::private::NumberDeserialize<_>>>()?",
            "crate::json::or_default(map_.next_value::<Option<Vec<crate::json::Number<_>>>>()?)",
        ),
        (
            "map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0",
            "map_.next_value::<crate::json::Number<_>>()?.0",
        ),
        (
            "map_.next_value::<::pbjson::private::BytesDeserialize<_>>()?.0",
            "crate::json::or_default(map_.next_value::<Option<crate::json::Base64>>()?).0",
        ),
        (
            "Some(map_.next_value()?)",
            "Some(crate::json::or_default(map_.next_value()?))",
        ),
    ];
    let mut code = code.to_owned();
    for (generated, ours) in REPLACED {
        if !code.contains(generated) {
            return Err(format!("the JSON code has no {generated}").into());
        }
        code = code.replace(generated, ours);
    }
    if code.contains("NumberDeserialize") || code.contains("BytesDeserialize") {
        return Err("the JSON code reads a value in a way that is not known here".into());
    }
    Ok(code)
}
