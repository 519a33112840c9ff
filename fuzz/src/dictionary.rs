//! The dictionary for libFuzzer: pieces of the protocol that it puts into inputs. It is made from the table of commands
//! and the schema, so that what is added to them is in it.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

use protocol::{Command, MessageType};

/// What follows from neither the table nor the schema.
const FIXED: &str = include_str!("fixed.dict");
/// Fields of a message whose tags are in the dictionary.
const TAGS: u32 = 16;

/// Where the dictionary is kept.
pub fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("protocol.dict")
}

/// The whole dictionary.
///
/// # Errors
/// The schema cannot be read.
pub fn text() -> io::Result<String> {
    let mut out =
        String::from("# Made by `cargo run -p fuzz --example seeds`: see fuzz/src/dictionary.rs.\n");
    out.push_str("\n# Types: commands, and answers to them.\n");
    for command in Command::ALL.iter().copied() {
        let number = command.number();
        entry(
            &mut out,
            command.name(),
            &MessageType::request(number).to_bits().to_be_bytes(),
        );
        if !command.is_push() {
            let name = format!("{}_answer", command.name());
            entry(
                &mut out,
                &name,
                &MessageType::response(number).to_bits().to_be_bytes(),
            );
        }
    }
    out.push_str("\n# Tags: field and wire type.\n");
    for field in 1..=TAGS {
        for (wire_type, name) in [(0, "varint"), (2, "bytes")] {
            entry(
                &mut out,
                &format!("field_{field}_{name}"),
                &varint(field << 3 | wire_type),
            );
        }
    }
    out.push_str("\n# JSON: the names of fields and of values.\n");
    let (fields, values) = names()?;
    for name in fields {
        let _ = writeln!(out, "json_{name}=\"\\\"{name}\\\":\"");
    }
    for name in values {
        let _ = writeln!(out, "{}=\"\\\"{name}\\\"\"", name.to_lowercase());
    }
    out.push('\n');
    out.push_str(FIXED);
    Ok(out)
}

fn entry(out: &mut String, name: &str, bytes: &[u8]) {
    let _ = write!(out, "{name}=\"");
    for byte in bytes {
        let _ = write!(out, "\\x{byte:02x}");
    }
    out.push_str("\"\n");
}

fn varint(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// The names of all fields, and of all values of enumerations.
fn names() -> io::Result<(BTreeSet<String>, BTreeSet<String>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/proto");
    let (mut fields, mut values) = (BTreeSet::new(), BTreeSet::new());
    for file in fs::read_dir(directory)? {
        for line in fs::read_to_string(file?.path())?.lines() {
            let code = line.split("//").next().unwrap_or_default();
            let Some((left, number)) = code.split_once(" = ") else {
                continue;
            };
            let is_number = number.trim().trim_end_matches(';').parse::<u32>().is_ok();
            let Some(name) = left.split_whitespace().last().filter(|_| is_number) else {
                continue;
            };
            let kept = if name.starts_with(|letter: char| letter.is_ascii_uppercase()) {
                &mut values
            } else {
                &mut fields
            };
            kept.insert(name.to_owned());
        }
    }
    Ok((fields, values))
}
