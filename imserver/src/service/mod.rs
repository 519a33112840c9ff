//! What the server does when asked: requests become writes for the lane or questions for the workers, and
//! what the store says becomes the protocol's messages.
//!
//! Nothing here knows connections or loops beyond the [`ReplyTo`](crate::reply::ReplyTo) it answers.

pub mod append;
pub(crate) mod attempts;
pub mod hashing;
pub mod question;
pub mod wire;

mod accounts;
mod conversations;
mod login;

pub use attempts::Attempts;
pub use hashing::{HashJob, Hasher, HasherHandle};
pub use question::{Question, SharedStore, Worker, WorkerContext};
