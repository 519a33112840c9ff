//! The text files of the checkout, read once.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// What is read: the files a rule looks at.
const EXTENSIONS: [&str; 4] = ["md", "proto", "rs", "toml"];

/// Directories at any depth that hold nothing of ours: products, discoveries, and what starts with a dot.
const SKIPPED: [&str; 5] = ["target", "artifacts", "corpus", "coverage", "imserver-data"];

/// The text files of a directory tree, by their path relative to its top, with `/` between the parts.
#[derive(Clone, Debug, Default)]
pub struct Tree(BTreeMap<String, String>);

impl Tree {
    /// Reads the tree below `top`. A file that is not UTF-8 is an error: none of ours is.
    pub fn read(top: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        let mut pending = vec![String::new()];
        while let Some(directory) = pending.pop() {
            for entry in std::fs::read_dir(top.join(&directory))? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with('.') || SKIPPED.contains(&name.as_str()) {
                    continue;
                }
                let path = if directory.is_empty() {
                    name
                } else {
                    format!("{directory}/{name}")
                };
                if entry.file_type()?.is_dir() {
                    pending.push(path);
                } else if EXTENSIONS.iter().any(|extension| has_extension(&path, extension)) {
                    let text = std::fs::read_to_string(entry.path())
                        .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
                    tree.0.insert(path, text);
                }
            }
        }
        Ok(tree)
    }

    /// The text of the file at `path`, if it was read.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// The paths of all files.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The files whose names end in `.extension`, as path and text.
    pub fn files(&self, extension: &str) -> impl Iterator<Item = (&str, &str)> {
        let files = self
            .0
            .iter()
            .filter(move |(path, _)| has_extension(path, extension));
        files.map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Tree {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(files: I) -> Self {
        Self(
            files
                .into_iter()
                .map(|(path, text)| (path.to_owned(), text.to_owned()))
                .collect(),
        )
    }
}

fn has_extension(path: &str, extension: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, found)| found == extension)
}
