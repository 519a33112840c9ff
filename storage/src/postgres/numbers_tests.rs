//! Numbers that stand in Rust and, because SQL has no constants of ours, again in SQL: both are read and compared.

use std::{fs, path::Path};

use crate::{
    entry::EntryClass,
    snapshot::Snapshot,
    types::{EventKind, Role},
};

/// Every file of this store that has SQL, with its name.
fn sources() -> Vec<(String, String)> {
    fn add(folder: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.display().to_string();
            if path.is_dir() {
                add(&path, found);
            } else if !name.ends_with("_tests.rs") {
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/postgres");
    add(&folder, &mut found);
    assert!(found.len() > 20, "{found:?}");
    found
}

/// The lines before the tests at a file's end.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

/// The number that a text begins with.
fn number(text: &str) -> Option<u64> {
    let digits = text.find(|one: char| !one.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().ok()
}

/// Each number that comes right after `before`, with where it stands.
fn numbers_after(before: &str) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for (name, text) in sources() {
        for after in product(&text).split(before).skip(1) {
            if let Some(number) = number(after) {
                found.push((name.clone(), number));
            }
        }
    }
    found
}

/// Positions are cut into a transaction and a place in it.
#[test]
fn sql_cuts_positions_as_snapshots_do() {
    let bits = u64::from(Snapshot::COMMIT_BITS);
    // Of transactions in SQL: `position >> bits`, `transaction << bits`.
    let shifts: Vec<_> = [") << ", "position >> ", "place >> "]
        .into_iter()
        .flat_map(numbers_after)
        .collect();
    assert!(shifts.len() >= 8, "the test finds them: {shifts:?}");
    for (name, shift) in shifts {
        assert_eq!(shift, bits, "{name} shifts by another number of bits");
    }
    let masks: Vec<_> = [") | ", "position | ", "place | "]
        .into_iter()
        .flat_map(numbers_after)
        .collect();
    assert!(masks.len() >= 2, "the test finds them: {masks:?}");
    for (name, mask) in masks {
        assert_eq!(mask, (1 << bits) - 1, "{name} has another mask");
    }
}

#[test]
fn sql_knows_the_same_kinds_of_events() {
    let lowest = numbers_after("kind BETWEEN ");
    assert!(lowest.len() >= 2, "the test finds them: {lowest:?}");
    for (name, lowest) in lowest {
        assert_eq!(lowest, u64::from(*EventKind::MESSAGES.start()), "{name}");
    }
    let highest = format!("kind BETWEEN {} AND ", EventKind::MESSAGES.start());
    for (name, highest) in numbers_after(&highest) {
        assert_eq!(highest, u64::from(*EventKind::MESSAGES.end()), "{name}");
    }
    let classes: Vec<u64> = numbers_after("e.class = ")
        .into_iter()
        .map(|(_, class)| class)
        .collect();
    let known = [
        EntryClass::Blocked,
        EntryClass::Blocked,
        EntryClass::FriendsOnly,
        EntryClass::Friends,
    ];
    assert_eq!(classes, known.map(|class| u64::from(class.number())));
    let edits = numbers_after("kind = ");
    assert!(!edits.is_empty(), "the test finds them");
    for (name, edit) in edits {
        assert_eq!(edit, u64::from(EventKind::Edit.number()), "{name}");
    }
}

/// A user who joins is a plain member until a role is given.
#[test]
fn sql_makes_members_of_those_who_join() {
    let roles = numbers_after("ELSE ")
        .into_iter()
        .filter(|(name, _)| name.ends_with("derive.rs"));
    let roles: Vec<u64> = roles.map(|(_, role)| role).collect();
    assert_eq!(roles, [u64::from(Role::Member.number().cast_unsigned())]);
}

/// What the schema raises where a server is another one, and what the program takes for that.
#[test]
fn the_schema_raises_what_the_program_knows() {
    let schema = include_str!("migrations/V1__initial.sql");
    let raised: Vec<_> = schema
        .split("ERRCODE = '")
        .skip(1)
        .map(|after| &after[..5])
        .collect();
    assert!(!raised.is_empty());
    for code in raised {
        assert_eq!(code, super::failure::OTHER_GENERATION);
    }
}

/// The verdicts that the schema explains are those that the program reads.
#[test]
fn the_schema_gives_the_verdicts_that_the_program_reads() {
    let schema = include_str!("migrations/V1__initial.sql");
    let explained = schema.split("verdicts  of each row: ").nth(1).unwrap();
    let explained = explained.lines().next().unwrap();
    let expected = "0 appended, 1 appended before, 2 conflict, 3 not found, 4 forbidden, 5 gone";
    assert_eq!(explained, expected);
    let given = schema.split("END AS verdict").next().unwrap();
    let given = given.rsplit("CASE").next().unwrap();
    let given: Vec<u64> = given.split("THEN ").skip(1).filter_map(number).collect();
    assert_eq!(given, [3, 4, 4, 3, 4, 5, 3], "by the order of the rules");
}
