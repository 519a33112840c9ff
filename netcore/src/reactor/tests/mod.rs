//! The reactor in a scripted world: traps of edge-triggered readiness, fairness counted in turns, ends.

mod accepting;
mod ending;
mod harness;
mod many;
mod moving;
mod pending;
#[cfg(feature = "tls")]
mod sealed;
mod simulation;
