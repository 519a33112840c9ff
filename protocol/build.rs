//! Compiles the schema in pure Rust: no `protoc` needs to be installed.

use std::{env, error::Error, path::PathBuf};

const FILES: [&str; 6] = [
    "common.proto",
    "session.proto",
    "account.proto",
    "message.proto",
    "group.proto",
    "presence.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;

    let mut config = prost_build::Config::new();
    // Bodies are cut out of the received frame without copying them.
    config.bytes(["."]);
    config.compile_fds(descriptors.clone())?;

    let mut json = pbjson_build::Builder::new();
    for file in &descriptors.file {
        json.register_file_descriptor(file.clone());
    }
    let directory = PathBuf::from(env::var("OUT_DIR")?);
    json.out_dir(directory)
        .preserve_proto_field_names()
        .ignore_unknown_fields()
        .build(&[".im.v1"])?;
    Ok(())
}
