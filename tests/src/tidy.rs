//! Rules that the repository keeps and no compiler checks. Each is a plain function from text to findings;
//! `tests/tidy.rs` runs them all over the checkout.
//!
//! It owns the rules. It must never change a file, and a rule that cannot fail has no place here: each one has a
//! test that breaks it.

mod glossary;
mod links;
mod paths;
mod rules;
mod source;
mod tree;

pub use glossary::unknown_terms;
pub use links::broken_links;
pub use paths::missing_paths;
pub use rules::{
    crate_root, endless_queues, examples_run, leftovers, length, lints_inherited, unsafe_code, unused_tests,
};
pub use tree::Tree;

use std::fmt;

/// One place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the top of the repository.
    pub path: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there, as a sentence.
    pub what: String,
}

impl Finding {
    /// A finding at `line` of `path`.
    pub fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.what)
    }
}
