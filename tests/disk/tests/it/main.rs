//! Disasters of the embedded store.
#![cfg(target_os = "linux")]
// The allowance for tests does not reach helpers outside of test functions.
#![allow(clippy::unwrap_used)]

mod calls;
mod flips;
mod owners;
mod power;
mod putback;
mod steps;
mod world;
