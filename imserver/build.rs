//! Embeds the files of `web/`: each as it is, and compressed where that saves something.

use std::{
    env, fs,
    hash::{DefaultHasher, Hasher},
    io::{self, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};

/// A compressed file that is not at least this much smaller, in percent, is not worth keeping.
const SAVED_LEAST: usize = 10;

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=web");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let root = Path::new("web").canonicalize()?;
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();
    let mut code = String::from("/// The files, by path.\nstatic FILES: &[File] = &[\n");
    for (index, file) in files.iter().enumerate() {
        let contents = fs::read(file)?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&contents);
        let compressed = gzip(&contents)?;
        let is_smaller = compressed.len() * 100 <= contents.len() * (100 - SAVED_LEAST);
        let gzip_path = out.join(format!("{index}.gz"));
        fs::write(&gzip_path, if is_smaller { &compressed[..] } else { &[] })?;
        let path = url(&root, file);
        let content_type = content_type(file)
            .ok_or_else(|| io::Error::other(format!("{}: what kind of file is this?", file.display())))?;
        code.push_str(&format!(
            "File {{ path: {path:?}, content_type: {content_type:?}, plain: include_bytes!({file:?}), \
             gzip: include_bytes!({gzip_path:?}), etag: {:?} }},\n",
            format!("\"{:016x}\"", hasher.finish()),
        ));
    }
    code.push_str("];\n");
    fs::write(out.join("files.rs"), code)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// The best there is, once for every reader; without a time, so that a build can be repeated.
fn gzip(contents: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(contents)?;
    encoder.finish()
}

/// Where a file is found: `index.html` at its directory.
fn url(root: &Path, file: &Path) -> String {
    let relative = file.strip_prefix(root).unwrap_or(file).to_string_lossy();
    let path = format!("/{relative}");
    match path.strip_suffix("index.html") {
        Some(directory) => directory.to_owned(),
        None => path,
    }
}

fn content_type(file: &Path) -> Option<&'static str> {
    Some(match file.extension()?.to_str()? {
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "ico" => "image/x-icon",
        "js" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "webmanifest" => "application/manifest+json",
        "woff2" => "font/woff2",
        _ => return None,
    })
}
