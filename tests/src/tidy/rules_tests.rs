//! Each rule on a text that keeps it and on texts that break it.

use super::*;

/// No line at all.
const NOWHERE: [usize; 0] = [];

/// The lines at which `rule` finds something in `text`.
fn lines(rule: fn(&str, &str) -> Vec<Finding>, text: &str) -> Vec<usize> {
    rule("netcore/src/x.rs", text)
        .into_iter()
        .map(|finding| finding.line)
        .collect()
}

#[test]
fn unfinished_work_is_found() {
    let mark = MARKS[0];
    for word in UNFINISHED {
        assert_eq!(
            lines(leftovers, &format!("fn f() {{\n    {word}(1)\n}}\n")),
            [2],
            "{word}"
        );
        assert_eq!(
            lines(leftovers, &format!("// never {word}\nlet a = \"{word}\";\n")),
            NOWHERE,
            "{word}"
        );
    }
    assert_eq!(lines(leftovers, &format!("// {mark}: later\n")), [1]);
    assert_eq!(lines(leftovers, &format!("// {}\n", MARKS[1])), [1]);
    assert_eq!(
        lines(leftovers, &format!("// {mark}S\n// {}X\n", MARKS[1])),
        NOWHERE
    );
}

#[test]
fn tests_that_never_run_are_found() {
    assert_eq!(lines(unused_tests, "#[test]\n#[ignore]\nfn f() {}\n"), [2]);
    assert_eq!(lines(unused_tests, "#[ignore = \"slow\"]\n"), [1]);
    assert_eq!(lines(unused_tests, "#[cfg_attr(miri, ignore)]\n"), [1]);
    assert_eq!(lines(unused_tests, "/// ```rust,ignore\n"), [1]);
    assert_eq!(
        lines(
            unused_tests,
            "//! ```no_run\n#[allow(clippy::ignored_unit_patterns)]\n// #[ignore]\n"
        ),
        NOWHERE
    );
}

#[test]
fn queues_without_a_limit_are_found() {
    assert_eq!(
        lines(endless_queues, "let a = crossbeam_channel::unbounded();\n"),
        [1]
    );
    assert_eq!(
        lines(endless_queues, "let a = channel::unbounded::<u8>();\n"),
        [1]
    );
    assert_eq!(
        lines(endless_queues, "let a = std::sync::mpsc::channel();\n"),
        [1]
    );
    assert_eq!(
        lines(endless_queues, "use std::sync::mpsc::{self, channel};\n"),
        [1]
    );
    assert_eq!(
        lines(
            endless_queues,
            "let a = mpsc::sync_channel(1); let b = bounded(2); // unbounded()\n"
        ),
        NOWHERE
    );
}

#[test]
fn unsafe_code_is_found_outside_of_comments() {
    assert_eq!(lines(unsafe_code, "let a = 1;\nunsafe { f() }\n"), [2]);
    assert_eq!(
        lines(
            unsafe_code,
            "#![forbid(unsafe_code)]\n// unsafe\nlet a = \"unsafe\";\n"
        ),
        NOWHERE
    );
}

#[test]
fn a_file_that_is_too_long_is_found() {
    assert_eq!(lines(length, &"a\n".repeat(FILE_LINES_MAX)), NOWHERE);
    assert_eq!(
        lines(length, &"a\n".repeat(FILE_LINES_MAX + 1)),
        [FILE_LINES_MAX + 1]
    );
}

#[test]
fn a_crate_without_a_first_word_is_found() {
    let roots = [
        "netcore/src/lib.rs",
        "imserver/src/main.rs",
        "client/src/bin/im/main.rs",
        "examples/src/bin/echo.rs",
        "tests/tests/tidy.rs",
        "fuzz/fuzz_targets/frame.rs",
    ];
    for path in roots {
        assert_eq!(crate_root(path, "use a;\n//! Too late.\n").len(), 1, "{path}");
        assert_eq!(crate_root(path, "//! What it is for.\n").len(), 0, "{path}");
    }
    let included = "#![cfg_attr(feature = \"reactor\", doc = include_str!(\"../README.md\"))]\n";
    assert_eq!(crate_root("netcore/src/lib.rs", included).len(), 0);
    assert_eq!(
        crate_root("netcore/src/lib.rs", "#![forbid(unsafe_code)]\n//! Late.\n").len(),
        1
    );
    assert_eq!(crate_root("netcore/src/wheel.rs", "use a;\n").len(), 0);
    assert_eq!(crate_root("protocol/build.rs", "fn main() {}\n").len(), 0);
}

#[test]
fn a_package_with_lints_of_its_own_is_found() {
    let manifest = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n";
    assert_eq!(lints_inherited("a/Cargo.toml", manifest).len(), 0);
    assert_eq!(lints_inherited("deny.toml", "[bans]\n").len(), 0);
    assert_eq!(
        lints_inherited("a/Cargo.toml", "[package]\nname = \"a\"\n").len(),
        1
    );
    let own = "[package]\nname = \"a\"\n[lints]\nrust.unsafe_code = \"allow\"\n";
    assert_eq!(lints_inherited("a/Cargo.toml", own).len(), 1);
}

#[test]
fn an_example_that_nothing_runs_is_found() {
    let test = "let path = env!(\"CARGO_BIN_EXE_echo\");";
    let both = [("examples/src/bin/echo.rs", ""), ("examples/tests/run.rs", test)];
    assert_eq!(examples_run(&both.into_iter().collect()), Vec::<Finding>::new());
    for path in [
        "examples/src/bin/chat.rs",
        "examples/src/bin/chat/main.rs",
        "examples/examples/chat.rs",
    ] {
        let tree: Tree = both.into_iter().chain([(path, "")]).collect();
        let expected = Finding::new(path, 1, "no test in examples/tests runs `chat`");
        assert_eq!(examples_run(&tree), [expected]);
    }
}
