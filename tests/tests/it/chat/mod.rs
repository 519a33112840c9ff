//! Talking: messages, groups, receipts, lists and sync, between sessions that are online and well-behaved.

mod about;
mod answers;
mod cursors;
mod friends;
mod groups;
mod membership;
mod messages;
mod people;
mod presence;
mod reading;
mod retries;
mod sync;
mod transient;
