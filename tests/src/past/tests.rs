//! The design holds in the model, and each of its rules is needed.
//!
//! Every run explores all histories of up to [`LENGTH`] letters and some longer ones at random; with `DISASTERS=all` it
//! goes further.

use super::{
    Rules, World,
    postgres::Postgres,
    search::{exhaust, follow, wander},
    sqlite::Sqlite,
};

/// Explored wholly in every run, and in full.
const LENGTH: [usize; 2] = [4, 6];
/// Longer histories at random in every run, and in full.
const ROUNDS: [u64; 2] = [10_000, 3_000_000];
/// The seed of the random ones.
const SEED: u64 = 1;
/// Nothing durable is ever lost by these: a new past would be a false alarm.
const CRASHES: &[u8] = b"sStTopebxXiCNMhwY";

fn in_full() -> bool {
    std::env::var("DISASTERS").is_ok_and(|wanted| wanted == "all")
}

fn this_run<T: Copy>(tiers: [T; 2]) -> T {
    tiers[usize::from(in_full())]
}

fn holds<W: World>(letters: &[u8]) {
    let length = this_run(LENGTH);
    let whole = exhaust::<W>(Rules::ALL, letters, length);
    println!("all histories of up to {length} letters: {whole}");
    assert_eq!(whole.found, None);
    let longer = wander::<W>(Rules::ALL, letters, SEED, this_run(ROUNDS));
    println!("longer ones at random: {longer}");
    assert_eq!(longer.found, None);
}

/// Without each rule the shortest history that breaks a promise. `known`: what random searches found where that is
/// longer than what is explored wholly.
fn each_is_needed<W: World>(known: &[(&str, &str)]) {
    for (index, rule) in W::RULES.iter().enumerate() {
        let rules = Rules::ALL.without(index);
        let mut report = exhaust::<W>(rules, W::LETTERS, this_run(LENGTH));
        if report.found.is_none()
            && let Some((_, history)) = known.iter().find(|(name, _)| *name == rule.name)
        {
            report = follow::<W>(rules, history);
        }
        println!("without {:<11} {report}", rule.name);
        assert!(report.found.is_some(), "{}: {}", rule.name, rule.says);
        assert_eq!(follow::<W>(Rules::ALL, &report.found.unwrap().0).found, None);
    }
}

#[test]
fn the_design_holds_on_postgresql() {
    holds::<Postgres>(Postgres::LETTERS);
}

#[test]
fn crashes_of_postgresql_make_no_new_past() {
    holds::<Postgres>(CRASHES);
}

#[test]
fn the_design_holds_on_sqlite() {
    holds::<Sqlite>(Sqlite::LETTERS);
}

#[test]
fn every_rule_for_postgresql_is_needed() {
    each_is_needed::<Postgres>(&[
        ("horizon", "oeetC"),
        ("told", "kSYRM"),
        ("token", "kstRN"),
        ("epoch", "kstRN"),
        ("mark", "ksYRhsRNM"),
        ("former", "ksLsR"),
    ]);
}

#[test]
fn every_rule_for_sqlite_is_needed() {
    each_is_needed::<Sqlite>(&[]);
}
