//! The rules about source files and manifests. The words that they look for are written in two halves, so that
//! this file keeps its own rules.

use super::source::{code, has_word};
use super::{Finding, Tree};

/// The longest a source file may be; past that it holds more than one subject. Most have less than half.
const FILE_LINES_MAX: usize = 800;

/// Macros that only unfinished work contains.
const UNFINISHED: [&str; 3] = [
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("db", "g!"),
];

/// Marks that only unfinished work contains, in comments above all.
const MARKS: [&str; 2] = [concat!("FIX", "ME"), concat!("X", "XX")];

/// Ways to make a queue without a limit.
const UNBOUNDED: [&str; 3] = ["unbounded(", "unbounded::<", "unbounded_channel"];

/// Files that may contain code the compiler cannot check, each with a reason in its own head. There are none.
const UNCHECKED_ALLOWED: [&str; 0] = [];

/// Nothing unfinished is left.
pub fn leftovers(path: &str, text: &str) -> Vec<Finding> {
    let code = code(text);
    let mut findings = Vec::new();
    for (number, (line, code)) in (1..).zip(text.lines().zip(code.lines())) {
        let unfinished = UNFINISHED.iter().find(|word| code.contains(**word));
        let mark = MARKS.iter().find(|word| has_word(line, word));
        if let Some(word) = unfinished.or(mark) {
            findings.push(Finding::new(path, number, format!("unfinished work: {word}")));
        }
    }
    findings
}

/// Every test runs, and so does every example in the documentation.
pub fn unused_tests(path: &str, text: &str) -> Vec<Finding> {
    let code = code(text);
    let mut findings = Vec::new();
    for (number, (line, code)) in (1..).zip(text.lines().zip(code.lines())) {
        let line = line.trim_start();
        let attribute = code.contains("#[") && has_word(code, "ignore");
        let comment = line.strip_prefix("//!").or_else(|| line.strip_prefix("///"));
        let example =
            comment.is_some_and(|text| text.trim_start().starts_with("```") && has_word(text, "ignore"));
        if attribute || example {
            findings.push(Finding::new(
                path,
                number,
                "a test that never runs; repair it or delete it",
            ));
        }
    }
    findings
}

/// Every queue has a limit.
pub fn endless_queues(path: &str, text: &str) -> Vec<Finding> {
    let code = code(text);
    let mut findings = Vec::new();
    for (number, code) in (1..).zip(code.lines()) {
        // The standard library's channel without a limit has no telling name of its own.
        let standard = code.contains("mpsc::channel") || (code.contains("mpsc") && has_word(code, "channel"));
        if standard || UNBOUNDED.iter().any(|word| code.contains(word)) {
            findings.push(Finding::new(path, number, "a queue without a limit"));
        }
    }
    findings
}

/// Unchecked code is only where it was allowed, and says why it is sound.
pub fn unsafe_code(path: &str, text: &str) -> Vec<Finding> {
    let lines: Vec<&str> = text.lines().collect();
    let mut findings = Vec::new();
    for (index, code) in code(text).lines().enumerate() {
        if !has_word(code, "unsafe") {
            continue;
        }
        if !UNCHECKED_ALLOWED.contains(&path) {
            findings.push(Finding::new(
                path,
                index + 1,
                "unsafe code in a module that may not have any",
            ));
        } else if !lines[..index]
            .last()
            .is_some_and(|line| line.contains("// SAFETY:"))
        {
            findings.push(Finding::new(
                path,
                index + 1,
                "unsafe code without a `// SAFETY:` line above",
            ));
        }
    }
    findings
}

/// A source file has one subject.
pub fn length(path: &str, text: &str) -> Vec<Finding> {
    let lines = text.lines().count();
    let findings = (lines > FILE_LINES_MAX).then(|| {
        Finding::new(
            path,
            lines,
            format!("{lines} lines in one file; {FILE_LINES_MAX} are the limit"),
        )
    });
    findings.into_iter().collect()
}

/// Every crate says first what it owns.
pub fn crate_root(path: &str, text: &str) -> Vec<Finding> {
    // A document of its own, included, serves as well.
    let first = text.lines().next().unwrap_or_default();
    let included = first.starts_with("#![") && first.contains("doc = include_str!");
    let missing = is_crate_root(path) && !first.starts_with("//!") && !included;
    let findings = missing.then(|| Finding::new(path, 1, "a crate that does not start with what it is for"));
    findings.into_iter().collect()
}

fn is_crate_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [_, "src", "lib.rs" | "main.rs"] | [_, "src", "bin", _] => true,
        [_, "src", "bin", _, "main.rs"] => true,
        [_, "tests" | "benches" | "examples" | "fuzz_targets", file] => file.ends_with(".rs"),
        _ => false,
    }
}

/// Every package takes part in the lints of the workspace, the one against unchecked code among them.
pub fn lints_inherited(path: &str, text: &str) -> Vec<Finding> {
    let mut lines = text.lines().map(str::trim);
    let package = lines.clone().any(|line| line == "[package]");
    let inherited = lines.any(|line| line == "[lints]") && lines.next() == Some("workspace = true");
    let findings = (package && !inherited).then(|| {
        Finding::new(
            path,
            1,
            "a package that does not inherit the lints of the workspace",
        )
    });
    findings.into_iter().collect()
}

/// Every program among the examples is run by one of their tests.
pub fn examples_run(tree: &Tree) -> Vec<Finding> {
    let tests: Vec<&str> = tree
        .files("rs")
        .filter(|(path, _)| path.starts_with("examples/tests/"))
        .map(|(_, text)| text)
        .collect();
    let mut findings = Vec::new();
    for (path, _) in tree.files("rs") {
        let Some(name) = example_name(path) else { continue };
        let handle = format!("\"CARGO_BIN_EXE_{name}\"");
        if !tests.iter().any(|text| text.contains(&handle)) {
            findings.push(Finding::new(
                path,
                1,
                format!("no test in examples/tests runs `{name}`"),
            ));
        }
    }
    findings
}

/// The name of the program whose root this is. Cargo gives the path of a binary to its package's tests, but not
/// that of an `examples/examples/*.rs`: such a file counts as one that nothing runs.
fn example_name(path: &str) -> Option<&str> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["examples", "src", "bin", file] | ["examples", "examples", file] => file.strip_suffix(".rs"),
        ["examples", "src", "bin", name, "main.rs"] => Some(name),
        _ => None,
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
