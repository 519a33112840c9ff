//! The past of a store in PostgreSQL: how it is known again after whatever happened to its server, and what happens
//! when it is not the same any more. `docs/RELIABILITY.md` has the design.
//!
//! Every connection is compared with what the row of the store says of its server (`judge.rs`, `settle.rs`): the same
//! incarnation, a start after which nothing is missing (a **generation** begins), or anything else (a **new past**
//! begins, and a process that lived in the old one ends). What a process has told and seen is a witness (`node.rs`).
//! Every transaction that writes and every statement that makes a set of commits compares generation and start again
//! in its own snapshot, for those whose session outlives the server behind it; the schema has the functions.

mod judge;
mod node;
mod report;
mod settle;

pub(super) use node::{Answered, Life, Lived, Node};
pub use report::{keep, new, show};
pub(super) use settle::{Rights, begin_past_as, create, end_past, random, settle};
