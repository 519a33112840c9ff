//! The glossary of ARCHITECTURE.md: what it names is in the code.

use super::{Finding, Tree};

/// The page, and the heading below which the glossary stands.
const PAGE: &str = "ARCHITECTURE.md";
const HEADING: &str = "## Glossary";

/// The names in the last column of the glossary that no Rust or proto file has. Paths are another rule's.
pub fn unknown_terms(tree: &Tree) -> Vec<Finding> {
    let text = tree.text(PAGE).unwrap_or_default();
    let mut findings = Vec::new();
    let lines = (1..).zip(text.lines());
    let mut rows = lines
        .skip_while(|(_, line)| *line != HEADING)
        .skip(1)
        .take_while(|(_, line)| !line.starts_with("## "))
        .filter(|(_, line)| line.starts_with('|'))
        .peekable();
    if rows.peek().is_none() {
        findings.push(Finding::new(PAGE, 1, "there is no glossary"));
    }
    for (line, row) in rows {
        let Some(column) = row.trim_end_matches(['|', ' ']).rsplit('|').next() else {
            continue;
        };
        for name in column
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| !name.contains('/'))
        {
            let last = name.rsplit("::").next().unwrap_or(name);
            let mut files = tree.files("rs").chain(tree.files("proto"));
            if !files.any(|(_, text)| has_word(text, last)) {
                findings.push(Finding::new(PAGE, line, format!("nothing is called {name}")));
            }
        }
    }
    findings
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(word).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(page: &str) -> Vec<usize> {
        let tree: Tree = [(PAGE, page), ("a.rs", "struct Lane; struct Snapshot<T>(T);")]
            .into_iter()
            .collect();
        unknown_terms(&tree)
            .into_iter()
            .map(|finding| finding.line)
            .collect()
    }

    #[test]
    fn a_name_that_is_gone_is_found() {
        let none: [usize; 0] = [];
        let glossary = "# A\n## Glossary\n\n| term | meaning | where |\n|---|---|---|\n";
        assert_eq!(
            lines(&format!(
                "{glossary}| a | b `No` | `Lane`, `x::Snapshot`, `a/b.rs` |\n## B\n| c | d | `No` |"
            )),
            none
        );
        assert_eq!(
            lines(&format!("{glossary}| a | b | `Lan` |\n| a | b | `Laned` |")),
            [6, 7]
        );
        assert_eq!(lines("# A\n"), [1]);
    }
}
