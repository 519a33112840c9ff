//! One connection's session: which requests it may make in which state, and how many.
//!
//! A plain state machine: frames and time in, verdicts out. It knows no socket, store or thread.

mod allowance;
mod machine;
mod rate;
mod rules;

pub(crate) use allowance::{Allowance, Allowances, Charge, network};
pub(crate) use machine::{Caller, Opens, Session, Verdict, too_many};
pub(crate) use rules::Rules;

#[cfg(test)]
mod tests;
