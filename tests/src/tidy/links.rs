//! Relative links of Markdown files: the file exists, and so does the heading.

use super::{Finding, Tree};
use std::path::Path;

/// The links of the Markdown file at `path`, below `top`, that lead nowhere. `tree` is the content of `top`.
///
/// Links to other sites are not followed: a check must not depend on them.
pub fn broken_links(top: &Path, tree: &Tree, path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, target) in links(text) {
        if target.contains(':') || target.starts_with('/') {
            continue;
        }
        let (file, heading) = target.split_once('#').unwrap_or((target, ""));
        let file = if file.is_empty() {
            Some(path.to_owned())
        } else {
            resolve(path, file)
        };
        let linked = file.as_deref().and_then(|file| tree.text(file));
        if linked.is_none() && !file.is_some_and(|file| top.join(file).exists()) {
            findings.push(Finding::new(
                path,
                line,
                format!("the link to {target} leads nowhere"),
            ));
        } else if let Some(linked) = linked
            && !heading.is_empty()
            && !headings(linked).any(|anchor| anchor == heading)
        {
            findings.push(Finding::new(
                path,
                line,
                format!("the link to {target} finds no such heading"),
            ));
        }
    }
    findings
}

/// The path that `target`, written in the file at `from`, means; nothing if it leaves the repository.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The lines outside of fenced code, numbered from 1.
pub(super) fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The targets of inline links, images and link definitions, with their lines.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        found.extend(definition.map(|(_, target)| (number, first_word(target))));
        // Every other part between backquotes is code.
        for outside in line.split('`').step_by(2) {
            let targets = outside
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split_once(')'));
            found.extend(targets.map(|(target, _)| (number, first_word(target))));
        }
    }
    found.retain(|(_, target)| !target.is_empty());
    found
}

/// A title may follow the target.
fn first_word(target: &str) -> &str {
    target
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .trim_matches(['<', '>'])
}

/// The anchors of the headings, as GitHub forms them: lower case, spaces to hyphens, other punctuation gone.
fn headings(text: &str) -> impl Iterator<Item = String> {
    prose(text)
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|&character| {
                character.is_alphanumeric() || character == ' ' || character == '-' || character == '_'
            });
            kept.map(|character| if character == ' ' { '-' } else { character })
                .collect()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No line at all.
    const NOWHERE: [usize; 0] = [];

    fn broken(path: &str, text: &str) -> Vec<usize> {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        let tree: Tree = [(path, text)].into_iter().collect();
        broken_links(top, &tree, path, text)
            .into_iter()
            .map(|finding| finding.line)
            .collect()
    }

    #[test]
    fn a_link_to_a_missing_file_is_found() {
        assert_eq!(
            broken("a.md", "[a](Cargo.toml) [b](src/lib.rs \"title\") ![c](src)\n"),
            NOWHERE
        );
        assert_eq!(
            broken("a.md", "text\n[`a`](nothing.md) and [b](Cargo.toml)\n"),
            [2]
        );
        assert_eq!(broken("a.md", "[a]: nothing.md\n[b]: <Cargo.toml>\n"), [1]);
        assert_eq!(
            broken("src/a.md", "[a](../Cargo.toml) [b](./lib.rs)\n[c](Cargo.toml)\n"),
            [2]
        );
        assert_eq!(broken("a.md", "[a](../../x.md)\n"), [1]);
    }

    #[test]
    fn a_link_to_a_missing_heading_is_found() {
        let text = "# Here\n[a](#here)\n[b](#there)\n";
        assert_eq!(broken("a.md", text), [3]);
        let guide = "# The guide\n## 2. What `it` does: a, b\n```\n# no heading\n```\n";
        let found: Vec<String> = headings(guide).collect();
        assert_eq!(found, ["the-guide", "2-what-it-does-a-b"]);
    }

    #[test]
    fn code_and_other_sites_are_left_alone() {
        let text =
            "```\n[a](nothing.md)\n```\n`[a](nothing.md)` [b](https://example.org/x) [c](mailto:a@b)\n";
        assert_eq!(broken("a.md", text), NOWHERE);
    }
}
