//! The past of a store in PostgreSQL: how the store is recognised after any event on its server, and the consequences
//! when it is not the same any more. `docs/RELIABILITY.md` has the design.
//!
//! Every connection is compared with the store's row about its server (`judge.rs`, `settle.rs`). It is the same
//! incarnation; or a start after which nothing is missing, and a **generation** begins; or anything else, and a **new
//! past** begins, which ends every process that lived in the old one. The memory of a process is a witness (`node.rs`).
//! Every transaction that writes and every statement that makes a set of commits compares generation and start again in
//! its own snapshot, for clients whose session outlives the server behind it; the schema has the functions.

mod judge;
mod node;
mod report;
mod settle;

pub(super) use node::{Answered, Life, Lived, Node};
pub use report::{keep, new, show};
pub(super) use settle::{Rights, begin_past_as, create, end_past, random, settle};
