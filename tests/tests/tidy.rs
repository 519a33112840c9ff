//! Runs the rules of [`tests::tidy`] over this checkout.

use std::path::{Path, PathBuf};
use tests::tidy::{self, Finding, Tree};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .to_path_buf()
}

/// What `rule` finds in all files with this extension.
fn everywhere(extension: &str, rule: impl Fn(&str, &str) -> Vec<Finding>) -> Vec<Finding> {
    let tree = Tree::read(&top()).expect("a readable checkout");
    let mut files = 0;
    let findings = tree
        .files(extension)
        .inspect(|_| files += 1)
        .flat_map(|(path, text)| rule(path, text));
    let findings = findings.collect();
    assert!(
        files > 1,
        "the checkout was not found: {files} files ending in .{extension}"
    );
    findings
}

#[track_caller]
fn none(findings: &[Finding]) {
    let list: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "\n{}\n", list.join("\n"));
}

#[test]
fn nothing_unfinished_is_left() {
    none(&everywhere("rs", tidy::leftovers));
}

#[test]
fn every_test_runs() {
    none(&everywhere("rs", tidy::unused_tests));
}

#[test]
fn every_queue_has_a_limit() {
    none(&everywhere("rs", tidy::endless_queues));
}

#[test]
fn there_is_no_unsafe_code() {
    none(&everywhere("rs", tidy::unsafe_code));
}

#[test]
fn every_file_has_one_subject() {
    none(&everywhere("rs", tidy::length));
}

#[test]
fn every_crate_says_what_it_is_for() {
    none(&everywhere("rs", tidy::crate_root));
}

#[test]
fn every_package_inherits_the_lints() {
    none(&everywhere("toml", tidy::lints_inherited));
}

#[test]
fn every_example_is_run_by_a_test() {
    none(&tidy::examples_run(
        &Tree::read(&top()).expect("a readable checkout"),
    ));
}

#[test]
fn the_glossary_names_what_is_there() {
    none(&tidy::unknown_terms(
        &Tree::read(&top()).expect("a readable checkout"),
    ));
}

#[test]
fn every_path_that_is_named_is_there() {
    let tree = Tree::read(&top()).expect("a readable checkout");
    none(&everywhere("md", |path, text| {
        // What was is not what is.
        if path == "CHANGELOG.md" {
            return Vec::new();
        }
        tidy::missing_paths(&tree, path, text)
    }));
}

#[test]
fn every_link_leads_somewhere() {
    let tree = Tree::read(&top()).expect("a readable checkout");
    none(&everywhere("md", |path, text| {
        tidy::broken_links(&top(), &tree, path, text)
    }));
}
