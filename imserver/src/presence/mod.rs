//! Presence: who sees how present somebody is, and when they are told that it has changed.
//!
//! [`machine`] decides what is shown to whom, [`telling`] what other nodes are told, [`rights`] who may see; [`thread`]
//! drives them. The table of routes says who is connected here: whoever makes, changes or removes a route only says of
//! which user, and never waits. Nothing here is on the way of a message, and nothing is stored. Must never be asked
//! whether somebody is connected by anything that depends on it.

mod handle;
mod machine;
mod rights;
mod telling;
mod thread;
mod told;

pub(crate) use handle::{Others, PresenceHandle, Watching};
pub(crate) use rights::Friends;
#[cfg(test)]
pub(crate) use rights::Rights;
pub(crate) use thread::{Presence, PresenceParts};
pub(crate) use told::Told;
