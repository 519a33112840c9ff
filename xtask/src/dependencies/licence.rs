//! Decides whether an SPDX licence expression can be satisfied with the licences we accept.
//!
//! The grammar is that of SPDX 2.3 annex D as far as crates use it: `OR`, `AND`, `WITH`, parentheses, and the
//! slash that crates.io took for `OR` in its early years.

/// The licences accepted, with their exceptions. None asks anything of the rest of a program (MPL-2.0 only of its
/// own files, which we use unchanged). `deny.toml` has the same list; a test compares them.
const ALLOWED: [&str; 11] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "MPL-2.0",
    "NCSA",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Whether the expression can be satisfied. What cannot be understood is not allowed.
pub(super) fn allowed(expression: &str) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words = Words {
        rest: spaced.split_whitespace().peekable(),
    };
    let verdict = words.any_of();
    words.rest.next().is_none() && verdict == Some(true)
}

struct Words<'a> {
    rest: std::iter::Peekable<std::str::SplitWhitespace<'a>>,
}

impl<'a> Words<'a> {
    fn any_of(&mut self) -> Option<bool> {
        let mut verdict = self.all_of()?;
        while self.rest.next_if_eq(&"OR").is_some() {
            verdict |= self.all_of()?;
        }
        Some(verdict)
    }

    fn all_of(&mut self) -> Option<bool> {
        let mut verdict = self.one()?;
        while self.rest.next_if_eq(&"AND").is_some() {
            verdict &= self.one()?;
        }
        Some(verdict)
    }

    fn one(&mut self) -> Option<bool> {
        match self.rest.next()? {
            "(" => {
                let verdict = self.any_of()?;
                self.rest.next_if_eq(&")").map(|_| verdict)
            }
            ")" | "AND" | "OR" | "WITH" => None,
            licence => self.named(licence),
        }
    }

    fn named(&mut self, licence: &'a str) -> Option<bool> {
        if self.rest.next_if_eq(&"WITH").is_none() {
            return Some(ALLOWED.contains(&licence));
        }
        let exception = self.rest.next()?;
        Some(ALLOWED.contains(&format!("{licence} WITH {exception}").as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_judged_as_spdx_means_them() {
        let table = [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("MIT OR GPL-3.0-only", true),
            ("GPL-3.0-only OR MIT", true),
            ("MIT AND GPL-3.0-only", false),
            ("MIT/Apache-2.0", true),
            ("Apache-2.0 / MIT", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("(MIT OR GPL-3.0-only) AND LGPL-2.1-only", false),
            ("GPL-3.0-only AND MIT OR MIT", true),
            ("GPL-3.0-only AND (MIT OR MIT)", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("Apache-2.0 WITH LLVM-exception OR GPL-2.0-only", true),
            ("GPL-2.0-only WITH Classpath-exception-2.0", false),
        ];
        for (expression, verdict) in table {
            assert_eq!(allowed(expression), verdict, "{expression}");
        }
    }

    #[test]
    fn what_is_not_understood_is_not_allowed() {
        for expression in [
            "",
            "(",
            "(MIT",
            "MIT)",
            "MIT MIT",
            "OR MIT",
            "MIT OR",
            "MIT WITH",
            "MIT AND OR MIT",
        ] {
            assert!(!allowed(expression), "{expression}");
        }
    }

    #[test]
    fn cargo_deny_accepts_the_same_licences() {
        let text = include_str!("../../../deny.toml");
        let list = text
            .split("\nallow = [")
            .nth(1)
            .and_then(|rest| rest.split(']').next());
        let names: Vec<&str> = list
            .expect("a list of licences")
            .split('"')
            .skip(1)
            .step_by(2)
            .collect();
        assert_eq!(names, ALLOWED);
    }
}
