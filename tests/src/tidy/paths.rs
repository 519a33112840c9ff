//! Paths of this repository that Markdown files name in code spans: the file is there.

use super::{Finding, Tree, links::prose};

/// What a path that is checked ends with.
const ENDINGS: [&str; 4] = [".rs", ".md", ".proto", ".toml"];

/// The paths in code spans of the Markdown file at `path` that no file of the tree has. A path may leave out where it
/// begins, as in `sqlite/append.rs`; a name without a directory is not checked, because it may be anybody's.
pub fn missing_paths(tree: &Tree, path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, words) in prose(text) {
        for named in words.split('`').skip(1).step_by(2).filter(|span| is_path(span)) {
            let inside = format!("/{named}");
            let is_there = |file: &str| file == named || file.ends_with(&inside);
            if !tree.paths().any(is_there) {
                findings.push(Finding::new(path, line, format!("there is no {named}")));
            }
        }
    }
    findings
}

fn is_path(span: &str) -> bool {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_-./".contains(character);
    span.contains('/')
        && !span.starts_with(['/', '.', '~'])
        && span.chars().all(is_plain)
        && ENDINGS.iter().any(|ending| span.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_gone_is_found() {
        let tree: Tree = [("storage/src/sqlite/append.rs", ""), ("a.md", "")]
            .into_iter()
            .collect();
        let lines = |text: &str| -> Vec<usize> {
            let findings = missing_paths(&tree, "a.md", text);
            findings.into_iter().map(|finding| finding.line).collect()
        };
        let none: [usize; 0] = [];
        assert_eq!(
            lines("`storage/src/sqlite/append.rs` and `sqlite/append.rs`"),
            none
        );
        assert_eq!(lines("text\n`sqlite/gone.rs`, `sqlite/append.rs`"), [2]);
        // A part of a name is no path.
        assert_eq!(lines("`lite/append.rs`"), [1]);
        assert_eq!(lines("`gone.rs` `/etc/x.toml` `cargo run a/b.rs` `a/*.rs`"), none);
        assert_eq!(lines("```\n`sqlite/gone.rs`\n```"), none);
    }
}
