//! What every store must do, as small named cases over the traits alone. A case that fails panics; its name is
//! the last one printed.
//!
//! It owns no store and knows none: the caller supplies a function that makes one.

mod entries;
mod erasing;
mod friends;
mod groups;
mod leaving;
mod lists;
mod messages;
mod pages;
mod people;
mod receipts;
mod roles;
mod sessions;
mod several;
mod stores;
mod targets;
mod world;

use crate::{Rules, Store};
use world::World;

/// A case. It starts with an empty store and the rules of that store.
type Case = (&'static str, Rules, fn(&mut World));

/// Runs every case, each on a new and empty store that `make` opens with the given rules.
///
/// # Panics
/// The store breaks the contract of the traits.
pub fn run(make: impl Fn(Rules) -> Box<dyn Store>) {
    let groups = [
        messages::CASES,
        targets::CASES,
        erasing::CASES,
        groups::CASES,
        leaving::CASES,
        roles::CASES,
        receipts::CASES,
        pages::CASES,
        lists::CASES,
        people::CASES,
        entries::CASES,
        friends::CASES,
        sessions::CASES,
        stores::CASES,
        several::CASES,
    ];
    for (name, rules, case) in groups.into_iter().flatten() {
        // Shown by the test harness when the case fails.
        println!("case: {name}");
        case(&mut World::new(make(*rules)));
    }
}

/// The rules of cases that do not depend on them.
const RULES: Rules = Rules {
    group_members_max: 2_000,
    groups_per_user_max: 2_000,
    groups_put_into_max: 1_000,
    put_back_after_ms: 0,
    members_may_add: true,
    message_edits_max: Rules::MESSAGE_EDITS_MAX,
    message_reactions_max: Rules::MESSAGE_REACTIONS_MAX,
    entries_max: Rules::ENTRIES_MAX,
    friends_max: Rules::FRIENDS_MAX,
    friend_requests_max: Rules::FRIEND_REQUESTS_MAX,
    blocks_max: Rules::BLOCKS_MAX,
};

/// Pairs each case with its name.
macro_rules! cases {
    ($($name:ident $(with $with:expr)?),* $(,)?) => {
        /// All cases of this file.
        pub(super) const CASES: &[super::Case] = &[$((
            concat!(module_path!(), "::", stringify!($name)),
            cases!(@rules $($with)?),
            $name,
        )),*];
    };
    (@rules) => { super::RULES };
    (@rules $with:expr) => { $with };
}
use cases;
