//! One connection's session: which requests it may make in which state, and how many.
//!
//! A plain state machine: frames and time in, verdicts out. It knows no socket, store or thread.

mod allowance;
mod machine;
mod rate;

pub use allowance::{Allowance, Allowances, Charge, network};
pub use machine::{Rules, Session, Verdict, too_many};
pub use rate::Rate;

#[cfg(test)]
mod tests;
