//! Every command over a store in memory: what it answers, whom it refuses, what it does to sessions. Values only: no
//! socket, no thread, no clock.

mod effects;
mod faults;
mod fixture;
mod matrix;
mod opening;
mod refusals;
mod repeats;
mod requests;
