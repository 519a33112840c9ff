//! One suite over both implementations, then what only a server can do to one.

mod faults;
mod pasts;
mod suite;
mod world;
